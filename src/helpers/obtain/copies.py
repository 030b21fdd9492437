"""Exact and near copies among image files, and the images that must not be split from each other.

A near copy is the same photograph mirrored, resized, compressed, cropped by a few per cent, or brightened. Candidates are
found by short signatures, then compared pixel by pixel.
"""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.fft import dct
from scipy.ndimage import gaussian_filter
from threadpoolctl import threadpool_limits

from helpers.obtain import duplicates

SIDE = 64
"""Height and width of thumbnails in pixels."""
SIGNATURE_BYTES = 64
LIKENESS = (
    0.5  # correlation of detail: made copies of photographs have more, different photographs at most 0.45
)
CLOSE = 0.99  # of images that look like many others, such as solar cells: different ones reach 0.986
MANY = 50  # images joined by likeness: more are a kind of image rather than copies of one
_FLAT = 0.5  # standard deviation of the waves of luma, in grey values; less is noise of JPEG
_WAVES = 10  # cosine waves along each side
_LUMA_WAVES, _COLOUR_WAVES = 44, 10  # the lowest, without the mean of the luma; 44 + 2 · 10 bytes
# luma and two differences of colour (ITU-R BT.601)
_YCC = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]], np.float32)
_FAR, _FAR_ALIGNED = (
    0.4,
    0.25,
)  # squared distances; nearly all made copies are nearer, before and after alignment
_CANDIDATES, _MOST_CANDIDATES = 40, 4_000_000  # per image and in all, to be aligned by their signatures
_COMPARED, _MOST_COMPARED = 10, 200_000  # per image and in all, to be compared by their pixels
_BLOCK = 1024  # signatures or pairs at a time: bounds memory
_SHIFT = 0.07  # of the side: the largest displacement looked for; a crop by 5% shifts an edge by 5%
_TURNS = tuple(np.s_[:, ::vertical, ::horizontal] for vertical in (1, -1) for horizontal in (1, -1))


