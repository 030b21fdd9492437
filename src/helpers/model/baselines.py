"""Measures a model's cost and accuracy, and puts several models into a table."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from time import perf_counter
from typing import Any

import keras
import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler
from sklearn.base import ClassifierMixin
from sklearn.pipeline import Pipeline

from helpers.model import training
from helpers.obtain import data
from helpers.scoring import Score, score


@dataclass(frozen=True)
class Result:
    """A model's cost and validation score, for a row of the table.

    Attributes:
        label: its name in a sentence.
        parameters: number of fitted parameters; for a forest, its nodes.
        samples: number of training images.
        fit_seconds: wall-clock seconds of the fit.
        predict_microseconds: wall-clock microseconds per validation image, all predicted in one call.
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


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of a call and its wall-clock seconds.

    Example:
        `_, seconds = baselines.timed(lambda: model.fit(features, labels))`
    """
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
        label: the model's name in a sentence.
        predict: returns predicted labels, `[N] int64`, or probabilities, `float32 [N, K]`.
        labels: the true labels, `[N] int64`.
        num_classes: number of classes.
        parameters: number of fitted parameters.
        samples: number of training images.
        fit_seconds: seconds of the fit.

    Returns:
        The row of the table, and what `predict` returned.
    """
    outputs, seconds = timed(predict)
    predicted = outputs if outputs.ndim == 1 else outputs.argmax(axis=1)
    microseconds = 1e6 * seconds / len(labels)
    row = Result(label, parameters, samples, fit_seconds, microseconds, score(labels, predicted, num_classes))
    return row, outputs


def measure_network(
    label: str, model: keras.Model, validation: data.Dataset, *, samples: int, fit_seconds: float
) -> tuple[Result, np.ndarray]:
    """Predict the validation part with a network once, timed, and score it.

    Args:
        label: the network's name in a sentence.
        model: from raw pixels to probabilities.
        validation: the validation part.
        samples: number of training images.
        fit_seconds: seconds of the training.

    Returns:
        The row of the table, and the probabilities, `float32 [N, K]`.

    Example:
        `row, probabilities = baselines.measure_network("three-layer CNN", cnn, validation, samples=n, fit_seconds=s)`
    """
    costs = {"parameters": model.count_params(), "samples": samples, "fit_seconds": fit_seconds}
    predict = partial(training.predict, model, validation.images)
    return measure(label, predict, validation.labels, validation.num_classes, **costs)


def as_table(rows: Iterable[Mapping[str, object]], names: Sequence[str] | None = None) -> pd.DataFrame:
    """Return rows as a table in which the ends of the accuracy's interval are the columns `low` and `high`.

    Example:
        `table = baselines.as_table([row.as_metrics() for row in rows.values()], list(rows))`
    """
    table = pd.DataFrame(list(rows), index=names)
    table[["low", "high"]] = table.pop("accuracy_ci95").to_list()
    return table


_FORMATS = {
    **dict.fromkeys(("accuracy", "low", "high"), "{:.1%}"),
    **dict.fromkeys(("parameters", "trained_parameters", "samples"), "{:,}"),
    **dict.fromkeys(("fit_seconds", "extraction_seconds", "seconds"), "{:.1f}"),
    "images_per_second": "{:,.0f}",
    "macro_f1": "{:.3f}",
}


def style(table: pd.DataFrame, columns: Sequence[str], index: str | Sequence[str] = "label") -> Styler:
    """Return columns of a table, formatted for display.

    Example:
        `baselines.style(table, ["accuracy", "low", "high", "macro_f1", "parameters", "samples", "fit_seconds"])`
    """
    return table.set_index(index)[list(columns)].style.format({name: _FORMATS[name] for name in columns})


def count_parameters(model: ClassifierMixin | Pipeline) -> int:
    """Return the size of a fitted scikit-learn classifier: its coefficients, or the nodes of its trees."""
    estimator = model[-1] if isinstance(model, Pipeline) else model
    if hasattr(estimator, "estimators_"):
        return int(sum(tree.tree_.node_count for tree in estimator.estimators_))
    if hasattr(estimator, "coef_"):
        return int(estimator.coef_.size + estimator.intercept_.size)
    return 0
