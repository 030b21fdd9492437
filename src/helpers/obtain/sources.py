"""Data sets by their source: one class for each kind of source, which checks, fingerprints and loads it.

To add a kind of source, write a class with the methods of `Source` and name it in `find`.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from helpers import paths
from helpers.errors import AcquisitionError, UsageError
from helpers.obtain import data, data_card, download, files, folders, idx, splits
from helpers.series import seal

OWN_TEST_FRACTION = 0.2
DIGITS_SEED = 0  # the digits are always split in the same way
DIGITS_SHA256 = "47a6aba49781e65e177a59356f0d40d983011c608eca797546816792dcf7785d"


@dataclass(frozen=True)
class Acquired:
    """A data set with its data card.

    Attributes:
        train: the images for training and validation.
        test: the images for the final test; they belong in `test.npz` and nowhere else.
        card: content and origin, as plain JSON types.
    """

    train: data.Dataset
    test: data.Dataset
    card: dict[str, Any]


@dataclass(frozen=True)
class Options:
    """How to load a data set.

    Attributes:
        image_size: side in pixels to which a folder's images are resized; 0 means 64.
        color_mode: `"auto"`, `"grayscale"` or `"rgb"`, for a folder's images.
        test_fraction: proportion to hold out for the test, of a folder's images or of the digits.
        seed: decides which of a folder's images are held out.
        network: time limits and progress of downloads.
    """

    image_size: int = 0
    color_mode: str = "auto"
    test_fraction: float = OWN_TEST_FRACTION
    seed: int = 0
    network: download.Network = field(default_factory=download.Network)


class Source(ABC):
    """A data set in one kind of source.

    Attributes:
        fixed: the options that do not apply to this kind.
        dataset: the data set's name or path, as a user types it.
    """

    fixed: ClassVar[tuple[str, ...]] = ()

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset

    def check(self, options: Options) -> None:
        """Check what can be known before anything is fetched or read; an option that would do nothing is an error.

        Raises:
            UsageError: an option does not apply, or the source cannot be read.
        """
        for name in self.fixed:
            value, default = getattr(options, name), getattr(Options(), name)
            if value != default:
                raise UsageError(
                    f"The built-in data set '{self.dataset}' comes with its own size, colours and parts: "
                    f"{name} = {value!r} cannot apply to it.",
                    f"leave {name} at {default!r}, or name a folder of images as the data set",
                )

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash that changes when what `load` would read changes; quick, as no image is opened."""

    @abstractmethod
    def load(self, options: Options) -> Acquired:
        """Return the data set, verified.

        Raises:
            AcquisitionError: it is unavailable or damaged; the message says what to do.
        """


