"""Fitting: the input pipeline, the schedule, the history and what it says."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter

import keras
import numpy as np
import tensorflow as tf

from helpers.errors import DivergedError
from helpers.model import cpu_speed
from helpers.obtain.data import Dataset
from helpers.scrub import augment


def batches(
    dataset: Dataset,
    batch_size: int,
    *,
    seed: int,
    policy: "augment.AugmentationPolicy | None" = None,
    first_epoch: int = 0,
    erasing_epochs: int | None = None,
    change: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
) -> tuple[tf.data.Dataset, int]:
    """Return training batches epoch after epoch without end, and how many make an epoch.

    `uint8` in memory, shuffled, batched, then augmented as a batch. Order and augmentation of an epoch depend on the
    seed and the epoch's number alone, so that a training that was killed goes on with the batches that it would have
    seen.

    Args:
        dataset: the training part.
        batch_size: images in a batch; the last of an epoch may be smaller.
        seed: of the order and of the augmentation.
        policy: how to augment; None for not at all.
        first_epoch: the number of the epoch to begin with, from 0.
        erasing_epochs: how many epochs have the policy's erasing; None for all.
        change: what else to do with the images of a batch, `float32`; it is told their rows in the data set and the
            number of the step, all in graph mode.
    """
    steps = -(-len(dataset) // batch_size)
    last_erasing_step = None if erasing_epochs is None else erasing_epochs * steps
    kinds = (tf.as_dtype(dataset.images.dtype), tf.as_dtype(dataset.labels.dtype))

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(dataset)), seed=tf.stack([seed, number])
        )
        numbers = tf.data.Dataset.range(number * steps, (number + 1) * steps)
        return tf.data.Dataset.zip(tf.data.Dataset.from_tensor_slices(order).batch(batch_size), numbers)

    def gather(rows: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, ...]:
        # by NumPy, which reads the arrays where they are: as tensors they would lie in memory three times
        chosen, labels = tf.numpy_function(
            lambda taken: (dataset.images[taken], dataset.labels[taken]), [rows], kinds, stateful=False
        )
        chosen.set_shape((None, *dataset.images.shape[1:]))
        labels.set_shape((None,))
        return chosen, labels, rows, step

    def finish(
        chosen: tf.Tensor, labels: tf.Tensor, rows: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if policy is not None:
            draw = tf.stack([tf.constant(seed, tf.int64), step])
            chosen = _augmented(chosen, draw, policy, last_erasing_step)
        chosen = tf.cast(chosen, tf.float32)
        return chosen if change is None else change(chosen, rows, step), labels

    pairs = tf.data.Dataset.range(first_epoch, 2**31 - 1).flat_map(epoch)
    found = pairs.map(gather).map(finish, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return found.prefetch(2), steps


def _augmented(
    images: tf.Tensor, draw: tf.Tensor, policy: "augment.AugmentationPolicy", last_erasing_step: int | None
) -> tf.Tensor:
    """Augment a batch; `draw` is the seed and the number of the step."""
    if last_erasing_step is None:
        return augment.augment_batch(images, draw, policy)
    return tf.cond(
        draw[1] < last_erasing_step,
        lambda: augment.augment_batch(images, draw, policy),
        lambda: augment.augment_batch(images, draw, replace(policy, erase_probability=0.0)),
    )


def one_hot(num_classes: int) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Return what turns images and labels of a batch into `float32` images and one-hot targets."""
    return lambda images, labels: (tf.cast(images, tf.float32), tf.one_hot(labels, num_classes))


def held_out(validation: Dataset, batch_size: int = 256) -> tf.data.Dataset:
    """Return validation batches in order: `float32` images and one-hot targets."""
    rows = tf.data.Dataset.from_tensor_slices((validation.images, validation.labels)).batch(batch_size)
    return rows.map(one_hot(validation.num_classes)).prefetch(2)


