"""Write a model in every format; each takes raw pixels, any number of images, and returns probabilities."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from helpers.errors import OsemnError
from helpers.export import class_maps, tfjs
from helpers.interpret import candidates
from helpers.model import frozen_graph
from helpers.series import quiet

ONNX_OPSET = 18  # the newest that tf2onnx writes


@dataclass(frozen=True)
class Format:
    """A format of exported models.

    Attributes:
        name: the key in tables and manifests.
        title: its name in text.
        file: the file or folder in a version.
        exact: whether it computes in float32 throughout, so that its labels must equal Keras's.
        runtime: the library that scores it: a key of `score.LOADERS`, or `"tfjs"`.
        used_by: where it is used.
    """

    name: str
    title: str
    file: str
    exact: bool
    runtime: str
    used_by: str


FORMATS: tuple[Format, ...] = (
    Format("keras", "Keras", "model.keras", True, "keras", "Python with Keras"),
    Format("saved_model", "SavedModel", "saved_model", True, "saved_model", "TensorFlow Serving"),
    Format("onnx", "ONNX", "model.onnx", True, "onnx", "osemn serve, any ONNX runtime"),
    Format("litert", "LiteRT", "model.tflite", True, "litert", "phones, small boards"),
    Format("litert_int8", "LiteRT, integers", "model_int8.tflite", False, "litert", "microcontrollers"),
    Format("tfjs", "TensorFlow.js", "tfjs", True, "tfjs", "the browser"),
    Format("tfjs_half", "TensorFlow.js, float16", "tfjs_half", False, "tfjs", "the browser, osemn demo"),
)


def write_all(
    model: keras.Model,
    source: Path,
    folder: Path,
    calibration: np.ndarray,
    progress: Callable[[int, int, str], None] = lambda done, total, title: None,
) -> None:
    """Write a model in every format of `FORMATS` into a folder.

    Args:
        model: from raw pixels, `float32 [N, H, W, C]`, to probabilities, `float32 [N, K]`.
        source: the `.keras` file that it was loaded from; it is copied unchanged.
        folder: is emptied first.
        calibration: `uint8 [N, H, W, C]`, images that set the value ranges of the integer variant; never test images.
        progress: called with the number of formats written, their total, and the title of the last.

    Raises:
        OsemnError: a format cannot express the model; the message names the format and what is missing.

    Example:
        `formats.write_all(model, Path("model.keras"), Path("version"), validation.images[:300])`
    """
    writers: dict[str, Callable[[Path], object]] = {
        "keras": lambda path: path.write_bytes(source.read_bytes()),
        "saved_model": lambda path: model.export(path, format="tf_saved_model", verbose=False),
        "onnx": lambda path: write_onnx(model, path),
        "litert": lambda path: path.write_bytes(_litert(folder / "saved_model")),
        "litert_int8": lambda path: path.write_bytes(_litert(folder / "saved_model", calibration)),
        "tfjs": lambda path: tfjs.write(browser_graph(model), path),
        "tfjs_half": lambda path: tfjs.write(browser_graph(model), path, half=True),
    }
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, item in enumerate(FORMATS, start=1):
        try:
            with quiet.discarded_output():
                writers[item.name](folder / item.file)
        except (OsemnError, OSError):
            raise
        except Exception as error:
            raise OsemnError(
                f"The model cannot be written as {item.title}: {str(error).strip()[:300]}",
                "use layers that every format supports, or choose another candidate: --set 10_export.champion=…",
            ) from error
        progress(number, len(FORMATS), item.title)


def browser_graph(model: keras.Model) -> frozen_graph.FrozenGraph:
    """Return the graph of a model that outputs probabilities and, for models that have them, class-activation maps."""
    return frozen_graph.frozen_graph(class_maps.forward(model), model.input.shape[1:])


def write_onnx(model: keras.Model, path: Path) -> None:
    """Write a model as ONNX and check the file with ONNX's own checker.

    Its input is `image`; its outputs are `probabilities` and, for the drift monitor, `embedding`. Keras's own export turns
    constants outside of layers into further inputs; the frozen graph has none.
    """
    import onnx
    import tf2onnx

    graph = frozen_graph.frozen_graph(candidates.forward(model), model.input.shape[1:])
    ends = [f"{name}:0" for name in (graph.input_name, *graph.output_names)]
    names = dict(zip(ends, ("image", "probabilities", "embedding"), strict=True))
    converted, _ = tf2onnx.convert.from_graph_def(
        graph.definition, input_names=ends[:1], output_names=ends[1:], opset=ONNX_OPSET
    )
    for node in converted.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*converted.graph.input, *converted.graph.output):
        value.name = names[value.name]
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    converted.producer_name, converted.producer_version = "OSEMN Vision", ""
    onnx.checker.check_model(converted, full_check=True)
    onnx.save(converted, path)


def _litert(saved_model: Path, calibration: np.ndarray | None = None) -> bytes:
    """Return a SavedModel as a LiteRT file; with calibration images, as an integer model that takes raw bytes."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    if calibration is not None:
        images = calibration.astype(np.float32)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[np.newaxis]] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    return _without_names(converter.convert())


def _without_names(content: bytes) -> bytes:
    """Remove the names of inner tensors from a LiteRT file, a twentieth of a small one; signatures stay."""
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    for subgraph in model.subgraphs:
        ends = {*subgraph.inputs, *subgraph.outputs}
        for index, tensor in enumerate(subgraph.tensors):
            if index not in ends:
                tensor.name = None
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
