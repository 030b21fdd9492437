"""Fine-tuning: training goes on in the unfrozen blocks of a network whose head is trained already."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from helpers.errors import UsageError
from helpers.model import optimizers, training
from helpers.model.backbones import blocks, networks
from helpers.model.checkpoints import EpochCheckpoints
from helpers.obtain import data
from helpers.scrub import augment
from helpers.series import manifests

HEAD = "classifier"
WINDOWS_PER_EPOCH = 20


@dataclass(frozen=True)
class FineTuningSettings:
    """How to fine-tune.

    Attributes:
        epochs: passes over the training images, at most.
        batch_size: images in a step.
        learning_rate: peak of the schedule: linear warm-up, then a cosine to zero.
        warmup_fraction: share of the steps that warm up.
        rate_decay: factor on the learning rate from one block to the one below; 1 for the same rate everywhere.
        label_smoothing: share of the target that is spread over all classes.
        weight_decay: of AdamW, on kernels.
        patience: epochs without a better validation accuracy before training stops.
        seed: of order and augmentation.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    warmup_fraction: float = 0.1
    rate_decay: float = 1.0
    label_smoothing: float = 0.1
    weight_decay: float = 0.05
    patience: int = 3
    seed: int = 0


@dataclass(frozen=True, eq=False)
class FineTuned:
    """What a fine-tuning left; the model itself has the weights of the best epoch.

    Attributes:
        fit: history and seconds, the epochs before a kill included.
        best_epoch: the epoch with the best validation accuracy, from 0.
        stopped_early: whether patience ended it.
        resumed_after: epochs that an earlier, killed training had done; 0 for none.
        curves: `{"passes": [windows], "loss": …, "accuracy": …}`: means of the training in windows of steps, by passes
            over the training images.
        gradient_norms: `{"step": [windows], "blocks": {name: [windows]}}`: mean gradient norm of each block in the
            same windows; blocks from the image to the head.
        rate_steps: `[M]`, steps at which the rate is given.
        learning_rates: `[M]`, the head's rate at these steps.
    """

    fit: training.Fit
    best_epoch: int
    stopped_early: bool
    resumed_after: int
    curves: dict[str, list[float]]
    gradient_norms: dict[str, Any]
    rate_steps: np.ndarray
    learning_rates: np.ndarray


