"""Reads PyTorch's legacy weight files without PyTorch, and without running code that a pickle may contain.

A file of `torch.save` before version 1.6 consists of five pickles (magic number, protocol, system, state, storage keys)
and the raw data: for each key an int64 count and little-endian numbers.
"""

import collections
import io
import pickle
import typing

import numpy as np

from helpers.errors import AcquisitionError

_FORMAT = (0x1950A86A20F9469CFC6C, 1001)  # magic number and protocol


class _Storage(typing.NamedTuple):
    """What PyTorch writes of a block of numbers after the pickles."""

    tag: str
    dtype: np.dtype
    key: str
    place: str
    count: int
    view: None


class _Tensor(typing.NamedTuple):
    """The arguments of `torch._utils._rebuild_tensor_v2`: a view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    requires_grad: bool
    hooks: dict

    def read(self, data: np.ndarray) -> np.ndarray:
        """Return the numbers in the order of the shape, independent of their order in the storage."""
        steps = [stride * data.itemsize for stride in self.strides]
        return np.ndarray(self.shape, data.dtype, data, self.offset * data.itemsize, steps).copy()


_ADMITTED = {
    "collections.OrderedDict": collections.OrderedDict,
    "torch._utils._rebuild_tensor_v2": _Tensor,
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.LongStorage": np.dtype("<i8"),
}


class _Reader(pickle.Unpickler):
    """Finds only what weights need; see "Restricting globals" in Python's documentation of `pickle`."""

    def find_class(self, module: str, name: str) -> object:
        if f"{module}.{name}" not in _ADMITTED:
            raise pickle.UnpicklingError(
                f"it names {module}.{name}, which weights do not need; it was not run"
            )
        return _ADMITTED[f"{module}.{name}"]

    def persistent_load(self, saved: tuple) -> _Storage:
        return _Storage(*saved)


def read_pth(content: bytes, name: str = "the file") -> dict[str, np.ndarray]:
    """Return the tensors of a file that `torch.save` wrote before version 1.6, without PyTorch.

    Nothing in the file is run: a pickle that names anything but `collections.OrderedDict`,
    `torch._utils._rebuild_tensor_v2`, `torch.FloatStorage` and `torch.LongStorage` is refused. Stored strides and offsets are
    respected.

    Args:
        content: the file's bytes, whose hash is verified.
        name: its name in error messages.

    Returns:
        Contiguous `float32` and `int64` arrays by name.

    Raises:
        AcquisitionError: the file names anything else, has another format, or is incomplete.
    """
    try:
        return _read_pth(content)
    except Exception as error:  # a damaged pickle raises nearly anything
        reason = str(error) or type(error).__name__
        raise AcquisitionError(
            f"{name} cannot be read as a file of weights: {reason}.",
            "it is damaged, or not a file of weights; delete it, and download it again from a source that you trust",
        ) from None


def _read_pth(content: bytes) -> dict[str, np.ndarray]:
    stream = io.BytesIO(content)
    *start, system, tensors, keys = [_Reader(stream).load() for _ in range(5)]
    if tuple(start) != _FORMAT or not system["little_endian"]:
        raise ValueError("it is not in the format of torch.save before version 1.6")
    dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
    data = {}
    for key in keys:
        count = int.from_bytes(stream.read(8), "little")
        data[key] = np.frombuffer(stream.read(count * dtypes[key].itemsize), dtypes[key], count)
    return {name: tensor.read(data[tensor.storage.key]) for name, tensor in tensors.items()}
