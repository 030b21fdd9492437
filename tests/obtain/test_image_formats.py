"""Files of every format become the same pixels, upright, whatever else they hold."""

import io
import os
import re
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

import image_files
from helpers.errors import UsageError
from helpers.obtain.images import formats, framing, pictures
from helpers.obtain.images.pictures import ImageOptions, Preparation
from image_files import chunk

COLOURS, DEEP = image_files.colour_files(), image_files.deep_files()
LOSS = {"jpg": 3, "mpo": 3, "avif": 3, "heic": 2, "gif": 12}
"""The largest difference that a format with loss makes, by ending; a frame that is not the first differs by far more."""


def pixels_of(content: bytes) -> np.ndarray:
    """Return the pixels of a file in its own size, upright."""
    with formats.opened(io.BytesIO(content)) as image:
        upright = pictures._upright(image)
        return pictures.prepare(image, upright.height, upright.width, 3)


@pytest.mark.parametrize("name", COLOURS)
def test_first_image_of_every_format_is_read(name, tmp_path):
    pixels = pixels_of(COLOURS[name])
    assert np.abs(pixels.astype(int) - image_files.COLOUR).max() <= LOSS.get(name.rpartition(".")[2], 0)
    (tmp_path / name).write_bytes(COLOURS[name])
    assert formats.is_image(tmp_path / name)
    np.testing.assert_array_equal(
        formats.decode(tmp_path / name, 16), formats.decode(io.BytesIO(COLOURS[name]), 16)
    )


@pytest.mark.parametrize("name", DEEP)
def test_deep_image_of_every_format_is_windowed_alike(name):
    low, high = np.percentile(image_files.DEEP, 0.5), np.percentile(image_files.DEEP, 99.5)
    wanted = np.clip((image_files.DEEP - low) / (high - low), 0, 1) * 255
    assert np.abs(pixels_of(DEEP[name]) - wanted[..., None]).max() <= 1


