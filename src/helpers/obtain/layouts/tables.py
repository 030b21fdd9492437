"""List images by a table of files and labels, with parts, groups and weights where it has them.

File names are relative to the table, or to `image_folder`, with or without an image's ending. If none of them is there, files
of these names are looked for in the sub-folders, as in competitions: `train.csv` beside `train_images/`. A path from the
root of a disk is used only if it leads into that folder.
"""

import posixpath
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from helpers import paths, wording
from helpers.errors import AcquisitionError, UsageError
from helpers.obtain.layouts import folder_scan, listing, path_rules, table_columns, table_files, table_labels
from helpers.obtain.options import Options


def read(path: Path, options: Options, root: Path | None = None) -> listing.Listing:
    """Return the images that a table lists and that exist.

    Images without a file name or label, missing files, and images that the table does not list are in `skipped`.

    Args:
        path: `.csv`, `.tsv`, `.parquet` or `.jsonl`.
        options: `image_folder`, the columns, `label_thresholds`, `label_names` and `group_by` are used.
        root: the data set's folder, in which the table is; None if the table itself was named.

    Raises:
        UsageError: columns are missing or ambiguous, or parameters do not fit to the table.
        AcquisitionError: the table cannot be read, no file that it lists exists, a file has two labels, or a part or
            weight is invalid.
    """
    table_labels.check(options)
    folder = path.parent / options.image_folder
    if not folder.is_dir():
        raise UsageError(
            f"There is no folder {paths.shown(folder)}.", "image_folder is relative to the table"
        )
    if not root or not folder.resolve().is_relative_to(root.resolve()):
        root = folder
    table = table_files.load(path, options)
    columns = table_columns.find(table, path, options)
    scan = folder_scan.scan(root)
    names = table.iloc[:, columns.file]
    located = _located(list(names), scan, root, folder, path)
    rows = pd.DataFrame({"path": located}, dtype="str")
    rows["label"] = _label_column(table, columns, path)
    for kind, position in (("part", columns.split), ("group", columns.group), ("weight", columns.weight)):
        rows[kind] = "" if position is None else table.iloc[:, position]
    missing = _missing(names[rows["path"] == ""], scan, path)
    rows = rows[rows["path"] != ""].reset_index(drop=True)
    labels, order = table_labels.labels(rows["label"], path, options)
    rows["label"] = labels
    rows, part_words = _with_parts(rows, table, columns, path, options)
    rows["weight"] = 1.0 if columns.weight is None else table_columns.weights(rows["weight"], path)
    unlabelled = [(name, f"no label in {path.name}") for name in rows.loc[rows["label"] == "", "path"]]
    rows, twice = _once(rows[rows["label"] != ""], path)
    if options.group_by and columns.group is None:
        rows["group"] = path_rules.groups(list(rows["path"]), list(rows["path"]), options)
    skipped = missing + unlabelled + twice + _unlisted(scan, {*located, _below(path, root)}, path)
    words = f"the table {path.name}: {_words(table, columns)}{part_words}"
    return listing.build(root, rows, skipped, words, order)


def _label_column(table: pd.DataFrame, columns: table_columns.Columns, path: Path) -> pd.Series:
    if columns.label is not None:
        return table.iloc[:, columns.label]
    used = {columns.file, columns.split, columns.group, columns.weight}
    labels = table_labels.from_indicators(table.iloc[:, [i for i in range(table.shape[1]) if i not in used]])
    if labels is None:
        raise table_columns.no_labels(table, path)
    return labels


def _located(names: Sequence[str], scan: folder_scan.Scan, root: Path, folder: Path, path: Path) -> list[str]:
    """Return the path of each named file relative to `root`; `""` for one that does not exist in `folder`.

    Raises:
        AcquisitionError: no file exists, or two could be meant.
    """
    others = [name for name, reason in scan.skipped if reason.startswith("not an image by its name")]
    start = "" if _below(folder, root) == "." else f"{_below(folder, root)}/"
    files = [name[len(start) :] for name in (*scan.images, *others) if name.startswith(start)]
    relative = _relative(names, set(files), folder)
    candidates = _candidates(relative, files, deep=False)
    if not any(candidates):
        candidates = _candidates(relative, files, deep=True)
    if not any(candidates):
        raise AcquisitionError(
            f"{paths.shown(path)} lists no file that exists below {paths.shown(folder)}, in {wording.rows(names)}.",
            "say where the images are, relative to the table: --set 01_acquire.image_folder=FOLDER",
        )
    several = {name: matches for name, matches in zip(names, candidates, strict=True) if len(matches) > 1}
    for name, matches in several.items():  # train.csv prefers train_images/
        near = [match for match in matches if match.lower().startswith(path.stem.lower())]
        if len(near) != 1:
            raise AcquisitionError(
                f"{paths.shown(path)} lists {wording.count(len(several), 'name')} of which there are several files: "
                f"'{name}' is {' or '.join(matches[:3])}.",
                "write file names with their endings and folders, or set image_folder",
            )
        matches[:] = near
    return [start + matches[0] if matches else "" for matches in candidates]


