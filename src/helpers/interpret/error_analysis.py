"""Where a model is wrong: its most confident mistakes, doubtful labels, slices of the data, and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from helpers.errors import OsemnError
from helpers.interpret.confusion import Confused
from helpers.scoring import LEVEL, wilson_interval
from helpers.wording import listing


def confident_mistakes(probabilities: np.ndarray, labels: np.ndarray, top: int) -> np.ndarray:
    """Return the rows of the wrong predictions, the most confident first, `[≤ top] int64`."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    confidence = probabilities[wrong].max(axis=1)
    return wrong[np.argsort(-confidence, kind="stable")][:top]


def near_misses(probabilities: np.ndarray, labels: np.ndarray, top: int) -> np.ndarray:
    """Return the rows of the wrong predictions in which the true class came closest to winning, closest first."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    margin = probabilities[wrong].max(axis=1) - probabilities[wrong, labels[wrong]]
    return wrong[np.argsort(margin, kind="stable")][:top]


@dataclass(frozen=True)
class DoubtfulLabel:
    """An image whose label its neighbours among the training images contradict.

    Attributes:
        index: row of the image.
        label: the label that it carries.
        suggested: the label of most neighbours.
        agreement: share of the neighbours that carry it.
        predicted: what the model says.
    """

    index: int
    label: int
    suggested: int
    agreement: float
    predicted: int


def doubtful_labels(
    embeddings: np.ndarray,
    labels: np.ndarray,
    predicted: np.ndarray,
    train_embeddings: np.ndarray,
    train_labels: np.ndarray,
    *,
    neighbours: int = 10,
    agreement: float = 0.9,
) -> list[DoubtfulLabel]:
    """Return images whose nearest training images nearly all carry another label, the surest first.

    Args:
        embeddings: `float32 [N, D]`, such as the input of a network's last layer.
        labels: `[N] int64`.
        predicted: `[N] int64`, the model's answers.
        train_embeddings: `float32 [M, D]` of training images, from the same network.
        train_labels: `[M] int64`.
        neighbours: how many to ask, by cosine distance; all where there are fewer.
        agreement: share of them that must agree on the other label.

    Raises:
        OsemnError: there is no training image.
    """
    neighbours = min(neighbours, len(train_embeddings))
    if not neighbours:
        raise OsemnError("There are no training images to compare with.", "set neighbour_samples above 0")
    index = NearestNeighbors(n_neighbors=neighbours, algorithm="brute").fit(_unit(train_embeddings))
    near = train_labels[index.kneighbors(_unit(embeddings), return_distance=False)]
    classes = int(max(labels.max(initial=0), train_labels.max(initial=0))) + 1
    votes = np.stack([(near == number).sum(axis=1) for number in range(classes)], axis=1)
    suggested, share = votes.argmax(axis=1), votes.max(axis=1) / neighbours
    rows = np.flatnonzero((suggested != labels) & (share >= agreement))
    rows = rows[np.argsort(-share[rows], kind="stable")]
    return [
        DoubtfulLabel(int(row), int(labels[row]), int(suggested[row]), float(share[row]), int(predicted[row]))
        for row in rows
    ]


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


@dataclass(frozen=True)
class Slice:
    """A part of the images, by one property.

    Attributes:
        property: what was measured.
        low: its smallest value in the slice.
        high: its largest.
        n: images.
        accuracy: share of right predictions.
        accuracy_ci95: Wilson's interval of it.
        expected: the accuracy that the same mix of classes reaches on all other images.
        p_value: of the test that `expected` is the accuracy here, too, times the number of slices (Bonferroni), 1 at most.
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
    def shown(self) -> bool:
        """True if the slice makes a difference at the 5% level, after correction."""
        return self.p_value < LEVEL

    @property
    def name(self) -> str:
        """The slice in words."""
        return f"{self.property} {self.low:.3g} to {self.high:.3g}"


def properties(images: np.ndarray) -> dict[str, np.ndarray]:
    """Return what images are sliced by, `float64 [N]` each: brightness, contrast, and the object's share of the pixels.

    Args:
        images: `[N, H, W, C] uint8`. The object is what is not black; where hardly any pixel is, its share is left out.
    """
    pixels = images.reshape(len(images), -1).astype(np.float32)
    found = {"brightness": pixels.mean(axis=1), "contrast": pixels.std(axis=1)}
    if has_black_background(images):
        found["share of pixels not black"] = foreground(images).mean(axis=(1, 2))
    return {name: values.astype(np.float64) for name, values in found.items()}


def foreground(images: np.ndarray) -> np.ndarray:
    """Return which pixels are not black in any channel, `bool [N, H, W]`."""
    return (images > 0).any(axis=-1)


def has_black_background(images: np.ndarray) -> bool:
    """Tell whether at least half of the pixels along the images' borders are black."""
    black = ~foreground(images)
    border = np.concatenate([black[:, 0], black[:, -1], black[:, :, 0], black[:, :, -1]], axis=1)
    return bool(border.size and border.mean() >= 0.5)


