"""What the report's explorer shows of the test images: thumbnails, their places on a map, the images most like each, and facts.

07_evaluation, which has the test images open, writes it for its candidate; the report only reads it. No TensorFlow here.
"""

import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers.obtain.data import Dataset
from helpers.obtain.splits import stratified_sample

FILE = "explorer.npz"
SMALL_SIDE = 64  # pixels: smaller images share sheets, because a file of their own would mostly be its header
MOST_SMALL, MOST_LARGE = 10_000, 2_000  # images: pages of 8 MB with 28 px, and of 40 MB with 224 px
MOST_MISTAKES = 300  # with a map and training images each: 0.5 MB with 28 px, and 4 MB with photographs
MOST_DOUBTFUL = 500  # training images with possible label errors: an hour's work
LARGEST_SIDE = 224  # pixels of a thumbnail
NEAR_SIDE = 112  # pixels of a training image beside a mistake, as the page shows it
SHEET_SIDE = 4_096  # pixels: the largest image that all phones decode without reducing it
QUALITY = 85  # of JPEG: traces of it cannot be seen on images of 28 px
ALIKE = 6  # images shown as the most similar ones, a row on a phone
_MISTAKES = "mistakes/"  # before the names of their arrays in the file
_FEWEST = 4  # images: with fewer, t-SNE has no perplexity of one neighbour
_ANCHORS = 1_000  # images that t-SNE places, in 2 s; 10,000 take 30 s. The others are put between them
_ITERATIONS = 500  # of t-SNE: half of scikit-learn's, after which features of trained networks hardly move
_COMPONENTS = 50  # before t-SNE, as its authors do
_READ = 64  # images read from disk together, by one thread for each core
_BLOCK = 8  # pixels: JPEG compresses such blocks, so that images in whole blocks do not blur into each other


@dataclass(frozen=True, eq=False)
class Mistakes:
    """Misclassified test images, each with a Grad-CAM map and the most similar training images.

    Attributes:
        images: their places in the arrays of `Explored`, `[E] int64`.
        maps: of the predicted class, `uint8 [E, h, w]`; 0 × 0 pixels for a model without convolutions.
        near: places of the training images with the most similar features in the arrays below, nearest first, `[E, A] int64`.
        rows: of these U training images, rising, `[U] int64`.
        labels: their labels, `[U] int64`.
        paths: relative to the data's folder; empty texts for images from arrays.
        sheets: their thumbnails, as in `Explored`, with the next three.
        side: of a thumbnail, in pixels.
        cell: pixels from one thumbnail to the next in a sheet.
        columns: thumbnails in a row of a sheet, and rows in a sheet.
    """

    images: np.ndarray
    maps: np.ndarray
    near: np.ndarray
    rows: np.ndarray
    labels: np.ndarray
    paths: tuple[str, ...]
    sheets: tuple[bytes, ...]
    side: int
    cell: int
    columns: int


