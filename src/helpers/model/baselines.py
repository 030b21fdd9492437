"""The classical baselines, and the table that puts cost beside accuracy."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from time import perf_counter

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.pipeline import Pipeline

from helpers.scoring import Score, score


@dataclass(frozen=True)
class Result:
    """One model's cost and validation score: a row of the table.

    Attributes:
        label: what people call it.
        parameters: fitted numbers; for a forest, its nodes.
        samples: training images it saw.
        fit_seconds: wall-clock seconds of the fit.
        predict_microseconds: wall-clock microseconds for each validation image, predicted in one call.
        score: accuracy and macro-F1 on the validation part.
    """

    label: str
    parameters: int
    samples: int
    fit_seconds: float
    predict_microseconds: float
    score: Score

    def as_metrics(self) -> dict[str, object]:
        """Return the row as plain metrics."""
        return {**{k: v for k, v in asdict(self).items() if k != "score"}, **asdict(self.score)}


def timed(call: Callable[[], object]) -> tuple[object, float]:
    """Return what `call` returns, and its wall-clock seconds."""
    started = perf_counter()
    value = call()
    return value, perf_counter() - started


def measure(
    label: str,
    predict: Callable[[], np.ndarray],
    labels: np.ndarray,
    num_classes: int,
    *,
    parameters: int,
    samples: int,
    fit_seconds: float,
) -> tuple[Result, np.ndarray]:
    """Predict the validation part once, timed, and score it.

    Args:
        label: what people call the model.
        predict: returns predicted labels, `[N] int64`.
        labels: the true labels, `[N] int64`.
        num_classes: number of classes.
        parameters: fitted numbers.
        samples: training images the model saw.
        fit_seconds: seconds of its fit.

    Returns:
        The row of the table, and the predicted labels.
    """
    predicted, seconds = timed(predict)
    row = Result(
        label,
        parameters,
        samples,
        fit_seconds,
        1e6 * seconds / len(labels),
        score(labels, predicted, num_classes),
    )
    return row, np.asarray(predicted, dtype=np.int64)


def count_parameters(model: ClassifierMixin | Pipeline) -> int:
    """Return how many numbers a fitted scikit-learn classifier holds: coefficients, or nodes of its trees."""
    estimator = model[-1] if isinstance(model, Pipeline) else model
    if hasattr(estimator, "estimators_"):
        return int(sum(tree.tree_.node_count for tree in estimator.estimators_))
    if hasattr(estimator, "coef_"):
        return int(estimator.coef_.size + estimator.intercept_.size)
    return 0