def slices(by: dict[str, np.ndarray], right: np.ndarray, labels: np.ndarray, parts: int = 4) -> list[Slice]:
    """Return the accuracy in slices of equal size by each property, beside what their classes reach elsewhere.

    A slice that holds more images of a hard class is not worse for that: each class is compared with itself.
    Source: direct standardisation by class, its standard error by the classes' binomial ones, as in N. Breslow and N. Day,
    "Statistical Methods in Cancer Research", volume II (1987), chapter 2.

    Args:
        by: `{property: [N] values}`.
        right: `[N] bool`, whether each prediction is right.
        labels: `[N] int64`, the true classes.
        parts: slices of a property; fewer where values repeat.
    """
    cut = {}
    for name, values in by.items():
        ends = np.unique(np.quantile(values, np.linspace(0, 1, parts + 1)))
        number = np.clip(np.searchsorted(ends, values, side="left") - 1, 0, max(len(ends) - 2, 0))
        masks = [number == place for place in range(max(len(ends) - 1, 1))]
        cut[name] = [mask for mask in masks if 0 < mask.sum() < len(values)]
    total = sum(len(masks) for masks in cut.values())
    return [
        _slice(name, by[name][mask], mask, right, labels, total)
        for name, masks in cut.items()
        for mask in masks
    ]


def _slice(
    name: str, values: np.ndarray, mask: np.ndarray, right: np.ndarray, labels: np.ndarray, total: int
) -> Slice:
    n = int(mask.sum())
    hits = int(right[mask].sum())
    expected, p_value = _by_class(right, labels, mask)
    return Slice(
        name,
        float(values.min()),
        float(values.max()),
        n,
        hits / n,
        wilson_interval(hits, n),
        expected,
        min(1.0, p_value * total),
    )


def _by_class(right: np.ndarray, labels: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Return the accuracy that the classes inside reach outside, and the p-value that this is the accuracy inside.

    A class that is found on one side only says nothing: its own accuracy is what is expected of it.
    """
    classes = int(labels.max()) + 1
    inside, outside, right_inside, right_outside = (
        np.bincount(labels[part], minlength=classes).astype(np.float64)
        for part in (mask, ~mask, mask & right, ~mask & right)
    )
    both = (inside > 0) & (outside > 0)
    counts = ((inside[both], right_inside[both]), (outside[both], right_outside[both]))
    own, elsewhere = (hits / n for n, hits in counts)
    share = inside[both] / inside.sum()
    gap = float(share @ (own - elsewhere))
    variance = float(share**2 @ sum(_variance(hits, n) for n, hits in counts)) if both.any() else 0.0
    p_value = float(2 * stats.norm.sf(abs(gap) / variance**0.5)) if variance else 1.0
    return float(right[mask].mean()) - gap, p_value


def _variance(hits: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return the variance of each share; half a hit and half a miss more, so that none is taken for certain."""
    smoothed = (hits + 0.5) / (n + 1)
    return smoothed * (1 - smoothed) / n


def recommendations(confused: Sequence[Confused], found: Sequence[Slice], mistakes: int) -> list[str]:
    """Return two things to do, from the most frequent confusion and the slice in which classes do worst.

    Args:
        confused: the most frequent kinds of mistake, most frequent first.
        found: slices of the test images.
        mistakes: wrong predictions in all.
    """
    if not confused:
        return ["Look for harder images: the model makes no mistake on these."]
    first = confused[0]
    back = next(
        (item for item in confused if (item.true, item.predicted) == (first.predicted, first.true)), None
    )
    both = first.count + (back.count if back else 0)
    said = [
        f"Collect or re-label images of **{first.true}** and **{first.predicted}**: {both:,} of the {mistakes:,} mistakes "
        f"({both / mistakes:.0%}) take the one for the other{'' if back else ' (in this direction)'}."
    ]
    shown = [item for item in found if item.gap < 0 and item.shown]
    if shown:
        worst = min(shown, key=lambda item: item.gap)
        said.append(
            f"Train with more images whose **{worst.property}** lies between {worst.low:.3g} and {worst.high:.3g}, or augment "
            f"towards them: there accuracy is {worst.accuracy:.1%}, {-100 * worst.gap:.1f} points below what the same classes reach "
            f"elsewhere (p = {worst.p_value:.1g} after correction for {len(found)} slices)."
        )
    elif len(confused) > 1 and found:
        other = next((item for item in confused[1:] if item is not back), None)
        by = list(dict.fromkeys(item.property for item in found))
        if other is not None:
            said.append(
                f"Then look at **{other.true}** taken for **{other.predicted}** ({other.count:,} images, {other.share:.1%} of the "
                f"class); in no slice by {listing(by)} are the classes shown to do worse than elsewhere."
            )
    return said
