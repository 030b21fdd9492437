"""Decodes request bodies to pixels within limits; what is too large or invalid is refused before it costs much."""

import contextlib
import io
import json
import re
import warnings
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NoReturn

import numpy as np
from PIL import Image

from helpers.obtain.images import formats, pictures
from helpers.obtain.images.framing import BlankError
from helpers.obtain.images.pictures import ImageOptions, Preparation
from helpers.serving.settings import Settings

# Pillow and pydicom warn of large images and odd files; sizes are checked here
warnings.filterwarnings("ignore", module="PIL|pydicom")

_NAMED = ("png", "jpeg", "webp", "avif", "heic", "heif", "jp2", "tiff", "gif", "bmp")
IMAGE_TYPES = (
    *(f"image/{name}" for name in _NAMED),
    *(f"image/x-portable-{name}" for name in ("anymap", "graymap", "pixmap", "bitmap")),
    "application/dicom",
    "application/octet-stream",
)
KINDS = "PNG, JPEG, WebP, AVIF, HEIC, JPEG 2000, TIFF, GIF, BMP, PNM or DICOM"
QUICK = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF")  # how files begin whose format needs no further library
TOTAL_PIXELS = 4  # times max_pixels: the most pixels that the files of one request may have together
# Pillow takes time for each part of a file, and a small file can hold a great many
CHUNKS = 10_000  # of a PNG; 5 MiB in chunks of the usual 8 KiB are 640
SEGMENTS = 1_000  # of a JPEG; 5 MiB in segments of full length are 80
SCANS = 100  # of a JPEG; a progressive one has about ten, and each passes over all pixels again
FILLING = 10_000  # bytes between the segments of a JPEG's header, which Pillow skips one by one
READS = 50_000  # of any other file: a GIF of 5 MiB has 21,000 full blocks, and a TIFF of 4,096 rows as many strips
_LONGEST_NAME = 100  # characters of a sender's file name in a message

_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # restarts, `d0` to `d7`, belong to the pixels
# after any other marker libjpeg reads no length, or stops
_WITH_LENGTH = frozenset(b"\xfe") | set(range(0xC0, 0xF0)) - {0xC8, *range(0xD0, 0xDA)}
_SCAN, _END = 0xDA, 0xD9
# forms that Pillow decodes in Python, pixel by pixel
_PLAIN_TEXT = (b"P1", b"P2", b"P3")
_RUN_LENGTHS = (b"\x01", b"\x02")


class RefusedError(Exception):
    """A request that gets an error instead of a prediction.

    Args:
        status: HTTP status of the response.
        reason: a short name, for counting.
        message: what was wrong and what is expected.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


class _Limited(io.BytesIO):
    """Bytes that refuse to be read in too many pieces, as Pillow and pydicom take time for each part of a file.

    PNG and JPEG are checked by `check_parts` instead, where the pieces of their pixels do not count.
    """

    left = READS

    def read(self, size: int | None = -1, /) -> bytes:
        """Read like `io.BytesIO`.

        Raises:
            RefusedError: there were too many reads.
        """
        self.left -= 1
        if self.left < 0:
            raise _too_many(READS, "parts")
        return super().read(size)


def open_image(content: bytes, settings: Settings) -> Image.Image:
    """Open an image file; format and size are read from its header, and nothing is decoded.

    This takes milliseconds, or tenths of a second for a file of many parts, so large files are opened off the event loop.

    Args:
        content: the file's bytes.
        settings: the limits.

    Raises:
        RefusedError: the file is empty, of another format, too large, or has too many parts.
    """
    if not content:
        raise RefusedError(400, "empty", f"The body is empty; send an image: {KINDS}.")
    check_parts(content)
    try:
        image = formats.opened(_Limited(content))
        if image.format == "DICOM":
            _check_dicom(image)
    except Image.UnidentifiedImageError:
        raise RefusedError(415, "format", f"This is not an image of a supported format: {KINDS}.") from None
    except formats.UnsupportedError as error:
        raise RefusedError(415, "format", f"This image cannot be read here: {error}.") from None
    except formats.TooLargeError:
        raise _too_large(settings) from None
    except RefusedError:
        raise
    except Exception as error:  # Pillow raises almost any exception on damaged headers
        raise RefusedError(422, "damaged", f"The image's header is damaged: {_brief(error)}.") from None
    if max(image.size) > settings.max_side or image.width * image.height > settings.max_pixels:
        raise _too_large(settings)
    return image


def check_parts(content: bytes) -> None:
    """Check that a PNG or JPEG file has no more parts than real images have; other files pass, unless they decode too slowly.

    Raises:
        RefusedError: it has too many; the message says which and what to do.
    """
    if content[:2] in _PLAIN_TEXT or (content[:2] == b"BM" and content[30:31] in _RUN_LENGTHS):
        raise RefusedError(
            415, "format", "PNM as text and BMP with run lengths decode too slowly; save the image as PNG."
        )
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        _check_png(content)
    elif content.startswith(b"\xff\xd8\xff"):
        _check_jpeg(content)


def _check_dicom(image: Image.Image) -> None:
    """Check the compressed pixels inside a DICOM file like a file of their own."""
    from helpers.obtain.images import dicom

    if image.compression == dicom.RUN_LENGTHS:
        raise RefusedError(415, "format", "DICOM with run lengths is too slow; compress it in another way.")
    check_parts(image.compressed())


def _check_png(content: bytes) -> None:
    place = 8
    for _ in range(CHUNKS):
        if place >= len(content) or content[place + 4 : place + 8] == b"IEND":
            return
        place += 12 + int.from_bytes(content[place : place + 4], "big")
    raise _too_many(CHUNKS, "chunks")


def _check_jpeg(content: bytes) -> None:
    """Step from marker to marker as libjpeg does; what lies inside a segment, such as a thumbnail, is skipped."""
    place, scans, filling = 2, 0, 0
    for _ in range(SEGMENTS):
        marker = _MARKER.search(content, place)
        if not scans:
            filling += (marker.start() if marker else len(content)) - place
            if filling > FILLING:
                raise _too_many(FILLING, "bytes between its segments")
        if marker is None:
            return
        kind, place = marker[1][0], marker.end()
        if kind == _END and scans:
            return
        if kind in _WITH_LENGTH:
            place += max(2, int.from_bytes(content[place : place + 2], "big"))
        scans += kind == _SCAN
        if scans > SCANS:
            raise _too_many(SCANS, "scans")
    raise _too_many(SEGMENTS, "segments")


def _too_many(limit: int, parts: str) -> RefusedError:
    return RefusedError(422, "segments", f"The image has more than {limit:,} {parts}; save it again.")


@contextlib.contextmanager
def name_file(number: int, name: str) -> Iterator[None]:
    """Make a refusal inside say which of several files it is about; `name` is the sender's."""
    try:
        yield
    except RefusedError as error:
        which = f"File {number} ({name[:_LONGEST_NAME]})" if name else f"File {number}"
        raise RefusedError(error.status, error.reason, f"{which}: {error.message}") from None


