"""Labelled images, stratified splits and samples, and the sealed test set."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers import paths
from helpers.errors import OsemnError
from helpers.obtain import ledger

if TYPE_CHECKING:
    import pandas as pd

    from helpers.obtain.images.from_disk import DiskImages
    from helpers.series.runs import Run

_FEWEST_BLOCKS = 32  # along the shorter side: enough detail for simple models
_AT_ONCE = 256  # converted together, to bound the memory
_CHUNK_VALUES = 50_000_000  # pixel values converted to floats together: 200 MB


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with their labels.

    Attributes:
        images: `[N, H, W, C] uint8`, one (grey) or three (red, green, blue) channels: an array, or `from_disk.DiskImages`,
            which are indexed like one, for one's own images.
        labels: `[N] int64`, indices into `class_names`.
        class_names: names by label.
        weights: `[N] float64`, how much each image counts in training; None if all count the same.

    Raises:
        OsemnError: shapes, types or labels are inconsistent.
    """

    images: "np.ndarray | DiskImages"
    labels: np.ndarray
    class_names: tuple[str, ...]
    weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Check that the arrays are consistent."""
        images, labels, problem = self.images, self.labels, ""
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
            problem = f"images are {images.dtype} {list(images.shape)}"
        elif labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            problem = f"labels are {labels.dtype} {list(labels.shape)} for {len(images)} images"
        elif len(labels) and not 0 <= labels.min() <= labels.max() < self.num_classes:
            problem = f"labels run from {labels.min()} to {labels.max()} with {self.num_classes} class names"
        elif self.weights is not None and self.weights.shape != labels.shape:
            problem = f"weights are {list(self.weights.shape)} for {len(images)} images"
        if problem:
            raise OsemnError(
                f"These arrays are not labelled images: {problem}.",
                "pass images [N, H, W, C] uint8, labels [N] int64 and a name for each class",
            )

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of one image: height, width, channels."""
        return tuple(self.images.shape[1:])

    @property
    def from_disk(self) -> bool:
        """Whether the images are read from disk, at any side that is asked for."""
        return not isinstance(self.images, np.ndarray)

    def class_counts(self) -> np.ndarray:
        """Return the number of images of each class, `[K] int64`, by label."""
        return np.bincount(self.labels, minlength=self.num_classes)

    def subset(self, indices: np.ndarray | Sequence[int]) -> "Dataset":
        """Return the images and labels at `indices` (`[M]` integers) in that order, copied unless they are on disk."""
        indices = np.asarray(indices, dtype=np.int64)
        weights = None if self.weights is None else self.weights[indices]
        images = self.images.subset(indices) if self.from_disk else self.images[indices]
        return Dataset(images, self.labels[indices], self.class_names, weights)


def save(path: Path, dataset: Dataset) -> None:
    """Write a data set as an uncompressed `.npz` whose bytes depend only on its content; of images from disk, where they are."""
    arrays = dataset.images.files.to_store() if dataset.from_disk else {"images": dataset.images}
    if dataset.weights is not None:
        arrays["weights"] = dataset.weights
    names = np.array(dataset.class_names, dtype=np.str_)
    with path.open("wb") as stream:
        np.savez(stream, **arrays, labels=dataset.labels, class_names=names)


def load(path: Path, side: int | None = None) -> Dataset:
    """Return the data set that `save` wrote; images on disk are decoded into the cache if there is room for them.

    Args:
        path: the `.npz`.
        side: side in pixels of images from disk; None for the small one of 01_acquire.

    Raises:
        OsemnError: the file is damaged, or holds something else.
        AcquisitionError: an image on disk has changed, or the disk is full.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = dict(content)
            names = tuple(str(name) for name in arrays["class_names"])
            images = arrays["images"] if "images" in arrays else _on_disk(arrays, side)
            return Dataset(images, arrays["labels"], names, arrays.get("weights"))
    except (ValueError, KeyError, TypeError, EOFError) as error:
        raise OsemnError(
            f"{paths.shown(path)} is not a data set of this project ({error}).",
            "run notebooks/01_acquire.ipynb again",
        ) from None


def _on_disk(arrays: dict[str, np.ndarray], side: int | None) -> "DiskImages":
    from helpers.obtain.images import from_disk  # built-in sets do not need Pillow's readers

    return from_disk.DiskImages(from_disk.ImageFiles.stored(arrays), side).cached()


def load_training(run: "Run", side: int | None = None) -> Dataset:
    """Return the complete training part (training and validation images), as 01_acquire wrote it.

    Args:
        run: of a stage that reads from 01_acquire.
        side: side in pixels of images from disk; None for the small one of 01_acquire.

    Raises:
        MissingInputError: the run's stage may not read from 01_acquire.

    Example:
        `data.load_training(run)`
    """
    return load(run.input("01_acquire", "train.npz"), side)


def load_training_index(run: "Run", columns: Sequence[str] | None = None) -> "pd.DataFrame":
    """Return the index of the training part, a row for each image of `load_training`, in the same order.

    Args:
        run: of a stage that reads from 01_acquire.
        columns: those to read, with `row`; None for all. See `helpers.obtain.index`.

    Raises:
        MissingInputError: the run's stage may not read from 01_acquire.

    Example:
        `table = data.load_training_index(run)`
    """
    from helpers.obtain import index  # pandas takes half a second, which `osemn status` does not need

    table = index.read(run.input("01_acquire", "training_index.parquet"), columns)
    return table.sort_values("row", ignore_index=True)


def load_index(run: "Run") -> "pd.DataFrame":
    """Return the complete index: the rows of `load_training`, then those of `load_test`, each in the order of its arrays.

    Raises:
        SealedTestSetError: the run is of a stage that may not see the test part.

    Example:
        `table = data.load_index(run)`
    """
    from helpers.obtain import index

    table = index.read(run.input("01_acquire", "index.parquet"))
    return table.iloc[np.lexsort((table["row"], table["part"] == "test"))].reset_index(drop=True)


def load_split(run: "Run", side: int | None = None) -> tuple[Dataset, Dataset]:
    """Return the training and the validation images, by the indices of 03_preprocess.

    Args:
        run: of a stage that reads from 01_acquire and 03_preprocess.
        side: as for `load_training`.

    Raises:
        MissingInputError: the run's stage may not read from 01_acquire or 03_preprocess.

    Example:
        `train, validation = data.load_split(run)`
    """
    everything = load_training(run, side)
    train, validation = split_rows(run)
    return everything.subset(train), everything.subset(validation)


def split_rows(run: "Run") -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of `load_training` for training and for validation, `[N] int64` each, as 03_preprocess split them.

    Raises:
        MissingInputError: the run's stage may not read from 03_preprocess.

    Example:
        `train_rows, validation_rows = data.split_rows(run)`
    """
    with np.load(run.input("03_preprocess", "split.npz"), allow_pickle=False) as split:
        return split["train_index"], split["validation_index"]


