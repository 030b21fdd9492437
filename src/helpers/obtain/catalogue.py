"""What is remembered of image files between runs, so that only new and changed ones are read.

A place has two records in the cache: the size, time and sha256 of each path, and the facts of each content by its sha256. A
file whose size and modification time are as recorded is taken to be unchanged; any other file of the same size is compared by
its content. So a touched file is unchanged, and a moved one is not decoded again. A file that is changed within the same size
and the same modification time (to the nanosecond) is not noticed.

A record is a folder's Parquet files in the order of their numbers, each renamed into place when it is complete; a later row
replaces an earlier one. A process that is killed loses what it had not written yet, and nothing else.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock

from helpers.obtain import image_facts
from helpers.obtain.layouts import folder_scan
from helpers.obtain.layouts.listing import COLUMNS, Listing
from helpers.series import disk

_FILES = ("path", "bytes", "mtime_ns", "sha256")
_TEXT = pa.large_string()  # the type of pandas; an empty record has none
_ROWS = 8192  # in one piece of a file: bounds what is unpacked at a time
_UNREAD = -1  # the size of a file that is not there


class Record:
    """Rows on disk, of which the last one of each key counts.

    Args:
        folder: holds the record's files, and possibly other records.
        name: of the record: its files are `<name>-<number>.parquet`.
        columns: of a row; the first one is its key.
    """

    def __init__(self, folder: Path, name: str, columns: Sequence[str]) -> None:
        self.folder, self.name, self.columns = folder, name, list(columns)

    @property
    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.name}-*.parquet"))

    def read(self, columns: Sequence[str] = ()) -> pa.Table:
        """Return the rows, each key once, with all columns or those named, the key first. A damaged file counts as absent."""
        columns, tables = list(columns or self.columns), []
        for part in self._parts:
            with suppress(OSError, ValueError):  # pyarrow's errors are ValueErrors
                alone = {"partitioning": None, "use_threads": False, "pre_buffer": False}
                tables.append(pq.read_table(part, columns=columns, **alone))
            pa.default_memory_pool().release_unused()  # Arrow would keep the memory of the packed columns
        if not tables:
            return pa.table({name: [] for name in columns})
        rows = pa.concat_tables(tables, promote_options="permissive")
        key = rows[columns[0]]
        if len(tables) == 1 or pc.count_distinct(key).as_py() == len(rows):
            return rows
        keys = key.combine_chunks().dictionary_encode()  # pandas would make them Python's strings
        replaced = pd.Series(keys.indices.to_numpy()).duplicated(keep="last")
        return rows.filter(pa.array(~replaced)) if replaced.any() else rows

    def append(self, rows: pd.DataFrame) -> None:
        """Add rows, safe on disk on return."""
        if len(rows):
            rows = rows[self.columns].drop_duplicates(self.columns[0], keep="last")
            self._write(pa.Table.from_pandas(rows, preserve_index=False))

    def compact(self) -> None:
        """Write the rows into one file in place of several."""
        parts = self._parts
        if len(parts) > 1:
            self._write(self.read())
            pa.default_memory_pool().release_unused()
            for part in parts:
                part.unlink()

    def find(self, keys: pd.Series, rows: pa.Table) -> pa.Array:
        """Return the places of keys among rows of the record, null for those that are not on record."""
        return pc.index_in(pa.array(keys, _TEXT), rows[self.columns[0]].cast(_TEXT))

    def has(self, keys: pd.Series) -> np.ndarray:
        """Return whether each key is on record, `[N] bool`."""
        return self.find(keys, self.read(self.columns[:1])).is_valid().to_numpy(zero_copy_only=False)

    def joined(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table with the record's columns added, by its key; each key of the table is on record."""
        rows = self.read()
        places = self.find(table[self.columns[0]], rows)
        for name in self.columns[1:]:
            table = table.assign(**{name: rows[name].take(places).to_pandas().array})
            rows = rows.drop_columns(name)  # so that one column at a time is in memory twice
            pa.default_memory_pool().release_unused()
        return table

    def _write(self, table: pa.Table) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        last = int(self._parts[-1].stem.rpartition("-")[2]) if self._parts else 0
        with disk.replacing(self.folder / f"{self.name}-{last + 1:08}.parquet") as stream:
            pq.write_table(table, stream, row_group_size=_ROWS)


