"""Calibration of probabilities: reliability, expected calibration error, scaling, thresholds by class."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize, special, stats

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

    loss = _loss_of(probabilities, labels, errors)

    def penalised(log_temperature: float) -> float:
        return loss(Scaling(np.exp(log_temperature))) + (log_temperature / spread) ** 2 / 2

    # logarithms: temperatures from 0.05 to 20
    fitted = optimize.minimize_scalar(
        penalised, bounds=(-3.0, 3.0), method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(fitted.x))


class Scaling(NamedTuple):
    """How probabilities are scaled.

    Attributes:
        temperature: divides the logits: probabilities are softer above 1, sharper below.
        exponent: to which the logits' distances from 0 are raised before; 1 for temperature scaling alone.
    """

    temperature: float
    exponent: float = 1.0

    @classmethod
    def of(cls, logged: Mapping[str, Any]) -> "Scaling":
        """Return that of an evaluation's metrics; earlier runs logged a temperature alone."""
        return cls(float(logged["temperature"]), float(logged.get("exponent", 1.0)))

    def __str__(self) -> str:
        """Return it in words."""
        bent = "" if self.exponent == 1 else f", exponent {self.exponent:.2f}"
        return f"temperature {self.temperature:.2f}{bent}"


def _logits(probabilities: np.ndarray, scaling: Scaling) -> np.ndarray:
    distances = np.maximum(-np.log(np.maximum(probabilities, _SMALLEST)), 0.0)
    return -(distances if scaling.exponent == 1 else distances**scaling.exponent) / scaling.temperature


def _loss_of(probabilities: np.ndarray, labels: np.ndarray, errors: float) -> Callable[[Scaling], float]:
    """Return the log loss of all images, with some error added as `fit_temperature` explains, as a function of the scaling."""
    rows, top = np.arange(len(labels)), np.partition(probabilities, -2, axis=1)[:, -2:]
    # √p of the second class: with weights p, few images would carry the error; with equal ones, it would be too far out
    weights = np.sqrt(np.maximum(top[:, 0], _SMALLEST))

    def loss(scaling: Scaling) -> float:
        second, first = _logits(top, scaling).T
        likelihood = special.log_softmax(_logits(probabilities, scaling), axis=1)[rows, labels].sum()
        return float(errors * np.average(first - second, weights=weights) - likelihood)

    return loss


def fit_scaling(probabilities: np.ndarray, labels: np.ndarray) -> tuple[Scaling, Mean]:
    """Return the temperature, with an exponent where it lowers the log loss significantly, and that gain.

    A temperature changes all confidences alike. A network that was trained with smoothed labels is underconfident where it is
    nearly certain and about right in the middle, so no temperature fits both; an exponent does. As larger probabilities stay
    larger, no prediction changes. To decide, each half of the images is scored with what is fitted to the other half.

    Args:
        probabilities: `[N, K]` of validation images, never of test images.
        labels: `[N] int64`.

    Source: elementwise order-preserving functions, A. Rahimi et al. (2020), "Intra order-preserving functions for calibration
    of multi-class neural networks"; measured on runs of this project, the power of the distance gained as much as
    vector scaling, which changes predictions.

    Example:
        `scaling, gain = calibration.fit_scaling(on_validation, validation.labels)`
    """
    order = np.random.default_rng(0).permutation(len(labels))
    gains = []
    for fitted, held_out in (np.array_split(order, 2), np.array_split(order, 2)[::-1]):
        given, answers = probabilities[held_out], (np.arange(len(held_out)), labels[held_out])
        part = probabilities[fitted], labels[fitted]
        both = Scaling(fit_temperature(*part)), _with_exponent(*part)
        plain, bent = (special.log_softmax(_logits(given, one), axis=1)[answers] for one in both)
        gains.append(bent - plain)
    gain = mean_of(np.concatenate(gains))
    if gain.ci95 and gain.ci95[0] > 0:
        return _with_exponent(probabilities, labels), gain
    return Scaling(fit_temperature(probabilities, labels)), gain


def _with_exponent(probabilities: np.ndarray, labels: np.ndarray) -> Scaling:
    """Return the most probable temperature and exponent, with the priors of `fit_temperature` for both."""

    loss = _loss_of(probabilities, labels, 0.5)

    def penalised(logs: np.ndarray) -> float:
        return loss(Scaling(*np.exp(logs))) + float(np.sum(np.square(logs)) / 2)

    # exponents from 0.4 to 2.7: beyond, a power is a step
    best = optimize.minimize(penalised, [0.0, 0.0], method="L-BFGS-B", bounds=[(-3.0, 3.0), (-1.0, 1.0)])
    return Scaling(*map(float, np.exp(best.x)))


def at_temperature(probabilities: np.ndarray, temperature: float, exponent: float = 1.0) -> np.ndarray:
    """Return scaled probabilities, `float64 [N, K]`; predictions do not change. The numbers are those of a `Scaling`.

    Example:
        `calibration.at_temperature(probabilities, *scaling)`
    """
    return special.softmax(_logits(probabilities, Scaling(temperature, exponent)), axis=1)


def class_thresholds(probabilities: np.ndarray, labels: np.ndarray, precision: float) -> np.ndarray:
    """Return for each class the lowest confidence from which a precision of its predictions is shown, `[K] float64`.

    Of the predictions of a class with the highest confidence, as many are accepted as a one-sided binomial test allows that rejects a
    lower precision at the 5% level. It is 0 if all are accepted, and NaN if no number of them passes.

    Args:
        probabilities: `[N, K]` of validation images, never of test images.
        labels: `[N] int64`.
        precision: to be shown, between 0 and 1.

    Example:
        `calibration.class_thresholds(scaled_validation, validation.labels, 0.95)`
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    thresholds = np.full(probabilities.shape[1], np.nan)
    for label in np.unique(predicted):
        rows = np.flatnonzero(predicted == label)
        rows = rows[np.argsort(-confidence[rows], kind="stable")]
        correct, n = np.cumsum(labels[rows] == label), np.arange(1, len(rows) + 1)
        passed = np.flatnonzero(stats.binom.sf(correct - 1, n, precision) < LEVEL)
        if len(passed):
            thresholds[label] = confidence[rows[passed[-1]]] if passed[-1] + 1 < len(rows) else 0.0
    return thresholds
