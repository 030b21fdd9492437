"""Scores with their intervals."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats
from sklearn.metrics import f1_score

from helpers.errors import OsemnError

LEVEL = 0.05  # of tests: a difference is shown where its p-value lies below


def wilson_interval(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion.

    Args:
        successes: how many of `n` were right.
        n: number of trials.
        level: confidence level, between 0 and 1.

    Raises:
        OsemnError: `n` is not positive, or `successes` is not between 0 and `n`.

    Source: E. B. Wilson (1927), "Probable inference, the law of succession, and statistical inference", as
    in `scipy.stats.binomtest`.
    """
    if n <= 0 or not 0 <= successes <= n:
        raise OsemnError(
            f"{successes} of {n} is no proportion.", "give 0 ≤ successes ≤ n with at least one trial"
        )
    interval = stats.binomtest(int(successes), int(n)).proportion_ci(confidence_level=level, method="wilson")
    return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class Score:
    """How well predicted labels agree with the true ones.

    Attributes:
        n: number of images.
        accuracy: share of right predictions.
        accuracy_ci95: Wilson's interval of the accuracy.
        macro_f1: mean of the classes' F1.
    """

    n: int
    accuracy: float
    accuracy_ci95: tuple[float, float]
    macro_f1: float


def score(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> Score:
    """Score predicted labels.

    Args:
        labels: `[N] int64`, the true labels.
        predicted: `[N] int64`, the predicted labels.
        num_classes: number of classes, so that a class nobody predicted counts with F1 = 0.

    Raises:
        OsemnError: the two have not the same length, or are empty.
    """
    if len(labels) != len(predicted) or len(labels) == 0:
        raise OsemnError(
            f"{len(predicted)} predictions for {len(labels)} labels.", "predict each image exactly once"
        )
    right = int(np.sum(labels == predicted))
    macro_f1 = f1_score(labels, predicted, labels=np.arange(num_classes), average="macro", zero_division=0)
    return Score(len(labels), right / len(labels), wilson_interval(right, len(labels)), float(macro_f1))


@dataclass(frozen=True)
class Comparison:
    """Two models on the same images.

    Attributes:
        difference: accuracy of the one minus accuracy of the other.
        ci95: its 95% interval.
        p_value: of McNemar's exact test that both are right equally often.
        only_one: images that only the one got right.
        only_other: images that only the other got right.
    """

    difference: float
    ci95: tuple[float, float]
    p_value: float
    only_one: int
    only_other: int

    @property
    def significant(self) -> bool:
        """Whether the difference is more than noise at the 5% level."""
        return self.p_value < LEVEL

    def corrected(self, candidates: int) -> "Comparison":
        """Return the comparison for the best of several candidates: p-value times their number (Bonferroni), 1 at most."""
        return replace(self, p_value=min(1.0, self.p_value * candidates))

    def as_metrics(self) -> dict[str, Any]:
        """Return the comparison in percentage points as stages log it: `points`, `ci95`, `p_value`, `shown`."""
        return {
            "points": 100 * self.difference,
            "ci95": [100 * end for end in self.ci95],
            "p_value": self.p_value,
            "shown": self.significant,
        }


def compare(labels: np.ndarray, one: np.ndarray, other: np.ndarray) -> Comparison:
    """Compare two models image by image.

    Args:
        labels: `[N] int64`, the true labels.
        one: `[N] int64`, what the one predicted.
        other: `[N] int64`, what the other predicted.

    Raises:
        OsemnError: the three have not the same length, or are empty.

    Source: Q. McNemar (1947), exact by the binomial distribution; the interval is Agresti and Min's (2005) for
    paired proportions, a Wald interval after half an image was added to each of the four cells. With few images it can leave
    out zero where the exact test shows nothing: it is then widened to zero.
    """
    if not len(labels) == len(one) == len(other) or len(labels) == 0:
        raise OsemnError(
            f"{len(one)} and {len(other)} predictions for {len(labels)} labels.",
            "compare models on the same images",
        )
    one_right, other_right = one == labels, other == labels
    only_one, only_other = int(np.sum(one_right & ~other_right)), int(np.sum(other_right & ~one_right))
    discordant = only_one + only_other
    p_value = float(stats.binomtest(only_one, discordant).pvalue) if discordant else 1.0
    n = len(labels) + 2
    gain, loss = (only_one + 0.5) / n, (only_other + 0.5) / n
    half = float(stats.norm.ppf(0.975)) * ((gain + loss - (gain - loss) ** 2) / n) ** 0.5
    low, high = max(gain - loss - half, -1.0), min(gain - loss + half, 1.0)
    if p_value >= LEVEL:
        low, high = min(low, 0.0), max(high, 0.0)
    return Comparison((only_one - only_other) / len(labels), (low, high), p_value, only_one, only_other)


@dataclass(frozen=True)
class Mean:
    """A mean with its 95% interval, by Student's t over images.

    Attributes:
        n: images.
        value: the mean; None where there is none.
        ci95: its interval; None for fewer than two.
    """

    n: int
    value: float | None
    ci95: tuple[float, float] | None


def mean_of(values: np.ndarray) -> Mean:
    """Return the mean of `[N]` values and its interval."""
    values = np.asarray(values, np.float64)
    if len(values) == 0:
        return Mean(0, None, None)
    mean = float(values.mean())
    if len(values) < 2:
        return Mean(len(values), mean, None)
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return Mean(len(values), mean, (mean - half, mean + half))