def one_cycle(
    peak: float, steps: int, warmup_fraction: float = 0.2
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return a schedule that warms up linearly from a tenth of `peak` and falls to zero along a cosine.

    Source: L. N. Smith and N. Topin (2018), "Super-convergence", with the cosine of Loshchilov and Hutter (2017).
    """
    warmup = max(1, round(steps * warmup_fraction))
    return keras.optimizers.schedules.CosineDecay(
        peak / 10, max(1, steps - warmup), warmup_target=peak, warmup_steps=warmup
    )


def triangular(
    peak: float, steps: int, warmup_fraction: float = 0.2
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return a schedule that rises linearly from a tenth of `peak` and falls linearly to zero.

    Source: L. N. Smith (2017), "Cyclical learning rates for training neural networks", one triangle.
    """
    warmup = max(1, round(steps * warmup_fraction))
    return _Triangle(peak, warmup, max(warmup + 1, steps))


@keras.saving.register_keras_serializable(package="helpers")
class _Triangle(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, peak: float, warmup: int, steps: int) -> None:
        self.peak, self.warmup, self.steps = peak, warmup, steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        rising = 0.1 + 0.9 * step / self.warmup
        falling = (self.steps - step) / (self.steps - self.warmup)
        return self.peak * tf.maximum(tf.minimum(rising, falling), 0.0)

    def get_config(self) -> dict[str, float]:
        return {"peak": self.peak, "warmup": self.warmup, "steps": self.steps}


@dataclass(frozen=True)
class Fit:
    """What a training left.

    Attributes:
        history: `{"loss": […], "accuracy": […], "val_loss": […], "val_accuracy": […]}`, one value an epoch.
        seconds: wall-clock seconds of the training.
        probabilities: of the validation images after the last epoch, `float32 [N, K]`, where the training kept them.
    """

    history: dict[str, list[float]]
    seconds: float
    probabilities: np.ndarray | None = None


def fit(
    model: keras.Model,
    train: Dataset,
    validation: Dataset,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    policy: "augment.AugmentationPolicy | None" = None,
) -> Fit:
    """Train a model from raw pixels with Adam on the one-cycle schedule, in place.

    Raises:
        DivergedError: the loss became NaN or infinite.
    """
    rows, steps = batches(train, batch_size, seed=seed, policy=policy)
    trainer = cpu_speed.trainer_of(model, running=True)
    trainer.compile(
        optimizer=keras.optimizers.Adam(one_cycle(learning_rate, epochs * steps)),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    started = perf_counter()
    build_optimizer(trainer)
    history = trainer.fit(
        rows.map(one_hot(train.num_classes)),
        steps_per_epoch=steps,
        validation_data=held_out(validation),
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[keras.callbacks.TerminateOnNaN()],
    ).history
    return finished(history, perf_counter() - started)


def build_optimizer(model: keras.Model) -> None:
    """Make the variables of a compiled model's optimizer now.

    Left to the first step, they are made while it is traced, and TensorFlow traces it a second time: seconds for a deep
    network.
    """
    model.optimizer.build(model.trainable_variables)


def finished(history: dict[str, list[float]], seconds: float) -> Fit:
    """Return what a training left.

    Args:
        history: as Keras leaves it.
        seconds: wall-clock seconds of the training.

    Raises:
        DivergedError: the loss became NaN or infinite.
    """
    if not np.all(np.isfinite(history["loss"])):
        raise DivergedError(
            "The training diverged: its loss is not finite.", "choose a smaller learning_rate"
        )
    return Fit({name: [float(value) for value in values] for name, values in history.items()}, seconds)


def predict(model: keras.Model, images: np.ndarray, batch_size: int = 512) -> np.ndarray:
    """Return probabilities, `float32 [N, K]`, for raw images, `uint8 [N, H, W, C]`."""
    rows = tf.data.Dataset.from_tensor_slices(images).batch(batch_size)
    rows = rows.map(lambda chosen: tf.cast(chosen, tf.float32))
    return model.predict(rows, verbose=0)


def predictor(model: keras.Model, batch_size: int = 512) -> Callable[[np.ndarray], np.ndarray]:
    """Return what predicts images, `uint8 [N, H, W, C]`, with a model as it is at the call, and compiles only once."""
    signature = [tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.uint8)]
    forward = tf.function(
        lambda images: model(tf.cast(images, tf.float32), training=False), input_signature=signature
    )

    def predict_images(images: np.ndarray) -> np.ndarray:
        starts = range(0, len(images), batch_size)
        return np.concatenate([np.asarray(forward(images[start : start + batch_size])) for start in starts])

    return predict_images


class Judge:
    """Predicts the validation images with a network as it is, time and again, and compiles only once.

    Args:
        model: from raw pixels to probabilities.
        validation: the validation part.
        label_smoothing: of the loss.
    """

    def __init__(self, model: keras.Model, validation: Dataset, label_smoothing: float) -> None:
        self.validation, self.label_smoothing = validation, label_smoothing
        self._predict = predictor(model)
        self.probabilities = np.zeros((0, validation.num_classes), np.float32)

    def __call__(self) -> dict[str, float]:
        """Predict, keep the probabilities, `float32 [N, K]`, and return `val_loss` and `val_accuracy`."""
        labels = self.validation.labels
        self.probabilities = self._predict(self.validation.images)
        logs = np.log(np.clip(self.probabilities, 1e-7, 1.0))
        right = logs[np.arange(len(labels)), labels]
        loss = -(1 - self.label_smoothing) * right - self.label_smoothing * logs.mean(axis=1)
        accuracy = np.mean(self.probabilities.argmax(axis=1) == labels)
        return {"val_loss": float(loss.mean()), "val_accuracy": float(accuracy)}


_CLEARLY_HIGHER = 1.02  # times its lowest value, before the loss is said to have risen


def diagnose(history: dict[str, list[float]]) -> str:
    """Say in words what the learning curves show, from the numbers alone."""
    # Keras's are of single precision, whose last digits could round to another tenth than what else says the same accuracy
    shown, held_out = (round(100 * round(history[name][-1], 6), 1) for name in ("accuracy", "val_accuracy"))
    gap = (shown - held_out) / 100  # of the rounded numbers, so that it agrees with what is said
    losses, best = history["val_loss"], int(np.argmin(history["val_loss"]))
    epochs = len(losses)
    last_gain = history["val_accuracy"][-1] - history["val_accuracy"][max(epochs - 3, 0)]
    if epochs == 1:
        verdict = "too short to tell bias from variance: one epoch"
    elif losses[-1] > _CLEARLY_HIGHER * losses[best] and gap > 0.02:
        verdict = f"overfitting: validation loss was lowest after epoch {best + 1} and rose since"
    elif gap > 0.04:
        verdict = "high variance: training accuracy is well above validation accuracy"
    elif last_gain > 0.003:
        verdict = "still improving in its last epochs: a longer schedule may help"
    elif gap < -0.03:
        verdict = "high bias: with dropout and augmentation the model does not yet fit its training images"
    else:
        verdict = "no overfitting to see: the curves are flat and close"
    return (
        f"{verdict} (last epoch: training accuracy {shown:.1f}%, validation {held_out:.1f}%, a difference of "
        f"{100 * gap:+z.1f} points)"
    )