@dataclass(frozen=True, eq=False)
class Explored:
    """The test images that the explorer shows.

    Attributes:
        rows: of these images in the test part, rising, `[M] int64`.
        total: number of images in the test part.
        sheets: JPEG files that hold the thumbnails in this order, from left to right and from top to bottom.
        side: of a thumbnail, in pixels.
        cell: pixels from one thumbnail to the next in a sheet.
        columns: thumbnails in a row of a sheet, and rows in a sheet.
        places: on the map, from 0 to 1, `[M, 2] float32`.
        alike: places in these arrays of the images with the most similar features, nearest first, `[M, A] int64`.
        copied: whether the training part has a copy of the image or another one of its group, `bool [M]`.
        paths: relative to the data's folder; empty texts for images from arrays.
        groups: names; empty texts for images without one.
        sha256: of the file, or of the pixels of an image from an array.
        suspects: rows of training images with possible label errors, `[T] int64`, which follow in sheets (from a new one on),
            paths, groups and sha256.
        suspect_labels: their labels, `[T] int64`.
        suspect_probabilities: by models that were not trained on them, `float32 [T, K]`.
        unknown: how unlike the training images an image is, `[M] float32`; None if that was not measured.
        mistakes: what may explain the mistakes; None if it was not looked for.
    """

    rows: np.ndarray
    total: int
    sheets: tuple[bytes, ...]
    side: int
    cell: int
    columns: int
    places: np.ndarray
    alike: np.ndarray
    copied: np.ndarray
    paths: tuple[str, ...]
    groups: tuple[str, ...]
    sha256: tuple[str, ...]
    suspects: np.ndarray
    suspect_labels: np.ndarray
    suspect_probabilities: np.ndarray
    unknown: np.ndarray | None = None
    mistakes: Mistakes | None = None

    def with_mistakes(
        self,
        images: np.ndarray,
        maps: np.ndarray,
        near: np.ndarray,
        training: Dataset,
        index: pd.DataFrame,
    ) -> "Explored":
        """Return the same with what may explain its mistakes.

        Args:
            images: places of the mistakes in these arrays, `[E] int64`.
            maps: Grad-CAM maps of the predicted classes, 0–1, `float32 [E, h, w]`.
            near: rows of the most similar training images, nearest first, `[E, A] int64`.
            training: the training part.
            index: its rows of the index, in its order.
        """
        rows, places = np.unique(near, return_inverse=True)
        sheets, side, cell, columns = _sheets(training, rows, NEAR_SIDE)
        return replace(
            self,
            mistakes=Mistakes(
                images=images,
                maps=np.round(255 * maps).astype(np.uint8),
                near=places.reshape(near.shape),
                rows=rows,
                labels=training.labels[rows].astype(np.int64),
                paths=tuple(index["path"].iloc[rows]),
                sheets=sheets,
                side=side,
                cell=cell,
                columns=columns,
            ),
        )

    def with_training(
        self, training: Dataset, index: pd.DataFrame, errors: pd.DataFrame, probabilities: np.ndarray
    ) -> "Explored":
        """Return the same with training images that have possible label errors, the least plausible ones if there are many.

        Args:
            training: the training part, at the side of the test images.
            index: its rows of the index, in its order.
            errors: of `possible_label_errors`, those of the training part.
            probabilities: on which they were judged, `[N, K]`.

        Example:
            `explorer.with_training(everything, index_table, label_errors[of_training], few.probabilities)`
        """
        errors = errors.head(MOST_DOUBTFUL)
        rows = errors["row"].to_numpy(np.int64)
        names = {name: tuple(index[name].iloc[rows]) for name in ("path", "group", "sha256")}
        return replace(
            self,
            sheets=self.sheets + _sheets(training, rows)[0],
            paths=self.paths + names["path"],
            groups=self.groups + names["group"],
            sha256=self.sha256 + names["sha256"],
            suspects=rows,
            suspect_labels=errors["label"].to_numpy(np.int64),
            suspect_probabilities=probabilities[errors["index"]].astype(np.float32),
        )

    def save(self, path: Path) -> None:
        """Write the file that `load` reads."""
        of_mistakes = _as_arrays(self.mistakes) if self.mistakes else {}
        with path.open("wb") as stream:
            np.savez(
                stream,
                **_as_arrays(self),
                **{f"{_MISTAKES}{name}": array for name, array in of_mistakes.items()},
            )


def load(path: Path) -> Explored:
    """Return what `Explored.save` wrote."""
    with np.load(path, allow_pickle=False) as content:
        arrays = dict(content)
    own = {name: arrays.pop(name) for name in list(arrays) if not name.startswith(_MISTAKES)}
    rest = {name.removeprefix(_MISTAKES): array for name, array in arrays.items()}
    return Explored(**_from_arrays(own), mistakes=Mistakes(**_from_arrays(rest)) if rest else None)


def _as_arrays(given: Explored | Mistakes) -> dict[str, np.ndarray]:
    """Return the arrays of a record, its sheets one after the other, and its numbers and texts as JSON."""
    facts = {name: value for name, value in vars(given).items() if isinstance(value, int | tuple)}
    facts["sheets"] = [len(sheet) for sheet in given.sheets]
    arrays = {name: value for name, value in vars(given).items() if isinstance(value, np.ndarray)}
    arrays["sheets"] = np.frombuffer(b"".join(given.sheets), np.uint8)
    return {**arrays, "facts": np.frombuffer(json.dumps(facts).encode(), np.uint8)}


