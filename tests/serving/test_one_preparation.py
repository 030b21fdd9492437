"""The same file becomes the same pixels in training, at the command line and in the service, in every format."""

import contextlib
import struct
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import test_decode_parts
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit
from starlette.testclient import TestClient

import image_files
import registry_versions
import service_support
from helpers.export.registry import Registry
from helpers.obtain.images import formats
from helpers.obtain.images.pictures import Preparation
from helpers.serving import app, decode, offline
from helpers.serving.model import Served
from helpers.serving.settings import API_KEY

FILES = {**image_files.colour_files(), **image_files.deep_files()}
PREPARATIONS = [
    Preparation("crop", "full"),
    Preparation("crop"),
    Preparation("pad", "percentiles"),
    Preparation("squash", "0:3000"),
]
SHAPE = (16, 16, 3)


def exported(folder: Path, preparation: dict | None) -> Served:
    """Publish and promote a version of a colour model with a preparation, or one from before it was recorded."""
    content = registry_versions.content(folder, shape=SHAPE)
    signature = {"input": {"name": "image", "shape": [None, *SHAPE]}}
    more = {"signature": signature} | ({"preparation": preparation} if preparation else {})
    registry = Registry("digits")
    registry.promote(registry.publish(content, registry_versions.facts(**more)).name)
    return offline.current("digits")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path / "out"))
    monkeypatch.delenv(API_KEY, raising=False)
    return tmp_path


@pytest.mark.parametrize("preparation", PREPARATIONS, ids=lambda one: f"{one.fit} {one.window}")
def test_every_file_has_the_same_pixels_in_training_command_line_and_service(home, preparation):
    served = exported(home / "version", preparation.facts())
    settings = service_support.settings()
    with TestClient(app.create(settings), raise_server_exceptions=False) as client:
        for name, content in FILES.items():
            if name == "float.tif" and preparation.window == "full":
                continue  # refused, see below
            file = home / name
            file.write_bytes(content)
            trained = formats.decode(file, 16, preparation)
            predicted = offline.read(served, file).image
            decoded = decode.prepare(decode.open_image(content, settings), SHAPE, None, served.preparation)
            np.testing.assert_array_equal(predicted, trained, name)
            np.testing.assert_array_equal(decoded, trained, name)
            assert trained.std() > (
                5 if preparation.window != "full" or name in image_files.colour_files() else 1
            ), name
            (wanted,) = served.describe(served.predict(trained[np.newaxis])[0])
            headers = {"Content-Type": "application/octet-stream"}
            answer = client.post("/v1/predict", content=content, headers=headers)
            assert answer.json()["predictions"] == [wanted], name


def test_preparations_differ_so_that_the_test_above_can_fail(home):
    files = {name: FILES[name] for name in ("photo.heic", "scan.dcm", "scan.png")}
    for name, content in files.items():
        (home / name).write_bytes(content)
        results = [formats.decode(home / name, 16, preparation) for preparation in PREPARATIONS]
        fits = [one.tobytes() for one in results]
        assert len(set(fits)) >= 3, name


@pytest.mark.parametrize("preparation", [None, {"fit": "pad", "window": "auto"}])
def test_version_from_before_crops_and_takes_all_sixteen_bits(home, preparation):
    served = exported(home / "version", preparation)
    assert served.preparation == (Preparation("pad") if preparation else Preparation("crop", "full"))


def test_floating_point_without_a_range_is_refused_alike(home):
    served = exported(home / "version", None)
    (home / "a.tif").write_bytes(FILES["float.tif"])
    problem = offline.read(served, home / "a.tif").problem
    assert problem.startswith("its floating-point values go from 0 to 4074")
    image = decode.open_image(FILES["float.tif"], service_support.settings())
    with pytest.raises(decode.RefusedError, match="floating-point values go from 0 to 4074"):
        decode.prepare(image, SHAPE, None, served.preparation)


@pytest.mark.parametrize("place", ["before", "after"])
def test_meaningless_metadata_do_not_matter_to_the_service(place):
    sound = FILES["photo.png"]
    at = sound.index(b"IDAT" if place == "before" else b"IEND") - 4
    for name, content in (
        (b"eXIf", b"xx"),
        (b"iCCP", b"xx"),
        (b"zTXt", b"a\0\0" + zlib.compress(bytes(2**21))),
    ):
        damaged = sound[:at] + chunk(name, content) + sound[at:]
        image = decode.open_image(damaged, service_support.settings())
        np.testing.assert_array_equal(decode.prepare(image, (60, 90, 3)), image_files.COLOUR)


