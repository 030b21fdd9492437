"""Check a version of a champion: its files by their hashes, its model by its golden outputs."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.errors import OsemnError
from helpers.series import manifests

MODEL = "model.onnx"
GOLDEN = "golden.npz"
DRIFT = "drift_reference.npz"
GALLERY = "gallery.npz"
GOLDEN_IMAGES = 20  # enough for every class of the built-in data sets to appear
GOLDEN_TOLERANCE = 1e-4  # of probabilities: far above rounding in float32
_AGAIN = "export it again (notebook 10_export), or promote another: osemn models"


@dataclass(frozen=True)
class Version:
    """A version of the registry.

    Attributes:
        name: `YYYYMMDD-HHMMSS-<start of the manifest's sha256>`.
        folder: its folder.
        manifest: its facts; empty if it cannot be read.
    """

    name: str
    folder: Path
    manifest: dict[str, Any]


def verify(version: Version) -> None:
    """Check that a version is unchanged since it was published: manifest, hash of every file, nothing else, no links.

    Raises:
        OsemnError: it is not; the message names each file that is missing, changed or not listed.
    """
    problems = faults(version)
    if problems:
        raise OsemnError(f"Version {version.name} is not intact: {'; '.join(problems)}.", _AGAIN)


def faults(version: Version) -> list[str]:
    """Return what is wrong with a version's files, each by name; empty if it is intact."""
    if version.folder.is_symlink():
        return [f"{version.name} is a link, which may lead out of the registry"]
    manifest_file = version.folder / manifests.NAME
    if not manifest_file.is_file() or not version.manifest:
        return [f"{manifests.NAME} is missing or cannot be read"]
    if not manifests.sha256(manifest_file).startswith(version.name.rpartition("-")[2]):
        return [f"{manifests.NAME} was changed (its sha256 is not the one in the version's name)"]
    listed = version.manifest["files"]
    entries = {path.relative_to(version.folder).as_posix(): path for path in version.folder.rglob("*")}
    links = [f"{name} is a link" for name, path in entries.items() if path.is_symlink()]
    extra = sorted(
        name for name, path in entries.items() if path.is_file() and name not in (*listed, manifests.NAME)
    )
    changed = manifests.faults(version.folder, {"outputs": listed})
    return [*links, *changed, *(f"{name} is not listed" for name in extra)]


def session(model: Path, threads: int = 1):
    """Return an ONNX Runtime session of a version's ONNX file that computes on a number of threads.

    Raises:
        OsemnError: the file cannot be loaded.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no common class
        problem = f"{model.name} of version {model.parent.name} cannot be loaded: {str(error)[:200]}"
        raise OsemnError(problem, _AGAIN) from None


def replay(version: Version, loaded: Any = None) -> float:
    """Predict the golden inputs; return the largest difference from the golden outputs.

    Args:
        version: the version.
        loaded: its session, if there is one already.

    Raises:
        OsemnError: the difference exceeds `GOLDEN_TOLERANCE`, or there are no golden inputs.
    """
    try:
        with np.load(version.folder / GOLDEN, allow_pickle=False) as golden:
            images, expected = golden["images"], golden["probabilities"]
    except (OSError, ValueError, KeyError):
        raise OsemnError(f"{GOLDEN} of version {version.name} cannot be read.", _AGAIN) from None
    actual = (loaded or session(version.folder / MODEL)).run(
        ["probabilities"], {"image": images.astype(np.float32)}
    )[0]
    difference = float(np.abs(actual - expected).max()) if actual.shape == expected.shape else float("inf")
    if not difference <= GOLDEN_TOLERANCE:
        raise OsemnError(
            f"Version {version.name} does not give its golden outputs: probabilities differ by up to {difference:.2g}.",
            _AGAIN,
        )
    return difference


def packed(correct: np.ndarray) -> str:
    """Return `[N] bool` as base64 text, six values per character."""
    return base64.b64encode(np.packbits(correct)).decode("ascii")


def correct_predictions(manifest: dict[str, Any]) -> np.ndarray | None:
    """Return which test images a version classified correctly, `[N] bool`; None if its manifest lacks them or contradicts them."""
    try:
        test = manifest["metrics"]["test"]
        bits = np.frombuffer(base64.b64decode(test["right"], validate=True), np.uint8)
        correct = np.unpackbits(bits)[: test["n"]].astype(bool)
        agrees = len(correct) == test["n"] and abs(correct.mean() - test["accuracy"]) < 1e-9
    except (KeyError, TypeError, ValueError):
        return None
    return correct if agrees else None