def _missing(names: pd.Series, scan: folder_scan.Scan, path: Path) -> list[tuple[str, str]]:
    """Return the rows without a file as skipped; those whose file the scan skipped have a reason already."""
    known = {name for name, _ in scan.skipped}
    absent = f"{path.name} lists it, but there is no such file"
    rows = [
        (name, absent) if name else (f"row {row + 1} of {path.name}", "no file name")
        for row, name in names.items()
    ]
    return [item for item in rows if item[0] not in known]


def _relative(names: Iterable[str], files: set[str], folder: Path) -> list[str]:
    """Return names relative to `folder` with `/`; those that lead out of it match no file."""
    prefixes = (f"{folder.as_posix()}/", f"{folder.resolve().as_posix()}/")
    result = []
    for name in names:
        if name not in files:  # a name may hold a backslash
            name = name.replace("\\", "/")
            for prefix in prefixes:
                name = name.removeprefix(prefix)
            name = posixpath.normpath(name) if name else ""
        result.append(unicodedata.normalize("NFC", name))
    return result


def _candidates(names: Sequence[str], files: Iterable[str], *, deep: bool) -> list[list[str]]:
    """Return the files that each name may mean: with its ending or without, below any folder if `deep`."""
    by_name: dict[str, list[str]] = {name: [] for name in names}
    for file in files:
        whole = unicodedata.normalize("NFC", file)  # macOS writes é as two characters
        folders = whole.split("/")
        tails = ["/".join(folders[start:]) for start in range(len(folders))] if deep else [whole]
        for key in {*tails, *map(folder_scan.without_ending, tails)} & by_name.keys():
            by_name[key].append(file)
    return [[name] if name in by_name[name] else by_name[name] for name in names]


def _with_parts(
    rows: pd.DataFrame, table: pd.DataFrame, columns: table_columns.Columns, path: Path, options: Options
) -> tuple[pd.DataFrame, str]:
    """Return the rows with the names of `listing.PARTS`, and a remark for the data card.

    Raises:
        AcquisitionError: a value is not the name of a part.
    """
    if columns.split is None:
        return rows, ""
    parts = rows["part"].map(path_rules.part).astype("str")
    name = str(table.columns[columns.split])
    bad = rows.loc[parts == "", "part"]
    if len(bad) == len(rows) and "split" not in table_columns.given(options):  # such as the numbers of folds
        return rows.assign(part=""), f"; the column {name} does not name parts and is not used"
    if len(bad):
        raise AcquisitionError(
            f"The column {name} of {paths.shown(path)} has values that are not parts, in {wording.rows(bad)}.",
            "use train, validation and test, or rename the column if it does not hold parts",
        )
    return rows.assign(part=parts), ""


def _once(rows: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Return the rows with each file once, and the others as skipped.

    Raises:
        AcquisitionError: a file is listed with two labels, or in two parts.
    """
    again = rows["path"].duplicated()
    kinds = rows[rows["path"].duplicated(keep=False)].drop_duplicates(["path", "label", "part"])
    differing = kinds[kinds["path"].duplicated(keep=False)]
    if len(differing):
        labels = (differing["label"] + " " + differing["part"]).str.strip()
        texts = labels.groupby(differing["path"]).agg(" and ".join)
        first = "; ".join(f"{name}: {text}" for name, text in texts.head(5).items())
        raise AcquisitionError(
            f"{paths.shown(path)} lists {wording.count(len(texts), 'file')} with different labels or parts: {first}.",
            "keep one row for each file",
        )
    return rows[~again].copy(), [(name, f"listed twice in {path.name}") for name in rows.loc[again, "path"]]


def _unlisted(scan: folder_scan.Scan, listed: set[str], path: Path) -> list[tuple[str, str]]:
    images = [(name, f"not listed in {path.name}") for name in scan.images if name not in listed]
    return images + [item for item in scan.skipped if item[0] not in listed]


def _below(path: Path, root: Path) -> str:
    """Return a path relative to `root`, or as it is if it lies elsewhere."""
    path, root = path.resolve(), root.resolve()
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _words(table: pd.DataFrame, columns: table_columns.Columns) -> str:
    """Return which columns are used, such as "files from column image, labels from column dx"."""
    used = {"files": columns.file, "labels": columns.label, "parts": columns.split}
    used |= {"groups": columns.group, "weights": columns.weight}
    texts = [f"{name} from column {table.columns[i]}" for name, i in used.items() if i is not None]
    flags = [] if columns.label is not None else ["labels from a column of 0 and 1 for each class"]
    return ", ".join(texts + flags)
