"""Mixtures of the weights before and after fine-tuning."""

import keras
import numpy as np
import pytest
from keras import layers

from helpers.model import class_balance, fine_tuning_conclusions, interpolation
from helpers.obtain import data
from helpers.series.metrics import Metric

ACCURACY = Metric("accuracy")
FORWARD, BACKWARD = 0.02, -0.02  # the slope of the logit of "bright": right and wrong


@pytest.fixture
def bright() -> data.Dataset:
    """Forty grey images of two classes, darker and brighter than 127."""
    images = np.linspace(10, 245, 40).astype(np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    return data.Dataset(images, (images[:, 0, 0, 0] > 127).astype(np.int64), ("dark", "bright"))


def network(slope: float, threshold: float = 127.0) -> keras.Model:
    """A network that finds an image bright by its mean, with the given slope and threshold."""
    image = keras.Input((2, 2, 1))
    mean = layers.GlobalAveragePooling2D()(image)
    model = keras.Model(image, layers.Dense(2, activation="softmax")(mean))
    model.set_weights([np.array([[0.0, slope]]), np.array([0.0, -slope * threshold])])
    return model


def mixed(bright, before: keras.Model, after: keras.Model) -> interpolation.Mixture:
    return interpolation.choose(after, before.get_weights(), bright, ACCURACY, seed=0)


def test_weights_that_fine_tuning_spoiled_are_restored(bright):
    before, after = network(FORWARD), network(BACKWARD)
    result = mixed(bright, before, after)
    assert result.scores[0.0] == 1.0
    assert result.scores[1.0] == 0.0
    assert result.fraction < 0.5
    assert ACCURACY(bright.labels, after.predict(bright.images, verbose=0).argmax(axis=1), 2) == 1.0


def test_weights_between_two_networks_are_taken_where_they_are_better_than_both(bright):
    before, after = network(FORWARD, 80.0), network(FORWARD, 174.0)
    result = mixed(bright, before, after)
    assert result.fraction == 0.5
    assert max(result.scores[0.0], result.scores[1.0]) < result.scores[0.5] == 1.0
    assert after.get_weights()[1][1] == pytest.approx(-FORWARD * 127.0)


def test_fine_tuned_weights_stay_where_nothing_is_better(bright):
    after = network(2 * FORWARD)
    expected = after.get_weights()
    assert mixed(bright, network(FORWARD), after).fraction == 1.0
    for weights, wanted in zip(after.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(weights, wanted)


@pytest.mark.parametrize(
    ("fraction", "said"),
    [
        (0.0, "Fine-tuning did not raise it, so the model has the weights of 05_transfer_learning."),
        (0.25, "The model has the weights at 25%."),
        (1.0, "The model has the fine-tuned weights."),
    ],
)
def test_the_chosen_mixture_is_said(fraction, said):
    result = interpolation.Mixture(fraction, {0.0: 0.8, 0.25: 0.85, 1.0: 0.7}, 525)
    conclusion = fine_tuning_conclusions.mixture("all blocks", result, ACCURACY)
    assert conclusion.text.endswith(said)
    assert "0.800 at 0%, 0.850 at 25% and 0.700 at 100%" in conclusion.text


def test_weights_of_05_are_not_balanced_a_second_time():
    counts = np.array([90, 10])
    adjustment = class_balance.choose("none", ACCURACY, np.array([0, 1]), np.eye(2, dtype=np.float32), counts)
    conclusion = fine_tuning_conclusions.class_weights("auto", ACCURACY, counts, adjustment, True)
    assert conclusion.text.endswith("whose head was chosen with its class weights.")
    assert adjustment.exponent == 0
