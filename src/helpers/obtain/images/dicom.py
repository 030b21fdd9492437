"""Read DICOM files as Pillow images: the first frame, rescaled, with the file's own window (DICOM PS3.3, C.11).

Grey images have floating-point pixels (Pillow's mode `F`). `pixel_window` makes bytes of them.
"""

import contextlib
import functools
import io
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from helpers.obtain.images import formats

_MISSING = 'it is a DICOM file; to read these, run: pip install "osemn-vision[dicom]"'
_DEFLATED = "1.2.840.10008.1.2.1.99"  # the transfer syntax whose header is compressed, too
_FUNCTIONAL_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
RUN_LENGTHS = "1.2.840.10008.1.2.5"  # the transfer syntax that pydicom decodes in Python
READS = 200_000  # of a header's parts: the one of a scan of 1,000 frames has about 100,000


class DicomImage(ImageFile.ImageFile):
    """A DICOM image.

    Attributes:
        header: pydicom's data set, without pixels.
        full: lowest and highest value that the file's bits can hold, after rescaling; None for colour.
        own: values that the file's window shows as the darkest and the brightest; None if it has none.
        inverted: whether low values are bright (`MONOCHROME1`).
    """

    format = "DICOM"
    format_description = "Digital Imaging and Communications in Medicine"
    full: tuple[float, float] | None = None
    own: tuple[float, float] | None = None
    inverted = False

    def _open(self) -> None:
        """Read the header.

        Raises:
            UnsupportedError: pydicom is not installed, or the header is compressed.
            ValueError: the header has too many parts, or there is no image.
        """
        if self.fp.read(132)[128:] != b"DICM":
            raise SyntaxError("it is not DICOM")
        try:
            from pydicom import dcmread
            from pydicom.filereader import read_dataset
        except ImportError:
            raise formats.UnsupportedError(_MISSING) from None
        stream = _Counted(self.fp)
        meta = read_dataset(stream, False, True, stop_when=lambda tag, *_: tag.group != 2)
        if meta.get("TransferSyntaxUID") == _DEFLATED:
            raise formats.UnsupportedError("its DICOM header is compressed, which is not supported")
        stream.seek(0)
        self.header = dcmread(stream, stop_before_pixels=True, specific_tags=_tags())
        self._pixels_at = stream.tell()
        if not self.header.get("Rows") or not self.header.get("Columns"):
            raise ValueError("it is a DICOM file without an image")
        for name in _FUNCTIONAL_GROUPS:  # where files of many frames have the window and the slope
            for group in (self.header.get(name) or [])[:1]:
                for part in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
                    for item in (group.get(part) or [])[:1]:
                        self.header.update(item)
        self._size = (int(self.header.Columns), int(self.header.Rows))
        self._mode = "F" if self.header.PhotometricInterpretation.startswith("MONOCHROME") else "RGB"
        self.inverted = self.header.PhotometricInterpretation == "MONOCHROME1"
        self.tile = []

    @property
    def compression(self) -> str:
        """The transfer syntax by its identifier."""
        return self.header.file_meta.TransferSyntaxUID

    def compressed(self) -> bytes:
        """Return the first frame as it is compressed in the file; empty if it is not compressed."""
        from pydicom.encaps import get_frame

        if not self.compression.is_encapsulated:
            return b""
        self.fp.seek(self._pixels_at + 12)  # past the tag, the type and the length of the pixels
        return get_frame(self.fp, 0, number_of_frames=int(self.header.get("NumberOfFrames") or 1))

    def load(self):
        """Decode the first frame.

        Raises:
            ValueError: the pixels are damaged.
        """
        if self._im is None:
            from pydicom.pixels import pixel_array

            with contextlib.suppress(UnidentifiedImageError):  # run lengths, and what Pillow does not decode
                self._check_size(Image.open(io.BytesIO(self.compressed())).size)
            pixels = pixel_array(self.fp, index=0)
            pixels = self._shown_values(pixels) if self.mode == "F" else self._coloured(pixels)
            decoded = Image.fromarray(pixels)
            self._check_size(decoded.size)
            self.im = decoded.im
        return super().load()

    def _check_size(self, size: tuple[int, int]) -> None:
        if size != self.size:
            raise ValueError("its pixels do not have the size in its header")

    def _shown_values(self, stored: np.ndarray) -> np.ndarray:
        """Return rescaled values, `[H, W] float32`, and note their full range and window.

        Where a table or a curve says how to show them, which no window can, the values are those after it. Padding around the
        scanned area (C.7.5.1.1.2) is not-a-number.
        """
        from pydicom.pixels import apply_modality_lut, apply_windowing

        header = self.header
        bits, lowest = int(header.BitsStored), 0
        if header.PixelRepresentation:
            lowest = -(2 ** (bits - 1))
        ends = np.array([lowest, lowest + 2**bits - 1], np.int64)
        values, ends = (np.asarray(apply_modality_lut(array, header)) for array in (stored, ends))
        width, centre = (_first(header, name) for name in ("WindowWidth", "WindowCenter"))
        if header.get("VOILUTSequence"):
            values, self.own = _looked_up(values, header.VOILUTSequence[0])
            ends = np.array(self.own)
        elif width and centre is not None:
            curve = header.get("VOILUTFunction") or "LINEAR"
            if curve == "SIGMOID":
                values = apply_windowing(values, header)
                self.own = tuple(sorted(map(float, ends)))
            elif curve == "LINEAR_EXACT":
                self.own = (centre - width / 2, centre + width / 2)
            else:
                self.own = (centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2)
        elif bits <= 8:
            self.own = tuple(sorted(map(float, ends)))
        self.full = tuple(sorted(map(float, ends)))
        return np.where(_padding(stored, header), np.nan, values).astype(np.float32)

    def _coloured(self, pixels: np.ndarray) -> np.ndarray:
        """Return colours, `[H, W, 3] uint8`; of deeper ones the high byte, as Pillow does."""
        from pydicom.pixels import apply_color_lut

        bits = int(self.header.BitsStored)
        if pixels.ndim == 2:
            pixels = apply_color_lut(pixels, self.header)
            bits = 8 * pixels.dtype.itemsize
        return (pixels[..., :3] >> max(0, bits - 8)).astype(np.uint8)


