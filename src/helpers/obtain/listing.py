"""The list of a data set's image files with their labels, before any file is opened."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

COLUMNS = ("path", "label", "part", "group", "weight")
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Listing:
    """Image files with their labels.

    Attributes:
        root: the folder that paths are relative to.
        files: a row for each image, sorted by path: `path` (relative to `root`, with `/`), `label` (the class's name),
            `part` (one of `PARTS`, or `""` if the series splits), `group` (`""` for none), `weight` (`float64`, 1 by
            default).
        skipped: a row for each file that is left out: `path`, `reason`.
        layout: what was recognised, in words for the data card, such as "class folders" or "the table labels.csv".
    """

    root: Path
    files: pd.DataFrame
    skipped: pd.DataFrame
    layout: str

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, sorted; numbers in the order of their values."""
        names = set(self.files["label"])
        return tuple(sorted(names, key=_by_number_or_name))


def _by_number_or_name(name: str) -> tuple[bool, float, str]:
    try:
        return False, float(name), name
    except ValueError:
        return True, 0.0, name
