"""Checks that a command can write its output, before it does any work."""

import tempfile
from pathlib import Path

from helpers.errors import UsageError
from helpers.series import disk


def check_file(path: Path, ending: str) -> None:
    """Check that a file's name has an ending, such as `.png`, and that it can be written; missing folders above it are fine.

    Raises:
        UsageError: it is a folder or has another ending, or its folder cannot be written to.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder.", "name a file")
    if path.suffix.lower() != ending:
        raise UsageError(f"{path} is not the name of a {ending} file.", f"use a name that ends in {ending}")
    check_folder(path.parent)


def check_folder(folder: Path) -> None:
    """Check that a folder can be created and written to; nothing is left there.

    Raises:
        UsageError: it is a file, or it or the nearest folder above it cannot be written to.
    """
    try:
        nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        problem = f"Nothing can be written to {folder}: {disk.reason(error)}."
        raise UsageError(problem, "name another place") from None
