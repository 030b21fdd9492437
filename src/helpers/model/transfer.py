"""Transfer learning: a small head on the features of a frozen backbone, and both as one model."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from time import perf_counter

import keras
import numpy as np
from keras import layers

from helpers import scoring
from helpers.errors import OsemnError, UsageError
from helpers.model import training
from helpers.model.backbones import features
from helpers.obtain import data
from helpers.series import backbone_names


def head(
    num_features: int, num_classes: int, units: int = 256, dropout: float = 0.3, seed: int = 0
) -> keras.Model:
    """Return the head: batch normalisation, dropout, dense ReLU, dropout, softmax.

    Heads of one shape and seed begin alike, so that it is the features that make the difference between them.

    Args:
        num_features: length of a row of features, `float32 [N, num_features]`.
        num_classes: number of outputs, `float32 [N, num_classes]`.
        units: width of the dense layer.
        dropout: share of values that each dropout sets to zero while training.
        seed: of the first weights, and of what dropout sets to zero.

    Raises:
        UsageError: there are fewer than two classes.
    """
    if num_classes < 2:
        raise UsageError(
            f"There is nothing to tell apart: the data have {num_classes} class.",
            "give the data set a folder of images for each of two or more classes",
        )
    inputs = keras.Input((num_features,), name="features")
    x = layers.BatchNormalization(name="classifier_norm")(inputs)
    x = layers.Dropout(dropout, seed=seed, name="classifier_dropout_1")(x)
    x = _dense(units, "relu", "classifier_dense", seed)(x)
    x = layers.Dropout(dropout, seed=seed + 1, name="classifier_dropout_2")(x)
    outputs = _dense(num_classes, "softmax", "probabilities", seed + 1)(x)
    return keras.Model(inputs, outputs, name="head")


def _dense(units: int, activation: str, name: str, seed: int) -> layers.Dense:
    start = keras.initializers.GlorotUniform(seed)
    return layers.Dense(units, activation=activation, kernel_initializer=start, name=name)


def join(base: keras.Model, top: keras.Model, name: str) -> keras.Model:
    """Return one model from raw pixels to probabilities: backbone, global average pooling, head.

    The layers, and so their weights, are those of the two models, not copies.

    Args:
        base: from `backbones`, `float32 [N, H, W, C]` 0–255 → `float32 [N, h, w, F]`.
        top: from `head`, `float32 [N, F]` → `float32 [N, K]`.
        name: of the model.
    """
    x = layers.GlobalAveragePooling2D(name=features.POOL)(base.output)
    for layer in top.layers[1:]:
        x = layer(x)
    return keras.Model(base.input, x, name=name)


class FeatureBatches(keras.utils.PyDataset):
    """Shuffled batches of memory-mapped features; only the rows of a batch are read into memory.

    Args:
        views: one array `float32 [N, F]` for each view of the images; each image's view is drawn anew in each epoch.
        labels: `[N] int64`.
        batch_size: rows in a batch; the last of an epoch may be smaller.
        seed: of order and views; each epoch has its own.
    """

    def __init__(self, views: Sequence[np.ndarray], labels: np.ndarray, batch_size: int, seed: int) -> None:
        super().__init__()
        self.views, self.labels, self.batch_size = views, labels, batch_size
        self._generator = np.random.default_rng(seed)
        self._draw()

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        drawn = self._views_drawn[rows]
        chosen = np.empty((len(rows), self.views[0].shape[1]), np.float32)
        for number, view in enumerate(self.views):
            places = np.flatnonzero(drawn == number)
            chosen[places] = view[rows[places]]
        return chosen, self.labels[rows]

    def on_epoch_end(self) -> None:
        """Draw order and views of the next epoch."""
        self._draw()

    def _draw(self) -> None:
        self._order = self._generator.permutation(len(self.labels))
        self._views_drawn = self._generator.integers(0, len(self.views), len(self.labels))


def fit_head(
    top: keras.Model,
    views: Sequence[np.ndarray],
    labels: np.ndarray,
    held_out: tuple[np.ndarray, np.ndarray],
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
) -> training.Fit:
    """Train a head on cached features with Adam on the one-cycle schedule, in place.

    Args:
        top: from `head`.
        views: one array of features `float32 [N, F]` for each view of the training images.
        labels: of the training images, `[N] int64`.
        held_out: features and labels of the validation images.
        epochs: passes over the features.
        batch_size: rows in a training step.
        learning_rate: peak of the schedule.
        seed: of the order.

    Raises:
        OsemnError: features and labels do not belong together, or the loss became NaN or infinite.
    """
    for rows, wanted in (*((view, labels) for view in views), held_out):
        if len(rows) != len(wanted):
            raise OsemnError(f"{len(rows)} rows of features for {len(wanted)} labels.", "extract them again")
    _start_from_statistics(top, views)
    steps = epochs * -(-len(labels) // batch_size)
    top.compile(
        optimizer=keras.optimizers.Adam(training.one_cycle(learning_rate, steps)),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    training.build_optimizer(top)
    started = perf_counter()
    history = top.fit(
        FeatureBatches(views, labels, batch_size, seed),
        validation_data=held_out,
        validation_batch_size=1_024,
        epochs=epochs,
        verbose=0,
        callbacks=[keras.callbacks.TerminateOnNaN()],
    ).history
    return training.check_fit(history, perf_counter() - started)


def _start_from_statistics(top: keras.Model, views: Sequence[np.ndarray], rows: int = 4_096) -> None:
    """Give batch normalisation the features' own mean and variance, which its running averages reach only slowly."""
    chunks = [view[start : start + rows] for view in views for start in range(0, len(view), rows)]
    count = sum(len(chunk) for chunk in chunks)
    mean = sum(chunk.sum(axis=0, dtype=np.float64) for chunk in chunks) / count
    variance = sum(np.square(chunk - mean).sum(axis=0) for chunk in chunks) / count
    norm = top.get_layer("classifier_norm")
    norm.moving_mean.assign(mean)
    norm.moving_variance.assign(variance)


