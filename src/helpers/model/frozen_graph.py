"""Freezes a model into a TensorFlow graph with constant weights, which runs faster than the model itself.

This is the only module with these imports, which are private to TensorFlow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tensorflow.python.grappler import tf_optimizer
from tensorflow.python.training.saver import export_meta_graph

_PASSES = ("pruning", "constfold", "arithmetic", "dependency")


@dataclass(frozen=True)
class FrozenGraph:
    """A model's graph with constant weights.

    Attributes:
        definition: the `GraphDef`.
        input_name: the node of the images, `float32 [N, H, W, C]`.
        output_names: the nodes of the outputs, in the order of the function.
    """

    definition: Any
    input_name: str
    output_names: tuple[str, ...]


def freeze(model: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a function of a batch that computes the model's inference with its current weights.

    With constant weights, TensorFlow's grappler folds batch normalisation into the convolutions.

    Args:
        model: with one input, `float32 [N, …]`, and one output.
    """
    frozen = _frozen(lambda image: model(image, training=False), model.input.shape[1:])
    return lambda batch: frozen(batch)[0]


def frozen_graph(forward: Callable[[tf.Tensor], Any], image_shape: Sequence[int | None]) -> FrozenGraph:
    """Return the graph of a function of images with the current weights, for any batch size.

    Args:
        forward: from `float32 [N, H, W, C]` to a tensor or a tuple of tensors.
        image_shape: `(H, W, C)`.
    """
    frozen = _frozen(forward, image_shape)
    input_name, *output_names = (end.name.partition(":")[0] for end in (*frozen.inputs, *frozen.outputs))
    return FrozenGraph(frozen.graph.as_graph_def(), input_name, tuple(output_names))


def optimised(graph: FrozenGraph) -> Any:
    """Return the `GraphDef` optimised by grappler: constants are folded, and batch normalisation into convolutions."""
    imported = tf.Graph()
    with imported.as_default():
        tf.import_graph_def(graph.definition, name="")
    meta_graph = export_meta_graph(graph_def=graph.definition, graph=imported)
    fetched = meta_graph.collection_def["train_op"].node_list.value
    fetched.extend([graph.input_name, *graph.output_names])
    configuration = config_pb2.ConfigProto()
    configuration.graph_options.rewrite_options.optimizers[:] = _PASSES * 3
    return tf_optimizer.OptimizeGraph(configuration, meta_graph)


def _frozen(forward: Callable[[tf.Tensor], Any], image_shape: Sequence[int | None]) -> Any:
    specification = tf.TensorSpec((None, *image_shape), tf.float32, name="image")
    traced = tf.function(forward, input_signature=[specification])
    return convert_variables_to_constants_v2(traced.get_concrete_function())
