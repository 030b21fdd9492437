"""List images that are sorted into class folders, with or without parts, or whose labels stand in their paths."""

from collections import defaultdict
from pathlib import Path

from helpers import paths, wording
from helpers.errors import UsageError
from helpers.obtain.layouts import listing, path_rules
from helpers.obtain.layouts.folder_scan import Scan
from helpers.obtain.options import Options

_TEMPLATE = "--set '01_acquire.label_by=pattern:REGEX'"


def read(root: Path, scan: Scan, options: Options) -> listing.Listing:
    """Return the images of a folder with labels by `label_by`, and with the parts that it is divided into.

    The first folders are classes, or parts if their names say so. If one folder holds everything, as in many archives,
    its sub-folders are used.

    Args:
        root: the folder.
        scan: its files.
        options: `label_by` and `group_by` are used.

    Raises:
        UsageError: the folders are not classes, such as parts without classes or parts beside other folders.
        AcquisitionError: fewer than two classes, or a class that is missing in the training part.
    """
    start = base(scan)
    pattern = None
    if options.label_by.startswith("pattern:"):
        pattern = path_rules.by_pattern(options.label_by, "label_by")
    parts = _parts(root / start, scan, start, by_pattern=pattern is not None)
    rows = defaultdict(list)
    skipped = list(scan.skipped)
    for path in scan.images:
        top = path[len(start) :].rpartition("/")[0].partition("/")[0]
        part = parts.get(top, "")
        inside = path[len(start) + (len(top) + 1 if part else 0) :]  # the path below the part
        if pattern:
            label, rest = pattern(path), inside
        elif options.label_by == "path":
            label, _, rest = inside.rpartition("/")
        else:
            label, rest = inside.split("/", 1) if "/" in inside else ("", inside)
        if not label:
            reason = "label_by's pattern is not found in its path" if pattern else "not in a class folder"
            skipped.append((path, reason))
            continue
        for name, value in (("path", path), ("label", label), ("part", part), ("below", rest)):
            rows[name].append(value)
    rows["group"] = path_rules.groups(rows["path"], rows["below"], options)
    rows["weight"] = [1.0] * len(rows["path"])
    skipped += [(name, "a folder without images") for name in _empty(scan, start, parts)]
    return listing.build(root, rows, skipped, _words(start, parts, options))


def base(scan: Scan) -> str:
    """Return the innermost folder that holds all images, with `/` at its end; a part is not looked into."""
    start = ""
    while True:
        tops = {path[len(start) :].partition("/")[0] for path in scan.images}
        name = tops.pop() if len(tops) == 1 else ""
        if not name or path_rules.part(name) or f"{start}{name}" in scan.images:
            return start
        start += f"{name}/"


def are_sorted(scan: Scan) -> bool:
    """Return True if there are at least two class folders, or parts of class folders."""
    tops = _tops(scan, base(scan))
    if all(map(path_rules.is_container, tops)):
        return False
    if all(map(path_rules.part, tops)):
        return any(True in depths for depths in tops.values())
    return len(tops) > 1


def _tops(scan: Scan, start: str) -> dict[str, set[bool]]:
    """Return whether the images of each first folder are directly in it, in sub-folders (True), or both."""
    tops: dict[str, set[bool]] = defaultdict(set)
    for path in scan.images:
        top, slash, below = path[len(start) :].partition("/")
        if slash:
            tops[top].add("/" in below)
    return tops


def _parts(folder: Path, scan: Scan, start: str, *, by_pattern: bool) -> dict[str, str]:
    """Return the part of each first folder; none if the first folders are not parts."""
    tops = _tops(scan, start)
    shown = paths.shown(folder)
    parts = {top: path_rules.part(top) for top in sorted(tops) if path_rules.part(top)}
    others = sorted(set(tops) - set(parts))
    if tops and not by_pattern and all(map(path_rules.is_container, tops)):
        raise UsageError(
            f"The names of the folders in {shown} are not those of classes: {', '.join(sorted(tops)[:5])}.",
            f"name them after classes, or use labels in file names ({_TEMPLATE}), or a table of files and labels",
        )
    if not tops and not by_pattern:
        raise UsageError(
            f"The images in {shown} are not in sub-folders; expected one for each class.",
            f"put the images of each class into a folder named after it, or use labels in file names ({_TEMPLATE}), "
            "or a table of files and labels",
        )
    one_class = len(parts) == 1 and len(others) > 1 and True not in tops[next(iter(parts))]
    if not parts or (one_class and not by_pattern):  # one of three or more classes may be called "train"
        return {}
    named = wording.listing([f"{top}/" for top in parts])
    if others:
        raise UsageError(
            f"{shown} holds {named}, which looks like a part of a data set, beside other folders ({', '.join(others[:5])}).",
            "name the folder of the part, or a table, as the data set; move the other folders away; or rename it if it is a class",
        )
    if len(set(parts.values())) < len(parts):
        raise UsageError(
            f"Two of the folders {named} in {shown} are the same part.",
            "keep one folder each for training, validation and test",
        )
    loose = [f"{top}/" for top in parts if True not in tops[top]]
    if loose and not by_pattern:
        raise UsageError(
            f"The images in {wording.listing(loose)} of {shown} are not in class folders. The names are those of parts "
            "of a data set, so they are not used as classes.",
            f"make a folder for each class in each part ({loose[0]}cat, {loose[0]}dog), or use labels in file names "
            f"({_TEMPLATE}), or a table of files and labels, or move a part without labels away",
        )
    return parts


def _empty(scan: Scan, start: str, parts: dict[str, str]) -> list[str]:
    """Return the first folders without an image; those of parts may lack one."""
    if parts:
        return []
    used = {path[len(start) :].partition("/")[0] for path in scan.images}
    first = [name[len(start) :] for name in scan.folders if name.startswith(start)]
    return [f"{start}{name}" for name in first if "/" not in name and name not in used]


def _words(start: str, parts: dict[str, str], options: Options) -> str:
    words = {"folder": "class folders", "path": "class folders named by their whole paths"}
    text = words.get(options.label_by, f"labels by {options.label_by} in the files' paths")
    where = f" in {start.rstrip('/')}" if start else ""
    return f"{text} in the parts {', '.join(parts)}{where}" if parts else f"{text}{where}"
