"""The labels of a table: names, numbers, classes between limits, or one column of 0 and 1 for each class."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import paths, wording
from helpers.errors import AcquisitionError, UsageError
from helpers.obtain.options import Options

_EMPTY = ("", "nan", "null", "<na>")  # "none" and "na" are names of classes in some data sets


def labels(column: pd.Series, path: Path, options: Options) -> tuple[pd.Series, tuple[str, ...]]:
    """Return the class of each image (`""` for none), and the classes in their own order (empty to sort them).

    Args:
        column: labels as text.
        path: of the table, for messages.
        options: `label_thresholds` and `label_names` are used.

    Raises:
        UsageError: the parameters do not fit to each other or to the column, or fractions have no thresholds.
        AcquisitionError: a label is not a number, although thresholds are given.
    """
    column = column.where(~column.str.lower().isin(_EMPTY), "")
    filled = column[column != ""]
    numbers = pd.to_numeric(filled.str.replace(",", "."), errors="coerce")
    if options.label_thresholds:
        classes = _between(filled, numbers, path, options)
        return classes.reindex(column.index, fill_value=""), _names(options)
    names = tuple(options.label_names)
    if numbers.isna().any() or not len(numbers):
        if names:
            raise UsageError(
                f"label_names needs numbers as labels, but the labels in {paths.shown(path)} are text.",
                "remove label_names, or rename the classes in the table",
            )
        return column, ()
    if (numbers % 1 != 0).any():
        middle = f"{(numbers.min() + numbers.max()) / 2:.4g}"
        raise UsageError(
            f"The labels in {paths.shown(path)} are fractions from {numbers.min():g} to {numbers.max():g}, not classes.",
            f"say where one class ends and the next begins, for example --set '01_acquire.label_thresholds=[{middle}]'",
        )
    # exactly: floating-point numbers would make long ones equal
    texts = filled.str.replace(",", ".").map(lambda text: f"{Decimal(text):.0f}")
    if names:
        texts = texts.map(_renamed(texts, names, path))
    return texts.reindex(column.index, fill_value=""), names


def from_indicators(table: pd.DataFrame) -> pd.Series | None:
    """Return labels from columns of 0 and 1, one for each class with a single 1 per row; None if they are not that."""
    flags = table.apply(pd.to_numeric, errors="coerce")
    flags = flags.loc[:, flags.isin([0, 1]).all()]
    return flags.idxmax(axis=1) if flags.shape[1] > 1 and (flags.sum(axis=1) == 1).all() else None


def check(options: Options) -> None:
    """Check that thresholds rise, and that there is one name more than thresholds.

    Raises:
        UsageError: they do not.
    """
    limits, names = options.label_thresholds, options.label_names
    if any(low >= high for low, high in pairwise(limits)):
        raise UsageError(f"label_thresholds do not rise: {list(limits)}.", "write the lowest first")
    if limits and names and len(names) != len(limits) + 1:
        raise UsageError(
            f"{len(limits)} label_thresholds make {len(limits) + 1} classes, but label_names has {len(names)}.",
            "give one name more than thresholds, that of the lowest class first",
        )
    if len(set(names)) < len(names):
        raise UsageError(f"label_names has a name twice: {', '.join(names)}.", "give each class its own name")


def _between(filled: pd.Series, numbers: pd.Series, path: Path, options: Options) -> pd.Series:
    bad = filled[numbers.isna()]
    if len(bad):
        raise AcquisitionError(
            f"The labels in {paths.shown(path)} must be numbers for label_thresholds. Invalid in {wording.rows(bad)}.",
            "correct them, remove label_thresholds, or name another label_column",
        )
    classes = np.array(_names(options), dtype=object)[np.digitize(numbers, options.label_thresholds)]
    return pd.Series(classes, index=filled.index, dtype="str")


def _names(options: Options) -> tuple[str, ...]:
    """Return `label_names`, or names made of the limits: "below 0.3", "0.3 to below 0.6", "0.6 and above"."""
    limits = [f"{limit:g}" for limit in options.label_thresholds]
    between = (f"{low} to below {high}" for low, high in pairwise(limits))
    return tuple(options.label_names) or (f"below {limits[0]}", *between, f"{limits[-1]} and above")


def _renamed(texts: pd.Series, names: Sequence[str], path: Path) -> dict[str, str]:
    values = sorted(texts.unique(), key=float)
    if len(values) != len(names):
        raise UsageError(
            f"label_names has {len(names)} names, but {paths.shown(path)} has {len(values)} labels: "
            f"{', '.join(values[:10])}.",
            "give one name for each label, in the order of the numbers",
        )
    return dict(zip(values, names, strict=True))
