"""What a data set's training part looks like, in numbers: balance, pixels, likeness of classes, embeddings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from helpers.errors import OsemnError
from helpers.obtain import data

_NEARLY_BLANK = 5.0  # standard deviation of an image's values, on the 0–255 scale


@dataclass(frozen=True)
class Balance:
    """A test of whether all classes are equally frequent.

    Attributes:
        counts: `[K] int64`, images by class.
        statistic: chi-square against equal shares, K − 1 degrees of freedom.
        p_value: probability of counts at least this unequal if all classes were equally frequent.
        effect_size: Cohen's w, the distance from equal shares whatever the sample size.
        ratio: the largest class divided by the smallest.
    """

    counts: np.ndarray
    statistic: float
    p_value: float
    effect_size: float
    ratio: float

    def in_words(self) -> str:
        """Return the verdict; words for the size follow Cohen (1988): 0.1 small, 0.3 medium, 0.5 large."""
        if self.statistic == 0:
            return "all classes are equally frequent, to the image"
        if self.p_value >= 0.05:
            return "the counts differ no more than chance allows"
        sizes = ((0.1, "a very small"), (0.3, "a small"), (0.5, "a medium"), (np.inf, "a large"))
        size = next(words for limit, words in sizes if self.effect_size < limit)
        return f"the counts differ by more than chance, with {size} effect"


def balance(counts: np.ndarray) -> Balance:
    """Test whether classes are equally frequent.

    Args:
        counts: `[K] int64`, images by class.

    Raises:
        OsemnError: there are fewer than two classes, or one has no image.

    Source: Pearson's chi-square test (`scipy.stats.chisquare`); J. Cohen (1988), "Statistical power
    analysis for the behavioral sciences", for the effect size w.
    """
    counts = np.asarray(counts)
    if len(counts) < 2 or counts.min() < 1:
        raise OsemnError(
            f"Class counts are {counts.tolist()}.", "give at least two classes, each with an image"
        )
    statistic, p_value = stats.chisquare(counts)
    return Balance(
        counts,
        float(statistic),
        float(p_value),
        float(np.sqrt(statistic / counts.sum())),
        float(counts.max() / counts.min()),
    )


def class_moments(images: np.ndarray, labels: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean image and the variance image of each class.

    Args:
        images: `[N, H, W, C] uint8`.
        labels: `[N] int64`.
        num_classes: number of classes, K.

    Returns:
        Two arrays `[K, H, W, C] float64`; the variance divides by the number of images.
    """
    means = np.zeros((num_classes, *images.shape[1:]))
    variances = np.zeros_like(means)
    for label in range(num_classes):
        chosen = images[labels == label]
        total, squares = np.zeros(images.shape[1:]), np.zeros(images.shape[1:])
        for part in data.chunks(chosen):
            values = chosen[part].astype(np.float32)
            total += values.sum(axis=0, dtype=np.float64)
            squares += np.square(values).sum(axis=0, dtype=np.float64)
        count = max(1, len(chosen))
        means[label] = total / count
        variances[label] = np.maximum(squares / count - means[label] ** 2, 0.0)
    return means, variances


def intensity_histogram(images: np.ndarray) -> np.ndarray:
    """Return how often each value occurs in each channel, `[C, 256] int64`, of `[N, H, W, C] uint8`."""
    return np.stack([data.pixel_histogram(images[..., channel]) for channel in range(images.shape[-1])])


def intensity_by_class(
    images: np.ndarray, labels: np.ndarray, num_classes: int, bins: int = 16
) -> np.ndarray:
    """Return the share of each class's pixels in equal bins from 0 to 255, `[K, bins] float64`.

    Raises:
        OsemnError: 256 is not a multiple of `bins`.
    """
    if 256 % bins:
        raise OsemnError(f"256 values do not fall into {bins} equal bins.", "use 4, 8, 16, 32, …")
    shares = np.zeros((num_classes, bins))
    for label in range(num_classes):
        counts = intensity_histogram(images[labels == label]).sum(axis=0).reshape(bins, -1).sum(axis=1)
        shares[label] = counts / max(1, counts.sum())
    return shares


def channel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each channel on the 0–255 scale, `[C] float64` each.

    Exact: computed from the counts of the 256 values, so no sum loses digits.
    """
    counts = intensity_histogram(images).astype(np.float64)
    values = np.arange(256.0)
    total = counts.sum(axis=1)
    mean = counts @ values / total
    variance = (counts * np.square(values[None, :] - mean[:, None])).sum(axis=1) / total
    return mean, np.sqrt(variance)


def flat_images(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of images of one value, and of the others that are nearly blank.

    Args:
        images: `[N, H, W, C] uint8`.
    """
    pixels = images.reshape(len(images), -1)
    constant = pixels.max(axis=1) == pixels.min(axis=1)
    deviation = np.concatenate([pixels[part].std(axis=1, dtype=np.float32) for part in data.chunks(pixels)])
    return np.flatnonzero(constant), np.flatnonzero(~constant & (deviation < _NEARLY_BLANK))


