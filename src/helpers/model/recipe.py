"""The training recipe for networks trained from scratch: schedule, optimizer, averaging, augmentation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Literal

import keras
import tensorflow as tf

from helpers.errors import UsageError
from helpers.model import cpu_speed, optimizers, training
from helpers.model.weight_averaging import AveragedWeights, NormStatistics
from helpers.obtain import data
from helpers.scrub import augment

NORM_SAMPLES = 2_048


@dataclass(frozen=True)
class Recipe:
    """How to train from scratch.

    Attributes:
        epochs: passes over the training images.
        batch_size: images in a step.
        optimizer: "adamw"; "sgd" with Nesterov's momentum; "muon" on convolution kernels and AdamW elsewhere. Weight
            decay is decoupled in all.
        schedule: "one_cycle": linear warm-up, then a cosine to zero; "triangular": a line to zero; "constant": for those
            who use `keras.callbacks.ReduceLROnPlateau`.
        learning_rate: peak of the schedule.
        warmup_fraction: share of the steps that warm up.
        weight_decay: on kernels only.
        momentum: of SGD.
        label_smoothing: share of the target that is spread over all classes.
        average_decay: of the moving average of the weights, from step to step; 0 for none.
        norm_bias_rate: factor on the learning rate of batch normalisation's offsets.
        plain_epochs: epochs at the end without erasing.
        precision: of the convolutions while training: "float32"; "bfloat16", rewritten by oneDNN; "auto" for bfloat16
            where the processor has it. The trained network always works in float32.
        seed: of order and augmentation.
    """

    epochs: int = 10
    batch_size: int = 128
    optimizer: Literal["adamw", "sgd", "muon"] = "muon"
    schedule: Literal["one_cycle", "triangular", "constant"] = "one_cycle"
    learning_rate: float = 2e-2
    warmup_fraction: float = 0.2
    weight_decay: float = 0.05
    momentum: float = 0.9
    label_smoothing: float = 0.1
    average_decay: float = 0.98
    norm_bias_rate: float = 1.0
    plain_epochs: int = 0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: int = 0


def train(
    model: keras.Model,
    train_part: data.Dataset,
    validation: data.Dataset,
    recipe: Recipe,
    *,
    policy: augment.AugmentationPolicy | None = None,
    change: Callable[..., tf.Tensor] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    progress: Callable[..., None] | None = None,
) -> training.Fit:
    """Train a network in place; it ends with averaged weights and the batch-norm statistics that belong to them.

    `val_loss` and `val_accuracy` of an epoch are the averaged network's, as it would be used. Losses are with label
    smoothing, as it trains.

    Args:
        model: from raw pixels to probabilities.
        train_part: the training part.
        validation: the validation part.
        recipe: how.
        policy: how to augment; None for not at all.
        change: as for `training.batches`.
        callbacks: Keras's or your own, such as `EarlyStopping`, `ModelCheckpoint` or Optuna's pruning.
        progress: called with steps done and steps in all.

    Raises:
        UsageError: the recipe has a setting that does not exist or contradicts another.
        OsemnError: the loss became NaN or infinite.
    """
    _check(recipe)
    rows, steps = training.batches(
        train_part,
        recipe.batch_size,
        seed=recipe.seed,
        policy=policy,
        erasing_epochs=recipe.epochs - recipe.plain_epochs if recipe.plain_epochs else None,
        change=change,
    )
    trainer = cpu_speed.trainer_of(model)
    trainer.compile(
        optimizer=optimizer_for(trainer, recipe, recipe.epochs * steps),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
    )
    training.build_optimizer(trainer)
    judge = training.Judge(model, validation, recipe.label_smoothing)
    sample = data.stratified_sample(train_part.labels, min(NORM_SAMPLES, len(train_part)), recipe.seed)
    statistics = NormStatistics(model, train_part.images[sample], recipe.batch_size)
    watching = [] if progress is None else [_Steps(steps, recipe.epochs, progress)]
    started = perf_counter()
    with cpu_speed.bfloat16(PRECISIONS[recipe.precision]()):
        history = trainer.fit(
            rows.map(training.one_hot(train_part.num_classes)),
            steps_per_epoch=steps,
            epochs=recipe.epochs,
            shuffle=False,
            verbose=0,
            callbacks=[
                AveragedWeights(recipe.average_decay, statistics, judge),
                *watching,
                *callbacks,
                keras.callbacks.TerminateOnNaN(),
            ],
        ).history
    fit = training.finished(history, perf_counter() - started)
    return replace(fit, probabilities=judge.probabilities)


def _check(recipe: Recipe) -> None:
    if recipe.plain_epochs > recipe.epochs:
        raise UsageError(
            f"plain_epochs = {recipe.plain_epochs} is more than epochs = {recipe.epochs}.", "make it smaller"
        )
    for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("precision", PRECISIONS)):
        if getattr(recipe, name) not in known:
            raise UsageError(
                f"There is no {name} '{getattr(recipe, name)}'.", f"use one of: {', '.join(known)}"
            )
    if recipe.optimizer == "muon" and recipe.norm_bias_rate != 1.0:
        raise UsageError("Muon takes no norm_bias_rate.", "set it to 1")


def _one_cycle(recipe: Recipe, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    return training.one_cycle(recipe.learning_rate, steps, recipe.warmup_fraction)


def _triangular(recipe: Recipe, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    return training.triangular(recipe.learning_rate, steps, recipe.warmup_fraction)


def _constant(recipe: Recipe, steps: int) -> float:
    return recipe.learning_rate


def _adamw(recipe: Recipe, rate: object, factors: Sequence[float]) -> keras.optimizers.Optimizer:
    return optimizers.DiscriminativeAdamW(rate, weight_decay=recipe.weight_decay, factors=factors)


def _sgd(recipe: Recipe, rate: object, factors: Sequence[float]) -> keras.optimizers.Optimizer:
    return optimizers.DiscriminativeSGD(
        rate, momentum=recipe.momentum, nesterov=True, weight_decay=recipe.weight_decay, factors=factors
    )


def _muon(recipe: Recipe, rate: object, factors: Sequence[float]) -> keras.optimizers.Optimizer:
    decay = recipe.weight_decay
    return optimizers.ConvolutionMuon(rate, weight_decay=decay, adam_weight_decay=decay)


SCHEDULES = {"one_cycle": _one_cycle, "triangular": _triangular, "constant": _constant}
OPTIMIZERS = {"adamw": _adamw, "sgd": _sgd, "muon": _muon}
PRECISIONS = {
    "auto": cpu_speed.bfloat16_is_native,
    "float32": lambda: False,
    "bfloat16": lambda: True,
}


def optimizer_for(model: keras.Model, recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    """Return the recipe's optimizer.

    Args:
        model: to be trained; batch normalisation's offsets get their own rate.
        recipe: the recipe.
        steps: of the whole training.
    """
    factors = [
        recipe.norm_bias_rate if variable.name == "beta" else 1.0 for variable in model.trainable_variables
    ]
    made = OPTIMIZERS[recipe.optimizer](recipe, SCHEDULES[recipe.schedule](recipe, steps), factors)
    made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return made


class _Steps(keras.callbacks.Callback):
    """Tells how far the training is."""

    def __init__(self, steps: int, epochs: int, progress: Callable[..., None]) -> None:
        super().__init__()
        self.steps, self.total, self.progress = steps, steps * epochs, progress
        self._before = 0

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self._before = epoch * self.steps

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.progress(self._before + batch + 1, self.total)
