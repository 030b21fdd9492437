"""Reads PyTorch's legacy weight files without PyTorch, and without running code that a pickle may contain.

A file of `torch.save` before version 1.6 consists of five pickles (magic number, protocol, system, state, storage keys)
and the raw data: for each key an int64 count and little-endian numbers. All pickles are scanned for the names that they
import before any is loaded, and the loader knows only four names.
"""

import collections
import io
import math
import pickle
import pickletools
import typing

import numpy as np

from helpers.errors import AcquisitionError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_STORAGES = {"torch FloatStorage": np.dtype("<f4"), "torch LongStorage": np.dtype("<i8")}
_ADMITTED = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", *_STORAGES}
# everything that torch.save writes with pickle protocol 2; none of them creates a class or looks one up by number
_OPCODES = set(
    (  # noqa: SIM905
        "PROTO GLOBAL REDUCE BUILD BINPERSID MARK STOP NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 "
        "BINUNICODE EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM "
        "SETITEMS BINPUT LONG_BINPUT BINGET LONG_BINGET"
    ).split()
)


class _Storage(typing.NamedTuple):
    """A block of numbers after the pickles; immutable, so that no pickle can change it."""

    key: str
    dtype: np.dtype
    count: int


class _Tensor(typing.NamedTuple):
    """A view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Rebuild:
    """Replaces `torch._utils._rebuild_tensor_v2`; without attributes, so that no pickle can set one."""

    __slots__ = ()

    def __call__(self, storage: _Storage, offset: int, shape: tuple, strides: tuple, *_: object) -> _Tensor:
        if type(storage) is not _Storage:
            raise pickle.UnpicklingError("a tensor has no storage")
        return _Tensor(storage, offset, shape, strides)


class _Reader(pickle.Unpickler):
    """Loads a pickle that passed `_scan`; it refuses other names itself, too."""

    def find_class(self, module: str, name: str) -> object:
        full = f"{module} {name}"
        if full not in _ADMITTED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        if full in _STORAGES:
            return full
        return collections.OrderedDict if name == "OrderedDict" else _Rebuild()

    def persistent_load(self, saved: object) -> _Storage:
        kind, storage, key, _, count, view = saved
        if kind != "storage" or view is not None or not isinstance(key, str) or not _is_count(count):
            raise pickle.UnpicklingError("it refers to something other than a storage")
        return _Storage(key, _STORAGES[storage], count)


def read_pth(content: bytes, name: str = "the file") -> dict[str, np.ndarray]:
    """Return the tensors of a file that `torch.save` wrote before version 1.6, without PyTorch.

    Nothing in the file is run: a pickle that imports anything but `collections.OrderedDict`,
    `torch._utils._rebuild_tensor_v2`, `torch.FloatStorage` and `torch.LongStorage`, or has an opcode that
    `torch.save` does not write, is refused before any of the file is loaded. Stored strides and offsets are respected.

    Args:
        content: the file's bytes.
        name: its name in error messages.

    Returns:
        Contiguous `float32` and `int64` arrays by name.

    Raises:
        AcquisitionError: the file imports another name, has another format, or is incomplete.
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
    for _ in range(5):
        _scan(stream)
    stream.seek(0)
    magic, protocol, system, state, keys = [_Reader(stream).load() for _ in range(5)]
    if magic != _MAGIC or protocol != _PROTOCOL or system.get("little_endian") is not True:
        raise ValueError("it is not in the format of torch.save before version 1.6")
    tensors = dict(collections.OrderedDict.items(state))
    if not all(isinstance(key, str) and type(value) is _Tensor for key, value in tensors.items()):
        raise ValueError("it holds something other than named tensors")
    storages = _storages(tensors.values(), keys)
    data = {key: _read_storage(stream, storages[key]) for key in keys}
    if stream.read(1):
        raise ValueError("more follows after its last storage")
    return {key: _view(tensor, data[tensor.storage.key]) for key, tensor in tensors.items()}


def _scan(stream: io.BytesIO) -> None:
    """Read over one pickle without loading it; fail at any other name or opcode."""
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == "GLOBAL" and argument not in _ADMITTED:
            raise ValueError(
                f"it imports {argument.replace(' ', '.')}, which weights do not need; nothing was run"
            )
        if opcode.name not in _OPCODES:
            raise ValueError(f"it has the opcode {opcode.name}, which weights do not need; nothing was run")


def _storages(tensors: typing.Iterable[_Tensor], keys: object) -> dict[str, _Storage]:
    storages: dict[str, _Storage] = {}
    for tensor in tensors:
        if storages.setdefault(tensor.storage.key, tensor.storage) != tensor.storage:
            raise ValueError(f"two tensors describe storage {tensor.storage.key} differently")
    if not isinstance(keys, list) or len(keys) != len(storages) or set(keys) != set(storages):
        raise ValueError("its list of storages does not match its tensors")
    return storages


def _read_storage(stream: io.BytesIO, storage: _Storage) -> np.ndarray:
    count = int.from_bytes(stream.read(8), "little", signed=True)
    if count != storage.count:
        raise ValueError(f"storage {storage.key} has {count} numbers, expected {storage.count}")
    content = stream.read(count * storage.dtype.itemsize)
    if len(content) != count * storage.dtype.itemsize:
        raise ValueError("it ends too early")
    return np.frombuffer(content, storage.dtype)


def _view(tensor: _Tensor, data: np.ndarray) -> np.ndarray:
    """Return a tensor's numbers in the order of its shape, independent of their order in the storage."""
    offset, shape, strides = tensor.offset, tensor.shape, tensor.strides
    if len(shape) != len(strides) or not all(map(_is_count, (offset, *shape, *strides))):
        raise ValueError("a tensor's shape and strides do not fit each other")
    size = math.prod(shape)
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    if size and (last >= len(data) or size > len(data)):
        raise ValueError("a tensor reaches beyond its storage")
    steps = [stride * data.itemsize for stride in strides]
    start = data[offset:] if size else data
    return np.lib.stride_tricks.as_strided(start, shape, steps, writeable=False).copy(order="C")


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0
