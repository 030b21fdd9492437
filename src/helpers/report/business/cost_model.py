"""What a model is worth in money: the confidence below which a person should look, and what that saves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Real

import numpy as np

from helpers.errors import OsemnError, UsageError
from helpers.interpret.calibration import at_temperature, check_probabilities
from helpers.scoring import wilson_interval

PICTURES = 1_000
CHECK_ALL = math.nextafter(1.0, 2.0)
"""The threshold that no confidence reaches."""


@dataclass(frozen=True)
class Costs:
    """What one picture costs and brings, in one unit of money.

    A person who looks is taken to be right. A prediction is paid for every picture, looked at or not.

    Attributes:
        value_right: value of a right answer, whoever gives it.
        cost_wrong: cost of a wrong answer that is let through.
        cost_check: cost of a person's look; above zero.
        cost_prediction: cost of a prediction.

    Raises:
        UsageError: one of them is not a finite number from zero, or `cost_check` is zero.
    """

    value_right: float
    cost_wrong: float
    cost_check: float
    cost_prediction: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value < math.inf:
                raise UsageError(
                    f"{field.name} is {value!r}, expected a finite number from zero.",
                    f"give {field.name} in money per picture, such as 0.08",
                )
            object.__setattr__(self, field.name, float(value))
        if self.cost_check == 0:
            raise UsageError(
                "cost_check is 0: a person would look at every picture, and there is nothing to decide.",
                "give what a person's look costs: seconds for a picture times the wage per second",
            )

    @property
    def stake(self) -> float:
        """Return by how much a right answer is better than a wrong one."""
        return self.value_right + self.cost_wrong


@dataclass(frozen=True)
class Answers:
    """A model's answers to some pictures.

    Attributes:
        confidence: `[N] float64`, 0–1, as it is compared with a threshold: after temperature scaling.
        right: `[N] bool`, whether the answer is right.

    Raises:
        OsemnError: there are none, the two differ in length, or a value is out of range.
    """

    confidence: np.ndarray
    right: np.ndarray

    def __post_init__(self) -> None:
        confidence, right = np.asarray(self.confidence, np.float64), np.asarray(self.right)
        if confidence.ndim != 1 or confidence.shape != right.shape or len(right) == 0:
            raise OsemnError(
                f"{list(confidence.shape)} confidences for {list(right.shape)} answers.",
                "give one of each for every picture, and at least one picture",
            )
        if not ((confidence >= 0) & (confidence <= 1)).all() or not np.isin(right, (0, 1)).all():
            raise OsemnError(
                "A confidence is not between 0 and 1, or an answer is neither right nor wrong.",
                "make the answers by cost_model.answers, from a model's probabilities",
            )
        object.__setattr__(self, "confidence", confidence)
        object.__setattr__(self, "right", right.astype(bool))


def answers(probabilities: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> Answers:
    """Return a model's answers with their confidences at a temperature.

    Args:
        probabilities: `[N, K] float32`, the model's own.
        labels: `[N] int64`.
        temperature: fitted on validation images, as by `calibration.fit_temperature`.

    Raises:
        OsemnError: the probabilities are none, or there are not as many labels.
        UsageError: the temperature is not a finite number above zero.
    """
    if not 0 < temperature < math.inf:
        raise UsageError(
            f"The temperature is {temperature}, expected a finite number above zero.",
            "take it from the candidate's metrics of 07_evaluation",
        )
    found = np.asarray(probabilities)
    scaled = at_temperature(check_probabilities(found, found.shape[-1] if found.ndim else 0), temperature)
    if len(scaled) != len(labels) or len(labels) == 0:
        raise OsemnError(
            f"{len(scaled)} predictions for {len(labels)} labels.", "predict each image exactly once"
        )
    return Answers(scaled.max(axis=1), found.argmax(axis=1) == np.asarray(labels))


@dataclass(frozen=True)
class Amount:
    """An amount with its 95% interval; money, or answers, in 1,000 pictures."""

    value: float
    ci95: tuple[float, float]

    @property
    def shown(self) -> bool:
        """Whether the interval excludes zero."""
        return not self.ci95[0] <= 0 <= self.ci95[1]


@dataclass(frozen=True)
class Outcome:
    """What it gives to automate the answers from a confidence on, and to let a person look at the others.

    Attributes:
        threshold: that confidence.
        n: pictures.
        automated: how many a person does not look at.
        wrong: how many of these are wrong.
        share: share that is automated.
        share_ci95: Wilson's interval of it.
        accuracy: share of the automated that is right; None where nothing is automated.
        accuracy_ci95: Wilson's interval of it.
        wrong_let_through: wrong answers in 1,000 pictures.
        net: net value of 1,000 pictures.
        saving: against a person looking at every picture, without a model; money in 1,000 pictures.
        saving_over_machine: against automating everything; money in 1,000 pictures.
    """

    threshold: float
    n: int
    automated: int
    wrong: int
    share: float
    share_ci95: tuple[float, float]
    accuracy: float | None
    accuracy_ci95: tuple[float, float] | None
    wrong_let_through: Amount
    net: Amount
    saving: Amount
    saving_over_machine: Amount


def _ends(part: int, n: int, certain: bool) -> tuple[float, float]:
    return (part / n, part / n) if certain else wilson_interval(part, n)


def _balance(n: int, part: int, wrong: int, gain: float, loss: float, fixed: bool) -> Amount:
    """Return `gain` for each of a part less `loss` for each of the wrong in it, in 1,000 of `n` pictures.

    Args:
        n: pictures.
        part: how many of them are in the part.
        wrong: how many of the part are wrong.
        gain: money, from zero.
        loss: money, from zero.
        fixed: whether the part is none or all of the pictures, whatever they are.

    Source: G. Y. Zou and A. Donner (2008), "Construction of confidence limits about effect measures": Wilson's intervals
    of the two shares, put together by their correlation. For thousands of pictures it is Student's interval of the
    mean of their values; that one is too narrow where few answers are wrong, and empty where none is.
    """
    share, bad = part / n, wrong / n
    low_share, high_share = _ends(part, n, fixed)
    low_bad, high_bad = _ends(wrong, n, fixed and part == 0)
    spread = share * (1 - bad)
    correlation = math.sqrt(bad * (1 - share) / spread) if spread else 0.0

    def half(of_share: float, of_bad: float) -> float:
        one, other = gain * of_share, loss * of_bad
        return math.sqrt(max(one**2 + other**2 - 2 * correlation * one * other, 0.0))

    value = gain * share - loss * bad
    low, high = half(share - low_share, high_bad - bad), half(high_share - share, bad - low_bad)
    return Amount(PICTURES * value, (PICTURES * (value - low), PICTURES * (value + high)))


def _moved(amount: Amount, by: float) -> Amount:
    return Amount(amount.value + by, (amount.ci95[0] + by, amount.ci95[1] + by))


def difference(found: Answers, costs: Costs, threshold: float, other: float) -> Amount:
    """Return what one threshold brings more than another in 1,000 pictures, with the interval of the difference.

    It is paired: only the pictures between the two count, which one looks at and the other automates.
    """
    low, high = sorted(min(max(end, 0.0), CHECK_ALL) for end in (threshold, other))
    between = (low <= found.confidence) & (found.confidence < high)
    wrong = int((between & ~found.right).sum())
    fixed = low == high or (low == 0 and high > 1)
    gain = _balance(len(between), int(between.sum()), wrong, costs.cost_check, costs.stake, fixed)
    if threshold <= other:
        return gain
    return Amount(0.0 - gain.value, (0.0 - gain.ci95[1], 0.0 - gain.ci95[0]))


def outcome(found: Answers, costs: Costs, threshold: float) -> Outcome:
    """Return what a threshold gives on some pictures; intervals are over pictures, the threshold is taken as given.

    Savings are paired: what one policy brings on a picture is taken from what the other brings on the same picture.

    Args:
        found: the model's answers to the pictures.
        costs: in money per picture.
        threshold: answers at least as sure as this are automated; 0 automates all, `CHECK_ALL` none.

    Raises:
        UsageError: the threshold is not a number.
    """
    if math.isnan(threshold):
        raise UsageError("The threshold is not a number.", "give a confidence from 0 to 1")
    alone = found.confidence >= threshold
    n, automated, wrong = len(alone), int(alone.sum()), int((alone & ~found.right).sum())
    fixed = threshold <= 0 or threshold > 1
    low, high = _ends(wrong, n, fixed and automated == 0)
    saving = _moved(difference(found, costs, threshold, CHECK_ALL), -PICTURES * costs.cost_prediction)
    return Outcome(
        threshold=float(threshold),
        n=n,
        automated=automated,
        wrong=wrong,
        share=automated / n,
        share_ci95=_ends(automated, n, fixed),
        accuracy=1 - wrong / automated if automated else None,
        accuracy_ci95=wilson_interval(automated - wrong, automated) if automated else None,
        wrong_let_through=Amount(PICTURES * wrong / n, (PICTURES * low, PICTURES * high)),
        net=_moved(saving, PICTURES * (costs.value_right - costs.cost_check)),
        saving=saving,
        saving_over_machine=difference(found, costs, threshold, 0.0),
    )


def best_threshold_in_theory(costs: Costs) -> float:
    """Return the confidence from which automating pays, if confidences are exact: 1 − check / (value + cost of wrong).

    An answer that is right with probability p brings p · value − (1 − p) · cost of wrong by itself, and value − check
    under a person's eyes; the prediction is paid either way. Where nothing is at stake, everything is automated.

    Source: C. K. Chow (1970), "On optimum recognition error and reject tradeoff".
    """
    return max(0.0, 1.0 - costs.cost_check / costs.stake) if costs.stake > 0 else 0.0


def choose(validation: Answers, costs: Costs) -> float:
    """Return the threshold with the highest net value on validation pictures, whatever their confidences mean.

    It is the confidence of the least sure picture whose automation still pays; 0 where that is the least sure of all,
    `CHECK_ALL` where none pays. Of thresholds with the same value, the lowest is taken, which automates most.

    Args:
        validation: answers to pictures that nothing is reported on.
        costs: in money per picture.
    """
    order = np.argsort(-validation.confidence, kind="stable")
    confidence = validation.confidence[order]
    wrong = np.concatenate([[0], np.cumsum(~validation.right[order])])
    gains = costs.cost_check * np.arange(len(wrong)) - costs.stake * wrong
    # A threshold cannot part pictures of one confidence.
    gains[1:-1][confidence[1:] == confidence[:-1]] = -np.inf
    rounding = 1e-12 * len(wrong) * (costs.cost_check + costs.stake)
    automated = int(np.flatnonzero(gains >= gains.max() - rounding)[-1])
    if automated == len(confidence):
        return 0.0
    return float(confidence[automated - 1]) if automated else CHECK_ALL


def thresholds_around(threshold: float, found: Answers, count: int = 60) -> np.ndarray:
    """Return rising thresholds for a curve, `[T] float64`: evenly up to 1, and where the confidences are.

    They include the threshold itself. The nearer it is to 1, the nearer to 1 they begin.
    """
    low = 0.0 if threshold > 1 else min(max(0.0, 1.0 - 10.0 * (1.0 - threshold)), 0.99)
    even, held = np.linspace(low, 1.0, count), np.quantile(found.confidence, np.linspace(0.0, 1.0, count))
    return np.unique(np.concatenate([even, held[held > low], [min(max(threshold, low), 1.0)]]))


def curve(found: Answers, costs: Costs, thresholds: Sequence[float] | np.ndarray) -> tuple[Outcome, ...]:
    """Return what each of some thresholds gives on the same pictures."""
    return tuple(outcome(found, costs, float(threshold)) for threshold in thresholds)