def check_total_pixels(images: Iterable[Image.Image], settings: Settings) -> None:
    """Check that the opened images of one request, taken one after the other, are not too large together.

    Raises:
        RefusedError: they are.
    """
    limit, pixels = TOTAL_PIXELS * settings.max_pixels, 0
    for image in images:
        pixels += image.width * image.height
        if pixels > limit:
            message = f"The files have more than {limit:,} pixels together; send them in several requests."
            raise RefusedError(413, "pixels", message)


def prepare(
    image: Image.Image,
    shape: tuple[int, int, int],
    options: ImageOptions | None = None,
    preparation: Preparation | None = None,
) -> np.ndarray:
    """Decode an opened image and return it as `uint8 [H, W, C]`, prepared as for training.

    Args:
        image: from `open_image`.
        shape: `(H, W, C)` of the model.
        options: as for `pictures.prepare`.
        preparation: of the served version.

    Raises:
        RefusedError: the image is damaged, or blank although it has to be framed.
    """
    try:
        return pictures.prepare(image, *shape, options, preparation)
    except BlankError as error:
        raise RefusedError(422, "blank", f"The image is blank: {error}.") from None
    except RefusedError:
        raise
    except Exception as error:  # Pillow raises almost any exception on damaged pixels
        raise RefusedError(422, "damaged", f"The image is damaged: {_brief(error)}.") from None


def _too_large(settings: Settings) -> RefusedError:
    limits = f"{settings.max_side:,} pixels a side or {settings.max_pixels:,} in all"
    return RefusedError(413, "pixels", f"The image is larger than {limits}.")


def _brief(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().rstrip(".")[:100]


def read_json(content: bytes, shape: tuple[int, int, int], settings: Settings) -> np.ndarray:
    """Return the pixels of a JSON body `{"images": […]}` as `float32 [N, H, W, C]`.

    Args:
        content: the body: images `[H, W]` or `[H, W, C]` of numbers from 0 to 255.
        shape: `(H, W, C)` of the model.
        settings: the limits.

    Raises:
        RefusedError: the body is not such JSON.
    """
    try:
        body = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else _brief(error)
        raise RefusedError(400, "json", f"The body is not valid JSON: {reason}.") from None
    if not isinstance(body, dict) or set(body) != {"images"} or not isinstance(body["images"], list):
        raise RefusedError(422, "json", 'The body must be {"images": [image, …]} and nothing more.')
    count, limit = len(body["images"]), settings.max_images
    if not 1 <= count <= limit:
        raise RefusedError(422, "count", f"There are {count} images; send between 1 and {limit}.")
    values = _numbers(body["images"], (count, *shape))
    if values is None:
        wanted = ", ".join(map(str, shape if shape[2] > 1 else shape[:2]))
        raise RefusedError(422, "shape", f"Each image must be [{wanted}] numbers.")
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 255:
        raise RefusedError(422, "range", "Pixels must be numbers from 0 to 255.")
    return values.astype(np.float32)


def _numbers(images: list[Any], shape: tuple[int, int, int, int]) -> np.ndarray | None:
    """Return nested lists as `float64 [N, H, W, C]`, or None if they have another shape or hold anything but numbers.

    All is checked before it becomes an array, as NumPy would reserve room for the longest text in every place. Grey images may be
    `[N, H, W]`.
    """
    for sizes in (shape[:3], shape) if shape[3] == 1 else (shape,):
        numbers = _flatten(images, sizes)
        if numbers is not None:
            try:
                return np.array(numbers, np.float64).reshape(shape)
            except OverflowError:  # an integer of hundreds of digits
                return None
    return None


def _flatten(nested: list[Any], sizes: tuple[int, ...]) -> list[int | float] | None:
    """Return the numbers of nested lists of the given sizes in order; None for anything else."""
    level = [nested]
    for size in sizes:
        if set(map(type, level)) != {list} or set(map(len, level)) != {size}:
            return None
        level = list(chain.from_iterable(level))
    return level if {int, float}.issuperset(map(type, level)) else None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")