def load_test(
    run: "Run", *, model_sha256: str, further: Sequence[str] = (), side: int | None = None
) -> Dataset:
    """Return the test part, for the stages in `TEST_STAGES` of the seal only; each opening is recorded first, in the ledger.

    Args:
        run: the run of the evaluation, or of a later stage that uses the evaluated champion.
        model_sha256: hash of the model that will be scored.
        further: hashes of other models that will be scored, such as those of other seeds.
        side: as for `load_training`.

    Raises:
        SealedTestSetError: the run is of another stage; the file has not been opened.

    Example:
        `data.load_test(run, model_sha256=chosen.sha256, further=chosen.further_sha256)`
    """
    path = run.input("01_acquire", "test.npz")
    ledger.record(run, [model_sha256, *further])
    return load(path, side)


def test_openings(run: "Run") -> list[dict[str, Any]]:
    """Return the recorded openings of the run's test images, earliest first; those of other profiles, too."""
    return ledger.read(ledger.of_manifest(run.upstream["01_acquire"]))


def array_sha256(*arrays: "np.ndarray | DiskImages") -> str:
    """Return one hash of the types, shapes and values of arrays, the same on every machine.

    Of images from disk, it is that of the files' content and of how they are prepared.
    """
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.newbyteorder('<').str} {array.shape}".encode())
        if isinstance(array, np.ndarray):
            digest.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")))
        else:
            digest.update(array.content_key)
    return digest.hexdigest()


def pixel_histogram(images: "np.ndarray | DiskImages") -> np.ndarray:
    """Return how often each pixel value occurs: `[256] int64` for `images` of any shape, `uint8`."""
    counts = np.zeros(256, dtype=np.int64)
    for part in chunks(images):
        values = images[part].reshape(-1)
        for start in range(0, len(values), 2**20):  # NumPy counts them as 8 bytes each
            counts += np.bincount(values[start : start + 2**20], minlength=256)
    return counts


def pixel_mean_and_sd(images: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation of all pixel values, scaled to 0–1, exact up to the last rounding.

    They are computed from integers, so that they are the same on every machine.
    """
    histogram = pixel_histogram(images)
    values = np.arange(256)
    count, total, squares = int(histogram.sum()), int(histogram @ values), int(histogram @ values**2)
    variance = (count * squares - total**2) / count**2
    return total / count / 255.0, variance**0.5 / 255.0


def brightness_and_contrast(images: "np.ndarray | DiskImages") -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the standard deviation of the pixels of each image, 0–255, `[N] float32` each."""
    mean, deviation = np.empty((2, len(images)), np.float32)
    for part in chunks(images):
        pixels = images[part].reshape(-1, int(np.prod(images.shape[1:]))).astype(np.float32)
        mean[part], deviation[part] = pixels.mean(axis=1), pixels.std(axis=1)
    return mean, deviation


def as_rows(images: "np.ndarray | DiskImages", fewest: int = _FEWEST_BLOCKS) -> np.ndarray:
    """Return images `[N, H, W, C] uint8` as rows of values from 0 to 1, `[N, D] float32`, for models of tabular data.

    Images whose shorter side has at least twice `fewest` pixels are reduced to the means of blocks of pixels, at least
    `fewest` and fewer than twice as many along that side, which bounds the memory. Others stay as they are: D = H·W·C.
    """
    height, width, channels = images.shape[1:]
    block = max(1, min(height, width) // fewest)
    rows, columns = height // block, width // block
    values = np.empty((len(images), rows * columns * channels), np.float32)
    for start in range(0, len(images), _AT_ONCE):
        some = images[start : start + _AT_ONCE][:, : rows * block, : columns * block].astype(np.float32)
        blocks = some.reshape(len(some), rows, block, columns, block, channels).mean(axis=(2, 4))
        values[start : start + len(some)] = blocks.reshape(len(blocks), -1) / 255.0
    return values


def chunks(images: "np.ndarray | DiskImages", count: int | None = None) -> Iterator[slice]:
    """Return slices along the first axis, each of a bounded number of values; of the first `count` images if given."""
    count = len(images) if count is None else count
    step = max(1, _CHUNK_VALUES // max(1, int(np.prod(images.shape[1:]))))
    for start in range(0, count, step):
        yield slice(start, start + step)
