"""The list of a data set's image files with their labels, before any file is opened."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from helpers import paths, wording
from helpers.errors import AcquisitionError, UsageError
from helpers.obtain.layouts.folder_scan import ending

COLUMNS = ("path", "label", "part", "group", "weight")
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Listing:
    """Image files with their labels.

    Attributes:
        root: the folder that paths are relative to.
        files: a row for each image, sorted by path: `path` (relative to `root`, with `/`; `folder_scan.real_path` finds
            the file), `label` (the class's name), `part` (`""` in a data set without parts; otherwise one of `PARTS`),
            `group` (`""` for none), `weight` (`float64`, 1 by default). Where there is no `"validation"`, the series
            splits it off the rows of `"train"`; where there is no `"test"`, it splits off both.
        skipped: a row for each file that is left out: `path`, `reason`, `ending` (`".txt"`; `""` for none).
        layout: what was recognised, in words for the data card, such as "class folders" or "the table labels.csv".
        order: names of classes in their own order, such as that of limits; empty to sort them.
    """

    root: Path
    files: pd.DataFrame
    skipped: pd.DataFrame
    layout: str
    order: tuple[str, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes in their own order, or sorted; numbers in the order of their values."""
        names = set(self.files["label"])
        own = tuple(name for name in self.order if name in names)
        return own or tuple(sorted(names, key=_by_number_or_name))


def build(
    root: Path,
    columns: Mapping[str, Sequence],
    skipped: Iterable[tuple[str, str]],
    layout: str,
    order: tuple[str, ...] = (),
) -> Listing:
    """Return the listing of `columns`, sorted by path.

    Raises:
        UsageError: there are fewer than two classes.
        AcquisitionError: there are no images; there are parts but no training part; or a class is missing in the training
            part.
    """
    skipped = sorted(skipped)
    files = pd.DataFrame({name: columns[name] for name in COLUMNS}).astype({"weight": "float64"})
    files = files.sort_values("path", ignore_index=True)
    left_out = pd.DataFrame(skipped, columns=["path", "reason"], dtype="str")
    left_out["ending"] = left_out["path"].map(ending).astype("str")
    shown = paths.shown(root)
    if files.empty:
        first = "; ".join(f"{path}: {reason}" for path, reason in skipped[:5])
        raise AcquisitionError(
            f"No image is left of {shown} as {layout}{f' ({first}; …)' if first else ''}.",
            "check the path and the parameters of 01_acquire; docs/own_images.md shows each form of a data set",
        )
    if files["label"].nunique() < 2:
        raise UsageError(
            f"All images of {shown} have one class, '{files['label'][0]}'; at least two are needed.",
            "put the images of each class into a sub-folder of their own, or see docs/own_images.md",
        )
    _check_parts(files, shown)
    return Listing(root, files, left_out, layout, order)


def spelled_alike(names: Iterable[str]) -> list[list[str]]:
    """Return sets of class names that differ in upper and lower case, blanks, hyphens and underscores only.

    Example:
        `listing.spelled_alike(["Fruit", "fruit", "sea fish", "Sea_Fish", "nut"])`
    """
    by_key: dict[str, list[str]] = {}
    for name in names:
        key = re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", name)).casefold()
        by_key.setdefault(key, []).append(name)
    return [alike for alike in by_key.values() if len(alike) > 1]


def _check_parts(files: pd.DataFrame, shown: str) -> None:
    classes = files.groupby("part")["label"].unique()
    if set(classes.index) == {""}:
        return
    if "train" not in classes.index:
        raise AcquisitionError(
            f"{shown} has the part {wording.listing(list(classes.index))} but no training part.",
            "add a training part, or name a folder without parts and the series will split it",
        )
    lacking = {part: sorted(set(classes[part]) - set(classes["train"])) for part in classes.index}
    named = [
        f"{', '.join(map(repr, names[:5]))} of the {part} part" for part, names in lacking.items() if names
    ]
    if named:
        raise AcquisitionError(
            f"The training part of {shown} has no image of these classes: {wording.listing(named)}.",
            "add images of these classes to the training part, or remove the classes from the other parts",
        )


def _by_number_or_name(name: str) -> tuple[bool, float, str]:
    try:
        return False, float(name), name
    except ValueError:
        return True, 0.0, name
