"""The recipe for training from scratch: what it promises about schedules, averages, statistics and batches."""

import dataclasses
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers.errors import UsageError
from helpers.model import architectures, optimizers, recipe, training, weight_averaging
from helpers.obtain import data
from helpers.scrub import augment

pytestmark = pytest.mark.usefixtures("seeded_tensorflow")
SHORT = recipe.Recipe(epochs=3, batch_size=16, learning_rate=0.01, average_decay=0.9)


def bars(count: int = 96, seed: int = 0) -> data.Dataset:
    """Return 8 × 8 images of upright and of lying bars."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 60, (count, 8, 8, 1), dtype=np.uint8)
    labels = np.arange(count) % 2
    for image, label, place in zip(images, labels, generator.integers(1, 7, count), strict=True):
        image[(slice(None), place) if label else (place, slice(None))] = 220
    return data.Dataset(images, labels.astype(np.int64), ("lying", "upright"))


def network(**options) -> keras.Model:
    return architectures.residual_cnn(
        (8, 8, 1), 2, mean=[60.0], standard_deviation=[60.0], width=8, **options
    )


@pytest.mark.parametrize("optimizer", sorted(recipe.OPTIMIZERS))
def test_every_optimizer_learns(optimizer):
    settings = dataclasses.replace(SHORT, epochs=8, optimizer=optimizer, seed=1)
    fit = recipe.train(network(), bars(), bars(seed=1), settings)
    assert fit.history["val_accuracy"][-1] > 0.9


def test_unknown_settings_are_refused_by_name():
    for settings, said in (
        ({"optimizer": "adam"}, "no optimizer 'adam'"),
        ({"precision": "float16"}, "no precision 'float16'"),
    ):
        with pytest.raises(UsageError, match=said):
            recipe.train(network(), bars(), bars(), dataclasses.replace(SHORT, **settings))


def test_norm_statistics_are_those_of_the_layers_own_inputs():
    model, images = network(), bars(64).images
    weight_averaging.NormStatistics(model, images, 64).recompute()
    first = model.get_layer("stem_norm")
    inputs = keras.Model(model.input, first.input)(images.astype("float32"), training=False)
    assert first.moving_mean.numpy() == pytest.approx(np.mean(inputs, axis=(0, 1, 2)), rel=1e-4, abs=1e-4)
    assert first.moving_variance.numpy() == pytest.approx(np.var(inputs, axis=(0, 1, 2)), rel=1e-3)


def test_norm_statistics_of_several_batches_are_those_of_all_images():
    images = np.concatenate([np.zeros((32, 8, 8, 1), np.uint8), np.full((32, 8, 8, 1), 200, np.uint8)])
    model = network()
    weight_averaging.NormStatistics(model, images, 32).recompute()
    first = model.get_layer("stem_norm")
    inputs = keras.Model(model.input, first.input)(images.astype("float32"), training=False)
    assert first.moving_variance.numpy() == pytest.approx(np.var(inputs, axis=(0, 1, 2)), rel=1e-3)


def test_averaged_network_is_what_is_scored_and_what_is_left():
    model, validation = network(), bars(seed=1)
    fit = recipe.train(model, bars(), validation, SHORT)
    accuracy = (training.predict(model, validation.images).argmax(1) == validation.labels).mean()
    assert fit.history["val_accuracy"][-1] == pytest.approx(accuracy)
    assert fit.probabilities == pytest.approx(training.predict(model, validation.images), abs=1e-5)


def test_validation_scorer_gives_keras_loss_and_accuracy_for_any_number_of_images():
    model, validation = network(), bars(700, seed=1)
    judged = training.ValidationScorer(model, validation, 0.1)()
    model.compile(
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
    )
    targets = keras.utils.to_categorical(validation.labels, validation.num_classes)
    expected = model.evaluate(validation.images.astype("float32"), targets, verbose=0, return_dict=True)
    assert judged["val_loss"] == pytest.approx(expected["loss"], rel=1e-4)
    assert judged["val_accuracy"] == pytest.approx(expected["accuracy"])


def test_average_is_of_the_weights_of_all_steps():
    seen: list[np.ndarray] = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(self.model.get_layer("probabilities").kernel.numpy())

    model = network()
    start = model.get_layer("probabilities").kernel.numpy()
    recipe.train(model, bars(), bars(), dataclasses.replace(SHORT, epochs=2), callbacks=[Watch()])
    average = start
    for step, weights in enumerate(seen, start=1):
        decay = min(SHORT.average_decay, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weights
    assert model.get_layer("probabilities").kernel.numpy() == pytest.approx(average, abs=1e-5)
    assert np.abs(seen[-1] - average).max() > 1e-4


def test_training_goes_on_from_its_own_weights_and_not_from_the_average():
    ends, begins = [], []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            ends.append(self.model.get_layer("stem").kernel.numpy())

        def on_train_batch_begin(self, batch, logs=None):
            begins.append(self.model.get_layer("stem").kernel.numpy())

    recipe.train(network(), bars(), bars(), SHORT, callbacks=[Watch()])
    for end, begin in zip(ends[:-1], begins[1:], strict=True):
        assert np.array_equal(end, begin)


def test_without_average_the_network_keeps_its_last_weights():
    last = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            last.append(self.model.get_layer("stem").kernel.numpy())

    model = network()
    recipe.train(model, bars(), bars(), dataclasses.replace(SHORT, average_decay=0.0), callbacks=[Watch()])
    assert np.array_equal(model.get_layer("stem").kernel.numpy(), last[-1])


def test_early_stopping_restores_an_averaged_network():
    model, validation = network(), bars(seed=1)
    stop = keras.callbacks.EarlyStopping("val_loss", patience=0, restore_best_weights=True, min_delta=10.0)
    settings = dataclasses.replace(SHORT, epochs=6)
    fit = recipe.train(model, bars(), validation, settings, callbacks=[stop])
    assert len(fit.history["val_loss"]) == 2
    judged = training.ValidationScorer(model, validation, SHORT.label_smoothing)()
    assert judged["val_loss"] == pytest.approx(fit.history["val_loss"][0], rel=1e-4)


def test_trained_network_loads_in_safe_mode_without_this_package(tmp_path):
    model = network()
    recipe.train(model, bars(), bars(), SHORT)
    architectures.averaging_views(model, flip=True).save(tmp_path / "model.keras")
    code = "import keras, sys; keras.models.load_model(sys.argv[1], safe_mode=True); assert 'helpers' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "model.keras"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2_000:]


def test_same_seed_gives_the_same_network_bit_for_bit():
    weights = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        model = network(dropout=0.3)
        recipe.train(
            model,
            bars(),
            bars(),
            dataclasses.replace(SHORT, seed=3),
            policy=augment.policy_for("fashion_mnist"),
        )
        weights.append(model.get_weights())
    assert all(np.array_equal(one, other) for one, other in zip(*weights, strict=True))


def test_erasing_stops_for_the_last_epochs():
    white = data.Dataset(np.full((32, 8, 8, 1), 255, np.uint8), np.zeros(32, np.int64), ("a", "b"))
    policy = augment.AugmentationPolicy(erase_fraction=0.2, erase_probability=1.0)
    batches, steps = training.batches(white, 8, seed=0, policy=policy, erasing_epochs=2)
    erased = [bool((images.numpy() == 0).any()) for images, _ in batches.take(4 * steps)]
    assert erased == [True] * 2 * steps + [False] * 2 * steps


def test_only_kernels_decay():
    model, settings = network(), dataclasses.replace(SHORT, optimizer="adamw")
    optimizer = recipe.optimizer_for(settings, 10)
    before = [variable.numpy() for variable in model.trainable_variables]
    optimizer.apply(
        [tf.zeros(variable.shape) for variable in model.trainable_variables], model.trainable_variables
    )
    rate = settings.learning_rate / 10  # the first of the warm-up
    for variable, old in zip(model.trainable_variables, before, strict=True):
        decay = settings.weight_decay * rate if variable.path.endswith("kernel") else 0.0
        assert variable.numpy() == pytest.approx(old * (1 - decay), abs=1e-7)


def test_muon_makes_the_update_of_a_kernel_orthogonal():
    kernel = keras.Variable(np.zeros((3, 3, 8, 16), np.float32), name="kernel")
    optimizer = optimizers.ConvolutionMuon(1.0, weight_decay=0.0, rms_rate=None)
    gradient = np.random.default_rng(0).normal(size=kernel.shape).astype(np.float32)
    optimizer.apply([tf.constant(gradient)], [kernel])
    singular = np.linalg.svd(kernel.numpy().reshape(-1, 16), compute_uv=False)
    assert singular.min() > 0.6
    assert singular.max() < 1.3


def test_muon_leaves_vectors_and_matrices_to_adamw():
    matrix = keras.Variable(np.zeros((4, 3), np.float32), name="kernel")
    optimizer = optimizers.ConvolutionMuon(0.5, weight_decay=0.0, adam_weight_decay=0.0)
    optimizer.apply([tf.constant(np.full((4, 3), 7.0, np.float32))], [matrix])
    assert matrix.numpy() == pytest.approx(-0.5, rel=1e-4)