def _from_arrays(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the attributes of a record from `_as_arrays`."""
    facts = json.loads(arrays.pop("facts").tobytes())
    ends = np.cumsum(facts.pop("sheets"))
    parts = np.split(arrays.pop("sheets"), ends)[: len(ends)]
    facts = {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}
    return {**arrays, **facts, "sheets": tuple(part.tobytes() for part in parts)}


def of_test(
    test: Dataset, embeddings: np.ndarray, index: pd.DataFrame, shared: np.ndarray, seed: int
) -> Explored:
    """Return what the explorer shows: all test images up to a bound, and a stratified sample of more.

    Args:
        test: the test part, at the side that the candidate takes.
        embeddings: features of its last layer, `float32 [N, D]`.
        index: the N rows of the index, in the order of the images.
        shared: rows of test images with a copy or group member in the training part.
        seed: of the sample and the map.

    Example:
        `explored.of_test(test, embeddings, index_table.tail(len(test)), shared["row"], seed)`
    """
    most = MOST_SMALL if min(test.image_shape[:2]) <= SMALL_SIDE else MOST_LARGE
    rows = stratified_sample(test.labels, most, seed)
    places, alike = _map(np.asarray(embeddings)[rows], seed)
    names = {name: tuple(index[name].iloc[rows]) for name in ("path", "group", "sha256")}
    sheets, side, cell, columns = _sheets(test, rows)
    return Explored(
        rows=rows,
        total=len(test),
        sheets=sheets,
        side=side,
        cell=cell,
        columns=columns,
        places=places,
        alike=alike,
        copied=np.isin(rows, shared),
        paths=names["path"],
        groups=names["group"],
        sha256=names["sha256"],
        suspects=np.empty(0, np.int64),
        suspect_labels=np.empty(0, np.int64),
        suspect_probabilities=np.empty((0, test.num_classes), np.float32),
    )


def _map(features: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each image's place on the map, `[M, 2] float32`, and the rows of the images most like it, `[M, A] int64`.

    Source: L. van der Maaten and G. Hinton (2008), "Visualizing data using t-SNE", for a sample; the other images are placed
    between their nearest neighbours in it, as P. Poličar et al. (2019), "openTSNE", first place new points.
    """
    if len(features) < _FEWEST or np.ptp(features, axis=0).max() == 0:  # nothing to arrange
        return np.full((len(features), 2), 0.5, np.float32), np.empty((len(features), 0), np.int64)
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from sklearn.neighbors import KNeighborsRegressor, NearestNeighbors
    from threadpoolctl import threadpool_limits

    # sums depend on the number of threads, and t-SNE amplifies a difference in the last digit
    with threadpool_limits(1):
        parts = min(_COMPONENTS, *features.shape)
        reduced = PCA(parts, svd_solver="randomized", random_state=seed).fit_transform(features)
        near = NearestNeighbors(n_neighbors=min(ALIKE, len(reduced) - 1), n_jobs=1).fit(reduced)
        alike = near.kneighbors(return_distance=False)
        anchors = np.random.default_rng(seed).permutation(len(reduced))[:_ANCHORS]
        perplexity = min(30.0, (len(anchors) - 1) / 3)
        tsne = TSNE(perplexity=perplexity, max_iter=_ITERATIONS, random_state=seed, n_jobs=1)
        drawn = tsne.fit_transform(reduced[anchors])
        between = KNeighborsRegressor(min(5, len(anchors)), weights="distance")
        places = between.fit(reduced[anchors], drawn).predict(reduced)
    low, high = places.min(axis=0), places.max(axis=0)
    return ((places - low) / np.maximum(high - low, 1e-9)).astype(np.float32), alike


def _sheets(
    test: Dataset, rows: np.ndarray, largest: int = LARGEST_SIDE
) -> tuple[tuple[bytes, ...], int, int, int]:
    """Return JPEG sheets of some images, the side of a thumbnail, the pixels between two, and the columns of a sheet."""
    side = min(max(test.image_shape[:2]), largest)
    cell = -(-side // _BLOCK) * _BLOCK
    columns = SHEET_SIDE // cell if side <= SMALL_SIDE else 1
    step = columns**2
    block = max(step, _READ)
    read = (test.images[rows[start : start + block]] for start in range(0, len(rows), block))
    sheets = tuple(
        _sheet(images[first : first + step], side, cell, columns)
        for images in read
        for first in range(0, len(images), step)
    )
    return sheets, side, cell, columns


def _sheet(images: np.ndarray, side: int, cell: int, columns: int) -> bytes:
    """Return square images, `[M, H, W, C] uint8`, side by side as one JPEG."""
    from PIL import Image

    channels, columns = images.shape[-1], min(columns, len(images))
    if images.shape[1] != side:
        drawn = (Image.fromarray(image[..., 0] if channels == 1 else image) for image in images)
        images = np.stack(
            [np.asarray(one.resize((side, side))).reshape(side, side, channels) for one in drawn]
        )
    beyond = (0, cell - side)
    images = np.pad(
        images, ((0, 0), beyond, beyond, (0, 0)), "edge"
    )  # repeated pixels compress without ringing
    images = np.pad(images, ((0, -len(images) % columns), (0, 0), (0, 0), (0, 0)))
    rows = images.reshape(-1, columns, cell, cell, channels).swapaxes(1, 2)
    pixels = rows.reshape(-1, columns * cell, channels)
    stream = io.BytesIO()
    picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    picture.save(stream, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return stream.getvalue()
