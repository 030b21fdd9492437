"""Calibration errors are correct, and temperature scaling recovers the temperature that was applied."""

import numpy as np
import pytest
from scipy.special import softmax

from helpers.errors import OsemnError
from helpers.interpret import calibration


def calibrated(n: int = 40_000, classes: int = 4, seed: int = 0):
    """Return probabilities and labels drawn from them: so they are calibrated by construction."""
    generator = np.random.default_rng(seed)
    probabilities = softmax(2.0 * generator.normal(size=(n, classes)), axis=1)
    labels = (probabilities.cumsum(axis=1) < generator.random((n, 1))).sum(axis=1)
    return probabilities, np.minimum(labels, classes - 1)


def test_calibrated_probabilities_have_hardly_any_error():
    assert calibration.reliability(*calibrated()).error < 0.01


def test_error_is_the_mean_gap_between_confidence_and_accuracy():
    probabilities = np.array([[0.9, 0.1]] * 10 + [[0.65, 0.35]] * 10)
    labels = np.array([0] * 5 + [1] * 5 + [0] * 10)
    result = calibration.reliability(probabilities, labels)
    assert result.error == pytest.approx(0.5 * abs(0.5 - 0.9) + 0.5 * abs(1.0 - 0.65))
    assert result.count.tolist() == [10, 10]
    assert result.accuracy.tolist() == [1.0, 0.5]
    assert (result.accuracy_ci95[:, 0] <= result.accuracy).all()
    assert (result.accuracy_ci95[:, 1] >= result.accuracy).all()


def test_bins_hold_their_upper_end():
    probabilities = np.array([[0.6, 0.4], [1.0, 0.0]])
    result = calibration.reliability(probabilities, np.array([0, 0]), bins=5)
    assert result.low.tolist() == pytest.approx([0.4, 0.8])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_that_was_applied_is_recovered(temperature):
    probabilities, labels = calibrated()
    distorted = calibration.at_temperature(probabilities, 1 / temperature)
    result = calibration.fit_temperature(distorted, labels)
    assert result == pytest.approx(temperature, rel=0.03)
    restored = calibration.at_temperature(distorted, result)
    assert calibration.reliability(restored, labels).error < 0.01
    assert (restored.argmax(axis=1) == probabilities.argmax(axis=1)).all()


def test_temperature_one_changes_nothing_and_certainty_does_not_overflow():
    probabilities, _ = calibrated(100)
    assert calibration.at_temperature(probabilities, 1.0) == pytest.approx(probabilities, abs=1e-9)
    certain = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], np.float32)
    assert np.isfinite(calibration.at_temperature(certain, 0.05)).all()
    assert np.isfinite(calibration.fit_temperature(certain, np.array([0, 2])))


