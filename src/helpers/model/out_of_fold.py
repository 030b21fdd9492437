"""Out-of-fold predictions: each image is predicted by a head that has seen neither it nor its copies.

With few images, a validation part is too small to measure an accuracy. Cross-validation uses every image for it once.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from helpers.errors import OsemnError

FitPredict = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Predictions of images by heads that were not trained on them.

    Attributes:
        labels: `[N] int64`.
        together: number of each image's group, `[N] int64`; a group is never split.
        probabilities: mean over the repeats, `float32 [N, K]`.
        predicted: of each repeat, `[R, N] int64`.
        fold: number of the fold in which each repeat predicts an image, `[R, N] int64`.
        estimable: `bool [N]`; False for the images of a class that a fold held completely, because all its images are in
            one group. No head that could know the class has predicted them.
    """

    labels: np.ndarray
    together: np.ndarray
    probabilities: np.ndarray
    predicted: np.ndarray
    fold: np.ndarray
    estimable: np.ndarray

    @property
    def folds(self) -> int:
        """The number of folds."""
        return int(self.fold.max()) + 1

    @property
    def accuracies(self) -> np.ndarray:
        """The accuracy of each repeat on the estimable images, `[R] float64`."""
        return (self.predicted == self.labels)[:, self.estimable].mean(axis=1)

    @property
    def accuracy(self) -> tuple[float, tuple[float, float]]:
        """The mean accuracy of a head and its 95% interval; not that of the averaged probabilities."""
        return self._scored(None)

    @property
    def balanced_accuracy(self) -> tuple[float, tuple[float, float]]:
        """The mean accuracy of the classes and its 95% interval."""
        return self._scored(self.labels[self.estimable])

    def _scored(self, classes: np.ndarray | None) -> tuple[float, tuple[float, float]]:
        """Return the mean over the estimable images and its interval."""
        rows = self.estimable
        correct = (self.predicted == self.labels)[:, rows]
        return mean_with_interval(correct, self.fold[:, rows], self.together[rows], classes)

    def save(self, path: Path, **further: np.ndarray | int) -> None:
        """Write the predictions as an `.npz` with `index`, the row of each image, and other arrays."""
        index = np.arange(len(self.labels), dtype=np.int64)
        np.savez(path, index=index, **vars(self), **further)


def cross_validated(
    fit_predict: FitPredict,
    labels: np.ndarray,
    together: np.ndarray,
    *,
    folds: int,
    repeats: int,
    seed: int,
) -> OutOfFold:
    """Predict every image by stratified group k-fold cross-validation, repeated with other folds.

    Args:
        fit_predict: trains on the rows of its first argument, `[M] int64`, and returns the probabilities of the rows of
            its second, `float32 [L, K]`. Everything fitted, such as a scaling, must be fitted in it.
        labels: `[N] int64`.
        together: number of each image's group, `[N] int64`; the images of a group are always in the same fold.
        folds: number of folds; one for each group if there are fewer groups.
        repeats: number of repeats.
        seed: draws the folds; the same seed gives the same folds.

    Raises:
        OsemnError: there are fewer than two groups, or no class has two groups.

    Example:
        `out_of_fold.cross_validated(fit_predict, train.labels, together, folds=5, repeats=3, seed=0)`
    """
    folds = min(folds, len(np.unique(together)), np.bincount(labels, minlength=1).max())
    if folds < 2:
        raise OsemnError(
            "Images of a single group, or one of each class, cannot be cross-validated.",
            "add images that are not copies of each other, or set few_images to 0",
        )
    probabilities: list[np.ndarray] = []
    fold, estimable = np.empty((repeats, len(labels)), np.int64), np.ones(len(labels), bool)
    for repeat in range(repeats):
        parts = []
        for number, (train, test) in enumerate(_split(labels, together, folds, seed + repeat)):
            parts.append((test, fit_predict(train, test)))
            fold[repeat, test] = number
            estimable &= ~np.isin(labels, np.setdiff1d(labels[test], labels[train]))
        order = np.argsort(np.concatenate([rows for rows, _ in parts]))
        probabilities.append(np.concatenate([values for _, values in parts])[order])
    if not estimable.any():
        raise OsemnError(
            "Every class has a single group of images, so none can be learned from the others.",
            "group the images by something that is not the class, or set few_images to 0",
        )
    predicted, mean = np.argmax(probabilities, axis=2), np.mean(probabilities, axis=0)
    return OutOfFold(labels, together, mean, predicted, fold, estimable)


