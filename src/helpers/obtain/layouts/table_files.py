"""Read a table of any usual kind as text."""

import csv
import io
import json
from pathlib import Path

import pandas as pd

from helpers import paths
from helpers.errors import AcquisitionError
from helpers.obtain.layouts import table_columns
from helpers.obtain.layouts.folder_scan import SUFFIXES as IMAGE_SUFFIXES
from helpers.obtain.layouts.folder_scan import ending
from helpers.obtain.options import Options

SUFFIXES = (".csv", ".jsonl", ".parquet", ".tsv")
_SNIFFED = 50  # lines that decide which delimiter a table has


def load(path: Path, options: Options) -> pd.DataFrame:
    """Return a table with all values as text without spaces around it, and `""` for missing ones.

    A table without a header has the numbers of its columns as names. Delimiter (comma, semicolon, tab, bar, or spaces)
    and header are recognised; text is UTF-8, UTF-16 with a mark at its start, or else Windows-1252, as Excel writes it.

    Args:
        path: a file with one of `SUFFIXES`.
        options: columns that the parameters name help to recognise a header.

    Raises:
        AcquisitionError: the file is damaged, is empty, or has one column.
    """
    readers = {".parquet": _parquet, ".jsonl": _json_lines}
    try:
        table = readers.get(path.suffix.lower(), _delimited)(path, options)
    except (ValueError, OSError, csv.Error) as error:  # pyarrow's and pandas's errors are among these
        raise AcquisitionError(
            f"The table {paths.shown(path)} cannot be read: {str(error).strip().partition(chr(10))[0]}.",
            "repair it or save it again",
        ) from None
    if table.shape[1] < 2 or table.empty:
        raise AcquisitionError(
            f"The table {paths.shown(path)} has {table.shape[0]} rows and {table.shape[1]} columns of text or numbers.",
            "it needs a row for each image, with the name of its file and its label, separated by commas or tabs",
        )
    return table.reset_index(drop=True).apply(lambda column: column.str.strip())


def _parquet(path: Path, options: Options) -> pd.DataFrame:
    from pyarrow import parquet, types

    def is_plain(kind: object) -> bool:  # images inside the table are bytes, or structures with bytes
        return not (types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind))

    names = [item.name for item in parquet.read_schema(path) if is_plain(item.type)]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"it has the column '{twice[0]}' twice")
    # without what pandas noted, by which a column becomes the table's index
    table = parquet.read_table(path, columns=names, partitioning=None)
    return _as_text(table.to_pandas(ignore_metadata=True))


def _json_lines(path: Path, options: Options) -> pd.DataFrame:
    rows = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        try:
            row = json.loads(line) if line.strip() else {}
        except ValueError as error:
            raise ValueError(f"line {number} is not JSON ({error})") from None
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is not an object with names and values")
        plain = {name: value for name, value in row.items() if not isinstance(value, list | dict)}
        rows += [plain] if plain else []
    return _as_text(pd.DataFrame(rows))


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Return text; whole numbers that pandas holds as floats, because others are missing, lose their `.0`."""
    return table.convert_dtypes().astype("str").where(table.notna(), "")


def _delimited(path: Path, options: Options) -> pd.DataFrame:
    text = _text(path)
    as_text = {"header": None, "dtype": "str", "keep_default_na": False, "skipinitialspace": True}
    table = pd.read_csv(io.StringIO(text), sep=_delimiter(text), **as_text).fillna("")
    first = [str(value).strip() for value in table.iloc[0]]
    if _is_header(first, options):
        table = table.iloc[1:].reset_index(drop=True)
        table.columns = first
    else:
        table.columns = [str(number) for number in range(len(first))]
    return table


def _text(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252")


def _delimiter(text: str) -> str:
    """Return the delimiter that gives all first lines the same number of columns; a comma may be a decimal one."""
    lines = [line for line in text[:100_000].splitlines() if line.strip()][:_SNIFFED]
    for delimiter in ("\t", ";", "|", ","):
        widths = {len(row) for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True)}
        if len(widths) == 1 and widths.pop() > 1:
            return delimiter
    most = max(",\t;|", key=(lines or [""])[0].count)
    return most if lines and most in lines[0] else r"\s+"


def _is_header(first: list[str], options: Options) -> bool:
    """Return True if the first row holds names and not values."""
    given = table_columns.given(options).values()
    if any(ending(value) in IMAGE_SUFFIXES for value in first):
        return False
    if any(table_columns.is_usual(value) or value in given for value in first):
        return True
    no_numbers = pd.to_numeric(pd.Series(first), errors="coerce").isna().all()
    return no_numbers and not any(value.isdecimal() for value in given)
