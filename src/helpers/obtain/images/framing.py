"""Framing: place a drawing, or a photograph of one object, in a square like the data set's own images.

The browser page does the same in `web/framing.js`; both give the same bytes for the same pixels.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

INK = 25
"""Grey values above this, of 255, count as ink on black."""


@dataclass(frozen=True)
class Framing:
    """How the images of a data set were framed.

    Attributes:
        box: the longer side of the ink, in pixels.
        centre: the point at the centre of the square: the ink's centre of "mass", or that of its bounding "box".
    """

    box: int
    centre: str


# MNIST: Y. LeCun et al. (1998), "Gradient-Based Learning Applied to Document Recognition", section III-A. Fashion-MNIST:
# H. Xiao et al. (2017), section 2. Both were confirmed on the training images; those of the digits were measured there.
FRAMINGS = {
    "mnist": Framing(20, "mass"),
    "fashion_mnist": Framing(28, "box"),
    "digits": Framing(8, "box"),
}


class BlankError(ValueError):
    """An image holds nothing but its background."""


def frame(grey: np.ndarray, framing: Framing, side: int) -> np.ndarray:
    """Return an image light on black, cropped to its ink, scaled and centred in a square.

    The background is the median of the image's edge; an image with a light background is inverted first. Ink differs from
    the background by more than `INK`. Its longer side is scaled to `framing.box`, keeping the ratio, by Pillow's bilinear
    filter, which averages.

    Args:
        grey: `uint8 [H, W]`, of any size.
        framing: the data set's framing.
        side: of the square, in pixels.

    Returns:
        `uint8 [side, side]`.

    Raises:
        BlankError: there is no ink.
    """
    light = _on_black(grey)
    ink = light > INK
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        raise BlankError("there is nothing on it but its background")
    left, top, right, bottom = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    sides = right - left, bottom - top
    width, height = (max(1, divided(side * framing.box, max(sides))) for side in sides)
    cut = (float(left), float(top), float(right), float(bottom))
    scaled = np.asarray(resized(Image.fromarray(light), (width, height), cut, Image.Resampling.BILINEAR))
    square = np.zeros((side, side), np.uint8)
    down, across = _place(scaled, framing, side)
    square[down : down + height, across : across + width] = scaled
    return square


def resized(
    image: Image.Image,
    size: tuple[int, int],
    box: tuple[float, float, float, float],
    resampling: Image.Resampling,
) -> Image.Image:
    """Return a box of an image, resized: across first, then down.

    Pillow chooses the order by the image's shape, differently in some releases, and rounding depends on the order.

    Args:
        image: grey or RGB.
        size: width and height of the result.
        box: left, top, right and bottom, in pixels.
        resampling: Pillow's filter.
    """
    left, top, right, bottom = box
    narrow = image.resize((size[0], image.height), resampling, (left, 0, right, image.height))
    return narrow.resize(size, resampling, (0, top, size[0], bottom))


def middle(values: np.ndarray) -> np.ndarray:
    """Return the median of an array's rows, the higher of the two in the middle."""
    return np.sort(values, axis=0)[len(values) // 2]


def _on_black(grey: np.ndarray) -> np.ndarray:
    """Return an image with a black background and the other end of the scale at white."""
    background = int(middle(np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])))
    values = np.arange(256)
    if background > 127:
        background, values = 255 - background, 255 - values
    light = divided(np.maximum(values - background, 0) * 255, 255 - background).astype(np.uint8)
    # an index array would take eight times the memory
    return np.frombuffer(grey.tobytes().translate(light.tobytes()), np.uint8).reshape(grey.shape)


def _place(scaled: np.ndarray, framing: Framing, side: int) -> tuple[int, int]:
    """Return row and column of the square at which a scaled image begins."""
    if framing.centre == "box":
        return tuple((side - length) // 2 for length in scaled.shape)
    values, starts = scaled.astype(np.int64), []
    for axis, length in enumerate(scaled.shape):
        total = int(values.sum())
        moment = int(values.sum(axis=1 - axis) @ np.arange(length))
        start = (side * total - 2 * moment + total) // (2 * total)  # side / 2 - moment / total, rounded
        starts.append(min(max(start, 0), side - length))
    return tuple(starts)


def divided(value, by: int):
    """Return an integer, or an array of them, divided and rounded, halves upward."""
    return (2 * value + by) // (2 * by)
