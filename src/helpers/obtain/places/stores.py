"""S3, Google Cloud Storage, the Hugging Face hub and web servers, by fsspec: how they are opened, and how they fail.

Credentials come from the environment only, as each store's own library reads them. Messages hold no text of these
libraries, which may quote signed addresses.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import fsspec
from fsspec import AbstractFileSystem

from helpers import paths
from helpers.errors import AcquisitionError, OsemnError
from helpers.obtain.options import Options
from helpers.obtain.places import archives
from helpers.series import disk

THREADS = 16  # enough to hide the latency of small files
WAIT = 0.5  # seconds, doubled twice: a server that restarts is back by then; the libraries of gs and hf wait themselves
_ATTEMPTS = {"s3": 4, "http": 4, "https": 4}
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "hf": "HF_TOKEN",
    "https": "a line for the server in ~/.netrc",
    "http": "a line for the server in ~/.netrc",
}
_MISSING = (FileNotFoundError, "RepositoryNotFoundError", "RevisionNotFoundError", "NoSuchBucket", 404)
_REFUSED = (
    PermissionError, "NoCredentialsError", "ProfileNotFound", "DefaultCredentialsError", "GatedRepoError", 401, 403,
)  # fmt: skip


def opened(address: str, options: Options) -> AbstractFileSystem:
    """Return the store of an address, with time limits and without caches.

    Raises:
        AcquisitionError: an extra is missing, or the credentials are incomplete.
    """
    try:
        return _opened(address, options)
    except Exception as error:  # each library has its own
        raise failure(address, error) from None


def _opened(address: str, options: Options) -> AbstractFileSystem:
    scheme, network = address.partition("://")[0], options.network
    given: dict[str, Any] = {}
    if scheme == "s3":
        from botocore.session import Session

        times = {"connect_timeout": network.connect_seconds, "read_timeout": network.read_seconds}
        given = {
            "anon": Session().get_credentials() is None,  # public buckets need none
            "config_kwargs": {**times, "retries": {"total_max_attempts": 1}},  # s3fs itself tries five times
        }
    elif scheme != "hf":
        import aiohttp

        limit = aiohttp.ClientTimeout(sock_connect=network.connect_seconds, sock_read=network.read_seconds)
        if scheme.startswith("http"):
            # trust_env: proxies, and ~/.netrc; identity: sizes and ranges are those of the file
            client = {"trust_env": True, "timeout": limit}
            given = {"client_kwargs": client, "headers": {"Accept-Encoding": "identity"}}
        elif scheme == "gs":
            # of each of six attempts; their number and pauses cannot be set
            given = {"requests_timeout": limit}
            logging.getLogger("gcsfs").addHandler(logging.NullHandler())  # else each retry prints a traceback
    return fsspec.filesystem(scheme, skip_instance_cache=True, use_listings_cache=False, **given)


def retried(address: str, call: Callable[[], Any]) -> Any:
    """Return the result of a call that is repeated when a connection to the store of `address` breaks."""
    last = _ATTEMPTS.get(address.partition("://")[0], 1) - 1
    for attempt in count():
        try:
            return call()
        except Exception as error:
            lasting = isinstance(error, OsemnError | archives.UnsafeError | ImportError)
            lasting = lasting or _is(error, _MISSING + _REFUSED)
            if lasting or attempt == last or getattr(error, "errno", None) in disk.FULL:
                raise
            time.sleep(WAIT * 2**attempt)


def failure(address: str, error: Exception, done: str = "") -> OsemnError:
    """Return the error that says in words why a listing or a download failed, without any text of a library.

    Args:
        address: of the data set.
        error: what was raised.
        done: a sentence on what is complete already.
    """
    shown, scheme = paths.shown_dataset(address), address.partition("://")[0]
    if isinstance(error, OsemnError):
        return error
    if isinstance(error, OSError) and error.errno in disk.FULL:
        return archives.no_room(shown)
    if isinstance(error, ImportError):
        problem = f"addresses that begin with {scheme}:// need another package"
        remedy = 'pip install "osemn-vision[cloud]"'
    elif isinstance(error, archives.UnsafeError):
        problem, remedy = str(error), "rename or remove it there, or name another folder"
    elif _is(error, _MISSING):
        problem, remedy = "it does not exist, or these credentials may not see it", "check the address"
    elif isinstance(error, OSError) and error.filename:
        cache = paths.shown(paths.cache_root())
        problem = f"the cache folder {cache} cannot be written to: {disk.reason(error)}"
        remedy = "set OSEMN_CACHE_DIR to a folder that you may write to"
    elif _is(error, _REFUSED):
        problem, remedy = "access was refused", f"set credentials in the environment: {_CREDENTIALS[scheme]}"
    else:
        late = isinstance(error, asyncio.TimeoutError | TimeoutError)
        problem = "it did not respond in time" if late else f"the connection failed ({type(error).__name__})"
        again = f"run the same command again{': it continues from there' if done else ''}"
        remedy = f"check the network; then {again}"
    verb = "downloaded" if done else "listed"
    return AcquisitionError(f"{shown} could not be {verb}: {problem}.{done}", remedy)


def is_missing(error: BaseException) -> bool:
    """Return True if a store said that something does not exist."""
    return _is(error, _MISSING)


def _is(error: BaseException, kinds: tuple[Any, ...]) -> bool:
    """Return True if an error is of a type, or has a type's name or an HTTP status, among `kinds`."""
    response = getattr(error, "response", None)
    facts = [type(error).__name__, getattr(error, "status", None) or getattr(error, "code", None)]
    facts.append(getattr(response, "status_code", None))
    types = tuple(kind for kind in kinds if isinstance(kind, type))
    return isinstance(error, types) or any(fact in kinds for fact in facts if isinstance(fact, str | int))
