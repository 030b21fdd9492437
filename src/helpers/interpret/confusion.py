"""What the confusion matrix shows: scores by class with intervals, confused pairs, groups of classes, collapse."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score

from helpers.errors import OsemnError
from helpers.scoring import bootstrap_scores, check_lengths, score_confusion, wilson_interval

Interval = tuple[float, float]


def matrix(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the confusion matrix, `[K, K] int64`: rows are true classes, columns predicted ones.

    Raises:
        OsemnError: the lengths differ, or there are no images.

    Example:
        `confusion.matrix(test.labels, predicted, len(names))`
    """
    check_lengths(labels, predicted)
    return confusion_matrix(labels, predicted, labels=np.arange(num_classes)).astype(np.int64)


@dataclass(frozen=True)
class ClassScore:
    """Precision, recall and F1 of one class.

    A value is None where there is nothing to divide by: no image of the class, or no prediction of it.

    Attributes:
        name: the class.
        support: images of the class.
        predicted: images predicted to be of it.
        precision: proportion of the predictions that are correct, with Wilson's interval.
        recall: proportion of the images that are recognised, with Wilson's interval.
        f1: harmonic mean of the two, with an interval derived from Wilson's.
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
        n: number of images.
        accuracy: proportion of correct predictions, with Wilson's interval.
        macro_f1: mean over the classes that occur, with an interval (see `scores`).
        weighted_f1: mean weighted by how often classes occur, with an interval (see `scores`).
        balanced_accuracy: mean recall over the classes that occur, with an interval (see `scores`).
        classes: scores of each class.
    """

    n: int
    accuracy: float
    accuracy_ci95: Interval
    macro_f1: float
    macro_f1_ci95: Interval
    weighted_f1: float
    weighted_f1_ci95: Interval
    balanced_accuracy: float
    balanced_accuracy_ci95: Interval
    classes: tuple[ClassScore, ...]

    @property
    def absent(self) -> list[str]:
        """The classes without an image; they are left out of the macro mean."""
        return [one.name for one in self.classes if one.support == 0]

    @property
    def weakest(self) -> ClassScore:
        """The class with the lowest F1."""
        return min((one for one in self.classes if one.f1 is not None), key=lambda one: one.f1)


def scores(confusion: np.ndarray, class_names: Sequence[str], *, draws: int = 2_000, seed: int = 0) -> Scores:
    """Return all scores with 95% intervals.

    A plain bootstrap cannot draw mistakes that the sample does not contain: a class without mistakes would get an interval
    of zero width. The F1 of a class therefore uses Wilson's interval: among the images that are of the class or predicted as
    it, the correct fraction J is a proportion, and F1 = 2J / (1 + J). The three means use Wilson's interval of the accuracy,
    scaled by the ratio of their bootstrap standard deviation to the accuracy's. The bootstrap adds one image, half of it
    correct, so that the samples vary even where the model makes no mistake.

    Args:
        confusion: `[K, K]` counts, rows are true classes.
        class_names: K names.
        draws: number of bootstrap samples.
        seed: seed of the samples.

    Raises:
        OsemnError: the matrix is empty, or its shape is not K × K.

    Source: intervals of proportions by Wilson (1927); the parametric bootstrap by B. Efron (1979).

    Example:
        `confusion.scores(counts, names, seed=seed).macro_f1_ci95`
    """
    confusion = np.asarray(confusion)
    count, n = len(class_names), int(confusion.sum())
    if confusion.shape != (count, count) or n == 0:
        raise OsemnError(
            f"A confusion matrix {list(confusion.shape)} of {n} images for {count} classes.",
            "pass K × K counts of at least one image, and K names",
        )
    observed, accuracy_ci95 = score_confusion(confusion), wilson_interval(int(np.trace(confusion)), n)
    label, predicted = np.divmod(np.arange(count * count), count)
    generator, weights = np.random.default_rng(seed), _smoothed(confusion).ravel()
    (sampled,) = bootstrap_scores(label, (predicted,), weights, n, count, draws=draws, generator=generator)
    accuracy, spread = float(observed.accuracy), sampled.accuracy.std()
    means: list[Any] = []
    for name in ("macro_f1", "weighted_f1", "balanced_accuracy"):
        value, ratio = float(getattr(observed, name)), getattr(sampled, name).std() / spread
        low, high = (ratio * abs(end - accuracy) for end in accuracy_ci95)
        means += [value, (max(value - low, 0.0), min(value + high, 1.0))]
    f1 = observed.f1.tolist()
    classes = tuple(_class_score(name, confusion, index, f1[index]) for index, name in enumerate(class_names))
    return Scores(n, accuracy, accuracy_ci95, *means, classes)


def _smoothed(confusion: np.ndarray) -> np.ndarray:
    """Return the counts with one image more: half spread over the diagonal, half over the rest, of the classes that occur."""
    occurring = confusion.sum(axis=1, keepdims=True) > 0
    diagonal = np.eye(len(confusion), dtype=bool)
    smoothed = confusion.astype(np.float64)
    for cells in (diagonal & occurring, ~diagonal & occurring):
        smoothed += 0.5 * cells / max(cells.sum(), 1)
    return smoothed


