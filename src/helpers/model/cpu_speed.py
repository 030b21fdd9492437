"""What makes a training step on a CPU cheaper without changing what it computes: fused batch norm, bfloat16."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

_REWRITE = "auto_mixed_precision_onednn_bfloat16"
_EXCEPT = "TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_ALLOWLIST_REMOVE"  # read by TensorFlow at each rewrite


class FusedNorm(keras.layers.Layer):
    """A batch normalisation as it is while training, in one operation instead of ten.

    It has the layer's own offset and scale.

    Args:
        norm: the layer that it stands for, of feature maps `[N, H, W, C]`.
        running: whether it keeps the layer's running statistics, too, and is that layer where nothing trains; otherwise
            `averaging.NormStatistics` makes them.
    """

    def __init__(self, norm: keras.layers.BatchNormalization, *, running: bool = False) -> None:
        super().__init__(name=f"{norm.name}_fused")
        self.norm, self.running = norm, running
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        """Normalise a batch by its own mean and variance, then scale and move it."""
        if self.running and not training:
            return self.norm(inputs, training=False)
        scale, offset = self.norm.gamma.value, self.norm.beta.value
        normalised, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, scale, offset, epsilon=self.norm.epsilon
        )
        if self.running:
            self._keep(mean, variance, tf.size(inputs) // tf.size(mean))
        return normalised

    def _keep(self, mean: tf.Tensor, variance: tf.Tensor, values: tf.Tensor) -> None:
        """Move the running statistics towards a batch's, as Keras does: by the variance of the values themselves.

        Args:
            mean: of each channel, `float32 [C]`.
            variance: likewise, of the population that the values are drawn from: the operation divides by one less.
            values: of each channel.
        """
        biased = variance * (tf.cast(values, tf.float32) - 1.0) / tf.cast(values, tf.float32)
        for kept, found in ((self.norm.moving_mean, mean), (self.norm.moving_variance, biased)):
            kept.assign(kept.value * self.norm.momentum + found * (1.0 - self.norm.momentum))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the inputs."""
        return input_shape


class Trainer(keras.Model):
    """A network as it trains; it shares all weights with the network that it is made from by `trainer_of`.

    Saved, it is that network: of Keras's own layers, without this package's optimizers.
    """

    network: keras.Model

    def save(self, filepath: str | Path, overwrite: bool = True, **options: Any) -> None:
        """Save the network."""
        self.network.save(filepath, overwrite=overwrite, **options)

    def save_weights(self, filepath: str | Path, overwrite: bool = True, **options: Any) -> None:
        """Save the network's weights."""
        self.network.save_weights(filepath, overwrite=overwrite, **options)


def trainer_of(network: keras.Model, *, running: bool = False) -> Trainer:
    """Return what is compiled and fitted in the network's place.

    Args:
        network: of layers called once, without models as layers.
        running: whether batch normalisations keep running statistics while they train; as for `FusedNorm`.
    """

    def replaced(layer: keras.layers.Layer) -> keras.layers.Layer:
        return FusedNorm(layer, running=running) if _can_be_fused(layer) else layer

    copy = keras.models.clone_model(network, clone_function=replaced)
    trainer = Trainer(copy.input, copy.output, name="trainer")
    trainer.network = network
    return trainer


def _can_be_fused(layer: keras.layers.Layer) -> bool:
    """Tell whether a layer is a batch normalisation of feature maps by channel, with scale and offset, not frozen."""
    if not isinstance(layer, keras.layers.BatchNormalization) or not layer.trainable:
        return False
    return layer.scale and layer.center and len(layer.input.shape) == 4 and layer.axis in (-1, 3)


def bfloat16_is_native() -> bool:
    """Return whether this processor multiplies bfloat16 numbers itself; where Linux does not say, False."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


@contextlib.contextmanager
def bfloat16(on: bool) -> Iterator[None]:
    """Have oneDNN do convolutions in bfloat16 and add up in float32, or not; weights stay float32.

    Matrix products stay as they are: Muon's, of kernels by themselves, need the digits. Functions called inside run so,
    whatever they were before. Without effect on processors and systems whose TensorFlow cannot.
    """
    before = tf.config.optimizer.get_experimental_options().get(_REWRITE, False)
    os.environ.setdefault(_EXCEPT, "MatMul")
    tf.config.optimizer.set_experimental_options({_REWRITE: on})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({_REWRITE: before})
