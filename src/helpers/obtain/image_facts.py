"""Facts of image files, from their bytes and pixels. Each file is read and decoded once, to a thumbnail.

Worker processes import this module, so it imports neither pandas nor pyarrow.
"""

import contextlib
import ctypes
import hashlib
import io
import multiprocessing
import os
import signal
import stat
import threading
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from helpers.obtain import measures, signatures
from helpers.obtain.images import formats, pictures, pixel_window
from helpers.obtain.layouts import folder_scan
from helpers.obtain.signatures import SIDE

MAX_BYTES = 2**30  # of a file, which is read in one piece: 100 million pixels of 16-bit colour are 600 MB
CHANGING = "it is changed while it is read"
_READINGS = 3  # of a file that is changed while it is read
_TIME = "%Y:%m:%d %H:%M:%S"  # of EXIF
_LONGEST = 80  # characters of a camera's name; a damaged tag can hold anything

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h of the GNU C library
_POOLED_BYTES = 2**25  # of memory stay with a worker for its next batch; the arrays of one take about 25 MB

EMPTY: dict[str, Any] = {
    "width": 0, "height": 0, "format": "", "mode": "", "time": "", "camera": "", "orientation": 1,
    "damaged_metadata": False, "low": np.nan, "high": np.nan, "phash": b"", **dict.fromkeys(measures.NAMES, np.float32(np.nan)),
}  # fmt: skip
"""The facts of an image in the order of the columns, with the values of an unreadable one."""
_SEEN = tuple(name for name in EMPTY if name not in ("phash", *measures.NAMES))
_UNSEEN = tuple(EMPTY[name] for name in _SEEN)
_COLUMNS = ("bytes", "mtime_ns", "sha256", "reason", *_SEEN)


def start_worker() -> None:
    """Prepare a process that only runs `of_files`: quiet, with one thread, and ended with its parent, even when that is killed."""
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's: it stops its workers itself
    warnings.simplefilter("ignore")  # Pillow's about odd files; `formats.opened` checks sizes
    threadpool_limits(1)  # there is a worker for each core
    with contextlib.suppress(AttributeError, OSError, TypeError):  # the C library of Linux only
        # Otherwise it returns the arrays' memory to the system after each batch; having it again takes longer than
        # the arithmetic does.
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_THRESHOLD, _POOLED_BYTES)
        libc.mallopt(_TRIM_THRESHOLD, _POOLED_BYTES)
    parent = multiprocessing.parent_process()

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def of_files(root: Path, window: str, names: list[str]) -> dict[str, np.ndarray]:
    """Return the facts of image files by column.

    Args:
        root: the folder that `names` are relative to.
        window: the values shown as black and white in images of more than 8 bits; see `pixel_window`.
        names: the files.

    Returns:
        `path`, `bytes`, `mtime_ns`, `sha256`, `reason` (why it is unreadable; `""` for an image) and the columns of
        `EMPTY`. A file that cannot be read at all, or does not stop changing, has no `sha256`.
    """
    thumbnails = np.empty((len(names), SIDE, SIDE, 3), np.uint8)
    results = [
        _of_file(folder_scan.real_name(root, name), window, pixels)
        for name, pixels in zip(names, thumbnails, strict=True)
    ]
    columns = dict(zip(_COLUMNS, map(_column, zip(*results, strict=True)), strict=True))
    columns |= {name: np.full(len(names), EMPTY[name]) for name in measures.NAMES}
    columns["phash"] = np.full(len(names), EMPTY["phash"], object)
    readable = np.flatnonzero(columns["reason"] == "")
    if len(readable):
        thumbnails = thumbnails[readable]
        for name, values in measures.of_images(thumbnails).items():
            columns[name][readable] = values
        columns["phash"][readable] = signatures.of_thumbnails(thumbnails)
        flat, colour = thumbnails.reshape(len(readable), -1), np.isnan(columns["low"][readable])
        columns["low"][readable] = np.where(colour, flat.min(axis=1), columns["low"][readable])
        columns["high"][readable] = np.where(colour, flat.max(axis=1), columns["high"][readable])
    return {"path": _column(names), **columns}


