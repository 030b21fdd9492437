import keras
import numpy as np
import pytest
from keras import layers

from helpers.model.backbones import fold_batch_norm, networks
from helpers.series import backbone_names

pytestmark = pytest.mark.usefixtures("seeded_tensorflow")


def unsettled(model: keras.Model) -> keras.Model:
    """Give every batch normalisation statistics of its own, as training would."""
    generator = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([generator.uniform(0.5, 2.0, weight.shape) for weight in layer.get_weights()])
    return model


def small(**convolution) -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, padding="same", name="conv", **convolution)(inputs)
    x = layers.BatchNormalization(name="conv_bn")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.DepthwiseConv2D(3, use_bias=False, name="depthwise")(x)
    x = layers.BatchNormalization(scale=False, name="depthwise_bn")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.BatchNormalization(name="head_bn")(x)
    return unsettled(keras.Model(inputs, layers.Dense(2, name="dense")(x)))


def norms(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers if isinstance(layer, layers.BatchNormalization)]


def outputs(model: keras.Model, shape) -> np.ndarray:
    images = np.random.default_rng(2).uniform(0, 255, (5, *shape)).astype("float32")
    return np.asarray(model(images, training=False))


@pytest.mark.parametrize("use_bias", [True, False])
def test_folded_model_computes_the_same(use_bias):
    model = small(use_bias=use_bias)
    copy = fold_batch_norm.fold(model)
    assert norms(copy) == ["head_bn"], "that one follows no convolution"
    one, other = outputs(model, (8, 8, 3)), outputs(copy, (8, 8, 3))
    assert np.allclose(one, other, rtol=1e-4, atol=1e-4 * np.abs(one).max())


@pytest.mark.parametrize("name", sorted(backbone_names.BACKBONES))
def test_every_backbone_can_be_folded(name):
    model = networks.build(name, (32, 32, 1))
    copy = fold_batch_norm.fold(model)
    assert not norms(copy)
    one = outputs(model, model.input.shape[1:])
    assert np.allclose(one, outputs(copy, model.input.shape[1:]), rtol=1e-3, atol=1e-3 * np.abs(one).max())


def test_the_model_itself_is_left_as_it_is():
    model = small()
    before = networks.weights_sha256(model)
    fold_batch_norm.fold(model)
    assert networks.weights_sha256(model) == before
    assert len(norms(model)) == 3


def test_batch_normalisation_after_an_activation_stays():
    copy = fold_batch_norm.fold(small(activation="relu"))
    assert norms(copy) == ["conv_bn", "head_bn"]


def test_convolution_that_feeds_two_layers_is_not_folded():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(3, 1, name="conv")(inputs)
    both = layers.Add()([layers.BatchNormalization(name="bn")(x), x])
    model = unsettled(keras.Model(inputs, both))
    copy = fold_batch_norm.fold(model)
    assert norms(copy) == ["bn"]
    assert np.allclose(outputs(model, (8, 8, 3)), outputs(copy, (8, 8, 3)), rtol=1e-4)
