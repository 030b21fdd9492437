"""Unpack archives of images: nothing is written outside the target, and nothing half unpacked is taken for complete.

Refused are members that leave the target, links, devices, encrypted members, and archives larger than a bound. Hidden
files, and what macOS and Windows add to folders, are skipped.
"""

import gzip
import lzma
import math
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from helpers.errors import AcquisitionError
from helpers.obtain.images import formats
from helpers.series import disk

MAX_MEMBERS = 2_000_000  # ImageNet has 1.4 million images
_MAX_READ = 16 * 2**20  # bytes at once; only a forged tar header asks for more
_BLOCK = 2**20
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a compression that zipfile does not know
    RecursionError,  # tar headers that only announce further headers
    gzip.BadGzipFile,
    ValueError,  # a name or a number that cannot be decoded
    struct.error,
)


class UnsafeError(ValueError):
    """Something that is refused; its text completes a sentence."""


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    open: Callable[[], IO[bytes]]
    fault: str = ""


def inner_path(name: str) -> PurePosixPath | None:
    """Return the path of an archive's member or a store's object below its target; None for one to skip.

    Raises:
        UnsafeError: it would lie outside the target.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    drive = bool(path.parts) and path.parts[0][1:] == ":"
    if drive or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise UnsafeError(f"'{name}' would be written outside the target folder")
    return None if any(formats.is_hidden(part) for part in path.parts) or not path.parts else path


def unpack(archive: Path, target: Path, workspace: Path, unpack_gb: float) -> None:
    """Unpack an archive into `target`, which appears complete or not at all.

    Args:
        archive: a file whose name ends with one of `paths.ARCHIVES`.
        target: the folder to make; an older one is replaced.
        workspace: a folder on the same disk that may be left behind by a kill.
        unpack_gb: the largest total size of the members in GB (10⁹ bytes).

    Raises:
        AcquisitionError: the archive is damaged, unsafe or larger than the bound, or the disk is full.
    """
    incoming = workspace / target.name
    shutil.rmtree(incoming, ignore_errors=True)
    incoming.mkdir(parents=True)
    try:
        _extract(archive, incoming, unpack_gb)
    except UnsafeError as error:
        problem, remedy = str(error), "unpack it yourself, without links and passwords, and name the folder"
    except _DAMAGE as error:
        problem, remedy = f"it is damaged or incomplete ({type(error).__name__})", "download or copy it again"
    except OSError as error:
        if error.errno in disk.FULL:
            raise no_room(archive.name) from None
        problem = disk.reason(error)
        remedy = "check that the file can be read, and that no member is both a file and a folder"
    else:
        shutil.rmtree(target, ignore_errors=True)
        incoming.replace(target)
        return
    raise AcquisitionError(f"The archive {archive.name} cannot be unpacked: {problem}.", remedy)


def content(folder: Path) -> Path:
    """Return an unpacked folder, or the innermost folder that holds everything in it."""
    while True:
        entries = list(folder.iterdir())
        if len(entries) != 1 or not entries[0].is_dir():
            return folder
        folder = entries[0]


def no_room(what: str, needed: int = 0) -> AcquisitionError:
    """Return the error for a full disk."""
    room = f", {needed / 1e9:,.1f} GB" if needed else ""
    return AcquisitionError(
        f"There is not enough space on the disk for {what}{room}.",
        "free disk space, or set OSEMN_CACHE_DIR to a folder on a larger disk; then run the same command again",
    )


def too_large(what: str, size: float, unpack_gb: float) -> AcquisitionError:
    """Return the error for something above the bound."""
    return AcquisitionError(
        f"{what} has at least {size / 1e9:,.1f} GB, more than the {unpack_gb:g} GB that unpack_gb of 01_acquire allows.",
        f"if it is meant to be that large: --set 01_acquire.unpack_gb={math.ceil(2 * size / 1e9)}",
    )


def _extract(archive: Path, folder: Path, unpack_gb: float) -> None:
    total = written = 0
    with ExitStack() as stack:
        for count, member in enumerate(_members(archive, stack, unpack_gb), start=1):
            if count > MAX_MEMBERS:
                raise UnsafeError(f"it has more than {MAX_MEMBERS:,} members")
            if member.fault:
                raise UnsafeError(f"'{member.name}' {member.fault}")
            total += member.size
            if total > unpack_gb * 1e9:
                raise too_large(f"The content of {archive.name}", total, unpack_gb)
            path = inner_path(member.name)
            if path is None or member.name.endswith("/"):
                continue
            final = folder / path
            final.parent.mkdir(parents=True, exist_ok=True)
            with member.open() as source, final.open("wb") as stream:
                while block := source.read(_BLOCK):
                    written += len(block)
                    if written > unpack_gb * 1e9:  # sizes in headers may lie
                        raise too_large(f"The content of {archive.name}", written, unpack_gb)
                    stream.write(block)


def _members(archive: Path, stack: ExitStack, unpack_gb: float) -> Iterator[_Member]:
    if archive.name.lower().endswith(".zip"):
        content = stack.enter_context(zipfile.ZipFile(archive))
        total = sum(item.file_size for item in content.infolist())
        if total > unpack_gb * 1e9:
            raise too_large(f"The content of {archive.name}", total, unpack_gb)
        for item in content.infolist():
            yield _Member(item.filename, item.file_size, partial(content.open, item), _zip_fault(item))
        return
    packed = not archive.name.lower().endswith(".tar")
    stream = stack.enter_context(gzip.GzipFile(archive) if packed else archive.open("rb"))
    bounded = _Bounded(stream)
    content = stack.enter_context(tarfile.TarFile(fileobj=bounded))
    while (item := content.next()) is not None:
        fault = "" if item.isreg() or item.isdir() else "is a link or a device"
        name = f"{item.name}/" if item.isdir() else item.name
        yield _Member(name, item.size, partial(content.extractfile, item), fault)
        content.members.clear()  # tarfile stores all of them
    _demand_end(bounded, content.offset)


def _zip_fault(item: zipfile.ZipInfo) -> str:
    if item.flag_bits & 0x1:
        return "is encrypted"
    kind = stat.S_IFMT(item.external_attr >> 16)
    return "" if kind in (0, stat.S_IFREG, stat.S_IFDIR) else "is a link or a device"


def _demand_end(stream: "_Bounded", offset: int) -> None:
    """Refuse a tar without its end mark, for which tarfile raises no error, and read gzip's checksum behind it."""
    stream.seek(offset)
    if stream.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise tarfile.ReadError("no end mark")
    while stream.read(_BLOCK):
        pass


class _Bounded:
    """A stream that refuses to read the size of a forged header into memory."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.seek, self.tell = stream, stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        if size > _MAX_READ:
            raise UnsafeError("one of its headers asks for more memory than that of any real archive")
        return self.stream.read(size)
