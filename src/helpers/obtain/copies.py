"""Exact and near copies among image files, and the images that must not be split from each other.

A near copy is the same photograph mirrored, resized, compressed, cropped by a few per cent, or brightened. Candidates are
found by their signatures, then compared pixel by pixel.
"""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import joblib
import numpy as np
import pandas as pd
from scipy import sparse
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree
from threadpoolctl import threadpool_limits

from helpers.obtain import data, signatures
from helpers.obtain.signatures import SIDE

# correlation of detail: made copies of photographs have more, different photographs at most 0.45
LIKENESS = 0.5
CLOSE = 0.99  # of images that look like many others, such as solar cells: different ones reach 0.987
MANY = 50  # images joined by likeness: more are a kind of image rather than copies of one
_COMPARED, _MOST_COMPARED = 10, 100_000  # pairs per image and in all, to be compared by their pixels
_NEAREST = 12  # of an array, itself included: enough to connect what belongs together
_COMPONENTS = 48  # principal components in which they are searched
_BLOCK = 64  # pairs at a time: their pixels fit into the processor's cache
_SHIFT = 0.07  # of the side: the largest displacement looked for; a crop by 5% shifts an edge by 5%
_BLUR = gaussian_filter1d(np.eye(SIDE, dtype=np.float32), 1.5, axis=0)  # by 1.5 pixels, of a column
_TURNS = tuple(np.s_[:, ::vertical, ::horizontal] for vertical in (1, -1) for horizontal in (1, -1))


@dataclass(frozen=True)
class NearCopies:
    """Pairs of near copies.

    Attributes:
        first: `[P] int64`, rows of one image of each pair.
        second: `[P] int64`, rows of the other, always larger.
        distance: `[P] float64`, √(2 (1 − r)) with the correlation r of their detail after alignment.
        capped: whether there were more candidates than could be compared.
        alike: number of images in groups of more than `MANY` joined by likeness, where only closer likeness counted.
    """

    first: np.ndarray
    second: np.ndarray
    distance: np.ndarray
    capped: bool = False
    alike: int = 0


def near(phashes: Sequence[bytes], read_thumbnail: Callable[[int], np.ndarray]) -> NearCopies:
    """Return the pairs of images that are near copies of each other, mirrored and flipped ones too.

    Time and memory are bounded: only the pairs with the closest signatures are compared, and a thumbnail is read at most
    once. More than `MANY` images that are joined by likeness are a kind of image, such as solar cells of one make; of these
    only pairs of a correlation of `CLOSE` and more are copies.

    Args:
        phashes: of `signatures.of_thumbnails`, one for each image; images that show nothing are left out.
        read_thumbnail: returns the thumbnail of an image by its row, `[64, 64, 3] uint8`; called from several threads.

    Returns:
        The pairs by rising distance.

    Example:
        `copies.near(table["phash"], lambda row: thumbnail(table["path"][row]))`
    """
    candidates, capped = signatures.alike(phashes, min(len(phashes) * _COMPARED, _MOST_COMPARED))
    likeness = _likeness(candidates, read_thumbnail)
    pairs = pd.DataFrame({"first": candidates[:, 0], "second": candidates[:, 1], "likeness": likeness})
    pairs = pairs.groupby(["first", "second"], as_index=False).max()  # the best of mirrored and not
    pairs = pairs[pairs["likeness"] >= LIKENESS]
    numbers = _components(pairs["first"], pairs["second"], len(phashes))
    size = np.bincount(numbers)[numbers[pairs["first"]]]
    many = pairs[size > MANY]
    pairs = pairs[(size <= MANY) | (pairs["likeness"] >= CLOSE)]
    pairs = pairs.sort_values("likeness", ascending=False, kind="stable")
    distance = np.sqrt(2 * np.clip(1 - pairs["likeness"].to_numpy(np.float64), 0, None))
    alike = len(np.unique(many[["first", "second"]]))
    return NearCopies(pairs["first"].to_numpy(), pairs["second"].to_numpy(), distance, bool(capped), alike)


