"""Vectorised augmentation: one policy for each data set, new random numbers for each image, the same for the same seed.

Works on batches inside `tf.data` (after `batch`), in graph mode and under op determinism.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import tensorflow as tf

from helpers.errors import OsemnError
from helpers.scrub import mixing, rand_augment

# of each kind: its size in words, and the settings of a policy with that kind alone, strong enough to be seen
_KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "rotation": ("±{rotation_degrees:g}°", {"rotation_degrees": 15.0}),
    "shift": ("±{shift_fraction:.0%} of the side", {"shift_fraction": 0.12}),
    "zoom": ("±{zoom_fraction:.0%}", {"zoom_fraction": 0.2}),
    "flip": ("half of the images", {"horizontal_flip": True}),
    "erasing": (
        "{erase_fraction:.0%} of the area, {erase_probability:.0%} of the images",
        {"erase_fraction": 0.1, "erase_probability": 1.0},
    ),
    "brightness": ("±{brightness:.0%} of 255", {"brightness": 0.25}),
    "contrast": ("±{contrast:.0%}", {"contrast": 0.6}),
}
KINDS = tuple(_KINDS)
# of the kinds that only fine-tuning uses: the name and the size in words
_FURTHER = {
    "crop_fraction": ("random resized crop", "up to {:.0%} of the area"),
    "saturation": ("saturation", "±{:.0%}"),
    "rand_augment": ("RandAugment", "strength {:g}"),
}
_MOST = {
    "rotation_degrees": 180.0, "shift_fraction": 0.5, "zoom_fraction": 0.5, "erase_fraction": 0.25, "brightness": 0.5,
    "contrast": 0.9, "saturation": 0.9,
}  # fmt: skip
"""The limits up to which a policy can be strengthened."""
_DRAWS = 11  # random numbers that one image uses
_MORE_DRAWS = 5  # of a policy that fine-tuning uses
_ASPECT = 4 / 3  # of random resized crops, the usual limit


@dataclass(frozen=True)
class AugmentationPolicy:
    """The limits of each kind of augmentation; zero or False turns it off.

    Attributes:
        rotation_degrees: largest angle; drawn uniformly from ± this.
        shift_fraction: largest shift, vertical and horizontal, as a fraction of the side. Without rotation and zoom, shifts
            are in entire pixels, so that no pixel value is interpolated.
        zoom_fraction: magnification is drawn from 1 ± this.
        horizontal_flip: mirrors half of the images left to right.
        erase_fraction: fraction of the image's area that an erased rectangle covers.
        erase_probability: proportion of the images with an erased rectangle.
        brightness: largest number added to all pixels, as a fraction of 255.
        contrast: distances from the image's mean are multiplied by 1 ± this.
        crop_fraction: largest part of the area that a random crop cuts off; what is left fills the image again, with an
            aspect ratio between 3:4 and 4:3. Only fine-tuning uses crops, saturation and RandAugment.
        saturation: distances of the colours from grey are multiplied by 1 ± this.
        rand_augment: strength of RandAugment, 0 to 1.
        fill: pixels from outside the image: "black" (erased rectangles too) or "reflect" (the image mirrored at its edge;
            erased rectangles get the image's mean).
        reasons: why each kind is on or off, by name.
    """

    rotation_degrees: float = 0.0
    shift_fraction: float = 0.0
    zoom_fraction: float = 0.0
    horizontal_flip: bool = False
    erase_fraction: float = 0.0
    erase_probability: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    crop_fraction: float = 0.0
    saturation: float = 0.0
    rand_augment: float = 0.0
    fill: str = "black"
    reasons: Mapping[str, str] = field(default_factory=dict, hash=False)

    def active(self) -> dict[str, bool]:
        """Return which kinds of `KINDS` are on."""
        return {kind: all(getattr(self, name) for name in sizes) for kind, (_, sizes) in _KINDS.items()}

    def describe(self) -> dict[str, str]:
        """Return the size of each kind in words, by name."""
        sizes, active = self.to_dict(), self.active()
        words = {kind: text.format(**sizes) if active[kind] else "off" for kind, (text, _) in _KINDS.items()}
        used = {name: further for name, further in _FURTHER.items() if sizes[name]}
        return words | {kind: text.format(sizes[name]) for name, (kind, text) in used.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return the policy as plain JSON types."""
        return asdict(self)

    def settings(self) -> dict[str, Any]:
        """Return the policy without its reasons, as plain JSON types."""
        return {name: value for name, value in self.to_dict().items() if name != "reasons"}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "AugmentationPolicy":
        """Return the policy that `to_dict` described."""
        return cls(**content)


_CLOTHES = AugmentationPolicy(
    shift_fraction=2 / 28,
    horizontal_flip=True,
    erase_fraction=64 / 784,
    erase_probability=0.5,
    reasons={
        "rotation": "every garment was photographed upright",
        "shift": "garments are centred only roughly: two pixels of 28 either way",
        "zoom": "the catalogue scales every garment to the same frame",
        "flip": "a mirrored shirt is a shirt",
        "erasing": "mild: a garment is recognised by its shape, not by one spot",
        "brightness": "the black background carries no light of its own",
        "contrast": "the garment's own shade helps to recognise it",
    },
)
_DIGITS = AugmentationPolicy(
    rotation_degrees=10.0,
    shift_fraction=2 / 28,
    zoom_fraction=0.1,
    reasons={
        "rotation": "handwriting slants; ten degrees are too few to turn a 6 into a 9",
        "shift": "digits are centred only roughly",
        "zoom": "people write large and small",
        "flip": "a mirrored 2 is not a 2",
        "erasing": "without one stroke an 8 becomes a 3",
        "brightness": "ink and paper are already black and white",
        "contrast": "ink and paper are already black and white",
    },
)
_UNKNOWN = AugmentationPolicy(
    rotation_degrees=5.0,
    shift_fraction=0.05,
    zoom_fraction=0.05,
    brightness=0.1,
    contrast=0.1,
    saturation=0.1,
    fill="reflect",
    reasons={
        "rotation": "small: cameras are rarely exactly level",
        "shift": "small: subjects are rarely exactly centred",
        "zoom": "small: distances to the subject differ",
        "flip": "off until you know that a mirrored image keeps its label (text and arrows do not)",
        "erasing": "off until you know that no small part decides the label",
        "brightness": "light differs from image to image",
        "contrast": "light differs from image to image",
        "saturation": "cameras differ in colour; grey images stay as they are",
    },
)
_BASE = {"fashion_mnist": _CLOTHES, "mnist": _DIGITS, "digits": _DIGITS}


def policy_for(
    dataset: str, strength: float = 1.0, image_shape: tuple[int, ...] | None = None
) -> AugmentationPolicy:
    """Return the policy of a data set; an unknown one gets a cautious policy without flips and erasing.

    Args:
        dataset: `fashion_mnist`, `mnist`, `digits`, or the name of a folder of images.
        strength: factor on all sizes, up to their limits; 0 turns everything off.
        image_shape: `(H, W, C)`, to check that images are large enough.

    Raises:
        OsemnError: the images are smaller than 4 × 4.

    Example:
        `augment.policy_for("fashion_mnist", strength=1.0)`
    """
    if image_shape is not None and min(image_shape[:2]) < 4:
        raise OsemnError(
            f"Images of {image_shape[0]} × {image_shape[1]} are too small to augment.", "use at least 4 × 4"
        )
    return scaled(_BASE.get(dataset, _UNKNOWN), strength)


def scaled(policy: AugmentationPolicy, strength: float) -> AugmentationPolicy:
    """Return a policy whose sizes are multiplied by `strength`, up to their limits; 0 turns everything off."""
    if strength == 0:
        return AugmentationPolicy(fill=policy.fill, reasons=dict.fromkeys(KINDS, "the strength is 0"))
    sizes = {name: min(getattr(policy, name) * strength, most) for name, most in _MOST.items()}
    return replace(policy, **sizes)


def demonstrations(policy: AugmentationPolicy) -> dict[str, AugmentationPolicy]:
    """Return a policy for each kind that uses only that kind, strong enough to be seen."""
    return {kind: AugmentationPolicy(fill=policy.fill, **alone) for kind, (_, alone) in _KINDS.items()}


def demonstrate(images: np.ndarray, policy: AugmentationPolicy, seed: int) -> dict[str, np.ndarray]:
    """Return images after each kind alone, and after the policy: rows of a gallery by label, the originals first.

    Args:
        images: `[N, H, W, C] uint8`.
        policy: as used in training.
        seed: draws the random numbers.

    Example:
        `augment.demonstrate(train.images[:8], policy, seed=0)`
    """
    active, rows = policy.active(), {"original": images}
    for kind, alone in demonstrations(policy).items():
        label = f"{kind}\n({'used' if active[kind] else 'not used'})"
        rows[label] = augment_batch(images, seed, alone).numpy()
    return rows | {"all used kinds,\nas in training": augment_batch(images, seed, policy).numpy()}


def augment_batch(images: tf.Tensor, seed: Any, policy: AugmentationPolicy) -> tf.Tensor:
    """Augment a batch; each image gets its own random numbers, and the same seed gives the same result.

    Args:
        images: `[N, H, W, C] uint8` or `float32`, 0–255; N may be unknown while tracing.
        seed: one or two integers (such as seed and step), as numbers or a tensor.
        policy: the kinds and their limits.

    Returns:
        `[N, H, W, C] float32`, 0–255; the images themselves if everything is off.

    Example:
        `augment.augment_batch(images, seed=0, policy=policy)`
    """
    images = tf.cast(images, tf.float32)
    active = policy.active()
    more = policy.crop_fraction or policy.saturation
    if not any((*active.values(), more, policy.rand_augment)):
        return images
    seed = tf.reshape(tf.cast(seed, tf.int64), [-1])
    seed = tf.concat([seed, tf.zeros([2 - tf.size(seed)], tf.int64)], axis=0)
    seed = tf.ensure_shape(seed, [2])
    draws = tf.random.stateless_uniform([tf.shape(images)[0], _DRAWS], seed)
    if more:  # drawn apart, so that the other kinds keep their numbers
        other = tf.random.experimental.stateless_fold_in(seed, 1)
        draws = tf.concat([draws, tf.random.stateless_uniform([tf.shape(images)[0], _MORE_DRAWS], other)], 1)
    if any(active[kind] for kind in ("rotation", "shift", "zoom", "flip")) or policy.crop_fraction:
        images = _move(images, draws, policy)
    if active["contrast"] or active["brightness"]:
        images = _relight(images, draws, policy)
    if policy.saturation:
        images = rand_augment.resaturate(images, 1.0 + _spread(draws[:, 15], policy.saturation))
    if policy.rand_augment:
        images = rand_augment.rand_augment(images, seed, policy.rand_augment, policy.fill)
    if active["erasing"]:
        how = policy.erase_fraction, policy.erase_probability, policy.fill
        images = mixing.erase(images, draws[:, 7:11], *how)
    return images


def _spread(draws: tf.Tensor, limit: float | tf.Tensor) -> tf.Tensor:
    """Return numbers between ± `limit`, from numbers between 0 and 1."""
    return (2.0 * draws - 1.0) * limit


def _move(images: tf.Tensor, draws: tf.Tensor, policy: AugmentationPolicy) -> tf.Tensor:
    """Rotate, zoom, crop, mirror and shift in one pass over the pixels.

    Source: `tf.raw_ops.ImageProjectiveTransformV3`, which maps output to input coordinates.
    """
    size = tf.shape(images)[1:3]
    height, width = tf.unstack(tf.cast(size, tf.float32))
    blended = policy.rotation_degrees > 0 or policy.zoom_fraction > 0 or policy.crop_fraction > 0
    angle = _spread(draws[:, 0], policy.rotation_degrees * math.pi / 180.0)
    scale = 1.0 + _spread(draws[:, 1], policy.zoom_fraction)
    right = _shift(draws[:, 2], policy.shift_fraction * width, whole=not blended)
    down = _shift(draws[:, 3], policy.shift_fraction * height, whole=not blended)
    mirror = tf.where(draws[:, 4] < 0.5, -1.0, 1.0) if policy.horizontal_flip else tf.ones_like(angle)
    wide, tall = tf.ones_like(angle), tf.ones_like(angle)
    if policy.crop_fraction:
        wide, tall = _crop(draws, policy.crop_fraction)
        right += _spread(draws[:, 13], width * (1.0 / wide - 1.0) / 2.0)
        down += _spread(draws[:, 14], height * (1.0 / tall - 1.0) / 2.0)
    cosine, sine = tf.cos(angle) / scale, tf.sin(angle) / scale
    x, y = (width - 1.0) / 2.0, (height - 1.0) / 2.0
    xx, xy, yx, yy = mirror * cosine * wide, -sine * tall, mirror * sine * wide, cosine * tall
    rows = (xx, xy, x - xx * (x + right) - xy * (y + down), yx, yy, y - yx * (x + right) - yy * (y + down))
    zero = tf.zeros_like(angle)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([*rows, zero, zero], axis=1),
        output_shape=size,
        fill_value=0.0,
        interpolation="BILINEAR" if blended else "NEAREST",
        fill_mode="REFLECT" if policy.fill == "reflect" else "CONSTANT",
    )


