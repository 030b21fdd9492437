"""The cost model: the confidence below which a person should check a prediction, and the money that this saves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Real

import numpy as np

from helpers.errors import OsemnError, UsageError
from helpers.interpret.calibration import at_temperature, check_probabilities
from helpers.scoring import check_lengths, wilson_interval

IMAGES = 1_000  # amounts are per 1,000 images
CHECK_ALL = math.nextafter(1.0, 2.0)
"""A threshold that no confidence reaches."""
DRAWS = 4_000  # the ends of an interval then vary by about 3% of its width
_SEED = 0


@dataclass(frozen=True)
class Costs:
    """The costs and the value of one image, in one unit of money.

    A prediction is paid for every image, checked or not.

    Attributes:
        value_right: value of a correct label, from the model or from a person.
        cost_wrong: cost of an incorrect label that nobody corrects.
        cost_check: cost of a check by a person; above zero.
        cost_prediction: cost of a prediction.
        person_accuracy: probability that a person labels an image correctly, above 0 and at most 1.

    Raises:
        UsageError: one of them is not a finite number from zero, or `cost_check` is zero.
    """

    value_right: float
    cost_wrong: float
    cost_check: float
    cost_prediction: float
    person_accuracy: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value < math.inf:
                raise UsageError(
                    f"{field.name} is {value!r}, expected a finite number from zero.",
                    f"give {field.name} in money per image, such as 0.08",
                )
            object.__setattr__(self, field.name, float(value))
        if not 0 < self.person_accuracy <= 1:
            raise UsageError(
                f"person_accuracy is {self.person_accuracy}, expected a probability above 0.",
                "give 0.97, or 1",
            )
        if self.cost_check == 0:
            raise UsageError(
                "cost_check is 0, so a person would check every image and no threshold is needed.",
                "give the cost of a check: seconds per image times the wage per second",
            )

    @property
    def stake(self) -> float:
        """The difference in value between a correct and an incorrect label."""
        return self.value_right + self.cost_wrong

    @property
    def saved_by_automating(self) -> float:
        """The saving by a correct prediction without a check: the check itself, and the person's errors."""
        return self.cost_check + (1 - self.person_accuracy) * self.stake


@dataclass(frozen=True)
class Predictions:
    """A model's predictions for some images.

    Attributes:
        confidence: `[N] float64`, 0–1, after scaling.
        correct: `[N] bool`.

    Raises:
        OsemnError: there are none, the two differ in length, or a value is out of range.
    """

    confidence: np.ndarray
    correct: np.ndarray

    def __post_init__(self) -> None:
        confidence, correct = np.asarray(self.confidence, np.float64), np.asarray(self.correct)
        if confidence.ndim != 1 or confidence.shape != correct.shape or len(correct) == 0:
            raise OsemnError(
                f"There are {list(confidence.shape)} confidences for {list(correct.shape)} predictions.",
                "give one of each per image, for at least one image",
            )
        if not ((confidence >= 0) & (confidence <= 1)).all() or not np.isin(correct, (0, 1)).all():
            raise OsemnError(
                "A confidence is not between 0 and 1, or a value of 'correct' is neither 0 nor 1.",
                "use cost_model.calibrate, with a model's probabilities",
            )
        object.__setattr__(self, "confidence", confidence)
        object.__setattr__(self, "correct", correct.astype(bool))


def calibrate(
    probabilities: np.ndarray, labels: np.ndarray, temperature: float = 1.0, exponent: float = 1.0
) -> Predictions:
    """Return a model's predictions with their calibrated confidences.

    Args:
        probabilities: `[N, K] float32`, from the model.
        labels: `[N] int64`.
        temperature: fitted on validation images, as by `calibration.fit_scaling`.
        exponent: likewise.

    Raises:
        OsemnError: the probabilities are invalid, or their number differs from that of the labels.
        UsageError: the temperature is not a finite number above zero.
    """
    if not 0 < temperature < math.inf:
        raise UsageError(
            f"The temperature is {temperature}, expected a finite number above zero.",
            "take it from the candidate's metrics of 07_evaluation",
        )
    given = np.asarray(probabilities)
    scaled = at_temperature(
        check_probabilities(given, given.shape[-1] if given.ndim else 0), temperature, exponent
    )
    check_lengths(labels, scaled)
    return Predictions(scaled.max(axis=1), given.argmax(axis=1) == np.asarray(labels))


@dataclass(frozen=True)
class Amount:
    """Money per 1,000 images, with its 95% interval."""

    value: float
    ci95: tuple[float, float]

    @property
    def significant(self) -> bool:
        """True if the interval excludes zero."""
        return not self.ci95[0] <= 0 <= self.ci95[1]


@dataclass(frozen=True)
class Outcome:
    """The result of a threshold on some images: confident predictions are automated, a person checks the others.

    Attributes:
        threshold: confidence from which predictions are automated.
        n: number of images.
        automated: number of automated predictions.
        wrong: number of automated predictions that are incorrect.
        saving: compared with a person who checks every image without a model.
        saving_over_machine: compared with automating everything.
    """

    threshold: float
    n: int
    automated: int
    wrong: int
    saving: Amount
    saving_over_machine: Amount

    @property
    def proportion(self) -> float:
        """The proportion of images that is automated."""
        return self.automated / self.n

    @property
    def accuracy(self) -> float | None:
        """The accuracy of the automated predictions; None for none."""
        return 1 - self.wrong / self.automated if self.automated else None

    @property
    def accuracy_ci95(self) -> tuple[float, float] | None:
        """Wilson's interval of the accuracy."""
        return wilson_interval(self.automated - self.wrong, self.automated) if self.automated else None