class Digits(Source):
    """The digits that come with scikit-learn (`sklearn.datasets.load_digits`)."""

    fixed = ("image_size", "color_mode")

    def fingerprint(self) -> str:
        """Return the hash of the arrays."""
        return DIGITS_SHA256

    def load(self, options: Options) -> Acquired:
        """Return the digits, scaled to 0–255; refuse a copy whose hash differs."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
        labels = bunch.target.astype(np.int64)
        if data.array_sha256(images, labels) != DIGITS_SHA256:
            raise AcquisitionError(
                "scikit-learn's digits are not the published ones: their sha256 differs.",
                "install scikit-learn again; its copy of the data set is damaged",
            )
        everything = data.Dataset(images, labels, tuple(str(name) for name in bunch.target_names))
        origin = {
            "dataset": "digits",
            "title": "Digits",
            "about": "Handwritten digits from scikit-learn (Alpaydin and Kaynak, 1998, UCI); values 0–16 scaled to 0–255.",
            "licence": "Creative Commons Attribution 4.0 (UCI Machine Learning Repository)",
            "source": "scikit-learn",
            "tried": [{"source": "scikit-learn", "result": "used"}],
            "files": {
                "digits.csv.gz (decoded and scaled)": {"sha256": DIGITS_SHA256, "bytes": images.nbytes}
            },
        }
        return _split(everything, options.test_fraction, DIGITS_SEED, origin)


class IdxFiles(Source):
    """A data set of `idx.DATASETS`, from the cache or downloaded."""

    fixed = ("image_size", "color_mode", "test_fraction")

    @property
    def item(self) -> idx.IdxDataset:
        """The entry in the table of downloads."""
        return idx.DATASETS[self.dataset]

    def fingerprint(self) -> str:
        """Return a hash of the names, shapes and hashes of the expected files."""
        expected = [[file.name, file.shape, file.sha256] for file in self.item.files]
        return hashlib.sha256(json.dumps(expected).encode()).hexdigest()

    def load(self, options: Options) -> Acquired:
        """Return the data set with its own training and test parts."""
        item = self.item
        fetched = download.fetch(item, options.network)
        arrays = [file.array(fetched.content[file.name]) for file in item.files]
        train, test = (
            data.Dataset(images[..., np.newaxis], labels.astype(np.int64), item.class_names)
            for images, labels in (arrays[:2], arrays[2:])
        )
        origin = {
            "dataset": item.name,
            "title": item.title,
            "about": item.about,
            "licence": item.licence,
            "source": ", ".join(dict.fromkeys(fetched.origin.values())),
            "first_source": ", ".join(dict.fromkeys(files.first_sources(item.folder).values()))
            or "not on record",
            "tried": fetched.tried,
            "files": {
                file.name: {"sha256": file.sha256, "bytes": file.size, "source": fetched.origin[file.name]}
                for file in item.files
            },
            "split": "the data set's own training and test parts",
        }
        return Acquired(train, test, data_card.build(origin, train, test))


class ImageFolder(Source):
    """A folder of images with one sub-folder for each class."""

    def check(self, options: Options) -> None:
        """Check that the folder has at least two sub-folders."""
        folders.class_folders(paths.image_folder(self.dataset))

    def fingerprint(self) -> str:
        """Return a hash of the path, size and modification time of every image file."""
        return folders.fingerprint(paths.image_folder(self.dataset))

    def load(self, options: Options) -> Acquired:
        """Return the readable images, shuffled and split."""
        folder = paths.image_folder(self.dataset)
        content = folders.load(folder, options.image_size, options.color_mode, options.network.progress)
        origin = {
            "dataset": paths.dataset_slug(self.dataset),
            "title": folder.name,
            "about": "A folder of images, one sub-folder for each class, cropped to squares and resized.",
            "licence": "the images' own; not known here",
            "source": "folder",
            "tried": [{"source": f"folder {folder.name}", "result": "used"}],
            "files": {},
            "unreadable": [{"file": name, "reason": reason} for name, reason in content.unreadable],
            "ignored_files": content.ignored,
        }
        # files are listed class by class; the first few, or a batch in order, must not hold one class only
        shuffled = np.random.default_rng(options.seed).permutation(len(content.dataset))
        return _split(content.dataset.subset(shuffled), options.test_fraction, options.seed, origin)


def find(dataset: str) -> Source:
    """Return a data set's source.

    Raises:
        UsageError: there is no such data set or folder.
    """
    paths.check_dataset(dataset)
    kinds = {"digits": Digits, **dict.fromkeys(idx.DATASETS, IdxFiles)}
    return kinds.get(dataset, ImageFolder)(dataset)


def check(dataset: str, **options: Any) -> None:
    """Check what can be known of a data set and its options before anything is fetched or read.

    Args:
        dataset: `"fashion_mnist"`, `"mnist"`, `"digits"`, or the path of a folder with one sub-folder for each class.
        **options: attributes of `Options`.

    Raises:
        UsageError: there is no such data set or folder, the folder has fewer than two sub-folders, or an option does
            not apply to a built-in data set.
    """
    find(dataset).check(Options(**options))


def fingerprint(dataset: str) -> str:
    """Return a hash that changes when what `acquire` would read changes; quick, as no image is opened.

    Raises:
        UsageError: there is no such data set.

    Example:
        `run.note_source("mnist", sources.fingerprint("mnist"))`
    """
    return find(dataset).fingerprint()


def acquire(dataset: str, **options: Any) -> Acquired:
    """Return a data set, verified, from the first source that has it.

    Args:
        dataset: `"fashion_mnist"`, `"mnist"`, `"digits"`, or the path of a folder with one sub-folder for each class.
        **options: attributes of `Options`.

    Raises:
        UsageError: there is no such data set, or an option does not apply to it.
        AcquisitionError: no source has it, or the cache cannot be written; the message says what to do.
        SealedTestSetError: the running stage may not see the test images.

    Example:
        `sources.acquire("data/pets", image_size=96, color_mode="rgb", seed=0)`
    """
    seal.refuse_source()
    source, chosen = find(dataset), Options(**options)
    source.check(chosen)
    return source.load(chosen)


def _split(everything: data.Dataset, test_fraction: float, seed: int, origin: dict[str, Any]) -> Acquired:
    rest, held_out = splits.stratified_split(everything.labels, test_fraction, seed)
    train, test = everything.subset(rest), everything.subset(held_out)
    origin = {**origin, "split": f"stratified, {test_fraction:g} held out, seed {seed}"}
    return Acquired(train, test, data_card.build(origin, train, test))
