"""Architectures; every model takes raw pixel values 0–255 and returns probabilities."""

import math
from collections.abc import Callable

import keras
from keras import layers


def dense_network(input_shape: tuple[int, int, int], num_classes: int, units: int = 128) -> keras.Model:
    """Return the dense network of the first experiment: flatten, dense ReLU, dropout 0.3, softmax.

    Args:
        input_shape: `(H, W, C)` of the raw images, `float32 [N, H, W, C]`, values 0–255.
        num_classes: number of outputs, `float32 [N, num_classes]`.
        units: width of the hidden layer.
    """
    inputs = keras.Input(input_shape, name="image")
    x = layers.Rescaling(1.0 / 255.0, name="normalise")(inputs)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(units, activation="relu", name="hidden")(x)
    x = layers.Dropout(0.3, name="dropout")(x)
    outputs = layers.Dense(num_classes, activation="softmax", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="dense")


def baseline_cnn(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    mean: list[float],
    standard_deviation: list[float],
    filters: int = 16,
) -> keras.Model:
    """Return the shallow CNN: three 3×3 convolutions with batch normalisation, each followed by pooling.

    Args:
        input_shape: `(H, W, C)` of the raw images, `float32 [N, H, W, C]`, values 0–255; sides from 8.
        num_classes: number of outputs, `float32 [N, num_classes]`.
        mean: mean of each channel on the 0–255 scale, from the training part.
        standard_deviation: standard deviation of each channel on the same scale.
        filters: channels of the first convolution; the other two have twice as many.
    """
    inputs = keras.Input(input_shape, name="image")
    x = _normalised(inputs, mean, standard_deviation)
    for number, width in enumerate((filters, 2 * filters, 2 * filters), start=1):
        x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"convolution_{number}")(x)
        x = layers.BatchNormalization(name=f"batch_norm_{number}")(x)
        x = layers.ReLU(name=f"relu_{number}")(x)
        x = layers.MaxPooling2D(name=f"pool_{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(8 * filters, activation="relu", name="hidden")(x)
    x = layers.Dropout(0.3, name="dropout")(x)
    outputs = layers.Dense(num_classes, activation="softmax", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="baseline_cnn")


def plain_cnn(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    mean: list[float],
    standard_deviation: list[float],
    width: int = 32,
    dropout: float = 0.2,
) -> keras.Model:
    """Return the plain CNN: three times two 3×3 convolutions and pooling, with batch normalisation and dropout.

    Args:
        input_shape: `(H, W, C)` of the raw images, `float32 [N, H, W, C]`, values 0–255; sides from 8.
        num_classes: number of outputs, `float32 [N, num_classes]`.
        mean: mean of each channel on the 0–255 scale, from the training part.
        standard_deviation: standard deviation of each channel on the same scale.
        width: channels of the first pair; each following pair has twice as many.
        dropout: share of values that are set to zero after each pooling while training.
    """
    inputs = keras.Input(input_shape, name="image")
    x = _normalised(inputs, mean, standard_deviation)
    for stage in range(3):
        for number in (1, 2):
            x = _convolution(x, width * 2**stage, f"stage_{stage + 1}_{number}")
        x = layers.MaxPooling2D(padding="same", name=f"stage_{stage + 1}_pool")(x)
        x = layers.Dropout(dropout, name=f"stage_{stage + 1}_dropout")(x)
    x = layers.GlobalMaxPooling2D(name="pool")(x)
    outputs = layers.Dense(num_classes, activation="softmax", name="probabilities")(x)
    return keras.Model(inputs, outputs, name="plain_cnn")


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
    front: Callable[[keras.KerasTensor], keras.KerasTensor] | None = None,
) -> keras.Model:
    """Return a residual CNN for small images: a stem and three stages of residual blocks, each twice as wide.

    The layout is that of the small ResNets which win training races on CIFAR-10 (D. Page, "How to train your
    ResNet", 2018): pooling comes before the convolution that widens, and the last feature map is max-pooled.

    Args:
        input_shape: `(H, W, C)` of the raw images, `float32 [N, H, W, C]`, values 0–255; sides from 8, or None for any.
        num_classes: number of outputs, `float32 [N, num_classes]`.
        mean: mean of each channel on the 0–255 scale, from the training part.
        standard_deviation: standard deviation of each channel on the same scale.
        width: channels of stem and first stage; multiples of 16 make the best use of a CPU's vector units.
        depth: residual blocks in each stage, two convolutions each.
        dropout: share of values before the classifier that are set to zero while training.
        dense_units: width of a dense ReLU layer before the classifier; 0 for none.
        early_pooling: whether the stem's feature map is halved before the first stage, for a quarter of the cost there.
        front: further layers between normalisation and stem.
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
    """Return a model whose probabilities are the mean over views of each image; its weights are the given model's.

    Only Keras's own layers and operations are added, so that the model is saved and loaded as any other.

    Args:
        model: from raw pixels to probabilities.
        flip: whether each view comes mirrored, too; right where a mirrored image keeps its label.
        shift: pixels by which the image is also moved to each side, up and down; 0 for none.
    """
    image = keras.Input(model.input.shape[1:], name="image")
    views = [image]
    for down, right in ((shift, 0), (-shift, 0), (0, shift), (0, -shift)) if shift else ():
        padding = ((max(down, 0), max(-down, 0)), (max(right, 0), max(-right, 0)))
        cropping = tuple((after, before) for before, after in padding)
        views.append(layers.Cropping2D(cropping)(layers.ZeroPadding2D(padding)(image)))
    if flip:
        # not keras.ops.flip: LiteRT gives the integer form of ReverseV2 another scale than its input, and spoils the view
        views += [view[:, :, ::-1] for view in views]
    if len(views) == 1:
        return model
    averaged = layers.Average(name="average")([model(view, training=False) for view in views])
    return keras.Model(image, averaged, name=f"{model.name}_averaged")


def multiply_accumulates(model: keras.Model) -> int:
    """Return the multiplications and additions (counted as one) of convolutions and dense layers for one image.

    Training costs about six floating-point operations for each: two forward, four backward.

    Args:
        model: built on images of a fixed size, without models as layers.
    """
    total = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            total += math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:3])
        elif isinstance(layer, layers.Dense):
            total += math.prod(layer.kernel.shape)
    return total


def _normalised(
    x: keras.KerasTensor, mean: list[float], standard_deviation: list[float]
) -> keras.KerasTensor:
    variance = [max(value, 1.0) ** 2 for value in standard_deviation]
    return layers.Normalization(mean=mean, variance=variance, name="normalise")(x)


def _convolution(x: keras.KerasTensor, channels: int, name: str) -> keras.KerasTensor:
    """Apply a 3×3 convolution, batch normalisation and ReLU."""
    x = layers.Conv2D(channels, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=name)(
        x
    )
    x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