def test_jpeg_inside_dicom_is_checked_like_a_file_of_its_own():
    described = {"Rows": 8, "Columns": 8, "PhotometricInterpretation": "MONOCHROME2", "SamplesPerPixel": 1}
    for scans, refused in ((99, False), (5_000, True)):
        frame = encapsulate([test_decode_parts.progressive(scans)])
        content = image_files.dicom(np.zeros((8, 8), np.uint8), frame, JPEGBaseline8Bit, **described)
        with pytest.raises(decode.RefusedError, match="100 scans") if refused else contextlib.nullcontext():
            decode.open_image(content, service_support.settings())


def test_dicom_of_run_lengths_is_refused_as_it_decodes_slowly():
    content = Path(get_testdata_file("MR_small_RLE.dcm", download=False)).read_bytes()
    with pytest.raises(decode.RefusedError, match="run lengths"):
        decode.open_image(content, service_support.settings())


def test_dicom_without_its_library_is_an_unsupported_format(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(decode.RefusedError, match=r"pip install .osemn-vision\[dicom\]") as caught:
        decode.open_image(FILES["scan.dcm"], service_support.settings())
    assert (caught.value.status, caught.value.reason) == (415, "format")


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


# Limits, which hold for the new formats too


@pytest.mark.parametrize("name", FILES)
def test_large_image_of_any_format_is_refused_by_its_header(name, monkeypatch):
    for limits in ({"max_pixels": 5_399}, {"max_side": 89}):
        with pytest.raises(decode.RefusedError, match="larger than") as caught:
            decode.open_image(FILES[name], service_support.settings(**limits))
        assert caught.value.status == 413
    monkeypatch.setattr(formats, "MAX_PIXELS", 100)
    with pytest.raises(decode.RefusedError, match="larger than"):
        decode.open_image(FILES[name], service_support.settings())


def many_parts() -> dict[str, bytes]:
    """Return files of a few megabytes of parts without content."""
    gif, dicom = FILES["animated.gif"], FILES["scan.dcm"]
    screen = 13 + 3 * 2 ** ((gif[10] & 7) + 1)
    element = b"\x09\x00\x01\x00LO\x00\x00"
    entries = 60_000
    directory = struct.pack("<H", entries) + struct.pack("<HHII", 33_000, 3, 1, 0) * entries + bytes(4)
    jp2 = FILES["photo.jp2"]
    return {
        "GIF of comments": gif[:screen] + b"\x21\xfe\x00" * 1_500_000 + gif[screen:],
        "GIF of one comment in short blocks": gif[:screen]
        + b"\x21\xfe"
        + b"\x01a" * 2_000_000
        + b"\x00"
        + gif[screen:],
        "DICOM of elements": dicom[: dicom.index(b"\x28\x00\x02\x00US")] + element * 500_000,
        "TIFF of entries": b"II*\x00" + struct.pack("<I", 8) + directory,
        "JPEG 2000 of boxes": jp2[:12] + b"\x00\x00\x00\x08free" * 500_000 + jp2[12:],
        "AVIF of boxes": FILES["photo.avif"] + b"\x00\x00\x00\x08free" * 500_000,
        "HEIC of boxes": FILES["photo.heic"] + b"\x00\x00\x00\x08free" * 500_000,
        "PPM of a comment": b"P6 #" + b"a" * 4_000_000,
        "plain PNM": b"P3 " + b"1 " * 2_000_000,
        "text": b"text" * 1_000_000,
    }


@pytest.mark.parametrize(("name", "content"), many_parts().items())
def test_file_of_very_many_parts_takes_little_time(name, content):
    began = time.process_time()
    with contextlib.suppress(decode.RefusedError):
        decode.prepare(decode.open_image(content, service_support.settings()), (8, 8, 3))
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("kind", ["PPM", "BMP"])
def test_forms_that_decode_slowly_are_refused(kind):
    content = image_files.encoded(image_files.COLOUR, kind)
    slow = b"P3" + content[2:] if kind == "PPM" else content[:30] + b"\x01" + content[31:]
    decode.open_image(content, service_support.settings())
    with pytest.raises(decode.RefusedError, match="save the image as PNG") as caught:
        decode.open_image(slow, service_support.settings())
    assert caught.value.status == 415
