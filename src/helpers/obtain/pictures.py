"""Prepare images for a model: the same way for training, for the command line and for the service."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from helpers.obtain import framing
from helpers.obtain.framing import Framing

if TYPE_CHECKING:
    from PIL import Image

BACKGROUNDS = ("white", "black")
_STRIP = 2**16
"""Pixels that are converted at a time, so that their copies need little memory."""
_LUMA = (299, 587, 114)  # thousandths of red, green and blue (ITU-R BT.601)


@dataclass(frozen=True)
class ImageOptions:
    """How to prepare images.

    Attributes:
        background: colour behind transparent pixels, one of `BACKGROUNDS`.
        invert: whether to invert colours, for dark drawings on light paper if the model was trained on light on dark.
        frame: whether to frame an image of another size than the model's like the data set's own images; otherwise, and
            for data sets of photographs, its centre is cropped and resized.
    """

    background: str = "white"
    invert: bool = False
    frame: bool = True


def prepare(
    image: "Image.Image",
    height: int,
    width: int,
    channels: int,
    options: ImageOptions | None = None,
    framed: Framing | None = None,
) -> np.ndarray:
    """Return an image as `[height, width, channels] uint8`.

    It is rotated upright (EXIF), scaled from 16 to 8 bits, laid on a background where it is transparent, cropped around its
    centre to the ratio of the sides and resized (bicubic), and converted to luma for one channel. Of an animation the first
    frame is used. If the data set's images were framed, an image of another size is framed instead of cropped, which also
    makes it light on dark.

    Args:
        image: opened by Pillow; its pixels are read here.
        height: rows of the result.
        width: columns of the result.
        channels: 1 (grey) or 3 (red, green, blue).
        options: the caller's options; None for the defaults.
        framed: how the data set's images were framed, square and of one channel; None for photographs.

    Raises:
        ValueError: its kind of pixels is not supported; or it has to be framed and is blank (`framing.BlankError`).
        OSError: it is damaged.
    """
    from PIL import ExifTags, Image, ImageOps

    options = options or ImageOptions()
    if image.mode == "L" and image.size == (width, height) and channels == 1 and not _turned(image):
        grey = np.array(image, dtype=np.uint8)[..., np.newaxis]  # a shortcut with the same result as below
        return 255 - grey if options.invert else grey
    image.load()
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    upright = ImageOps.exif_transpose(image) if turned else image  # Pillow would copy it otherwise
    if framed and options.frame and upright.size != (width, height):
        return framing.frame(_grey(upright, options.background), framed, height)[..., np.newaxis]
    coloured, box = _as_rgb(upright, options.background), _middle(upright.size, width / height)
    fitted = framing.resized(coloured, (width, height), box, Image.Resampling.BICUBIC)
    pixels = np.array(fitted, dtype=np.uint8)
    pixels = to_grey(pixels[np.newaxis])[0] if channels == 1 else pixels
    return 255 - pixels if options.invert else pixels


def _middle(size: tuple[int, int], ratio: float) -> tuple[float, float, float, float]:
    """Return the largest centred box of an image with the given ratio of width to height."""
    width, height = size
    wide, high = (ratio * height, height) if width / height >= ratio else (width, width / ratio)
    left, top = (width - wide) / 2, (height - high) / 2
    return left, top, left + wide, top + high


def to_grey(images: np.ndarray) -> np.ndarray:
    """Return the luma of `[N, H, W, 3] uint8` images as `[N, H, W, 1] uint8` (ITU-R BT.601 weights)."""
    luma = np.empty((*images.shape[:-1], 1), np.uint8)
    colours, grey = images.reshape(-1, 3), luma.reshape(-1)
    for start in range(0, len(grey), _STRIP):
        strip = colours[start : start + _STRIP].T
        red, green, blue = (np.multiply(*pair, dtype=np.uint32) for pair in zip(strip, _LUMA, strict=True))
        grey[start : start + _STRIP] = (red + green + blue + 500) // 1000
    return luma


def _grey(image: "Image.Image", background: str) -> np.ndarray:
    """Return the luma of a Pillow image, `uint8 [H, W]`, without a copy of all its colours in memory."""
    luma = np.empty((image.height, image.width), np.uint8)
    for top, strip in _strips(image):
        colours = np.asarray(_converted(strip, background))
        luma[top : top + strip.height] = to_grey(colours[np.newaxis])[0, ..., 0]
    return luma


def _turned(image: "Image.Image") -> bool:
    return bool(image.info.get("exif")) or "transparency" in image.info


def _as_rgb(image: "Image.Image", background: str) -> "Image.Image":
    """Return a Pillow image in RGB, converted in strips by `_converted`."""
    from PIL import Image

    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    coloured = Image.new("RGB", image.size)
    for top, strip in _strips(image):
        coloured.paste(_converted(strip, background), (0, top))
    return coloured


def _strips(image: "Image.Image") -> Iterator[tuple[int, "Image.Image"]]:
    """Yield strips of complete rows of an image, each with its first row."""
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _converted(image: "Image.Image", background: str) -> "Image.Image":
    """Return a Pillow image in RGB, scaled from 16 bits and laid on a background; each pixel on its own.

    Raises:
        ValueError: its kind of pixels is not supported.
    """
    from PIL import Image

    if image.mode == "F":
        raise ValueError("it has floating-point pixels, which have no agreed range")
    if image.mode.startswith("I"):
        values = np.clip(np.asarray(image).astype(np.int64), 0, 65_535)
        return Image.fromarray(np.rint(values / 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        paper = Image.new("RGBA", layered.size, background)
        return Image.alpha_composite(paper, layered).convert("RGB")
    return image.convert("RGB")
