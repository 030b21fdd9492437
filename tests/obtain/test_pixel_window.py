"""Images of more than 8 bits are shown between two values that follow from the file alone."""

import io
import math
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

import image_files
from helpers.errors import UsageError
from helpers.obtain.images import formats, pixel_window
from helpers.obtain.images.pictures import Preparation
from image_files import chunk

RAMP = np.arange(2_000).reshape(40, 50)


def opened(values: np.ndarray, kind: str = "TIFF", **options) -> Image.Image:
    return formats.opened(io.BytesIO(image_files.encoded(values, kind, **options)))


def shown(image: Image.Image, window: str = "auto") -> np.ndarray:
    """Return the bytes of a deep image."""
    ends = pixel_window.ends(image, window)
    return pixel_window.as_bytes(np.asarray(image), *ends)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_percentiles_saturate_one_pixel_in_a_hundred(dtype):
    image = opened(RAMP.astype(dtype))
    assert pixel_window.ends(image, "auto") == pixel_window.ends(image, "percentiles") == (9, 1_990)
    bytes_ = shown(image)
    assert (bytes_ == 0).sum() <= 0.01 * RAMP.size
    assert (bytes_ == 255).sum() <= 0.01 * RAMP.size
    assert bytes_.min() == 0
    assert bytes_.max() == 255


@pytest.mark.parametrize("kind", ["TIFF", "PNG"])
def test_twelve_bits_in_sixteen_are_not_nearly_black(kind):
    """The kind of F12: of all 16 bits, the brightest of 4,095 is 15."""
    values = np.linspace(0, 4_095, 2_000).reshape(40, 50).astype(np.uint16)
    assert shown(opened(values, kind)).mean() == pytest.approx(127.5, abs=1)
    assert shown(opened(values, kind), "full").max() == 15


def test_eight_bits_in_thirty_two_are_not_all_black():
    values = np.linspace(0, 255, 2_000).reshape(40, 50).astype(np.int32)
    assert shown(opened(values)).mean() == pytest.approx(127.5, abs=1.5)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_eight_bits_times_257_come_back_as_they_were(dtype):
    original = np.random.default_rng(0).integers(40, 90, (40, 50), dtype=np.uint8)
    image = opened(original.astype(dtype) * 257)
    assert pixel_window.ends(image, "auto") == (0, 65_535)
    np.testing.assert_array_equal(shown(image), original)
    almost = original.astype(dtype) * 257
    almost[-1, -1] += 1
    assert pixel_window.ends(opened(almost), "auto") != (0, 65_535)


def test_full_range_takes_the_high_byte_of_sixteen_bits():
    values = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(shown(opened(values), "full"), values >> 8)
    big_endian = Image.frombytes("I;16B", (256, 256), values.astype(">u2").tobytes())
    np.testing.assert_array_equal(shown(big_endian, "full"), values >> 8)
    np.testing.assert_array_equal(pixel_window.as_bytes(values, 65_535, 0), 255 - (values >> 8))


def test_sixteen_bits_are_the_same_pixels_in_grey_and_in_colour():
    """The kind of D4: of a grey scan, one copy was saved as colour."""
    values = np.random.default_rng(0).integers(0, 65_536, (30, 40), dtype=np.uint16)
    rows = np.repeat(values[..., np.newaxis], 3, axis=2).astype(">u2")
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 30, 16, 2, 0, 0, 0))
    colour = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    files = image_files.encoded(values, "PNG"), colour
    grey, coloured = (formats.decode(io.BytesIO(file), 30, Preparation(window="full")) for file in files)
    np.testing.assert_array_equal(grey, coloured)
    assert grey.std() > 50