def _of_file(path: str, window: str, pixels: np.ndarray) -> tuple:
    """Return a file's values of `_COLUMNS`, and write its thumbnail into `pixels` if it is readable."""
    file = (0, 0, "")
    try:
        content, status = read(path)
        file = (status.st_size, status.st_mtime_ns, sha256(content))
        with formats.opened(io.BytesIO(content)) as image:
            seen = (image.width, image.height, image.format or "", image.mode)
            pixels[:] = thumbnail(image, window)
            # several channels have 8 bits each, and their thumbnail's range has to do
            single = len(image.getbands()) == 1
            values = pixel_window.value_range(image) if single else (np.nan, np.nan)
            return *file, "", *seen, *_exif(image), formats.has_damaged_metadata(image), *values
    except Exception as error:  # on damaged files Pillow raises almost any exception
        return *file, formats.reason(error, Path(path)), *_UNSEEN


def read(path: str) -> tuple[bytes, os.stat_result]:
    """Return a file's bytes with its size and time, which were the same before and after.

    Raises:
        OSError: it cannot be read, or is not a regular file.
        ValueError: it is larger than 1 GiB, or does not stop changing.
    """
    for _ in range(_READINGS):
        before = os.stat(path)  # noqa: PTH116 - `pathlib` takes twice as long
        if not stat.S_ISREG(before.st_mode):
            raise OSError(formats.special(Path(path)))
        if before.st_size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES >> 30} GiB")
        with open(path, "rb") as stream:  # noqa: PTH123
            content = stream.read()
        after = os.stat(path)  # noqa: PTH116
        if before.st_mtime_ns == after.st_mtime_ns and before.st_size == len(content) == after.st_size:
            return content, after
    raise ValueError(CHANGING)


def sha256(content: bytes) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def thumbnail(image: Image.Image, window: str) -> np.ndarray:
    """Return an image upright and squashed to a small square, `[64, 64, 3] uint8`.

    Args:
        image: opened by `formats.opened`; its pixels are read here.
        window: as for `of_files`.

    Raises:
        ValueError: its kind of pixels is not supported.
        OSError: it is damaged or cut short.
    """
    if min(image.size) >= 4 * SIDE:
        # lets JPEG decode at a fraction of its size; it is still read to its end
        image.draft(None, (2 * SIDE, 2 * SIDE))
    image.load()
    plain = image.mode in ("L", "RGB") and not image.has_transparency_data
    if not plain or (_may_have_exif(image) and pictures.orientation(image) != 1):
        return pictures.prepare(image, SIDE, SIDE, 3, preparation=pictures.Preparation("squash", window))
    # the same but for the filter, which takes less time, as does its division into two steps for a large image
    small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    pixels = np.frombuffer(small.tobytes(), np.uint8).reshape(SIDE, SIDE, -1)
    return pixels if image.mode == "RGB" else np.broadcast_to(pixels, (SIDE, SIDE, 3))


def thumbnail_of(path: Path, window: str) -> np.ndarray:
    """Return the thumbnail of a file, `[64, 64, 3] uint8`; see `thumbnail`.

    Raises:
        ValueError: as for `thumbnail`.
        OSError: as for `thumbnail`.
    """
    with formats.opened(path) as image:
        return thumbnail(image, window)


def _may_have_exif(image: Image.Image) -> bool:
    """Return whether an image has metadata that Pillow would look into for EXIF data, which takes it a while."""
    return hasattr(image, "tag_v2") or any(name in image.info for name in pictures.ORIENTATIONS)


def _exif(image: Image.Image) -> tuple[str, str, int]:
    """Return time (ISO 8601), camera and orientation from an image's EXIF data; damaged tags count as absent."""
    if not _may_have_exif(image):
        return "", "", 1
    time = camera = ""
    turn = pictures.orientation(image)
    with contextlib.suppress(Exception):  # Pillow raises almost any exception on damaged EXIF data
        tags = image.getexif()
        maker, model = (_text(tags.get(tag)) for tag in (ExifTags.Base.Make, ExifTags.Base.Model))
        camera = model if model.startswith(maker) else f"{maker} {model}".strip()
        taken = tags.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal)
        text = _text(taken) or _text(tags.get(ExifTags.Base.DateTime))
        time = datetime.strptime(text, _TIME).isoformat()
    return time, camera, turn if turn in range(1, 9) else 1


def _text(value: object) -> str:
    """Return a tag's value as one line of printable characters."""
    return "".join(filter(str.isprintable, str(value or ""))).strip()[:_LONGEST]


def _column(values: list) -> np.ndarray:
    """Return a column's values as numbers, or as objects (text and bytes)."""
    return np.array(values, dtype=object if isinstance(values[0], str | bytes) else None)
