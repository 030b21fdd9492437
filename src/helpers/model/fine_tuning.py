"""Fine-tuning: trains the unfrozen blocks of a network whose head is trained already."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import Model
from keras.optimizers.schedules import LearningRateSchedule

from helpers import paths, scoring, wording
from helpers.errors import DivergedError, UsageError
from helpers.model import class_balance, epoch_plan, optimizers, training
from helpers.model.backbones import blocks, networks
from helpers.model.backbones.blocks import Block
from helpers.model.checkpoints import EpochCheckpoints
from helpers.model.training_records import RecordingTrainer, ReplayedLogs, Scores, StepProgress, Windows
from helpers.model.tuning_batches import FineTuningSettings, batches
from helpers.obtain.data import Dataset, array_sha256
from helpers.scrub.augment import AugmentationPolicy
from helpers.series import manifests
from helpers.series.metrics import Metric

HEAD = "classifier"
FROZEN = "frozen"
ACCURACY = Metric("accuracy")


@dataclass(frozen=True, eq=False)
class FineTuned:
    """The result of a fine-tuning; the model itself has the weights of the best epoch.

    Attributes:
        fit: history and seconds, including the epochs before a kill.
        best_epoch: the epoch with the best metric on the validation images, from 0.
        stopped_early: whether the training ended because that metric no longer rose.
        resumed_after: number of epochs that a killed training had completed; 0 for none.
        curves: `{"passes": [windows], "loss": …, "accuracy": …}`: training loss and accuracy averaged over windows of
            steps, by passes over the training images.
        gradient_norms: `{"step": [windows], "blocks": {name: [windows]}}`: mean gradient norm of each block in the
            same windows, from the image to the head.
        rate_steps: `[M]`, the steps of `learning_rates`.
        learning_rates: `[M]`, the head's learning rate at these steps.
        plan: the number of epochs that fits into the budget in minutes; None without a budget.
    """

    fit: training.Fit
    best_epoch: int
    stopped_early: bool
    resumed_after: int
    curves: dict[str, list[float]]
    gradient_norms: dict[str, Any]
    rate_steps: np.ndarray
    learning_rates: np.ndarray
    plan: epoch_plan.Plan | None = None

    def learning_curves(self, accuracy_before: float) -> dict[str, Sequence[float]]:
        """Return the curves for `plots.learning_curves`: training by window, validation before and after each epoch.

        Args:
            accuracy_before: validation accuracy before the first step; the loss there is unknown.
        """
        history = self.fit.history
        return {
            **self.curves,
            "val_passes": range(len(history["val_loss"]) + 1),
            "val_loss": [np.nan, *history["val_loss"]],
            "val_accuracy": [accuracy_before, *history["val_accuracy"]],
        }


def fine_tune(
    model: Model,
    train: Dataset,
    validation: Dataset,
    settings: FineTuningSettings,
    *,
    unfrozen: int | None,
    train_depthwise: bool = True,
    policy: AugmentationPolicy | None = None,
    metric: Metric = ACCURACY,
    folder: Path,
    logs: Path | None = None,
    progress: Callable[..., None] = lambda done, total, note="": None,
) -> FineTuned:
    """Fine-tune a model in place; it ends with the weights of its best epoch.

    After a kill, the same call resumes after the last completed epoch and ends with the weights of an undisturbed training.

    Args:
        model: from raw pixels to probabilities, as saved by 05_transfer_learning.
        train: the training part; its weights are used.
        validation: the validation part.
        settings: of the training.
        unfrozen: number of blocks to train, counted from the top; None for all.
        train_depthwise: as for `blocks.unfreeze`.
        policy: how to augment; None for no augmentation.
        metric: of the validation images; by it the best epoch is chosen.
        folder: for checkpoints; it must survive a kill.
        logs: for TensorBoard; None for none.
        progress: called with the number of steps done and the number of all steps.

    Raises:
        UsageError: the model has fewer blocks than `unfrozen`.
        DivergedError: the loss became NaN or infinite; the model has the last good weights.
    """
    parts = blocks.unfreeze(model, unfrozen, train_depthwise)
    fingerprint = _fingerprint(model, (train, validation), settings, policy, metric)
    checkpoints = EpochCheckpoints(folder, fingerprint, settings.patience)
    rows, steps = batches(train, settings, policy)
    schedule = epoch_plan.OneCycle(settings.learning_rate, settings.epochs * steps, settings.warmup_fraction)
    trainer = _compiled(model, parts, settings, schedule, train.class_counts())
    first = checkpoints.restore(trainer)
    if settings.minutes and "plan" not in checkpoints.extra:
        plan = epoch_plan.plan(trainer, rows, steps, settings, len(validation) / len(train))
        checkpoints.extra["plan"] = asdict(plan)
    epochs = checkpoints.extra.get("plan", asdict(settings))["epochs"]
    schedule.set_steps(epochs * steps)
    if first < epochs and not checkpoints.stopped_early:
        scores = Scores(training.ValidationScorer(model, validation, settings.label_smoothing), metric)
        watching = [scores, Windows(checkpoints, steps), StepProgress(steps, epochs, progress)]
        watching += [] if logs is None else [ReplayedLogs(checkpoints, log_dir=str(logs), write_graph=False)]
        rows, _ = batches(train, settings, policy, first)
        options = {"steps_per_epoch": steps, "initial_epoch": first, "epochs": epochs, "shuffle": False}
        _fit(trainer, rows, [*watching, checkpoints], schedule, **options)
    checkpoints.load_best(trainer)
    return _result(checkpoints, first, parts, schedule, steps)


def _fit(
    trainer: RecordingTrainer,
    rows: tf.data.Dataset,
    callbacks: Sequence[keras.callbacks.Callback],
    schedule: LearningRateSchedule,
    **options: Any,
) -> None:
    """Train; if the loss diverges, give the model its last good weights and say which rate to try."""
    before = trainer.network.get_weights()
    try:
        training.fit_compiled(trainer, rows, callbacks=callbacks, **options)
    except DivergedError:
        *_, checkpoints = callbacks
        kept, epochs = "The model of 05_transfer_learning is unchanged.", checkpoints.saved_epochs
        if epochs:
            kept = f"The best weights of {wording.count(epochs, 'epoch')} are stored in {paths.shown(checkpoints.folder)}."
            checkpoints.load_best(trainer)
        else:
            trainer.network.set_weights(before)
        steps = np.linspace(0, int(trainer.optimizer.iterations), 100)
        reached = max(float(schedule(step)) for step in steps)
        raise DivergedError(
            f"The fine-tuning diverged in epoch {epochs + 1}: its loss is not finite. {kept}",
            f"set a smaller learning_rate, such as {reached / 4:.1g}, a quarter of the highest rate so far",
        ) from None


def _result(
    checkpoints: EpochCheckpoints,
    first: int,
    parts: Sequence[Block],
    schedule: LearningRateSchedule,
    steps: int,
) -> FineTuned:
    """Return the result of a training that did not diverge."""
    fit = training.check_fit(checkpoints.history, checkpoints.seconds)
    norms = checkpoints.extra.get("gradient_norms", {})
    by_block = norms.get("blocks", {})
    sampled = np.unique(np.linspace(0, checkpoints.epochs_done * steps - 1, 200).astype(int))
    # TensorFlow sorts the blocks by name
    names = (*(block.name for block in parts), HEAD)
    in_order = {name: by_block[name] for name in names if name in by_block}
    plan = checkpoints.extra.get("plan")
    return FineTuned(
        fit,
        checkpoints.best_epoch,
        checkpoints.stopped_early,
        first,
        checkpoints.extra.get("curves", {}),
        {**norms, "blocks": in_order},
        sampled,
        np.array([float(schedule(step)) for step in sampled]),
        plan and epoch_plan.Plan(**plan),
    )


def check_rate(learning_rate: float, head_learning_rate: float) -> None:
    """Check that the learning rate is at most a tenth of the rate at which the head was trained.

    Raises:
        UsageError: it is higher, which would destroy what the network learned on ImageNet.

    Example:
        `fine_tuning.check_rate(learning_rate, before["head_learning_rate"])`
    """
    if learning_rate > head_learning_rate / 10 * (1 + 1e-9):
        raise UsageError(
            f"learning_rate = {learning_rate:g} is too high for fine-tuning: the head was trained at {head_learning_rate:g}.",
            f"set it to {head_learning_rate / 10:g} or less",
        )


def compare_variants(
    labels: np.ndarray, predicted: Mapping[str, np.ndarray]
) -> dict[tuple[str, str], scoring.Comparison]:
    """Compare each fine-tuned variant with the frozen network, and all blocks with the top blocks, image by image.

    The p-values against the frozen network are corrected for the number of variants, as the best variant is selected.

    Args:
        labels: of the validation images, `[N] int64`.
        predicted: predicted labels by variant, `frozen` among them.

    Example:
        `differences = fine_tuning.compare_variants(validation.labels, predicted)`
    """
    variants = [name for name in predicted if name != FROZEN]
    pairs = [(one, FROZEN) for one in variants]
    pairs += [("all_blocks", "top_blocks")] if {"all_blocks", "top_blocks"} <= set(variants) else []
    compared = {pair: scoring.compare(labels, *(predicted[name] for name in pair)) for pair in pairs}
    return {
        (one, other): result.corrected(len(variants)) if other == FROZEN else result
        for (one, other), result in compared.items()
    }


def _fingerprint(
    model: Model,
    given: Sequence[Dataset],
    settings: FineTuningSettings,
    policy: AugmentationPolicy | None,
    metric: Metric,
) -> dict[str, Any]:
    """Return everything that the training depends on, as plain JSON."""
    return {
        "settings": asdict(settings),
        "trained": [variable.path for variable in model.trainable_variables],
        "weights": networks.weights_sha256(model),
        "data": [array_sha256(part.images, part.labels) for part in given],
        "image_weights": None if given[0].weights is None else array_sha256(given[0].weights),
        "metric": metric.facts(),
        "policy": None if policy is None else policy.settings(),
        "code": manifests.code_sha256("model.fine_tuning"),
        "versions": [keras.__version__, tf.__version__],
    }


def _compiled(
    model: Model,
    parts: Sequence[Block],
    settings: FineTuningSettings,
    schedule: LearningRateSchedule,
    counts: np.ndarray,
) -> RecordingTrainer:
    """Return what trains the model, compiled."""
    of_layer = {name: block.name for block in parts for name in block.layers}
    block_of = {v.path: of_layer.get(x.name, HEAD) for x in model.layers for v in x.trainable_variables}
    trainer = RecordingTrainer(model, block_of)
    rates = blocks.rates(model, parts, settings.rate_decay)
    factors = [rates[variable.path] for variable in trainer.trainable_variables]
    averaged = {"use_ema": settings.average_decay > 0, "ema_momentum": settings.average_decay}
    optimizer = optimizers.DiscriminativeAdamW(schedule, settings.weight_decay, factors=factors, **averaged)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    trainer.compile(
        optimizer,
        class_balance.loss(settings.class_weights, counts, settings.label_smoothing),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
    )
    training.build_optimizer(trainer)
    return trainer
