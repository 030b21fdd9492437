"""Random erasing, MixUp and CutMix: parts of images are replaced, or images and their targets mixed in pairs."""

import math

import tensorflow as tf


def erase(images: tf.Tensor, draws: tf.Tensor, fraction: float, probability: float, fill: str) -> tf.Tensor:
    """Erase one rectangle inside the image, with an aspect ratio between 1:2 and 2:1.

    Args:
        images: `[N, H, W, C] float32`.
        draws: `[N, 4] float32`, uniform random numbers.
        fraction: the rectangle's part of the area.
        probability: proportion of the images with a rectangle.
        fill: "black", or "reflect" for the image's mean.

    Source: Z. Zhong et al. (2020), "Random erasing data augmentation".
    """
    height, width = tf.unstack(tf.cast(tf.shape(images)[1:3], tf.float32))
    aspect = tf.exp((2.0 * draws[:, 0] - 1.0) * math.log(2.0))
    tall = height * tf.sqrt(fraction * aspect)
    wide = width * tf.sqrt(fraction / aspect)
    rows = _within(height, draws[:, 1] * (height - tall), tall)[:, :, None, None]
    columns = _within(width, draws[:, 2] * (width - wide), wide)[:, None, :, None]
    chosen = (draws[:, 3] < probability)[:, None, None, None]
    filling = tf.zeros_like(images[:1])
    if fill == "reflect":
        filling = tf.reduce_mean(images, axis=[1, 2], keepdims=True)
    return tf.where(rows & columns & chosen, filling, images)


def _within(size: tf.Tensor, start: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Return `[N, size] bool`: whether a pixel's centre is in `[start, start + length)`."""
    centres = tf.range(size)[None, :] + 0.5
    return (centres >= start[:, None]) & (centres < (start + length)[:, None])


def mix(
    images: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor, *, mixup: float = 0.0, cutmix: float = 0.0
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mix each image with the next one of the batch, which was shuffled; the same seed gives the same result.

    With both, each image gets one of them, drawn with equal probability.

    Args:
        images: `[N, H, W, C] float32`.
        targets: `[N, K] float32`, rows that sum to 1.
        seed: `[2]` integers, such as seed and step.
        mixup: α of the Beta distribution of MixUp's proportions; 0 for none.
        cutmix: the same of CutMix, whose rectangle has the proportion's area; 0 for none.

    Returns:
        The mixed images and targets, as they came if both are 0.

    Sources: H. Zhang et al. (2018), "mixup: beyond empirical risk minimization"; S. Yun et al. (2019), "CutMix".

    Example:
        `images, targets = mixing.mix(images, targets, seed, mixup=0.2)`
    """
    if not (mixup or cutmix):
        return images, targets
    seed = tf.random.experimental.stateless_fold_in(tf.cast(seed, tf.int64), 3)
    draws = tf.random.stateless_uniform([tf.shape(images)[0], 3], seed)
    pasted = draws[:, 0] < (0.5 if mixup and cutmix else float(cutmix > 0))
    kept = tf.where(pasted, _proportions(draws, seed, cutmix), _proportions(draws, seed, mixup))
    partner = tf.roll(images, 1, axis=0)
    inside, area = _rectangles(images, draws, 1.0 - kept)
    kept = tf.where(pasted, 1.0 - area, kept)
    weight = kept[:, None, None, None]
    blended = weight * images + (1.0 - weight) * partner
    images = tf.where(pasted[:, None, None, None], tf.where(inside, partner, images), blended)
    return images, kept[:, None] * targets + (1.0 - kept[:, None]) * tf.roll(targets, 1, axis=0)


def _proportions(draws: tf.Tensor, seed: tf.Tensor, alpha: float) -> tf.Tensor:
    """Draw from Beta(α, α) the larger proportion, which an image keeps of itself, `[N]`."""
    if not alpha:
        return tf.ones_like(draws[:, 0])
    one, other = tf.unstack(tf.random.stateless_gamma([2, tf.shape(draws)[0]], seed, alpha))
    proportion = one / tf.maximum(one + other, 1e-30)
    return tf.maximum(proportion, 1.0 - proportion)


def _rectangles(images: tf.Tensor, draws: tf.Tensor, area: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return which pixels lie in a rectangle of the image's shape, `[N, H, W, 1] bool`, and its exact area, `[N]`."""
    height, width = tf.unstack(tf.cast(tf.shape(images)[1:3], tf.float32))
    tall, wide = height * tf.sqrt(area), width * tf.sqrt(area)
    rows = _within(height, draws[:, 1] * (height - tall), tall)[:, :, None]
    inside = rows & _within(width, draws[:, 2] * (width - wide), wide)[:, None, :]
    return inside[..., None], tf.reduce_mean(tf.cast(inside, tf.float32), axis=[1, 2])
