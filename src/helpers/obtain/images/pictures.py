"""Prepare images for a model: the same way for training, for the command line and for the service."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image

from helpers.errors import UsageError, nearest
from helpers.obtain.images import framing, pixel_window
from helpers.obtain.images.framing import Framing

BACKGROUNDS = ("white", "black")
FITS = ("crop", "pad", "squash")
_STRIP = 2**16
"""Pixels that are converted at a time, so that their copies need little memory."""
_LUMA = (299, 587, 114)  # thousandths of red, green and blue (ITU-R BT.601)
_TURNED_BY_READER = ("TIFF", "HEIF")  # Pillow and pillow-heif turn the pixels of these upright themselves
ORIENTATIONS = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")
"""Keys of Pillow's `info` where it finds an orientation."""


@dataclass(frozen=True)
class Preparation:
    """How a data set's images were prepared; a version carries it, so that every other image is prepared in the same way.

    Attributes:
        fit: how an image becomes a square: `"crop"` its centre, `"pad"` it, or `"squash"` it. The padding has the median colour
            of the image's own edge: a fixed colour would draw a line that shows the image's shape, and would be one of the
            brightest or darkest things in it.
        window: the values shown as black and white in images of more than 8 bits; see `pixel_window`.
        framing: how the data set's images were framed; None for photographs.
    """

    fit: str = "crop"
    window: str = "auto"
    framing: Framing | None = None

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise UsageError(f"The fit '{self.fit}' is unknown.", nearest(self.fit, FITS))
        pixel_window.parse(self.window)

    @classmethod
    def of(cls, facts: Mapping[str, str] | None, framed: Framing | None = None) -> "Preparation":
        """Return the preparation that a data card or a version's manifest records.

        Args:
            facts: from `facts`; None for versions from before it was recorded: these cropped, and took all 16 bits.
            framed: how the data set's images were framed; None for photographs.

        Raises:
            UsageError: a value is unknown.
        """
        return cls(**(facts or {"fit": "crop", "window": "full"}), framing=framed)

    def facts(self) -> dict[str, str]:
        """Return fit and window, for a data card or a manifest.

        Example:
            `card["preparation"] = pictures.Preparation(options.fit, options.window).facts()`
        """
        return {"fit": self.fit, "window": self.window}


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
    image: Image.Image,
    height: int,
    width: int,
    channels: int,
    options: ImageOptions | None = None,
    preparation: Preparation | None = None,
) -> np.ndarray:
    """Return an image as `[height, width, channels] uint8`.

    It is rotated upright (EXIF), scaled to 8 bits by its window, laid on a background where it is transparent, cropped around
    its centre to the ratio of the sides (or padded, or squashed) and resized (bicubic), and converted to luma for one channel.
    Of an animation the first frame is used. If the data set's images were framed, an image of another size is framed instead
    of cropped, which also makes it light on dark.

    Args:
        image: opened by `formats.opened`; its pixels are read here.
        height: rows of the result.
        width: columns of the result.
        channels: 1 (grey) or 3 (red, green, blue).
        options: the caller's options; None for the defaults.
        preparation: how the data set's images were prepared; None for the defaults. A framing makes squares of one channel.

    Raises:
        ValueError: its kind of pixels is not supported; or it has to be framed and is blank (`framing.BlankError`).
        OSError: it is damaged.
    """
    options, preparation = options or ImageOptions(), preparation or Preparation()
    if image.mode == "L" and image.size == (width, height) and channels == 1 and not _turned(image):
        grey = np.array(image, dtype=np.uint8)[..., np.newaxis]  # a shortcut with the same result as below
        return 255 - grey if options.invert else grey
    image.load()
    ends = pixel_window.ends(image, preparation.window) if pixel_window.is_deep(image) else None
    upright = _upright(image)
    if preparation.framing and options.frame and upright.size != (width, height):
        grey = _grey(upright, options.background, ends)
        return framing.frame(grey, preparation.framing, height)[..., np.newaxis]
    # needs no colours: the luma of a grey is itself
    plain_grey = channels == 1 and upright.mode == "L" and not upright.has_transparency_data
    image = upright if plain_grey else _as_rgb(upright, options.background, ends)
    pixels = np.array(_fitted(image, (width, height), preparation.fit), dtype=np.uint8)
    if channels == 1:
        pixels = pixels[..., np.newaxis] if plain_grey else to_grey(pixels[np.newaxis])[0]
    return 255 - pixels if options.invert else pixels


