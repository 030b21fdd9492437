"""The metric by which models are chosen: one number for predicted labels, higher is better."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.errors import OsemnError, UsageError, nearest

TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "mcc": "Matthews correlation",
    "cost": "cost per image",
}
AUTO = "auto"
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
        if len(labels) != len(predicted) or len(labels) == 0:
            raise OsemnError(
                f"{len(predicted)} predictions for {len(labels)} labels.", "predict each image exactly once"
            )
        counts = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
        counts = counts.reshape(num_classes, num_classes).astype(np.float64)
        return float(_FORMULAS[self.name](counts, self._costs_for(num_classes)))

    def _costs_for(self, num_classes: int) -> np.ndarray:
        if self.costs and len(self.costs) != num_classes:
            raise OsemnError(
                f"The costs are for {len(self.costs)} classes; the data have {num_classes}.",
                "give a row and a column for each class, in the order of the class names",
            )
        return np.array(self.costs)

    @property
    def title(self) -> str:
        """The metric's name in a sentence."""
        return TITLES[self.name]

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


def _balanced_accuracy(counts: np.ndarray, costs: np.ndarray) -> float:
    occurs = counts.sum(axis=1) > 0
    return float((np.diag(counts)[occurs] / counts.sum(axis=1)[occurs]).mean())


def _macro_f1(counts: np.ndarray, costs: np.ndarray) -> float:
    return float((2 * np.diag(counts) / np.maximum(counts.sum(axis=0) + counts.sum(axis=1), 1)).mean())


def _matthews(counts: np.ndarray, costs: np.ndarray) -> float:
    n, right = counts.sum(), np.trace(counts)
    true, predicted = counts.sum(axis=1), counts.sum(axis=0)
    spread = (n**2 - true @ true) * (n**2 - predicted @ predicted)
    return float((right * n - true @ predicted) / spread**0.5) if spread else 0.0


_FORMULAS = {
    "accuracy": lambda counts, costs: np.trace(counts) / counts.sum(),
    "balanced_accuracy": _balanced_accuracy,
    "macro_f1": _macro_f1,
    "mcc": _matthews,
    "cost": lambda counts, costs: -(counts * costs).sum() / counts.sum(),
}