class _Trainer(keras.Model):
    """Trains a network and reports the norm of each block's gradient; the network itself stays plain Keras."""

    def __init__(self, network: keras.Model, block_of: dict[str, str]) -> None:
        super().__init__(name="trainer")
        self.network = network
        groups: dict[str, list[int]] = defaultdict(list)
        for place, variable in enumerate(network.trainable_variables):
            groups[block_of[variable.path]].append(place)
        self.groups = tuple((name, tuple(places)) for name, places in groups.items())
        # called once, so that its variables and the optimizer's can be restored
        self(tf.zeros((1, *network.input.shape[1:])))

    def call(self, images: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        return self.network(images, training=training)

    def train_step(self, batch: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        images, targets = batch
        with tf.GradientTape() as tape:
            predicted = self(images, training=True)
            loss = self.compute_loss(x=images, y=targets, y_pred=predicted)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        average = next(metric for metric in self.metrics if metric.name == "loss")
        average.update_state(loss, sample_weight=tf.shape(images)[0])
        results = self.compute_metrics(images, targets, predicted)
        for name, places in self.groups:
            results[_NORM + name] = tf.linalg.global_norm([gradients[place] for place in places])
        return results


_NORM = "gradient_norm/"


class _Windows(keras.callbacks.Callback):
    """Averages the gradient norms over windows of steps, and tells how far the training is."""

    def __init__(
        self, checkpoints: EpochCheckpoints, steps: int, epochs: int, progress: Callable[..., None]
    ) -> None:
        super().__init__()
        self.checkpoints, self.steps, self.epochs, self.progress = checkpoints, steps, epochs, progress
        self.window = max(1, steps // WINDOWS_PER_EPOCH)
        self.epoch = 0
        self._sums: dict[str, float] = defaultdict(float)
        self._averages: dict[str, float] = {}
        self._count = 0
        self._started = perf_counter()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch, self._started, self._averages = epoch, perf_counter(), {}

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        logs = logs or {}
        for name, value in logs.items():
            if name.startswith(_NORM):
                self._sums[name.removeprefix(_NORM)] += float(value)
        self._count += 1
        if self._count == self.window or batch == self.steps - 1:
            self._close(batch + 1, {name: float(logs[name]) for name in ("loss", "accuracy")})
        self.progress(self.epoch * self.steps + batch + 1, self.epochs * self.steps)

    def _close(self, steps: int, averages: dict[str, float]) -> None:
        """Keep a window; Keras's averages run from the epoch's begin, so the window's own are worked out."""
        norms = self.checkpoints.extra.setdefault("gradient_norms", {"step": [], "blocks": {}})
        norms["step"].append(self.epoch * self.steps + steps)
        for name, total in self._sums.items():
            norms["blocks"].setdefault(name, []).append(total / self._count)
        curves = self.checkpoints.extra.setdefault("curves", {"passes": [], "loss": [], "accuracy": []})
        curves["passes"].append(self.epoch + (steps - self._count / 2) / self.steps)
        for name, average in averages.items():
            before = self._averages.get(name, 0.0) * (steps - self._count)
            curves[name].append((average * steps - before) / self._count)
        self._averages = averages
        self._sums.clear()
        self._count = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.checkpoints.seconds += perf_counter() - self._started
        for name in [name for name in (logs or {}) if name.startswith(_NORM)]:
            del logs[name]  # one step's values; the windows hold the means


def fine_tune(
    model: keras.Model,
    train: data.Dataset,
    validation: data.Dataset,
    settings: FineTuningSettings,
    *,
    unfrozen: int | None,
    train_depthwise: bool = True,
    policy: augment.AugmentationPolicy | None = None,
    folder: Path,
    logs: Path | None = None,
    progress: Callable[..., None] = lambda done, total, note="": None,
) -> FineTuned:
    """Fine-tune a model in place; it ends with the weights of its best epoch.

    A call with the same model, data and settings that was killed goes on after the last epoch that it finished, and
    ends with the same weights as if it had not been killed.

    Args:
        model: from raw pixels to probabilities, as 05_transfer_learning leaves it.
        train: the training part.
        validation: the validation part.
        settings: how.
        unfrozen: how many blocks from the top are trained; None for all.
        train_depthwise: as for `blocks.unfreeze`.
        policy: how to augment; None for not at all.
        folder: for checkpoints; it outlives a kill.
        logs: for TensorBoard; None for none.
        progress: called with steps done and steps in all.

    Raises:
        UsageError: the model has fewer blocks than `unfrozen`, or other classes than the data.
        OsemnError: the loss became NaN or infinite.
    """
    _check_classes(model, train)
    found = blocks.unfreeze(model, unfrozen, train_depthwise)
    checkpoints = EpochCheckpoints(
        folder, _fingerprint(model, train, validation, settings, policy), settings.patience
    )
    steps = -(-len(train) // settings.batch_size)
    schedule = training.one_cycle(settings.learning_rate, settings.epochs * steps, settings.warmup_fraction)
    trainer = _compiled(model, found, settings, schedule)
    first = checkpoints.restore(trainer)
    if first < settings.epochs and not checkpoints.stopped_early:
        callbacks = [
            _Windows(checkpoints, steps, settings.epochs, progress),
            *_tensorboard(logs, checkpoints),
        ]
        rows, _ = training.batches(
            train, settings.batch_size, seed=settings.seed, policy=policy, first_epoch=first
        )
        trainer.fit(
            rows.map(training.one_hot(train.num_classes)),
            steps_per_epoch=steps,
            validation_data=training.validation_batches(validation),
            initial_epoch=first,
            epochs=settings.epochs,
            verbose=0,
            shuffle=False,
            callbacks=[*callbacks, checkpoints, keras.callbacks.TerminateOnNaN()],
        )
    fit = training.check_fit(checkpoints.history, checkpoints.seconds)
    checkpoints.load_best(trainer)
    done = np.unique(np.linspace(0, checkpoints.epochs_done * steps - 1, 200).astype(int))
    return FineTuned(
        fit,
        checkpoints.best_epoch,
        checkpoints.stopped_early,
        first,
        checkpoints.extra.get("curves", {}),
        _in_order(checkpoints.extra.get("gradient_norms", {}), found),
        done,
        np.array([float(schedule(step)) for step in done]),
    )


def _in_order(norms: dict[str, Any], found: Sequence[blocks.Block]) -> dict[str, Any]:
    """Return gradient norms with the blocks from the image to the head (TensorFlow sorts its results by name)."""
    order = [name for name in (*(block.name for block in found), HEAD) if name in norms.get("blocks", {})]
    return {**norms, "blocks": {name: norms["blocks"][name] for name in order}}


def check_rate(learning_rate: float, head_learning_rate: float) -> None:
    """Check that fine-tuning is gentle: its rate is at most a tenth of the rate at which the head was trained.

    Raises:
        UsageError: it is higher, and would wash out what the network learned on ImageNet.
    """
    if learning_rate > head_learning_rate / 10 * (1 + 1e-9):
        raise UsageError(
            f"learning_rate = {learning_rate:g} is too high for fine-tuning: the head was trained at {head_learning_rate:g}.",
            f"set it to {head_learning_rate / 10:g} or less",
        )


def _check_classes(model: keras.Model, train: data.Dataset) -> None:
    if model.output.shape[-1] != train.num_classes or tuple(model.input.shape[1:]) != train.image_shape:
        raise UsageError(
            f"'{model.name}' takes images of {tuple(model.input.shape[1:])} and tells {model.output.shape[-1]} classes, "
            f"but the data are {train.image_shape} with {train.num_classes}.",
            "run 05_transfer_learning on these data first",
        )


def _fingerprint(
    model: keras.Model,
    train: data.Dataset,
    validation: data.Dataset,
    settings: FineTuningSettings,
    policy: augment.AugmentationPolicy | None,
) -> dict[str, Any]:
    """Return all that a training depends on."""
    return {
        "settings": asdict(settings),
        "trained": [variable.path for variable in model.trainable_variables],
        "weights": networks.weights_sha256(model),
        "data": [data.array_sha256(part.images, part.labels) for part in (train, validation)],
        "policy": None if policy is None else policy.settings(),
        "code": manifests.code_sha256("model.fine_tuning"),
        "versions": [keras.__version__, tf.__version__],
    }


def _compiled(
    model: keras.Model,
    found: Sequence[blocks.Block],
    settings: FineTuningSettings,
    schedule: keras.optimizers.schedules.LearningRateSchedule,
) -> _Trainer:
    of_layer = {name: block.name for block in found for name in block.layers}
    block_of = {v.path: of_layer.get(x.name, HEAD) for x in model.layers for v in x.trainable_variables}
    trainer = _Trainer(model, block_of)
    factors = blocks.rates(model, found, settings.rate_decay)
    optimizer = optimizers.DiscriminativeAdamW(
        schedule,
        weight_decay=settings.weight_decay,
        factors=[factors[variable.path] for variable in trainer.trainable_variables],
    )
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    trainer.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(label_smoothing=settings.label_smoothing),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
    )
    training.build_optimizer(trainer)
    return trainer


def _tensorboard(logs: Path | None, checkpoints: EpochCheckpoints) -> list[keras.callbacks.Callback]:
    return [] if logs is None else [_Replaying(checkpoints, log_dir=str(logs), write_graph=False)]


class _Replaying(keras.callbacks.TensorBoard):
    """TensorBoard's logs, which after a kill begin with the epochs that were done before it."""

    def __init__(self, checkpoints: EpochCheckpoints, **options: Any) -> None:
        super().__init__(**options)
        self.checkpoints = checkpoints

    def on_train_begin(self, logs: Any = None) -> None:
        super().on_train_begin(logs)
        for epoch in range(self.checkpoints.epochs_done):
            super().on_epoch_end(epoch, {k: v[epoch] for k, v in self.checkpoints.history.items()})