def test_jpeg_is_decoded_in_full_as_pillow_does():
    """The kind of F11: `draft` decodes at a fraction of the size, and differs by up to 17 of 255."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    content = image_files.encoded(noise, "JPEG", quality=90)
    with Image.open(io.BytesIO(content)) as image:
        wanted = framing.resized(image.convert("RGB"), (64, 64), (0, 0, 300, 300), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(formats.decode(io.BytesIO(content), 64), np.asarray(wanted))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF", "HEIF", "TIFF"])
def test_every_orientation_is_turned_upright_once(kind, orientation):
    exif = Image.Exif()
    exif[image_files.ORIENTATION] = orientation
    as_tags = (
        {"tiffinfo": {image_files.ORIENTATION: orientation}} if kind == "TIFF" else {"exif": exif.tobytes()}
    )
    stored = image_files.COLOUR[:, ::2]
    undo = {2: "LR", 3: "LR UD", 4: "UD", 5: "T", 6: "T LR", 7: "T LR UD", 8: "T UD"}.get(orientation, "")
    wanted = np.swapaxes(stored, 0, 1) if "T" in undo else stored
    wanted = wanted[:, ::-1] if "LR" in undo else wanted
    wanted = wanted[::-1] if "UD" in undo else wanted
    content = image_files.encoded(stored, kind, quality=100, **as_tags)
    assert np.abs(pixels_of(content).astype(int) - wanted).mean() < 4
    with formats.opened(io.BytesIO(content)) as image:
        image.getexif()  # whoever reads the metadata first changes nothing
        square = pictures.prepare(image, 16, 16, 3)
    np.testing.assert_array_equal(square, formats.decode(io.BytesIO(content), 16))


# Damaged metadata around sound pixels


def png_with(extra: bytes, *, late: bool = False) -> bytes:
    content = COLOURS["photo.png"]
    place = content.index(b"IEND" if late else b"IDAT") - 4
    return content[:place] + extra + content[place:]


MANY_LETTERS = zlib.compress(bytes(2 * PngImagePlugin.MAX_TEXT_CHUNK))
CHUNKS = {
    "meaningless EXIF": chunk(b"eXIf", b"meaningless"),
    "short EXIF": chunk(b"eXIf", b"II*\0\x08\0\0\0\xff\xff"),
    "EXIF as bad text": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n  9\nxyz")),
    "wrong checksum": chunk(b"tEXt", b"a\0b", b"none"),
    "long compressed text": chunk(b"zTXt", b"a\0\0" + MANY_LETTERS),
    "long international text": chunk(b"iTXt", b"a\0\1\0\0\0" + MANY_LETTERS),
    "bad colour profile": chunk(b"iCCP", b"no profile"),
    "short resolution": chunk(b"pHYs", b"ab"),
    "short gamma": chunk(b"gAMA", b""),
    "short chromaticities": chunk(b"cHRM", b"abc"),
    "empty rendering intent": chunk(b"sRGB", b""),
    "short animation": chunk(b"acTL", b"a"),
}


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", CHUNKS)
def test_png_with_damaged_metadata_before_or_after_its_pixels_is_read(name, late, tmp_path):
    content = png_with(CHUNKS[name], late=late)
    np.testing.assert_array_equal(pixels_of(content), image_files.COLOUR)
    (tmp_path / "a.png").write_bytes(content)
    np.testing.assert_array_equal(
        formats.decode(tmp_path / "a.png", 60),
        pixels_of(image_files.encoded(image_files.COLOUR[:, 15:75], "PNG")),
    )
    with formats.opened(tmp_path / "a.png") as image:
        image.load()
        assert formats.has_damaged_metadata(image) == (name not in ("short EXIF", "EXIF as bad text")) or (
            late and name == "wrong checksum"
        )


def test_orientation_is_obeyed_beside_a_damaged_text():
    exif = Image.Exif()
    exif[image_files.ORIENTATION] = 3
    content = png_with(chunk(b"eXIf", exif.tobytes()[6:]) + CHUNKS["bad colour profile"])
    np.testing.assert_array_equal(pixels_of(content), image_files.COLOUR[::-1, ::-1])


@pytest.mark.parametrize("exif", [b"meaningless bytes", b"Exif\0\0meaningless", b"II", bytes(range(256))])
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "HEIF"])
def test_meaningless_exif_does_not_matter(kind, exif):
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100}
    content = image_files.encoded(image_files.COLOUR, kind, exif=exif, **options)
    np.testing.assert_array_equal(
        pixels_of(content), pixels_of(image_files.encoded(image_files.COLOUR, kind, **options))
    )


def test_meaningless_exif_in_an_avif_does_not_matter():
    exif = Image.Exif()
    exif[image_files.ORIENTATION] = 1
    exif[0x010E] = "a description"
    sound = image_files.encoded(image_files.COLOUR, "AVIF", exif=exif)
    place = sound.index(exif.tobytes()[6:])
    damaged = sound[:place] + b"meaningless" + sound[place + 11 :]
    with pytest.raises(ValueError, match="Exif"):
        Image.open(io.BytesIO(damaged))
    np.testing.assert_array_equal(pixels_of(damaged), pixels_of(sound))
    with formats.opened(io.BytesIO(damaged)) as image:
        assert formats.has_damaged_metadata(image)


@pytest.mark.parametrize("segment", range(0xE0, 0xF0))
def test_jpeg_with_any_meaningless_segment_is_read(segment):
    sound, random = COLOURS["photo.jpg"], np.random.default_rng(segment)
    for start in (b"", b"Exif\0\0", b"MPF\0", b"ICC_PROFILE\0", b"Photoshop 3.0\0", b"Adobe\0"):
        if (segment, start) == (0xEE, b"Adobe\0"):
            continue  # it says how the colours are stored, so it belongs to the pixels
        content = start + random.integers(0, 256, 40, dtype=np.uint8).tobytes()
        extra = bytes([0xFF, segment]) + struct.pack(">H", len(content) + 2) + content
        np.testing.assert_array_equal(pixels_of(sound[:2] + extra + sound[2:]), pixels_of(sound))


@pytest.mark.parametrize("name", COLOURS)
def test_sound_metadata_are_not_called_damaged(name):
    with formats.opened(io.BytesIO(COLOURS[name])) as image:
        image.load()
        assert not formats.has_damaged_metadata(image)


@pytest.mark.parametrize("name", [name for name in COLOURS if name.startswith("photo")])
def test_damaged_pixels_are_refused(name):
    content = COLOURS[name]
    with pytest.raises(Exception, match=r".") as caught:
        formats.decode(io.BytesIO(content[: len(content) * 2 // 5]), 8)
    assert not isinstance(caught.value, (AttributeError, NameError, KeyError, UsageError)), name


# What is opened, and what is not


def test_named_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    os.mkfifo(tmp_path / "without ending")
    for path in tmp_path.iterdir():
        assert formats.special(path) == "it is a named pipe, not a file"
        with pytest.raises(OSError, match="it is a named pipe") as caught:
            formats.opened(path)
        assert formats.reason(caught.value, path) == "it is a named pipe, not a file"
    assert formats.is_image(tmp_path / "a.png"), "it is listed, with the reason"
    assert not formats.is_image(tmp_path / "without ending")


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("A.HEIC", b"", True),
        ("a.jp2", b"", True),
        ("notes.txt", b"", False),
        (".a.png", b"", False),
        ("._scan", image_files.dicom(image_files.DEEP), False),
        ("scan", image_files.dicom(image_files.DEEP), True),
        ("1.2.840.10008", image_files.dicom(image_files.DEEP), True),
        ("README", b"text", False),
        ("scan.txt", image_files.dicom(image_files.DEEP), False),
    ],
)
def test_image_is_known_by_its_name_and_dicom_without_an_ending_by_its_signature(
    name, content, wanted, tmp_path
):
    (tmp_path / name).write_bytes(content)
    assert formats.is_image(tmp_path / name) == wanted


def test_folder_is_not_an_image_whatever_its_name(tmp_path):
    (tmp_path / "a.png").mkdir()
    assert not formats.is_image(tmp_path / "a.png")


def test_link_to_nothing_is_listed_and_unreadable(tmp_path):
    (tmp_path / "a.png").symlink_to("nowhere")
    (tmp_path / "scan").symlink_to("nowhere")
    assert formats.is_image(tmp_path / "a.png")
    assert not formats.is_image(tmp_path / "scan")
    with pytest.raises(FileNotFoundError):
        formats.opened(tmp_path / "a.png")


@pytest.mark.parametrize(
    "content", [b"", b"text", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0 EPSF-3.0\n"]
)
def test_other_files_are_not_images(content, tmp_path):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(Image.UnidentifiedImageError) as caught:
        formats.opened(tmp_path / "a.png")
    assert formats.reason(caught.value, tmp_path / "a.png") == (
        "it is not an image" if content else "the file is empty"
    )


@pytest.mark.parametrize("name", [*COLOURS, *DEEP])
def test_image_of_absurd_size_is_refused_by_its_header(name, monkeypatch):
    monkeypatch.setattr(formats, "MAX_PIXELS", 5_399)
    with pytest.raises(formats.TooLargeError, match="it has 90 × 60 pixels, more than 5,399"):
        formats.opened(io.BytesIO({**COLOURS, **DEEP}[name]))


def test_rare_formats_are_imported_when_the_first_such_file_is_opened(tmp_path):
    for name in ("photo.png", "photo.avif", "photo.heic", "photo.dcm"):
        (tmp_path / name).write_bytes(COLOURS[name])
    program = (
        "import sys, pathlib; from helpers.obtain.images import formats\n"
        "for path in sys.argv[1:]:\n"
        "    formats.decode(pathlib.Path(path), 8)\n"
        "    print(*(name for name in ('pillow_heif', 'pydicom') if name in sys.modules))"
    )
    files = [tmp_path / name for name in ("photo.png", "photo.avif", "photo.heic", "photo.dcm")]
    done = subprocess.run([sys.executable, "-c", program, *files], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["", "", "pillow_heif", "pillow_heif pydicom", ""]


# The shape


@pytest.mark.parametrize("name", ["photo.png", "photo.heic"])
def test_image_is_cropped_padded_or_squashed(name):
    def decoded(fit: str) -> np.ndarray:
        return formats.decode(io.BytesIO(COLOURS[name]), 30, Preparation(fit))

    colour = pixels_of(COLOURS[name])
    assert np.abs(decoded("crop").astype(int) - colour[1::2, 16:75:2]).max() < 4
    assert np.abs(decoded("squash").astype(int) - colour[1::2, 1::3]).max() < 6
    padded = decoded("pad")
    assert np.abs(padded[5:25].astype(int) - colour[1::3, 1::3]).max() < 8
    edge = np.concatenate([colour[0], colour[-1], colour[1:-1, 0], colour[1:-1, -1]])
    wanted = np.sort(edge, axis=0)[len(edge) // 2]
    assert (padded[[*range(5), *range(25, 30)]] == wanted).all()


@pytest.mark.parametrize("fit", pictures.FITS)
@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (30_000, 300), (300, 30_000), (3, 2)])
def test_image_of_any_shape_has_the_colours_of_its_file(fit, size):
    image = Image.new("RGB", size, (10, 200, 90))
    prepared = pictures.prepare(image, 64, 48, 3, ImageOptions(), Preparation(fit))
    assert (prepared == [10, 200, 90]).all()


@pytest.mark.parametrize(
    ("width", "height", "lost"), [(100, 100, 0), (400, 300, 0.25), (1, 1000, 0.999), (30_000, 300, 0.99)]
)
def test_area_that_a_crop_loses_is_that_outside_the_square(width, height, lost):
    assert pictures.lost_to_crop(width, height) == pytest.approx(lost)
    assert pictures.lost_to_crop(np.array([width, height]), np.array([height, width])) == pytest.approx(
        [lost, lost]
    )


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("cut",), "The fit 'cut' is unknown"),
        (("crop", "wide"), "The window 'wide' is unknown"),
        (("pad", "9:1"), "9:1"),
    ],
)
def test_unknown_preparation_is_a_wrong_call(arguments, problem):
    with pytest.raises(UsageError, match=re.escape(problem)):
        Preparation(*arguments)


def test_preparation_survives_the_way_through_a_card_and_a_missing_one_is_that_of_before():
    chosen = Preparation("pad", "-100:300")
    assert Preparation.of(chosen.facts()) == chosen
    assert Preparation.of(None) == Preparation("crop", "full")
