"""The index: one row of facts for each image of a data set, from its bytes and its pixels.

Columns: `id` (the row's number), `path`, `label`, `part`, `row` (in the part's array file), `group`, `together` (images of one
number are never split), `weight`, `width` and `height` as stored, `format`, `mode`, `bytes`, `sha256` (of the file; of the
pixels for an image from an array), `phash`, `time` (EXIF, ISO 8601), `camera`, `orientation` (EXIF, 1–8),
`damaged_metadata` (part of them could not be read, perhaps the orientation), `low` and `high`
(range of the values found; of a colour image or a large JPEG after it was reduced), and the measures of `measures.of_images`
on a thumbnail. `row` and `together` are added by the caller.
"""

import hashlib
import multiprocessing
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from helpers.errors import AcquisitionError
from helpers.obtain import data, image_facts, measures
from helpers.obtain.catalogue import Catalogue
from helpers.obtain.layouts.listing import Listing
from helpers.obtain.options import Options
from helpers.series import manifests

DTYPES = {
    "id": "int64", "path": "str", "label": "str", "part": "str", "row": "int64", "group": "str", "together": "int64",
    "weight": "float64", "width": "int32", "height": "int32", "format": "str", "mode": "str", "bytes": "int64",
    "sha256": "str", "phash": "object", "time": "str", "camera": "str", "orientation": "int8",
    "damaged_metadata": "bool", "low": "float64", "high": "float64", **dict.fromkeys(measures.NAMES, "float32"),
}  # fmt: skip
_CHUNK = 128  # images at a time: 1.5 MB of thumbnails, and about 25 MB in all while they are measured
_PROCESSES_FROM = 4_096  # files; fewer small ones are read by threads before processes have started
_SECONDS = 1.0  # between writes to the catalogue, which take a fiftieth of that: a kill loses as much work


