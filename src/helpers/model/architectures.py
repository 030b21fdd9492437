"""The residual network, and averages over views. Every model takes raw pixel values from 0 to 255 and returns probabilities."""

import math
from collections.abc import Callable

import keras
from keras import KerasTensor, layers


def residual_cnn(
    input_shape: tuple[int | None, int | None, int],
    num_classes: int,
    *,
    mean: list[float],
    standard_deviation: list[float],
    width: int = 32,
    depth: int = 1,
    dropout: float = 0.0,
    dense_units: int = 0,
    early_pooling: bool = True,
    front: Callable[[KerasTensor], KerasTensor] | None = None,
) -> keras.Model:
    """Build a residual CNN for small images: a stem and three stages of residual blocks, each twice as wide.

    The layout follows the small ResNets that train fastest on CIFAR-10 (D. Page, "How to train your ResNet", 2018):
    pooling comes before the convolution that widens the feature map, and the last feature map is max-pooled.

    Args:
        input_shape: `(H, W, C)` of the raw images, `float32 [N, H, W, C]`, values 0–255; sides of at least 8 pixels, or
            None for any size.
        num_classes: number of outputs, `float32 [N, num_classes]`.
        mean: mean of each channel on the 0–255 scale, from the training part.
        standard_deviation: standard deviation of each channel on the same scale.
        width: channels of the stem and the first stage; multiples of 16 use a CPU's vector units best.
        depth: residual blocks in each stage, two convolutions each.
        dropout: fraction of the values before the classifier that are set to zero while training.
        dense_units: width of a dense ReLU layer before the classifier; 0 for none.
        early_pooling: whether to halve the stem's feature map before the first stage, which then costs a quarter.
        front: additional layers between normalisation and stem.
    """
    inputs = keras.Input(input_shape, name="image")
    x = _normalised(inputs, mean, standard_deviation)
    x = x if front is None else front(x)
    x = _convolution(x, width, "stem")
    if early_pooling:
        x = layers.MaxPooling2D(padding="same", name="stem_pool")(x)
    for stage in range(3):
        name, channels = f"stage_{stage + 1}", width * 2**stage
        if stage:
            x = layers.MaxPooling2D(padding="same", name=f"{name}_pool")(x)
            x = _convolution(x, channels, f"{name}_widen")
        for block in range(depth):
            inner = _convolution(x, channels, f"{name}_block_{block + 1}_1")
            inner = _convolution(inner, channels, f"{name}_block_{block + 1}_2")
            x = layers.Add(name=f"{name}_block_{block + 1}_add")([x, inner])
    x = layers.GlobalMaxPooling2D(name="pool")(x)
    if dense_units:
        x = layers.Dense(dense_units, activation="relu", name="hidden")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    outputs = layers.Dense(num_classes, activation="softmax", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="residual_cnn")


def averaging_views(model: keras.Model, *, flip: bool = False, shift: int = 0) -> keras.Model:
    """Build a model that averages another model's probabilities over several views of each image.

    It shares the weights of the given model. It only adds Keras's own layers and operations, so it is saved and loaded
    like any other model.

    Args:
        model: from raw pixels to probabilities.
        flip: whether to add the mirror image of each view; only where mirroring keeps the label.
        shift: pixels by which to move the image left, right, up and down for four more views; 0 for none.

    Example:
        `finished = architectures.averaging_views(model, flip=True)`
    """
    image = keras.Input(model.input.shape[1:], name="image")
    views = [image]
    for down, right in ((shift, 0), (-shift, 0), (0, shift), (0, -shift)) if shift else ():
        padding = ((max(down, 0), max(-down, 0)), (max(right, 0), max(-right, 0)))
        cropping = tuple((after, before) for before, after in padding)
        views.append(layers.Cropping2D(cropping)(layers.ZeroPadding2D(padding)(image)))
    if flip:
        # not keras.ops.flip: LiteRT's integer ReverseV2 gets another scale than its input, which corrupts the view
        views += [view[:, :, ::-1] for view in views]
    if len(views) == 1:
        return model
    averaged = layers.Average(name="average")([model(view, training=False) for view in views])
    return keras.Model(image, averaged, name=f"{model.name}_averaged")


def multiply_accumulates(model: keras.Model) -> int:
    """Count the multiply–accumulate operations of a model's convolutions and dense layers for one image.

    Training takes about six floating-point operations for each: two in the forward pass, four in the backward pass.

    Args:
        model: built for images of a fixed size, without nested models.
    """
    total = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            total += math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:3])
        elif isinstance(layer, layers.Dense):
            total += math.prod(layer.kernel.shape)
    return total


def _normalised(x: KerasTensor, mean: list[float], standard_deviation: list[float]) -> KerasTensor:
    variance = [max(value, 1.0) ** 2 for value in standard_deviation]
    return layers.Normalization(mean=mean, variance=variance, name="normalise")(x)


def _convolution(x: KerasTensor, channels: int, name: str) -> KerasTensor:
    """Apply a 3×3 convolution, batch normalisation and ReLU."""
    settings = {"padding": "same", "use_bias": False, "kernel_initializer": "he_normal"}
    x = layers.Conv2D(channels, 3, **settings, name=name)(x)
    x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
