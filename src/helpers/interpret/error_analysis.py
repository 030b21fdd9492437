"""Error analysis: the most confident mistakes, and accuracy in slices of the data."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from helpers.obtain import data
from helpers.scoring import LEVEL, wilson_interval


def confident_mistakes(probabilities: np.ndarray, labels: np.ndarray, top: int) -> np.ndarray:
    """Return the rows of the misclassified images, the most confident mistake first, `[≤ top] int64`.

    Example:
        `error_analysis.confident_mistakes(probabilities, test.labels, 18)`
    """
    rows = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    confidence = probabilities[rows].max(axis=1)
    return rows[np.argsort(-confidence, kind="stable")][:top]


def near_misses(probabilities: np.ndarray, labels: np.ndarray, top: int) -> np.ndarray:
    """Return the rows of the misclassified images whose true class was almost predicted, closest first, `[≤ top] int64`.

    Example:
        `error_analysis.near_misses(probabilities, test.labels, 18)`
    """
    rows = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    margin = probabilities[rows].max(axis=1) - probabilities[rows, labels[rows]]
    return rows[np.argsort(margin, kind="stable")][:top]


@dataclass(frozen=True)
class Slice:
    """A part of the images, cut by one property.

    Attributes:
        property: name of the property.
        low: its smallest value in the slice.
        high: its largest value.
        n: number of images.
        accuracy: proportion of correct predictions.
        accuracy_ci95: Wilson's interval of the accuracy.
        expected: the accuracy that the same mix of classes reaches on all other images.
        p_value: of the test that the accuracy here equals `expected`, times the number of slices (Bonferroni), 1 at most.
    """

    property: str
    low: float
    high: float
    n: int
    accuracy: float
    accuracy_ci95: tuple[float, float]
    expected: float
    p_value: float

    @property
    def gap(self) -> float:
        """Accuracy here minus the accuracy of the same mix of classes on all other images."""
        return self.accuracy - self.expected

    @property
    def significant(self) -> bool:
        """Whether the accuracy differs from `expected` at the 5% level, after correction."""
        return self.p_value < LEVEL

    @property
    def name(self) -> str:
        """The property and its range."""
        return f"{self.property} {self.low:.3g} to {self.high:.3g}"


def properties(images: np.ndarray) -> dict[str, np.ndarray]:
    """Return the properties by which images are sliced, `float64 [N]` each: brightness, contrast, and size of the object.

    Args:
        images: `[N, H, W, C] uint8`. The object is every pixel that is not black; without a black background its size is
            left out.

    Example:
        `error_analysis.properties(test.images)`
    """
    measured = dict(zip(("brightness", "contrast"), data.brightness_and_contrast(images), strict=True))
    if has_black_background(images):
        parts = [foreground(images[part]).mean(axis=(1, 2)) for part in data.chunks(images)]
        measured["fraction of pixels not black"] = np.concatenate(parts)
    return {name: values.astype(np.float64) for name, values in measured.items()}


def foreground(images: np.ndarray) -> np.ndarray:
    """Return which pixels are not black in any channel, `bool [N, H, W]`."""
    return (images > 0).any(axis=-1)


def has_black_background(images: np.ndarray) -> bool:
    """Return whether at least half of the pixels along the images' borders are black."""
    black = total = 0
    for part in data.chunks(images):
        objects = foreground(images[part])
        border = np.concatenate([objects[:, 0], objects[:, -1], objects[:, :, 0], objects[:, :, -1]], axis=1)
        black, total = black + (~border).sum(), total + border.size
    return bool(total and black / total >= 0.5)


def slices(by: dict[str, np.ndarray], correct: np.ndarray, labels: np.ndarray, parts: int = 4) -> list[Slice]:
    """Return the accuracy in slices of equal size by each property, and what the same classes reach elsewhere.

    Each class is compared with itself, so a slice is not called worse because it holds more images of a hard class.

    Source: direct standardisation by class, its standard error by the classes' binomial ones, as in N. Breslow and N. Day,
    "Statistical Methods in Cancer Research", volume II (1987), chapter 2.

    Args:
        by: `{property: [N] values}`.
        correct: `[N] bool`, whether each prediction is correct.
        labels: `[N] int64`, the true classes.
        parts: slices per property; fewer if values repeat.

    Example:
        `error_analysis.slices(error_analysis.properties(test.images), predicted == test.labels, test.labels)`
    """
    masks = [(name, mask) for name, values in by.items() for mask in _quantiles(values, parts)]
    cut = []
    for name, mask in masks:
        values, n, hits = by[name][mask], int(mask.sum()), int(correct[mask].sum())
        expected, p_value = _by_class(correct, labels, mask)
        scores = hits / n, wilson_interval(hits, n), expected, min(1.0, p_value * len(masks))
        cut.append(Slice(name, float(values.min()), float(values.max()), n, *scores))
    return cut


def _quantiles(values: np.ndarray, parts: int) -> list[np.ndarray]:
    """Return the members of each quantile that holds some, but not all, of the values, `bool [N]` each."""
    ends = np.unique(np.quantile(values, np.linspace(0, 1, parts + 1)))
    number = np.clip(np.searchsorted(ends, values, side="left") - 1, 0, max(len(ends) - 2, 0))
    masks = [number == place for place in range(max(len(ends) - 1, 1))]
    return [mask for mask in masks if 0 < mask.sum() < len(values)]


def _by_class(correct: np.ndarray, labels: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Return the accuracy that the classes inside the mask reach outside, and the p-value of no difference.

    A class that occurs on one side only carries no information; its expected accuracy is its own.
    """
    classes = int(labels.max()) + 1
    inside, outside, correct_inside, correct_outside = (
        np.bincount(labels[part], minlength=classes).astype(np.float64)
        for part in (mask, ~mask, mask & correct, ~mask & correct)
    )
    both = (inside > 0) & (outside > 0)
    counts = ((inside[both], correct_inside[both]), (outside[both], correct_outside[both]))
    own, elsewhere = (hits / n for n, hits in counts)
    weights = inside[both] / inside.sum()
    gap = float(weights @ (own - elsewhere))
    variance = float(weights**2 @ sum(_variance(hits, n) for n, hits in counts)) if both.any() else 0.0
    p_value = float(2 * stats.norm.sf(abs(gap) / variance**0.5)) if variance else 1.0
    return float(correct[mask].mean()) - gap, p_value


def _variance(hits: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return the variance of each proportion; half a hit and half a miss are added, so that it is never 0."""
    smoothed = (hits + 0.5) / (n + 1)
    return smoothed * (1 - smoothed) / n
