"""Where one's own images are: a folder, a table, an archive or an address, as a folder or a table on this machine.

Archives are unpacked and addresses downloaded into `images/<name>-<hash>` of the cache. `place.json` there is written
last: without it, nothing in the folder is taken for complete. An unchanged archive or address is not read again.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from fsspec import AbstractFileSystem

from helpers import paths, wording
from helpers.errors import AcquisitionError
from helpers.obtain.options import Options
from helpers.obtain.places import archives, download, remote, remote_files, stores
from helpers.series import disk, manifests


@dataclass(frozen=True)
class Place:
    """A data set on this machine.

    Attributes:
        path: a folder, or a table's file.
        title: the data set's name.
        source: where it comes from, for the data card, without credentials.
        fingerprint: a hash of an archive's content or of an address's listing; `""` for local folders and tables, whose
            files decide.
        note: a sentence if an older copy is used because an address is unreachable, else `""`.
    """

    path: Path
    title: str
    source: str
    fingerprint: str = ""
    note: str = ""


def locate(dataset: str, options: Options) -> Place:
    """Return where one's own images are on this machine, after unpacking or downloading them if necessary.

    Args:
        dataset: the path of a folder, a table or an archive, or an address of one of these.
        options: `unpack_gb` bounds the size; `network` has time limits and progress, and its `tell` is called with a
            sentence if a copy is used because an address is unreachable.

    Raises:
        UsageError: there is no such folder or file, or the address cannot be used.
        AcquisitionError: an archive is damaged or unsafe, or an address is unreachable and was never downloaded.

    Example:
        `locations.locate("s3://bucket/pets", options).path`
    """
    paths.check_dataset(dataset)
    local, title = paths.local_path(dataset), paths.own_title(dataset)
    if paths.is_address(dataset):
        return _Copy(dataset, options).of_address()
    if paths.file_kind(dataset) == "archive" and local.is_file():
        return _Copy(dataset, options).of_archive(local)
    return Place(local, title, f"{'table' if local.is_file() else 'folder'} {local.name}")


def fingerprint(dataset: str, options: Options) -> str:
    """Return `Place.fingerprint` without unpacking or downloading.

    An archive is hashed again only if its size or time has changed. If an address is unreachable, `options.network.tell`
    is called with a sentence, and the fingerprint is that of the downloaded copy.

    Raises:
        UsageError: as for `locate`.
        AcquisitionError: an address is unreachable and was never downloaded, or an archive cannot be read.
    """
    paths.check_dataset(dataset)
    local = paths.local_path(dataset)
    if paths.is_address(dataset):
        return _Copy(dataset, options).listed()[1]
    if paths.file_kind(dataset) == "archive" and local.is_file():
        return _Copy(dataset, options).hashed(local)
    return ""


class _Copy:
    """The folder of the cache for an archive or an address."""

    def __init__(self, dataset: str, options: Options) -> None:
        self.dataset, self.options, self.kind = dataset, options, paths.file_kind(dataset)
        self.shown, self.title = paths.shown_dataset(dataset), paths.own_title(dataset)
        name = dataset if paths.is_address(dataset) else paths.local_path(dataset).resolve().as_posix()
        short = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:8]
        self.folder = paths.cache_root() / "images" / f"{paths.dataset_slug(dataset)}-{short}"
        self.record, self.files = self.folder / "place.json", self.folder / "files"
        self.data = self.folder / "unpacked" if self.kind == "archive" else self.files

    @cached_property
    def store(self) -> AbstractFileSystem:
        """The address's store."""
        return stores.opened(self.dataset, self.options)

    def of_archive(self, archive: Path) -> Place:
        """Return the place of a local archive's content."""
        with self._locked():
            digest = self.hashed(archive)
            if not self._holds(digest):
                self.record.unlink(missing_ok=True)
                self._unpack(archive)
                if self.hashed(archive) != digest:
                    raise AcquisitionError(
                        f"The archive {archive.name} changed while it was unpacked.",
                        "wait until nobody writes to it; then run the same command again",
                    )
                self._complete(digest)
        return Place(archives.content(self.data), self.title, f"archive {archive.name}", digest)

    def of_address(self) -> Place:
        """Return the place of an address's files, or of its archive's content."""
        with self._locked():
            listed, digest, note = self.listed()
            if not self._holds(digest):
                if note:
                    raise AcquisitionError(
                        f"{self.shown} is unreachable, and files of its downloaded copy are missing.",
                        "connect to the network and run the same command again",
                    )
                self.record.unlink(missing_ok=True)
                digest = remote.download(self.dataset, self.store, listed, self.folder, self.options)
                if self.kind == "archive":
                    self._unpack(self.files / listed[0].name)
                    shutil.rmtree(self.files)
                self._complete(digest)
        path = archives.content(self.data) if self.kind == "archive" else self.data
        path = path / remote_files.file_name(self.dataset) if self.kind == "table" else path
        return Place(path, self.title, self.shown, digest, note)

    def listed(self) -> tuple[list[remote_files.RemoteFile], str, str]:
        """Return an address's files and their digest; else no files, the copy's digest and a sentence."""
        try:
            files = remote_files.listing(self.dataset, self.store, self.options.image_folder)
        except AcquisitionError as error:
            record = disk.read_json(self.record)
            if not record:
                raise
            when = wording.moment(record["completed"])
            note = f"{error.problem} The copy downloaded on {when} is used."
            self.options.network.tell(note)
            return [], record["fingerprint"], note
        return files, remote.digest(files), ""

    def hashed(self, archive: Path) -> str:
        """Return the sha256 of an archive's content, from the record if its size and time are unchanged."""
        record = self.folder / "archive.json"
        try:
            status = archive.stat()
            facts = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
            noted = disk.read_json(record)
            if {name: noted.get(name) for name in facts} == facts:
                return noted["sha256"]
            digest = manifests.sha256(archive)
        except OSError as error:
            raise AcquisitionError(
                f"The archive {archive.name} cannot be read: {disk.reason(error)}.", "check its permissions"
            ) from None
        with suppress(OSError):  # without the record, the next call hashes again
            self.folder.mkdir(parents=True, exist_ok=True)
            manifests.write_json(record, {**facts, "sha256": digest})
        return digest

    def _unpack(self, archive: Path) -> None:
        archives.unpack(archive, self.data, self.folder / download.INCOMING, self.options.unpack_gb)

    def _holds(self, digest: str) -> bool:
        record = disk.read_json(self.record)
        return record.get("fingerprint") == digest and record.get("files") == _count(self.data)

    def _complete(self, digest: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        facts = {"fingerprint": digest, "files": _count(self.data), "completed": now}
        manifests.write_json(self.record, facts)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        shown = f"The cache folder {paths.shown(self.folder)}"
        with (
            disk.report_write_errors(shown, "OSEMN_CACHE_DIR", AcquisitionError),
            download.locked(self.folder, self.options.network),
        ):
            yield


def _count(folder: Path) -> list[int]:
    """Return the number of files in a folder and their total size."""
    sizes = [(Path(here) / name).stat().st_size for here, _, names in os.walk(folder) for name in names]
    return [len(sizes), sum(sizes)]