def _class_score(name: str, confusion: np.ndarray, index: int, f1: float) -> ClassScore:
    correct, support = int(confusion[index, index]), int(confusion[index].sum())
    predicted = int(confusion[:, index].sum())
    precision, recall = _proportion(correct, predicted), _proportion(correct, support)
    _, jaccard_ci95 = _proportion(correct, support + predicted - correct)
    if jaccard_ci95 is None:
        return ClassScore(name, support, predicted, *precision, *recall, None, None)
    f1_ci95 = tuple(2 * end / (1 + end) for end in jaccard_ci95)
    return ClassScore(name, support, predicted, *precision, *recall, f1, f1_ci95)


def _proportion(correct: int, n: int) -> tuple[float | None, Interval | None]:
    return (correct / n, wilson_interval(correct, n)) if n else (None, None)


@dataclass(frozen=True)
class Confused:
    """One kind of mistake.

    Attributes:
        true: class of the images.
        predicted: class that was predicted.
        count: number of images.
        share: fraction of the images of the true class.
    """

    true: str
    predicted: str
    count: int
    share: float


def most_confused(confusion: np.ndarray, class_names: Sequence[str], top: int = 5) -> list[Confused]:
    """Return the most frequent kinds of mistake, most frequent first; fewer if there are not as many.

    Example:
        `confusion.most_confused(counts, names, top=10)`
    """
    confusion = np.asarray(confusion)
    mistakes = confusion * ~np.eye(len(confusion), dtype=bool)
    order = np.unravel_index(np.argsort(-mistakes, axis=None, kind="stable")[:top], mistakes.shape)
    cells = zip(*order, mistakes[order].tolist(), confusion.sum(axis=1)[order[0]].tolist(), strict=True)
    return [
        Confused(class_names[true], class_names[predicted], count, count / support)
        for true, predicted, count, support in cells
        if count
    ]


def groups(confusion: np.ndarray, class_names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the groups of classes that are confused with each other, largest first; single classes are left out.

    Average linkage; classes are close if many of their images are predicted as the other. The tree is cut at half the
    average confusion of the pairs that are ever confused.
    """
    fractions = confusion / np.maximum(np.sum(confusion, axis=1, keepdims=True), 1)
    near = (fractions + fractions.T) / 2
    np.fill_diagonal(near, 0.0)
    if len(class_names) < 3 or near.max() == 0:
        return []
    tree = hierarchy.linkage(squareform(near.max() - near, checks=False), "average")
    of_class = hierarchy.fcluster(tree, near.max() - near[near > 0].mean() / 2, "distance")
    clusters = pd.Series(class_names).groupby(of_class).apply(tuple)
    return sorted((cluster for cluster in clusters if len(cluster) > 1), key=len, reverse=True)


def mistakes_within(confusion: np.ndarray, class_names: Sequence[str], group: Sequence[str]) -> int:
    """Return the number of mistakes that stay within a group of classes."""
    rows = np.isin(class_names, group)
    block = np.asarray(confusion)[np.ix_(rows, rows)]
    return int(block.sum() - np.trace(block))


@dataclass(frozen=True)
class Overpredicted:
    """The class whose predictions exceed its images by the largest number.

    Attributes:
        name: the class.
        of_predictions: fraction of all predictions.
        of_images: fraction of all images.
        collapsed: whether more than half of the images of other classes are predicted as this one.
    """

    name: str
    of_predictions: float
    of_images: float
    collapsed: bool


def most_overpredicted(confusion: np.ndarray, class_names: Sequence[str]) -> Overpredicted:
    """Return the class that is predicted too often by the largest number, and whether the model collapses into it."""
    confusion = np.asarray(confusion)
    n, support, predicted = int(confusion.sum()), confusion.sum(axis=1), confusion.sum(axis=0)
    most = int(np.argmax(predicted - support))
    others = n - support[most]
    collapsed = bool(others and (predicted[most] - confusion[most, most]) / others > 0.5)
    return Overpredicted(class_names[most], float(predicted[most] / n), float(support[most] / n), collapsed)


def areas(probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> pd.DataFrame:
    """Return average precision and area under the ROC curve of each class; None if the class is absent or the only one.

    Example:
        `confusion.areas(probabilities, test.labels, names)`
    """
    measures, rows = {"average_precision": average_precision_score, "roc_auc": roc_auc_score}, {}
    for index, name in enumerate(class_names):
        mine, column = labels == index, probabilities[:, index]
        known = 0 < mine.sum() < len(mine)
        rows[name] = [float(area(mine, column)) if known else None for area in measures.values()]
    # objects, because pandas would turn None into NaN, which metrics refuse
    table = pd.DataFrame.from_dict(rows, "index", columns=list(measures), dtype=object)
    return table.rename_axis("class")