def compare_thresholds(given: Predictions, costs: Costs, threshold: float, other: float) -> Amount:
    """Return the gain of one threshold over another, with the interval of the paired difference.

    Only the images between the two thresholds count: one checks them, the other automates them.
    """
    low, high = sorted(min(max(end, 0.0), CHECK_ALL) for end in (threshold, other))
    between = (low <= given.confidence) & (given.confidence < high)
    wrong = int((between & ~given.correct).sum())
    correct, rest = int(between.sum()) - wrong, int((~between).sum())
    gain = costs.saved_by_automating
    # an image brings nothing, the gain, or the gain minus the stake; thresholds at both ends leave no image out
    everything = low == 0 and high > 1
    possible = [False, False] if low == high else [True, True]
    amount = _bootstrap([rest, correct, wrong], [0.0, gain, gain - costs.stake], [not everything, *possible])
    if threshold <= other:
        return amount
    return Amount(0.0 - amount.value, (0.0 - amount.ci95[1], 0.0 - amount.ci95[0]))


def _bootstrap(counts: Sequence[int], values: Sequence[float], possible: Sequence[bool]) -> Amount:
    """Return the mean value per 1,000 images, with an interval from a Bayesian bootstrap over images.

    Half an image is added to each kind of image that is possible, so that a kind that was not seen may still occur.

    Source: D. B. Rubin (1981), "The Bayesian bootstrap"; the half images are Jeffreys' prior.
    """
    mean = IMAGES * float(np.dot(counts, values)) / sum(counts)
    alpha = np.array([count + 0.5 for count, may in zip(counts, possible, strict=True) if may])
    amounts = [IMAGES * value for value, may in zip(values, possible, strict=True) if may]
    draws = np.random.default_rng(_SEED).dirichlet(alpha, DRAWS) @ amounts
    low, high = np.percentile(draws, [2.5, 97.5])
    return Amount(mean, (min(float(low), mean), max(float(high), mean)))


def apply_threshold(given: Predictions, costs: Costs, threshold: float) -> Outcome:
    """Return the result of a threshold; the intervals are over images, for this threshold.

    Args:
        given: the predictions for the images.
        costs: in money per image.
        threshold: confidence from which predictions are automated; 0 automates all, `CHECK_ALL` none.

    Raises:
        UsageError: the threshold is not a number.

    Example:
        `cost_model.apply_threshold(test, prices, 0.9).proportion`
    """
    if math.isnan(threshold):
        raise UsageError("The threshold is not a number.", "give a confidence from 0 to 1")
    automated = given.confidence >= threshold
    gain, paid = compare_thresholds(given, costs, threshold, CHECK_ALL), IMAGES * costs.cost_prediction
    return Outcome(
        threshold=float(threshold),
        n=len(automated),
        automated=int(automated.sum()),
        wrong=int((automated & ~given.correct).sum()),
        saving=Amount(gain.value - paid, (gain.ci95[0] - paid, gain.ci95[1] - paid)),
        saving_over_machine=compare_thresholds(given, costs, threshold, 0.0),
    )


def choose_threshold(validation: Predictions, costs: Costs) -> float:
    """Return the threshold with the highest saving on validation images.

    It is the confidence of the least confident image that is still worth automating: 0 where all are, `CHECK_ALL` where
    none is. Of thresholds with the same saving, the lowest is chosen, which automates most.

    Args:
        validation: predictions for images on which no result is reported.
        costs: in money per image.

    Source: C. K. Chow (1970), "On optimum recognition error and reject tradeoff", for the rule with exact confidences.
    """
    order = np.argsort(-validation.confidence, kind="stable")
    confidence = validation.confidence[order]
    wrong = np.concatenate([[0], np.cumsum(~validation.correct[order])])
    gains = costs.saved_by_automating * np.arange(len(wrong)) - costs.stake * wrong
    # a threshold cannot separate images of the same confidence
    gains[1:-1][confidence[1:] == confidence[:-1]] = -np.inf
    rounding = 1e-12 * len(wrong) * (costs.cost_check + costs.stake)
    automated = int(np.flatnonzero(gains >= gains.max() - rounding)[-1])
    if automated == len(confidence):
        return 0.0
    return float(confidence[automated - 1]) if automated else CHECK_ALL


def thresholds_around(threshold: float, given: Predictions, count: int = 60) -> np.ndarray:
    """Return rising thresholds for a curve, `[T] float64`: evenly spaced up to 1, and at quantiles of the confidences.

    They include the threshold itself. The closer it is to 1, the closer to 1 they start.

    Example:
        `thresholds = cost_model.thresholds_around(plan.chosen.threshold, test)`
    """
    low = 0.0 if threshold > 1 else min(max(0.0, 1.0 - 10.0 * (1.0 - threshold)), 0.99)
    even, held = np.linspace(low, 1.0, count), np.quantile(given.confidence, np.linspace(0.0, 1.0, count))
    return np.unique(np.concatenate([even, held[held > low], [min(max(threshold, low), 1.0)]]))
