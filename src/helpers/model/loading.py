"""Loads models from untrusted sources: only Keras's own format, in safe mode, without code inside."""

import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers import paths
from helpers.errors import OsemnError

if TYPE_CHECKING:
    import keras

_HDF5 = b"\x89HDF"
_PICKLE = b"\x80"
_REMEDY = (
    "train it with this series, or build it from Keras's own layers and save it with model.save('….keras')"
)


def load(path: Path) -> "keras.Model":
    """Load a `.keras` file that contains only Keras's own layers; no code in the file is run.

    Raises:
        OsemnError: the file has another format (HDF5 and pickles can contain code), is damaged, or contains a Lambda layer
            or a class that is not Keras's own.
    """
    check(path)
    import keras

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds of errors for damaged files
        problem = f"{paths.shown(path)} cannot be loaded: {str(error).strip()[:200]}"
        raise OsemnError(problem, _REMEDY) from None


def weights_sha256(model: "keras.Model") -> str:
    """Return the hash of a model's weights, in their order: the same for one network, whenever and in whatever format it is saved."""
    digest = hashlib.sha256()
    for weights in model.get_weights():
        digest.update(f"{weights.dtype.str} {weights.shape}".encode() + weights.tobytes())
    return digest.hexdigest()


def check(path: Path) -> None:
    """Refuse a file that is not a `.keras` archive of Keras's own layers, without running anything in it.

    Raises:
        OsemnError: as for `load`.
    """
    shown = paths.shown(path)
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise OsemnError(f"{shown} cannot be read: {error.strerror}.", "check the path of the file") from None
    if start == _HDF5:
        problem = f"{shown} is an HDF5 file (.h5), which may contain code that runs when it is loaded."
        raise OsemnError(problem, _REMEDY)
    if start[:1] == _PICKLE:
        raise OsemnError(f"{shown} is a pickle, which may run code when it is loaded.", _REMEDY)
    try:
        with zipfile.ZipFile(path) as archive:
            configuration = json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError):
        raise OsemnError(f"{shown} is not a model in Keras's format.", _REMEDY) from None
    foreign = sorted(set(_foreign(configuration)))
    if foreign:
        raise OsemnError(f"{shown} contains classes that are not Keras's own: {', '.join(foreign)}.", _REMEDY)


def _foreign(node: Any) -> Iterator[str]:
    """Return the names of all classes in a model's configuration that may contain code."""
    if isinstance(node, dict):
        name = node.get("class_name")
        if name == "Lambda" or name == "__lambda__":
            yield "Lambda (code)"
        elif isinstance(name, str) and "module" in node:
            module = str(node.get("module") or "")
            own = module == "builtins" or module.partition(".")[0] == "keras"
            if not own or node.get("registered_name") not in (None, name):
                yield str(node.get("registered_name") or f"{module}.{name}")
        for value in node.values():
            yield from _foreign(value)
    elif isinstance(node, list):
        for value in node:
            yield from _foreign(value)
