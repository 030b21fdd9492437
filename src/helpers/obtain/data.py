"""Labelled images, stratified splits and samples, and the sealed test set."""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers import paths
from helpers.errors import OsemnError

if TYPE_CHECKING:
    from helpers.series.runs import Run

LEDGER = "test_openings.jsonl"
_FEWEST_BLOCKS = 32
_IMAGES_AT_ONCE = 256
_CHUNK_VALUES = 50_000_000  # pixel values turned into floats at once: 200 MB


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with their labels.

    Attributes:
        images: `[N, H, W, C] uint8`, one (grey) or three (red, green, blue) channels.
        labels: `[N] int64`, indices into `class_names`.
        class_names: the names of the classes, by label.

    Raises:
        OsemnError: shapes, types or labels do not fit together.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        problem = _misfit(self.images, self.labels, self.class_names)
        if problem:
            raise OsemnError(
                f"These arrays are no labelled images: {problem}.",
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

    def class_counts(self) -> np.ndarray:
        """Return the number of images of each class, `[K] int64`, by label."""
        return np.bincount(self.labels, minlength=self.num_classes)

    def subset(self, indices: np.ndarray | Sequence[int]) -> "Dataset":
        """Return the images and labels at `indices` (`[M]` integers), copied, in that order."""
        indices = np.asarray(indices, dtype=np.int64)
        return Dataset(self.images[indices], self.labels[indices], self.class_names)


def _misfit(images: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> str:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        return f"images are {images.dtype} {list(images.shape)}"
    if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
        return f"labels are {labels.dtype} {list(labels.shape)} for {len(images)} images"
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(class_names):
        return f"labels run from {labels.min()} to {labels.max()} with {len(class_names)} class names"
    return ""


def save(path: Path, dataset: Dataset) -> None:
    """Write a data set as an uncompressed `.npz` whose bytes depend on its content alone."""
    with path.open("wb") as stream:
        np.savez(
            stream,
            images=dataset.images,
            labels=dataset.labels,
            class_names=np.array(dataset.class_names, dtype=np.str_),
        )


def load(path: Path) -> Dataset:
    """Return the data set that `save` wrote.

    Raises:
        OsemnError: the file is not such a data set.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            names = tuple(str(name) for name in content["class_names"])
            return Dataset(content["images"], content["labels"], names)
    except (ValueError, KeyError, EOFError) as error:
        raise OsemnError(
            f"{paths.shown(path)} is no data set of this project ({error}).",
            "run notebooks/01_acquire.ipynb again",
        ) from None


def load_training(run: "Run") -> Dataset:
    """Return the whole training part (training and validation images) that 01_acquire left.

    Raises:
        MissingInputError: the run's stage may not read from 01_acquire.
    """
    return load(run.input("01_acquire", "train.npz"))


def load_split(run: "Run") -> tuple[Dataset, Dataset]:
    """Return the training and the validation images, by the indices that 03_preprocess left.

    Raises:
        MissingInputError: the run's stage may not read from 01_acquire or 03_preprocess.
    """
    whole = load_training(run)
    with np.load(run.input("03_preprocess", "split.npz"), allow_pickle=False) as split:
        return whole.subset(split["train_index"]), whole.subset(split["validation_index"])


def load_test(run: "Run", *, model_sha256: str) -> Dataset:
    """Return the test part; only `sealing.TEST_STAGES` may, and each opening is put on record first.

    The record is a line of JSON in `test_openings.jsonl` in the folder of the data set and profile.

    Args:
        run: of the evaluation, or of the export of a champion that was evaluated.
        model_sha256: of the model that is going to be scored.

    Raises:
        SealedTestSetError: the run is of another stage; the file has not been touched.
    """
    path = run.input("01_acquire", "test.npz")
    entry = {
        "opened": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
        "stage": run.stage.name,
        "candidate": run.parameters.get("candidate"),
        "model_sha256": model_sha256,
        "called_by": run.called_by,
        "test_sha256": run.inputs["01_acquire/test.npz"],
    }
    _append_line(run.root / LEDGER, entry)
    return load(path)


def test_openings(run: "Run") -> list[dict[str, str]]:
    """Return every opening of the test part on record for the run's data set and profile, the earliest first."""
    path = run.root / LEDGER
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines]


def array_sha256(*arrays: np.ndarray) -> str:
    """Return one hash of the types, shapes and values of arrays, the same on every machine."""
    digest = hashlib.sha256()
    for array in arrays:
        little_endian = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        digest.update(f"{little_endian.dtype.str} {array.shape}".encode())
        digest.update(little_endian)
    return digest.hexdigest()


def pixel_histogram(images: np.ndarray) -> np.ndarray:
    """Return how often each pixel value occurs: `[256] int64` for `images` of any shape, `uint8`."""
    values = images.reshape(-1)
    pieces = (values[start : start + 2**20] for start in range(0, len(values), 2**20))
    return sum((np.bincount(piece, minlength=256) for piece in pieces), np.zeros(256, dtype=np.int64))


def pixel_mean_and_sd(images: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation of all pixel values, scaled to 0–1, exact but for rounding at the end.

    They come from whole numbers, so that every machine finds the same ones.
    """
    histogram = pixel_histogram(images)
    values = np.arange(256)
    count, total, squares = int(histogram.sum()), int(histogram @ values), int(histogram @ values**2)
    variance = (count * squares - total**2) / count**2
    return total / count / 255.0, variance**0.5 / 255.0


def as_rows(images: np.ndarray) -> np.ndarray:
    """Return images `[N, H, W, C] uint8` as rows of values from 0 to 1, `[N, D] float32`, for models that know no pictures.

    Images of 64 pixels and more a side are taken by the means of blocks of pixels, 32 to 63 along the shorter side, so that
    memory stays bounded; smaller ones as they are, so that D = H·W·C.
    """
    height, width, channels = images.shape[1:]
    block = max(1, min(height, width) // _FEWEST_BLOCKS)
    rows, columns = height // block, width // block
    found = np.empty((len(images), rows * columns * channels), np.float32)
    for start in range(0, len(images), _IMAGES_AT_ONCE):
        some = images[start : start + _IMAGES_AT_ONCE, : rows * block, : columns * block].astype(np.float32)
        blocks = some.reshape(len(some), rows, block, columns, block, channels).mean(axis=(2, 4))
        found[start : start + len(some)] = blocks.reshape(len(blocks), -1) / 255.0
    return found


def _append_line(path: Path, entry: dict[str, str | None]) -> None:
    """Append one line; a single write in append mode, so that lines of two processes never mix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as stream:
        stream.write((json.dumps(entry, sort_keys=True) + "\n").encode())
        os.fsync(stream.fileno())


def stratified_split(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split so that every class gives the same share of its images, rounded, at least one to each side.

    Args:
        labels: `[N] int64`.
        fraction: share to hold out, between 0 and 1.
        seed: decides which images; the same seed gives the same split.

    Returns:
        The indices kept and the indices held out, each sorted `int64`.

    Raises:
        OsemnError: `fraction` is out of range, or a class has fewer than two images.
    """
    if not 0.0 < fraction < 1.0:
        raise OsemnError(f"Cannot hold out a fraction of {fraction}.", "use a number between 0 and 1")
    generator = np.random.default_rng(seed)
    kept, held_out = [], []
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        if len(members) < 2:
            raise OsemnError(
                f"Class {label} has {len(members)} image, which cannot be split.",
                "give it at least two images, or leave the class out",
            )
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        held_out.append(members[:count])
        kept.append(members[count:])
    return _sorted(kept), _sorted(held_out)


def stratified_sample(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Choose images so that the classes keep their shares, and none is left out.

    Args:
        labels: `[N] int64`.
        size: images wanted; all are taken where there are no more, and one of each class at least.
        seed: decides which images; the same seed gives the same sample.

    Returns:
        Sorted indices, `int64`: `min(size, N)` of them, or one for each class where that is more.
    """
    present, counts = np.unique(labels, return_counts=True)
    if size >= len(labels):
        return np.arange(len(labels), dtype=np.int64)
    generator = np.random.default_rng(seed)
    shares = _shares(counts, max(size, len(present)))
    chosen = [
        generator.permutation(np.flatnonzero(labels == label))[:share]
        for label, share in zip(present, shares, strict=True)
    ]
    return _sorted(chosen)


def _shares(counts: np.ndarray, size: int) -> np.ndarray:
    """Divide `size` by the method of largest remainders, with at least one for each class."""
    exact = counts * (size / counts.sum())
    shares = np.clip(np.floor(exact).astype(np.int64), 1, counts)
    while shares.sum() < size:
        lacking = np.where(shares < counts, exact - shares, -np.inf)
        shares[np.argmax(lacking)] += 1
    while shares.sum() > size:
        excess = np.where(shares > 1, shares - exact, -np.inf)
        shares[np.argmax(excess)] -= 1
    return shares


def _sorted(parts: list[np.ndarray]) -> np.ndarray:
    return np.sort(np.concatenate(parts)).astype(np.int64)


def chunks(images: np.ndarray) -> Iterator[slice]:
    """Return slices along the first axis, each of a bounded number of values."""
    step = max(1, _CHUNK_VALUES // max(1, int(np.prod(images.shape[1:]))))
    for start in range(0, len(images), step):
        yield slice(start, start + step)