def all_correct(n: int, separation: float) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of ten classes and labels of which every one is predicted."""
    logits = np.random.default_rng(n).normal(size=(n, 10))
    logits[:, 0] = logits.max(axis=1) + np.random.default_rng(1).gamma(2.0, separation / 2, n) + 0.1
    return softmax(logits, axis=1), np.zeros(n, np.int64)


@pytest.mark.parametrize("separation", [1.0, 4.0, 12.0])
@pytest.mark.parametrize("n", [10, 30, 300, 3_000])
def test_without_an_error_scaled_probabilities_expect_half_an_error(n, separation):
    probabilities, labels = all_correct(n, separation)
    temperature = calibration.fit_temperature(probabilities, labels)
    expected = np.sum(1 - calibration.at_temperature(probabilities, temperature).max(axis=1))
    before = np.sum(1 - probabilities.max(axis=1))
    # about a half: it counts distances between logits, and the prior keeps very few images near the network as trained
    assert min(0.4, before) < expected < max(0.8, before)


@pytest.mark.parametrize("separation", [1.0, 4.0, 12.0])
@pytest.mark.parametrize("n", [30, 300, 3_000])
def test_one_wrong_label_moves_the_temperature_less_than_the_number_of_errors(n, separation):
    probabilities, labels = all_correct(n, separation)
    before = calibration.fit_temperature(probabilities, labels)
    labels[0] = 1
    # from half an error to one and a half; the likelihood alone moves up to thirtyfold
    assert before < calibration.fit_temperature(probabilities, labels) < 3 * before


@pytest.mark.parametrize("applied", [0.5, 1.0, 2.0])
def test_with_thousands_of_images_the_temperature_is_that_of_the_likelihood(applied):
    probabilities, labels = calibrated(5_000)
    distorted = calibration.at_temperature(probabilities, 1 / applied)
    likelihood = calibration.fit_temperature(distorted, labels, errors=0.0, spread=np.inf)
    assert calibration.fit_temperature(distorted, labels) == pytest.approx(likelihood, rel=0.01)


def test_small_validation_sets_give_a_lower_log_loss_than_the_likelihood_and_than_no_scaling():
    """300 images of an accurate, underconfident network; most draws hold no error."""
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(20_000, 5)) + 9 * np.eye(5)[generator.integers(0, 5, 20_000)]
    exact = softmax(logits, axis=1)
    labels = (exact.cumsum(axis=1) < generator.random((len(exact), 1))).sum(axis=1).clip(max=4)
    given = calibration.at_temperature(exact, 2.0)

    def loss(temperature: float) -> float:
        scaled = calibration.at_temperature(given, temperature)[np.arange(len(labels)), labels]
        return -np.log(np.maximum(scaled, 1e-300)).mean()

    draws = [generator.choice(len(labels), 300, replace=False) for _ in range(40)]
    ours, likelihood = (
        np.mean([loss(calibration.fit_temperature(given[rows], labels[rows], **how)) for rows in draws])
        for how in ({}, {"errors": 0.0, "spread": np.inf})
    )
    assert ours < loss(1.0)
    assert ours < likelihood


def test_a_network_that_only_guesses_gets_a_finite_temperature():
    probabilities, _ = all_correct(40, 6.0)
    labels = np.arange(40) % 10
    temperature = calibration.fit_temperature(probabilities, labels)
    assert 3 < temperature < 19


@pytest.mark.parametrize(
    ("probabilities", "said"),
    [
        (np.ones((3, 2)), r"\[3, 2\], expected \[N, 3\]"),
        (
            np.array([[0.2, 0.3, 0.5], [np.nan, 0.5, 0.5]]),
            "1 of 2 predictions are not finite numbers .* image 1",
        ),
        (np.array([[2.0, 3.0, 5.0]]), "not probabilities"),
        (np.array([[-0.5, 1.0, 0.5]]), "not probabilities"),
    ],
)
def test_invalid_probabilities_are_refused(probabilities, said):
    with pytest.raises(OsemnError, match=said):
        calibration.check_probabilities(probabilities, 3)


def test_no_images_are_refused():
    with pytest.raises(OsemnError, match="0 predictions for 0 labels"):
        calibration.reliability(np.zeros((0, 2)), np.zeros(0, int))


def test_most_overconfident_bin_has_the_largest_gap():
    generator = np.random.default_rng(3)
    confidence = np.repeat([0.55, 0.75, 0.95], 2_000)
    accuracy = np.repeat([0.55, 0.55, 0.95], 2_000)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    labels = (generator.random(6_000) >= accuracy).astype(int)
    result = calibration.reliability(probabilities, labels).most_overconfident()
    assert result["n"] == 2_000
    assert result["confidence"] == pytest.approx(0.75)
    assert result["accuracy"] == pytest.approx(0.55, abs=0.03)
    honest = (generator.random(6_000) >= np.repeat([0.6, 0.8, 0.97], 2_000)).astype(int)
    assert calibration.reliability(probabilities, honest).most_overconfident() is None


def test_calibrated_model_rarely_has_an_overconfident_bin():
    generator = np.random.default_rng(5)
    said = 0
    for _ in range(200):
        confidence = generator.uniform(0.5, 1.0, 300)
        probabilities = np.stack([confidence, 1 - confidence], axis=1)
        labels = (generator.random(300) >= confidence).astype(int)
        said += calibration.reliability(probabilities, labels).most_overconfident() is not None
    assert said <= 12  # at most one of twenty, with some room for 200 draws


def test_error_by_chance_is_that_of_a_calibrated_model():
    generator = np.random.default_rng(6)
    errors = []
    for _ in range(100):
        confidence = generator.uniform(0.5, 1.0, 200)
        probabilities = np.stack([confidence, 1 - confidence], axis=1)
        result = calibration.reliability(probabilities, (generator.random(200) >= confidence).astype(int))
        errors.append(result.error - result.error_by_chance)
    assert np.mean(errors) == pytest.approx(0.0, abs=0.005)
    assert result.error_by_chance > 0.02
