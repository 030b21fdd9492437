"""Calibration errors are correct, and temperature scaling recovers the temperature that was applied."""

import numpy as np
import pytest
from scipy.special import softmax

from helpers import wording
from helpers.errors import OsemnError
from helpers.interpret import calibration, limits_conclusions, tables


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


def certain(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and labels: class 0 is always right, class 1 as often as its confidence says, class 2 never."""
    generator = np.random.default_rng(seed)
    predicted, confidence = generator.integers(0, 3, n), generator.uniform(0.5, 1.0, n)
    probabilities = np.repeat((1 - confidence)[:, None] / 2, 3, axis=1)
    probabilities[np.arange(n), predicted] = confidence
    right = generator.random(n) < np.choose(predicted, [np.ones(n), confidence, np.zeros(n)])
    return probabilities, np.where(right, predicted, (predicted + 1) % 3)


def test_a_class_is_accepted_from_the_confidence_at_which_its_precision_is_shown():
    thresholds = calibration.class_thresholds(*certain(6_000, seed=0), 0.9)
    assert thresholds[0] == 0.0, "all predictions of this class are correct"
    # above c, predictions that are calibrated are correct in (1 + c) / 2 of cases; showing 0.9 takes a little more than c = 0.8
    assert 0.8 <= thresholds[1] < 0.9
    assert np.isnan(thresholds[2]), "none of its predictions is correct"
    few = calibration.class_thresholds(*certain(60, seed=0), 0.95)
    assert np.isnan(few[[1, 2]]).all(), "59 correct ones in a row are needed to show 95%"


def test_thresholds_chosen_on_some_images_hold_on_others():
    held = 0
    for seed in range(60):
        limits = calibration.class_thresholds(*certain(1_500, seed), 0.9)
        held += (1 + limits[1]) / 2 >= 0.9  # the true precision above it
    assert held >= 45, "the lowest of many that pass is a little too low in more than 5% of draws, not in 25%"


def test_what_thresholds_are_worth_is_counted_on_other_images():
    probabilities, labels = certain(900, seed=1)
    table = tables.accepted(np.array([0.0, 0.8, np.nan]), probabilities, labels, ("cat", "dog", "fox"))
    assert list(table.index) == ["fox", "dog", "cat"], "the highest threshold first"
    dog = table.loc["dog"]
    taken = (probabilities.argmax(axis=1) == 1) & (probabilities[:, 1] >= 0.8)
    assert dog["accepted"] == taken.sum()
    assert dog["precision"] == pytest.approx(np.mean(labels[taken] == 1))
    assert dog["low"] < dog["precision"] < dog["high"]
    text = limits_conclusions.class_thresholds("net", table, 0.9).text
    assert "net by their confidence: dog from 80.0% on and cat at any confidence." in text
    assert "It rejects none, at any confidence, for fox." in text
    assert f"{wording.percent(table['accepted'].sum() / 900)} are accepted" in text
    nothing = tables.accepted(np.full(3, np.nan), probabilities, labels, ("cat", "dog", "fox"))
    assert "net by their confidence: none." in limits_conclusions.class_thresholds("net", nothing, 0.9).text


def bent(n: int, seed: int, exponent: float) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities that a power of their distances calibrates about, and labels."""
    exact, labels = calibrated(n, seed=seed)
    return softmax(-((-np.log(exact)) ** (1 / exponent)), axis=1), labels


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(-np.log(probabilities[np.arange(len(labels)), labels]).mean())


def test_an_exponent_is_fitted_where_it_helps_on_other_images_and_changes_no_prediction():
    (given, labels), (others, answers) = bent(4_000, 0, 1.8), bent(20_000, 1, 1.8)
    scaling, gain = calibration.fit_scaling(given, labels)
    assert scaling.exponent > 1.3
    assert gain.ci95[0] > 0
    plain = calibration.at_temperature(others, calibration.fit_temperature(given, labels))
    scaled = calibration.at_temperature(others, *scaling)
    assert log_loss(plain, answers) - log_loss(scaled, answers) > gain.ci95[0] / 2
    assert calibration.reliability(scaled, answers).error < calibration.reliability(plain, answers).error
    assert (scaled.argmax(axis=1) == others.argmax(axis=1)).all()


def test_calibrated_probabilities_are_left_with_a_temperature_alone():
    fitted = [calibration.fit_scaling(*calibrated(600, seed=seed))[0] for seed in range(40)]
    assert sum(one.exponent != 1 for one in fitted) <= 4, "one side of 95%, and three standard errors"
    assert np.median([one.temperature for one in fitted]) == pytest.approx(1, abs=0.1)


def test_probabilities_of_one_and_a_few_images_can_be_scaled():
    certain = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], np.float32)
    scaling = calibration.fit_scaling(certain, np.array([0, 2]))[0]
    assert scaling.exponent == 1
    assert np.isfinite(calibration.at_temperature(certain * 1.0000001, 0.05, 1.7)).all()