@pytest.mark.parametrize(("highest", "white"), [(1, 1), (0.2, 1), (1.5, 255), (255, 255)])
def test_full_range_of_floating_point_is_one_or_255(highest, white):
    assert pixel_window.ends(opened((RAMP / 1_999 * highest).astype(np.float32)), "full") == (0, white)


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (0, 4_000)])
def test_floating_point_without_an_agreed_range_is_refused_with_its_range(low, high):
    with pytest.raises(ValueError, match=f"from {low} to {high}.*choose another window"):
        pixel_window.ends(opened(np.linspace(low, high, 100, dtype=np.float32).reshape(10, 10)), "full")


def test_two_numbers_are_black_and_white():
    image = opened(RAMP.astype(np.uint16))
    np.testing.assert_array_equal(shown(image, "500:1010"), np.rint(np.clip((RAMP - 500) / 2, 0, 255)))


@pytest.mark.parametrize("window", ["", "Auto", "1", "5:5", "9:1", "a:b", "0:inf", "nan:1", "1:2:3"])
def test_window_that_is_not_one_is_a_wrong_call(window):
    with pytest.raises(UsageError, match="use auto, percentiles, full, or two rising numbers"):
        pixel_window.parse(window)


def test_tiffs_own_window_comes_first_unless_it_makes_no_sense():
    values = RAMP.astype(np.uint16)
    assert pixel_window.ends(opened(values, tiffinfo={340: 100, 341: 900}), "auto") == (100, 900)
    assert pixel_window.ends(opened(values, tiffinfo={340: 900, 341: 100}), "auto") == (9, 1_990)
    assert pixel_window.ends(opened(values, tiffinfo={340: 100}), "auto") == (9, 1_990)
    assert pixel_window.ends(opened(values, tiffinfo={340: 100, 341: 900}), "percentiles") == (9, 1_990)


@pytest.mark.parametrize("window", ["auto", "full", "0:1999"])
def test_tiff_in_which_white_is_zero_is_inverted(window):
    values = RAMP.astype(np.uint16)
    plain, inverted = (shown(opened(values, tiffinfo={262: photometric}), window) for photometric in (1, 0))
    assert np.abs(plain.astype(int) + inverted - 255).max() <= 1


def test_values_that_are_not_finite_do_not_count():
    values = RAMP.astype(np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    image = opened(values)
    assert pixel_window.value_range(image) == (3, 1_999)
    low, high = pixel_window.ends(image, "auto")
    assert 3 <= low < 20
    assert 1_980 < high <= 1_999
    assert shown(image)[0, :3].tolist() == [0, 255, 0]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_image_without_a_finite_value_is_black(value):
    image = opened(np.full((4, 4), value, np.float32))
    assert all(math.isnan(end) for end in pixel_window.value_range(image))
    assert shown(image).max() == (255 if value == math.inf else 0) or not shown(image).any()


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_constant_image_is_black_and_a_mask_of_few_pixels_is_seen(dtype):
    values = np.full((40, 50), 7, dtype)
    assert not shown(opened(values)).any()
    values[3, 4] = 8
    assert shown(opened(values))[3, 4] == 255
    assert shown(opened(values)).sum() == 255


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        (Image.new("L", (3, 3), 9), (9, 9)),
        (Image.new("RGB", (3, 3), (5, 9, 200)), (5, 200)),
        (Image.new("RGB", (3, 3), (5, 9, 200)).quantize(4), (5, 200)),
        (Image.fromarray(RAMP.astype(np.uint16)), (0, 1_999)),
        (Image.fromarray(RAMP.astype(np.int32) - 9), (-9, 1_990)),
    ],
)
def test_range_found_is_that_of_the_stored_values(image, wanted):
    assert pixel_window.value_range(image) == wanted


def test_window_depends_on_the_file_alone_and_decoding_uses_it():
    content = image_files.encoded(RAMP.astype(np.uint16), "PNG")
    twice = [formats.decode(io.BytesIO(content), 20, Preparation("crop", "500:1010")) for _ in range(2)]
    np.testing.assert_array_equal(*twice)
    assert twice[0][0].max() == 0
    assert twice[0][-1].min() == 255
