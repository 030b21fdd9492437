"""Transfer learning: a small head on the features of a frozen backbone, and both as one model."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import Model, layers

from helpers.model import out_of_fold, training
from helpers.model.backbones import features
from helpers.model.weight_averaging import NormStatistics


def head(num_features: int, num_classes: int, units: int = 256, dropout: float = 0.3, seed: int = 0) -> Model:
    """Build the head: batch normalisation, dropout, dense ReLU, dropout, softmax.

    Heads of the same shape and seed start from the same weights, so they differ only by their features.

    Args:
        num_features: length of a row of features, `float32 [N, num_features]`.
        num_classes: number of outputs, `float32 [N, num_classes]`.
        units: width of the dense layer.
        dropout: fraction of the values that each dropout sets to zero while training.
        seed: of the initial weights and of dropout.
    """
    inputs = keras.Input((num_features,), name="features")
    # its running statistics stay those that `fit_head` sets: its inputs do not depend on the weights that are trained
    x = layers.BatchNormalization(momentum=1.0, name="classifier_norm")(inputs)
    x = layers.Dropout(dropout, seed=seed, name="classifier_dropout_1")(x)
    x = _dense(units, "relu", "classifier_dense", seed)(x)
    x = layers.Dropout(dropout, seed=seed + 1, name="classifier_dropout_2")(x)
    outputs = _dense(num_classes, "softmax", "probabilities", seed + 1)(x)
    return Model(inputs, outputs, name="head")


def _dense(units: int, activation: str, name: str, seed: int) -> layers.Dense:
    start = keras.initializers.GlorotUniform(seed)
    return layers.Dense(units, activation=activation, kernel_initializer=start, name=name)


def join(base: Model, top: Model, name: str) -> Model:
    """Join backbone, pooling and head into one model from raw pixels to probabilities.

    It shares its layers, and so its weights, with the two models.

    Args:
        base: from `networks.load`, `float32 [N, H, W, C]` 0–255 → `float32 [N, h, w, F]`.
        top: a head, `float32 [N, F]` → `float32 [N, K]`.
        name: of the model.

    Example:
        `model = transfer.join(source.base, result.top, "transfer")`
    """
    x = features.pooled(base).output
    for layer in top.layers[1:]:
        x = layer(x)
    return Model(base.input, x, name=name)


def describe_head(top: Model) -> list[tuple[str, str]]:
    """Return title and detail of each layer of the classifier, pooling included, for `transfer_plots.architecture`."""
    rows = [("global average pooling", f"{top.input.shape[-1]:,} features")]
    for layer in top.layers[1:-1]:
        if isinstance(layer, layers.Dense):
            rows.append(("dense, ReLU", f"{layer.units:,} units"))
        elif isinstance(layer, layers.Dropout):
            rows.append(("dropout", f"{layer.rate:g}"))
        else:
            rows.append(("batch normalisation", ""))
    return [*rows, ("softmax", f"{top.layers[-1].units} classes")]


class FeatureBatches(keras.utils.PyDataset):
    """Shuffles memory-mapped features into batches; only the rows of a batch are read into memory.

    Args:
        views: one array `float32 [N, F]` for each view of the images; each epoch draws a view for each image.
        labels: `[N] int64`.
        batch_size: rows in a batch; the last of an epoch may be smaller.
        seed: of order and views, which change from epoch to epoch.
        weights: how much each image counts, `[N] float64`; None if all count the same.
    """

    def __init__(
        self,
        views: Sequence[np.ndarray],
        labels: np.ndarray,
        batch_size: int,
        seed: int,
        weights: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.views, self.labels, self.batch_size = views, labels, batch_size
        self.weights = None if weights is None else weights / weights.mean()
        self._generator = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        rows = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        drawn = self._views_drawn[rows]
        chosen = np.empty((len(rows), self.views[0].shape[1]), np.float32)
        for number, view in enumerate(self.views):
            places = np.flatnonzero(drawn == number)
            chosen[places] = view[rows[places]]
        weights = () if self.weights is None else (self.weights[rows],)
        return chosen, self.labels[rows], *weights

    def on_epoch_end(self) -> None:
        """Draw the order and the views of the next epoch."""
        self._order = self._generator.permutation(len(self.labels))
        self._views_drawn = self._generator.integers(0, len(self.views), len(self.labels))


@dataclass(frozen=True)
class HeadSettings:
    """The settings of a head and its training.

    Attributes:
        units: width of the dense layer.
        dropout: fraction of the values that each dropout sets to zero while training.
        epochs: passes over the features.
        batch_size: rows in a training step.
        learning_rate: peak of the schedule.
        seed: of the initial weights, of dropout and of the order.
    """

    units: int
    dropout: float
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int


def fit_head(
    top: Model,
    views: Sequence[np.ndarray],
    labels: np.ndarray,
    held_out: tuple[np.ndarray, np.ndarray],
    settings: HeadSettings,
    weights: np.ndarray | None = None,
) -> training.Fit:
    """Train a head on cached features in place, with Adam on the one-cycle schedule.

    Args:
        top: from `head`.
        views: one array of features `float32 [N, F]` for each view of the training images.
        labels: of the training images, `[N] int64`.
        held_out: features and labels of the validation images.
        settings: of the training.
        weights: how much each training image counts, `[N] float64`; None if all count the same.

    Raises:
        DivergedError: the loss became NaN or infinite.
    """
    NormStatistics(top, views[0], settings.batch_size, len(labels)).recompute()
    rows = FeatureBatches(views, labels, settings.batch_size, settings.seed, weights)
    _compile(top, len(rows), settings)
    held = {"validation_data": held_out, "validation_batch_size": 1_024}
    # FeatureBatches shuffles; Keras would shuffle again, by the global generator
    return training.fit_compiled(top, rows, epochs=settings.epochs, shuffle=False, **held)


def _compile(top: Model, steps: int, settings: HeadSettings) -> None:
    """Compile a head for a training with that many steps in an epoch."""
    optimizer = keras.optimizers.Adam(training.one_cycle(settings.learning_rate, settings.epochs * steps))
    top.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])


def fold_trainer(
    views: Sequence[np.ndarray],
    labels: np.ndarray,
    num_classes: int,
    settings: HeadSettings,
    weights: np.ndarray | None = None,
) -> out_of_fold.FitPredict:
    """Return a function that trains a head on some images, as `fit_head` does, and predicts others by their first view.

    Every head starts from the same weights. It is compiled once for all folds of a size, as compiling takes longer than
    training on few images.

    Args:
        views: one array of features `float32 [N, F]` for each view of the images; the first is of the original images.
        labels: `[N] int64`.
        num_classes: number of classes.
        settings: of the training.
        weights: as for `fit_head`.

    Example:
        `fit_predict = transfer.fold_trainer([values], train.labels, train.num_classes, settings)`
    """

    @functools.cache
    def compiled(steps: int) -> tuple[Model, list[np.ndarray]]:
        top = head(views[0].shape[1], num_classes, settings.units, settings.dropout, settings.seed)
        _compile(top, steps, settings)
        training.build_optimizer(top)
        return top, [variable.numpy() for variable in (*top.variables, *top.optimizer.variables)]

    def fit_predict(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        seen = [view[train] for view in views]
        some = None if weights is None else weights[train]
        rows = FeatureBatches(seen, labels[train], settings.batch_size, settings.seed, some)
        top, first = compiled(len(rows))
        for variable, value in zip((*top.variables, *top.optimizer.variables), first, strict=True):
            variable.assign(value)
        NormStatistics(top, seen[0], settings.batch_size, len(train)).recompute()
        training.fit_compiled(top, rows, epochs=settings.epochs, shuffle=False)
        return head_probabilities(top, views[0][test])

    return fit_predict


def head_labels(top: Model, values: np.ndarray) -> np.ndarray:
    """Predict labels, `[N] int64`, from features, `float32 [N, F]`."""
    return head_probabilities(top, values).argmax(axis=1)


def head_probabilities(top: Model, values: np.ndarray) -> np.ndarray:
    """Predict probabilities, `float32 [N, K]`, from features, `float32 [N, F]`."""
    # called, not `predict`, which would compile again for each head; TensorFlow warns of that
    chunks = (values[start : start + 1_024] for start in range(0, len(values), 1_024))
    return np.concatenate([np.asarray(top(chunk, training=False)) for chunk in chunks])
