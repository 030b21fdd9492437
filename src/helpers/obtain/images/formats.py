"""Open image files of every format in one way: for training, for the command line and for the service.

Pillow reads most formats, pillow-heif HEIC, and pydicom DICOM; the last two are imported when the first such file is opened.
Of an animation, a multi-page or a multi-frame file the first image is used. Damaged metadata (EXIF, texts, colour profiles)
do not matter as long as the pixels are intact.
"""

import functools
import hashlib
import io
import re
import stat
import weakref
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from helpers.obtain.images import pictures

MAX_PIXELS = 100_000_000  # 300 MB once decoded
PLAIN = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000")
"""Pillow's names of the formats that it recognises alone; HEIF, AVIF and DICOM are added for files that begin like them."""
SUFFIXES = frozenset({
    ".avif", ".bmp", ".dcm", ".gif", ".heic", ".heif", ".hif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo", ".pbm",
    ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
})  # fmt: skip
_HEAD = 132  # bytes: up to the end of DICOM's signature
# among the brands of a file in the container of AVIF and HEIC
_AV1 = re.compile(rb"ftyp(?:....)*?avi[fs]", re.DOTALL)
_PNG = b"\x89PNG\r\n\x1a\n"
# an entry of the table of items (ISO 23008-12)
_EXIF_ITEM = re.compile(rb"(infe\x02.{7}|infe\x03.{9})Exif", re.DOTALL)
_DAMAGED = "damaged metadata"  # a key of Pillow's `info`
_KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder"}


class TooLargeError(ValueError):
    """An image has more than `MAX_PIXELS` pixels."""


class UnsupportedError(ValueError):
    """An image is of a kind that this installation cannot read."""


def is_hidden(name: str) -> bool:
    """Return whether the name of a file or folder is hidden or an operating system's own."""
    return name.startswith((".", "__MACOSX")) or name in ("Thumbs.db", "desktop.ini")


def is_image(path: Path) -> bool:
    """Return whether a file is an image by its name; without an ending (or with a number as one), whether it is DICOM.

    A folder is not. A named pipe may be, so that it is listed; `opened` refuses it, and `special` says why.
    """
    if is_hidden(path.name) or path.is_dir():
        return False
    ending = path.suffix.lower()
    if ending in SUFFIXES:
        return True
    if (ending and not ending[1:].isdigit()) or special(path):
        return False
    try:
        return _is_dicom(_head(path))
    except OSError:
        return False


