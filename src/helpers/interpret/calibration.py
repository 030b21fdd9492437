"""Whether probabilities mean what they say: reliability, expected calibration error, temperature scaling."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize

from helpers.errors import OsemnError
from helpers.scoring import LEVEL, Mean, mean_of, wilson_interval

BINS = 15
_SMALLEST = 1e-12


def check_probabilities(probabilities: np.ndarray, num_classes: int) -> np.ndarray:
    """Return probabilities as `float64 [N, K]`, rows summing to one.

    Raises:
        OsemnError: the shape is another, a value is not finite or negative, or a row does not sum to one.
    """
    found = np.asarray(probabilities, np.float64)
    if found.ndim != 2 or found.shape[1] != num_classes:
        raise OsemnError(
            f"Probabilities are {list(found.shape)}, expected [N, {num_classes}].",
            "score the model on these classes",
        )
    bad = ~np.isfinite(found).all(axis=1)
    if bad.any():
        raise OsemnError(
            f"{int(bad.sum())} of {len(found)} predictions are not numbers (the first is of image {int(bad.argmax())}).",
            "the model is damaged or diverged: train it again",
        )
    if len(found) and (found.min() < 0 or np.abs(found.sum(axis=1) - 1).max() > 1e-3):
        raise OsemnError(
            "The model's outputs are no probabilities: rows must be positive and sum to one.",
            "end the model with a softmax",
        )
    return found


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy; each array has one entry for each bin that holds images.

    Attributes:
        low: lower end of the bin.
        count: images in it.
        confidence: their mean confidence.
        accuracy: share that is right.
        accuracy_ci95: Wilson's interval of it, `[bins, 2]`.
        error: expected calibration error: mean of |accuracy − confidence|, weighted by count.
        error_by_chance: the same of a model whose confidence is exactly right, on average over samples of as many images: with
            few images it is far from 0.
        gap: mean of confidence − accuracy over images, with its interval: above 0 for a model too sure of itself.
    """

    low: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    accuracy_ci95: np.ndarray
    error: float
    error_by_chance: float
    gap: Mean

    def boldest(self) -> dict[str, Any] | None:
        """Return the bin in which accuracy is shown to stay furthest below confidence, as plain JSON; None where none is.

        The worst of several bins is picked: the intervals are widened so that all of them hold together (Bonferroni).
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
        bins: number of bins over 0–1; a bin holds its upper end, not its lower one.

    Raises:
        OsemnError: there are no images, or not as many labels.

    Source: C. Guo et al. (2017), "On calibration of modern neural networks".
    """
    if len(probabilities) != len(labels) or len(labels) == 0:
        raise OsemnError(
            f"{len(probabilities)} predictions for {len(labels)} labels.", "predict each image exactly once"
        )
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    number = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(number, minlength=bins)
    held = count > 0
    counts = count[held]
    means = np.bincount(number, confidence, bins)[held] / counts
    successes = np.bincount(number, right, bins)[held]
    intervals = [wilson_interval(int(k), int(n)) for k, n in zip(successes, counts, strict=True)]
    accuracies = successes / counts
    error = float(np.sum(counts * np.abs(accuracies - means)) / counts.sum())
    by_chance = _error_by_chance(confidence, number, counts, held)
    gap = mean_of(confidence - right)
    ends = np.array(intervals)
    return Reliability(np.arange(bins)[held] / bins, counts, means, accuracies, ends, error, by_chance, gap)


def _error_by_chance(
    confidence: np.ndarray, number: np.ndarray, counts: np.ndarray, held: np.ndarray
) -> float:
    """Return the mean calibration error of 200 samples in which each answer is right as often as its confidence says."""
    generator, errors = np.random.default_rng(0), []
    for _ in range(200):
        surplus = np.bincount(
            number, (generator.random(len(confidence)) < confidence) - confidence, len(held)
        )
        errors.append(np.abs(surplus[held]).sum() / counts.sum())
    return float(np.mean(errors))


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature by which the probabilities of held-out images are most likely.

    Args:
        probabilities: `[N, K]` of validation images, never of test images.
        labels: `[N] int64`.

    Source: C. Guo et al. (2017), section 4.2; probabilities stand in for logits, from which they differ by a constant
    in each row.
    """
    logs = np.log(np.maximum(probabilities, _SMALLEST))
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        scaled = logs / np.exp(log_temperature)
        top = scaled.max(axis=1)
        total = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
        return float(np.mean(total - scaled[rows, labels]))

    found = optimize.minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def at_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities at a temperature, `float64 [N, K]`: above 1 softer, below 1 sharper; the order stays."""
    logs = np.log(np.maximum(probabilities, _SMALLEST)) / temperature
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
