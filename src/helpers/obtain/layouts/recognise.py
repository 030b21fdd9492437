"""Recognise what a folder or a table of images is, and list its images.

A folder whose images are not in class folders is read by the table in it. Class folders are used although a table lies
beside them, unless a parameter of a table is given.
"""

from dataclasses import replace
from pathlib import Path

from helpers import paths
from helpers.errors import UsageError
from helpers.obtain.layouts import class_folders, folder_scan, table_files, tables
from helpers.obtain.layouts.listing import Listing
from helpers.obtain.options import Options

_TABLE_OPTIONS = (
    "image_folder", "file_column", "label_column", "split_column", "weight_column", "label_thresholds", "label_names",
)  # fmt: skip
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
        raise UsageError(f"There is no folder {shown}.", "check the path, relative to the project's root")
    scan = folder_scan.scan(path)
    if not scan.images:
        raise UsageError(
            f"The folder {shown} holds no image (files of other kinds: {len(scan.skipped):,}).",
            f"put the images of each class into a sub-folder; endings: {', '.join(sorted(folder_scan.SUFFIXES))}",
        )
    tables_there = [name for name, _ in scan.skipped if folder_scan.ending(name) in table_files.SUFFIXES]
    given = [name for name in _TABLE_OPTIONS if getattr(options, name) not in ("", ())]
    given += ["group_by"] * options.group_by.startswith("column:")
    if options.label_by == "folder" and (given or not class_folders.are_sorted(scan)):
        table = _table(path, scan, tables_there)
        if table:
            return tables.read(table, options, path)
    if given:
        raise UsageError(
            f"The parameter {given[0]} is for a table, but {shown} is read by its folders.",
            f"name the table as the data set, or remove {given[0]}",
        )
    listing = class_folders.read(path, scan, options)
    unused = [name for name in tables_there if "/" not in name]
    remark = f" (not used: {', '.join(unused[:3])})" if unused else ""
    return replace(listing, layout=listing.layout + remark)


def _table(path: Path, scan: folder_scan.Scan, names: list[str]) -> Path | None:
    """Return the table that a folder is read by: the nearest one at or above the folder that holds all images.

    Raises:
        UsageError: there are several.
    """
    inner = class_folders.base(scan).rstrip("/")
    folders = [inner[:end] for end in range(len(inner), 0, -1) if inner[end : end + 1] in ("", "/")]
    for folder in (*folders, ""):
        here = [name for name in names if name.rpartition("/")[0] == folder]
        main = [name for name in here if Path(name).stem.lower() in _MAIN_TABLES]
        if len(here) == 1 or len(main) == 1:
            return folder_scan.real_path(path, (main or here)[0])
        if here:
            raise UsageError(
                f"The folder {paths.shown(path)} holds several tables: {', '.join(here[:5])}.",
                f"name one as the data set: {paths.shown(path / here[0])}",
            )
    return None
