"""Candidates for the champion: load them, check them against the data, score images, compare them with each other."""

import fnmatch
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import Model

from helpers import scoring
from helpers.errors import OsemnError
from helpers.model import layer_hooks, loading, training
from helpers.obtain.data import Dataset
from helpers.series import metrics, stages
from helpers.series.metrics import Metric
from helpers.series.runs import Run

PREDICTIONS = "test_predictions.npz"


@dataclass(frozen=True, eq=False)
class Candidate:
    """A trained model that may become the champion.

    Attributes:
        name: "baseline_cnn", "transfer", "fine_tuned" or "tuned".
        stage: the stage that trained it.
        label: its name in sentences, such as "three-layer CNN".
        model: from raw pixels to probabilities.
        sha256: of the model's file.
        history: loss and accuracy by epoch, from training.
        further: models of the same settings from other seeds, if the stage saved some.
        further_sha256: of their files.
    """

    name: str
    stage: str
    label: str
    model: Model
    sha256: str
    history: dict[str, list[float]]
    further: tuple[Model, ...]
    further_sha256: tuple[str, ...] = ()

    @property
    def side(self) -> int:
        """The side of the images that it takes, in pixels."""
        return self.model.inputs[0].shape[1]


def load(run: Run, part: Dataset, name: str = "") -> Candidate:
    """Return a candidate.

    Args:
        run: run of a stage that may read from the one that trains the candidate.
        part: a part of the data, to check that the model fits; images from disk are then loaded at its `side`.
        name: the candidate's name; by default the one for which the stage is run, as in 07_evaluation and 08_grad_cam.

    Raises:
        OsemnError: the model has another number of classes or channels, or another image size than a built-in data set.
        MissingInputError: the stage that trains it saved no such model.

    Example:
        `chosen = candidates.load(run, validation)`
    """
    name = name or run.stage.candidate
    stage = stages.CANDIDATES[name]
    path = run.input(stage, f"models/{name}.keras")
    model = loading.load(path)
    _check(model, name, stage, part)
    logged = json.loads(run.input(stage, "metrics.json").read_text(encoding="utf-8"))
    histories = json.loads(run.input(stage, "history.json").read_text(encoding="utf-8"))
    of_seeds = sorted(fnmatch.filter(run.upstream[stage]["outputs"], f"models/{name}_seed_*.keras"))
    return Candidate(
        name,
        stage,
        logged["models"][name]["label"],
        model,
        run.inputs[f"{stage}/models/{name}.keras"],
        histories.get(name) or histories[logged["chosen"]],
        tuple(loading.load(run.input(stage, file)) for file in of_seeds),
        tuple(run.inputs[f"{stage}/{file}"] for file in of_seeds),
    )


def validation_probabilities(run: Run, name: str) -> np.ndarray:
    """Return the probabilities that a candidate predicted for the validation images, `[N, K]`.

    Raises:
        MissingInputError: the stage that trains it saved no predictions.

    Example:
        `candidates.validation_probabilities(run, "tuned")`
    """
    with np.load(run.input(stages.CANDIDATES[name], "validation_predictions.npz")) as saved:
        return saved[f"probabilities_{name}"]


def compare_with_others(
    run: Run, metric: Metric, labels: np.ndarray, by_seed: Sequence[np.ndarray], num_classes: int
) -> list[dict[str, Any]]:
    """Compare with the candidates that were evaluated before this one, on the same test images.

    Args:
        run: of 07_evaluation.
        metric: of the series.
        labels: `[N] int64`.
        by_seed: predictions of the candidate, `[N] int64`, and of its networks from other seeds.
        num_classes: K.

    Returns:
        For each: `other`, its `label`, `by_metric` (from `metrics.tested`), and of the accuracy `points`, `ci95` (points), `p_value`,
        `shown` (significant), `only_this`, `only_other`; `methods`, the same by metric over seeds and images together, and `seeds` of
        both, if both were trained with enough seeds.

    Example:
        `candidates.compare_with_others(run, metric, test.labels, by_seed, len(names))`
    """
    rows, predicted = [], by_seed[0]
    for name, (label, others) in predictions_of_others(run).items():
        comparison = scoring.compare(labels, predicted, others[0])
        by_metric = metrics.tested(metric, labels, predicted, others[0], num_classes)
        row = {"other": name, "label": label, "by_metric": by_metric, **comparison.as_metrics()}
        row |= {"only_this": comparison.only_one, "only_other": comparison.only_other}
        if min(len(by_seed), len(others)) >= metrics.SEEDS:
            methods = metrics.compare_methods(metric, labels, np.stack(by_seed), others, num_classes)
            row |= {"methods": methods.as_metrics(), "seeds": [len(by_seed), len(others)]}
        rows.append(row)
    return rows


