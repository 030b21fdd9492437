"""Class-activation maps that cost nothing: where the evidence of a network's last feature map lies, class by class.

B. Zhou et al. (2016), "Learning Deep Features for Discriminative Localization", for networks that end in a global average;
for a global maximum each channel speaks at the place of its maximum, so that here, too, a map adds up to the class's logit.
"""

from collections.abc import Callable

import keras
import tensorflow as tf
from keras import layers

from helpers.model import layer_hooks


def has_maps(model: keras.Model) -> bool:
    """Tell whether a model ends in global pooling and one dense layer, so that its maps can be read off."""
    return _end(model) is not None


def forward(model: keras.Model) -> Callable[[tf.Tensor], tuple[tf.Tensor, ...]]:
    """Return a function from images to probabilities, `float32 [N, K]`, and, where `has_maps`, maps `float32 [N, h, w, K]`.

    Over its places, the map of a class adds up to the class's logit less its bias. Where a model averages views, maps are of
    the image as it is.
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
    """Return the global pooling and the classifier that a model ends in; None where there is more between them."""
    flat = layer_hooks.flat_layers(model)
    classes = model.outputs[0].shape[-1]
    dense = [place for place, layer in enumerate(flat) if isinstance(layer, layers.Dense)]
    if not dense or flat[dense[-1]].units != classes:
        return None
    before = [layer for layer in flat[: dense[-1]] if not isinstance(layer, layers.Dropout)]
    pooling = (layers.GlobalMaxPooling2D, layers.GlobalAveragePooling2D)
    return (before[-1], flat[dense[-1]]) if before and isinstance(before[-1], pooling) else None


def _maps(features: tf.Tensor, pool: layers.Layer, kernel: tf.Tensor) -> tf.Tensor:
    if isinstance(pool, layers.GlobalMaxPooling2D):
        highest = tf.reduce_max(features, axis=(1, 2), keepdims=True)
        there = tf.cast(tf.greater_equal(features, highest), features.dtype)
        shares = features * there / tf.reduce_sum(there, axis=(1, 2), keepdims=True)
    else:
        places = tf.cast(tf.shape(features)[1] * tf.shape(features)[2], features.dtype)
        shares = features / places
    return tf.nn.conv2d(shares, tf.convert_to_tensor(kernel)[tf.newaxis, tf.newaxis], 1, "VALID")
