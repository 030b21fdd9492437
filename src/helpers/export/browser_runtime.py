"""TensorFlow.js as a browser loads it: four scripts and a WebAssembly binary, from npm, verified."""

import hashlib
import os
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

from helpers import paths
from helpers.errors import AcquisitionError
from helpers.obtain import download, package_registries
from helpers.obtain.package_registries import SourceFailedError

VERSION = "4.22.0"


@dataclass(frozen=True)
class RuntimeFile:
    """A file of the runtime.

    Attributes:
        package: the npm package that holds it, below `@tensorflow/`.
        name: its name, in the package's `dist/` and here.
        sha256: of its bytes.
    """

    package: str
    name: str
    sha256: str


FILES: tuple[RuntimeFile, ...] = (
    RuntimeFile(
        "tfjs-core",
        "tf-core.es2017.min.js",
        "c55367325aa628ed685164d5c4210892e31c6d2d0e8c163a827b15ad330d1eba",
    ),
    RuntimeFile(
        "tfjs-converter",
        "tf-converter.es2017.min.js",
        "42a8166c840173bae6180e8ab715a4c811f0371de1b81f28977fd4a7d2c39adf",
    ),
    RuntimeFile(
        "tfjs-backend-cpu",
        "tf-backend-cpu.es2017.min.js",
        "5d703dd6791356c98c3131aa6340ca48d82806228dfad8b439e83bcaedbb508e",
    ),
    RuntimeFile(
        "tfjs-backend-wasm",
        "tf-backend-wasm.es2017.min.js",
        "bdd8c3c1fb0b37601bc2a122efa20b8d78e2936d104b03a44591be4188c63f65",
    ),
    RuntimeFile(
        "tfjs-backend-wasm",
        "tfjs-backend-wasm-simd.wasm",
        "77ebb28a6d34f371dbbf2086b7f2de8994acd8ea5a3cf1fa24d2c26c840cac7b",
    ),
)
SCRIPTS = tuple(file for file in FILES if file.name.endswith(".js"))
BINARY = next(file for file in FILES if file.name.endswith(".wasm"))


@dataclass(frozen=True)
class _Asset:
    """What `fetching.cache_trouble` says of the runtime."""

    title: str = f"TensorFlow.js {VERSION}"
    size: int = 25_000_000


def folder(network: download.Network | None = None) -> Path:
    """Return the folder that holds the files of `FILES`, each verified by its sha256.

    They come from the cache, a folder named by `OSEMN_DATA_DIR`, or npm; what is fetched is kept in the cache.

    Args:
        network: time limits, and who is told what is tried.

    Raises:
        AcquisitionError: no source has them whole, or the cache cannot be written.
    """
    network, kept = network or download.Network(), paths.cache_root() / "tfjs" / VERSION
    if not _wrong(kept):
        return kept
    with download.cache_trouble(kept, _Asset()), download.locked(kept, network):
        altered = [file.name for file in _wrong(kept) if (kept / file.name).exists()]
        if altered:
            warnings.warn(
                f"Altered in {paths.shown(kept)}: {', '.join(altered)}; fetched again.", stacklevel=2
            )
        _fill(kept, network)
    return kept


def _wrong(kept: Path) -> list[RuntimeFile]:
    return [file for file in FILES if not _is_right(kept / file.name, file)]


def _is_right(path: Path, file: RuntimeFile) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256


def _fill(kept: Path, network: download.Network) -> None:
    """Fetch what is missing or altered; called by the holder of the lock."""
    tried: list[str] = []
    takers = {"OSEMN_DATA_DIR": _named_folder, "npm": lambda: _from_npm(kept, network)}
    for label, take in takers.items():
        network.tell(f"TensorFlow.js {VERSION}: trying {label}")
        try:
            found = take()
        except SourceFailedError as error:
            tried.append(f"{label}: {error}")
            continue
        for file in _wrong(kept):
            path = found / file.name
            if _is_right(path, file):
                download.keep(path.read_bytes(), kept / file.name, download.make_workspace(kept))
            else:
                tried.append(f"{label}: {file.name} is {'altered' if path.is_file() else 'not there'}")
        if not _wrong(kept):
            return
    reasons = "".join(f"\n    {line}" for line in tried)
    raise AcquisitionError(
        f"TensorFlow.js {VERSION} could not be had from any source:{reasons}",
        f"connect to the network and run this again, or put {', '.join(file.name for file in FILES)} into a folder "
        "and set OSEMN_DATA_DIR to it",
    )


def _named_folder() -> Path:
    named = os.environ.get("OSEMN_DATA_DIR")
    if not named:
        raise SourceFailedError("not set")
    return Path(named).expanduser()


def _from_npm(kept: Path, network: download.Network) -> Path:
    """Return a folder with the files of all packages side by side."""
    together = download.make_workspace(kept)
    for package in dict.fromkeys(file.package for file in FILES):
        unpacked = package_registries.fetch_npm(
            f"@tensorflow/{package}@{VERSION}", download.make_workspace(kept), network.tool_seconds
        )
        for file in FILES:
            source = unpacked / "package" / "dist" / file.name
            if file.package == package and source.is_file():
                shutil.move(source, together / file.name)
    return together
