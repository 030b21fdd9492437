"""Download the files behind an address in parallel, so that a killed download is continued and nothing half is used.

A file arrives in a part, which a later call continues; it gets its name when its size, and its checksum where the store
has one, are verified. The listing is recorded once all files of other versions are removed, so that a file which is there is
of the version that is listed.
"""

import hashlib
import json
import shutil
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

from fsspec import AbstractFileSystem

from helpers import paths
from helpers.errors import AcquisitionError, OsemnError
from helpers.obtain.options import Options
from helpers.obtain.places import archives, remote_files, stores
from helpers.obtain.places.remote_files import RemoteFile
from helpers.series import disk, manifests

# bytes of one request: little to repeat after a kill, and one for each thread fits any memory
BLOCK = 8 * 2**20
_ROUNDS = 3  # listings after which a place that still changes is given up


def digest(files: Iterable[RemoteFile]) -> str:
    """Return a hash of the names, sizes and versions of files."""
    facts = [[file.name, file.size, file.version] for file in files]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def download(
    address: str, store: AbstractFileSystem, files: list[RemoteFile], folder: Path, options: Options
) -> str:
    """Download what is missing or changed into `folder / "files"`, remove what is gone, and return the files' digest.

    Args:
        address: of the data set.
        store: of this address.
        files: its listing.
        folder: of the cache; a killed call leaves files, parts and a journal there, from which the next one continues.
        options: `unpack_gb` bounds the total size; `network` has time limits, and whether to show a bar.

    Raises:
        AcquisitionError: the connection breaks, a file arrives damaged, the disk is full or the place keeps changing;
            complete files stay.
    """
    for _ in range(_ROUNDS):
        error = _Download(address, store, folder, options).run(files)
        before = digest(files)
        try:
            files = remote_files.listing(address, store, options.image_folder)
        except AcquisitionError as unlisted:
            raise error or unlisted from None
        if error and digest(files) == before:
            raise error
        if digest(files) == before:
            shutil.rmtree(folder / "parts", ignore_errors=True)
            return before
    raise AcquisitionError(
        f"The files at {paths.shown_dataset(address)} change while they are downloaded.",
        "wait until nobody writes there; then run the same command again",
    )


class _Download:
    """One round: every file of a listing that the folder does not hold yet."""

    def __init__(self, address: str, store: AbstractFileSystem, folder: Path, options: Options) -> None:
        self.address, self.store, self.options = address, store, options
        self.files, self.parts, self.listing = folder / "files", folder / "parts", folder / "listing.json"
        self.lock = threading.Lock()
        self.streamed = 0  # bytes of files that arrived without their size in the listing

    def run(self, files: list[RemoteFile]) -> OsemnError | None:
        """Fetch what is missing; return the error of the first file that could not be fetched."""
        from tqdm import tqdm

        self._begin(files)
        todo = [file for file in files if not self._is_there(file)]
        rest, silent = sum(file.size or 0 for file in todo), not self.options.network.progress
        self._demand_room(sum(file.size or 0 for file in files), rest)
        self.bar = tqdm(total=rest, unit="B", unit_scale=True, desc="download", disable=silent, delay=2.0)
        with self.bar, ThreadPoolExecutor(stores.THREADS) as pool:
            jobs = [pool.submit(self._fetch, file) for file in todo]
            try:
                for job in jobs:
                    job.result()
            except Exception as error:  # perhaps the file has changed, which the next listing shows
                pool.shutdown(cancel_futures=True)
                complete = sum(map(self._is_there, files))
                done = f" {complete:,} of {len(files):,} files are complete."
                return stores.failure(self.address, error, done)
            finally:
                pool.shutdown(cancel_futures=True)
        return None

    def _begin(self, files: list[RemoteFile]) -> None:
        """Remove what is not listed in the same size and version, then record the listing: what is there is now complete."""
        self.files.mkdir(parents=True, exist_ok=True)
        self.parts.mkdir(exist_ok=True)
        known, wanted = disk.read_json(self.listing), {file.name: [file.size, file.version] for file in files}
        for path in sorted(self.files.rglob("*"), reverse=True):
            name = path.relative_to(self.files).as_posix()
            size, version = wanted.get(name, (-1, ""))
            if path.is_dir():
                with suppress(OSError):  # it is not empty
                    path.rmdir()
            elif known.get(name) != [size, version] or size not in (None, path.stat().st_size):
                path.unlink()
        manifests.write_json(self.listing, wanted)

    def _is_there(self, file: RemoteFile) -> bool:
        return (self.files / file.name).is_file()

    def _demand_room(self, size: int, rest: int) -> None:
        if size > self.options.unpack_gb * 1e9:
            raise archives.too_large(paths.shown_dataset(self.address), size, self.options.unpack_gb)
        partly = sum(part.stat().st_size for part in self.parts.iterdir())
        if rest - partly > shutil.disk_usage(self.files).free:
            raise archives.no_room(paths.shown_dataset(self.address), rest - partly)

    def _fetch(self, file: RemoteFile) -> None:
        part = self.parts / hashlib.sha256(f"{file.name}\0{file.version}".encode()).hexdigest()
        stores.retried(self.address, partial(self._continue, file, part))
        if not remote_files.is_verified(file, part, self.store):
            part.unlink()
            raise AcquisitionError(
                f"{file.name} of {paths.shown_dataset(self.address)} arrived damaged: its size or checksum differs.",
                "run the same command again; if it stays so, store the file there again",
            )
        final = self.files / file.name
        final.parent.mkdir(parents=True, exist_ok=True)
        part.replace(final)

    def _continue(self, file: RemoteFile, part: Path) -> None:
        part.touch()
        if file.size is None or not file.ranges:
            self._stream(file, part)
            return
        with part.open("ab") as stream:
            while (start := stream.tell()) < file.size:
                end = min(start + BLOCK, file.size)
                try:
                    block = self._block(file, start, end)
                except ValueError:  # fsspec's way to say that the server ignores ranges
                    stream.truncate(0)
                    self._stream(file, part)
                    return
                if len(block) != end - start:
                    raise ConnectionError
                stream.write(block)
                self.bar.update(len(block))

    def _block(self, file: RemoteFile, start: int, end: int) -> bytes:
        if self.address.startswith(("s3", "gs")):  # which would ask for the facts of an opened file once more
            return self.store.cat_file(file.address, start=start, end=end)
        options = {"size": file.size, "block_size": BLOCK, "cache_type": "none"}
        with self.store.open(file.address, **options) as source:
            source.seek(start)
            return source.read(end - start)

    def _stream(self, file: RemoteFile, part: Path) -> None:
        """Download a file from its beginning, where the server states no size or ignores ranges."""
        self.store.get_file(file.address, str(part))
        with self.lock:
            self.streamed += part.stat().st_size
        self.bar.update(part.stat().st_size)
        if self.streamed > self.options.unpack_gb * 1e9:
            raise archives.too_large(paths.shown_dataset(self.address), self.streamed, self.options.unpack_gb)
