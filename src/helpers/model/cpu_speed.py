"""Faster training steps on CPUs that compute the same function: fused batch normalisation, bfloat16."""

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
    """Replaces a batch normalisation during training, with one operation instead of ten.

    It shares the layer's offset and scale; `weight_averaging.NormStatistics` computes the layer's running statistics.

    Args:
        norm: the replaced layer, of feature maps `[N, H, W, C]`.
    """

    def __init__(self, norm: keras.layers.BatchNormalization) -> None:
        super().__init__(name=f"{norm.name}_fused")
        self.norm = norm
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        """Normalise a batch by its own mean and variance, then scale and shift it."""
        scale, offset = self.norm.gamma.value, self.norm.beta.value
        return tf.compat.v1.nn.fused_batch_norm(inputs, scale, offset, epsilon=self.norm.epsilon)[0]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the inputs."""
        return input_shape


class Trainer(keras.Model):
    """Trains a network whose weights it shares; created with `trainer_of`.

    Saving it saves that network, which has only Keras's own layers and no optimizer of this package.
    """

    network: keras.Model

    def save(self, filepath: str | Path, overwrite: bool = True, **options: Any) -> None:
        """Save the network."""
        self.network.save(filepath, overwrite=overwrite, **options)

    def save_weights(self, filepath: str | Path, overwrite: bool = True, **options: Any) -> None:
        """Save the network's weights."""
        self.network.save_weights(filepath, overwrite=overwrite, **options)


def trainer_of(network: keras.Model) -> Trainer:
    """Return the model to compile and fit in place of a network.

    Args:
        network: each layer is called once, and none is a model.
    """

    def replaced(layer: keras.layers.Layer) -> keras.layers.Layer:
        return FusedNorm(layer) if _can_be_fused(layer) else layer

    copy = keras.models.clone_model(network, clone_function=replaced)
    trainer = Trainer(copy.input, copy.output, name="trainer")
    trainer.network = network
    return trainer


def _can_be_fused(layer: keras.layers.Layer) -> bool:
    """Return whether a layer is an unfrozen batch normalisation of feature maps by channel, with scale and offset."""
    if not isinstance(layer, keras.layers.BatchNormalization) or not layer.trainable:
        return False
    return layer.scale and layer.center and len(layer.input.shape) == 4 and layer.axis in (-1, 3)


def bfloat16_is_native() -> bool:
    """Return whether this processor has bfloat16 instructions; False where Linux does not report it."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


@contextlib.contextmanager
def bfloat16(on: bool) -> Iterator[None]:
    """Switch oneDNN's convolutions to bfloat16 with float32 accumulation, or back; weights stay float32.

    Matrix products stay in float32, as Muon's need the precision. The setting applies to functions called inside,
    whatever it was before. It has no effect where the processor or TensorFlow does not support it.
    """
    before = tf.config.optimizer.get_experimental_options().get(_REWRITE, False)
    os.environ.setdefault(_EXCEPT, "MatMul")
    tf.config.optimizer.set_experimental_options({_REWRITE: on})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({_REWRITE: before})