def _split(labels: np.ndarray, together: np.ndarray, folds: int, seed: int) -> list[tuple[np.ndarray, ...]]:
    """Return the training and test rows of each fold."""
    # without groups, StratifiedKFold is faster and its classes are more even
    single = len(np.unique(together)) == len(together)
    splitter = (StratifiedKFold if single else StratifiedGroupKFold)(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # a class with fewer images than folds is missing in some test folds only
        warnings.filterwarnings("ignore", message="The least populated class")
        return list(splitter.split(labels, labels, None if single else together))


def mean_with_interval(
    correct: np.ndarray, fold: np.ndarray, together: np.ndarray, classes: np.ndarray | None = None
) -> tuple[float, tuple[float, float]]:
    """Return a cross-validated accuracy and its 95% interval; with classes, the balanced accuracy.

    Folds share their training images, and repeats share all images, so that their accuracies depend on each other. The
    interval is Wilson's for an effective number of images, at most N, which follows from the corrected resampled variance
    of Nadeau and Bengio: the variance between folds times 1 / (number of folds in all repeats) + 1 / (folds − 1). It is
    an interval of the accuracy of heads trained on the images of all folds but one. For these it covers 95 to 99% in
    `benchmarks/coverage_of_folds.py`, where a bootstrap over groups covers 86 to 94%, and Wilson's interval that counts the
    repeats as images 45 to 75%. The balanced accuracy of 15 groups is covered in 92%. A head trained on all images may be more
    accurate than these.

    Source: C. Nadeau and Y. Bengio (2003), "Inference for the generalization error", Machine Learning 52.

    Args:
        correct: whether each image is classified correctly in each repeat, `[R, N] bool`.
        fold: number of its fold in each repeat, `[R, N] int64`.
        together: number of its group, `[N] int64`. If all images are classified correctly, folds do not differ, and each
            group counts as one image.
        classes: true classes, `[N] int64`, each of which counts the same; None counts each image the same.
    """
    n, folds = len(together), int(fold.max()) + 1
    strata = np.zeros(n, np.int64) if classes is None else np.unique(classes, return_inverse=True)[1]
    sizes = np.bincount(strata)
    weights, means = (n / (len(sizes) * sizes))[strata], np.bincount(strata, correct.mean(axis=0)) / sizes
    estimate = float(means.mean())
    numbers = (fold + folds * np.arange(len(fold))[:, None]).ravel()
    totals = np.bincount(numbers, (weights * (correct - means[strata])).ravel())
    counts = np.bincount(numbers)
    deviations = totals[counts > 0] / counts[counts > 0]
    variance = (1 / len(deviations) + 1 / (folds - 1)) * float(deviations.var(ddof=1))
    binomial = estimate * (1 - estimate)
    if binomial:
        effective = binomial / max(variance, binomial * float(weights @ weights) / n**2)
    else:
        of_groups = np.bincount(np.unique(together, return_inverse=True)[1], weights)
        effective = n**2 / float(of_groups @ of_groups)
    return estimate, wilson(estimate, effective, float(stats.t.ppf(0.975, len(deviations) - 1)))


def wilson(p: float, n: float, z: float) -> tuple[float, float]:
    """Return Wilson's interval of a proportion for a number of images that may be a fraction, and a quantile."""
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return max(centre - half, 0.0), min(centre + half, 1.0)
