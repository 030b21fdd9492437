"""Calibration errors are right, and temperature scaling finds the temperature that was applied."""

import numpy as np
import pytest
from scipy.special import softmax

from helpers.errors import OsemnError
from helpers.interpret import calibration


def calibrated(n: int = 40_000, classes: int = 4, seed: int = 0):
    """Return probabilities and labels drawn from them: calibrated by making."""
    generator = np.random.default_rng(seed)
    probabilities = softmax(2.0 * generator.normal(size=(n, classes)), axis=1)
    labels = (probabilities.cumsum(axis=1) < generator.random((n, 1))).sum(axis=1)
    return probabilities, np.minimum(labels, classes - 1)


def test_calibrated_probabilities_have_hardly_any_error():
    assert calibration.reliability(*calibrated()).error < 0.01


def test_error_is_the_mean_gap_between_confidence_and_accuracy():
    probabilities = np.array([[0.9, 0.1]] * 10 + [[0.65, 0.35]] * 10)
    labels = np.array([0] * 5 + [1] * 5 + [0] * 10)
    found = calibration.reliability(probabilities, labels)
    assert found.error == pytest.approx(0.5 * abs(0.5 - 0.9) + 0.5 * abs(1.0 - 0.65))
    assert found.count.tolist() == [10, 10]
    assert found.accuracy.tolist() == [1.0, 0.5]
    assert (found.accuracy_ci95[:, 0] <= found.accuracy).all()
    assert (found.accuracy_ci95[:, 1] >= found.accuracy).all()


def test_bins_hold_their_upper_end():
    probabilities = np.array([[0.6, 0.4], [1.0, 0.0]])
    found = calibration.reliability(probabilities, np.array([0, 0]), bins=5)
    assert found.low.tolist() == pytest.approx([0.4, 0.8])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_that_was_applied_is_found_and_undone(temperature):
    probabilities, labels = calibrated()
    distorted = calibration.at_temperature(probabilities, 1 / temperature)
    found = calibration.fit_temperature(distorted, labels)
    assert found == pytest.approx(temperature, rel=0.03)
    mended = calibration.at_temperature(distorted, found)
    assert calibration.reliability(mended, labels).error < 0.01
    assert (mended.argmax(axis=1) == probabilities.argmax(axis=1)).all()


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
        (np.array([[0.2, 0.3, 0.5], [np.nan, 0.5, 0.5]]), "1 of 2 predictions are not numbers .* image 1"),
        (np.array([[2.0, 3.0, 5.0]]), "no probabilities"),
        (np.array([[-0.5, 1.0, 0.5]]), "no probabilities"),
    ],
)
def test_what_is_no_probability_is_refused(probabilities, said):
    with pytest.raises(OsemnError, match=said):
        calibration.check_probabilities(probabilities, 3)


def test_no_images_are_refused():
    with pytest.raises(OsemnError, match="0 predictions for 0 labels"):
        calibration.reliability(np.zeros((0, 2)), np.zeros(0, int))


def test_boldest_bin_is_the_one_whose_confidence_promises_most_too_much():
    generator = np.random.default_rng(3)
    confidence = np.repeat([0.55, 0.75, 0.95], 2_000)
    share = np.repeat([0.55, 0.55, 0.95], 2_000)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    labels = (generator.random(6_000) >= share).astype(int)
    found = calibration.reliability(probabilities, labels).boldest()
    assert found["n"] == 2_000
    assert found["confidence"] == pytest.approx(0.75)
    assert found["accuracy"] == pytest.approx(0.55, abs=0.03)
    honest = (generator.random(6_000) >= np.repeat([0.6, 0.8, 0.97], 2_000)).astype(int)
    assert calibration.reliability(probabilities, honest).boldest() is None


def test_a_calibrated_model_is_rarely_said_to_be_off_somewhere():
    generator = np.random.default_rng(5)
    said = 0
    for _ in range(200):
        confidence = generator.uniform(0.5, 1.0, 300)
        probabilities = np.stack([confidence, 1 - confidence], axis=1)
        labels = (generator.random(300) >= confidence).astype(int)
        said += calibration.reliability(probabilities, labels).boldest() is not None
    assert said <= 12  # at most one of twenty, with some room for 200 draws


def test_error_by_chance_is_what_a_calibrated_model_shows():
    generator = np.random.default_rng(6)
    errors = []
    for _ in range(100):
        confidence = generator.uniform(0.5, 1.0, 200)
        probabilities = np.stack([confidence, 1 - confidence], axis=1)
        found = calibration.reliability(probabilities, (generator.random(200) >= confidence).astype(int))
        errors.append(found.error - found.error_by_chance)
    assert np.mean(errors) == pytest.approx(0.0, abs=0.005)
    assert found.error_by_chance > 0.02
