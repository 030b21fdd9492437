"""What the confusion matrix says: scores by class with intervals, confused pairs, groups of classes, collapse."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score

from helpers.errors import OsemnError
from helpers.scoring import wilson_interval

Interval = tuple[float, float]


def matrix(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the confusion matrix, `[K, K] int64`: rows are true classes, columns predicted ones.

    Raises:
        OsemnError: the two have not the same length, or are empty.
    """
    if len(labels) != len(predicted) or len(labels) == 0:
        raise OsemnError(
            f"{len(predicted)} predictions for {len(labels)} labels.", "predict each image exactly once"
        )
    return confusion_matrix(labels, predicted, labels=np.arange(num_classes)).astype(np.int64)


@dataclass(frozen=True)
class F1:
    """F1 by class and its two means; each array may have leading axes, one entry for each matrix.

    Attributes:
        by_class: `[…, K]`; 0 for a class that is never right, NaN for one that neither occurs nor is predicted.
        macro: mean over the classes that occur.
        weighted: mean over the classes, by how often they occur.
    """

    by_class: np.ndarray
    macro: np.ndarray
    weighted: np.ndarray


def f1_of(confusion: np.ndarray) -> F1:
    """Return F1 from confusion matrices, `[…, K, K]`."""
    confusion = np.asarray(confusion, np.float64)
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    support, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    with np.errstate(invalid="ignore"):
        by_class = 2 * right / (support + predicted)
    counted = np.where(support > 0, by_class, 0.0)
    occurring = np.maximum((support > 0).sum(axis=-1), 1)
    weighted = (counted * support).sum(axis=-1) / np.maximum(support.sum(axis=-1), 1.0)
    return F1(by_class, counted.sum(axis=-1) / occurring, weighted)


@dataclass(frozen=True)
class ClassScore:
    """One class: what of it was found, and what of the predictions was right.

    A value is None where there is nothing to divide by: no image of the class, or no prediction of it.

    Attributes:
        name: the class.
        support: images of the class.
        predicted: images predicted to be of it.
        precision: share of the predictions that are right, with Wilson's interval.
        recall: share of the images that are found, with Wilson's interval.
        f1: harmonic mean of the two, with an interval by way of Wilson's.
    """

    name: str
    support: int
    predicted: int
    precision: float | None
    precision_ci95: Interval | None
    recall: float | None
    recall_ci95: Interval | None
    f1: float | None
    f1_ci95: Interval | None


@dataclass(frozen=True)
class Scores:
    """All scores that follow from one confusion matrix.

    Attributes:
        accuracy: share of right predictions, with Wilson's interval.
        macro_f1: mean over the classes that occur, with an interval (see `scores`).
        weighted_f1: mean by how often classes occur, with one alike.
        classes: by class.
    """

    n: int
    accuracy: float
    accuracy_ci95: Interval
    macro_f1: float
    macro_f1_ci95: Interval
    weighted_f1: float
    weighted_f1_ci95: Interval
    classes: tuple[ClassScore, ...]

    @property
    def absent(self) -> list[str]:
        """The classes of which there is no image; they are left out of the macro mean."""
        return [found.name for found in self.classes if found.support == 0]


def scores(confusion: np.ndarray, class_names: Sequence[str], *, draws: int = 2_000, seed: int = 0) -> Scores:
    """Return all scores with 95% intervals.

    A plain bootstrap cannot draw mistakes that the sample does not contain: a class without any would have an interval of no
    width. So the F1 of a class takes Wilson's interval: of the images that are of the class or were taken for it, the share J
    that is right is a proportion, and F1 is 2J / (1 + J). The two means take Wilson's interval of the accuracy, stretched by
    how much more than the accuracy they vary from sample to sample; the samples are drawn with one image more, half of it
    right, so that they vary where the model makes no mistake.

    Args:
        confusion: `[K, K]` counts, rows are true classes.
        class_names: K names.
        draws: samples.
        seed: of the samples.

    Raises:
        OsemnError: the matrix is empty, or has not a row and a column for each class.

    Source: intervals of proportions by Wilson (1927); the parametric bootstrap by B. Efron (1979).
    """
    confusion = np.asarray(confusion)
    count, n = len(class_names), int(confusion.sum())
    if confusion.shape != (count, count) or n == 0:
        raise OsemnError(
            f"A confusion matrix {list(confusion.shape)} of {n} images for {count} classes.",
            "pass K × K counts of at least one image, and K names",
        )
    found, right = f1_of(confusion), int(np.trace(confusion))
    sampled, accuracies = _samples(confusion, draws, seed)
    accuracy_ci95 = wilson_interval(right, n)
    macro, weighted = float(found.macro), float(found.weighted)
    return Scores(
        n,
        right / n,
        accuracy_ci95,
        macro,
        _stretched(macro, right / n, accuracy_ci95, sampled.macro.std() / accuracies.std()),
        weighted,
        _stretched(weighted, right / n, accuracy_ci95, sampled.weighted.std() / accuracies.std()),
        tuple(
            _class_score(name, confusion, index, float(found.by_class[index]))
            for index, name in enumerate(class_names)
        ),
    )


