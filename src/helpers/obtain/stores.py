"""List the files behind an address of S3, Google Cloud Storage, the Hugging Face hub or a web server, by fsspec.

Credentials come from the environment only, as each store's own library reads them. Messages hold no text of these
libraries, which may quote signed addresses.
"""

import asyncio
import base64
import hashlib
import html
import io
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from helpers import paths
from helpers.errors import AcquisitionError, OsemnError
from helpers.obtain import archives, web

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from helpers.obtain.options import Options

THREADS = 16  # enough to hide the latency of small files
_ATTEMPTS = 4  # with waits of 0.5, 1 and 2 s: a server that restarts is back by then
_MAX_DEPTH = 32  # of folders on a web server, where a link may lead back to a folder above
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "hf": "HF_TOKEN",
    "https": "a line for the server in ~/.netrc",
    "http": "a line for the server in ~/.netrc",
}
_MISSING = (FileNotFoundError, "RepositoryNotFoundError", "RevisionNotFoundError", "NoSuchBucket", 404)
_REFUSED = (
    PermissionError,
    "NoCredentialsError",
    "ProfileNotFound",
    "DefaultCredentialsError",
    "GatedRepoError",
    401,
    403,
)


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


def listing(address: str, options: "Options") -> list[RemoteFile]:
    """Return the files behind an address, sorted by name: an archive, or all files of a folder or of a table's folder.

    Hidden files are skipped. On a web server a folder is a page of links; where there is none beside a table, the files
    are those that the table names.

    Raises:
        AcquisitionError: an extra is missing, or the place does not exist, is empty, refuses access, or is unreachable.
        UsageError: as for `paths.check_dataset`.
    """
    paths.check_dataset(address)
    try:
        files = sorted(_files(address, options), key=lambda file: file.name)
    except Exception as error:  # each library has its own
        raise failure(address, error) from None
    names = [file.name for file in files]
    table = file_name(address) if paths.file_kind(address) == "table" else ""
    if not files or (table and table not in names):
        raise AcquisitionError(
            f"There are no files at {paths.shown_dataset(address)}.",
            "check the address; a folder on a web server must be a page of links to its files",
        )
    double = [name for name, following in zip(names, names[1:], strict=False) if name == following]
    if double:
        raise failure(address, archives.UnsafeError(f"two objects would be written to '{double[0]}'"))
    return files


def opened(address: str, options: "Options") -> "AbstractFileSystem":
    """Return the store of an address, with time limits and without caches.

    Raises:
        ImportError: an extra is missing.
    """
    import fsspec

    scheme, network = address.partition("://")[0], options.network
    given: dict[str, Any] = {}
    if scheme == "s3":
        from botocore.session import Session

        times = {"connect_timeout": network.connect_seconds, "read_timeout": network.read_seconds}
        given = {
            "anon": Session().get_credentials() is None,  # public buckets need none
            "config_kwargs": {**times, "retries": {"total_max_attempts": 1}},  # s3fs itself tries five times
        }
    elif scheme.startswith("http"):
        import aiohttp

        limit = aiohttp.ClientTimeout(sock_connect=network.connect_seconds, sock_read=network.read_seconds)
        # trust_env: proxies, and ~/.netrc; identity: sizes and ranges are those of the file
        given = {
            "client_kwargs": {"trust_env": True, "timeout": limit},
            "headers": {"Accept-Encoding": "identity"},
        }
    return fsspec.filesystem(scheme, skip_instance_cache=True, use_listings_cache=False, **given)


def retried(call: Callable[[], Any]) -> Any:
    """Return the result of a call that is repeated when a connection breaks."""
    for attempt in range(_ATTEMPTS):
        try:
            return call()
        except Exception as error:
            lasting = isinstance(error, OsemnError | archives.UnsafeError | ImportError) or _is(
                error, _MISSING + _REFUSED
            )
            if lasting or attempt == _ATTEMPTS - 1 or getattr(error, "errno", None) in web.DISK_FULL:
                raise
            time.sleep(0.5 * 2**attempt)
    raise AssertionError


def failure(address: str, error: Exception, done: str = "") -> OsemnError:
    """Return the error that says in words why a listing or a download failed, without any text of a library.

    Args:
        address: of the data set.
        error: what was raised.
        done: a sentence on what is complete already.
    """
    shown, scheme = paths.shown_dataset(address), address.partition("://")[0]
    again = f"run the same command again{': it continues from there' if done else ''}"
    if isinstance(error, OsemnError):
        return error
    if isinstance(error, ImportError):
        return AcquisitionError(
            f"Addresses that begin with {scheme}:// need another package.",
            'pip install "osemn-vision[cloud]"',
        )
    if isinstance(error, archives.UnsafeError):
        return AcquisitionError(
            f"{shown} cannot be downloaded: {error}.", "rename or remove it there, or name another folder"
        )
    if isinstance(error, OSError) and error.errno in web.DISK_FULL:
        return archives.no_room(shown)
    if isinstance(error, OSError) and error.filename and not _is(error, _MISSING):
        return AcquisitionError(
            f"{shown} cannot be written to the cache folder {paths.shown(paths.cache_root())}: "
            f"{(error.strerror or type(error).__name__).lower()}.",
            "set OSEMN_CACHE_DIR to a folder that you may write to",
        )
    if _is(error, _MISSING):
        problem, remedy = "it does not exist, or these credentials may not see it", "check the address"
    elif _is(error, _REFUSED):
        problem, remedy = "access was refused", f"set credentials in the environment: {_CREDENTIALS[scheme]}"
    else:
        late = isinstance(error, asyncio.TimeoutError | TimeoutError)
        kind = "it did not respond in time" if late else f"the connection failed ({type(error).__name__})"
        problem, remedy = kind, f"check the network; then {again}"
    return AcquisitionError(
        f"{shown} could not be {'downloaded' if done else 'listed'}: {problem}.{done}", remedy
    )


