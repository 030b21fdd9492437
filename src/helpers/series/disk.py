"""Files and folders on disk: written complete or not at all, read if they are intact, locked, and failures in words."""

import errno
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from helpers.errors import OsemnError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Numbers of errors for lack of room: of the disk, of a user's quota, of a limit on a file's size."""


@contextmanager
def replacing(path: Path, folder: Path | None = None) -> Iterator[BinaryIO]:
    """Yield a stream; its content replaces a file at the end of the block: a reader sees the old content or the complete new one.

    Until then it is in a hidden file beside `path`, or in `folder` on the same disk; after an error nothing is left of it.
    """
    temporary = (folder or path.parent) / f".{path.name}.{uuid.uuid4().hex}.tmp"
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write(path: Path, content: bytes) -> None:
    """Write a file complete or not at all."""
    with replacing(path) as stream:
        stream.write(content)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty if the file is absent, unreadable, damaged, or holds anything else."""
    with suppress(OSError, ValueError):
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    return {}


def reason(error: OSError) -> str:
    """Return why the system refused something, in words: `the disk is full`, `permission denied`."""
    if error.errno in FULL:
        return "the disk is full"
    return (error.strerror or str(error) or type(error).__name__).lower()


@contextmanager
def report_write_errors(
    what: str, variable: str, kind: type[OsemnError] = OsemnError, more: str = ""
) -> Iterator[None]:
    """Turn a failure to write into an error that says what to do.

    Args:
        what: The subject of the message, such as "The registry models/digits".
        variable: The environment variable that names another folder.
        kind: The class of the error.
        more: What else to say.
    """
    try:
        yield
    except OSError as error:
        raise kind(
            f"{what} cannot be written to: {reason(error)}.",
            f"free disk space, or set {variable} to a folder that you may write to{more}",
        ) from None


def locked(path: Path, seconds: float, busy: OsemnError) -> AbstractContextManager[FileLock]:
    """Take the lock of a file, to be released at the end of a `with` block; the system frees the lock of a process that dies.

    Raises:
        OsemnError: `busy`, if another process holds the lock for longer than `seconds`.
    """
    try:
        return FileLock(path).acquire(timeout=seconds)
    except Timeout:
        raise busy from None
