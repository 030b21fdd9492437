"""Architectures; every model takes raw pixel values 0–255 and returns probabilities."""

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
    variance = [max(value, 1.0) ** 2 for value in standard_deviation]
    x = layers.Normalization(mean=mean, variance=variance, name="normalise")(inputs)
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
