"""Signatures of images by their low frequencies, and the pairs of images whose signatures are alike.

Processes that index images import this module, so it imports neither pandas nor SciPy.
"""

import itertools
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
from threadpoolctl import threadpool_limits

SIDE = 64
"""Height and width of thumbnails in pixels."""
BYTES = 64
"""Length of a signature."""
_FLAT = 0.5  # standard deviation of the waves of luma, in grey values; less is noise of JPEG
_WAVES = 10  # cosine waves along each side
_LUMA_WAVES, _COLOUR_WAVES = 44, 10  # the lowest, without the mean of the luma; 44 + 2 · 10 bytes
# luma and two differences of colour (ITU-R BT.601)
YCC = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]], np.float32)
# squared distances; nearly all made copies are nearer, before and after alignment
_FAR, _FAR_ALIGNED = 0.4, 0.25
_CANDIDATES, _MOST_CANDIDATES = 40, 4_000_000  # per image and in all, to be aligned
_FIRST = 14  # coefficients that rule out most pairs, at a fifth of the cost of all
_BLOCK = 512  # signatures at a time: their 512² products fit into the processor's cache
_PAIRS = 4096  # aligned at a time: 10 MB of tangents


def _transform() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return two matrices and the chosen coefficients, their signs in mirrored images, and their change by small moves.

    The first matrix makes cosine waves down a thumbnail; the second makes those across it, and luma and colour.
    """
    axis, waves = (np.arange(SIDE) + 0.5) / SIDE, np.arange(_WAVES)
    basis = np.sqrt(np.where(waves, 2, 1) / SIDE)[:, None] * np.cos(np.pi * waves[:, None] * axis)
    slopes = -np.pi * waves[:, None] * np.sin(np.pi * waves[:, None] * axis) * np.sqrt(2 / SIDE)
    row, column = np.divmod(np.arange(_WAVES**2), _WAVES)
    lowest = np.lexsort((np.maximum(row, column), row + column))
    planes = (lowest[1 : 1 + _LUMA_WAVES], lowest[:_COLOUR_WAVES], lowest[:_COLOUR_WAVES])
    plane, place = np.repeat(np.arange(3), [len(part) for part in planes]), np.concatenate(planes)
    row, column = row[place], column[place]
    signs = [(-1.0) ** (up * row + side * column) for up in (0, 1) for side in (0, 1)]
    shift, stretch, still = basis @ slopes.T, basis @ (slopes * (axis - 0.5)).T, np.eye(_WAVES)
    moves = ((shift, still), (stretch, still), (still, shift), (still, stretch))  # of rows and columns
    changes = [
        down[row, row[:, None]] * across[column, column[:, None]] * (plane == plane[:, None])
        for down, across in moves
    ]
    parts = (basis, np.kron(basis.T, YCC.T), signs, changes)
    basis, across, signs, changes = (np.asarray(part, np.float32) for part in parts)
    return basis, across, (row * _WAVES + column) * 3 + plane, signs, changes


_DOWN, _ACROSS, _CHOSEN, _MIRRORS, _TANGENTS = _transform()


def of_thumbnails(thumbnails: np.ndarray) -> list[bytes]:
    """Return the low frequencies of images, `BYTES` long each; zeros for an image that shows nothing.

    The lowest coefficients of the discrete cosine transform of luma and colour, relative to the contrast of the luma, so
    that brightness does not count. To mirror an image changes the sign of some of them only. The signature of an image does
    not depend on the images beside it.

    Args:
        thumbnails: `[N, 64, 64, 3] uint8`, each the whole image resized to a square.

    Source: C. Zauner (2010), "Implementation and benchmarking of perceptual image hash functions", for the transform.

    Example:
        `signatures.of_thumbnails(thumbnails[:1])[0]`
    """
    down = _DOWN @ thumbnails.reshape(-1, SIDE, 3 * SIDE).astype(np.float32)
    waves = (down @ _ACROSS).reshape(-1, 3 * _WAVES**2)[:, _CHOSEN]
    contrast = np.linalg.norm(waves[:, :_LUMA_WAVES], axis=1, keepdims=True)
    scaled = np.clip(waves / np.maximum(contrast, _FLAT * SIDE), -1, 1)
    # a square root, so that the many small coefficients keep their digits
    steps = np.rint(127 * np.sign(scaled) * np.sqrt(np.abs(scaled))) * (contrast >= _FLAT * SIDE)
    return [row.tobytes() for row in steps.astype(np.int8)]


def alike(signatures: Sequence[bytes], most: int) -> tuple[np.ndarray, bool]:
    """Return the pairs of images with the closest signatures, and whether there were more than could be considered.

    Time and memory are bounded: of all pairs only some are aligned with each other, and of these only `most` are returned.

    Args:
        signatures: of `of_thumbnails`; images that show nothing are left out.
        most: number of pairs.

    Returns:
        Rows of the first and of the second image of each pair and how the first is mirrored (0 not, 1 left to right, 2 upside
        down, 3 both), `[P, 3] int64`, closest first.
    """
    whole = np.frombuffer(b"".join(signatures), np.int8).reshape(-1, BYTES).astype(np.float32)
    rows = np.flatnonzero(whole.any(axis=1))
    points = whole[rows] * np.abs(whole[rows])
    if len(rows) < 2:
        return np.zeros((0, 3), np.int64), False
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    closest = _Closest(min(len(rows) * _CANDIDATES, _MOST_CANDIDATES))
    with threadpool_limits(1), ThreadPoolExecutor(joblib.cpu_count()) as threads:
        few = np.argsort(-points.var(axis=0))[:_FIRST]
        starts = range(0, len(points), _BLOCK)
        blocks = itertools.combinations_with_replacement(starts, 2)
        for _ in threads.map(lambda block: closest.add(*_close(points, few, *block, closest.reach)), blocks):
            pass
        pairs = closest.pairs()
        parts = [pairs[start : start + _PAIRS] for start in range(0, len(pairs), _PAIRS)]
        distances = [*threads.map(lambda part: _aligned_distance(points, part), parts), np.zeros(0)]
    aligned = np.concatenate(distances)
    near = np.flatnonzero(aligned < _FAR_ALIGNED)
    chosen = pairs[near[np.argsort(aligned[near], kind="stable")[:most]]].astype(np.int64)
    return np.column_stack([rows[chosen[:, :2]], chosen[:, 2]]), closest.capped or len(near) > most


class _Closest:
    """The closest pairs found so far, with three columns as `alike` returns them; several threads add to it.

    Attributes:
        reach: the correlation asked of further pairs; it rises when there are more than twice the limit.
        capped: whether pairs were left out.
    """

    def __init__(self, limit: int) -> None:
        self.reach, self.capped = 1 - _FAR / 2, False
        self._limit, self._count, self._lock = limit, 0, threading.Lock()
        self._found = [(np.zeros((0, 3), np.int32), np.zeros(0, np.float32))]

    def add(self, pairs: np.ndarray, correlation: np.ndarray) -> None:
        with self._lock:
            self._found.append((pairs, correlation))
            self._count += len(pairs)
            if self._count > 2 * self._limit:
                self._cut()

    def pairs(self) -> np.ndarray:
        """Return the closest pairs by their rows."""
        self._cut()
        pairs = self._found[0][0]
        return pairs[np.lexsort(pairs.T[::-1])]

    def _cut(self) -> None:
        pairs, correlation = (np.concatenate(parts) for parts in zip(*self._found, strict=True))
        if len(pairs) > self._limit:
            closest = np.argpartition(-correlation, self._limit)[: self._limit]
            pairs, correlation, self.capped = pairs[closest], correlation[closest], True
            self.reach = float(correlation.min())
        self._found, self._count = [(pairs, correlation)], len(pairs)


def _close(
    points: np.ndarray, few: np.ndarray, start: int, later: int, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of unit vectors from two blocks with at least a correlation, and their correlations."""
    one, other = points[start : start + _BLOCK], points[later : later + _BLOCK]
    squares = [np.square(part[:, few]).sum(axis=1, keepdims=True) for part in (one, other)]
    left = np.hstack([one[:, few], squares[0], np.ones_like(squares[0])])
    right = np.hstack([-2 * other[:, few], np.ones_like(squares[1]), squares[1]])
    pairs, correlations = [], []
    for mirroring, signs in enumerate(_MIRRORS):
        # squared distances over a few coefficients; those over all are no smaller
        distances = (left * np.append(signs[few], [1, 1]).astype(np.float32)) @ right.T
        hit = np.flatnonzero(distances <= 2 - 2 * reach + 1e-5)
        row, column = np.divmod(hit, len(other))
        if len(hit) > distances.size / 20:  # then all products take less time than those of single pairs
            correlation = ((one * signs) @ other.T).ravel()[hit]
        else:
            correlation = np.einsum("pd,pd->p", one[row] * signs, other[column])
        kept = (correlation >= reach) & (column + later > row + start)
        places = (row + start, column + later, np.full(len(hit), mirroring))
        pairs.append(np.stack(places, axis=1)[kept].astype(np.int32))
        correlations.append(correlation[kept])
    return np.concatenate(pairs), np.concatenate(correlations)


def _aligned_distance(points: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return the squared distances of pairs after the best small shift and stretch of rows and columns, `[P] float32`.

    To the first order, a shift or stretch adds a multiple of a tangent to the coefficients, here at the middle of the pair.

    Source: P. Simard, Y. LeCun and J. Denker (1993), "Efficient pattern recognition using a new transformation distance".
    """
    one, other = points[pairs[:, 0]] * _MIRRORS[pairs[:, 2]], points[pairs[:, 1]]
    tangents = ((one + other) / 2 @ _TANGENTS).transpose(1, 0, 2)
    difference = other - one
    # 1e-3 keeps shifts small
    squares = tangents @ tangents.transpose(0, 2, 1) + 1e-3 * np.eye(4, dtype=np.float32)
    along = (tangents @ difference[:, :, None])[..., 0]
    shifts = np.linalg.solve(squares, along[..., None])[..., 0]
    return np.square(difference).sum(axis=1) - (along * shifts).sum(axis=1)
