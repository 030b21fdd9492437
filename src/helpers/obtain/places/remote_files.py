"""List the files behind an address of S3, Google Cloud Storage, the Hugging Face hub or a web server."""

import base64
import hashlib
import html
import io
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from fsspec import AbstractFileSystem

from helpers import paths
from helpers.errors import AcquisitionError
from helpers.obtain.places import archives, stores

_MAX_DEPTH = 32  # of folders on a web server, where a link may lead back to a folder above


@dataclass(frozen=True)
class RemoteFile:
    """A file of a store.

    Attributes:
        name: relative to the data set's folder, with `/`.
        address: as fsspec expects it.
        size: in bytes; None if the server does not say.
        version: the etag, checksum or time by which the store tells versions apart.
        checksum: `"md5:…"`, `"sha256:…"` or `"git:…"` in hex, `"crc32c:…"` in base64, or `""`.
        ranges: whether parts of it can be requested.
    """

    name: str
    address: str
    size: int | None
    version: str
    checksum: str = ""
    ranges: bool = True


def listing(address: str, store: AbstractFileSystem, image_folder: str = "") -> list[RemoteFile]:
    """Return the files behind an address, sorted by name: an archive, or all files of a folder or of a table's folder.

    Hidden files are skipped. On a web server a folder is a page of links; where there is none beside a table, the files
    are those that the table names.

    Args:
        address: a folder, an archive or a table.
        store: of this address.
        image_folder: where the files are that a table on a web server names, relative to the table.

    Raises:
        AcquisitionError: the place does not exist, is empty, refuses access, or is unreachable.
    """
    try:
        store.invalidate_cache()
        files = sorted(_files(store, address, image_folder), key=lambda file: file.name)
    except Exception as error:  # each library has its own
        raise stores.failure(address, error) from None
    names = [file.name for file in files]
    table = file_name(address) if paths.file_kind(address) == "table" else ""
    if not files or (table and table not in names):
        raise AcquisitionError(
            f"There are no files at {paths.shown_dataset(address)}.",
            "check the address; a folder on a web server must be a page of links to its files",
        )
    double = [name for name, following in pairwise(names) if name == following]
    if double:
        raise stores.failure(address, archives.UnsafeError(f"two objects would be written to '{double[0]}'"))
    return files


def is_verified(file: RemoteFile, path: Path, store: AbstractFileSystem) -> bool:
    """Return True if a downloaded file has the size and, where the store has one, the checksum of its listing."""
    if file.size is not None and path.stat().st_size != file.size:
        return False
    method, _, expected = file.checksum.partition(":")
    if not method or _checksum(method, path) == expected:
        return True
    if hasattr(store, "call_s3"):  # with a KMS key, the etag of an object is not its MD5
        bucket, _, key = file.address.partition("/")
        head = store.call_s3("head_object", Bucket=bucket, Key=key)
        return "kms" in head.get("ServerSideEncryption", "") or "SSECustomerAlgorithm" in head
    return False


def _checksum(method: str, path: Path) -> str:
    with path.open("rb") as stream:
        if method == "crc32c":
            import google_crc32c  # comes with gcsfs

            crc = google_crc32c.Checksum()
            for block in iter(partial(stream.read, 2**20), b""):
                crc.update(block)
            return base64.b64encode(crc.digest()).decode()
        if method == "git":
            start = hashlib.sha1(b"blob %d\0" % path.stat().st_size)
            return hashlib.file_digest(stream, lambda: start).hexdigest()
        return hashlib.file_digest(stream, method).hexdigest()


def file_name(address: str) -> str:
    """Return the name of the archive or table at an address."""
    if address.startswith("http"):
        return unquote(paths.shown_dataset(address).rpartition("/")[2])
    return address.rpartition("/")[2]


def _files(store: AbstractFileSystem, address: str, image_folder: str) -> Iterator[RemoteFile]:
    kind = paths.file_kind(address)
    parent, name = paths.shown_dataset(address).rpartition("/")[0], file_name(address)
    if address.startswith("http"):
        if kind == "archive":
            yield _web_file(store, address, name)
        else:
            folder, table = (parent, name) if kind == "table" else (address, "")
            yield from _web_files(store, folder, table, image_folder)
        return
    if kind == "archive":
        yield _described(name, stores.retried(address, lambda: store.info(address)))
        return
    root = store._strip_protocol(parent if kind == "table" else address).rstrip("/")
    if address.startswith("hf"):
        root = store.resolve_path(root).unresolve()  # as in the names of its listing, with the revision
    for key, entry in stores.retried(address, lambda: store.find(root, detail=True)).items():
        inner = archives.inner_path(key.removeprefix(f"{root}/"))
        if inner and key != root and not key.endswith("/") and entry["type"] == "file":
            yield _described(inner.as_posix(), entry)


