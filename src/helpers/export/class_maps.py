"""Compute class-activation maps from a network's last feature map, at no extra cost.

B. Zhou et al. (2016), "Learning Deep Features for Discriminative Localization", for networks that end in global average
pooling. With global max pooling, each channel contributes at the position of its maximum, so the map of a class adds up to its
logit there too.
"""

from collections.abc import Callable

import keras
import tensorflow as tf
from keras import layers

from helpers.model import layer_hooks


def forward(model: keras.Model) -> Callable[[tf.Tensor], tuple[tf.Tensor, ...]]:
    """Return a function from images to probabilities, `float32 [N, K]`, and maps, `float32 [N, h, w, K]`.

    There are no maps if layers lie between the global pooling and the last dense layer. The values of a class's map add up to
    the class's logit minus its bias. If a model averages views, the maps belong to the unchanged image.
    """
    end = _end(model)

    def both(images: tf.Tensor) -> tuple[tf.Tensor, ...]:
        if end is None:
            return (model(images, training=False),)
        pool, classifier = end
        seen: list[tf.Tensor] = []
        with layer_hooks.watched(pool, lambda inputs, _: seen.append(inputs)):
            probabilities = model(images, training=False)
        return probabilities, _maps(seen[0], pool, classifier.kernel)

    return both


def _end(model: keras.Model) -> tuple[layers.Layer, layers.Dense] | None:
    """Return the global pooling layer and the classifier at the end of a model; None if other layers lie between them."""
    flat = layer_hooks.flat_layers(model)
    classes = model.outputs[0].shape[-1]
    dense = [index for index, layer in enumerate(flat) if isinstance(layer, layers.Dense)]
    if not dense or flat[dense[-1]].units != classes:
        return None
    before = [layer for layer in flat[: dense[-1]] if not isinstance(layer, layers.Dropout)]
    pooling = (layers.GlobalMaxPooling2D, layers.GlobalAveragePooling2D)
    return (before[-1], flat[dense[-1]]) if before and isinstance(before[-1], pooling) else None


def _maps(features: tf.Tensor, pool: layers.Layer, kernel: tf.Tensor) -> tf.Tensor:
    if isinstance(pool, layers.GlobalMaxPooling2D):
        highest = tf.reduce_max(features, axis=(1, 2), keepdims=True)
        at_maximum = tf.cast(tf.greater_equal(features, highest), features.dtype)
        parts = features * at_maximum / tf.reduce_sum(at_maximum, axis=(1, 2), keepdims=True)
    else:
        parts = features / tf.cast(tf.shape(features)[1] * tf.shape(features)[2], features.dtype)
    return tf.nn.conv2d(parts, tf.convert_to_tensor(kernel)[tf.newaxis, tf.newaxis], 1, "VALID")
