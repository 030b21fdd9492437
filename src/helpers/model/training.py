"""Training: the input pipeline, learning-rate schedules, fitting and prediction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from keras.optimizers.schedules import CosineDecay, LearningRateSchedule

from helpers.errors import DivergedError
from helpers.model import cpu_speed
from helpers.model.weight_averaging import AveragedWeights, NormStatistics
from helpers.obtain.data import Dataset
from helpers.scrub import augment

if TYPE_CHECKING:
    from helpers.obtain.images.from_disk import DiskImages


def batches(
    dataset: Dataset,
    batch_size: int,
    *,
    seed: int,
    policy: augment.AugmentationPolicy | None = None,
    first_epoch: int = 0,
    erasing_epochs: int | None = None,
    change: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
    chances: np.ndarray | None = None,
    finish: Callable[..., tuple[tf.Tensor, ...]] | None = None,
) -> tuple[tf.data.Dataset, int]:
    """Return an endless stream of training batches, and the number of batches in an epoch.

    Images stay `uint8`, in memory or on disk; they are shuffled, batched, then augmented as a batch. The order and the augmentation
    of an epoch depend only on the seed and on the epoch's number, so a resumed training sees the same batches.

    Args:
        dataset: the training part.
        batch_size: images in a batch; the last batch of an epoch may be smaller.
        seed: of the order and of the augmentation.
        policy: how to augment; None for no augmentation.
        first_epoch: the number of the epoch to begin with, from 0.
        erasing_epochs: number of epochs in which the policy's erasing is active; None for all.
        change: an additional transformation of the `float32` images of a batch. It also receives their row numbers in
            the data set and the number of the step; it runs in graph mode.
        chances: chance of each image to be drawn, `[N] float64`; None for each image once in an epoch.
        finish: returns the batch from its images, labels, row numbers and step; None for images and labels.
    """
    steps = -(-len(dataset) // batch_size)
    last_erasing_step = None if erasing_epochs is None else erasing_epochs * steps

    def order(number: tf.Tensor) -> tf.data.Dataset:
        draw = tf.stack([seed, number])
        rows = tf.range(len(dataset)) if chances is None else _drawn(chances, draw)
        shuffled = tf.random.experimental.stateless_shuffle(rows, seed=draw)
        numbers = tf.data.Dataset.range(number * steps, (number + 1) * steps)
        return tf.data.Dataset.zip(tf.data.Dataset.from_tensor_slices(shuffled).batch(batch_size), numbers)

    def prepare(
        images: tf.Tensor, labels: tf.Tensor, rows: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        if policy is not None:
            draw = tf.stack([tf.constant(seed, tf.int64), step])
            images = _augmented(images, draw, policy, last_erasing_step)
        images = tf.cast(images, tf.float32)
        images = images if change is None else change(images, rows, step)
        return (images, labels) if finish is None else finish(images, labels, rows, step)

    drawn = tf.data.Dataset.range(first_epoch, 2**31 - 1).flat_map(order)
    drawn = drawn.map(lambda rows, step: (*_read(rows, dataset.images, dataset.labels), rows, step))
    return drawn.map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(2), steps


def _drawn(chances: np.ndarray, draw: tf.Tensor) -> tf.Tensor:
    """Return as many rows as there are chances, each as often as its chance says, rounded up or down at random.

    Source: systematic sampling; W. G. Madow (1949), "On the theory of systematic sampling, II".
    """
    n, ends = len(chances), np.cumsum(chances) / np.sum(chances)
    places = (tf.range(n, dtype=tf.float64) + tf.random.stateless_uniform([], draw, dtype=tf.float64)) / n
    return tf.minimum(tf.searchsorted(tf.constant(ends), places), n - 1)


def _read(rows: tf.Tensor, *arrays: "np.ndarray | DiskImages") -> list[tf.Tensor]:
    """Return some rows of arrays, read by NumPy: as tensors, the arrays would lie in memory three times."""
    kinds = [tf.as_dtype(array.dtype) for array in arrays]
    read = tf.numpy_function(lambda some: [array[some] for array in arrays], [rows], kinds, stateful=False)
    for values, array in zip(read, arrays, strict=True):
        values.set_shape((None, *array.shape[1:]))
    return read


def _augmented(
    images: tf.Tensor, draw: tf.Tensor, policy: augment.AugmentationPolicy, last_erasing_step: int | None
) -> tf.Tensor:
    """Augment a batch; `draw` holds the seed and the number of the step."""
    if last_erasing_step is None:
        return augment.augment_batch(images, draw, policy)
    return tf.cond(
        draw[1] < last_erasing_step,
        lambda: augment.augment_batch(images, draw, policy),
        lambda: augment.augment_batch(images, draw, replace(policy, erase_probability=0.0)),
    )


def one_hot(num_classes: int) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Return a function from the images and labels of a batch to `float32` images and one-hot targets."""
    return lambda images, labels: (tf.cast(images, tf.float32), tf.one_hot(labels, num_classes))