class Catalogue:
    """The records of the image files of one place.

    Args:
        cache: the folder that holds the catalogues of all places.
        root: the folder that paths are relative to; another place has another catalogue.
    """

    def __init__(self, cache: Path, root: Path) -> None:
        place = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
        self.root, self.folder = root, cache / place
        self.files = Record(self.folder, "files", _FILES)

    def facts(self, version: str) -> Record:
        """Return the record of facts by `sha256`, and remove those of other versions.

        Args:
            version: a name for the code and the options that the facts depend on.
        """
        for old in self.folder.glob("facts_*.parquet"):
            if not old.name.startswith(f"facts_{version}-"):
                old.unlink()
        return Record(self.folder, f"facts_{version}", ("sha256", *image_facts.EMPTY))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one process at a time write; a second one waits, and then finds the work done."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock"):
            yield

    def add(self, batches: list[dict[str, np.ndarray]], facts: Record) -> None:
        """Record results of `image_facts.of_files`; of an unreadable file only its hash, as other code may read it."""
        if not batches:
            return
        rows = pd.DataFrame({name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]})
        facts.append(rows[rows["reason"] == ""])
        self.files.append(rows[rows["sha256"] != ""])

    def hashes(self, paths: pd.Series, read_all: bool) -> pd.Series:
        """Return the sha256 of each file, read only if its size or time is not as recorded; what is read is recorded.

        Args:
            paths: relative to the root.
            read_all: whether to read files that are new or of another size, too.

        Returns:
            `[N] str`; `""` for a file that cannot be read, or was not to be.
        """
        rows = self.files.read()
        record = rows.take(self.files.find(paths, rows))
        known = np.column_stack(
            [record[name].cast(pa.int64()).fill_null(_UNREAD) for name in ("bytes", "mtime_ns")]
        )
        hashes = record["sha256"].cast(_TEXT).fill_null("").to_pandas()
        present = self._sizes_and_times(paths)
        readable, same_size = present[:, 0] != _UNREAD, present[:, 0] == known[:, 0]
        unchanged = readable & (present == known).all(axis=1)
        to_read = readable & ~unchanged & (same_size | read_all)
        if to_read.any():
            with ThreadPoolExecutor(joblib.cpu_count()) as pool:
                rows = pd.DataFrame(pool.map(self._hashed, paths[to_read]), columns=list(_FILES))
            self.files.append(rows[rows["sha256"] != ""])
            hashes[to_read] = rows["sha256"].to_numpy()
        return hashes.where(unchanged | to_read, "")

    def _sizes_and_times(self, paths: pd.Series) -> np.ndarray:
        """Return size in bytes and modification time in nanoseconds of each file, `[N, 2] int64`."""
        facts = np.full((len(paths), 2), _UNREAD, np.int64)
        for row, path in enumerate(paths):
            try:
                status = os.stat(folder_scan.real_name(self.root, path))  # noqa: PTH116 - `pathlib` takes twice as long
            except OSError:
                continue
            facts[row] = status.st_size, status.st_mtime_ns
        return facts

    def _hashed(self, path: str) -> tuple[str, int, int, str]:
        """Return a file's row of the record, without a hash if it cannot be read."""
        try:
            content, status = image_facts.read(folder_scan.real_name(self.root, path))
        except (OSError, ValueError):
            return path, _UNREAD, _UNREAD, ""
        return path, status.st_size, status.st_mtime_ns, image_facts.sha256(content)


def fingerprint(listing: Listing, cache: Path) -> str:
    """Return a hash of the listed paths, labels, parts, groups and weights, and of the files' contents.

    It does not depend on the place: a moved folder has the same fingerprint. Unchanged files are not read; see this module.

    Args:
        listing: the files.
        cache: the folder that holds the catalogues of all places.

    Example:
        `catalogue.fingerprint(recognise.read(folder, options), paths.cache_root() / "index")`
    """
    catalogue = Catalogue(cache, listing.root)
    with catalogue.locked():
        hashes = catalogue.hashes(listing.files["path"], read_all=True)
        catalogue.files.compact()
    digest, columns = hashlib.sha256(), [listing.files[name] for name in COLUMNS]
    for row in zip(*(column.tolist() for column in (*columns, hashes)), strict=True):
        digest.update(repr(row).encode())
    return digest.hexdigest()
