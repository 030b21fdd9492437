"""Similarity of classes: by their mean images, and by how often a linear classifier confuses them; and one hard image."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from helpers.errors import UsageError
from helpers.obtain import data, splits

_AFAR = 7  # pixels a side, at least: outline and shade are left, which is what classes share that networks confuse
_COMPARED = 2_000  # images of each part: enough for the pair of classes, in a fraction of a second
_NEIGHBOURS = 15  # so that one odd neighbour does not decide


def class_correlation(means: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation between mean images, `[K, K] float64`; 0 where a mean image is flat."""
    flat = means.reshape(len(means), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    flat = np.divide(flat, norm, out=np.zeros_like(flat), where=norm > 1e-9)
    correlation = np.clip(flat @ flat.T, -1.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    return correlation


Pair = tuple[str, str, float]


def rank_pairs(scores: np.ndarray, class_names: Sequence[str]) -> list[Pair]:
    """Return all pairs of classes by falling score, from a symmetric `[K, K]` array."""
    places = combinations(range(len(scores)), 2)
    pairs = [(class_names[one], class_names[other], float(scores[one, other])) for one, other in places]
    return sorted(pairs, key=lambda pair: -pair[2])


@dataclass(frozen=True)
class Similarity:
    """Two rankings of the pairs of classes, most similar first.

    Attributes:
        alike: pairs by the correlation of their mean images.
        confused: pairs by how often a linear classifier confuses them.
    """

    alike: list[Pair]
    confused: list[Pair]

    @property
    def rank_agreement(self) -> float | None:
        """Spearman's correlation of the two rankings; None for fewer than three pairs, 0 if a ranking never varies."""
        first, second = ([value for *_, value in sorted(pairs)] for pairs in (self.alike, self.confused))
        if len(first) < 3:
            return None
        if np.ptp(first) == 0 or np.ptp(second) == 0:
            return 0.0
        return float(stats.spearmanr(first, second).statistic)

    def table(self) -> list[tuple[str, str, float, float]]:
        """Return each pair with both scores, by falling correlation."""
        confused = {(one, other): rate for one, other, rate in self.confused}
        return [(one, other, value, confused[one, other]) for one, other, value in self.alike]


def confusion_rates(images: np.ndarray, labels: np.ndarray, num_classes: int, seed: int) -> np.ndarray:
    """Return how often a linear classifier confuses two classes, `[K, K] float64`, symmetric.

    Linear discriminant analysis on up to 50 principal components, 5-fold cross-validated: every image is
    classified by a model that has not seen it. The value for a pair is the proportion of its images, each class
    weighing the same, that are classified as the other class of the pair.

    Args:
        images: `[N, H, W, C] uint8`.
        labels: `[N] int64`; a class with fewer than two images is left out, and its rates are 0. All rates are 0 if a
            fold would leave no more images than classes.
        num_classes: number of classes, K.
        seed: draws the folds.

    Source: R. A. Fisher (1936), "The use of multiple measurements in taxonomic problems"; shrinkage after
    O. Ledoit and M. Wolf (2004), as in `sklearn.discriminant_analysis`.
    """
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.metrics import confusion_matrix
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline

    counts = np.bincount(labels, minlength=num_classes)
    enough = counts[labels] >= 2
    images, labels = images[enough], labels[enough]
    if len(np.unique(labels)) < 2:
        return np.zeros((num_classes, num_classes))
    folds = int(min(5, counts[counts >= 2].min()))
    if len(labels) - math.ceil(len(labels) / folds) <= len(np.unique(labels)):
        return np.zeros((num_classes, num_classes))
    pixels = data.as_rows(images)
    components = min(50, pixels.shape[1], len(pixels) // 2)
    solver = "covariance_eigh" if pixels.shape[1] <= 2_000 else "randomized"
    reduction = PCA(components, svd_solver=solver, random_state=seed)
    model = make_pipeline(reduction, LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed)
    predicted = cross_val_predict(model, pixels, labels, cv=splits)
    confused = confusion_matrix(labels, predicted, labels=np.arange(num_classes), normalize="true")
    return (confused + confused.T) / 2.0


def followed(train: data.Dataset, validation: data.Dataset, index: int, seed: int) -> int:
    """Return the place of the validation image that the series follows: a hard one, found without a network.

    Images are reduced to a few pixels, and those of a sample of the validation part are classified by the classes of their
    nearest neighbours in a sample of the training part. Of the two classes that are confused most often, it is the image
    that is taken for the other class with the most confidence; without a mistake, it is the least confident one.

    Args:
        train: training images.
        validation: validation images.
        index: the place, if you choose the image; −1 for the hard one.
        seed: draws the samples.

    Raises:
        UsageError: there are fewer validation images.

    Source: nearest neighbours weighted by distance, as in `sklearn.neighbors.KNeighborsClassifier`.

    Example:
        `similarity.followed(train, validation, follow_image, seed)`
    """
    from sklearn.metrics import confusion_matrix
    from sklearn.neighbors import KNeighborsClassifier

    if index >= len(validation):
        raise UsageError(
            f"There is no validation image {index:,}: there are {len(validation):,}, counted from 0.",
            "set follow_image to a smaller number, or to -1 for a hard image",
        )
    if index >= 0:
        return index
    near, asked = (splits.stratified_sample(part.labels, _COMPARED, seed) for part in (train, validation))
    labels = validation.labels[asked]
    model = KNeighborsClassifier(min(_NEIGHBOURS, len(near)), weights="distance")
    model.fit(data.as_rows(train.subset(near).images, _AFAR), train.labels[near])
    probabilities = model.predict_proba(data.as_rows(validation.subset(asked).images, _AFAR))
    predicted, confidence = model.classes_[probabilities.argmax(axis=1)], probabilities.max(axis=1)
    confused = confusion_matrix(labels, predicted, labels=np.arange(validation.num_classes))
    np.fill_diagonal(confused, 0)
    pair = np.unravel_index((confused + confused.T).argmax(), confused.shape)
    between = np.isin(labels, pair) & np.isin(predicted, pair) & (labels != predicted)
    return int(asked[np.where(between, confidence, -confidence).argmax()])
