"""How much drift it takes to be noticed: pictures changed on purpose, in windows of several sizes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from helpers import paths
from helpers.interpret import drift
from helpers.obtain import idx
from helpers.scoring import wilson_interval

Predict = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def rotated(images: np.ndarray, degrees: float, seed: int) -> np.ndarray:
    """Return `uint8 [N, H, W, C]` images turned counter-clockwise."""
    return ndimage.rotate(images, degrees, axes=(2, 1), reshape=False, order=1, mode="nearest")


def noisy(images: np.ndarray, deviation: float, seed: int) -> np.ndarray:
    """Return images with Gaussian noise of a standard deviation of 0–255."""
    noise = np.random.default_rng(seed).normal(0.0, deviation, images.shape)
    return np.clip(images + noise, 0, 255).astype(np.uint8)


def blurred(images: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    """Return images blurred by a Gaussian of `sigma` pixels."""
    return ndimage.gaussian_filter(images, (0, sigma, sigma, 0))


def brightened(images: np.ndarray, factor: float, seed: int) -> np.ndarray:
    """Return images whose values are multiplied by a factor."""
    return np.clip(images * factor, 0, 255).astype(np.uint8)


CHANGES: dict[str, tuple[Callable[[np.ndarray, float, int], np.ndarray], tuple[float, ...], str]] = {
    "rotation": (rotated, (5.0, 10.0, 20.0), "{:g}°"),
    "noise": (noisy, (5.0, 15.0, 40.0), "sd {:g}"),
    "blur": (blurred, (0.4, 0.7, 1.2), "{:g} px"),
    "brightness": (brightened, (0.9, 0.75, 0.5), "× {:g}"),
}
"""Kinds of change, with the function, its strengths and how a strength is written."""

CLASS_GROWTH = (1 / 9, 1 / 3, 2 / 3)
"""How much of the other classes' share in a window one class takes: 10% becomes 20, 40 and 70%."""


@dataclass(frozen=True)
class Power:
    """How often a change was noticed.

    Attributes:
        kind: such as "rotation".
        strength: in words, such as "20°".
        window: pictures in a window.
        windows: windows drawn.
        detected: how many of them were called drifted.
    """

    kind: str
    strength: str
    window: int
    windows: int
    detected: int

    @property
    def rate(self) -> float:
        """Share of the windows that were called drifted."""
        return self.detected / self.windows

    @property
    def ci95(self) -> tuple[float, float]:
        """Wilson's interval of the rate."""
        return wilson_interval(self.detected, self.windows)


def reference_of(path: Path) -> drift.DriftReference | None:
    """Return a version's drift reference; None where it has none, for want of validation images."""
    return drift.DriftReference.load(path) if path.is_file() else None


def false_alarms(
    reference: drift.DriftReference | None, images: np.ndarray, predict: Predict, *, windows: int, seed: int
) -> list[Power]:
    """Return how often windows without drift are called drifted, for each size of window that the reference knows.

    Args:
        reference: what windows are compared with; without one, nothing is found.
        images: `uint8 [N, H, W, C]`, pictures that the reference has not seen, without drift.
        predict: from images to probabilities and embeddings.
        windows: how many are drawn for each size.
        seed: decides which.
    """
    if reference is None:
        return []
    known = drift.sample(*predict(images), images)
    return [
        _examined(reference, known, "none", "", size, windows, seed) for size in sorted(reference.thresholds)
    ]


def stated(windows: int) -> float:
    """Return how many false alarms so many windows may give."""
    return windows * (1.0 - (1.0 - drift.FALSE_ALARMS_PER_DAY) ** (1.0 / drift.WINDOWS_PER_DAY))


