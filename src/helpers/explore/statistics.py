"""Statistics of a training part: class balance, pixel values, embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from helpers.obtain import data

_CONSTANT = 1e-3  # standard deviation of an image of one value, after rounding in float32
_NEARLY_BLANK = 5.0  # standard deviation of an image's values; below this, nothing is to be seen


@dataclass(frozen=True)
class Balance:
    """A test of whether all classes are equally frequent.

    Attributes:
        counts: `[K] int64`, images by class.
        statistic: chi-square against equal class sizes, K − 1 degrees of freedom.
        p_value: probability of counts at least this unequal if all classes were equally frequent.
        effect_size: Cohen's w, the distance from equal sizes, whatever the number of images.
        ratio: size of the largest class divided by that of the smallest.
    """

    counts: np.ndarray
    statistic: float
    p_value: float
    effect_size: float
    ratio: float

    def in_words(self) -> str:
        """Return the result in words; those for the size follow Cohen (1988): 0.1 small, 0.3 medium, 0.5 large."""
        if self.statistic == 0:
            return "all classes have the same number of images"
        if self.p_value >= 0.05:
            return "class sizes do not differ significantly"
        sizes = ((0.1, "a very small"), (0.3, "a small"), (0.5, "a medium"), (np.inf, "a large"))
        size = next(words for limit, words in sizes if self.effect_size < limit)
        return f"class sizes differ significantly, with {size} effect"


def balance(counts: np.ndarray) -> Balance:
    """Test whether classes are equally frequent.

    Args:
        counts: `[K] int64`, images by class, at least one of each.

    Source: Pearson's chi-square test (`scipy.stats.chisquare`); J. Cohen (1988), "Statistical power
    analysis for the behavioral sciences", for the effect size w.

    Example:
        `statistics.balance(train.class_counts())`
    """
    statistic, p_value = map(float, stats.chisquare(counts))
    effect_size, ratio = np.sqrt(statistic / counts.sum()), counts.max() / counts.min()
    return Balance(counts, statistic, p_value, float(effect_size), float(ratio))


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
        chosen = np.flatnonzero(labels == label)
        total, squares = np.zeros(images.shape[1:]), np.zeros(images.shape[1:])
        for part in data.chunks(images, len(chosen)):
            values = images[chosen[part]].astype(np.float32)
            total += values.sum(axis=0, dtype=np.float64)
            squares += np.square(values).sum(axis=0, dtype=np.float64)
        count = max(1, len(chosen))
        means[label] = total / count
        variances[label] = np.maximum(squares / count - means[label] ** 2, 0.0)
    return means, variances


def class_spread(variances: np.ndarray, class_names: Sequence[str]) -> dict[str, float]:
    """Return each class's standard deviation of a pixel, 0–255, from the class that varies most to the one that varies least.

    Args:
        variances: `[K, H, W, C]`, as `class_moments` returns them.
        class_names: names by label.
    """
    spread = dict(zip(class_names, np.sqrt(variances.mean(axis=(1, 2, 3))).tolist(), strict=True))
    return dict(sorted(spread.items(), key=lambda item: -item[1]))


@dataclass(frozen=True)
class Intensities:
    """The distribution of pixel values.

    Attributes:
        histogram: `[C, 256] int64`, how often each value occurs in each channel.
        by_class: `[K, bins] float64`, proportion of each class's pixels in equal bins from 0 to 255.
        mean: `[C] float64`, on the 0–255 scale.
        deviation: `[C] float64`, standard deviation on the 0–255 scale.
        brightness: mean pixel value by class, from the darkest to the brightest.
    """

    histogram: np.ndarray
    by_class: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    brightness: dict[str, float]

    @property
    def proportions(self) -> np.ndarray:
        """Proportion of all pixels at each value, `[256] float64`."""
        return self.histogram.sum(axis=0) / self.histogram.sum()


def intensities(images: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> Intensities:
    """Return the distribution of the pixel values of `[N, H, W, C] uint8` images.

    Example:
        `statistics.intensities(train.images, train.labels, train.class_names)`
    """
    by_class = intensity_by_class(images, labels, len(class_names))
    brightness = dict(zip(class_names, (by_class @ np.arange(256.0)).tolist(), strict=True))
    return Intensities(
        intensity_histogram(images),
        by_class.reshape(len(class_names), 16, -1).sum(axis=2),
        *channel_statistics(images),
        dict(sorted(brightness.items(), key=lambda item: item[1])),
    )


def intensity_histogram(images: np.ndarray) -> np.ndarray:
    """Return how often each value occurs in each channel, `[C, 256] int64`, of `[N, H, W, C] uint8`."""
    counts = np.zeros((images.shape[-1], 256), np.int64)
    for part in data.chunks(images):
        some = images[part]
        counts += [data.pixel_histogram(some[..., channel]) for channel in range(images.shape[-1])]
    return counts


def intensity_by_class(images: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the proportion of each class's pixels at each value, `[K, 256] float64`."""
    counts = np.zeros((num_classes, 256), np.int64)
    for part in data.chunks(images):
        some = images[part]
        for label in np.unique(labels[part]):
            counts[label] += data.pixel_histogram(some[labels[part] == label])
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


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


