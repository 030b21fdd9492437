"""The metric by which models are chosen: one number for predicted labels, higher is better."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from helpers import scoring, wording
from helpers.errors import OsemnError, UsageError, nearest

TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "mcc": "Matthews correlation",
    "cost": "cost per image",
}
AUTO = "auto"
_PROPORTIONS = ("accuracy", "balanced_accuracy")  # of correct predictions, whatever the incorrect ones are
BY_CLASS = ("balanced_accuracy", "macro_f1")
"""Metrics that are means over the classes."""
UNEQUAL = 2.0  # times the smallest class: from here on, accuracy can rise while the small class is ignored


@dataclass(frozen=True)
class Metric:
    """A metric of predicted labels.

    Attributes:
        name: one of `TITLES`.
        costs: for `"cost"` only: the cost of each prediction, `[K][K]`, by true label, then by predicted label.

    Raises:
        UsageError: the name is unknown, or the costs are not a square of finite numbers.

    Example:
        `metric = Metric("balanced_accuracy")`
    """

    name: str
    costs: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        """Check the name and the costs."""
        if self.name not in TITLES:
            raise UsageError(f"There is no metric '{self.name}'.", nearest(self.name, (AUTO, *TITLES)))
        if (self.name == "cost") != bool(self.costs):
            raise UsageError(
                "The metric 'cost' and the parameter costs belong together.",
                "set both: --set 03_preprocess.metric=cost --set '03_preprocess.costs=[[0, 1], [5, 0]]'",
            )
        if any(len(row) != len(self.costs) for row in self.costs) or not np.isfinite(self.costs).all():
            raise UsageError(
                f"The costs are not a square of finite numbers: {[list(row) for row in self.costs]}.",
                "give a row for each true class, in the order of the class names, with a cost for each predicted class",
            )

    def __call__(self, labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> float:
        """Return the metric of predicted labels; the cost per image has a minus sign.

        Balanced accuracy is the mean recall of the classes that occur in `labels`, and macro-F1 the mean of all classes'.

        Args:
            labels: `[N] int64`, the true labels.
            predicted: `[N] int64`, the predicted labels.
            num_classes: number of classes, K.

        Raises:
            OsemnError: the lengths differ, there are no images, or the costs are for another number of classes.

        Source: B. W. Matthews (1975) and J. Gorodkin (2004) for the correlation of more than two classes.

        Example:
            `metric(validation.labels, predicted, validation.num_classes)`
        """
        scoring.check_lengths(labels, predicted)
        cells, counts = np.unique(np.stack([labels, predicted]), axis=1, return_counts=True)
        return float(self.of_cells(cells[0], cells[1], counts[None], num_classes)[0])

    def of_cells(
        self, labels: np.ndarray, predicted: np.ndarray, counts: np.ndarray, num_classes: int
    ) -> np.ndarray:
        """Return the metric of several samples, `[samples]`, from the number of images in each cell.

        Args:
            labels: `[cells] int64`, the true label of a cell's images.
            predicted: `[cells] int64`, their predicted label.
            counts: `[samples, cells]`, number of images.
            num_classes: number of classes, K.

        Raises:
            OsemnError: the costs are for another number of classes.
        """
        if self.costs and len(self.costs) != num_classes:
            raise OsemnError(
                f"The costs are for {len(self.costs)} classes; the data have {num_classes}.",
                "give a row and a column for each class, in the order of the class names",
            )
        if self.costs:
            return -(counts @ np.array(self.costs)[labels, predicted]) / counts.sum(axis=1)
        right = scoring.by_class(labels, labels == predicted, counts, num_classes)
        true, guessed = (
            scoring.by_class(classes, np.ones(len(classes)), counts, num_classes)
            for classes in (labels, predicted)
        )
        if self.name == "macro_f1":
            return (2 * right / np.maximum(true + guessed, 1)).mean(axis=1)
        if self.name == "mcc":
            return _matthews(right, true, guessed)
        return getattr(scoring.score_counts(right, true, guessed), self.name)

    @property
    def title(self) -> str:
        """The metric's name in a sentence."""
        return TITLES[self.name]

    @property
    def in_percent(self) -> bool:
        """Whether a value of it is written as a percentage."""
        return self.name in _PROPORTIONS

    def words(self, value: float) -> str:
        """Return a value of the metric in words: `93.2%`, `0.912`, or a cost without its minus sign."""
        if self.in_percent:
            return wording.percent(value)
        return wording.number(-value if self.costs else value, 3)

    def difference_words(self, value: float) -> str:
        """Return a difference of two values in words: `1.3 points`, `0.013`."""
        if self.in_percent:
            return f"{wording.points(100 * value)} points"
        return wording.number(value, 3)

    @property
    def unit(self) -> str:
        """The unit of a hundredth of it, with its space, for `wording.difference`."""
        return f" {'points' if self.in_percent else 'hundredths'} of {self.title}"

    def facts(self) -> dict[str, Any]:
        """Return the metric as plain JSON; `of_facts` reads it."""
        return {"name": self.name, "costs": [list(row) for row in self.costs]}

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> "Metric":
        """Return the metric that `facts` described."""
        return cls(facts["name"], tuple(map(tuple, facts["costs"])))


