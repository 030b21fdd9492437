"""Exact and near duplicates among images, at a cost that stays bounded."""

import hashlib
from dataclasses import dataclass

import numpy as np

from helpers.obtain.data import chunks

_POOLED_SIDE = 32  # blocks along the shorter side, before the projection
_DIMENSIONS = 48  # principal components in which candidates are searched
_BLOCK = 512  # images compared at once: bounds memory
_ROUNDING = 1e-5  # of squared distances between unit vectors in float32


@dataclass(frozen=True)
class Pairs:
    """Pairs of near-duplicate images.

    Attributes:
        first: `[P] int64`, indices of one image of each pair.
        second: `[P] int64`, indices of the other, always larger.
        distance: `[P] float64`, see `near_pairs`.
        capped: whether the limit was reached, so that there are more pairs than these.
    """

    first: np.ndarray
    second: np.ndarray
    distance: np.ndarray
    capped: bool = False

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.first)


def exact_groups(images: np.ndarray) -> list[np.ndarray]:
    """Return the groups of images that are equal byte for byte, each as sorted indices `[G] int64`.

    Args:
        images: `[N, H, W, C] uint8`.
    """
    groups: dict[bytes, list[int]] = {}
    for index, image in enumerate(np.ascontiguousarray(images)):
        groups.setdefault(hashlib.sha256(image.data).digest(), []).append(index)
    return [np.array(group, dtype=np.int64) for group in groups.values() if len(group) > 1]


def near_pairs(images: np.ndarray, distance: float, limit: int = 10_000) -> Pairs:
    """Return all pairs of images within a distance that ignores brightness and contrast.

    Each image becomes a vector of mean 0 and length 1. The distance d of two images is Euclidean, so that
    d = √(2 (1 − r)) with Pearson's correlation r of their pixels: 0 for the same image, √2 for unrelated ones. The search
    runs in a projection onto orthonormal directions (blocks of pixels, then principal components), which can only shorten
    distances, so that no pair is missed. Every candidate is measured again at full resolution. Sorting by the first
    component avoids most comparisons. Flat images have no direction and are left out; of images that are equal byte for
    byte only the first is compared.

    Args:
        images: `[N, H, W, C] uint8`.
        distance: the largest distance of a pair.
        limit: the most pairs to return; if there are more, the closest are returned.

    Returns:
        The pairs by rising distance.

    Example:
        `duplicates.near_pairs(train.images, distance=0.08)`

    Source: C. Faloutsos, M. Ranganathan and Y. Manolopoulos (1994), "Fast subsequence matching in time-series
    databases", for the search by a lower bound.
    """
    pixels = images.reshape(len(images), -1)
    takes_part = pixels.max(axis=1) != pixels.min(axis=1)
    for group in exact_groups(images):
        takes_part[group[1:]] = False
    varied = np.flatnonzero(takes_part)
    if len(varied) < 2 or distance <= 0:
        return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    points = _projected(images[varied] if len(varied) < len(images) else images)
    order = np.argsort(points[:, 0], kind="stable")
    points, original = points[order], varied[order]
    left, right = _augmented(points)
    reach, capped = distance, False
    closest = np.zeros((0, 2), np.int64), np.zeros(0)
    for start in range(0, len(points), _BLOCK):
        stop = min(start + _BLOCK, len(points))
        end = int(np.searchsorted(points[:, 0], points[stop - 1, 0] + reach + 1e-6, side="right"))
        squared = left[start:stop] @ right[start:end].T
        pairs, lower = _within_reach(squared, reach)
        pairs = original[pairs + start]
        if len(pairs) > limit:  # the closest in projection bound how far the closest can be
            probe = np.argpartition(lower, limit - 1)[:limit]
            reach = min(reach, float(_distances(pixels, pairs[probe]).max()))
            pairs = pairs[lower <= reach**2 + _ROUNDING]
        closest, dropped = _merge(closest, pairs, _distances(pixels, pairs), reach, limit)
        if dropped:
            capped, reach = True, min(reach, float(closest[1].max()))
    chosen, measured = closest
    capped = capped or reach < distance
    low, high = chosen.min(axis=1), chosen.max(axis=1)
    rank = np.lexsort((high, low, measured))
    return Pairs(low[rank], high[rank], measured[rank], capped)


def _unit(pixels: np.ndarray) -> np.ndarray:
    """Return `[N, D] uint8` as float32 vectors of mean 0 and length 1."""
    vectors = pixels.astype(np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _projected(images: np.ndarray) -> np.ndarray:
    """Return unit vectors projected onto orthonormal directions, `[N, ≤ 48] float32`."""
    height, width, channels = images.shape[1:]
    block = max(1, -(-min(height, width) // _POOLED_SIDE))
    rows, columns = height // block, width // block
    pooled = np.empty((len(images), rows * columns * channels), np.float32)
    for part in chunks(images):
        unit = _unit(images[part].reshape(len(images[part]), -1)).reshape(-1, height, width, channels)
        unit = unit[:, : rows * block, : columns * block]
        blocks = unit.reshape(-1, rows, block, columns, block, channels).sum(axis=(2, 4)) / block
        pooled[part] = blocks.reshape(len(blocks), -1)
    sample = pooled[:: max(1, len(pooled) // 10_000)]
    _, directions = np.linalg.eigh(sample.T @ sample)
    return pooled @ directions[:, ::-1][:, :_DIMENSIONS]


def _augmented(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two matrices whose product holds the squared distances between all points."""
    square = np.square(points).sum(axis=1, keepdims=True)
    one = np.ones_like(square)
    return np.hstack([-2.0 * points, square, one]), np.hstack([points, one, square])


def _within_reach(squared: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs `[P, 2]` (row, later column) of a block of squared distances, and these distances."""
    hit = np.flatnonzero(squared.ravel() <= reach**2 + _ROUNDING)
    row, column = np.divmod(hit, squared.shape[1])
    later = column > row
    return np.stack([row, column], axis=1)[later], squared.ravel()[hit[later]]


def _distances(pixels: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the distances of pairs `[P, 2]` at full resolution."""
    distances = np.zeros(len(pairs))
    for part in chunks(np.broadcast_to(0, (len(pairs), pixels.shape[1] * 4))):
        a, b = pixels[pairs[part, 0]], pixels[pairs[part, 1]]
        distances[part] = np.linalg.norm(_unit(a) - _unit(b), axis=1)
    return distances


def _merge(
    closest: tuple[np.ndarray, np.ndarray], pairs: np.ndarray, measured: np.ndarray, reach: float, limit: int
) -> tuple[tuple[np.ndarray, np.ndarray], bool]:
    """Return the closest pairs with new ones within reach, at most `limit`, and whether any was dropped."""
    near = measured <= reach
    pairs = np.concatenate([closest[0], pairs[near]])
    measured = np.concatenate([closest[1], measured[near]])
    if len(measured) <= limit:
        return (pairs, measured), False
    first = np.argpartition(measured, limit - 1)[:limit]
    return (pairs[first], measured[first]), True