def lost_to_crop(width: np.ndarray | int, height: np.ndarray | int) -> np.ndarray:
    """Return the proportion of an image's area outside its largest centred square, from 0 to 1; arrays as well as numbers.

    Example:
        `(pictures.lost_to_crop(table["width"], table["height"]) > 0.1).sum()`
    """
    return 1 - np.minimum(width, height) / np.maximum(width, height)


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation by which an image has yet to be turned, 1 to 8; 1 if its metadata are damaged."""
    if image.format in _TURNED_BY_READER:
        return 1
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow raises almost any exception on damaged EXIF data
        return 1


def _upright(image: Image.Image) -> Image.Image:
    """Return an image turned by its EXIF orientation, itself if it is upright."""
    by = Image.Transpose
    turns = {
        2: by.FLIP_LEFT_RIGHT, 3: by.ROTATE_180, 4: by.FLIP_TOP_BOTTOM, 5: by.TRANSPOSE, 6: by.ROTATE_270, 7: by.TRANSVERSE,
        8: by.ROTATE_90,
    }  # fmt: skip
    turn = turns.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def _fitted(image: Image.Image, size: tuple[int, int], fit: str) -> Image.Image:
    """Return a grey or an RGB image of another width and height, by one of `FITS`."""
    bicubic, complete = Image.Resampling.BICUBIC, (0, 0, *image.size)
    if fit == "crop":
        return framing.resized(image, size, _middle(image.size, size[0] / size[1]), bicubic)
    if fit == "squash":
        return framing.resized(image, size, complete, bicubic)
    (width, height), (wide, high) = image.size, size
    if width * high >= height * wide:
        inner = wide, max(1, framing.divided(height * wide, width))
    else:
        inner = max(1, framing.divided(width * high, height)), high
    padded = Image.new(image.mode, size, _edge_colour(image))
    place = ((wide - inner[0]) // 2, (high - inner[1]) // 2)
    padded.paste(framing.resized(image, inner, complete, bicubic), place)
    return padded


def _edge_colour(image: Image.Image) -> tuple[int, ...]:
    """Return the median of an image's outermost pixels, channel by channel."""
    width, height = image.size
    lines = [
        (0, 0, width, 1),
        (0, height - 1, width, height),
        (0, 1, 1, height - 1),
        (width - 1, 1, width, height - 1),
    ]
    channels = len(image.getbands())
    edge = [np.asarray(image.crop(line)).reshape(-1, channels) for line in lines if line[3] > line[1]]
    return tuple(framing.middle(np.concatenate(edge)).tolist())


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


def _grey(image: Image.Image, background: str, ends: tuple[float, float] | None) -> np.ndarray:
    """Return the luma of a Pillow image, `uint8 [H, W]`, without a copy of all its colours in memory."""
    luma = np.empty((image.height, image.width), np.uint8)
    for top, strip in _strips(image):
        colours = np.asarray(_converted(strip, background, ends))
        luma[top : top + strip.height] = to_grey(colours[np.newaxis])[0, ..., 0]
    return luma


def _turned(image: Image.Image) -> bool:
    return any(image.info.get(name) for name in ORIENTATIONS) or "transparency" in image.info


def _as_rgb(image: Image.Image, background: str, ends: tuple[float, float] | None) -> Image.Image:
    """Return a Pillow image in RGB, converted in strips by `_converted`."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    coloured = Image.new("RGB", image.size)
    for top, strip in _strips(image):
        coloured.paste(_converted(strip, background, ends), (0, top))
    return coloured


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Yield strips of complete rows of an image, each with its first row."""
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _converted(image: Image.Image, background: str, ends: tuple[float, float] | None) -> Image.Image:
    """Return a Pillow image in RGB, laid on a background; each pixel on its own.

    Args:
        image: any mode.
        background: colour behind transparent pixels.
        ends: the values that become black and white, for an image of more than 8 bits.
    """
    if ends:
        return Image.fromarray(pixel_window.as_bytes(np.asarray(image), *ends)).convert("RGB")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        paper = Image.new("RGBA", layered.size, background)
        return Image.alpha_composite(paper, layered).convert("RGB")
    return image.convert("RGB")
