"""Images changed on purpose, from hardly visible to obvious, to measure what a model and the drift monitor make of them."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy import ndimage


def rotate(images: np.ndarray, degrees: float, seed: int) -> np.ndarray:
    """Return `uint8 [N, H, W, C]` images rotated counter-clockwise."""
    return ndimage.rotate(images, degrees, axes=(2, 1), reshape=False, order=1, mode="nearest")


def add_noise(images: np.ndarray, deviation: float, seed: int) -> np.ndarray:
    """Return images with Gaussian noise of a standard deviation in pixel values."""
    noise = np.random.default_rng(seed).normal(0.0, deviation, images.shape)
    return np.clip(images + noise, 0, 255).astype(np.uint8)


def blur(images: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    """Return images blurred by a Gaussian of `sigma` pixels."""
    return ndimage.gaussian_filter(images, (0, sigma, sigma, 0))


def scale_brightness(images: np.ndarray, factor: float, seed: int) -> np.ndarray:
    """Return images whose pixel values are multiplied by a factor."""
    return np.clip(images * factor, 0, 255).astype(np.uint8)


def compress(images: np.ndarray, quality: float, seed: int) -> np.ndarray:
    """Return images written as JPEG of a quality between 1 and 95, and read again."""
    changed = np.empty_like(images)
    for row, image in enumerate(images):
        stream = io.BytesIO()
        Image.fromarray(image.squeeze()).save(stream, "JPEG", quality=int(quality))
        changed[row] = np.asarray(Image.open(stream)).reshape(image.shape)
    return changed


# kinds of change: the function, strengths from hardly visible to obvious, and how a strength is written
CHANGES: dict[str, tuple[Callable[[np.ndarray, float, int], np.ndarray], tuple[float, ...], str]] = {
    "rotation": (rotate, (5.0, 10.0, 20.0), "{:g}°"),
    "noise": (add_noise, (5.0, 15.0, 40.0), "sd {:g}"),
    "blur": (blur, (0.4, 0.7, 1.2), "{:g} px"),
    "brightness": (scale_brightness, (0.9, 0.75, 0.5), "× {:g}"),
}
JPEG = {"JPEG quality": (compress, (75.0, 30.0, 10.0), "{:g}")}
