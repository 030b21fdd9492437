"""Unequal classes: what each strategy weighs, draws and adjusts."""

import keras
import numpy as np
import pytest

from helpers.model import class_balance, tuning_batches
from helpers.obtain.data import Dataset
from helpers.series.metrics import Metric

COUNTS = np.array([90, 10])


def unequal(weights: np.ndarray | None = None) -> Dataset:
    """Nine in ten images are of the first class; each image shows its row number."""
    images = np.arange(100, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint8)
    return Dataset(images, np.repeat([0, 1], COUNTS).astype(np.int64), ("many", "few"), weights)


def epoch(train: Dataset, **settings) -> list[np.ndarray]:
    """Return the first epoch's images, targets and weights."""
    chosen = tuning_batches.FineTuningSettings(1, 16, 0.1, **settings)
    stream, steps = tuning_batches.batches(train, chosen, None)
    batches = list(stream.take(steps).as_numpy_iterator())
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def test_balanced_weights_give_each_class_the_same_total_and_keep_the_mean_at_one():
    weights = class_balance.class_weights("balanced", COUNTS)
    assert weights @ COUNTS == pytest.approx(COUNTS.sum())
    assert weights[0] * 90 == pytest.approx(weights[1] * 10)
    roots = class_balance.class_weights("sqrt", COUNTS)
    assert roots[1] / roots[0] == pytest.approx(3.0)
    assert class_balance.class_weights("none", COUNTS) is None


def test_batches_carry_the_weights_of_classes_and_images():
    assert len(epoch(unequal())) == 2, "no weights, as in Fashion-MNIST"
    of_image = np.where(np.arange(100) % 2, 3.0, 1.0)
    images, targets, weights = epoch(unequal(of_image), class_weights="balanced")
    rows = images[:, 0, 0, 0].astype(int)
    expected = class_balance.class_weights("balanced", COUNTS)[targets.argmax(axis=1)] * of_image[rows] / 2
    assert weights == pytest.approx(expected)


def test_sampling_draws_both_classes_alike_and_every_rare_image():
    images, targets = epoch(unequal(), class_weights="sampling")
    assert targets.sum(axis=0) == pytest.approx([50, 50], abs=1)
    rows = images[:, 0, 0, 0].astype(int)
    assert set(range(90, 100)) <= set(rows)
    assert np.bincount(rows, minlength=100).max() <= 6, "each image as often as its chance says, rounded"


def test_sampling_draws_other_images_in_every_epoch_but_the_same_ones_after_a_kill():
    chosen = tuning_batches.FineTuningSettings(1, 100, 0.1, class_weights="sampling")

    def drawn(first: int, count: int) -> list[list[int]]:
        stream = tuning_batches.batches(unequal(), chosen, None, first)[0]
        return [
            images[:, 0, 0, 0].astype(int).tolist() for images, _ in stream.take(count).as_numpy_iterator()
        ]

    both = drawn(0, 2)
    assert sorted(both[0]) != sorted(both[1])
    assert drawn(1, 1) == both[1:]


def test_loss_with_logit_adjustment_adds_the_proportions_to_the_logits():
    probabilities, targets = np.array([[0.5, 0.5]], np.float32), np.array([[0.0, 1.0]], np.float32)
    loss = class_balance.loss("logit_adjustment", COUNTS, 0.0)
    assert float(loss(targets, probabilities)[0]) == pytest.approx(-np.log(0.1), abs=1e-4)


def model(bias: bool = True) -> keras.Model:
    inputs = keras.Input((3,))
    return keras.Model(inputs, keras.layers.Dense(2, activation="softmax", use_bias=bias)(inputs))


def scored(strategy: str, metric: str, counts: np.ndarray = COUNTS) -> class_balance.Adjustment:
    """Few images of the rare class get half of the probability; all of them get some."""
    labels = np.repeat([0, 1], [90, 10])
    rare = np.where(labels == 1, 0.3, 0.02)
    probabilities = np.stack([1 - rare, rare], axis=1)
    return class_balance.choose(strategy, Metric(metric), labels, probabilities, counts)


def test_automatic_adjustment_serves_the_metric():
    chosen = scored("auto", "balanced_accuracy")
    assert chosen.exponent == 0.5, "the smallest of the equally good ones"
    assert chosen.scores == {0.0: 0.5, 0.5: 1.0, 1.0: 1.0}


def test_about_equal_classes_and_other_strategies_are_not_adjusted():
    assert scored("auto", "accuracy", np.array([20, 10])).exponent == 0.0
    assert scored("sqrt", "balanced_accuracy").scores == {}


def test_adjusted_model_predicts_the_adjusted_probabilities_and_can_be_restored():
    network, images = model(), np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    before = network(images).numpy()
    adjustment = class_balance.Adjustment(1.0, {}, class_balance.log_prior(COUNTS))
    adjustment.apply(network)
    after = network(images).numpy()
    assert after == pytest.approx(adjustment.adjusted(before), abs=1e-6)
    assert np.all(after[:, 1] > before[:, 1])
    restored = after * np.exp(adjustment.log_prior)
    assert restored / restored.sum(axis=1, keepdims=True) == pytest.approx(before, abs=1e-6)


def test_only_a_softmax_with_a_bias_can_be_adjusted():
    assert class_balance.can_adjust(model())
    assert not class_balance.can_adjust(model(bias=False))
