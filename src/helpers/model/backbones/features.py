"""Features of a frozen backbone: computed once, in one streamed pass, and kept as a memory-mapped array.

Global average pooling has no weights, so the pooled features are kept: one row for each image. A cached array is
found by what it depends on (backbone, resolution, interpolation, weights, images, augmentation) and by nothing else.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from helpers import paths
from helpers.errors import OsemnError
from helpers.model import frozen_graph
from helpers.model.backbones import networks
from helpers.obtain import data, download
from helpers.scrub import augment
from helpers.series import backbone_names, manifests

LAYOUT = 1  # raised when features are computed differently, so that older caches are not used
POOL = "pool"
Tell = Callable[..., None]


@dataclass(frozen=True, eq=False)
class Extractor:
    """A frozen backbone, from raw pixels to its last feature map.

    Attributes:
        backbone: its name in `helpers.series.backbone_names`.
        resolution: side in pixels to which it resizes images.
        interpolation: how.
        base: the model, `float32 [N, H, W, C]` 0–255 → `float32 [N, h, w, F]`.
        weights_sha256: of its numbers.
    """

    backbone: str
    resolution: int
    interpolation: str
    base: keras.Model
    weights_sha256: str

    @property
    def title(self) -> str:
        """The backbone and its resolution, as people call them."""
        return f"{backbone_names.find(self.backbone).title}, {self.resolution} px"

    def pooled(self) -> keras.Model:
        """Return the model from raw pixels to pooled features, `float32 [N, F]`."""
        return keras.Model(self.base.input, layers.GlobalAveragePooling2D(name=POOL)(self.base.output))


@dataclass(frozen=True, eq=False)
class Features:
    """Features of some images.

    Attributes:
        values: `float32 [N, F]`, memory-mapped and read-only.
        seconds: what the pass through the backbone took when it was made.
        from_cache: whether this call made no pass.
        folder: where they are kept.
    """

    values: np.ndarray
    seconds: float
    from_cache: bool
    folder: Path

    @property
    def images_per_second(self) -> float:
        """How fast they were computed."""
        return len(self.values) / max(self.seconds, 1e-9)


@dataclass(frozen=True)
class View:
    """One augmented view of every image: the same policy, seed and number give the same view."""

    policy: augment.AugmentationPolicy
    seed: int
    number: int


def extractor(
    backbone: str,
    image_shape: tuple[int, int, int],
    resolution: int,
    interpolation: str = "bilinear",
    network: download.Network | None = None,
) -> Extractor:
    """Return a backbone with its ImageNet weights, frozen.

    Raises:
        UsageError: as for `backbones.load`.
        AcquisitionError: the weights cannot be had whole.
    """
    base = networks.load(backbone, image_shape, resolution, interpolation, network=network)
    base.trainable = False
    return Extractor(backbone, resolution, interpolation, base, networks.weights_sha256(base))


def extract(
    source: Extractor,
    images: np.ndarray,
    *,
    view: View | None = None,
    batch_size: int = 128,
    progress: Tell = lambda done, total, note="": None,
) -> Features:
    """Return the pooled features of images, from the cache if they are there, else in one pass.

    The array is written batch by batch, so that memory does not grow with the number of images, and takes its
    name only when it is whole.

    Args:
        source: which backbone, at which resolution.
        images: `[N, H, W, C] uint8`.
        view: which augmented view; None for the images as they are.
        batch_size: images in a step of the pass.
        progress: called with the images done, all images and a note.

    Raises:
        OsemnError: the cached array was altered or was made from other weights or images (it is left as it is),
            or the cache folder cannot be written.
    """
    wanted = _describe(source, images, view)
    key = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    folder = paths.cache_root() / "features" / f"{source.backbone}-{source.resolution}px-{key[:16]}"
    try:
        with download.locked(folder, download.Network()):
            if (folder / "features.json").is_file():
                found = _load(folder, wanted)
                progress(len(images), len(images), "from the cache")
                return found
            seconds = _write(folder / "features.npy", source, images, view, batch_size, progress)
            record = {"sha256": manifests.sha256(folder / "features.npy"), "seconds": seconds, **wanted}
            manifests.write_json(folder / "features.json", record)
            return Features(_mapped(folder), seconds, False, folder)
    except OSError as error:
        raise OsemnError(
            f"Features cannot be written to {paths.shown(folder)}: {error.strerror or error}.",
            "make room (5 kB for each image), or set OSEMN_CACHE_DIR to a folder that you may write to",
        ) from None


def _describe(source: Extractor, images: np.ndarray, view: View | None) -> dict[str, Any]:
    """Return all that the features depend on, as plain JSON."""
    drawn = None if view is None else {**asdict(view), "policy": view.policy.settings()}
    return {
        "layout": LAYOUT,
        "backbone": source.backbone,
        "resolution": source.resolution,
        "interpolation": source.interpolation,
        "weights_sha256": source.weights_sha256,
        "images_sha256": data.array_sha256(images),
        "shape": [len(images), source.base.output.shape[-1]],
        "view": drawn,
    }


_NAMES = {"weights_sha256": "other weights", "images_sha256": "other images"}


def _load(folder: Path, wanted: dict[str, Any]) -> Features:
    shown, remedy = paths.shown(folder), "delete that folder; the features are then computed again"
    try:
        record = json.loads((folder / "features.json").read_text(encoding="utf-8"))
        sha256, seconds = record["sha256"], float(record["seconds"])
    except (ValueError, KeyError, TypeError):
        raise OsemnError(f"The cached features in {shown} have no readable record.", remedy) from None
    for name, value in wanted.items():
        if record.get(name) != value:
            raise OsemnError(
                f"The cached features in {shown} were made from {_NAMES.get(name, 'another ' + name)}.",
                remedy,
            )
    path = folder / "features.npy"
    if not path.is_file() or manifests.sha256(path) != sha256:
        raise OsemnError(f"The cached features in {shown} are not whole, or were altered.", remedy)
    return Features(_mapped(folder), seconds, True, folder)


def _mapped(folder: Path) -> np.ndarray:
    return np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)


def _write(
    path: Path, source: Extractor, images: np.ndarray, view: View | None, batch_size: int, progress: Tell
) -> float:
    """Stream the features into a file and return the seconds of the pass, tracing left out."""
    compute = frozen_graph.freeze(source.pooled())
    partial = path.with_suffix(".partial")
    shape = (len(images), source.base.output.shape[-1])
    kept = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=shape)
    compute(tf.zeros((1, *images.shape[1:])))
    started = perf_counter()
    for start in range(0, len(images), batch_size):
        batch = tf.constant(images[start : start + batch_size])
        if view is None:
            batch = tf.cast(batch, tf.float32)
        else:
            batch = augment.augment_batch(batch, (view.seed + view.number, start), view.policy)
        kept[start : start + batch_size] = compute(batch).numpy()
        progress(min(start + batch_size, len(images)), len(images))
    kept.flush()
    seconds = perf_counter() - started
    del kept
    partial.replace(path)
    return seconds