def class_correlation(means: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation between mean images, `[K, K] float64`; 0 where a mean image is flat."""
    flat = means.reshape(len(means), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    flat = np.divide(flat, norm, out=np.zeros_like(flat), where=norm > 1e-9)
    correlation = np.clip(flat @ flat.T, -1.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def ranked_pairs(scores: np.ndarray, class_names: Sequence[str]) -> list[tuple[str, str, float]]:
    """Return all pairs of classes by falling score, from a symmetric `[K, K]` array."""
    first, second = np.triu_indices(len(scores), k=1)
    order = np.argsort(-scores[first, second], kind="stable")
    return [
        (class_names[first[i]], class_names[second[i]], float(scores[first[i], second[i]])) for i in order
    ]


def rank_agreement(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation; None for fewer than three values, 0 where one side never varies."""
    if len(first) < 3:
        return None
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(stats.spearmanr(first, second).statistic)


def confusion_rates(images: np.ndarray, labels: np.ndarray, num_classes: int, seed: int) -> np.ndarray:
    """Return how often a linear classifier takes one class for the other, `[K, K] float64`, symmetric.

    Linear discriminant analysis on up to 50 principal components, 5-fold cross-validated: every image is
    judged by a model that has not seen it. The value for a pair is the share of its images, each class
    weighing the same, that go to the other class of the pair.

    Args:
        images: `[N, H, W, C] uint8`.
        labels: `[N] int64`; a class with fewer than two images is left out, and its rates are 0. So are all where a fold
            would leave no more images than classes.
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
    kept = counts[labels] >= 2
    images, labels = images[kept], labels[kept]
    if len(np.unique(labels)) < 2:
        return np.zeros((num_classes, num_classes))
    folds = int(min(5, counts[counts >= 2].min()))
    if len(labels) - math.ceil(len(labels) / folds) <= len(np.unique(labels)):
        return np.zeros((num_classes, num_classes))
    pixels = data.as_rows(images)
    components = min(50, pixels.shape[1], len(pixels) // 2)
    model = make_pipeline(
        PCA(
            components,
            svd_solver="covariance_eigh" if pixels.shape[1] <= 2_000 else "randomized",
            random_state=seed,
        ),
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
    )
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed)
    predicted = cross_val_predict(model, pixels, labels, cv=splits)
    confused = (
        confusion_matrix(labels, predicted, labels=np.arange(num_classes)) / np.maximum(counts, 1)[:, None]
    )
    return (confused + confused.T) / 2.0


@dataclass(frozen=True)
class Embedding:
    """Images as points in the plane.

    Attributes:
        points: `[N, 2] float64`.
        trustworthiness: 0–1; how far neighbours in the plane are neighbours among the pixels too.
        agreement: share of the ten nearest neighbours in the plane that carry the same label.
    """

    points: np.ndarray
    trustworthiness: float
    agreement: float


def embed(images: np.ndarray, labels: np.ndarray, seed: int) -> tuple[Embedding, Embedding, np.ndarray]:
    """Return the first two principal components, a t-SNE, and the share of variance of the components.

    Args:
        images: `[N, H, W, C] uint8`, a few thousand at most; N ≥ 4.
        labels: `[N] int64`.
        seed: starts the t-SNE.

    Source: L. van der Maaten and G. Hinton (2008), "Visualizing data using t-SNE", on 50 principal
    components; trustworthiness after J. Venna and S. Kaski (2001).
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    pixels = data.as_rows(images)
    model = PCA(min(50, *pixels.shape), svd_solver="randomized", random_state=seed)
    perplexity = min(30.0, (len(pixels) - 1) / 3)
    # sums depend on how many threads share them, and t-SNE makes much of the last digit
    with threadpool_limits(1):
        components = model.fit_transform(pixels)
        tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed, n_jobs=1).fit_transform(components)
    flat = components[:, :2]
    return (
        _embedding(components, flat, labels),
        _embedding(components, tsne, labels),
        model.explained_variance_ratio_,
    )


def _embedding(components: np.ndarray, points: np.ndarray, labels: np.ndarray) -> Embedding:
    from sklearn.manifold import trustworthiness
    from sklearn.neighbors import NearestNeighbors

    around = min(10, (len(points) - 1) // 2)
    neighbours = NearestNeighbors(n_neighbors=around).fit(points).kneighbors(return_distance=False)
    agreement = float(np.mean(labels[neighbours] == labels[:, None]))
    return Embedding(
        points.astype(np.float64), float(trustworthiness(components, points, n_neighbors=around)), agreement
    )
