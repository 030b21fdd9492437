"""Files from a web address, by pooch, with time limits and a reason in words for each failure."""

import errno
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.obtain.places.package_registries import SourceFailedError
from helpers.series import disk

if TYPE_CHECKING:
    from helpers.obtain.places.download import Network
    from helpers.obtain.places.files import File, Reader

_WRITE_TROUBLE = disk.FULL | {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.EIO}


def open_address(address: str, network: "Network", workspace: Path) -> "Reader":
    """Return a function that downloads a file's verified content from below a web address.

    Args:
        address: of the folder that serves `<file name>.gz`.
        network: time limits and progress.
        workspace: an existing folder for the downloads.
    """
    import pooch  # takes half of the import time of helpers.obtain.places.download
    import requests

    seconds = network.connect_seconds, network.read_seconds
    download = pooch.HTTPDownloader(progressbar=network.progress, timeout=seconds)

    def read(file: "File") -> bytes:
        path = workspace / f"{file.name}.gz"
        try:
            download(f"{address.rstrip('/')}/{path.name}", str(path), None)
        except requests.RequestException as error:
            raise SourceFailedError(_reason(error, network)) from None
        except OSError as error:
            if error.errno in _WRITE_TROUBLE:
                raise
            raise SourceFailedError(f"the download failed ({type(error).__name__})") from None
        return file.read(path)

    return read


def _reason(error: Exception, network: "Network") -> str:
    import requests

    text = str(error)
    if isinstance(error, requests.HTTPError):
        return f"it responded with HTTP {error.response.status_code}"
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
