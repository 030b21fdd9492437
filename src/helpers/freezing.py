"""Freezing: a model as one TensorFlow graph with constant weights, which runs faster than the model itself.

The one place for these imports, which are private to TensorFlow.
"""

from collections.abc import Callable
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
        input_name: node that takes the images, `float32 [N, H, W, C]`.
        output_name: node that gives the probabilities, `float32 [N, K]`.
    """

    definition: Any
    input_name: str
    output_name: str


def freeze(model: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a function of a batch that computes what the model does in inference, with its weights of now.

    With constant weights TensorFlow's grappler folds batch normalisation into the convolutions.

    Args:
        model: with one input, `float32 [N, …]`, and one output.
    """
    frozen = _frozen(model)
    return lambda batch: frozen(batch)[0]


def frozen_graph(model: keras.Model) -> FrozenGraph:
    """Return the graph of a model with one input and one output, with its weights of now, the batch size free."""
    frozen = _frozen(model)
    input_name, output_name = (tensor.name.partition(":")[0] for tensor in (*frozen.inputs, *frozen.outputs))
    return FrozenGraph(frozen.graph.as_graph_def(), input_name, output_name)


def optimised(graph: FrozenGraph) -> Any:
    """Return the `GraphDef` after grappler: constants are folded, batch normalisation into the convolutions too."""
    imported = tf.Graph()
    with imported.as_default():
        tf.import_graph_def(graph.definition, name="")
    meta_graph = export_meta_graph(graph_def=graph.definition, graph=imported)
    fetched = meta_graph.collection_def["train_op"].node_list.value
    fetched.extend([graph.input_name, graph.output_name])
    configuration = config_pb2.ConfigProto()
    configuration.graph_options.rewrite_options.optimizers[:] = _PASSES * 3
    return tf_optimizer.OptimizeGraph(configuration, meta_graph)


def _frozen(model: keras.Model) -> Any:
    specification = tf.TensorSpec((None, *model.input.shape[1:]), tf.float32, name="image")
    traced = tf.function(lambda image: model(image, training=False), input_signature=[specification])
    return convert_variables_to_constants_v2(traced.get_concrete_function())
