"""Calibration of probabilities: reliability, expected calibration error, temperature scaling."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, special

from helpers.errors import OsemnError
from helpers.scoring import LEVEL, Mean, check_lengths, mean_of, wilson_interval

BINS = 15  # as in Guo et al. (2017)
_SMALLEST = 1e-12  # keeps logarithms finite


def check_probabilities(probabilities: np.ndarray, num_classes: int) -> np.ndarray:
    """Return probabilities as `float64 [N, K]`, rows summing to one.

    Raises:
        OsemnError: the shape is wrong, a value is negative or not finite, or a row does not sum to one.

    Example:
        `calibration.check_probabilities(model.predict(images), len(names))`
    """
    values = np.asarray(probabilities, np.float64)
    if values.ndim != 2 or values.shape[1] != num_classes:
        raise OsemnError(
            f"Probabilities are {list(values.shape)}, expected [N, {num_classes}].",
            "score the model on these classes",
        )
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise OsemnError(
            f"{int(bad.sum())} of {len(values)} predictions are not finite numbers (the first is for image {int(bad.argmax())}).",
            "the model is damaged or its training diverged: train it again",
        )
    if len(values) and (values.min() < 0 or np.abs(values.sum(axis=1) - 1).max() > 1e-3):
        raise OsemnError(
            "The model's outputs are not probabilities: rows must be positive and sum to one.",
            "end the model with a softmax",
        )
    return values


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy; each array has one entry per bin that holds images.

    Attributes:
        low: lower end of the bin.
        count: number of images in it.
        confidence: their mean confidence.
        accuracy: proportion of correct predictions.
        accuracy_ci95: Wilson's interval of the accuracy, `[bins, 2]`.
        error: expected calibration error: mean of |accuracy − confidence|, weighted by count.
        error_by_chance: mean error of a perfectly calibrated model on as many images; with few images it is far from 0.
        gap: mean of confidence − accuracy over images, with its interval; above 0 for an overconfident model.
    """

    low: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    accuracy_ci95: np.ndarray
    error: float
    error_by_chance: float
    gap: Mean

    def most_overconfident(self) -> dict[str, Any] | None:
        """Return the bin whose accuracy is furthest below its confidence, as plain JSON; None if no bin is significant.

        Because the worst of several bins is picked, the intervals are widened so that all hold together (Bonferroni).
        """
        level = 1 - LEVEL / len(self.count)
        hits = np.rint(self.accuracy * self.count).astype(int)
        ends = [wilson_interval(int(k), int(n), level) for k, n in zip(hits, self.count, strict=True)]
        gaps = np.where(np.array(ends)[:, 1] < self.confidence, self.confidence - self.accuracy, 0.0)
        worst = int(gaps.argmax())
        if not gaps[worst]:
            return None
        return {
            "n": int(self.count[worst]),
            "confidence": float(self.confidence[worst]),
            "accuracy": float(self.accuracy[worst]),
            "accuracy_ci95": list(ends[worst]),
        }


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> Reliability:
    """Return confidence against accuracy in bins of equal width, and the expected calibration error.

    Args:
        probabilities: `[N, K]`.
        labels: `[N] int64`.
        bins: number of bins over 0–1; a bin includes its upper end, not its lower one.

    Raises:
        OsemnError: the lengths differ, or there are no images.

    Source: C. Guo et al. (2017), "On calibration of modern neural networks".

    Example:
        `calibration.reliability(probabilities, test.labels).error`
    """
    check_lengths(labels, probabilities)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    number = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    held, counts = np.unique(number, return_counts=True)
    means = np.bincount(number, confidence)[held] / counts
    successes = np.bincount(number, correct)[held]
    ends = np.array([wilson_interval(int(k), int(n)) for k, n in zip(successes, counts, strict=True)])
    accuracies = successes / counts
    error = float(np.sum(counts * np.abs(accuracies - means)) / counts.sum())
    by_chance, gap = _error_by_chance(confidence, number), mean_of(confidence - correct)
    return Reliability(held / bins, counts, means, accuracies, ends, error, by_chance, gap)


def _error_by_chance(confidence: np.ndarray, number: np.ndarray) -> float:
    """Return the mean calibration error of a perfectly calibrated model in 200 samples of as many images."""
    generator, held, errors = np.random.default_rng(0), np.unique(number), []
    for _ in range(200):  # their mean is known to about 2%
        surplus = np.bincount(number, (generator.random(len(confidence)) < confidence) - confidence)
        errors.append(np.abs(surplus[held]).sum() / len(confidence))
    return float(np.mean(errors))


def fit_temperature(
    probabilities: np.ndarray, labels: np.ndarray, *, errors: float = 0.5, spread: float = 1.0
) -> float:
    """Return the most probable temperature, given the labels, half an image's worth of error, and a wide prior.

    Where every prediction is correct, the likelihood alone grows as the temperature falls, without end. Half an error,
    spread over the images where the network itself is in doubt, stops that: sharpened probabilities expect no fewer than
    half an error among these images. It is the half of Krichevsky and Trofimov (1981) and, for a slope, of D. Firth
    (1993), "Bias reduction of maximum likelihood estimates". The prior of log T is normal around 0, the network as
    trained. Among thousands of images with dozens of errors, both move the temperature by less than 1%.

    Args:
        probabilities: `[N, K]` of validation images, never of test images.
        labels: `[N] int64`.
        errors: images' worth of error that is added; 0 for none. Chosen by `benchmarks/temperature.py`, as the next one.
        spread: standard deviation of the prior of log T; infinite for none.

    Source: C. Guo et al. (2017), section 4.2; logarithms of probabilities replace logits, from which they differ by a
    constant in each row.

    Example:
        `calibration.fit_temperature(on_validation, validation.labels)`
    """
    logs = np.log(np.maximum(probabilities, _SMALLEST))
    rows = np.arange(len(labels))
    second, first = np.partition(logs, -2, axis=1)[:, -2:].T
    # √p of the second class: with weights p, few images would carry the error; with equal ones, it would be too far out
    added = errors * np.average(first - second, weights=np.exp(second / 2))

    def loss(log_temperature: float) -> float:
        temperature = np.exp(log_temperature)
        likelihood = special.log_softmax(logs / temperature, axis=1)[rows, labels].sum()
        return float(added / temperature + (log_temperature / spread) ** 2 / 2 - likelihood)

    # logarithms: temperatures from 0.05 to 20
    fitted = optimize.minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(fitted.x))


def at_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return scaled probabilities, `float64 [N, K]`: softer above temperature 1, sharper below; predictions do not change.

    Example:
        `calibration.at_temperature(probabilities, temperature)`
    """
    return special.softmax(np.log(np.maximum(probabilities, _SMALLEST)) / temperature, axis=1)
