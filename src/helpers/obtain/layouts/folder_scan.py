"""Find the files below a folder in one pass, without opening any."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from helpers import paths
from helpers.errors import UsageError
from helpers.obtain.images import formats
from helpers.obtain.images.formats import SUFFIXES
from helpers.series import disk


@dataclass(frozen=True)
class Scan:
    """The files below a folder; paths are relative to it, with `/`, and sorted.

    Attributes:
        images: files with an image's ending.
        skipped: path and reason of every other file and of folders that were not read.
        folders: all folders that were read, without the top one.
    """

    images: list[str]
    skipped: list[tuple[str, str]]
    folders: list[str]


def scan(root: Path) -> Scan:
    """Return all files below `root`.

    Links to folders are followed, but each folder is read once and links to folders above `root` are not followed.
    Hidden files and folders are skipped. In names that are not valid UTF-8, the invalid bytes are written as `\\xe9`;
    `real_path` finds such a file.

    Raises:
        UsageError: `root` cannot be read.
    """
    result = Scan([], [], [])
    pending, links, seen = [""], [], set()
    while pending or links:
        linked = not pending and bool(links)
        folder = links.pop() if linked else pending.pop()
        try:
            place = root / folder
            status = place.stat()
            identity = status.st_dev, status.st_ino
            if identity in seen or (linked and root.resolve().is_relative_to(place.resolve())):
                result.skipped.append((folder, "a link to a folder that is read already, or that is above"))
                continue
            seen.add(identity)
            _read_folder(place, f"{folder}/" if folder else "", result, pending, links)
        except OSError as error:
            if not folder:
                problem = f"The folder {paths.shown(root)} cannot be read ({disk.reason(error)})."
                raise UsageError(problem, "check the path") from None
            result.skipped.append((folder, f"the folder cannot be read: {disk.reason(error)}"))
            continue
        if folder:
            result.folders.append(folder)
    return Scan(
        sorted(map(_valid, result.images)),
        sorted((_valid(path), reason) for path, reason in result.skipped),
        sorted(map(_valid, result.folders)),
    )


def real_path(root: Path, path: str) -> Path:
    """Return where a listed file is; it undoes how `scan` writes names that are not valid UTF-8.

    Example:
        `folder_scan.real_path(listing.root, listing.files["path"][0])`
    """
    return Path(real_name(root, path))


def real_name(root: Path, path: str) -> str:
    """Return `real_path` as text, which takes less time to make."""
    name = f"{root}/{path}"
    if "\\x" in path and not os.path.exists(name):  # noqa: PTH110
        raw = re.sub(rb"\\x([89a-f][0-9a-f])", lambda byte: bytes.fromhex(byte[1].decode()), path.encode())
        return f"{root}/{os.fsdecode(raw)}"
    return name


def ending(path: str) -> str:
    """Return the ending of a path's file name in lower case: `.jpg`; `""` without one."""
    stem, dot, last = path[path.rfind("/") + 1 :].rpartition(".")
    return f".{last.lower()}" if dot and stem else ""


def without_ending(path: str) -> str:
    """Return a path without its ending if that is an image's."""
    last = ending(path)
    return path[: -len(last)] if last in SUFFIXES else path


def _read_folder(place: Path, prefix: str, result: Scan, pending: list[str], links: list[str]) -> None:
    with os.scandir(place) as entries:
        for entry in entries:
            path = prefix + entry.name
            try:
                if formats.is_hidden(entry.name):
                    result.skipped.append((path, "a hidden file or folder"))
                elif entry.is_dir():
                    (links if entry.is_symlink() else pending).append(path)
                elif not entry.is_file():
                    reason = "a link to nothing" if entry.is_symlink() else "not a regular file"
                    result.skipped.append((path, reason))
                elif ending(entry.name) in SUFFIXES or formats.is_image(place / entry.name):
                    result.images.append(path)
                else:
                    reason = f"not an image by its name: {ending(entry.name) or 'no ending'}"
                    result.skipped.append((path, reason))
            except OSError as error:  # of a link that leads to itself, for example
                result.skipped.append((path, disk.reason(error)))


def _valid(path: str) -> str:
    return path if path.isascii() else os.fsencode(path).decode("utf-8", "backslashreplace")
