"""Image files of every format for tests, written by Pillow, pillow-heif and pydicom."""

import io
import struct
import zlib

import numpy as np
import pillow_heif
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

COLOUR = np.stack(np.meshgrid(np.arange(90), np.arange(60), indexing="xy"), axis=-1)
COLOUR = np.concatenate([COLOUR * 2, 255 - COLOUR.sum(axis=-1, keepdims=True)], axis=-1).astype(np.uint8)
"""A photograph of smooth colours, `uint8 [60, 90, 3]`, which formats with loss change little."""
DEEP = (np.arange(60)[:, None] * 60 + np.arange(90) * 6).astype(np.uint16)
"""Grey of 12 bits, `uint16 [60, 90]`."""
ORIENTATION = 0x0112


def encoded(pixels: np.ndarray, kind: str, **options) -> bytes:
    """Return pixels as a file of one of Pillow's formats."""
    if kind == "HEIF":
        pillow_heif.register_heif_opener()
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def dicom(
    pixels: np.ndarray, encapsulated: bytes = b"", syntax: str = ExplicitVRLittleEndian, **elements
) -> bytes:
    """Return pixels, `[H, W]`, `[N, H, W]` or `[H, W, 3]`, as a DICOM file.

    Args:
        pixels: any integers.
        encapsulated: compressed pixels to write instead.
        syntax: how they are compressed.
        **elements: added or replaced, by their keywords.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = (
        SecondaryCaptureImageStorage,
        generate_uid(),
    )
    meta.TransferSyntaxUID = syntax
    data = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    colours = pixels.ndim == 3 and pixels.shape[-1] == 3
    bits = 8 * pixels.dtype.itemsize
    shape = pixels.shape[:2] if colours else pixels.shape[-2:]
    described = {
        "Rows": shape[0],
        "Columns": shape[1],
        "SamplesPerPixel": 3 if colours else 1,
        "PhotometricInterpretation": "RGB" if colours else "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(np.issubdtype(pixels.dtype, np.signedinteger)),
    }
    if colours:
        described["PlanarConfiguration"] = 0
    if pixels.ndim == 3 and not colours:
        described["NumberOfFrames"] = len(pixels)
    for name, value in {**described, **elements}.items():
        setattr(data, name, value)
    data.PixelData = encapsulated or pixels.tobytes()
    data["PixelData"].VR = "OW" if bits > 8 else "OB"
    stream = io.BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def colour_files(pixels: np.ndarray = COLOUR) -> dict[str, bytes]:
    """Return the same colours, `uint8 [H, W, 3]`, as a file of each format, by name; of several images the first."""

    def both() -> dict:
        # a new image for each file, as Pillow 13 does not append to a TIFF what it has saved as JPEG
        return {"save_all": True, "append_images": [Image.fromarray(255 - pixels)]}

    return {
        "photo.png": encoded(pixels, "PNG"),
        "animated.png": encoded(pixels, "PNG", **both()),
        "photo.jpg": encoded(pixels, "JPEG", quality=98, subsampling=0),
        "two.mpo": encoded(pixels, "MPO", quality=98, subsampling=0, **both()),
        "photo.webp": encoded(pixels, "WEBP", lossless=True),
        "animated.webp": encoded(pixels, "WEBP", lossless=True, **both()),
        "photo.avif": encoded(pixels, "AVIF", quality=100, subsampling="4:4:4"),
        "photo.heic": encoded(pixels, "HEIF", quality=-1, chroma=444, **both()),
        "photo.jp2": encoded(pixels, "JPEG2000"),
        "stream.j2k": encoded(pixels, "JPEG2000", no_jp2=True),
        "animated.gif": encoded(pixels, "GIF", **both()),
        "photo.bmp": encoded(pixels, "BMP"),
        "pages.tif": encoded(pixels, "TIFF", **both()),
        "photo.ppm": encoded(pixels, "PPM"),
        "photo.dcm": dicom(pixels),
        "1.2.840.1": dicom(pixels),
    }


def deep_files(pixels: np.ndarray = DEEP) -> dict[str, bytes]:
    """Return grey values of more than 8 bits, `uint16 [H, W]`, as a file of each format that holds them, by name."""
    return {
        "scan.png": encoded(pixels, "PNG"),
        "scan.tif": encoded(pixels, "TIFF"),
        "scan.jp2": encoded(pixels, "JPEG2000"),
        "scan.pgm": encoded(pixels, "PPM"),
        "wide.tif": encoded(pixels.astype(np.int32), "TIFF"),
        "float.tif": encoded(pixels.astype(np.float32), "TIFF"),
        "scan.dcm": dicom(pixels),
        "frames.dcm": dicom(np.stack([pixels, pixels[::-1]])),
    }


def chunk(name: bytes, content: bytes, checksum: bytes = b"") -> bytes:
    """Return a chunk of a PNG file."""
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + (checksum or struct.pack(">I", zlib.crc32(name + content)))
    )
