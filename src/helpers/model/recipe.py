"""The training recipe for networks trained from scratch: schedule, optimizer, averaging, augmentation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import keras
import tensorflow as tf

from helpers.errors import UsageError
from helpers.model import cpu_speed, optimizers, training
from helpers.model.training_records import StepProgress
from helpers.model.weight_averaging import AveragedWeights, NormStatistics
from helpers.obtain import data
from helpers.scrub import augment


@dataclass(frozen=True)
class Recipe:
    """The settings of a training from scratch.

    Attributes:
        epochs: passes over the training images.
        batch_size: images in a step.
        optimizer: "adamw"; or "muon" on convolution kernels and AdamW elsewhere. Weight decay is decoupled in both.
        learning_rate: peak of the schedule, `training.one_cycle`.
        warmup_fraction: fraction of the steps in which the rate rises.
        weight_decay: on kernels only.
        label_smoothing: fraction of the target that is spread over all classes.
        average_decay: decay of the moving average of the weights per step; 0 for no average.
        plain_epochs: epochs at the end without erasing.
        precision: of the convolutions during training: "float32"; "bfloat16", by oneDNN's graph rewrite; "auto" for
            bfloat16 where the processor supports it. The trained network always computes in float32.
        seed: of order and augmentation.
    """

    epochs: int = 10
    batch_size: int = 128
    optimizer: Literal["adamw", "muon"] = "muon"
    learning_rate: float = 2e-2
    warmup_fraction: float = 0.2
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    average_decay: float = 0.98
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

    `val_loss` and `val_accuracy` of an epoch are those of the averaged network. Losses include label smoothing.

    Args:
        model: from raw pixels to probabilities.
        train_part: the training part.
        validation: the validation part.
        recipe: the settings.
        policy: how to augment; None for no augmentation.
        change: as for `training.batches`.
        callbacks: additional callbacks, such as `EarlyStopping`, `ModelCheckpoint` or Optuna's pruning.
        progress: called with the number of steps done and the number of all steps.

    Raises:
        UsageError: the recipe has an unknown optimizer or precision.
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
        optimizer_for(recipe, recipe.epochs * steps),
        keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
    )
    scorer = training.ValidationScorer(model, validation, recipe.label_smoothing)
    statistics = NormStatistics(model, train_part.images, recipe.batch_size)
    averaged = AveragedWeights(recipe.average_decay, statistics, scorer)
    watching = [StepProgress(steps, recipe.epochs, progress)] if progress else []
    with cpu_speed.bfloat16(PRECISIONS[recipe.precision]()):
        fit = training.fit_compiled(
            trainer,
            rows.map(training.one_hot(train_part.num_classes)),
            steps_per_epoch=steps,
            epochs=recipe.epochs,
            shuffle=False,
            callbacks=[averaged, *watching, *callbacks],
        )
    return replace(fit, probabilities=scorer.probabilities)


def _check(recipe: Recipe) -> None:
    for name, known in (("optimizer", OPTIMIZERS), ("precision", PRECISIONS)):
        if getattr(recipe, name) not in known:
            raise UsageError(
                f"There is no {name} '{getattr(recipe, name)}'.", f"use one of: {', '.join(known)}"
            )


OPTIMIZERS = {"adamw": keras.optimizers.AdamW, "muon": optimizers.ConvolutionMuon}
PRECISIONS = {
    "auto": cpu_speed.bfloat16_is_native,
    "float32": lambda: False,
    "bfloat16": lambda: True,
}


def optimizer_for(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    """Return the recipe's optimizer.

    Args:
        recipe: the settings.
        steps: number of steps in the training.
    """
    rate = training.one_cycle(recipe.learning_rate, steps, recipe.warmup_fraction)
    elsewhere = {"adam_weight_decay": recipe.weight_decay} if recipe.optimizer == "muon" else {}
    optimizer = OPTIMIZERS[recipe.optimizer](rate, weight_decay=recipe.weight_decay, **elsewhere)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