def predictions_of_others(run: Run) -> dict[str, tuple[str, np.ndarray]]:
    """Return label and predictions, `[S, N] int64`, of the candidates that were evaluated before this one, by name.

    The first row is the candidate's own, the others are those of networks from other seeds.

    Example:
        `others = candidates.predictions_of_others(run)`
    """
    predictions = {}
    may_read = [stage for stage in run.stage.may_read if stages.find(stage).notebook == run.stage.notebook]
    for stage in [stage for stage in may_read if stage in run.upstream]:
        with np.load(run.input(stage, PREDICTIONS), allow_pickle=False) as saved:
            by_seed = (
                saved["by_seed"] if "by_seed" in saved else saved["predicted"][np.newaxis]
            )  # of an earlier run
            predictions[stages.find(stage).candidate] = str(saved["label"]), by_seed
    return predictions


def _check(model: Model, name: str, stage: str, part: Dataset) -> None:
    classes, shape = model.outputs[0].shape[-1], tuple(model.inputs[0].shape[1:])
    image_shape = (*shape[:2], part.image_shape[-1]) if part.from_disk else part.image_shape
    fits = all(mine in (None, theirs) for mine, theirs in zip(shape, image_shape, strict=True))
    if classes != part.num_classes or not fits:
        raise OsemnError(
            f"The model '{name}' has {classes} classes and takes images of shape {list(shape)}; the data have "
            f"{part.num_classes} ({', '.join(part.class_names)}) and {list(image_shape)}.",
            f"train it on these data: osemn run --from {stage}",
        )


def forward(model: Model) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Return a function from images, `[N, H, W, C]`, to probabilities, `float32 [N, K]`, and embeddings, `float32 [N, D]`.

    An embedding is the input of the last dense layer with one value per class. If a model averages views, it is that of the
    unchanged image.

    Raises:
        OsemnError: the model has no such layer.
    """
    dense = _last_dense(model)

    def both(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        seen: list[tf.Tensor] = []
        with layer_hooks.watched(dense, lambda inputs, _: seen.append(inputs)):
            probabilities = model(tf.cast(images, tf.float32), training=False)
        return probabilities, seen[0]

    return both


def _last_dense(model: Model) -> keras.layers.Dense:
    classes = model.outputs[0].shape[-1]
    dense = [layer for layer in layer_hooks.flat_layers(model) if isinstance(layer, keras.layers.Dense)]
    dense = [layer for layer in dense if layer.units == classes]
    if not dense:
        raise OsemnError(
            f"The model '{model.name}' does not end in a dense layer of {classes} units.",
            "give it a dense layer with one value per class",
        )
    return dense[-1]


def last_layer(model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Return weights, `float32 [D, K]`, and bias, `float32 [K]`, that turn embeddings into logits.

    Raises:
        OsemnError: as for `forward`.

    Example:
        `weights, bias = candidates.last_layer(chosen.model)`
    """
    return tuple(_last_dense(model).get_weights())


def scorer(model: Model, batch_size: int = 512) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return a function from images, `uint8 [N, H, W, C]`, to probabilities, `float32 [N, K]`, and embeddings, `float32 [N, D]`.

    Raises:
        OsemnError: as for `forward`.

    Example:
        `probabilities, embeddings = candidates.scorer(chosen.model)(test.images)`
    """
    signature = [tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.uint8)]
    compiled = tf.function(forward(model), input_signature=signature)

    def score(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        step = training.batch_size_for(images.shape[1:], batch_size)
        chunks = [compiled(images[start : start + step]) for start in range(0, len(images), step)]
        return tuple(map(np.concatenate, zip(*chunks, strict=True)))

    return score
