"""Make bytes of images with more than 8 bits: which values become black and which white.

A window belongs to one file and follows from its content alone, so that training and service agree on it without knowing the
data set. The windows are:

- `"auto"`: the file's own (DICOM's window; TIFF's tags `SMinSampleValue` and `SMaxSampleValue`); 0 to 65,535 where every value
  is a multiple of 257, as these are 8-bit values stored in 16 bits; otherwise `"percentiles"`;
- `"percentiles"`: from the 0.5th to the 99.5th percentile of the finite values;
- `"full"`: all that the type can hold: 0 to 65,535 for integers, DICOM's stored bits, and for floating-point values 0 to 1 if all
  lie there, or 0 to 255;
- `"LOW:HIGH"`: two numbers, such as `"-160:240"` for soft tissue in a computed tomography.
"""

import math

import numpy as np
from PIL import Image

from helpers.errors import UsageError

NAMES = ("auto", "percentiles", "full")
# they leave out dead pixels and burnt-in text, and saturate only one pixel in a hundred
PERCENTILES = (0.5, 99.5)
_SIXTEEN_BITS = (0.0, 65_535.0)
_PHOTOMETRIC, _LOWEST, _HIGHEST = 262, 340, 341  # tags of TIFF
_WHITE_IS_ZERO = 0


def parse(window: str) -> tuple[float, float] | None:
    """Return the two numbers of a window `"LOW:HIGH"`; None for one of `NAMES`.

    Raises:
        UsageError: it is neither.
    """
    if window in NAMES:
        return None
    try:
        low, high = map(float, window.split(":"))
    except ValueError:
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        known = ", ".join(NAMES)
        raise UsageError(
            f"The window '{window}' is unknown.", f"use {known}, or two rising numbers such as 0:4095"
        )
    return low, high


def is_deep(image: Image.Image) -> bool:
    """Return whether a Pillow image has more than 8 bits in its one channel."""
    return image.mode == "F" or image.mode.startswith("I")


def ends(image: Image.Image, window: str) -> tuple[float, float]:
    """Return the values that become black and white in a deep image; black is the higher one if the file says so.

    Args:
        image: opened by `formats.opened`, of one of Pillow's modes `I`, `I;16` and `F`; its pixels are read.
        window: as described above.

    Raises:
        ValueError: `"full"` for floating-point values outside of 0–255, which have no agreed range.
    """
    image.load()
    low, high = parse(window) or _named(image, window)
    tags = getattr(image, "tag_v2", {})
    inverted = getattr(image, "inverted", False) or tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    return (high, low) if inverted else (low, high)


def as_bytes(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """Return values of any type as `uint8`, linear from black to white; not-a-number becomes black.

    Of all 16 bits the high byte, as Pillow and browsers take it of 16-bit colour: the same image in grey and in colour has the
    same pixels.
    """
    if {black, white} == set(_SIXTEEN_BITS):
        whole = np.clip(np.nan_to_num(values, nan=0.0), *_SIXTEEN_BITS).astype(np.uint16)
        high = (whole >> 8).astype(np.uint8)
        return high if black < white else 255 - high
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = (values.astype(np.float64) - black) * (255 / (white - black) if white != black else 0.0)
    return np.rint(np.clip(np.nan_to_num(scaled, nan=0.0), 0, 255)).astype(np.uint8)


def value_range(image: Image.Image) -> tuple[float, float]:
    """Return the lowest and the highest finite value of an image, over all channels; not-a-number if there is none."""
    image.load()
    if image.mode == "F":
        values = np.asarray(image)
        finite = values[np.isfinite(values)]
        return (float(finite.min()), float(finite.max())) if finite.size else (math.nan, math.nan)
    extremes = np.ravel((image.convert("RGB") if image.mode == "P" else image).getextrema())
    return float(extremes.min()), float(extremes.max())


def _named(image: Image.Image, window: str) -> tuple[float, float]:
    """Return the lowest and the highest value of a window by its name."""
    if window == "full":
        return _full(image)
    if window == "auto":
        own = _own(image)
        if own:
            return own
        if image.mode != "F" and _is_eight_bit(np.asarray(image)):
            return _SIXTEEN_BITS
    return _percentiles(image)


def _own(image: Image.Image) -> tuple[float, float] | None:
    """Return the window that a file names, if it makes sense."""
    own = getattr(image, "own", None)
    if own is None:
        tags = [getattr(image, "tag_v2", {}).get(tag) for tag in (_LOWEST, _HIGHEST)]
        own = tuple(float(np.ravel(tag)[0]) for tag in tags if tag is not None)
    return own if own and len(own) == 2 and -math.inf < own[0] < own[1] < math.inf else None


def _is_eight_bit(values: np.ndarray) -> bool:
    """Return whether all values are multiples of 257 from 0 to 65,535; ends at the first row with another value."""
    return all(bool(((row % 257 == 0) & (row >= 0) & (row < 65_536)).all()) for row in values)


def _full(image: Image.Image) -> tuple[float, float]:
    if full := getattr(image, "full", None):
        return full
    if image.mode != "F":
        return _SIXTEEN_BITS
    low, high = value_range(image)
    if low < 0 or high > 255:
        raise ValueError(
            f"its floating-point values go from {low:g} to {high:g}, which is not 0–1 or 0–255; choose another window"
        )
    return (0.0, 1.0) if high <= 1 else (0.0, 255.0)


def _percentiles(image: Image.Image) -> tuple[float, float]:
    """Return the two percentiles as values that occur; the extremes where they are equal, as in a mask of few pixels."""
    values = np.asarray(image).ravel()
    values = values[np.isfinite(values)] if image.mode == "F" else values
    if not values.size:
        return 0.0, 0.0
    low, high = (place / 100 * (values.size - 1) for place in PERCENTILES)
    places = [math.floor(low), math.ceil(high)]
    low, high = np.partition(values, places)[places].tolist()
    return (low, high) if low < high else (float(values.min()), float(values.max()))