def special(path: Path) -> str:
    """Return why a path cannot be opened as a file, such as "it is a named pipe"; empty for a regular file or none at all."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    return "" if stat.S_ISREG(mode) else f"it is {_KINDS.get(stat.S_IFMT(mode), 'a device')}, not a file"


def opened(source: Path | BinaryIO) -> Image.Image:
    """Open an image; only its header is read.

    Args:
        source: a file's path, or a stream that can be read from its start.

    Raises:
        TooLargeError: it has more than 100 million pixels.
        UnsupportedError: it is DICOM, and pydicom is not installed, or its header is compressed.
        OSError: it is not an image, is damaged, or is not a regular file, which is not opened.
    """
    if isinstance(source, Path) and (problem := special(source)):
        raise OSError(problem)
    head = _head(source)
    try:
        image = Image.open(source, formats=_formats(head))
    except Image.DecompressionBombError:
        raise TooLargeError(f"it has more than {MAX_PIXELS:,} pixels") from None
    except Exception:  # Pillow raises almost any exception on damaged metadata
        content = _without_metadata(source, head)
        if content is None:
            raise
        image = Image.open(io.BytesIO(content), formats=_formats(head))
        image.info[_DAMAGED] = True
    if image.format == "PNG":
        image.load_end = functools.partial(_read_end, weakref.ref(image))
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise TooLargeError(f"it has {image.width} × {image.height} pixels, more than {MAX_PIXELS:,}")
    return image


def decode(source: Path | BinaryIO, size: int, preparation: pictures.Preparation | None = None) -> np.ndarray:
    """Return one image as `[size, size, 3] uint8`, prepared by `pictures.prepare`.

    Args:
        source: as for `opened`.
        size: side of the square in pixels.
        preparation: how to prepare it; None for the defaults.

    Raises:
        ValueError: as for `opened`, or an unsupported kind of pixels.
        OSError: as for `opened`.
    """
    with opened(source) as image:
        return pictures.prepare(image, size, size, 3, preparation=preparation)


def reason(error: Exception, path: Path) -> str:
    """Return the reason why an image file is unreadable, in words, from the error that `opened` or Pillow raised."""
    if isinstance(error, UnidentifiedImageError):
        return "it is not an image" if path.stat().st_size else "the file is empty"
    if isinstance(error, OSError):
        return error.strerror.lower() if error.strerror else str(error).split(" (")[0]
    return str(error).partition("\n")[0].rstrip(":") or type(error).__name__


def has_damaged_metadata(image: Image.Image) -> bool:
    """Return whether an image's EXIF data are damaged, or other metadata so much that they had to be left out.

    Args:
        image: from `opened`, with its pixels decoded, as some metadata follow them.
    """
    try:
        Image.Exif().load(image.info.get("exif"))
    except Exception:  # Pillow raises almost any exception on damaged EXIF data
        return True
    return image.info.get(_DAMAGED, False)


def patient(path: Path) -> str:
    """Return a hash of a DICOM file's patient, to group images by; empty if it has none or is not DICOM.

    The identifier itself is never returned. It is short, so the hash hides it from readers but not from somebody who tries all
    identifiers: publish group numbers instead.

    Raises:
        UnsupportedError: pydicom is not installed.
        OSError: the file cannot be read.
    """
    if special(path) or not _is_dicom(_head(path)):
        return ""
    with opened(path) as image:
        identifier = str(image.header.get("PatientID") or "")
    return hashlib.sha256(identifier.encode()).hexdigest()[:16] if identifier else ""


def _head(source: Path | BinaryIO) -> bytes:
    """Return a file's first bytes; a stream is left at its start."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            return file.read(_HEAD)
    source.seek(0)
    head = source.read(_HEAD)
    source.seek(0)
    return head


def _is_dicom(head: bytes) -> bool:
    return head[128:] == b"DICM"


def _formats(head: bytes) -> tuple[str, ...]:
    """Return the formats that a file may have by its first bytes; registers HEIF and DICOM when they are needed."""
    if _is_dicom(head):
        from helpers.obtain.images import dicom

        dicom.register()
        return ("DICOM",)
    if head[4:8] != b"ftyp":
        return PLAIN
    if _AV1.match(head, 4):
        return ("AVIF",)
    if "HEIF" not in Image.OPEN:
        import pillow_heif

        pillow_heif.register_heif_opener()
    return ("HEIF",)


def _read_end(held: weakref.ref[Image.Image]) -> None:
    """Read what follows the pixels of a PNG, which Pillow does when it decodes them; damaged texts do not matter."""
    image = held()
    try:
        type(image).load_end(image)
    except Exception:  # Pillow raises almost any exception on damaged metadata
        image.info[_DAMAGED] = True


def _without_metadata(source: Path | BinaryIO, head: bytes) -> bytes | None:
    """Return the content of a PNG or AVIF file without the metadata that Pillow reads on opening; None for other formats."""
    is_png, is_avif = head.startswith(_PNG), _formats(head) == ("AVIF",)
    if not is_png and not is_avif:
        return None
    if isinstance(source, Path):
        content = source.read_bytes()
    else:
        source.seek(0)
        content = source.read()
    return _EXIF_ITEM.sub(rb"\1free", content) if is_avif else _critical_chunks(content)


def _critical_chunks(content: bytes) -> bytes:
    """Return a PNG file's critical chunks, which hold its pixels, its transparency, and its EXIF data if they are intact."""
    place, chunks = len(_PNG), [_PNG]
    while place < len(content):
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        name, checked = content[place + 4 : place + 8], content[place + 4 : end - 4]
        intact = zlib.crc32(checked).to_bytes(4, "big") == content[end - 4 : end]
        if name[:1].isupper() or name == b"tRNS" or (name == b"eXIf" and intact):
            chunks.append(content[place:end])
        place = end
    return b"".join(chunks)
