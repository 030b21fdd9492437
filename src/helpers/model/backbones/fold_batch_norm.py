"""Folds batch normalisation into the convolution before it: the same function with fewer layers."""

import keras
import numpy as np
from keras import layers

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D)


def fold(model: keras.Model) -> keras.Model:
    """Return a copy of a model with batch normalisation folded into the convolutions before it.

    In inference, batch normalisation multiplies each channel by a factor and adds an offset. Both are folded into the
    convolution's kernel and bias. The copy computes the same values (up to rounding) faster, and as nothing rescales its
    weights, an optimizer's step has a similar effect in every layer.

    Args:
        model: a functional model; it is not changed. Batch normalisation remains where it does not directly follow a
            convolution, or where that convolution has an activation or feeds other layers too.

    Example:
        `folded = fold_batch_norm.fold(model)`

    Source: B. Jacob et al. (2018), "Quantization and training of neural networks for efficient
    integer-arithmetic-only inference", section 3.2.
    """
    pairs = {norm.name: before for norm in model.layers if (before := _convolution_before(norm)) is not None}
    folded = {convolution.name for convolution in pairs.values()}

    def clone(layer: layers.Layer) -> layers.Layer:
        if layer.name in pairs:
            return layers.Identity(name=layer.name)  # never called, so not part of the copy
        settings = layer.get_config()
        if layer.name in folded:
            settings["use_bias"] = True
        return type(layer).from_config(settings)

    def call(layer: layers.Layer, *inputs: object, **options: object) -> object:
        return inputs[0] if layer.name in pairs else layer(*inputs, **options)

    copy = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for layer in model.layers:
        if layer.weights and layer.name not in folded and layer.name not in pairs:
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    for name, convolution in pairs.items():
        copy.get_layer(convolution.name).set_weights(_folded(convolution, model.get_layer(name)))
    return copy


def _convolution_before(layer: layers.Layer) -> layers.Layer | None:
    if not isinstance(layer, layers.BatchNormalization):
        return None
    before = layer.input._keras_history.operation
    feeds = [node.operation for node in before._outbound_nodes]
    plain = isinstance(before, _CONVOLUTIONS) and before.activation is keras.activations.linear
    return before if plain and feeds == [layer] else None


def _folded(convolution: layers.Layer, norm: layers.BatchNormalization) -> list[np.ndarray]:
    """Return the kernel and bias that replace both layers."""
    mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
    scale = 1.0 / np.sqrt(variance + norm.epsilon)
    if norm.gamma is not None:
        scale = scale * norm.gamma.numpy()
    bias = convolution.bias.numpy() if convolution.use_bias else 0.0
    offset = (bias - mean) * scale + (norm.beta.numpy() if norm.beta is not None else 0.0)
    is_depthwise = isinstance(convolution, layers.DepthwiseConv2D)
    # a depthwise kernel is (k, k, C, 1): its channels are the second last dimension
    return [convolution.kernel.numpy() * (scale[:, None] if is_depthwise else scale), offset]