def _transform() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the cosine waves, the chosen coefficients, their signs in mirrored images, and their change by small moves."""
    axis, waves = (np.arange(SIDE) + 0.5) / SIDE, np.arange(_WAVES)
    basis = dct(np.eye(SIDE), axis=0, norm="ortho")[:_WAVES]
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
    basis, signs, changes = (np.asarray(part, np.float32) for part in (basis, signs, changes))
    return basis, plane * _WAVES**2 + place, signs, changes


_BASIS, _CHOSEN, _MIRRORS, _TANGENTS = _transform()


@dataclass(frozen=True)
class NearCopies(duplicates.Pairs):
    """Pairs of near copies.

    Attributes:
        first: `[P] int64`, rows of one image of each pair.
        second: `[P] int64`, rows of the other, always larger.
        distance: `[P] float64`, √(2 (1 − r)) with the correlation r of their detail after alignment.
        capped: whether there were more candidates than could be compared.
        alike: number of images in groups of more than `MANY` joined by likeness, where only closer likeness counted.
    """

    alike: int = 0


def signature(thumbnail: np.ndarray) -> bytes:
    """Return the low frequencies of an image, `SIGNATURE_BYTES` long; zeros for an image that shows nothing.

    The lowest coefficients of the discrete cosine transform of luma and colour, relative to the contrast of the luma, so
    that brightness does not count. To mirror the image changes the sign of some of them only.

    Args:
        thumbnail: `[64, 64, 3] uint8`, the whole image resized to a square.

    Source: C. Zauner (2010), "Implementation and benchmarking of perceptual image hash functions", for the transform.
    """
    planes = (thumbnail.reshape(-1, 3) @ _YCC.T).T.reshape(3, SIDE, SIDE)
    waves = (_BASIS @ planes @ _BASIS.T).reshape(-1)[_CHOSEN]
    contrast = float(np.linalg.norm(waves[:_LUMA_WAVES]))
    if contrast < _FLAT * SIDE:
        return bytes(SIGNATURE_BYTES)
    scaled = np.clip(waves / contrast, -1, 1)
    # a square root, so that the many small coefficients keep their digits
    return np.rint(127 * np.sign(scaled) * np.sqrt(np.abs(scaled))).astype(np.int8).tobytes()


def near(signatures: Sequence[bytes], read_thumbnail: Callable[[int], np.ndarray]) -> NearCopies:
    """Return the pairs of images that are near copies of each other, mirrored and flipped ones too.

    Time and memory are bounded: of the candidates by signature only the closest are aligned, of these only the closest are
    read again and compared. More than `MANY` images that are joined by likeness are a kind of image, such as solar cells of
    one make; of these only pairs of a correlation of `CLOSE` and more are copies.

    Args:
        signatures: of `signature`, one for each image; images that show nothing are left out.
        read_thumbnail: returns the thumbnail of an image by its row, `[64, 64, 3] uint8`; called from several threads.

    Returns:
        The pairs by rising distance.

    Example:
        `copies.near(table["phash"], lambda row: thumbnail(table["path"][row]))`
    """
    whole = np.frombuffer(b"".join(signatures), np.int8).reshape(-1, SIGNATURE_BYTES).astype(np.float32)
    rows = np.flatnonzero(whole.any(axis=1))
    points = whole[rows] * np.abs(whole[rows])
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    limits = (min(len(rows) * _CANDIDATES, _MOST_CANDIDATES), min(len(rows) * _COMPARED, _MOST_COMPARED))
    candidates, capped = _candidates(points, limits[0])
    aligned = np.concatenate(
        [_aligned_distance(points, candidates[part]) for part in _parts(len(candidates))] or [[]]
    )
    kept = np.flatnonzero(aligned < _FAR_ALIGNED)
    capped |= len(kept) > limits[1]
    kept = kept[np.argsort(aligned[kept], kind="stable")[: limits[1]]]
    candidates = candidates[kept]
    likeness = _likeness(np.column_stack([rows[candidates[:, :2]], candidates[:, 2]]), read_thumbnail)
    pairs = pd.DataFrame(
        {"first": rows[candidates[:, 0]], "second": rows[candidates[:, 1]], "likeness": likeness}
    )
    pairs = pairs.groupby(["first", "second"], as_index=False).max()  # the best of mirrored and not
    pairs = pairs[pairs["likeness"] >= LIKENESS]
    size = _sizes(_components(pairs["first"], pairs["second"], len(whole)))[pairs["first"]]
    many = pairs[size > MANY]
    pairs = pairs[(size <= MANY) | (pairs["likeness"] >= CLOSE)].sort_values(
        "likeness", ascending=False, kind="stable"
    )
    distance = np.sqrt(2 * np.clip(1 - pairs["likeness"].to_numpy(np.float64), 0, None))
    alike = len(np.unique(many[["first", "second"]]))
    return NearCopies(pairs["first"].to_numpy(), pairs["second"].to_numpy(), distance, bool(capped), alike)


def together(groups: pd.Series, exact: pd.Series, pairs: duplicates.Pairs) -> np.ndarray:
    """Return a number for each image, `[N] int64`; images with the same number must not be split from each other.

    Args:
        groups: `[N]`, the name of each image's group, `""` for none.
        exact: `[N]`, the sha256 of each image.
        pairs: near copies.

    Example:
        `copies.together(table["group"], table["sha256"], pairs)`
    """
    edges = [(pairs.first, pairs.second)]
    for keys in (groups.to_numpy(), exact.to_numpy()):
        named = np.flatnonzero(keys != "")
        codes = pd.factorize(keys[named])[0]
        edges.append((named, named[np.unique(codes, return_index=True)[1][codes]]))
    return _components(*map(np.concatenate, zip(*edges, strict=True)), len(exact))


def together_of_arrays(images: np.ndarray, distance: float) -> np.ndarray:
    """Return a number for each image of an array as `together` does, for exact copies and near copies within a distance.

    Args:
        images: `[N, H, W, C] uint8`.
        distance: the largest distance of a pair, as of `duplicates.near_pairs`.

    Example:
        `copies.together_of_arrays(train.images, 0.08)`
    """
    near_copies = duplicates.near_pairs(images, distance)
    edges = [(group[:-1], group[1:]) for group in duplicates.exact_groups(images)]
    edges.append((near_copies.first, near_copies.second))
    return _components(*map(np.concatenate, zip(*edges, strict=True)), len(images))


def _components(first: np.ndarray, second: np.ndarray, images: int) -> np.ndarray:
    """Return the number of each image's connected component, `[N] int64`, in the order of their first images."""
    edges = (np.ones(len(first), bool), (np.asarray(first), np.asarray(second)))
    graph = sparse.coo_array(edges, shape=(images, images))
    return sparse.csgraph.connected_components(graph, directed=False)[1].astype(np.int64)