def batch_size_for(image_shape: tuple[int, ...], most: int = 512) -> int:
    """Return how many images a network without gradients takes at a time: `most` up to 64 px, and fewer larger ones.

    The feature maps of `most` images of 224 px would take several GB.
    """
    return max(1, min(most, most * 64**2 // (image_shape[0] * image_shape[1])))


def one_cycle(peak: float, steps: int, warmup_fraction: float = 0.2) -> LearningRateSchedule:
    """Return a schedule that rises linearly from a tenth of `peak` to `peak`, then falls to zero along a cosine.

    Source: L. N. Smith and N. Topin (2018), "Super-convergence", with the cosine of Loshchilov and Hutter (2017).
    """
    warmup = max(1, round(steps * warmup_fraction))
    return CosineDecay(peak / 10, max(1, steps - warmup), warmup_target=peak, warmup_steps=warmup)


@dataclass(frozen=True)
class Fit:
    """The result of a training.

    Attributes:
        history: `{"loss": […], "accuracy": […], "val_loss": […], "val_accuracy": […]}`, one value per epoch.
        seconds: wall-clock seconds of the training.
        probabilities: of the validation images after the last epoch, `float32 [N, K]`; None where they were not stored.
    """

    history: dict[str, list[float]]
    seconds: float
    probabilities: np.ndarray | None = None


def fit(
    trainer: cpu_speed.Trainer,
    train: Dataset,
    validation: Dataset,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    policy: augment.AugmentationPolicy | None = None,
) -> Fit:
    """Train the network of a compiled trainer on raw pixels, in place.

    Each epoch ends with the batch-norm statistics that belong to its weights, and is scored with them.

    Raises:
        DivergedError: the loss became NaN or infinite.

    Example:
        `training.fit(trainer, train, validation, epochs=4, batch_size=128, seed=0)`
    """
    rows, steps = batches(train, batch_size, seed=seed, policy=policy)
    statistics = NormStatistics(trainer.network, train.images, batch_size)
    return fit_compiled(
        trainer,
        rows.map(one_hot(train.num_classes)),
        steps_per_epoch=steps,
        epochs=epochs,
        shuffle=False,
        callbacks=[AveragedWeights(0.0, statistics, ValidationScorer(trainer.network, validation))],
    )


def fit_compiled(
    model: keras.Model, rows: Any, *, callbacks: Sequence[keras.callbacks.Callback] = (), **options: Any
) -> Fit:
    """Train a compiled model in place, and stop if its loss diverges.

    Args:
        model: compiled.
        rows: as for `keras.Model.fit`.
        callbacks: called before the loss is checked.
        **options: of `keras.Model.fit`.

    Raises:
        DivergedError: the loss became NaN or infinite.
    """
    started = perf_counter()
    build_optimizer(model)
    watching = [*callbacks, keras.callbacks.TerminateOnNaN()]
    history = model.fit(rows, verbose=0, callbacks=watching, **options).history
    return check_fit(history, perf_counter() - started)


def build_optimizer(model: keras.Model) -> None:
    """Create the variables of a compiled model's optimizer before the first step.

    Otherwise they are created while the first step is traced, and TensorFlow traces it again, which takes seconds for a
    deep network.
    """
    model.optimizer.build(model.trainable_variables)


def check_fit(history: dict[str, list[float]], seconds: float) -> Fit:
    """Return the result of a training that did not diverge.

    Args:
        history: of Keras.
        seconds: wall-clock seconds of the training.

    Raises:
        DivergedError: the loss became NaN or infinite.
    """
    if not np.all(np.isfinite([*history["loss"], *history.get("val_loss", ())])):
        raise DivergedError("The training diverged: its loss is not finite.", "set a smaller learning_rate")
    return Fit({name: [float(value) for value in values] for name, values in history.items()}, seconds)


def predict(model: keras.Model, images: "np.ndarray | DiskImages", batch_size: int = 512) -> np.ndarray:
    """Return the probabilities, `float32 [N, K]`, of raw images, `uint8 [N, H, W, C]`, fewer at a time if they are large.

    Example:
        `probabilities = training.predict(model, validation.images)`
    """
    rows = tf.data.Dataset.range(len(images)).batch(batch_size_for(images.shape[1:], batch_size))
    return model.predict(rows.map(lambda chosen: tf.cast(_read(chosen, images)[0], tf.float32)), verbose=0)


def predictor(model: keras.Model, batch_size: int = 512) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that predicts images, `uint8 [N, H, W, C]`, with the model's current weights; compiled once."""
    signature = [tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.uint8)]
    forward = tf.function(lambda images: model(tf.cast(images, tf.float32), training=False), signature)

    def predict_images(images: "np.ndarray | DiskImages") -> np.ndarray:
        step = batch_size_for(images.shape[1:], batch_size)
        starts = range(0, len(images), step)
        return np.concatenate([np.asarray(forward(images[start : start + step])) for start in starts])

    return predict_images


class ValidationScorer:
    """Scores the validation images with a network's current weights, again and again; compiled once.

    Args:
        model: from raw pixels to probabilities.
        validation: the validation part.
        label_smoothing: of the loss.
    """

    def __init__(self, model: keras.Model, validation: Dataset, label_smoothing: float = 0.0) -> None:
        self.validation, self.label_smoothing = validation, label_smoothing
        self._predict = predictor(model)
        self.probabilities = np.zeros((0, validation.num_classes), np.float32)

    def __call__(self) -> dict[str, float]:
        """Predict, store the probabilities, `float32 [N, K]`, and return `val_loss` and `val_accuracy`."""
        labels = self.validation.labels
        self.probabilities = self._predict(self.validation.images)
        logs = np.log(np.clip(self.probabilities, 1e-7, 1.0))
        of_label = logs[np.arange(len(labels)), labels]
        loss = -(1 - self.label_smoothing) * of_label - self.label_smoothing * logs.mean(axis=1)
        accuracy = np.mean(self.probabilities.argmax(axis=1) == labels)
        return {"val_loss": float(loss.mean()), "val_accuracy": float(accuracy)}