def choose(name: str, costs: Sequence[Sequence[float]], class_counts: np.ndarray) -> Metric:
    """Return a metric by name; `"auto"` is accuracy, or balanced accuracy where classes are unequal.

    Args:
        name: `"auto"` or one of `TITLES`.
        costs: for `"cost"`; see `Metric`.
        class_counts: training images of each class, `[K] int64`.

    Raises:
        UsageError: as for `Metric`, or the costs are for another number of classes.

    Example:
        `chosen = metrics.choose(metric, costs, train.class_counts())`
    """
    if costs and len(costs) != len(class_counts):
        raise UsageError(
            f"The costs are for {len(costs)} classes; the data have {len(class_counts)}.",
            "give a row and a column for each class, in the order of the class names",
        )
    if name == AUTO and not costs:
        unequal = class_counts.max() > UNEQUAL * max(1, class_counts.min())
        name = "balanced_accuracy" if unequal else "accuracy"
    return Metric(name, tuple(tuple(float(cost) for cost in row) for row in costs))


def load(path: Path) -> Metric:
    """Return the metric that 03_preprocess chose and wrote.

    Example:
        `metric = metrics.load(run.input("03_preprocess", "metric.json"))`
    """
    return Metric.of_facts(json.loads(path.read_text(encoding="utf-8")))


def _matthews(right: np.ndarray, true: np.ndarray, guessed: np.ndarray) -> np.ndarray:
    n = true.sum(axis=1)
    covariance = right.sum(axis=1) * n - (true * guessed).sum(axis=1)
    spread = (n**2 - (true**2).sum(axis=1)) * (n**2 - (guessed**2).sum(axis=1))
    return covariance / np.sqrt(np.where(spread > 0, spread, np.inf))


@dataclass(frozen=True)
class Difference:
    """How much better one model is than another on the same images.

    Attributes:
        metric: by which they are compared.
        value: metric of the first minus metric of the second.
        ci95: its two-sided 95% interval.
        upper95: with 95% confidence, the difference is below this (one-sided).
    """

    metric: Metric
    value: float
    ci95: tuple[float, float]
    upper95: float

    def as_metrics(self) -> dict[str, Any]:
        """Return the difference times 100 as stages log it: `points`, `ci95`, `shown` (significant), and their unit."""
        return {
            "points": 100 * self.value,
            "ci95": [100 * end for end in self.ci95],
            "shown": not self.ci95[0] <= 0 <= self.ci95[1],
            "unit": self.metric.unit,
        }


# of a bootstrap: its 97.5th percentile is then exact to a hundredth of a point at 1,000 images
_DRAWS = 4_000


def compare(
    metric: Metric, labels: np.ndarray, one: np.ndarray, other: np.ndarray, num_classes: int
) -> Difference:
    """Compare two models on the same images by a metric.

    The interval is that of a percentile bootstrap over the images. Where two models hardly differ, the images alone would say
    that they never do; so half an image is added that only the first, and half a one that only the second classifies correctly,
    as in Agresti and Min's interval (2005): to each class where the metric averages over classes, otherwise to all.

    Args:
        metric: the metric.
        labels: `[N] int64`, the true labels.
        one: `[N] int64`, predictions of the first model.
        other: `[N] int64`, predictions of the second model.
        num_classes: number of classes, K.

    Raises:
        OsemnError: the lengths differ, or there are no images.
    """
    scoring.check_lengths(labels, one)
    scoring.check_lengths(labels, other)
    labels, one, other = _as_counted(metric, labels, np.stack([one, other]), num_classes)
    cells, counts = np.unique(np.stack([labels, one, other]), axis=1, return_counts=True)
    present, support = np.unique(labels, return_counts=True)
    wrong = np.array([_usual_error(label, labels, one, other, num_classes) for label in present])
    added = np.full(len(present), 0.5) if metric.name in BY_CLASS else 0.5 * support / len(labels)
    cells = np.concatenate([cells, [present, present, wrong], [present, wrong, present]], axis=1)
    weights = np.concatenate([counts, added, added])
    drawn = np.random.default_rng(0).multinomial(len(labels), weights / weights.sum(), size=_DRAWS)
    first, second = (metric.of_cells(cells[0], cells[row], drawn, num_classes) for row in (1, 2))
    low, upper, high = np.quantile(first - second, (0.025, 0.95, 0.975))
    value = metric(labels, one, num_classes) - metric(labels, other, num_classes)
    return Difference(metric, value, (float(low), float(high)), float(upper))


