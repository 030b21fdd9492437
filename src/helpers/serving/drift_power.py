"""Measures how often drift is detected: images changed on purpose, in windows of several sizes."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from helpers import paths
from helpers.interpret import drift
from helpers.interpret.changes import CHANGES
from helpers.obtain.places import idx

if TYPE_CHECKING:
    from helpers.obtain.images.from_disk import DiskImages

Predict = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


# the part of the other classes' proportion that one class gains: 10% becomes 20, 40 and 70%
CLASS_GROWTH = (1 / 9, 1 / 3, 2 / 3)


_VALUES = 2**23  # pixel values that are changed at a time, as floats of 8 bytes
_MOST_IMAGES = 10_000  # enough for the largest window


# of a table of results: the change, the images in a window, the windows drawn, and how many of them raised an alarm
COLUMNS = ("kind", "strength", "window", "windows", "detected", "rate")


def false_alarms(
    reference: drift.DriftReference | None, images: np.ndarray, predict: Predict, *, windows: int, seed: int
) -> pd.DataFrame:
    """Return how often windows without drift raise an alarm, a row for each size of window that the reference has a threshold for.

    Args:
        reference: what windows are compared with; without one, there are no rows.
        images: `uint8 [N, H, W, C]`, images without drift that the reference has not seen.
        predict: from images to probabilities and embeddings.
        windows: how many are drawn for each size.
        seed: of the draw.

    Example:
        `drift_power.false_alarms(reference, test.images, predict, windows=1000, seed=0)`
    """
    if reference is None:
        return pd.DataFrame(columns=COLUMNS)
    rows = _examine(reference, _sample(images, predict), windows, seed)
    return pd.DataFrame(rows, columns=COLUMNS)


def _sample(
    images: "np.ndarray | DiskImages", predict: Predict, changed: tuple[Callable, float, int] | None = None
) -> drift.Sample:
    """Return the statistics of predictions for the first images, changed by a function with a strength and a seed."""
    parts, step = [], max(1, _VALUES // int(np.prod(images.shape[1:])))
    for start in range(0, min(len(images), _MOST_IMAGES), step):
        some = images[start : start + step]
        if changed:
            change, strength, seed = changed
            some = change(some, strength, seed + start)
        parts.append(drift.sample(*predict(some), some))
    return drift.Sample(*map(np.concatenate, zip(*(vars(part).values() for part in parts), strict=True)))


def expected_alarms(windows: int) -> float:
    """Return the largest number of false alarms that is expected in a number of windows.

    Example:
        `drift_power.expected_alarms(1000)`
    """
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
) -> pd.DataFrame:
    """Return how often each kind and strength of change is detected, a row for each size of window.

    Args:
        reference: what windows are compared with; without one, there are no rows.
        images: `uint8 [N, H, W, C]`, images that the reference has not seen.
        labels: `[N] int64`, their classes, for changes of the classes' proportions.
        predict: from images to probabilities and embeddings.
        windows: how many windows are drawn for each.
        seed: of the draw.
        others: images of another kind, by name.
        progress: called with the number of changes done and of all.

    Example:
        `drift_power.measure(reference, test.images, test.labels, predict, windows=60, seed=0)`
    """
    if reference is None:
        return pd.DataFrame(columns=COLUMNS)
    usual = float(np.mean(labels == 0))
    proportions = [usual + growth * (1.0 - usual) for growth in CLASS_GROWTH]
    cases = [
        *(
            (kind, text.format(strength), images, (change, strength, seed), None)
            for kind, (change, strengths, text) in CHANGES.items()
            for strength in strengths
        ),
        *(("other images", name, other, None, None) for name, other in (others or {}).items()),
        *(("one class", f"{part:.0%}", images, None, _weights(labels, part)) for part in proportions),
    ]
    rows = []
    for number, (kind, strength, seen, changed, weights) in enumerate(cases, start=1):
        sample = _sample(seen, predict, changed)
        rows += _examine(reference, sample, windows, seed, kind, strength, weights)
        progress(number, len(cases))
    return pd.DataFrame(rows, columns=COLUMNS)


def _weights(labels: np.ndarray, proportion: float) -> np.ndarray:
    """Return weights of the images by which class 0 makes up a proportion of the window."""
    first = labels == 0
    weights = np.where(first, proportion / max(first.sum(), 1), (1.0 - proportion) / max((~first).sum(), 1))
    return weights / weights.sum()


def _examine(
    reference: drift.DriftReference,
    sample: drift.Sample,
    windows: int,
    seed: int,
    kind: str = "none",
    strength: str = "",
    weights: np.ndarray | None = None,
) -> list[tuple[str, str, int, int, int, float]]:
    """Return how often windows drawn from a sample raise an alarm, for each size that the reference has a threshold for."""
    rows = []
    for size in sorted(reference.thresholds):
        generator = np.random.default_rng([seed, size])
        # with replacement if a class that is drawn often, or the sample itself, would soon be used up
        replace = weights is not None or size > len(sample) // 2
        detected = 0
        for turn in range(windows):
            drawn = generator.choice(len(sample), size, replace=replace, p=weights)
            detected += reference.examine(sample.rows(drawn), seed=turn).drifted
        rows.append((kind, strength, size, windows, detected, detected / windows))
    return rows


def other_images(shape: tuple[int, int, int], dataset: str, count: int) -> dict[str, np.ndarray]:
    """Return images of another data set of the same shape, by its title, if one is in the cache.

    Args:
        shape: `(H, W, C)` of the images.
        dataset: the data set that they must not come from.
        count: how many at most.

    Example:
        `drift_power.other_images((28, 28, 1), "mnist", 3000)`
    """
    for name, spec in idx.DATASETS.items():
        file = spec.files[0]
        path = paths.cache_root() / name / file.name
        if name != dataset and path.is_file() and (*file.shape[1:], 1) == shape:
            return {spec.title: file.array(path.read_bytes())[:count, ..., np.newaxis]}
    return {}
