"""Freezing: a model as one TensorFlow graph with constant weights, which runs faster than the model itself.

The one place for this import, which is private to TensorFlow.
"""

from collections.abc import Callable

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2


def freeze(model: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a function of a batch that computes what the model does in inference, with its weights of now.

    With constant weights TensorFlow's grappler folds batch normalisation into the convolutions.

    Args:
        model: with one input, `float32 [N, …]`, and one output.
    """
    specification = tf.TensorSpec((None, *model.input.shape[1:]), tf.float32)
    traced = tf.function(lambda batch: model(batch, training=False), input_signature=[specification])
    frozen = convert_variables_to_constants_v2(traced.get_concrete_function())
    return lambda batch: frozen(batch)[0]