def _sizes(numbers: np.ndarray) -> np.ndarray:
    """Return the number of images with the same number as each image."""
    return np.bincount(numbers)[numbers] if len(numbers) else numbers


def _parts(count: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, count, _BLOCK))


def _candidates(points: np.ndarray, limit: int) -> tuple[np.ndarray, bool]:
    """Return the closest pairs of unit vectors `[N, 64]` as rows (first, second, mirroring), and whether there are more."""
    candidates, alike = [np.zeros((0, 3), np.int32)], [np.zeros(0, np.float32)]
    reach, count, capped = 1 - _FAR / 2, 0, False  # reach as a correlation
    for rows, columns in itertools.product(_parts(len(points)), _parts(len(points))):
        if columns.start < rows.start:
            continue
        for mirroring, signs in enumerate(_MIRRORS):
            products = ((points[rows] * signs) @ points[columns].T).ravel()
            hit = np.flatnonzero(products >= reach)
            row, column = np.divmod(hit, len(points[columns]))
            later = column + columns.start > row + rows.start
            places = (row + rows.start, column + columns.start, np.full(len(hit), mirroring))
            candidates.append(np.stack(places, axis=1)[later].astype(np.int32))
            alike.append(products[hit[later]])
            count += len(candidates[-1])
        if count > 2 * limit:
            pairs, correlation = np.concatenate(candidates), np.concatenate(alike)
            closest = np.argpartition(-correlation, limit)[:limit]
            candidates, alike, count, capped = [pairs[closest]], [correlation[closest]], limit, True
            reach = float(alike[0].min())
    pairs, correlation = np.concatenate(candidates), np.concatenate(alike)
    closest = np.argsort(-correlation, kind="stable")[:limit]
    return pairs[closest], capped or len(pairs) > limit