def is_verified(file: RemoteFile, path: Path, store: "AbstractFileSystem") -> bool:
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


def _is(error: BaseException, kinds: tuple[Any, ...]) -> bool:
    """Return True if an error is of a type, or has a type's name or an HTTP status, among `kinds`."""
    response = getattr(error, "response", None)
    facts = [type(error).__name__, getattr(error, "status", None), getattr(error, "code", None)]
    facts.append(getattr(response, "status_code", None))
    types = tuple(kind for kind in kinds if isinstance(kind, type))
    return isinstance(error, types) or any(fact in kinds for fact in facts if isinstance(fact, str | int))


def file_name(address: str) -> str:
    """Return the name of the archive or table at an address."""
    return (
        unquote(paths.shown_dataset(address).rpartition("/")[2])
        if address.startswith("http")
        else address.rpartition("/")[2]
    )


def _files(address: str, options: "Options") -> Iterator[RemoteFile]:
    store, kind = opened(address, options), paths.file_kind(address)
    parent, name = paths.shown_dataset(address).rpartition("/")[0], file_name(address)
    if address.startswith("http"):
        if kind == "archive":
            yield _web_file(store, address, name)
        else:
            yield from _web_files(
                store, parent if kind == "table" else address, name * (kind == "table"), options
            )
        return
    if kind == "archive":
        yield _described(name, retried(lambda: store.info(address)))
        return
    root = store._strip_protocol(parent if kind == "table" else address).rstrip("/")
    if address.startswith("hf"):
        root = store.resolve_path(root).unresolve()  # as in the names of its listing, with the revision
    for found, entry in retried(lambda: store.find(root, detail=True)).items():
        inner = archives.inner_path(found.removeprefix(f"{root}/"))
        if inner and found != root and not found.endswith("/") and entry["type"] == "file":
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
    version = (
        checksum or etag or str(entry.get("xet_hash") or entry.get("mtime") or entry.get("LastModified"))
    )
    return RemoteFile(name, entry["name"], entry["size"], version, checksum)


def _web_files(
    store: "AbstractFileSystem", folder: str, table: str, options: "Options"
) -> Iterator[RemoteFile]:
    """Yield the files that a page links to, with those of its sub-folders; else a table and the files that it names."""
    root = f"{folder.rstrip('/')}/"
    try:
        found = dict(_links(store, root))
    except Exception:
        if not table:
            raise
        found = {}
    if table and table not in found:
        found = _named_files(store, root, table, options.image_folder)
    with ThreadPoolExecutor(THREADS) as pool:
        facts = pool.map(
            lambda item: _web_file(store, item[1], item[0], may_lack=item[0] != table), found.items()
        )
        yield from (file for file in facts if file)


def _links(store: "AbstractFileSystem", root: str) -> Iterator[tuple[str, str]]:
    """Yield name and address of each file below a page; fsspec's own `find` drops folders whose page fails."""
    folders = [root]
    while folders:
        here = folders.pop()
        if here.count("/") - root.count("/") > _MAX_DEPTH:
            raise archives.UnsafeError(f"its folders are nested more than {_MAX_DEPTH} deep")
        for link in retried(partial(store.ls, here, detail=False)):
            plain = html.unescape(link)
            name = plain.removeprefix(here)
            if re.search(r"[?#]|^\w+:", name) or not name.strip("./"):
                continue  # links that sort the page, or lead elsewhere
            inner = archives.inner_path(unquote(plain.removeprefix(root)))
            if inner and name.endswith("/"):
                folders.append(plain)
            elif inner:
                yield inner.as_posix(), plain


def _named_files(store: "AbstractFileSystem", root: str, table: str, image_folder: str) -> dict[str, str]:
    """Return name and address of a table and of everything in it that looks like the name of a file."""
    content = retried(lambda: store.cat_file(root + table))
    if table.endswith(".parquet"):
        import pandas as pd

        content = pd.read_parquet(io.BytesIO(content)).to_csv(index=False).encode()
    named = re.findall(
        r"""[^\s,;|"'][^,;|\t\r\n"']*?\.[A-Za-z]\w{1,4}(?=[\s,;|"']|$)""", content.decode(errors="ignore")
    )
    found = {table: root + table}
    for name in dict.fromkeys(name for name in named if "://" not in name):
        inner = archives.inner_path(f"{image_folder}/{name}".lstrip("/"))
        if inner:
            found[inner.as_posix()] = root + quote(inner.as_posix())
    return found


def _web_file(
    store: "AbstractFileSystem", address: str, name: str, may_lack: bool = False
) -> RemoteFile | None:
    """Return a file with the size and version that a web server states; None if it may be absent and is."""

    def info() -> dict[str, Any]:
        try:
            return store.info(address)
        except FileNotFoundError as error:  # which fsspec raises for every failure
            raise error.__cause__ or error from None

    try:
        facts = retried(info)
    except Exception as error:
        if may_lack and _is(error, _MISSING):
            return None
        raise
    version = str(facts.get("ETag") or facts.get("Last-Modified") or "")
    return RemoteFile(name, address, facts["size"], version, ranges=facts.get("partial", True))
