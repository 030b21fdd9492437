"""Pictures as a model takes them: the one preparation for training, for the command line and for the service."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from helpers import framing
from helpers.framing import Framing

if TYPE_CHECKING:
    from PIL import Image

BACKGROUNDS = ("white", "black")


@dataclass(frozen=True)
class Wishes:
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
    wishes: Wishes | None = None,
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
    from PIL import Image, ImageOps

    wishes = wishes or Wishes()
    if image.mode == "L" and image.size == (width, height) and channels == 1 and not _turned(image):
        grey = np.array(image, dtype=np.uint8)[..., np.newaxis]  # as below, without detours
        return 255 - grey if wishes.invert else grey
    upright = _as_rgb(ImageOps.exif_transpose(image), wishes.background)
    if framed and wishes.frame and upright.size != (width, height):
        grey = to_grey(np.array(upright)[np.newaxis])[0, ..., 0]
        return framing.frame(grey, framed, height)[..., np.newaxis]
    fitted = framing.resized(
        upright, (width, height), _middle(upright.size, width / height), Image.Resampling.BICUBIC
    )
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
    weights = np.array([299, 587, 114], dtype=np.uint32)
    return ((images @ weights + 500) // 1000).astype(np.uint8)[..., np.newaxis]


def _turned(image: "Image.Image") -> bool:
    return bool(image.info.get("exif")) or "transparency" in image.info


def _as_rgb(image: "Image.Image", background: str) -> "Image.Image":
    """Return a Pillow image in RGB: 16 bits rescaled, transparency laid on a background."""
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