def _aligned_distance(points: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Return the squared distances of pairs after the best small shift and stretch of rows and columns, `[P] float32`.

    To the first order, a shift or stretch adds a multiple of a tangent to the coefficients, here at the middle of the pair.

    Source: P. Simard, Y. LeCun and J. Denker (1993), "Efficient pattern recognition using a new transformation distance".
    """
    one, other = points[candidates[:, 0]] * _MIRRORS[candidates[:, 2]], points[candidates[:, 1]]
    tangents = ((one + other) / 2 @ _TANGENTS).transpose(1, 0, 2)
    difference = other - one
    squares = tangents @ tangents.transpose(0, 2, 1) + 1e-3 * np.eye(
        4, dtype=np.float32
    )  # 1e-3 keeps shifts small
    along = (tangents @ difference[:, :, None])[..., 0]
    shifts = np.linalg.solve(squares, along[..., None])[..., 0]
    return np.square(difference).sum(axis=1) - (along * shifts).sum(axis=1)


def _likeness(candidates: np.ndarray, read_thumbnail: Callable[[int], np.ndarray]) -> np.ndarray:
    """Return the correlation of the detail of pairs (first, second, mirroring), `[P] float32`, after alignment."""
    rows, places = np.unique(candidates[:, :2], return_inverse=True)
    places = places.reshape(-1, 2)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        read = threads.map(lambda row: read_thumbnail(row) @ _YCC[0], rows.tolist())
        luma = np.stack([*(np.rint(one).astype(np.uint8) for one in read), np.zeros((SIDE, SIDE), np.uint8)])
    likeness = np.zeros(len(candidates), np.float32)
    with threadpool_limits(1):  # many small products: threads would only wait for each other
        for part in _parts(len(candidates)):
            one, other = luma[places[part, 0]], luma[places[part, 1]]
            for mirroring, turn in enumerate(_TURNS):
                turned = candidates[part, 2] == mirroring
                one[turned] = one[turned][turn]
            likeness[part] = _compared(one.astype(np.float32), other.astype(np.float32))
    return likeness


def _compared(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the correlation of the detail of images `[P, 64, 64] float32` after alignment, `[P]`.

    Detail is what a blur by 1.5 pixels removes, divided by its local contrast, so that a faint mark counts as much as an
    outline that many images share.
    """
    moved, inside = _moved(other, _alignment(one, other), SIDE)
    details = []
    for images in (one, moved):
        detail = images - gaussian_filter(images, (0, 1.5, 1.5))
        contrast = np.sqrt(gaussian_filter(np.square(detail), (0, 1.5, 1.5)))
        details.append(
            (inside * detail / (contrast + 3)).reshape(len(one), -1)
        )  # 3 grey values: noise of JPEG
    squares = np.linalg.norm(details[0], axis=1) * np.linalg.norm(details[1], axis=1)
    return np.einsum("pi,pi->p", *details) / np.maximum(squares, 1e-6)


def _alignment(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return how to move the second images onto the first, `[P, 4]`: shift and stretch of rows, then of columns.

    Source: B. D. Lucas and T. Kanade (1981), "An iterative image registration technique", from coarse to fine.
    """
    steps = np.zeros((len(one), 4), np.float32)
    for side in (16, 16, 16, 32, 32, 32, SIDE):  # three rounds converge for displacements of _SHIFT
        block = SIDE // side
        small, small_other = (
            images.reshape(-1, side, block, side, block).mean(axis=(2, 4)) for images in (one, other)
        )
        moved, inside = _moved(small_other, steps, side)
        fixed, moved = _normal(small, inside), _normal(moved, inside)
        slopes = [inside * slope * side for slope in np.gradient((fixed + moved) / 2, axis=(1, 2))]
        across = (np.arange(side, dtype=np.float32) + 0.5) / side - 0.5
        tangents = np.stack([slopes[0], slopes[0] * across[:, None], slopes[1], slopes[1] * across], axis=1)
        tangents = tangents.reshape(len(one), 4, -1)
        squares = tangents @ tangents.transpose(0, 2, 1) + 0.01 * side**2 * np.eye(4, dtype=np.float32)
        along = tangents @ (fixed - moved).reshape(len(one), -1, 1)
        steps = np.clip(steps + np.linalg.solve(squares, along)[..., 0], -_SHIFT, _SHIFT)
    return steps


def _moved(images: np.ndarray, steps: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images `[P, side, side]` shifted and stretched, and where they are known, both `float32`."""
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side
    rows, columns = (
        (axis + shift[:, None] + stretch[:, None] * (axis - 0.5)) * side - 0.5
        for shift, stretch in (steps[:, :2].T, steps[:, 2:].T)
    )
    down, across = (  # weights of linear interpolation
        np.clip(1 - np.abs(places[:, :, None] - np.arange(side, dtype=np.float32)), 0, None)
        for places in (rows, columns)
    )
    known = [(places > -0.6) & (places < side - 0.4) for places in (rows, columns)]
    inside = (known[0][:, :, None] & known[1][:, None]).astype(np.float32)
    return down @ images @ across.transpose(0, 2, 1), inside


def _normal(images: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return images with mean 0 and standard deviation 1 where they are known, and 0 elsewhere."""
    count = inside.sum(axis=(1, 2), keepdims=True)
    centred = (images - (images * inside).sum(axis=(1, 2), keepdims=True) / count) * inside
    deviation = np.sqrt(np.square(centred).sum(axis=(1, 2), keepdims=True) / count)
    return centred / np.maximum(deviation, 1e-3)