def measure(
    reference: drift.DriftReference | None,
    images: np.ndarray,
    labels: np.ndarray,
    predict: Predict,
    *,
    windows: int,
    seed: int,
    others: Mapping[str, np.ndarray] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Power]:
    """Return how often each kind and strength of change is noticed, for each size of window that the reference knows.

    Args:
        reference: what windows are compared with; without one, nothing is found.
        images: `uint8 [N, H, W, C]`, pictures that the reference has not seen.
        labels: `[N] int64`, their classes, for shifts of the classes' shares.
        predict: from images to probabilities and embeddings.
        windows: how many windows are drawn for each.
        seed: decides which.
        others: pictures of another kind, by name.
        progress: told how many changes are done, of how many.
    """
    if reference is None:
        return []
    sizes = sorted(reference.thresholds)
    changed = [
        (kind, shown.format(strength), change(images, strength, seed))
        for kind, (change, strengths, shown) in CHANGES.items()
        for strength in strengths
    ]
    changed += [("other pictures", name, pictures) for name, pictures in (others or {}).items()]
    found, total = [], len(changed) + len(CLASS_GROWTH)
    for number, (kind, strength, pictures) in enumerate(changed, start=1):
        known = drift.sample(*predict(pictures), pictures)
        found += [_examined(reference, known, kind, strength, size, windows, seed) for size in sizes]
        progress(number, total)
    known = drift.sample(*predict(images), images)
    usual = float(np.mean(labels == 0))
    for number, growth in enumerate(CLASS_GROWTH, start=len(changed) + 1):
        share = usual + growth * (1.0 - usual)
        found += [
            _examined(
                reference,
                known,
                "one class",
                f"{share:.0%}",
                size,
                windows,
                seed,
                weights=_weights(labels, share),
            )
            for size in sizes
        ]
        progress(number, total)
    return found


def _weights(labels: np.ndarray, share: float) -> np.ndarray:
    """Return weights of the pictures by which class 0 has a share of the window."""
    first = labels == 0
    weights = np.where(first, share / max(first.sum(), 1), (1.0 - share) / max((~first).sum(), 1))
    return weights / weights.sum()


def _examined(
    reference: drift.DriftReference,
    known: drift.Sample,
    kind: str,
    strength: str,
    size: int,
    windows: int,
    seed: int,
    weights: np.ndarray | None = None,
) -> Power:
    generator = np.random.default_rng([seed, size])
    detected = 0
    for turn in range(windows):
        # without replacement a class that is drawn often would soon be used up
        again = weights is not None or size > len(known) // 2
        rows = generator.choice(len(known), size, replace=again, p=weights)
        detected += reference.examine(known.rows(rows), seed=turn).drifted
    return Power(kind, strength, size, windows, detected)


def in_chunks(predict: Predict, size: int = 250) -> Predict:
    """Return a function that predicts so many images at a time."""

    def predict_all(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        chunks = [predict(images[start : start + size]) for start in range(0, len(images), size)]
        probabilities, embeddings = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
        return probabilities, embeddings

    return predict_all


def other_pictures(shape: tuple[int, int, int], dataset: str, count: int) -> dict[str, np.ndarray]:
    """Return pictures of another data set of the same shape, by its name, where one is in the cache.

    Args:
        shape: `(H, W, C)` wanted.
        dataset: the data set that they must not be of.
        count: how many at most.
    """
    for name, spec in idx.DATASETS.items():
        file = spec.files[0]
        path = paths.cache_root() / name / file.name
        if name != dataset and path.is_file() and (*file.shape[1:], 1) == shape:
            return {spec.title: file.array(path.read_bytes())[:count, ..., np.newaxis]}
    return {}


def turned(found: Sequence[Power]) -> Power | None:
    """Return what was found of pictures turned by 20°, in windows of 200 or of the size nearest to that."""
    mine = [power for power in found if (power.kind, power.strength) == ("rotation", "20°")]
    return min(mine, key=lambda power: abs(power.window - 200), default=None)


def sentence(none: Sequence[Power], found: Sequence[Power]) -> str:
    """Return false alarms and power in words."""
    rotation = turned(found)
    if not none or rotation is None:
        return "There are too few validation images to watch for drift."
    alarms, windows = sum(power.detected for power in none), sum(power.windows for power in none)
    return (
        f"{alarms} false alarm{'' if alarms == 1 else 's'} in {windows:,} windows without drift (stated: at most "
        f"{stated(windows):.1f}); pictures turned by 20° are "
        f"noticed in {rotation.rate:.0%} of windows of {rotation.window}."
    )
