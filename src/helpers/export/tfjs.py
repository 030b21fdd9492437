"""TensorFlow.js graph models, written from a frozen graph; the official converter does not install beside TensorFlow 2.21.

The format is a JSON file with the graph's nodes and a list of weights, whose bytes lie in shards beside it.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.json_format import MessageToDict

from helpers.errors import OsemnError
from helpers.model.frozen_graph import FrozenGraph, optimised

SHARD_BYTES = 4 * 2**20
OUTPUTS = ("probabilities", "class_activation")
_DTYPES = {"float32": "float32", "int32": "int32", "bool": "bool"}
_HALF = float(np.finfo(np.float16).max)

# What tfjs-converter 4.22 reads and both the WebAssembly and the CPU back end of 4.22 compute (from the converter's list of
# operations and the back ends' lists of kernels), as far as networks for images use it. Erfc (exact GELU) is not among them.
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
    """.split()  # noqa: SIM905 - a hundred names, to be read as a text
)


def write(graph: FrozenGraph, folder: Path, *, half: bool = False) -> None:
    """Write a frozen graph as `model.json` and `weights_….bin` into an empty folder; the same graph gives the same bytes.

    Args:
        graph: with one input and outputs as in `OUTPUTS`.
        folder: is made.
        half: whether weights are kept in float16, for half the bytes; TensorFlow.js computes in float32 all the same.

    Raises:
        OsemnError: the graph has operations or weights that TensorFlow.js cannot express; the message names them.
    """
    nodes = _without_twins(optimised(graph).node)
    unknown = sorted({node.op for node in nodes} - OPERATIONS)
    if unknown:
        raise OsemnError(
            f"TensorFlow.js has no such operations: {', '.join(unknown)}.",
            "use layers that it knows, such as the tanh form of GELU",
        )
    values = {node.name: tf.make_ndarray(node.attr["value"].tensor) for node in nodes if node.op == "Const"}
    wrong = sorted({str(value.dtype) for value in values.values()} - set(_DTYPES))
    if wrong:
        raise OsemnError(
            f"TensorFlow.js has no weights of type {', '.join(wrong)}.", "make the model of float32"
        )
    for node in nodes:
        if node.op == "Const":
            del node.attr["value"]
    folder.mkdir(parents=True)
    kept = {name: _halved(value) if half else value for name, value in values.items()}
    content = b"".join(_bytes(value) for value in kept.values())
    shards = [content[start : start + SHARD_BYTES] for start in range(0, len(content), SHARD_BYTES)]
    names = [f"weights_{number + 1}_of_{len(shards)}.bin" for number in range(len(shards))]
    for name, shard in zip(names, shards, strict=True):
        (folder / name).write_bytes(shard)
    specification = [_specification(name, values[name], kept[name]) for name in values]
    model = {
        "format": "graph-model",
        "generatedBy": f"TensorFlow {tf.__version__}",
        "convertedBy": "OSEMN Vision",
        "signature": {
            "inputs": {"image": _signature(graph.input_name, nodes)},
            "outputs": {
                meaning: _signature(name, nodes)
                for meaning, name in zip(OUTPUTS, graph.output_names, strict=False)
            },
        },
        "modelTopology": {"node": [MessageToDict(node) for node in nodes], "versions": {}},
        "weightsManifest": [{"paths": names, "weights": specification}],
    }
    text = json.dumps(model, sort_keys=True, separators=(",", ":"))
    (folder / "model.json").write_text(text, encoding="utf-8")


def _without_twins(nodes: Any) -> list[Any]:
    """Return copies of the nodes; of constants with the same value, such as weights used for two views, one is left."""
    first: dict[bytes, str] = {}
    instead: dict[str, str] = {}
    for node in nodes:
        if node.op == "Const":
            key = node.attr["value"].SerializeToString()
            instead[node.name] = first.setdefault(key, node.name)
    kept = []
    for node in nodes:
        if instead.get(node.name, node.name) == node.name:
            copy = type(node)()
            copy.CopyFrom(node)
            del copy.input[:]
            # a "^name" only orders the run of nodes; there is nothing to order here
            copy.input.extend(instead.get(name, name) for name in node.input if not name.startswith("^"))
            kept.append(copy)
    return kept


def _halved(value: np.ndarray) -> np.ndarray:
    """Return weights in float16; what is no weight, or too large for it, as it is."""
    if (
        value.dtype != np.float32
        or np.abs(value, where=np.isfinite(value), out=np.zeros_like(value)).max(initial=0) > _HALF
    ):
        return value
    return value.astype(np.float16)


def _specification(name: str, value: np.ndarray, kept: np.ndarray) -> dict[str, Any]:
    found = {"name": name, "shape": list(value.shape), "dtype": _DTYPES[str(value.dtype)]}
    if kept.dtype == np.float16:
        found["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
    return found


def _bytes(value: np.ndarray) -> bytes:
    return np.ascontiguousarray(value, value.dtype.newbyteorder("<")).tobytes()


def _signature(name: str, nodes: list[Any]) -> dict[str, Any]:
    node = next(node for node in nodes if node.name == name)
    shape = node.attr["shape"].shape.dim if "shape" in node.attr else ()
    found: dict[str, Any] = {"name": f"{name}:0", "dtype": "DT_FLOAT"}
    if shape:
        found["tensorShape"] = {"dim": [{"size": str(dim.size)} for dim in shape]}
    return found
