"""A small file of very many parts, each of which takes time, is refused before Pillow goes through them."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

import service_support
from helpers.serving import decode

JPEG = service_support.png(service_support.pixels(side=64), "JPEG")
THUMBNAIL = service_support.png(service_support.pixels(side=32), "JPEG", progressive=True)


def chunk(name: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_with(extra: bytes, *, late: bool = False) -> bytes:
    """Return a PNG with chunks inserted before its pixels, or after them."""
    content = service_support.png(service_support.pixels())
    place = content.index(b"IEND" if late else b"IDAT") - 4
    return content[:place] + extra + content[place:]


def jpeg_with(extra: bytes) -> bytes:
    """Return a JPEG with bytes inserted after its first two."""
    return JPEG[:2] + extra + JPEG[2:]


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def progressive(scans: int, between: bytes = b"") -> bytes:
    """Return a JPEG of 8 × 8 pixels with a number of scans after the first."""
    tables = segment(0xC4, bytes([0, 1, *[0] * 15, 0])) + segment(0xC4, bytes([16, 1, *[0] * 15, 0xE0]))
    frame = segment(0xC2, struct.pack(">BHHB", 8, 8, 8, 1) + b"\x01\x11\x00")
    start = b"\xff\xd8" + segment(0xDB, bytes([0, *[1] * 64])) + frame + tables
    first = segment(0xDA, b"\x01\x01\x00\x00\x00\x00") + b"\x7f"
    again = segment(0xDA, b"\x01\x01\x00\x01\x3f\x00") + b"\x7f\xfb" + between
    return start + first + again * scans + b"\xff\xd9"


REFUSED = {
    "PNG of empty texts": (png_with(chunk(b"tEXt") * 430_000), "10,000 chunks"),
    "PNG of empty texts after its pixels": (png_with(chunk(b"tEXt") * 430_000, late=True), "10,000 chunks"),
    "JPEG of empty segments": (jpeg_with(segment(0xEF, b"") * 1_300_000), "1,000 segments"),
    "JPEG of empty comments": (jpeg_with(segment(0xFE, b"") * 1_300_000), "1,000 segments"),
    "JPEG of restarts": (jpeg_with(b"\xff\xd0" * 2_600_000), "10,000 bytes between"),
    "JPEG of filling": (jpeg_with(b"\xff" * 5_000_000), "10,000 bytes between"),
    "JPEG that ends before it begins": (jpeg_with(b"\xff\xd9" + bytes(5_000_000)), "10,000 bytes between"),
    "JPEG of other bytes": (b"\xff\xd8\xff\xfe\x00\x02" + bytes(5_000_000), "10,000 bytes between"),
    "JPEG of many scans": (progressive(5_000), "100 scans"),
    # libjpeg reads no length after such a marker and continues at once
    "JPEG that seems to hide its scans": (progressive(150, b"\xff\x02\xff\x01"), "100 scans"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_file_of_too_many_parts_is_refused_at_once(name):
    content, why = REFUSED[name]
    began = time.process_time()
    with pytest.raises(decode.RefusedError, match=why) as caught:
        decode.open_image(content, service_support.settings())
    assert time.process_time() - began < 0.5
    assert (caught.value.status, caught.value.reason) == (422, "segments")


def exif_with(thumbnail: bytes) -> bytes:
    return segment(0xE1, b"Exif\0\0" + thumbnail)


colour = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
ORDINARY = {
    "PNG": service_support.png(colour),
    "PNG of texts": png_with(chunk(b"tEXt", b"a\0b") * 500),
    "JPEG": JPEG,
    "progressive JPEG": service_support.png(colour, "JPEG", progressive=True, quality=95),
    "JPEG with restarts": service_support.png(colour, "JPEG", restart_marker_blocks=1),
    "JPEG with thumbnails": jpeg_with(segment(0xE2, THUMBNAIL * 30) * 20),
    "JPEG with scans in a comment": jpeg_with(segment(0xFE, segment(0xDA, b"\x00") * 5_000)),
    "JPEG with scans behind its end": JPEG + segment(0xDA, b"\x00") * 5_000,
    "progressive JPEG of a hundred scans": progressive(99),
    "WebP": service_support.png(colour, "WEBP"),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_file_is_read(name):
    image = decode.open_image(ORDINARY[name], service_support.settings())
    assert decode.prepare(image, (8, 8, 1)).shape == (8, 8, 1)


def test_hundred_scans_are_what_libjpeg_counts():
    """Each scan refines or adds coefficients; libjpeg decodes all of them without a warning."""
    with Image.open(io.BytesIO(progressive(99))) as image:
        image.load()
    decode.check_parts(progressive(99))
    with pytest.raises(decode.RefusedError, match="100 scans"):
        decode.check_parts(progressive(100))
