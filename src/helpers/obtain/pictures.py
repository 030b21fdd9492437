"""Pictures as a model takes them: the one preparation for training, for the command line and for the service."""

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
"""Pixels that are converted at a time: few enough for copies of them to cost little memory."""
_LUMA = (299, 587, 114)


@dataclass(frozen=True)
class ImageOptions:
    """How somebody wants pictures prepared.

    Attributes:
        background: what transparency is laid on, one of `BACKGROUNDS`.
        invert: whether dark and light change places, for dark drawings on light paper where a model knows light on dark.
        frame: whether a picture of another size than the model's is framed as the data set's own were; otherwise, and for
            data sets of photographs, its middle is cut out and resized.
    """

    background: str = "white"
    invert: bool = False
    frame: bool = True


def prepare(
    image: "Image.Image",
    height: int,
    width: int,
    channels: int,
    wishes: ImageOptions | None = None,
    framed: Framing | None = None,
) -> np.ndarray:
    """Return a picture as `[height, width, channels] uint8`.

    It is turned upright (EXIF), 16 bits are rescaled to 8, transparency is laid on a background, the middle is cut to the
    wanted shape and resized (bicubic), and colour becomes luma where one channel is wanted. Of an animation the first frame
    counts. Where the data set's pictures were framed, a picture of another size is framed instead of cut; it then comes
    light on dark by itself.

    Args:
        image: opened by Pillow; it is read here.
        height: rows wanted.
        width: columns wanted.
        channels: 1 (grey) or 3 (red, green, blue).
        wishes: of who sent it; the defaults where there are none.
        framed: how the data set's pictures were framed, square and of one channel; None for photographs.

    Raises:
        ValueError: its pixels are of a kind that is not supported; it is to be framed and blank (`framing.BlankError`).
        OSError: it is damaged.
    """
    from PIL import ExifTags, Image, ImageOps

    wishes = wishes or ImageOptions()
    if image.mode == "L" and image.size == (width, height) and channels == 1 and not _turned(image):
        grey = np.array(image, dtype=np.uint8)[..., np.newaxis]  # as below, without detours
        return 255 - grey if wishes.invert else grey
    image.load()
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    upright = ImageOps.exif_transpose(image) if turned else image  # Pillow would copy it
    if framed and wishes.frame and upright.size != (width, height):
        return framing.frame(_grey(upright, wishes.background), framed, height)[..., np.newaxis]
    coloured, box = _as_rgb(upright, wishes.background), _middle(upright.size, width / height)
    fitted = framing.resized(coloured, (width, height), box, Image.Resampling.BICUBIC)
    pixels = np.array(fitted, dtype=np.uint8)
    pixels = to_grey(pixels[np.newaxis])[0] if channels == 1 else pixels
    return 255 - pixels if wishes.invert else pixels


def _middle(size: tuple[int, int], ratio: float) -> tuple[float, float, float, float]:
    """Return the largest box in the middle of a picture whose width has that ratio to its height."""
    width, height = size
    wide, high = (ratio * height, height) if width / height >= ratio else (width, width / ratio)
    left, top = (width - wide) / 2, (height - high) / 2
    return left, top, left + wide, top + high


def to_grey(images: np.ndarray) -> np.ndarray:
    """Return the luma of `[N, H, W, 3] uint8` images as `[N, H, W, 1] uint8` (ITU-R BT.601 weights)."""
    found = np.empty((*images.shape[:-1], 1), np.uint8)
    colours, grey = images.reshape(-1, 3), found.reshape(-1)
    for start in range(0, len(grey), _STRIP):
        strip = colours[start : start + _STRIP].T
        red, green, blue = (np.multiply(*pair, dtype=np.uint32) for pair in zip(strip, _LUMA, strict=True))
        grey[start : start + _STRIP] = (red + green + blue + 500) // 1000
    return found


def _grey(image: "Image.Image", background: str) -> np.ndarray:
    """Return the luma of a Pillow image, `uint8 [H, W]`, without holding all of it in colour."""
    found = np.empty((image.height, image.width), np.uint8)
    for top, strip in _strips(image):
        colours = np.asarray(_converted(strip, background))
        found[top : top + strip.height] = to_grey(colours[np.newaxis])[0, ..., 0]
    return found


def _turned(image: "Image.Image") -> bool:
    return bool(image.info.get("exif")) or "transparency" in image.info


def _as_rgb(image: "Image.Image", background: str) -> "Image.Image":
    """Return a Pillow image in RGB, as `_converted` makes it."""
    from PIL import Image

    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    found = Image.new("RGB", image.size)
    for top, strip in _strips(image):
        found.paste(_converted(strip, background), (0, top))
    return found


def _strips(image: "Image.Image") -> Iterator[tuple[int, "Image.Image"]]:
    """Yield an image in strips of whole rows, each with the row that it begins at."""
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _converted(image: "Image.Image", background: str) -> "Image.Image":
    """Return a Pillow image in RGB: 16 bits rescaled, transparency laid on a background; pixel by pixel.

    Raises:
        ValueError: its pixels are of a kind that is not supported.
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
