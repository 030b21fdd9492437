"""Find the columns of a table by the parameters of 01_acquire, by the usual names, or by what they hold."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from helpers import paths, wording
from helpers.errors import AcquisitionError, UsageError
from helpers.obtain.layouts.folder_scan import SUFFIXES, ending
from helpers.obtain.options import Options

# without case, spaces, dots, hyphens and underscores; the second list counts if no name of the first is there
USUAL = {
    "file": (
        "file filename filepath path image imagefile imagefilename imagename imagepath img imgfile imgname imgpath "
        "photo",
        "imageid imgid id idcode name",
    ),
    "label": (
        "label labels labelname class classname category categoryname target y diagnosis dx species",
        "labelid classid",
    ),
    "split": ("split part set subset partition datasplit", "fold"),
    "group": (
        "group groupid patient patientid subject subjectid lesion lesionid person personid case caseid",
        "",
    ),
    "weight": ("weight weights sampleweight", ""),
}
_LOOKED_AT = 100  # rows that show what a column holds


@dataclass(frozen=True)
class Columns:
    """The positions of a table's columns; None for one that it lacks.

    Attributes:
        file: names of image files.
        label: labels.
        split: parts.
        group: groups.
        weight: weights.
    """

    file: int
    label: int | None
    split: int | None
    group: int | None
    weight: int | None


def given(options: Options) -> dict[str, str]:
    """Return the columns that the parameters name, as typed, by what they hold."""
    group = options.group_by.removeprefix("column:") if options.group_by.startswith("column:") else ""
    named = {
        "file": options.file_column,
        "label": options.label_column,
        "split": options.split_column,
        "weight": options.weight_column,
        "group": group,
    }
    return {kind: str(value) for kind, value in named.items() if str(value)}


def is_usual(name: str) -> bool:
    """Return True if a column's name is one of the usual ones."""
    return any(_plain(name) in " ".join(names).split() for names in USUAL.values())


def find(table: pd.DataFrame, path: Path, options: Options) -> Columns:
    """Return the positions of the columns to use.

    The column of labels may be None: the labels of a table with one column of 0 and 1 per class are in its other columns.

    Raises:
        UsageError: a column that was named is missing or there twice, or several or none could be the one meant.
    """
    named = given(options)
    names = [str(name) for name in table.columns]
    positions = {}
    for kind in USUAL:
        if kind in named:
            positions[kind] = _named(names, kind, named[kind], table, path)
        elif kind == "group" and options.group_by:
            positions[kind] = None
        else:
            positions[kind] = _usual(names, kind, table, path)
    if positions["file"] is None:
        files = [index for index in range(len(names)) if _holds_files(table.iloc[:, index])]
        if len(files) != 1:
            raise _error("has no column that is clearly that of the image files", table, path, "file")
        positions["file"] = files[0]
    others = [index for index in range(len(names)) if index not in positions.values()]
    if positions["label"] is None and len(others) == 1:
        positions["label"] = others[0]
    used = [index for index in positions.values() if index is not None]
    if len(set(used)) < len(used):
        twice = next(names[index] for index in used if used.count(index) > 1)
        raise _error(f"would be read with the column {twice} for two purposes", table, path, "label")
    return Columns(**positions)


def no_labels(table: pd.DataFrame, path: Path) -> UsageError:
    """Return the error of a table without a column that is clearly that of the labels."""
    return _error("has no column that is clearly that of the labels", table, path, "label")


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())


def _named(names: Sequence[str], kind: str, name: str, table: pd.DataFrame, path: Path) -> int:
    """Return the position of the column that is named by a parameter: by its name, or else by its number."""
    exact = [index for index, each in enumerate(names) if each == name]
    matches = exact or [index for index, each in enumerate(names) if each.lower() == name.lower()]
    if not matches and name.isdecimal() and int(name) < len(names):
        return int(name)
    if len(matches) != 1:
        problem = f"has the column '{name}' {len(matches)} times" if matches else f"has no column '{name}'"
        raise _error(problem, table, path, kind)
    return matches[0]


def _usual(names: Sequence[str], kind: str, table: pd.DataFrame, path: Path) -> int | None:
    for usual in USUAL[kind]:
        matches = [index for index, name in enumerate(names) if _plain(name) in usual.split()]
        if len(matches) > 1:
            both = " and ".join(names[index] for index in matches[:2])
            raise _error(f"has several columns that could be the {kind}: {both}", table, path, kind)
        if matches:
            return matches[0]
    return None


def _holds_files(column: pd.Series) -> bool:
    return all(ending(value) in SUFFIXES for value in column.head(_LOOKED_AT))


def _error(problem: str, table: pd.DataFrame, path: Path, kind: str) -> UsageError:
    first = table.iloc[0] if len(table) else [""] * table.shape[1]
    header = [f"{i}: {name}" if name != str(i) else name for i, name in enumerate(table.columns)]
    columns = [f"{name} ({value})" for name, value in zip(header, first, strict=True)]
    listed = ", ".join(columns[:20]) + (f", … ({len(columns)} columns)" if len(columns) > 20 else "")
    parameter = "group_by=column:NAME" if kind == "group" else f"{kind}_column=NAME"
    return UsageError(
        f"The table {paths.shown(path)} {problem}. Its columns, each with its first value: {listed}.",
        f"name the column of the {kind} by its name or number: --set 01_acquire.{parameter}",
    )


def weights(column: pd.Series, path: Path) -> pd.Series:
    """Return weights as numbers.

    Raises:
        AcquisitionError: one is not a finite number, or is negative.
    """
    numbers = pd.to_numeric(column, errors="coerce")
    bad = column[~numbers.between(0, float("inf"), inclusive="left")]
    if len(bad):
        raise AcquisitionError(
            f"The weights in {paths.shown(path)} must be numbers from 0 on. Invalid in {wording.rows(bad)}.",
            "correct them, or rename the column if it does not hold the weights of images in training",
        )
    return numbers
