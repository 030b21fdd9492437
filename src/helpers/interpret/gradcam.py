"""Grad-CAM and Grad-CAM++ for any Keras model from raw pixels to probabilities."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from helpers.errors import OsemnError, nearest
from helpers.model import layer_hooks, training

METHODS = ("grad_cam", "grad_cam_plus_plus")
SMALLEST_MAP = 4  # positions a side; a coarser map cannot distinguish the centre of an image from its edge
_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D, layers.Conv2DTranspose)


@dataclass(frozen=True)
class Maps:
    """Class-activation maps of a batch.

    Attributes:
        maps: `float32 [N, H, W]`, 0–1, at the size of the images; all zero if nothing in the layer supports the class.
        weights: `float32 [N, C]`, how strongly each channel of the layer supports the class.
        classes: `[N] int64`, the explained classes.
        layer: name of the explained layer.
    """

    maps: np.ndarray
    weights: np.ndarray
    classes: np.ndarray
    layer: str


def target_layer(model: keras.Model, name: str = "") -> keras.layers.Layer:
    """Return the layer to explain: the named one, or the end of the last convolutional block with a useful resolution.

    A block ends with the last layer whose feature map has the shape of its convolution's, so it includes batch norm,
    activation and shortcut. Blocks with fewer than `SMALLEST_MAP` positions a side are skipped if an earlier one has more:
    a backbone that halves its images five times turns 64 pixels into 2 positions.

    Args:
        model: sequential, functional, or with nested models.
        name: of a layer with feature maps `[N, h, w, C]`; by default it is chosen as described.

    Raises:
        OsemnError: the model has no convolutional layer, or no layer of that name.
    """
    flat = layer_hooks.flat_layers(model)
    maps = {layer.name: layer for layer in flat if len(layer_hooks.shape_of(layer)) == 4}
    if name:
        if name not in maps:
            raise OsemnError(f"There is no layer '{name}' with feature maps.", nearest(name, maps))
        return maps[name]
    convolutions = [layer for layer in flat if isinstance(layer, _CONVOLUTIONS)]
    if not convolutions:
        raise OsemnError(
            f"The model '{model.name}' has no convolutional layer, so Grad-CAM cannot explain it.",
            "choose a candidate with convolutions",
        )
    shapes = [layer_hooks.shape_of(layer) for layer in convolutions]
    fine = [shape for shape in shapes if all(size is None or size >= SMALLEST_MAP for size in shape[1:3])]
    shape = (fine or shapes)[-1]
    return [layer for layer in maps.values() if layer_hooks.shape_of(layer) == shape][-1]


class GradCam:
    """Generate class-activation maps with one model, a batch in one pass.

    The gradient is that of the class's logit, so a softmax at the model's end is skipped. If a model uses a layer several
    times (averaged views), the first use counts: that of the unchanged image.

    Source: R. R. Selvaraju et al. (2017), "Grad-CAM"; A. Chattopadhay et al. (2018), "Grad-CAM++", with the closed form of
    the weights for an exponential of the logit.

    Args:
        model: from raw pixels, `float32 [N, H, W, C]`, to probabilities, `float32 [N, K]`.
        layer: as for `target_layer`.
        method: "grad_cam" or "grad_cam_plus_plus".

    Raises:
        OsemnError: the method is unknown, or as for `target_layer`.
    """

    def __init__(self, model: keras.Model, layer: str = "", method: str = "grad_cam") -> None:
        if method not in METHODS:
            raise OsemnError(f"There is no method '{method}'.", nearest(method, METHODS))
        self.model, self.method = model, method
        self.target = target_layer(model, layer)
        self.num_classes = int(model.outputs[0].shape[-1])
        image = tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.float32)
        self._call = tf.function(self._maps, input_signature=[image, tf.TensorSpec((None,), tf.int64)])

    def __call__(
        self, images: np.ndarray, classes: np.ndarray | None = None, *, batch_size: int = 256
    ) -> Maps:
        """Return the maps of images.

        Args:
            images: `[N, H, W, C]`, raw pixels.
            classes: `[N] int64`, the class to explain for each image; by default the predicted one.
            batch_size: images in a pass, at most.

        Raises:
            OsemnError: a class does not exist, or the number of classes differs from that of the images.
        """
        wanted = np.full(len(images), -1) if classes is None else np.asarray(classes)
        exist = classes is None or np.isin(wanted, range(self.num_classes)).all()
        if wanted.shape != (len(images),) or not exist:
            raise OsemnError(
                f"Classes {list(wanted.shape)} for {len(images)} images and {self.num_classes} classes.",
                "give one class for each image, counted from 0",
            )
        pieces, step = [], training.batch_size_for(images.shape[1:], batch_size)
        for start in range(0, len(images), step):
            rows = slice(start, start + step)
            pieces.append(self._call(tf.cast(images[rows], tf.float32), tf.cast(wanted[rows], tf.int64)))
        maps, weights, chosen = map(np.concatenate, zip(*pieces, strict=True))
        return Maps(maps, weights, chosen, self.target.name)

    def _maps(self, images: tf.Tensor, classes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            with taped(self.model, self.target, tape) as features:
                logits = self.model(images, training=False)
            chosen = tf.where(classes < 0, tf.argmax(logits, axis=1), classes)
            score = tf.gather(logits, chosen, batch_dims=1)
        gradient = tape.gradient(score, features[0])
        weights = _WEIGHTS[self.method](features[0], gradient)
        raw = tf.nn.relu(tf.einsum("nhwc,nc->nhw", features[0], weights))
        large = tf.image.resize(raw[..., None], tf.shape(images)[1:3])[..., 0]
        highest = tf.reduce_max(large, axis=(1, 2), keepdims=True)
        return tf.math.divide_no_nan(large, highest), weights, chosen


def _grad_cam_weights(features: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(gradient, axis=(1, 2))


def _grad_cam_plus_plus_weights(features: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
    squared = gradient**2
    total = tf.reduce_sum(features, axis=(1, 2), keepdims=True)
    alpha = tf.math.divide_no_nan(squared, 2.0 * squared + total * gradient * squared)
    return tf.reduce_sum(alpha * tf.nn.relu(gradient), axis=(1, 2))


_WEIGHTS = {"grad_cam": _grad_cam_weights, "grad_cam_plus_plus": _grad_cam_plus_plus_weights}


@contextlib.contextmanager
def taped(model: keras.Model, layer: keras.layers.Layer, tape: tf.GradientTape) -> Iterator[list[tf.Tensor]]:
    """Let calls of a model within a `with` block return logits, and a tape watch the feature maps of one of its layers.

    The softmax of the layers that output the model's probabilities is skipped.

    Args:
        model: from raw pixels to probabilities.
        layer: from `target_layer`.
        tape: the open tape that records the call.

    Yields:
        The layer's outputs, `float32 [N, h, w, C]`, one for each time that a call uses the layer.

    Example:
        `with gradcam.taped(model, gradcam.target_layer(model), tape) as features: …`
    """
    classes = model.outputs[0].shape[-1]
    features: list[tf.Tensor] = []

    def watch(_: tf.Tensor, output: tf.Tensor) -> None:
        tape.watch(output)
        features.append(output)

    with contextlib.ExitStack() as stack:
        stack.enter_context(layer_hooks.watched(layer, watch))
        for layer in layer_hooks.flat_layers(model):
            if layer_hooks.shape_of(layer)[1:] != (classes,):
                continue
            if isinstance(layer, layers.Softmax):
                stack.enter_context(layer_hooks.replaced(layer, "call", lambda inputs, mask=None: inputs))
            elif getattr(layer, "activation", None) is keras.activations.softmax:
                stack.enter_context(layer_hooks.replaced(layer, "activation", keras.activations.linear))
        yield features
