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
        folds: number of folds.
        estimable: `bool [N]`; False for the images of a class that a fold held completely, because all its images are in
            one group. No head that could know the class has predicted them.
    """

    labels: np.ndarray
    together: np.ndarray
    probabilities: np.ndarray
    predicted: np.ndarray
    folds: int
    estimable: np.ndarray

    @property
    def correct(self) -> np.ndarray:
        """The fraction of the repeats in which each estimable image is classified correctly, `[≤ N] float64`."""
        return (self.predicted == self.labels).mean(axis=0)[self.estimable]

    @property
    def accuracies(self) -> np.ndarray:
        """The accuracy of each repeat on the estimable images, `[R] float64`."""
        return (self.predicted == self.labels)[:, self.estimable].mean(axis=1)

    @property
    def accuracy(self) -> float:
        """The mean accuracy of a head, which is that of a single one and not of the averaged probabilities."""
        return float(self.correct.mean())

    @property
    def accuracy_ci95(self) -> tuple[float, float]:
        """The 95% interval of `accuracy`, from `mean_with_interval`."""
        return mean_with_interval(self.correct, self.together[self.estimable])[1]

    @property
    def balanced_accuracy(self) -> tuple[float, tuple[float, float]]:
        """The mean accuracy of the classes, and its 95% interval."""
        return mean_with_interval(self.correct, self.together[self.estimable], self.labels[self.estimable])

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
        OsemnError: the lengths differ, or there are fewer than two groups, or no class has two groups.

    Example:
        `out_of_fold.cross_validated(fit_predict, train.labels, together, folds=5, repeats=3, seed=0)`
    """
    if len(labels) != len(together):
        raise OsemnError(
            f"{len(together)} groups for {len(labels)} labels.", "give each image the number of its group"
        )
    folds = min(folds, len(np.unique(together)), np.bincount(labels, minlength=1).max())
    if folds < 2:
        raise OsemnError(
            "Images of a single group, or one of each class, cannot be cross-validated.",
            "add images that are not copies of each other, or set few_images to 0",
        )
    mean, predicted, estimable = 0.0, np.empty((repeats, len(labels)), np.int64), np.ones(len(labels), bool)
    for repeat in range(repeats):
        for train, test in _split(labels, together, folds, seed + repeat):
            probabilities = fit_predict(train, test)
            if np.ndim(mean) == 0:
                mean = np.zeros((len(labels), probabilities.shape[1]), np.float32)
            mean[test] += probabilities / repeats
            predicted[repeat, test] = probabilities.argmax(axis=1)
            estimable &= ~np.isin(labels, np.setdiff1d(labels[test], labels[train]))
    if not estimable.any():
        raise OsemnError(
            "Every class has a single group of images, so none can be learned from the others.",
            "group the images by something that is not the class, or set few_images to 0",
        )
    return OutOfFold(labels, together, mean, predicted, folds, estimable)


def _split(labels: np.ndarray, together: np.ndarray, folds: int, seed: int) -> list[tuple[np.ndarray, ...]]:
    """Return the training and test rows of each fold."""
    single = len(np.unique(together)) == len(
        together
    )  # StratifiedKFold is faster, and its classes are more even
    splitter = (StratifiedKFold if single else StratifiedGroupKFold)(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # a class with fewer images than folds is missing in some test folds only
        warnings.filterwarnings("ignore", message="The least populated class")
        return list(splitter.split(labels, labels, None if single else together))


def mean_with_interval(
    correct: np.ndarray, together: np.ndarray, classes: np.ndarray | None = None
) -> tuple[float, tuple[float, float]]:
    """Return an accuracy and its 95% interval, for images that come in groups; with classes, the balanced accuracy.

    The interval is Wilson's for an effective number of images: the binomial variance divided by the variance between
    groups. It is at most the number of images, although averaging over repeats and folds makes the variance smaller than
    binomial: folds share their training images, and repeats all images, which adds a variance that cannot be estimated.
    Student's t replaces the normal quantile where there are few groups.

    Source: N. Dean and M. Pagano (2015), "Evaluating confidence interval methods for binomial proportions in clustered
    surveys", Journal of Survey Statistics and Methodology 3.

    Args:
        correct: fraction of its repeats in which each image is classified correctly, `[N] float64`.
        together: number of each image's group, `[N] int64`.
        classes: true classes, `[N] int64`, each of which counts the same; None counts each image the same.
    """
    n, groups = len(correct), np.unique(together, return_inverse=True)[1]
    strata = np.zeros(n, np.int64) if classes is None else np.unique(classes, return_inverse=True)[1]
    sizes = np.bincount(strata)
    weights = (n / (len(sizes) * sizes))[strata]
    means = np.bincount(strata, correct) / sizes
    estimate = float(means.mean())
    residuals = np.bincount(groups, weights * (correct - means[strata]))
    count = len(residuals)
    between = count / max(count - 1, 1) * float(residuals @ residuals) / n**2
    binomial = estimate * (1 - estimate) / n
    within = np.bincount(groups, weights)
    least = float(within @ within) / n if binomial == 0 else float(weights @ weights) / n
    effect = max(least, between / binomial) if binomial else least
    quantile = float(stats.t.ppf(0.975, max(count - 1, 1)))
    return estimate, _wilson(estimate, n / effect, quantile)


def _wilson(p: float, n: float, z: float) -> tuple[float, float]:
    """Return Wilson's interval of a proportion for a number of images that need not be whole."""
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return max(centre - half, 0.0), min(centre + half, 1.0)