class _Counted:
    """A stream that refuses after `READS` reads, since pydicom takes time for each part of a header."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._left = stream, READS
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        """Read like the stream.

        Raises:
            ValueError: there were too many reads.
        """
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"its header has more than {READS:,} parts")
        return self._stream.read(size)


def register() -> None:
    """Let Pillow open DICOM files."""
    Image.register_open(DicomImage.format, DicomImage)


@functools.cache
def _tags() -> list[int]:
    """Return the tags that are read: the image's description, with tables and windows, and the patient's identifier."""
    from pydicom.datadict import DicomDictionary, tag_for_keyword

    names = (*_FUNCTIONAL_GROUPS, "PatientID")
    return [tag for tag in DicomDictionary if tag >> 16 == 0x28] + [tag_for_keyword(name) for name in names]


def _padding(stored: np.ndarray, header) -> np.ndarray:
    """Return which stored values are padding, `[H, W] bool`."""
    one = _first(header, "PixelPaddingValue")
    other = _first(header, "PixelPaddingRangeLimit")
    if one is None:
        return np.zeros(stored.shape, bool)
    limits = sorted((one, one if other is None else other))
    return (stored >= limits[0]) & (stored <= limits[1])


def _first(header, name: str) -> float | None:
    """Return the first number of an element; None if it is missing or empty."""
    value = header.get(name)
    values = np.ravel([] if value is None or value == "" else value)
    return float(values[0]) if len(values) else None


def _looked_up(values: np.ndarray, table) -> tuple[np.ndarray, tuple[float, float]]:
    """Return values after a look-up table, and the range of its entries.

    Not by pydicom's `apply_voi`, which counts the places in a table of bytes in bytes (release 3.0.2).
    """
    count, first, bits = table.LUTDescriptor
    data = table.LUTData
    entries = np.frombuffer(data, np.uint16) if isinstance(data, bytes) else np.asarray(data)
    places = np.clip(np.rint(values) - first, 0, min(count or 2**16, len(entries)) - 1).astype(np.int64)
    return entries[places], (0.0, 2.0**bits - 1)
