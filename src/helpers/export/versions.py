"""A version of a champion in the registry: its files proven whole, its model able to give its golden outputs."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.errors import OsemnError
from helpers.series import manifests

GOLDEN = "golden.npz"
DRIFT = "drift_reference.npz"
GALLERY = "gallery.npz"
GOLDEN_IMAGES = 20
GOLDEN_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Version:
    """A version of the registry.

    Attributes:
        name: `YYYYMMDD-HHMMSS-<start of the manifest's sha256>`.
        folder: where it is.
        manifest: its facts; empty where it cannot be read.
    """

    name: str
    folder: Path
    manifest: dict[str, Any]


def verify(version: Version) -> None:
    """Check that a version is what was published: manifest, every file by its hash, nothing more, no links.

    Raises:
        OsemnError: it is not; the message names each file that is missing, changed or not listed.
    """
    found = faults(version)
    if found:
        raise OsemnError(
            f"Version {version.name} is not whole: {'; '.join(found)}.",
            "export it again (notebook 10_export), or promote another: osemn models",
        )


def faults(version: Version) -> list[str]:
    """Return what is wrong with a version's files, each by name; empty where it is whole."""
    if version.folder.is_symlink():
        return [f"{version.name} is a link, which may lead out of the registry"]
    manifest_file = version.folder / manifests.NAME
    if not manifest_file.is_file() or not version.manifest:
        return [f"{manifests.NAME} is missing or cannot be read"]
    if not manifests.sha256(manifest_file).startswith(version.name.rpartition("-")[2]):
        return [f"{manifests.NAME} was changed (its sha256 is not the one in the version's name)"]
    listed = version.manifest["files"]
    links = [path for path in version.folder.rglob("*") if path.is_symlink()]
    found = [f"{path.relative_to(version.folder).as_posix()} is a link" for path in links]
    there = {
        path.relative_to(version.folder).as_posix(): path
        for path in version.folder.rglob("*")
        if path.is_file() and path != manifest_file
    }
    for name, expected in listed.items():
        if name not in there:
            found.append(f"{name} is missing")
        elif there[name].stat().st_size != expected["bytes"]:
            found.append(f"{name} has {there[name].stat().st_size} bytes, expected {expected['bytes']}")
        elif manifests.sha256(there[name]) != expected["sha256"]:
            found.append(f"{name} was changed (its sha256 differs)")
    return found + [f"{name} is not listed" for name in sorted(set(there) - set(listed))]


def session(version: Version):
    """Return an ONNX Runtime session of a version's model, in which one thread computes.

    Raises:
        OsemnError: the file cannot be loaded.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(
            str(version.folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's own exceptions have no common class
        raise OsemnError(
            f"model.onnx of version {version.name} cannot be loaded: {str(error)[:200]}", "export it again"
        ) from None


def replay(version: Version, loaded: Any = None) -> float:
    """Predict the golden inputs; return the largest difference from the golden outputs.

    Args:
        version: which.
        loaded: its session, where there is one already.

    Raises:
        OsemnError: it is more than `GOLDEN_TOLERANCE`, or there are no golden inputs.
    """
    try:
        with np.load(version.folder / GOLDEN, allow_pickle=False) as golden:
            images, expected = golden["images"], golden["probabilities"]
    except (OSError, ValueError, KeyError):
        raise OsemnError(f"{GOLDEN} of version {version.name} cannot be read.", "export it again") from None
    found = (loaded or session(version)).run(["probabilities"], {"image": images.astype(np.float32)})[0]
    difference = float(np.abs(found - expected).max()) if found.shape == expected.shape else float("inf")
    if not difference <= GOLDEN_TOLERANCE:
        raise OsemnError(
            f"Version {version.name} does not give its golden outputs: probabilities differ by up to {difference:.2g}.",
            "export it again, or promote another: osemn models",
        )
    return difference


def packed(right: np.ndarray) -> str:
    """Return `[N] bool` as text of one character for six values."""
    return base64.b64encode(np.packbits(right)).decode("ascii")


def right_answers(manifest: dict[str, Any]) -> np.ndarray | None:
    """Return which test images a version told right, `[N] bool`; None where its manifest does not say so, or not well."""
    try:
        test = manifest["metrics"]["test"]
        bits = np.frombuffer(base64.b64decode(test["right"], validate=True), np.uint8)
        right = np.unpackbits(bits)[: test["n"]].astype(bool)
        whole = len(right) == test["n"] and abs(right.mean() - test["accuracy"]) < 1e-9
    except (KeyError, TypeError, ValueError):
        return None
    return right if whole else None
