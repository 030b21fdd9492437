"""The cache of decoded images: one array on disk for each part and side, which is read without keeping it in memory.

An array is made in `<key>.partial`, in order: after a kill the next call goes on from there. Complete, it becomes `<key>.npy`. The
key is a hash of all that the pixels depend on.
"""

import io
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from helpers import paths
from helpers.errors import AcquisitionError, OsemnError
from helpers.series import disk

# time of change, in seconds since 1970, of an array that nobody has written to since it was made
_UNALTERED = 1e9


def made(
    key: str, shape: tuple[int, ...], cache_gb: float, decode: Callable[[int], Iterator[np.ndarray]]
) -> Path | None:
    """Return the array of a key, made if it is not in the cache; None if there is no room for it.

    Args:
        key: of the array.
        shape: of the array, whose type is `uint8`.
        cache_gb: the most that all arrays may take, in GB (10⁹ bytes); those that were not used for longest make room.
        decode: returns the images from a row on, in pieces.

    Raises:
        AcquisitionError: the disk is full or the folder is not writable, or as `decode` raises.
    """
    folder, needed = paths.cache_root() / "pixels", int(np.prod(shape))
    array = folder / f"{key}.npy"
    if needed > cache_gb * 1e9:
        return None
    what = f"The cache of decoded images {paths.shown(folder)}"
    instead = ", or decode the images whenever they are read: --set 01_acquire.cache_gb=0"
    with disk.report_write_errors(what, "OSEMN_CACHE_DIR", AcquisitionError, instead):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            if not _is_complete(array):
                if not _make_room(array, needed, cache_gb * 1e9):
                    return None
                _write(array, shape, decode)
            os.utime(array, (time.time(), _UNALTERED))  # used now
    return array


def read(array: Path, total: int, rows: np.ndarray, images: np.ndarray) -> None:
    """Read some rows of an array.

    The file is not mapped into memory: pages that were read would count as the process's own.

    Args:
        array: from `made`.
        total: the number of its rows.
        rows: `[M]`.
        images: `[M, …] uint8`, which receives them.

    Raises:
        FileNotFoundError: the array was removed to make room.
        OsemnError: it was cut short.
    """
    size = int(np.prod(images.shape[1:]))
    ends = [*np.flatnonzero(np.diff(rows) != 1) + 1, len(rows)] if len(rows) else []
    with array.open("rb") as stream:
        start = 0
        for end in ends:
            stream.seek((int(rows[start]) - total) * size, os.SEEK_END)
            if stream.readinto(images[start:end]) != (end - start) * size:
                raise OsemnError(f"{paths.shown(array)} was cut short.", "run this again: it is made again")
            start = end


def _is_complete(array: Path) -> bool:
    """Return whether an array is as it was written; one that was altered is removed."""
    if not array.exists():
        return False
    if array.stat().st_mtime == _UNALTERED:
        return True
    warnings.warn(f"{paths.shown(array)} was altered after it was written; it is made again.", stacklevel=2)
    array.unlink()
    return False


def _make_room(array: Path, needed: int, limit: float) -> bool:
    """Remove the arrays that were not used for longest until one more fits, and return whether it does."""
    others = [
        path
        for path in array.parent.glob("*.*")
        if path.suffix in (".npy", ".partial") and path.stem != array.stem
    ]
    sizes = {path: path.stat().st_size for path in others}
    partial = array.with_suffix(".partial")
    free = shutil.disk_usage(array.parent).free + (partial.stat().st_size if partial.exists() else 0)
    if needed > free + sum(sizes.values()):
        return False
    for path in sorted(others, key=lambda path: path.stat().st_atime):
        if sum(sizes.values()) + needed <= limit and needed <= free:
            break
        free += sizes.pop(path)
        path.unlink()
    return True


def _write(array: Path, shape: tuple[int, ...], decode: Callable[[int], Iterator[np.ndarray]]) -> None:
    """Make an array, from where an earlier call was killed."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    start, size = header.tell(), int(np.prod(shape[1:]))
    partial = array.with_suffix(".partial")
    try:
        with partial.open("a+b") as stream:
            done = max(0, stream.tell() - start) // size
            stream.truncate(start + done * size if done else 0)
            if not done:
                stream.write(header.getvalue())
            with tqdm(total=shape[0], initial=done, desc=f"images at {shape[1]} px", delay=2.0) as bar:
                for piece in decode(done):
                    stream.write(piece)
                    bar.update(len(piece))
            stream.flush()
            os.fsync(stream.fileno())
        os.utime(partial, (time.time(), _UNALTERED))
        partial.replace(array)
    except (OSError, OsemnError):  # a full disk, or an image that has changed: what there is cannot be used
        partial.unlink(missing_ok=True)
        raise