def build(
    listing: Listing, options: Options, cache: Path, progress: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the index of files, and those that are unreadable.

    Files that were indexed before and have not changed are not read; see `helpers.obtain.catalogue`. A process that is
    killed has recorded all but its last seconds, and the next call goes on from there.

    Args:
        listing: the files.
        options: `window` decides how images of more than 8 bits are seen.
        cache: the folder that holds the catalogues of all places.
        progress: whether to show a bar when it takes longer than two seconds.

    Returns:
        The index in the listing's order, without `row` and `together`, and a table of `path` and `reason`.

    Raises:
        AcquisitionError: a process that reads images was killed.

    Example:
        `table, skipped = index.build(listing, options, paths.cache_root() / "index")`
    """
    names = listing.files["path"]
    catalogue = Catalogue(cache, listing.root)
    version = f"{manifests.code_sha256('obtain.image_facts')}{options.window}"
    reasons: dict[str, str] = {}
    with catalogue.locked():
        facts = catalogue.facts(hashlib.sha256(version.encode()).hexdigest()[:12])
        known = facts.has(catalogue.hashes(names, read_all=False))
        pending, written = [], time.monotonic()
        for rows in _facts_of_files(listing.root, options.window, names[~known].tolist(), progress):
            pending.append(rows)
            unreadable = rows["reason"] != ""
            reasons.update(zip(rows["path"][unreadable], rows["reason"][unreadable], strict=True))
            if time.monotonic() - written > _SECONDS:
                catalogue.add(pending, facts)
                pending, written = [], time.monotonic()
        catalogue.add(pending, facts)
        bad = names.isin(reasons)
        catalogue.files.compact()
        facts.compact()
        table = facts.joined(catalogue.files.joined(listing.files[~bad].reset_index(drop=True)))
    skipped = pd.DataFrame({"path": names[bad], "reason": names[bad].map(reasons)}).astype("str")
    return _typed(table.assign(id=np.arange(len(table)))), skipped.reset_index(drop=True)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the index's columns that a table has, in their order and with their types."""
    present = {name: dtype for name, dtype in DTYPES.items() if name in table}
    return table[list(present)].astype(present)


def _facts_of_files(
    root: Path, window: str, names: list[str], progress: bool
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the facts of files, some at a time, in their order."""
    chunks = [names[start : start + _CHUNK] for start in range(0, len(names), _CHUNK)]
    bar = tqdm(total=len(names), desc="images", disable=not progress, delay=2.0)
    with bar, warnings.catch_warnings(), _workers(len(names)) as pool:
        warnings.simplefilter("ignore")  # Pillow's about odd files; `formats.opened` checks sizes
        try:
            for rows in pool.map(partial(image_facts.of_files, root, window), chunks):
                bar.update(len(rows["path"]))
                yield rows
        except BrokenProcessPool:
            raise AcquisitionError(
                "A process that read images was killed; the machine may have run out of memory.",
                "close other programs, and run this again: it goes on where it was",
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _workers(files: int) -> Executor:
    """Return threads for a few files, and otherwise processes: small images take less time to decode than Python's lock."""
    cores = joblib.cpu_count()  # after affinity and container limits
    if files < _PROCESSES_FROM or cores == 1:
        return ThreadPoolExecutor(cores)
    # not forked: a notebook's kernel has threads
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(cores, spawn, initializer=image_facts.start_worker)


def of_arrays(train: data.Dataset, test: data.Dataset) -> pd.DataFrame:
    """Return the index of images from arrays, without `together`; `row` is an image's row in its part.

    Copies among them are recognised by their pixels (`copies.together_of_arrays`), so `phash` is empty.

    Example:
        `index.of_arrays(acquired.train, acquired.test)`
    """
    parts = [_of_part(dataset).assign(part=part) for part, dataset in (("train", train), ("test", test))]
    table = pd.concat(parts, ignore_index=True)
    height, width, channels = train.image_shape
    same = image_facts.EMPTY | {
        "path": "", "group": "", "weight": 1.0, "width": width, "height": height, "bytes": height * width * channels,
        "format": "IDX", "mode": "L" if channels == 1 else "RGB",
    }  # fmt: skip
    same = {name: value for name, value in same.items() if name not in table}
    return _typed(table.assign(**same, id=np.arange(len(table))))


def _of_part(dataset: data.Dataset) -> pd.DataFrame:
    """Return the facts of a part's images that differ between images."""
    images = np.ascontiguousarray(dataset.images)
    flat = images.reshape(len(images), -1)
    batches = [images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK)]
    quality = pd.concat([pd.DataFrame(measures.of_images(batch)) for batch in batches], ignore_index=True)
    return quality.assign(
        label=np.array(dataset.class_names, dtype=object)[dataset.labels],
        row=np.arange(len(images)),
        sha256=[hashlib.sha256(image).hexdigest() for image in flat],
        low=flat.min(axis=1),
        high=flat.max(axis=1),
    )


def bursts(table: pd.DataFrame, seconds: float) -> pd.Series:
    """Return a group for each series of images that one camera took, each within some seconds of the one before.

    Args:
        table: an index.
        seconds: the longest pause within a burst.

    Returns:
        `[N] str` with the table's index: camera and time of the burst's first image; `""` for an image without a time.

    Example:
        `index.bursts(table, seconds=2.0)`
    """
    timed = table.loc[table["time"] != "", ["camera", "time"]].sort_values(["camera", "time"], kind="stable")
    pause = pd.to_datetime(timed["time"]).diff().dt.total_seconds()
    begins = (timed["camera"] != timed["camera"].shift()) | ~(pause <= seconds)
    first = (timed["camera"] + " " + timed["time"]).where(begins).ffill().str.strip()
    return first.reindex(table.index, fill_value="").rename("group")


def write(table: pd.DataFrame, path: Path) -> None:
    """Write an index with all its columns as Parquet; equal tables give equal bytes.

    Raises:
        KeyError: a column is missing.
    """
    table[list(DTYPES)].astype(DTYPES).to_parquet(path, index=False)


def read(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return an index that `write` wrote, with all columns or those named."""
    return pd.read_parquet(path, columns=list(columns or DTYPES))
