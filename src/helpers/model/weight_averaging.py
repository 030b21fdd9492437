"""Exponential moving average of a network's weights during training, with matching batch-norm statistics."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from helpers.model import cpu_speed

SAMPLES = 2_048  # training images for the statistics; a few thousand are enough


class NormStatistics:
    """Recomputes the running statistics of a network's batch normalisations for its current weights.

    Keras's running averages belong to the weights of earlier steps, and after few steps still to their start at 0 and 1;
    those of averaged weights belong to none of these (Izmailov et al., 2018). Source: Y. Wu and J. Johnson (2021),
    "Rethinking 'Batch' in BatchNorm", precise batch normalisation.

    Args:
        model: with `BatchNormalization` layers.
        images: training images, `[N, H, W, C]`, or what else the network takes, `[N, F]`.
        batch_size: images in a pass; each pass is normalised by its own statistics, as in training.
        samples: number of rows that are drawn.
    """

    def __init__(
        self, model: keras.Model, images: np.ndarray, batch_size: int, samples: int = SAMPLES
    ) -> None:
        self.norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
        self.images = images
        # images of a folder are sorted by class, and a batch of one class has other statistics than those of training
        rows = np.random.default_rng(0).permutation(len(images))[:samples]
        self.batches = np.array_split(rows, -(-len(rows) // batch_size))
        if self.norms:
            probe = keras.Model(model.input, [norm.input for norm in self.norms])
            of_images = tf.TensorSpec((None, *images.shape[1:]), images.dtype)
            self._moments = tf.function(lambda batch: self._of_batch(probe, batch), [of_images])

    @staticmethod
    def _of_batch(probe: keras.Model, batch: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
        features = tf.nest.flatten(probe(tf.cast(batch, tf.float32), training=True))
        return [tf.nn.moments(x, list(range(len(x.shape) - 1))) for x in features]

    def recompute(self) -> None:
        """Set each layer's statistics to the mean and variance of its inputs over all images."""
        if not self.norms:
            return
        weights = np.array([len(rows) for rows in self.batches]) / sum(map(len, self.batches))
        moments = [self._moments(tf.constant(self.images[rows])) for rows in self.batches]  # compiled once
        for number, norm in enumerate(self.norms):
            means, variances = (np.array([batch[number][i] for batch in moments], np.float64) for i in (0, 1))
            mean = weights @ means
            norm.moving_mean.assign(mean)
            norm.moving_variance.assign(weights @ (variances + (means - mean) ** 2))


@contextlib.contextmanager
def averages(trainer: keras.Model) -> Iterator[None]:
    """Give a network, for a while, the averages of its weights that its optimizer keeps (`use_ema`), if it keeps any."""
    if not trainer.optimizer.use_ema:
        yield
        return
    trained = [variable.numpy() for variable in trainer.trainable_variables]
    trainer.optimizer.finalize_variable_values(trainer.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(trainer.trainable_variables, trained, strict=True):
            variable.assign(value)


class AveragedWeights(keras.callbacks.Callback):
    """Averages the trained weights step by step, and gives the network the average between epochs and at the end.

    List it before callbacks that use the network or `val_…` after an epoch, so that they see the averaged network.

    Args:
        decay: of the average per step; 0 for no average. It starts smaller, so that the first steps have little weight.
        statistics: of the same network; recomputed after every epoch, with and without an average.
        evaluate: returns the `val_…` metrics of the current network, which are added to the epoch's logs.
    """

    def __init__(
        self, decay: float, statistics: NormStatistics, evaluate: Callable[[], dict[str, float]]
    ) -> None:
        super().__init__()
        self.decay, self.statistics, self.evaluate = decay, statistics, evaluate
        self._step = 0
        self._trained: list[np.ndarray] | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Start the average from the current weights."""
        if self.decay:
            self._variables = [variable.value for variable in self.model.trainable_variables]
            self._averages = [tf.Variable(variable) for variable in self._variables]
            self._update = tf.function(self._add_step)

    def _add_step(self, decay: tf.Tensor) -> None:
        for average, variable in zip(self._averages, self._variables, strict=True):
            average.assign_sub((1.0 - decay) * (average - variable))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Add the weights of this step to the average."""
        if self.decay:
            self._step += 1
            self._update(tf.constant(min(self.decay, (1 + self._step) / (10 + self._step)), tf.float32))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Restore the weights that the network trains."""
        if self._trained is not None:
            self.model.set_weights(self._trained)
            self._trained = None

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Give the network the averaged weights, and evaluate it."""
        if self.decay:
            self._trained = self.model.get_weights()
            for average, variable in zip(self._averages, self._variables, strict=True):
                variable.assign(average)
        with cpu_speed.bfloat16(False):
            self.statistics.recompute()
            metrics = self.evaluate()
        if logs is not None:
            logs.update(metrics)
