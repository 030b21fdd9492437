"""Quality measures of images: brightness, contrast, sharpness, information, colour and border."""

import numpy as np

NAMES = ("brightness", "contrast", "sharpness", "entropy", "red", "green", "blue", "border")
_BORDER = 0.05  # of the shorter side: a frame or a mount is seldom narrower
_LUMA = np.array([299, 587, 114], np.float32)  # thousandths (ITU-R BT.601), whose sums are exact in any order


def of_images(images: np.ndarray) -> dict[str, np.ndarray]:
    """Return the measures of images of one size. Those of an image do not depend on the images beside it.

    Args:
        images: `[N, H, W, C] uint8`, one or three channels, at least one pixel.

    Returns:
        For each of `NAMES` an array `[N] float32`: `brightness` (mean luma, 0–255), `contrast` (standard deviation of
        the luma), `sharpness` (variance of the luma's Laplacian, 0 below 3 × 3 pixels), `entropy` (of the luma's histogram,
        in bits, 0–8), `red`, `green`, `blue` (mean colour, 0–255), `border` (mean luma of the outermost twentieth on each
        side, at least one pixel wide).

    Source: J. L. Pech-Pacheco et al. (2000), "Diatom autofocusing in brightfield microscopy: a comparative study", for
    the variance of the Laplacian; CleanVision, for the choice of measures.

    Example:
        `measures.of_images(train.images)["brightness"]`
    """
    count, height, width, channels = images.shape
    pixels = images.astype(np.float32)
    colours = np.ones(height * width, np.float32) @ pixels.reshape(count, -1, channels) / (height * width)
    luma = pixels @ _LUMA / 1000 if channels == 3 else pixels[..., 0]
    values = luma.reshape(count, -1)
    columns = (
        values.mean(axis=1),
        values.std(axis=1),
        _laplacian(luma).var(axis=1) if min(height, width) > 2 else np.zeros(count),
        _entropy(values),
        *np.broadcast_to(colours, (count, 3)).T,
        np.take(values, _rim(height, width), axis=1).mean(axis=1),
    )
    return {name: column.astype(np.float32) for name, column in zip(NAMES, columns, strict=True)}


def _laplacian(luma: np.ndarray) -> np.ndarray:
    """Return the sum of the four neighbours less four times the pixel, inside the border, `[N, (H - 2) (W - 2)]`."""
    neighbours = luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1] + luma[:, 1:-1, :-2] + luma[:, 1:-1, 2:]
    return (neighbours - 4 * luma[:, 1:-1, 1:-1]).reshape(len(luma), -1)


def _entropy(values: np.ndarray) -> np.ndarray:
    """Return the entropy in bits of each row's histogram of 256 levels."""
    levels = np.rint(values).astype(np.int64) + 256 * np.arange(len(values))[:, np.newaxis]
    counts = np.bincount(levels.ravel(), minlength=256 * len(values)).reshape(-1, 256)
    probability = counts / values.shape[1]
    return -(probability * np.log2(np.where(counts, probability, 1.0))).sum(axis=1)


def _rim(height: int, width: int) -> np.ndarray:
    """Return the indices of the border's pixels in a flattened image."""
    depth = max(1, round(_BORDER * min(height, width)))
    inside = np.zeros((height, width), bool)
    inside[depth:-depth, depth:-depth] = True
    return np.flatnonzero(~inside)