def flat_images(index: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of images of a single value, and of other nearly blank images.

    Args:
        index: the index of the images, of which `contrast` is used.

    Returns:
        Two arrays of rows, `int64`.

    Example:
        `constant, blank = statistics.flat_images(index_table)`
    """
    contrast = index["contrast"].to_numpy()
    constant = contrast < _CONSTANT
    return np.flatnonzero(constant), np.flatnonzero(~constant & (contrast < _NEARLY_BLANK))


@dataclass(frozen=True)
class Embedding:
    """Images as points in the plane.

    Attributes:
        points: `[N, 2] float64`.
        trustworthiness: 0–1; how far neighbours in the plane are also neighbours by their pixels.
        agreement: proportion of the ten nearest neighbours in the plane that have the same label.
    """

    points: np.ndarray
    trustworthiness: float
    agreement: float


def embed(images: np.ndarray, labels: np.ndarray, seed: int) -> tuple[Embedding, Embedding, np.ndarray]:
    """Return the first two principal components, a t-SNE, and the proportion of variance of each component.

    Args:
        images: `[N, H, W, C] uint8`, a few thousand at most; N ≥ 4.
        labels: `[N] int64`.
        seed: starts the t-SNE.

    Source: L. van der Maaten and G. Hinton (2008), "Visualizing data using t-SNE", on 50 principal
    components; trustworthiness after J. Venna and S. Kaski (2001).

    Example:
        `pca, tsne, variance = statistics.embed(points.images, points.labels, seed)`
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    pixels = data.as_rows(images)
    model = PCA(min(50, *pixels.shape), svd_solver="randomized", random_state=seed)
    perplexity = min(30.0, (len(pixels) - 1) / 3)
    # sums depend on the number of threads, and t-SNE amplifies a difference in the last digit
    with threadpool_limits(1):
        components = model.fit_transform(pixels)
        tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed, n_jobs=1).fit_transform(components)
    planes = (_embedding(components, points, labels) for points in (components[:, :2], tsne))
    return *planes, model.explained_variance_ratio_


def _embedding(components: np.ndarray, points: np.ndarray, labels: np.ndarray) -> Embedding:
    from sklearn.manifold import trustworthiness
    from sklearn.neighbors import NearestNeighbors

    around = min(10, (len(points) - 1) // 2)
    neighbours = NearestNeighbors(n_neighbors=around).fit(points).kneighbors(return_distance=False)
    agreement = float(np.mean(labels[neighbours] == labels[:, None]))
    trust = float(trustworthiness(components, points, n_neighbors=around))
    return Embedding(points.astype(np.float64), trust, agreement)