def _described(name: str, entry: dict[str, Any]) -> RemoteFile:
    """Return a file from the entry of a store's listing."""
    etag = str(entry.get("ETag") or "").strip('"')
    lfs = entry.get("lfs") or {}
    checksum = ""
    if re.fullmatch("[0-9a-f]{32}", etag):  # the etag of an object of several parts has a dash
        checksum = f"md5:{etag}"
    elif "md5Hash" in entry:
        checksum = f"md5:{base64.b64decode(entry['md5Hash']).hex()}"
    elif "crc32c" in entry:
        checksum = f"crc32c:{entry['crc32c']}"
    elif lfs:
        checksum = f"sha256:{lfs['sha256']}"
    elif "blob_id" in entry:
        checksum = f"git:{entry['blob_id']}"
    changed = entry.get("xet_hash") or entry.get("mtime") or entry.get("LastModified")
    return RemoteFile(name, entry["name"], entry["size"], checksum or etag or str(changed), checksum)


def _web_files(store: AbstractFileSystem, folder: str, table: str, image_folder: str) -> Iterator[RemoteFile]:
    """Yield the files that a page links to, with those of its sub-folders; else a table and the files that it names."""
    root = f"{folder.rstrip('/')}/"
    try:
        addresses = dict(_links(store, root))
    except Exception:
        if not table:
            raise
        addresses = {}
    if table and table not in addresses:
        addresses = _named_files(store, root, table, image_folder)
    with ThreadPoolExecutor(stores.THREADS) as pool:
        facts = pool.map(
            lambda item: _web_file(store, item[1], item[0], may_lack=item[0] != table), addresses.items()
        )
        yield from (file for file in facts if file)


def _links(store: AbstractFileSystem, root: str) -> Iterator[tuple[str, str]]:
    """Yield name and address of each file below a page; fsspec's `find` drops a folder whose page is absent or unreachable."""
    folders = [root]
    while folders:
        here = folders.pop()
        if here.count("/") - root.count("/") > _MAX_DEPTH:
            raise archives.UnsafeError(f"its folders are nested more than {_MAX_DEPTH} deep")
        for link in stores.retried(root, partial(store.ls, here, detail=False)):
            plain = html.unescape(link)
            name = plain.removeprefix(here)
            if re.search(r"[?#]|^\w+:", name) or not name.strip("./"):
                continue  # links that sort the page, or lead elsewhere
            inner = archives.inner_path(unquote(plain.removeprefix(root)))
            if inner and name.endswith("/"):
                folders.append(plain)
            elif inner:
                yield inner.as_posix(), plain


def _named_files(store: AbstractFileSystem, root: str, table: str, image_folder: str) -> dict[str, str]:
    """Return name and address of a table and of everything in it that looks like the name of a file."""
    content = stores.retried(root, lambda: store.cat_file(root + table))
    if table.endswith(".parquet"):
        import pandas as pd

        content = pd.read_parquet(io.BytesIO(content)).to_csv(index=False).encode()
    named = re.findall(
        r"""[^\s,;|"'][^,;|\t\r\n"']*?\.[A-Za-z]\w{1,4}(?=[\s,;|"']|$)""", content.decode(errors="ignore")
    )
    addresses = {table: root + table}
    for name in dict.fromkeys(name for name in named if "://" not in name):
        inner = archives.inner_path(f"{image_folder}/{name}".lstrip("/"))
        if inner:
            addresses[inner.as_posix()] = root + quote(inner.as_posix())
    return addresses


def _web_file(
    store: AbstractFileSystem, address: str, name: str, may_lack: bool = False
) -> RemoteFile | None:
    """Return a file with the size and version that a web server states; None if it may be absent and is."""

    def info() -> dict[str, Any]:
        try:
            return store.info(address)
        except FileNotFoundError as error:  # which fsspec raises for every failure
            raise error.__cause__ or error from None

    try:
        facts = stores.retried(address, info)
    except Exception as error:
        if may_lack and stores.is_missing(error):
            return None
        raise
    version = str(facts.get("ETag") or facts.get("Last-Modified") or "")
    return RemoteFile(name, address, facts["size"], version, ranges=facts.get("partial", True))
