"""Features of a frozen backbone: computed once, in one streamed pass, and stored as a memory-mapped array.

Global average pooling has no weights, so the pooled features are stored: one row per image. The key of a cached array
is a hash of everything that it depends on: backbone, resolution, interpolation, weights, images, augmentation.
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
from helpers.model.backbones import blocks, networks
from helpers.obtain import data
from helpers.obtain.places import download
from helpers.scrub import augment
from helpers.series import backbone_names, disk, manifests

LAYOUT = 2  # increased whenever features are computed differently, so that older caches are not used
POOL = "pool"
Tell = Callable[..., None]


@dataclass(frozen=True, eq=False)
class Extractor:
    """A frozen backbone, from raw pixels to its last feature map.

    Attributes:
        backbone: its name in `helpers.series.backbone_names`.
        resolution: side in pixels to which it resizes images.
        interpolation: the method of the resizing.
        base: the model, `float32 [N, H, W, C]` 0–255 → `float32 [N, h, w, F]`.
        weights_sha256: hash of its weights.
    """

    backbone: str
    resolution: int
    interpolation: str
    base: keras.Model
    weights_sha256: str

    @property
    def num_features(self) -> int:
        """The length of a row of features."""
        return self.base.output.shape[-1] + sum(x.shape[-1] for x in blocks.stage_maps(self.base).values())

    @property
    def title(self) -> str:
        """The backbone and its resolution, such as `EfficientNet-Lite0, 64 px`."""
        return f"{backbone_names.find(self.backbone).title}, {self.resolution} px"

    def pooled(self) -> keras.Model:
        """Return the model from raw pixels to pooled features, `float32 [N, F]`."""
        return pooled(self.base)


def pooled(base: keras.Model) -> keras.Model:
    """Return the model from a backbone's input to its features: the averages of its last map and of `blocks.stage_maps`.

    The last map holds what ImageNet's classes need; textures and edges, which other photographs need, are in earlier ones;
    `benchmarks/heads.py` measures what they add.
    """
    maps = {POOL: base.output} | {f"{POOL}_{name}": x for name, x in blocks.stage_maps(base).items()}
    means = [layers.GlobalAveragePooling2D(name=name)(x) for name, x in maps.items()]
    return keras.Model(base.input, layers.Concatenate(name="features")(means) if len(means) > 1 else means[0])


@dataclass(frozen=True, eq=False)
class Features:
    """The features of some images.

    Attributes:
        values: `float32 [N, F]`, memory-mapped and read-only.
        seconds: time of the pass through the backbone, when it was made.
        from_cache: whether they were read from the cache, without a pass.
        folder: where they are stored.
    """

    values: np.ndarray
    seconds: float
    from_cache: bool
    folder: Path


@dataclass(frozen=True)
class View:
    """A view of every image: augmented, or without a policy its mirror image; equal values give equal views."""

    policy: augment.AugmentationPolicy | None = None
    seed: int = 0
    number: int = 0


def further_views(
    mirrored: bool, augmented: int, policy: augment.AugmentationPolicy, seed: int
) -> list[View]:
    """Return views of images in addition to the images themselves: mirrored first, then augmented ones.

    Example:
        `views = features.further_views(mirror, augmented_views, policy, seed)`
    """
    return [View()] * mirrored + [View(policy, seed, number + 1) for number in range(augmented)]


def extractor(
    backbone: str,
    image_shape: tuple[int, int, int],
    resolution: int,
    interpolation: str = "bilinear",
    network: download.Network | None = None,
) -> Extractor:
    """Load a backbone with its ImageNet weights, and freeze it.

    Raises:
        UsageError: as for `networks.load`.
        AcquisitionError: the weights are unavailable or damaged.

    Example:
        `source = features.extractor("efficientnet_lite0", train.image_shape, 64)`
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
    """Return the pooled features of images, from the cache or by one pass through the backbone.

    The array is written batch by batch, so memory does not grow with the number of images. It gets its final name once
    it is complete.

    Args:
        source: the backbone.
        images: `[N, H, W, C] uint8`.
        view: the augmented or mirrored view; None for the original images.
        batch_size: images in a step of the pass.
        progress: called with the number of images done, the number of all images and a note.

    Raises:
        OsemnError: the cached array or its record was modified (neither is overwritten), or the cache folder is not
            writable.

    Example:
        `values = features.extract(source, train.images).values`
    """
    wanted = _describe(source, images, view)
    key = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    folder = paths.cache_root() / "features" / f"{source.backbone}-{source.resolution}px-{key[:16]}"
    try:
        with download.locked(folder, download.Network()):
            if (folder / "features.json").is_file():
                cached = _load(folder, wanted)
                progress(len(images), len(images), "from the cache")
                return cached
            seconds = _write(folder / "features.npy", source, images, view, batch_size, progress)
            record = {"sha256": manifests.sha256(folder / "features.npy"), "seconds": seconds, **wanted}
            manifests.write_json(folder / "features.json", record)
            return Features(_mapped(folder), seconds, False, folder)
    except OSError as error:
        raise OsemnError(
            f"Features cannot be written to {paths.shown(folder)}: {error.strerror or error}.",
            "free some disk space (12 kB per image), or set OSEMN_CACHE_DIR to a writable folder",
        ) from None


def _describe(source: Extractor, images: np.ndarray, view: View | None) -> dict[str, Any]:
    """Return everything that the features depend on, as plain JSON."""
    return {
        "layout": LAYOUT,
        "backbone": source.backbone,
        "resolution": source.resolution,
        "interpolation": source.interpolation,
        "weights_sha256": source.weights_sha256,
        "images_sha256": data.array_sha256(images),
        "shape": [len(images), source.num_features],
        "view": None if view is None else {**asdict(view), "policy": view.policy and view.policy.settings()},
    }


def _load(folder: Path, wanted: dict[str, Any]) -> Features:
    record, values = disk.read_json(folder / "features.json"), folder / "features.npy"
    if values.is_file() and record == record | wanted | {"sha256": manifests.sha256(values)}:
        return Features(_mapped(folder), record["seconds"], True, folder)
    raise OsemnError(
        f"The cached features in {paths.shown(folder)} are incomplete or were modified.",
        "delete that folder to compute the features again",
    )


def _mapped(folder: Path) -> np.ndarray:
    return np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)


def _write(
    path: Path, source: Extractor, images: np.ndarray, view: View | None, batch_size: int, progress: Tell
) -> float:
    """Stream the features into a file, and return the seconds of the pass without the tracing before it."""
    compute = frozen_graph.freeze(source.pooled())
    partial = path.with_suffix(".partial")
    shape = (len(images), source.num_features)
    stored = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=shape)
    compute(tf.zeros((1, *images.shape[1:])))
    started = perf_counter()
    for start in range(0, len(images), batch_size):
        batch = tf.constant(images[start : start + batch_size])
        if view is not None and view.policy is not None:
            batch = augment.augment_batch(batch, (view.seed + view.number, start), view.policy)
        elif view is not None:
            batch = batch[:, :, ::-1]
        batch = tf.cast(batch, tf.float32)
        stored[start : start + batch_size] = compute(batch).numpy()
        progress(min(start + batch_size, len(images)), len(images))
    stored.flush()
    seconds = perf_counter() - started
    del stored
    partial.replace(path)
    return seconds
