"""Corrections of labels, as decided in the report's explorer: an overlay on a data set, whose files stay as they are.

The split is that of the original labels, so that corrections move no image from one part to another.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import paths
from helpers.errors import UsageError, nearest
from helpers.obtain import data, data_card
from helpers.obtain.acquired import Acquired
from helpers.obtain.images.from_disk import DiskImages
from helpers.series import manifests

FILE = "labels.csv"  # that the explorer saves, and in which 01_acquire keeps what it applied
COLUMNS = ("sha256", "path", "label", "decision", "new_label", "part")
KEEP, RELABEL, DROP, UNSURE = DECISIONS = ("keep", "relabel", "drop", "unsure")
_NAMED = 3  # rows that an error names


def fingerprint(of_source: str, labels: str) -> str:
    """Return the hash of a source and of the corrections of its labels.

    Raises:
        UsageError: there is no such file, or it lies outside the project.
    """
    return hashlib.sha256(f"{of_source} {manifests.sha256(_file(labels))}".encode()).hexdigest()


def read(labels: str) -> pd.DataFrame:
    """Return the decisions: `sha256` (of the file, or of the pixels of an image from an array), `path`, `label` (before),
    `decision`, `new_label` and `part`, all `str`.

    Raises:
        UsageError: there is no such file, a column is missing, a decision is unknown, or an image has two decisions.
    """
    file = _file(labels)
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise UsageError(f"{labels} is not a CSV file ({error}).", _save_again()) from None
    if missing := [name for name in COLUMNS if name not in table]:
        raise UsageError(f"{labels} has no column {', '.join(missing)}.", _save_again())
    unknown = table[~table["decision"].isin(DECISIONS)]
    if len(unknown):
        raise UsageError(
            f"{labels} has the unknown decision '{unknown['decision'].iloc[0]}' in {_lines(unknown)}.",
            f"use {', '.join(DECISIONS)}",
        )
    twice = table[table.duplicated(["sha256", "label"], keep=False)]
    if len(twice):
        raise UsageError(f"{labels} decides twice about one image, in {_lines(twice)}.", "remove one row")
    return table


def save(decisions: pd.DataFrame, path: Path) -> None:
    """Write decisions as the explorer reads them.

    Args:
        decisions: as `read` returns them.
        path: of the new file.

    Example:
        `corrections.save(corrections.read(labels), run.path(corrections.FILE))`
    """
    # with other ends of lines, Python before 3.13 quotes no carriage return, which may be in the name of a file
    decisions.to_csv(path, index=False, lineterminator="\r\n")


def apply(acquired: Acquired, labels: str) -> Acquired:
    """Return a data set with the corrections of its labels; exact copies with the same label are corrected together.

    Args:
        acquired: the data set.
        labels: the file, relative to the project; empty to change nothing.

    Raises:
        UsageError: as for `read`; a row matches no image, a new label is not a class of the data set, or a class has
            no training image left.

    Example:
        `corrections.apply(acquired, run.parameters["labels"])`
    """
    if not labels:
        return acquired
    decided, table, names = read(labels), acquired.index, acquired.train.class_names
    _check(decided, table, names, labels)
    decisions = decided[["sha256", "label", "decision", "new_label"]]
    matched = table.merge(decisions, how="left", on=["sha256", "label"])
    changed, dropped = ((matched["decision"] == kind).to_numpy() for kind in (RELABEL, DROP))
    in_test = (table["part"] == "test").to_numpy()
    left = ~dropped
    new = pd.Series(np.where(changed, matched["new_label"], table["label"]), table.index, dtype="str")
    table = table.assign(label=new)
    codes = table["label"].map({name: code for code, name in enumerate(names)}).to_numpy(np.int64)
    train, test = (
        _part(part, table["row"].to_numpy()[rows], codes[rows], left[rows])
        for part, rows in ((acquired.train, ~in_test), (acquired.test, in_test))
    )
    empty = [name for name, count in zip(names, train.class_counts(), strict=True) if not count]
    if empty:
        raise UsageError(
            f"{labels} leaves no training image of class {', '.join(empty)}.",
            "keep some of its images, or remove the class from the data set",
        )
    gone = table.loc[dropped, ["path"]].assign(
        reason="dropped by the corrections", unreadable=False, ending=""
    )
    skipped = pd.concat([acquired.skipped, gone], ignore_index=True)
    counts = {
        name: {"relabelled": int((changed & rows).sum()), "dropped": int((dropped & rows).sum())}
        for name, rows in (("train", ~in_test), ("test", in_test))
    }
    table, in_test = table[left].reset_index(drop=True), in_test[left]
    ranks = table.groupby(in_test)["row"].rank(method="first").astype("int64") - 1
    table = table.assign(id=np.arange(len(table)), row=ranks)
    card = data_card.build({**acquired.card, "corrections": counts}, train, test, table, skipped)
    return Acquired(train, test, table, skipped, card)


def _check(decided: pd.DataFrame, table: pd.DataFrame, names: Sequence[str], labels: str) -> None:
    """Refuse rows without an image, and labels that are not classes."""
    known = pd.MultiIndex.from_frame(table[["sha256", "label"]])
    lost = decided[~pd.MultiIndex.from_frame(decided[["sha256", "label"]]).isin(known)]
    if len(lost):
        raise UsageError(
            f"{len(lost)} of {len(decided)} rows of {labels} match no image of the data set by sha256 and label: {_lines(lost)}.",
            "the images or their labels have changed since the report: decide again in its explorer, or remove these rows",
        )
    strange = decided[(decided["decision"] == RELABEL) & ~decided["new_label"].isin(names)]
    if len(strange):
        raise UsageError(
            f"{labels} gives the label '{strange['new_label'].iloc[0]}' in {_lines(strange)}, which is not a class.",
            nearest(strange["new_label"].iloc[0], names),
        )


def _part(part: data.Dataset, rows: np.ndarray, codes: np.ndarray, left: np.ndarray) -> data.Dataset:
    """Return a part with new labels for its rows, without those that are not left."""
    labels = np.empty_like(part.labels)
    labels[rows] = codes
    if left.all():
        return replace(part, labels=labels)
    kept = np.sort(rows[left])
    if not part.from_disk:
        return replace(part, labels=labels).subset(kept)
    images = DiskImages(part.images.files.chosen(part.images.rows[kept]), part.images.side)
    images = images.cached() if part.images.cache else images
    weights = None if part.weights is None else part.weights[kept]
    return replace(part, images=images, labels=labels[kept], weights=weights)


def _file(labels: str) -> Path:
    file = paths.local_path(labels)
    if not file.is_file():
        raise UsageError(
            f"There is no file {labels}.",
            "name the file that the report's explorer saved, relative to the project",
        )
    return file


def _lines(rows: pd.DataFrame) -> str:
    """Return where rows stand in the file, the first line being the head."""
    named = ", ".join(
        f"line {row + 2} ({rows['path'][row] or rows['sha256'][row][:12]})" for row in rows.index[:_NAMED]
    )
    return named + (f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else "")


def _save_again() -> str:
    return f"save the file again in the report's explorer; its columns are {', '.join(COLUMNS)}"
