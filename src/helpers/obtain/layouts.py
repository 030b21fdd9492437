"""Recognise what a folder or a table of images is, and list its images.

Class folders win over a table that lies beside them. A folder whose images are not in class folders is read by its table.
"""

from pathlib import Path

from helpers import paths
from helpers.errors import UsageError
from helpers.obtain import class_folders, folder_scan, table_files, tables
from helpers.obtain.listing import Listing
from helpers.obtain.options import Options

_TABLE_OPTIONS = (
    "image_folder",
    "file_column",
    "label_column",
    "split_column",
    "weight_column",
    "label_thresholds",
    "label_names",
)
_MAIN_TABLES = ("labels", "metadata", "annotations", "train")  # where several tables lie in a folder


def read(path: Path, options: Options) -> Listing:
    """Return the images of a folder or a table, with labels, parts, groups and weights.

    Args:
        path: a folder, or a table: `.csv`, `.tsv`, `.parquet` or `.jsonl`.
        options: how to read it.

    Raises:
        UsageError: there is nothing there, it has no form that is known, or an option does not apply to its form.
        AcquisitionError: its content contradicts itself or is not enough to learn from.

    Example:
        `layouts.read(Path("my_photos"), Options(label_by="path"))`
    """
    _check(options)
    shown = paths.shown(path)
    if path.is_file():
        if path.suffix.lower() not in table_files.SUFFIXES:
            raise UsageError(
                f"{shown} is not a table of a known kind.", f"use one of: {', '.join(table_files.SUFFIXES)}"
            )
        if options.label_by != "folder":
            raise UsageError(
                f"The parameter label_by has no use for the table {shown}.",
                "name the folder of the images as the data set, or set label_column",
            )
        return tables.read(path, options)
    if not path.is_dir():
        raise UsageError(
            f"There is no folder {shown}.", "check the path; a relative one starts at the project's root"
        )
    found = folder_scan.scan(path)
    if not found.images:
        raise UsageError(
            f"The folder {shown} holds no image ({len(found.skipped)} other files).",
            f"put the images of each class into a sub-folder; endings: {', '.join(sorted(folder_scan.SUFFIXES))}",
        )
    table = _table(path, found, options)
    if table:
        return tables.read(table, options, path)
    given = [name for name in _TABLE_OPTIONS if getattr(options, name)]
    if options.group_by.startswith("column:"):
        given.append("group_by")
    if given:
        raise UsageError(
            f"The parameter {given[0]} is for a table, but {shown} is read by its folders.",
            f"name the table as the data set, or remove {given[0]}",
        )
    return class_folders.read(path, found, options)


def _table(path: Path, found: folder_scan.Scan, options: Options) -> Path | None:
    """Return the table that a folder is read by, or None.

    Raises:
        UsageError: there are several.
    """
    if options.label_by != "folder" or class_folders.are_sorted(found):
        return None
    files = [name for name, _ in found.skipped if folder_scan.ending(name) in table_files.SUFFIXES]
    innermost = class_folders.base(found).rstrip("/")
    folders = [
        innermost[:end] for end in range(len(innermost), 0, -1) if innermost[end : end + 1] in ("", "/")
    ]
    for folder in (*folders, ""):  # beside the images, beside their folder, …
        found_here = [name for name in files if name.rpartition("/")[0] == folder]
        main = [name for name in found_here if Path(name).stem.lower() in _MAIN_TABLES]
        if len(found_here) == 1 or len(main) == 1:
            return path / (main or found_here)[0]
        if found_here:
            raise UsageError(
                f"The folder {paths.shown(path)} holds several tables: {', '.join(found_here[:5])}.",
                f"name one as the data set: {paths.shown(path / found_here[0])}",
            )
    return None


def _check(options: Options) -> None:
    """Refuse values of `label_by` and `group_by` of no known form."""
    if options.label_by not in ("folder", "path") and not options.label_by.startswith("pattern:"):
        raise UsageError(
            f"label_by is '{options.label_by}'.",
            "use 'folder', 'path', or 'pattern:REGEX' as in 'pattern:^([A-Z])'",
        )
    if options.group_by not in ("", "folder", "burst") and not options.group_by.startswith(
        ("pattern:", "column:")
    ):
        raise UsageError(
            f"group_by is '{options.group_by}'.", "use 'folder', 'burst', 'pattern:REGEX' or 'column:NAME'"
        )
