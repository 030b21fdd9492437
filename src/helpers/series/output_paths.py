"""Where a command is to write: refused before any work where it cannot."""

import tempfile
from pathlib import Path

from helpers.errors import UsageError


def check_file(path: Path) -> None:
    """Refuse a file that cannot be written.

    Args:
        path: the file wanted; folders above it that are missing are taken for such as will be made.

    Raises:
        UsageError: it is a folder, or it or the folder that it goes into cannot be written to.
    """
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a folder.", "name a file")
        if path.is_file():
            with path.open("ab"):  # which changes nothing
                pass
    except OSError as error:
        raise _refusal(path, error) from None
    check_folder(path.parent)


def check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be made, or that no file can be made in; nothing is left there.

    Raises:
        UsageError: it is a file, or it or the nearest folder above it cannot be written to.
    """
    try:
        nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise _refusal(folder, error) from None


def _refusal(path: Path, error: OSError) -> UsageError:
    reason = (error.strerror or str(error)).lower()
    return UsageError(f"Nothing can be written to {path}: {reason}.", "name a place that you may write to")
