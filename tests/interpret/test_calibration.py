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
