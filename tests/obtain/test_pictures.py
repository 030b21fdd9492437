"""Pictures are prepared to the byte as the formulas say, and large ones in little memory."""

import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image, ImageOps

import drawings
from helpers.obtain.images import framing, pictures
from helpers.obtain.images.framing import BlankError, Framing
from helpers.obtain.images.pictures import ImageOptions, Preparation

FRAMED = Framing(20, "mass")
PREPARATION = Preparation(window="full", framing=FRAMED)


def luma(rgb: np.ndarray) -> np.ndarray:
    """Return grey as ITU-R BT.601 has it, computed over the whole picture at once."""
    return ((rgb.astype(np.int64) @ np.array([299, 587, 114]) + 500) // 1000).astype(np.uint8)


def on_black(grey: np.ndarray) -> np.ndarray:
    """Return a picture on black, by the formula and pixel by pixel."""
    edge = np.sort(np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]]))
    background, values = int(edge[len(edge) // 2]), grey.astype(np.int64)
    if background > 127:
        background, values = 255 - background, 255 - values
    span = 255 - background
    return ((2 * 255 * np.maximum(values - background, 0) + span) // (2 * span)).astype(np.uint8)


def as_rgb(image: Image.Image, background: str) -> np.ndarray:
    """Return a picture upright in colour, converted in one piece."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        values = np.clip(np.asarray(image).astype(np.int64), 0, 65_535)
        image = Image.fromarray((values >> 8).astype(np.uint8))
    elif image.has_transparency_data:
        layered = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layered.size, background), layered)
    return np.asarray(image.convert("RGB"))


def picture(mode: str, size: tuple[int, int], seed: int = 0) -> Image.Image:
    """Return random pixels of a mode of Pillow's, around a thing that differs from them."""
    random, (width, height) = np.random.default_rng(seed), size
    if mode in ("I", "I;16"):
        wide = random.integers(0, 65_536, (height, width))
        return Image.fromarray(wide.astype(np.int32 if mode == "I" else np.uint16))
    pixels = random.integers(200, 256, (height, width, 4), dtype=np.uint8)
    pixels[height // 4 : height // 2, width // 3 : width // 2 + 1, :3] //= 5
    pixels[..., 3] = random.integers(0, 256, (height, width))
    image = Image.fromarray(pixels)
    if mode == "P with transparency":
        return image.quantize(40)
    return image if mode == "RGBA" else image.convert("RGB").convert(mode)


MODES = ("1", "L", "LA", "P", "P with transparency", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16")


@pytest.mark.parametrize("background", pictures.BACKGROUNDS)
@pytest.mark.parametrize("mode", MODES)
def test_every_kind_of_pixels_is_converted_as_in_one_piece(mode, background):
    for size in ((1, 1), (7, 3), (640, 417), (3, 40_000), (66_000, 2)):
        image = picture(mode, size)
        ends = (0, 65_535) if mode.startswith("I") else None
        wanted = as_rgb(image, background)
        np.testing.assert_array_equal(np.asarray(pictures._as_rgb(image, background, ends)), wanted)
        np.testing.assert_array_equal(pictures._grey(image, background, ends), luma(wanted))


@pytest.mark.parametrize("background", pictures.BACKGROUNDS)
def test_drawings_and_photographs_are_grey_and_framed_as_the_formulas_say(monkeypatch, background):
    images = [*drawings.pictures(60, seed=3), picture("RGB", (900, 700)), picture("RGBA", (700, 900))]
    prepared = [framed_or_blank(image, background) for image in images]
    monkeypatch.setattr(framing, "_on_black", on_black)
    for image, mine in zip(images, prepared, strict=True):
        try:
            wanted = framing.frame(luma(as_rgb(image, background)), FRAMED, 28)
        except BlankError:
            wanted = np.zeros((28, 28), np.uint8)
        np.testing.assert_array_equal(mine, wanted)
    assert sum(bool(mine.any()) for mine in prepared) > 50


def framed_or_blank(image: Image.Image, background: str) -> np.ndarray:
    try:
        return pictures.prepare(image, 28, 28, 1, ImageOptions(background), PREPARATION)[..., 0]
    except BlankError:
        return np.zeros((28, 28), np.uint8)


@pytest.mark.parametrize("paper", [0, 1, 60, 127, 128, 129, 200, 254, 255])
def test_background_becomes_black_as_the_formula_says_whatever_its_grey(paper):
    grey = np.arange(256, dtype=np.uint8).repeat(9).reshape(48, 48)
    grey[[0, -1]] = grey[:, [0, -1]] = paper
    np.testing.assert_array_equal(framing._on_black(grey), on_black(grey))
    noise = np.random.default_rng(paper).integers(0, 256, (301, 417), dtype=np.uint8)
    np.testing.assert_array_equal(framing._on_black(noise), on_black(noise))


def test_every_colour_becomes_the_grey_of_the_formula():
    shades = np.arange(0, 256, 3, dtype=np.uint8)
    colours = np.stack(np.meshgrid(shades, shades, shades), axis=-1).reshape(1, 86, -1, 3)
    np.testing.assert_array_equal(pictures.to_grey(colours)[..., 0], luma(colours))
    odd = colours[:, ::2, ::-1]  # no copy of its own in memory
    np.testing.assert_array_equal(pictures.to_grey(odd)[..., 0], luma(odd))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_picture_is_turned_upright_and_left_as_it_was_given(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    picture("RGB", (90, 60)).save(stream, "PNG", exif=exif)
    with Image.open(stream) as image:
        wanted = framing.frame(luma(as_rgb(image, "white")), FRAMED, 28)
        np.testing.assert_array_equal(pictures.prepare(image, 28, 28, 1, None, PREPARATION)[..., 0], wanted)
        assert image.size == (90, 60)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16"])
def test_large_picture_is_framed_in_few_bytes_for_each_pixel(mode):
    """Of what NumPy and Python hold; Pillow's own 4 bytes for each pixel are not seen."""
    image = picture(mode, (2_000, 1_500))
    pictures.prepare(image, 28, 28, 1, None, PREPARATION)  # what is imported on first use does not count
    tracemalloc.start()
    pictures.prepare(image, 28, 28, 1, None, PREPARATION)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * 2_000 * 1_500


@pytest.mark.parametrize("fit", pictures.FITS)
@pytest.mark.parametrize("size", [(90, 40), (33, 90), (28, 28), (1, 1)])
def test_grey_picture_gives_the_same_pixels_as_its_copy_in_colour(fit, size):
    grey = picture("L", size)
    for invert in (False, True):
        how = ImageOptions(invert=invert), Preparation(fit)
        given = pictures.prepare(grey, 28, 28, 1, *how)
        np.testing.assert_array_equal(given, pictures.prepare(grey.convert("RGB"), 28, 28, 1, *how))