def together(groups: pd.Series, exact: pd.Series, pairs: NearCopies) -> np.ndarray:
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

    Each image becomes a vector of mean 0 and length 1 (see `data.as_rows`), so that brightness and contrast do not matter. The
    distance of two is d = √(2 (1 − r)) with Pearson's correlation r of their pixels: 0 for the same image, √2 for unrelated
    ones. Flat images have no direction, and no near copies.

    Args:
        images: `[N, H, W, C] uint8`.
        distance: the largest distance of near copies.

    Example:
        `copies.together_of_arrays(train.images, 0.08)`
    """
    digests = [hashlib.sha256(image).hexdigest() for image in np.ascontiguousarray(images)]
    _, different, exact = np.unique(digests, return_index=True, return_inverse=True)
    first, second = different[_close_rows(data.as_rows(images[different]), distance)].T
    edges = np.concatenate([np.arange(len(images)), first]), np.concatenate([different[exact], second])
    return _components(*edges, len(images))


def _close_rows(rows: np.ndarray, distance: float) -> np.ndarray:
    """Return pairs of rows `[N, D]` within a distance, `[P, 2]`: each row with its nearest ones.

    They are searched among principal components, which can only shorten distances, and measured again in full.
    """
    from sklearn.decomposition import PCA

    varied = np.flatnonzero(np.ptp(rows, axis=1) > 0)
    if len(varied) < 2 or distance <= 0:
        return np.zeros((0, 2), np.int64)
    points = rows[varied] - rows[varied].mean(axis=1, keepdims=True)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    projected = PCA(min(_COMPONENTS, *points.shape), random_state=0).fit_transform(points)
    count, reach = min(_NEAREST, len(points)), distance + 1e-5  # for rounding in float32
    tree = cKDTree(projected)
    nearest = tree.query(projected, count, distance_upper_bound=reach, workers=joblib.cpu_count())[1]
    row, rank = np.nonzero((nearest < len(points)) & (nearest != np.arange(len(points))[:, np.newaxis]))
    pairs = np.column_stack([row, nearest[row, rank]])
    gaps = [
        np.linalg.norm(points[pairs[part, 0]] - points[pairs[part, 1]], axis=1)
        for part in data.chunks(points, len(pairs))
    ]
    return varied[pairs[np.concatenate([np.zeros(0), *gaps]) <= distance]]


def _components(first: np.ndarray, second: np.ndarray, images: int) -> np.ndarray:
    """Return the number of each image's connected component, `[N] int64`, in the order of their first images."""
    edges = (np.ones(len(first), bool), (np.asarray(first), np.asarray(second)))
    graph = sparse.coo_array(edges, shape=(images, images))
    return sparse.csgraph.connected_components(graph, directed=False)[1].astype(np.int64)


def _likeness(candidates: np.ndarray, read_thumbnail: Callable[[int], np.ndarray]) -> np.ndarray:
    """Return the correlation of the detail of pairs (first, second, mirroring), `[P] float32`, after alignment."""
    rows, places = np.unique(candidates[:, :2], return_inverse=True)
    places = places.reshape(-1, 2)

    def grey(row: int) -> np.ndarray:
        return np.rint(read_thumbnail(row) @ signatures.YCC[0]).astype(np.uint8)

    def compared(start: int) -> np.ndarray:
        part = slice(start, start + _BLOCK)
        one, other = luma[places[part, 0]], luma[places[part, 1]]
        for mirroring, turn in enumerate(_TURNS):
            turned = candidates[part, 2] == mirroring
            one[turned] = one[turned][turn]
        return _compared(one.astype(np.float32), other.astype(np.float32))

    luma = np.empty((len(rows), SIDE, SIDE), np.uint8)
    # each thread computes its own pairs
    with threadpool_limits(1), ThreadPoolExecutor(joblib.cpu_count()) as threads:
        for place, image in enumerate(threads.map(grey, rows.tolist())):
            luma[place] = image
        likeness = threads.map(compared, range(0, len(candidates), _BLOCK))
        return np.concatenate([*likeness, np.zeros(0, np.float32)])


def _compared(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the correlation of the detail of images `[P, 64, 64] float32`, `[P]`: as they lie or aligned, whichever is higher.

    Alignment goes astray in images of many equal dots or lines, which need none unless they are cropped.
    """
    still = np.zeros((len(one), 4), np.float32)
    return np.maximum(*(_correlation(one, other, steps) for steps in (still, _alignment(one, other))))


def _correlation(one: np.ndarray, other: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the correlation of detail after the second images were moved by `steps`, `[P]`.

    Detail is what a blur by 1.5 pixels removes, divided by its local contrast, so that a faint mark counts as much as an
    outline that many images share.
    """
    moved, inside = _moved(other, steps, SIDE)
    details = []
    for images in (one, moved):
        detail = images - _BLUR @ images @ _BLUR.T
        contrast = np.sqrt(_BLUR @ np.square(detail) @ _BLUR.T)
        # 3 grey values: noise of JPEG
        details.append((inside * detail / (contrast + 3)).reshape(len(one), -1))
    squares = np.linalg.norm(details[0], axis=1) * np.linalg.norm(details[1], axis=1)
    return np.einsum("pi,pi->p", *details) / np.maximum(squares, 1e-6)


def _alignment(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return how to move the second images onto the first, `[P, 4]`: shift and stretch of rows, then of columns.

    Source: B. D. Lucas and T. Kanade (1981), "An iterative image registration technique", from coarse to fine.
    """
    steps = np.zeros((len(one), 4), np.float32)
    # three rounds converge for displacements of _SHIFT; to begin at 16 pixels finds no more copies, and goes astray more often
    for side in (32, 32, 32, SIDE):
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
