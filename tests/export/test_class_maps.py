"""Class-activation maps from the last feature map add up to the logits."""

import keras
import notebook_code
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from helpers.export import class_maps
from helpers.model import architectures

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 1)).astype(np.float32)


def averaging_cnn() -> keras.Model:
    inputs = keras.Input((16, 16, 1))
    x = layers.Conv2D(8, 3, activation="relu")(inputs)
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(x))


def residual_cnn(**options) -> keras.Model:
    return architectures.residual_cnn(
        (16, 16, 1), 4, mean=[127.0], standard_deviation=[70.0], width=8, **options
    )


@pytest.mark.parametrize("make", [averaging_cnn, residual_cnn])
def test_maps_add_up_to_the_logits(make):
    model = make()
    dense = model.layers[-1]
    dense.bias.assign(np.arange(4) / 7)
    probabilities, maps = class_maps.forward(model)(tf.constant(IMAGES))
    logits = tf.reduce_sum(maps, axis=(1, 2)) + dense.bias
    np.testing.assert_allclose(tf.nn.softmax(logits), probabilities, atol=1e-5)
    np.testing.assert_allclose(probabilities, model(IMAGES, training=False), atol=1e-6)


def test_maximum_counts_at_its_position_and_ties_split_it():
    inputs = keras.Input((4, 4, 1))
    x = layers.GlobalMaxPooling2D()(layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones")(inputs))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax", kernel_initializer="ones")(x))
    image = np.zeros((1, 4, 4, 1), np.float32)
    image[0, 1, 2] = image[0, 3, 0] = 8.0
    _, maps = class_maps.forward(model)(tf.constant(image))
    wanted = np.zeros((4, 4))
    wanted[1, 2] = wanted[3, 0] = 4.0
    np.testing.assert_allclose(maps[0, ..., 0], wanted)


def test_averaged_views_give_the_map_of_the_unchanged_image():
    model = residual_cnn()
    _, wanted = class_maps.forward(model)(tf.constant(IMAGES))
    probabilities, maps = class_maps.forward(architectures.averaging_views(model, flip=True))(
        tf.constant(IMAGES)
    )
    np.testing.assert_allclose(maps, wanted, atol=1e-6)
    assert probabilities.shape == (6, 4)


def dense_network() -> keras.Model:
    return notebook_code.functions("04_baseline")["dense_network"]((16, 16, 1), 4)


@pytest.mark.parametrize("make", [lambda: residual_cnn(dense_units=8), dense_network])
def test_networks_with_layers_in_between_have_none(make):
    model = make()
    (probabilities,) = class_maps.forward(model)(tf.constant(IMAGES))
    np.testing.assert_allclose(probabilities, model(IMAGES, training=False), atol=1e-6)