def tested(
    metric: Metric, labels: np.ndarray, one: np.ndarray, other: np.ndarray, num_classes: int
) -> dict[str, Any]:
    """Compare two trained networks by a metric, as stages log it: by McNemar's test for accuracy, otherwise by `compare`.

    Returns:
        What `wording.difference` takes: `points`, `ci95`, `shown`, `unit`, and `p_value` for accuracy.
    """
    if metric.name == "accuracy":
        return scoring.compare(labels, one, other).as_metrics() | {"unit": metric.unit}
    return compare(metric, labels, one, other, num_classes).as_metrics()


def _as_counted(metric: Metric, labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Return labels and predictions, `[1 + M, N]`, with what the metric ignores made alike, so that they make few different cells."""
    if metric.name not in _PROPORTIONS:
        return np.vstack([labels, predicted])
    counted = labels if metric.name in BY_CLASS else np.zeros_like(labels)
    return np.vstack([counted, np.where(predicted == labels, counted, (counted + 1) % num_classes)])


def _usual_error(label: int, labels: np.ndarray, one: np.ndarray, other: np.ndarray, num_classes: int) -> int:
    """Return the class that both models most often predict for images of another one."""
    chosen = labels == label
    predicted = np.bincount(np.concatenate([one[chosen], other[chosen]]), minlength=num_classes)
    predicted[label] = -1
    return int(predicted.argmax())


_DRAWS_OF_VARIANCE = 1_000  # a standard deviation is then known to 2%
# of each method at least: with two, an interval over seeds is 12.7 standard errors wide to each side
SEEDS = 3


def compare_methods(
    metric: Metric, labels: np.ndarray, ones: np.ndarray, others: np.ndarray, num_classes: int
) -> Difference:
    """Compare two methods of training by networks from several seeds each, all on the same images.

    The interval covers seeds and images together, where `compare` holds of two networks alone. It is Student's, with Welch and
    Satterthwaite's degrees of freedom, from three variances: between the seeds of each method, and of the mean over the seeds
    between images, by a bootstrap. What single images and seeds vary together is part of the first two, and left out of the third.

    Args:
        metric: the metric.
        labels: `[N] int64`, the true labels.
        ones: `[S, N] int64`, predictions of the first method's networks, at least `SEEDS`.
        others: `[T, N] int64`, predictions of the second method's networks, at least `SEEDS`.
        num_classes: number of classes, K.

    Raises:
        OsemnError: a method has fewer seeds.

    Source: F. E. Satterthwaite (1946), "An approximate distribution of estimates of variance components". Its coverage was measured
    by `benchmarks/method_intervals.py`.
    """
    if min(len(ones), len(others)) < SEEDS:
        raise OsemnError(
            f"There are {len(ones)} and {len(others)} networks of the two methods.",
            f"train each with {SEEDS} seeds, or compare two networks",
        )
    n = len(labels)
    rows = _as_counted(metric, labels, np.vstack([ones, others]), num_classes)
    cells, counts = np.unique(rows, axis=1, return_counts=True)
    drawn = np.random.default_rng(0).multinomial(n, counts / n, size=_DRAWS_OF_VARIANCE)
    values, means, variances, twice = [], [], [], 0.0
    for given, rows in zip((ones, others), np.split(cells[1:], [len(ones)]), strict=True):
        by_seed = np.array([metric.of_cells(cells[0], row, drawn, num_classes) for row in rows])
        means.append(by_seed.mean(axis=0))
        twice += (by_seed.var(axis=1).mean() - means[-1].var()) / (len(rows) - 1)
        values.append([metric(labels, row, num_classes) for row in given])
        variances.append(np.var(values[-1], ddof=1) / len(rows))
    # at least one image: where no network differs, these images alone would say that none ever does
    variances.append(max((means[0] - means[1]).var() - twice, 1 / n**2))
    freedom = np.array([len(ones) - 1, len(others) - 1, n - 1])
    t = stats.t(sum(variances) ** 2 / np.sum(np.square(variances) / freedom), scale=sum(variances) ** 0.5)
    value = float(np.mean(values[0]) - np.mean(values[1]))
    return Difference(
        metric, value, (value + float(t.ppf(0.025)), value + float(t.ppf(0.975))), value + float(t.ppf(0.95))
    )
