"""The number of epochs of a fine-tuning: by the number of images, or by a budget in minutes."""

from dataclasses import dataclass
from time import perf_counter

import keras
import numpy as np
import tensorflow as tf
from keras.optimizers.schedules import CosineDecay

from helpers.model.tuning_batches import FineTuningSettings

MOST_EPOCHS = 20  # with automatic epochs: further passes over few images cost more than they gain
_WARM, _TIMED = 3, 6  # steps before the clock starts, which include tracing, and steps that are timed
_FORWARD = 1 / 3  # time of an image in validation, as a fraction of its time in training


def epochs_for(images: int, epochs: int, images_seen: int) -> int:
    """Return the number of epochs; 0 stands for as many as show about `images_seen` images, at most `MOST_EPOCHS`.

    Args:
        images: number of training images.
        epochs: as set; 0 for automatic.
        images_seen: number of images that the network sees in all epochs together.

    Example:
        `epoch_plan.epochs_for(len(train), epochs, images_seen)`
    """
    return epochs or int(np.clip(round(images_seen / images), 1, MOST_EPOCHS))


def batch_size_for(images: int, batch_size: int = 0) -> int:
    """Return the number of images in a step; 0 stands for 64, or for 32 with fewer than 10,000 images: for enough steps."""
    return batch_size or (32 if images < 10_000 else 64)


class OneCycle(CosineDecay):
    """`training.one_cycle` whose number of steps can still be set once the first steps have been timed.

    Args:
        peak: the highest rate.
        steps: of the training.
        warmup_fraction: fraction of the steps in which the rate rises.
    """

    def __init__(self, peak: float, steps: int, warmup_fraction: float) -> None:
        self.warmup_fraction = warmup_fraction
        falling, rising = tf.Variable(1.0), tf.Variable(1.0)  # read by the compiled step
        super().__init__(peak / 10, falling, warmup_target=peak, warmup_steps=rising)
        self.set_steps(steps)

    def set_steps(self, steps: int) -> None:
        """Set the number of steps."""
        warmup = max(1, round(steps * self.warmup_fraction))
        self.warmup_steps.assign(float(warmup))
        self.decay_steps.assign(float(max(1, steps - warmup)))


@dataclass(frozen=True)
class Plan:
    """How many epochs fit into a budget.

    Attributes:
        epochs: planned.
        most: the number of epochs that was set, which is not exceeded.
        minutes: the budget.
        epoch_seconds: expected time of an epoch with its validation.
    """

    epochs: int
    most: int
    minutes: float
    epoch_seconds: float


def plan(
    trainer: keras.Model, rows: tf.data.Dataset, steps: int, settings: FineTuningSettings, held_out: float
) -> Plan:
    """Time the first steps of a training, take them back, and plan the number of epochs.

    Args:
        trainer: compiled; its weights and its optimizer's state are the same afterwards.
        rows: endless batches.
        steps: in an epoch.
        settings: with the largest number of epochs, and the budget in minutes from now on.
        held_out: number of validation images divided by the number of training images.
    """
    started, ends = perf_counter(), []
    clock = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: ends.append(perf_counter()))
    variables = [*trainer.variables, *trainer.optimizer.variables]
    before = [variable.numpy() for variable in variables]
    trainer.fit(rows, steps_per_epoch=_WARM + _TIMED, shuffle=False, verbose=0, callbacks=[clock])
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    epoch = float(np.median(np.diff(ends[_WARM - 1 :]))) * steps * (1 + _FORWARD * held_out)
    left = 60 * settings.minutes - (perf_counter() - started)
    epochs = int(np.clip(left // epoch, 1, settings.epochs))
    return Plan(epochs, settings.epochs, settings.minutes, epoch)