def _samples(confusion: np.ndarray, draws: int, seed: int) -> tuple[F1, np.ndarray]:
    """Return F1 and accuracy, `[draws]`, of samples like this one: confusion matrices, drawn whole."""
    count, n = len(confusion), int(confusion.sum())
    occurring = confusion.sum(axis=1, keepdims=True) > 0
    diagonal = np.eye(count, dtype=bool)
    likely = confusion.astype(np.float64)
    for cells in (diagonal & occurring, ~diagonal & occurring):
        likely += 0.5 * cells / max(cells.sum(), 1)
    drawn = np.random.default_rng(seed).multinomial(n, likely.ravel() / likely.sum(), size=draws)
    drawn = drawn.reshape(draws, count, count)
    return f1_of(drawn), np.trace(drawn, axis1=1, axis2=2) / n


def _stretched(value: float, accuracy: float, accuracy_ci95: Interval, ratio: float) -> Interval:
    """Return the interval of a mean F1: that of the accuracy, its two halves stretched, within 0 and 1."""
    low, high = accuracy_ci95
    return max(value - ratio * (accuracy - low), 0.0), min(value + ratio * (high - accuracy), 1.0)


def _class_score(name: str, confusion: np.ndarray, index: int, f1: float) -> ClassScore:
    right, support = int(confusion[index, index]), int(confusion[index].sum())
    predicted = int(confusion[:, index].sum())
    either = support + predicted - right
    return ClassScore(
        name,
        support,
        predicted,
        right / predicted if predicted else None,
        wilson_interval(right, predicted) if predicted else None,
        right / support if support else None,
        wilson_interval(right, support) if support else None,
        f1 if either else None,
        _f1_interval(right, either) if either else None,
    )


def _f1_interval(right: int, either: int) -> Interval:
    low, high = wilson_interval(right, either)
    return 2 * low / (1 + low), 2 * high / (1 + high)


@dataclass(frozen=True)
class Confused:
    """One kind of mistake.

    Attributes:
        true: the class of the images.
        predicted: what they were taken for.
        count: how many images.
        share: of the images of the true class.
    """

    true: str
    predicted: str
    count: int
    share: float


def most_confused(confusion: np.ndarray, class_names: Sequence[str], top: int = 5) -> list[Confused]:
    """Return the most frequent kinds of mistake, most frequent first; fewer where there are not as many."""
    mistakes = np.array(confusion)
    np.fill_diagonal(mistakes, 0)
    support = np.asarray(confusion).sum(axis=1)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:top]
    found = []
    for true, predicted in zip(*np.unravel_index(order, mistakes.shape), strict=True):
        count = int(mistakes[true, predicted])
        if count:
            found.append(
                Confused(class_names[true], class_names[predicted], count, count / int(support[true]))
            )
    return found


def groups(confusion: np.ndarray, class_names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the groups of classes that are taken for each other, largest first; classes that stand alone are left out.

    Average linkage; classes are near when many of their images are taken for the other. The tree is cut where pairs are
    confused half as often as pairs are on average, those that never are left aside.
    """
    count = len(class_names)
    if count < 3:
        return []
    shares = np.asarray(confusion, np.float64) / np.maximum(
        np.asarray(confusion).sum(axis=1, keepdims=True), 1
    )
    near = (shares + shares.T) / 2
    np.fill_diagonal(near, 0.0)
    if near.max() == 0:
        return []
    tree = hierarchy.linkage(squareform(near.max() - near, checks=False), "average")
    of_class = hierarchy.fcluster(tree, near.max() - near[near > 0].mean() / 2, "distance")
    found = [tuple(np.asarray(class_names)[of_class == number].tolist()) for number in np.unique(of_class)]
    return sorted((group for group in found if len(group) > 1), key=len, reverse=True)


def describe_mistakes(confusion: np.ndarray, class_names: Sequence[str]) -> str:
    """Say whether the predictions collapse into one class or one group of classes, in words made from the numbers."""
    confusion = np.asarray(confusion)
    n, support, predicted = int(confusion.sum()), confusion.sum(axis=1), confusion.sum(axis=0)
    mistakes = n - int(np.trace(confusion))
    if mistakes == 0:
        return f"All {n:,} predictions are right."
    most = int(np.argmax(predicted - support))
    others = n - support[most]
    if others and (predicted[most] - confusion[most, most]) / others > 0.5:
        first = (
            f"The model **collapses into one class**: {predicted[most] / n:.0%} of all predictions are {class_names[most]}, "
            f"which {support[most] / n:.0%} of the images are."
        )
    else:
        first = (
            f"The model does not collapse into one class: the most over-predicted one, {class_names[most]}, makes "
            f"{predicted[most] / n:.1%} of the predictions and {support[most] / n:.1%} of the images."
        )
    found = groups(confusion, class_names)
    if not found:
        return f"{first} No group of classes stands out among its mistakes."
    index = {name: place for place, name in enumerate(class_names)}
    parts = []
    for group in found:
        rows = np.array([index[name] for name in group])
        block = confusion[np.ix_(rows, rows)]
        inside = int(block.sum() - np.trace(block))
        parts.append(f"{inside / mistakes:.0%} stay within {{{', '.join(group)}}}")
    return f"{first} Of its {mistakes:,} mistakes, {'; '.join(parts)}."


def areas(probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> pd.DataFrame:
    """Return average precision and area under the ROC curve of each class; None where a class is absent or alone."""
    rows = []
    for index, name in enumerate(class_names):
        mine = labels == index
        known = 0 < mine.sum() < len(mine)
        rows.append(
            {
                "class": name,
                "average_precision": float(average_precision_score(mine, probabilities[:, index]))
                if known
                else None,
                "roc_auc": float(roc_auc_score(mine, probabilities[:, index])) if known else None,
            }
        )
    return pd.DataFrame(rows).set_index("class")
