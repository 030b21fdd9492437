"""DICOM files are rescaled, windowed and coloured as their headers say; real ones that pydicom brings are read."""

import builtins
import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import examples
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit

import image_files
from helpers.obtain.images import dicom, formats, pictures, pixel_window

GREY = np.arange(0, 4_000, 10, dtype=np.uint16).reshape(20, 20)


def opened(pixels: np.ndarray = GREY, **elements) -> Image.Image:
    return formats.opened(io.BytesIO(image_files.dicom(pixels, **elements)))


def shown(image: Image.Image, window: str = "auto") -> np.ndarray:
    """Return the bytes of a grey image in its own size."""
    return pictures.prepare(
        image, image.height, image.width, 1, preparation=pictures.Preparation(window=window)
    )[..., 0]


def scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.rint(np.clip((values - low) / (high - low) * 255, 0, 255))


def table(entries: list[int], first: int, bits: int, **more) -> Dataset:
    """Return a look-up table."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    for name, value in more.items():
        setattr(item, name, value)
    return item


def compressed(frame: bytes, **elements) -> bytes:
    """Return a DICOM file whose pixels are a JPEG file."""
    return image_files.dicom(
        image_files.COLOUR,
        encapsulate([frame]),
        JPEGBaseline8Bit,
        PhotometricInterpretation="YBR_FULL_422",
        **elements,
    )


# DICOM PS3.3, C.11.2.1.2: black up to centre - 0.5 - (width - 1) / 2, white above centre - 0.5 + (width - 1) / 2
def test_window_is_linear_between_the_standards_ends():
    image = opened(WindowCenter=1_000, WindowWidth=401)
    assert pixel_window.ends(image, "auto") == (799.5, 1_199.5)
    np.testing.assert_array_equal(shown(image), scaled(GREY, 799.5, 1_199.5))
    exact = opened(WindowCenter=1_000, WindowWidth=401, VOILUTFunction="LINEAR_EXACT")
    assert pixel_window.ends(exact, "auto") == (799.5, 1_200.5)


def test_first_of_several_windows_is_used():
    assert pixel_window.ends(opened(WindowCenter=[1_000, 50], WindowWidth=[401, 99]), "auto") == (
        799.5,
        1_199.5,
    )


@pytest.mark.parametrize("elements", [{}, {"WindowCenter": 50}, {"WindowCenter": 50, "WindowWidth": 0}])
def test_without_a_window_percentiles_count(elements):
    assert pixel_window.ends(opened(**elements), "auto") == (10, 3_980)


def test_values_are_rescaled_before_the_window():
    image = opened(RescaleSlope=2, RescaleIntercept=-1_000, WindowCenter=40, WindowWidth=400)
    np.testing.assert_array_equal(shown(image), scaled(GREY * 2.0 - 1_000, -160, 239))
    assert pixel_window.value_range(image) == (-1_000, 6_980)
    np.testing.assert_array_equal(shown(image, "0:500"), scaled(GREY * 2.0 - 1_000, 0, 500))
    assert pixel_window.ends(image, "full") == (-1_000, 2 * 65_535 - 1_000)


def test_monochrome1_is_inverted():
    for window in ("auto", "percentiles", "full", "0:3000"):
        elements = {"WindowCenter": 1_000, "WindowWidth": 401}
        plain, inverted = (
            shown(opened(PhotometricInterpretation=f"MONOCHROME{kind}", **elements), window)
            for kind in (2, 1)
        )
        assert np.abs(plain.astype(int) + inverted - 255).max() <= 1
        assert plain.std() > 0


def test_signed_and_stored_bits_give_the_full_range():
    assert pixel_window.ends(opened((GREY - 2_000.0).astype(np.int16)), "full") == (-32_768, 32_767)
    assert pixel_window.ends(opened(BitsStored=12, HighBit=11), "full") == (0, 4_095)


def test_eight_bits_without_a_window_stay_as_they_are():
    pixels = np.arange(40, 240, dtype=np.uint8).reshape(10, 20)
    np.testing.assert_array_equal(shown(opened(pixels)), pixels)


def test_curve_is_that_of_the_standard():
    image = opened(WindowCenter=1_000, WindowWidth=400, VOILUTFunction="SIGMOID")
    wanted = 255 / (1 + np.exp(-4 * (GREY - 1_000.0) / 400))
    assert np.abs(shown(image) - wanted).max() <= 1


@pytest.mark.parametrize(("bits", "step"), [(8, 16), (12, 1)])
def test_table_of_the_window_is_looked_up(bits, step):
    """Pydicom 3.0.2 itself wraps the places in a table of bytes at 256."""
    entries = [(4_095 - place) // step for place in range(4_096)]
    image = opened(VOILUTSequence=Sequence([table(entries, 0, bits)]), WindowCenter=1, WindowWidth=5)
    np.testing.assert_array_equal(shown(image), scaled((4_095 - GREY) // step, 0, 2**bits - 1))


def test_table_of_the_modality_is_looked_up():
    entries = [4_095 - place for place in range(4_096)]
    sequence = Sequence([table(entries, 0, 16, ModalityLUTType="US")])
    image = opened(ModalityLUTSequence=sequence, WindowCenter=1_000, WindowWidth=401)
    np.testing.assert_array_equal(shown(image), scaled(4_095.0 - GREY, 799.5, 1_199.5))


def test_slope_and_window_of_a_file_of_many_frames_are_read_where_it_has_them():
    shared, frame, slope, window = Dataset(), Dataset(), Dataset(), Dataset()
    slope.RescaleSlope, slope.RescaleIntercept = 2, -1_000
    window.WindowCenter, window.WindowWidth = 40, 400
    shared.PixelValueTransformationSequence = Sequence([slope])
    frame.FrameVOILUTSequence = Sequence([window])
    image = opened(
        np.stack([GREY, GREY[::-1]]),
        SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence([frame, frame]),
    )
    np.testing.assert_array_equal(shown(image), scaled(GREY * 2.0 - 1_000, -160, 239))


@pytest.mark.parametrize(("elements", "padded"), [({}, 1), ({"PixelPaddingRangeLimit": 30}, 4)])
def test_padding_is_black_and_does_not_count(elements, padded):
    image = opened(PixelPaddingValue=0, RescaleSlope=1, RescaleIntercept=-1_000, **elements)
    assert pixel_window.value_range(image) == (10 * padded - 1_000, 2_990)
    inverted = opened(PixelPaddingValue=0, PhotometricInterpretation="MONOCHROME1", **elements)
    assert not shown(inverted).ravel()[:padded].any()
    assert shown(inverted).ravel()[padded] == 255


REAL = {  # file of pydicom's: photometric interpretation and compression
    "CT_small.dcm": "MONOCHROME2, 16 bits, no window",
    "MR_small_RLE.dcm": "run lengths",
    "MR_small_jp2klossless.dcm": "JPEG 2000",
    "MR_small_bigendian.dcm": "big-endian",
    "MR_small_implicit.dcm": "implicit types",
    "examples_palette.dcm": "PALETTE COLOR",
    "examples_rgb_color.dcm": "RGB",
    "SC_rgb_rle_16bit_2frame.dcm": "RGB of 16 bits, two frames",
    "SC_ybr_full_422_uncompressed.dcm": "YBR_FULL_422",
    "SC_rgb_jpeg_dcmtk.dcm": "YBR_FULL, JPEG",
    "liver_1frame.dcm": "one bit",
    "rtdose.dcm": "32 bits, 15 frames",
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_are_read_and_show_something(name):
    path = get_testdata_file(name, download=False)
    assert path, f"{name} comes with pydicom"
    decoded = formats.decode(Path(path), 32)
    assert decoded.shape == (32, 32, 3)
    assert decoded.std() > 5, REAL[name]


def test_compressed_and_plain_files_of_one_scan_have_the_same_pixels():
    wanted = None
    for name in (
        "MR_small.dcm",
        "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_implicit.dcm",
    ):
        decoded = formats.decode(Path(get_testdata_file(name, download=False)), 64)
        wanted = decoded if wanted is None else wanted
        np.testing.assert_array_equal(decoded, wanted)
    low, high = 600 - 0.5 - 799.5, 600 - 0.5 + 799.5
    np.testing.assert_array_equal(wanted[..., 0], scaled(examples.mr.pixel_array, low, high))


def test_colours_are_those_of_the_file():
    with formats.opened(io.BytesIO(image_files.dicom(image_files.COLOUR))) as image:
        np.testing.assert_array_equal(pictures.prepare(image, 60, 90, 3), image_files.COLOUR)


# Bad input


def test_missing_library_is_named_with_the_command(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("pydicom"):
            raise ImportError(name)
        return real(name, *rest)

    content = io.BytesIO(image_files.dicom(GREY))
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(formats.UnsupportedError, match=r'pip install "osemn-vision\[dicom\]"'):
        formats.opened(content)


def test_size_is_refused_before_anything_is_decoded():
    content = image_files.dicom(GREY, Rows=50_000, Columns=50_000)
    with pytest.raises(formats.TooLargeError, match="has more than 100,000,000 pixels"):
        formats.opened(io.BytesIO(content))


def test_compressed_pixels_of_another_size_are_refused_before_they_are_decoded(monkeypatch):
    content = compressed(image_files.encoded(image_files.COLOUR, "JPEG"), Rows=60, Columns=90)
    assert formats.decode(io.BytesIO(content), 30).std() > 20
    monkeypatch.setattr("pydicom.pixels.pixel_array", lambda *_, **__: pytest.fail("they were decoded"))
    with pytest.raises(ValueError, match="do not have the size in its header"):
        formats.decode(
            io.BytesIO(compressed(image_files.encoded(image_files.COLOUR, "JPEG"), Rows=8, Columns=8)), 30
        )


def test_compression_that_no_installed_library_decodes_is_one_sentence():
    path = Path(get_testdata_file("MR_small_jpeg_ls_lossless.dcm", download=False))
    with pytest.raises(RuntimeError) as caught:
        formats.decode(path, 8)
    assert formats.reason(caught.value, path).startswith(
        "Unable to decompress 'JPEG-LS Lossless Image Compression'"
    )
    assert "\n" not in formats.reason(caught.value, path)


def test_compressed_header_is_refused_unread():
    path = Path(get_testdata_file("image_dfl.dcm", download=False))
    assert DeflatedExplicitVRLittleEndian.encode() in path.read_bytes()
    with pytest.raises(ValueError, match="header is compressed"):
        formats.opened(path)


def test_header_of_too_many_parts_is_refused(monkeypatch):
    monkeypatch.setattr(dicom, "READS", 20)
    with pytest.raises(ValueError, match="more than 20 parts"):
        opened()


def test_file_without_an_image_is_refused():
    with pytest.raises(ValueError, match="without an image"):
        opened(Rows=0)


@pytest.mark.parametrize("left", [200, 500, 900])
def test_file_that_ends_early_is_damaged(left):
    content = image_files.dicom(GREY)[:left]
    with pytest.raises(Exception, match=r".") as caught:
        formats.decode(io.BytesIO(content), 8)
    assert isinstance(caught.value, (ValueError, OSError, AttributeError, EOFError))


# Patients


def test_patient_is_a_hash_that_is_the_same_for_all_their_images(tmp_path):
    for name, identifier in {"a.dcm": "P-17", "b": "P-17", "c.dcm": "P-18", "d.dcm": ""}.items():
        (tmp_path / name).write_bytes(image_files.dicom(GREY, PatientID=identifier, PatientName="Doe^Jane"))
    (tmp_path / "e.png").write_bytes(image_files.encoded(image_files.COLOUR, "PNG"))
    patients = {name: formats.patient(tmp_path / name) for name in ("a.dcm", "b", "c.dcm", "d.dcm", "e.png")}
    assert patients["a.dcm"] == patients["b"] == hashlib.sha256(b"P-17").hexdigest()[:16]
    assert patients["a.dcm"] != patients["c.dcm"]
    assert patients["d.dcm"] == patients["e.png"] == ""
