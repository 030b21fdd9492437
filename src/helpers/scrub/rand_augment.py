"""RandAugment: two operations for each image, drawn from ten, all of one strength."""

import math

import tensorflow as tf

OPERATIONS = (
    "rotation", "shear x", "shear y", "shift x", "shift y", "brightness", "contrast", "saturation", "posterise", "solarise",
)  # fmt: skip
PER_IMAGE = 2  # as in the paper
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601


def resaturate(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiply the distance of colours from grey, and clip to 0–255; grey images stay as they are.

    Args:
        images: `[N, H, W, C] float32`, 0–255.
        factor: `[N] float32`.
    """
    if images.shape[-1] != 3:
        return images
    grey = tf.tensordot(images, tf.constant(_GREY), 1)[..., None]
    return tf.clip_by_value((images - grey) * factor[:, None, None, None] + grey, 0.0, 255.0)


def rand_augment(images: tf.Tensor, seed: tf.Tensor, strength: float, fill: str = "reflect") -> tf.Tensor:
    """Apply two random operations to each image; the same seed gives the same result.

    The operations are drawn for each image, without repetition; Keras's layer draws them for a batch, and its random
    numbers cannot depend on the step alone. Geometry comes first, in one pass over the pixels.

    Args:
        images: `[N, H, W, C] float32`, 0–255.
        seed: `[2] int64`.
        strength: 0 to 1; at 1, up to 30 degrees, 0.3 of the side and factors of 1 ± 0.9.
        fill: as for `augment.AugmentationPolicy`.

    Returns:
        `[N, H, W, C] float32`, 0–255.

    Source: E. D. Cubuk et al. (2020), "RandAugment: practical automated data augmentation with a reduced search space";
    limits as there.
    """
    count, seed = tf.shape(images)[0], tf.random.experimental.stateless_fold_in(seed, 2)
    order, signs = tf.unstack(tf.random.stateless_uniform([2, count, len(OPERATIONS)], seed))
    chosen = tf.reduce_sum(tf.one_hot(tf.math.top_k(order, PER_IMAGE).indices, len(OPERATIONS)), axis=1)
    size = dict(zip(OPERATIONS, tf.unstack(chosen * (2.0 * signs - 1.0) * strength, axis=1), strict=True))
    images = _move(images, size, fill)
    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    factor = (1.0 + 0.9 * size["contrast"])[:, None, None, None]
    added = (0.5 * 255.0 * size["brightness"])[:, None, None, None]
    images = tf.clip_by_value((images - mean) * factor + mean + added, 0.0, 255.0)
    images = resaturate(images, 1.0 + 0.9 * size["saturation"])
    # 8 bits down to 4; steps of 1 leave an image unchanged but for rounding, which unchosen images must not get
    step = tf.pow(2.0, tf.round(4.0 * tf.abs(size["posterise"])))[:, None, None, None]
    images = tf.where(step > 1.0, tf.floor(images / step) * step, images)
    threshold = (256.0 * (1.0 - tf.abs(size["solarise"])))[:, None, None, None]
    return tf.where(images >= threshold, 255.0 - images, images)


def _move(images: tf.Tensor, size: dict[str, tf.Tensor], fill: str) -> tf.Tensor:
    """Rotate, shear and shift; source: `tf.raw_ops.ImageProjectiveTransformV3`, which maps output to input coordinates."""
    shape = tf.shape(images)[1:3]
    height, width = tf.unstack(tf.cast(shape, tf.float32))
    angle = size["rotation"] * math.radians(30.0)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    x, y = (width - 1.0) / 2.0, (height - 1.0) / 2.0
    xx, xy, yx, yy = cosine, 0.3 * size["shear x"] - sine, 0.3 * size["shear y"] + sine, cosine
    right, down = 0.3 * size["shift x"] * width, 0.3 * size["shift y"] * height
    zero = tf.zeros_like(angle)
    rows = (xx, xy, x - xx * x - xy * y + right, yx, yy, y - yx * x - yy * y + down, zero, zero)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(rows, axis=1),
        output_shape=shape,
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT" if fill == "reflect" else "CONSTANT",
    )