@dataclass(frozen=True)
class HeadSettings:
    """How heads are built and trained; as for `head` and `fit_head`."""

    units: int
    dropout: float
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int


@dataclass(frozen=True, eq=False)
class Trial:
    """A head on the features of one backbone at one resolution.

    Attributes:
        source: the backbone.
        train: features of the training images.
        held_out: features of the validation images.
        extraction_seconds: to extract the training features, those of augmented views included.
        top: the trained head.
        fit: its training.
        predicted: labels of the validation images, `[N] int64`.
        score: of these.
    """

    source: features.Extractor
    train: features.Features
    held_out: features.Features
    extraction_seconds: float
    top: keras.Model
    fit: training.Fit
    predicted: np.ndarray
    score: scoring.Score

    @property
    def parameters(self) -> int:
        """How many numbers backbone and head hold."""
        return self.source.base.count_params() + self.top.count_params()

    def judged_on(self, rows: np.ndarray, labels: np.ndarray, num_classes: int) -> "Trial":
        """Return the trial as judged on some of its validation images only.

        Args:
            rows: `[M] int64`, which of them.
            labels: their labels, `[M] int64`.
            num_classes: number of classes.
        """
        predicted = self.predicted[rows]
        return replace(self, predicted=predicted, score=scoring.score(labels, predicted, num_classes))

    def as_row(self) -> dict[str, object]:
        """Return cost and score as plain values: a row of the comparison."""
        seconds = self.train.seconds + self.held_out.seconds
        images = len(self.train.values) + len(self.held_out.values)
        return {
            "backbone": self.source.backbone,
            "backbone_label": backbone_names.find(self.source.backbone).title,
            "resolution": self.source.resolution,
            "extraction_seconds": self.train.seconds,
            "images_per_second": images / max(seconds, 1e-9),
            "from_cache": self.train.from_cache and self.held_out.from_cache,
            "head_seconds": self.fit.seconds,
            "parameters": self.parameters,
            "samples": len(self.train.values),
            **asdict(self.score),
        }


def trial(
    source: features.Extractor,
    train: data.Dataset,
    held_out: data.Dataset,
    settings: HeadSettings,
    *,
    views: Sequence[features.View] = (),
    progress: Callable[..., None] = lambda done, total, note="": None,
) -> Trial:
    """Extract features, or take them from the cache, and train a head on them.

    Args:
        source: the backbone, from `features.extractor`.
        train: the training images.
        held_out: the validation images.
        settings: of the head.
        views: augmented views of the training images that the head sees besides the images as they are.
        progress: called with the images done, all images and a note.

    Raises:
        UsageError: the data have one class.
        OsemnError: as for `features.extract` and `fit_head`.
    """
    top = head(
        source.base.output.shape[-1], train.num_classes, settings.units, settings.dropout, settings.seed
    )
    found = [features.extract(source, train.images, view=view, progress=progress) for view in (None, *views)]
    kept = features.extract(source, held_out.images, progress=progress)
    fit = fit_head(
        top,
        [view.values for view in found],
        train.labels,
        (kept.values, held_out.labels),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        seed=settings.seed,
    )
    predicted = head_labels(top, kept.values)
    scored = scoring.score(held_out.labels, predicted, train.num_classes)
    seconds = sum(view.seconds for view in found)
    return Trial(source, found[0], kept, seconds, top, fit, predicted, scored)


def head_labels(top: keras.Model, values: np.ndarray) -> np.ndarray:
    """Return the labels that a head predicts, `[N] int64`, for features, `float32 [N, F]`."""
    # called, not `predict`: that compiles anew for each head, of which TensorFlow warns in a table of several
    chunks = (values[start : start + 1_024] for start in range(0, len(values), 1_024))
    return np.concatenate([np.asarray(top(chunk, training=False)).argmax(axis=1) for chunk in chunks])
