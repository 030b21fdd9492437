"""Write TensorFlow.js graph models from a frozen graph; the official converter cannot be installed with TensorFlow 2.21.

The format is a JSON file with the graph's nodes and a list of weights, whose bytes are stored in shards in the same folder.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.json_format import MessageToDict

from helpers.errors import OsemnError
from helpers.model.frozen_graph import FrozenGraph, optimised

SHARD_BYTES = 4 * 2**20  # as the official converter cuts them
OUTPUTS = ("probabilities", "class_activation")
_DTYPES = {"float32", "int32", "bool"}
_HINTS = {  # what to use instead, by operation
    "Erfc": "use GELU in its tanh form: keras.activations.gelu(x, approximate=True)",
    "ScaleAndTranslate": "resize without antialiasing: keras.layers.Resizing(…, antialias=False)",
    "ResizeBicubic": "resize with interpolation bilinear or nearest",
}
_HALF_MAXIMUM = float(np.finfo(np.float16).max)

# Operations of image networks that tfjs-converter 4.22 reads and that both its WebAssembly and CPU back ends compute, from
# the converter's list of operations and the back ends' lists of kernels. Erfc (exact GELU) is missing there.
OPERATIONS = frozenset(
    """
    Abs Add AddN AddV2 ArgMax AvgPool BatchMatMul BatchMatMulV2 BiasAdd Cast Ceil ClipByValue ConcatV2 Const Conv2D
    Conv2DBackpropInput CropAndResize DepthToSpace DepthwiseConv2dNative Dilation2D Elu Equal Erf Exp ExpandDims Expm1 Fill
    Floor FloorDiv FusedBatchNorm FusedBatchNormV3 GatherNd GatherV2 Greater GreaterEqual Identity LRN LeakyRelu Less LessEqual
    Log Log1p LogicalAnd LogicalNot LogicalOr MatMul Max MaxPool Maximum Mean Min Minimum MirrorPad Mul Neg NoOp NotEqual
    OneHot OnesLike Pack Pad PadV2 Placeholder Pow Prelu Prod Range RealDiv Reciprocal Relu Relu6 Reshape ResizeBilinear
    ResizeNearestNeighbor ReverseV2 Round Rsqrt Select SelectV2 Selu Shape Sigmoid Sign Slice Softmax Softplus SpaceToBatchND
    Split SplitV Sqrt Square SquaredDifference Squeeze StridedSlice Sub Sum Tanh Tile Transpose Unpack ZerosLike
    _FusedConv2D _FusedMatMul
    """.split()  # noqa: SIM905 - a hundred names read better as text
)


def write(graph: FrozenGraph, folder: Path, *, half: bool = False) -> None:
    """Write a frozen graph as `model.json` and `weights_….bin` into a new folder; the same graph gives the same bytes.

    Args:
        graph: with one input and outputs as in `OUTPUTS`.
        folder: is created.
        half: whether weights are stored in float16, for half the bytes; TensorFlow.js still computes in float32.

    Raises:
        OsemnError: TensorFlow.js does not support an operation or a weight type of the graph; the message names them.
    """
    nodes = _without_twins(optimised(graph).node)
    values = {node.name: tf.make_ndarray(node.attr["value"].tensor) for node in nodes if node.op == "Const"}
    unsupported = {
        "operations": {node.op for node in nodes} - OPERATIONS,
        "weight types": {str(value.dtype) for value in values.values()} - _DTYPES,
    }
    for kind, names in unsupported.items():
        if names:
            hints = [_HINTS[name] for name in sorted(names) if name in _HINTS]
            raise OsemnError(
                f"TensorFlow.js does not support these {kind}: {', '.join(sorted(names))}.",
                "; ".join(hints)
                or "use float32 and other layers: helpers.export.tfjs.OPERATIONS lists what it supports",
            )
    for node in nodes:
        if node.op == "Const":
            del node.attr["value"]
    stored = {name: _halved(value) if half else value for name, value in values.items()}
    content = b"".join(
        np.ascontiguousarray(value, value.dtype.newbyteorder("<")).tobytes() for value in stored.values()
    )
    shards = [content[start : start + SHARD_BYTES] for start in range(0, len(content), SHARD_BYTES)]
    paths = [f"weights_{number}_of_{len(shards)}.bin" for number in range(1, len(shards) + 1)]
    outputs = zip(OUTPUTS, graph.output_names, strict=False)
    model = {
        "format": "graph-model",
        "generatedBy": f"TensorFlow {tf.__version__}",
        "convertedBy": "OSEMN Vision",
        "signature": {
            "inputs": {"image": _signature(graph.input_name, nodes)},
            "outputs": {meaning: _signature(name, nodes) for meaning, name in outputs},
        },
        "modelTopology": {"node": [MessageToDict(node) for node in nodes], "versions": {}},
        "weightsManifest": [
            {"paths": paths, "weights": [_entry(name, values[name], stored[name]) for name in values]}
        ],
    }
    folder.mkdir(parents=True)
    for path, shard in zip(paths, shards, strict=True):
        (folder / path).write_bytes(shard)
    text = json.dumps(model, sort_keys=True, separators=(",", ":"))
    (folder / "model.json").write_text(text, encoding="utf-8")


def _without_twins(nodes: Any) -> list[Any]:
    """Return copies of the nodes without repeated constants, such as weights that two views use."""
    first: dict[bytes, str] = {}
    instead: dict[str, str] = {}
    for node in nodes:
        if node.op == "Const":
            key = node.attr["value"].SerializeToString()
            instead[node.name] = first.setdefault(key, node.name)
    copies = []
    for node in nodes:
        if instead.get(node.name, node.name) == node.name:
            copy = type(node)()
            copy.CopyFrom(node)
            # a "^name" only sets the order in which nodes run; the order does not matter here
            copy.input[:] = [instead.get(name, name) for name in node.input if not name.startswith("^")]
            copies.append(copy)
    return copies


def _halved(value: np.ndarray) -> np.ndarray:
    """Return weights in float16; other arrays, and weights too large for it, unchanged."""
    if value.dtype != np.float32 or np.abs(value[np.isfinite(value)]).max(initial=0) > _HALF_MAXIMUM:
        return value
    return value.astype(np.float16)


def _entry(name: str, value: np.ndarray, stored: np.ndarray) -> dict[str, Any]:
    """Return the entry of an array in the list of weights."""
    half = {"quantization": {"dtype": "float16", "original_dtype": "float32"}}
    entry = {"name": name, "shape": list(value.shape), "dtype": str(value.dtype)}
    return entry | (half if stored.dtype == np.float16 else {})


def _signature(name: str, nodes: list[Any]) -> dict[str, Any]:
    """Return the description of an input or output node."""
    node = next(node for node in nodes if node.name == name)
    signature: dict[str, Any] = {"name": f"{name}:0", "dtype": "DT_FLOAT"}
    if "shape" in node.attr and node.attr["shape"].shape.dim:
        signature["tensorShape"] = {"dim": [{"size": str(dim.size)} for dim in node.attr["shape"].shape.dim]}
    return signature