def _crop(draws: tf.Tensor, cut: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Return width and height of random crops, `[N]` each, as fractions of the image's.

    Source: C. Szegedy et al. (2015), "Going deeper with convolutions", as in torchvision's `RandomResizedCrop`.
    """
    area = 1.0 - cut * draws[:, 11]
    aspect = tf.exp(_spread(draws[:, 12], math.log(_ASPECT)))
    return tf.minimum(tf.sqrt(area * aspect), 1.0), tf.minimum(tf.sqrt(area / aspect), 1.0)


def _shift(draws: tf.Tensor, limit: tf.Tensor, whole: bool) -> tf.Tensor:
    """Return shifts in pixels; whole ones are drawn uniformly from −n … n."""
    if not whole:
        return _spread(draws, limit)
    most = tf.round(limit)
    return tf.minimum(tf.floor(draws * (2.0 * most + 1.0)), 2.0 * most) - most


def _relight(images: tf.Tensor, draws: tf.Tensor, policy: AugmentationPolicy) -> tf.Tensor:
    """Change contrast about each image's mean, then brightness, and clip to 0–255."""
    factor = (1.0 + _spread(draws[:, 5], policy.contrast))[:, None, None, None]
    added = 255.0 * _spread(draws[:, 6], policy.brightness)[:, None, None, None]
    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    return tf.clip_by_value((images - mean) * factor + mean + added, 0.0, 255.0)
