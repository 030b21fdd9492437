"""The faster training step computes the same as the plain one, and bfloat16 stays inside its block."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_recipe import SHORT, bars, network

from helpers.model import cpu_speed, optimizers, recipe

pytestmark = pytest.mark.usefixtures("seeded_tensorflow")
needs_bfloat16 = pytest.mark.skipif(
    not cpu_speed.bfloat16_is_native(), reason="this processor has no bfloat16 instructions"
)


def loss_and_gradients(model: keras.Model, rows) -> tuple[float, list[np.ndarray]]:
    with tf.GradientTape() as tape:
        probabilities = model(tf.cast(rows.images, tf.float32), training=True)
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(rows.labels, probabilities))
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    return float(loss), [np.asarray(gradient) for gradient in gradients]


def test_trainer_has_the_networks_loss_gradients_and_variables():
    model, rows = network(depth=2), bars(64)
    trainer = cpu_speed.trainer_of(model)
    pairs = zip(trainer.trainable_variables, model.trainable_variables, strict=True)
    assert all(one is other for one, other in pairs)
    loss, gradients = loss_and_gradients(model, rows)
    fused_loss, fused = loss_and_gradients(trainer, rows)
    assert fused_loss == pytest.approx(loss, rel=1e-5)
    for one, other in zip(fused, gradients, strict=True):
        assert one == pytest.approx(other, rel=1e-2, abs=1e-4)


def test_trainer_leaves_the_running_statistics_alone():
    model, images = network(), tf.cast(bars(64).images, tf.float32)
    before = [np.asarray(variable) for variable in model.non_trainable_variables]
    cpu_speed.trainer_of(model)(images, training=True)
    after = model.non_trainable_variables
    assert all(np.array_equal(one, np.asarray(other)) for one, other in zip(before, after, strict=True))


def test_every_norm_that_trains_is_fused_and_frozen_ones_are_left():
    model = network()
    model.get_layer("stem_norm").trainable = False
    kinds = {layer.name: type(layer).__name__ for layer in cpu_speed.trainer_of(model).layers}
    assert kinds["stem_norm"] == "BatchNormalization"
    assert kinds["stage_2_widen_norm_fused"] == "FusedNorm"
    assert "stage_2_widen_norm" not in kinds


def test_norms_that_cannot_be_fused_are_left():
    image = keras.Input((8, 8, 1))
    x = keras.layers.BatchNormalization(scale=False, name="no_scale")(image)
    x = keras.layers.Flatten()(x)
    model = keras.Model(image, keras.layers.BatchNormalization(name="of_rows")(x))
    layers = cpu_speed.trainer_of(model).layers
    assert not [layer for layer in layers if isinstance(layer, cpu_speed.FusedNorm)]


def test_checkpoint_while_training_is_the_plain_network(tmp_path):
    path = tmp_path / "best.keras"
    keep = keras.callbacks.ModelCheckpoint(path, monitor="val_accuracy", save_best_only=True)
    weights = keras.callbacks.ModelCheckpoint(tmp_path / "last.weights.h5", save_weights_only=True)
    model, validation = network(), bars(seed=1)
    fit = recipe.train(model, bars(), validation, SHORT, callbacks=[keep, weights])
    code = "import keras, sys; keras.models.load_model(sys.argv[1]); assert 'helpers' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code, path], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2_000:]
    best = keras.models.load_model(path)
    accuracy = np.mean(best.predict(validation.images, verbose=0).argmax(1) == validation.labels)
    assert accuracy == pytest.approx(max(fit.history["val_accuracy"]))
    last = network()
    last.load_weights(tmp_path / "last.weights.h5")
    assert all(np.array_equal(*pair) for pair in zip(last.get_weights(), model.get_weights(), strict=True))


def convolve() -> tuple[np.ndarray, np.ndarray]:
    """Return a convolution and a matrix product, both of a new graph."""
    generator = np.random.default_rng(0)
    images = tf.constant(generator.normal(size=(8, 14, 14, 32)).astype(np.float32))
    kernel = tf.constant(generator.normal(size=(3, 3, 32, 32)).astype(np.float32))
    matrix = tf.constant(generator.normal(size=(256, 256)).astype(np.float32))
    call = tf.function(lambda a, b, c: (tf.nn.conv2d(a, b, 1, "SAME") * 1.0, tf.matmul(c, c) * 1.0))
    convolved, product = call(images, kernel, matrix)
    return convolved.numpy(), product.numpy()


@needs_bfloat16
def test_bfloat16_is_for_convolutions_alone_and_ends_with_the_block():
    plain = convolve()
    with cpu_speed.bfloat16(True):
        rounded = convolve()
        with cpu_speed.bfloat16(False):
            inside = convolve()
        again = convolve()
    after = convolve()
    difference = np.abs(rounded[0] - plain[0]).max()
    assert 1e-3 < difference < 1.0
    assert np.array_equal(rounded[1], plain[1])
    assert np.array_equal(again[0], rounded[0])
    for unchanged in (inside, after):
        assert np.array_equal(unchanged[0], plain[0])


@pytest.mark.parametrize("shape", [(3, 3, 16, 32), (3, 3, 1, 32), (1, 1, 64, 16)])
def test_muon_on_the_gram_matrix_is_keras_muon(shape):
    kernel = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    matrix = kernel.reshape(-1, shape[-1])
    expected = keras.optimizers.Muon(1.0).zeropower_via_newtonschulz5(tf.constant(matrix), 5)
    result = optimizers.ConvolutionMuon(1.0).zeropower_via_newtonschulz5(tf.constant(kernel), 5)
    assert result.shape == shape
    assert np.asarray(result).reshape(matrix.shape) == pytest.approx(np.asarray(expected), abs=2e-4)
