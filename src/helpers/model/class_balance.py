"""Unequal classes: weights, balanced sampling and logit adjustment, in training or afterwards."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from helpers.obtain.data import Dataset
from helpers.series.metrics import UNEQUAL, Metric

AUTO = "auto"
STRATEGIES = ("none", "balanced", "sqrt", "sampling", "logit_adjustment")
EXPONENTS = (0.0, 0.5, 1.0)  # tried afterwards: none, and what sqrt and balanced weights aim at


def class_weights(strategy: str, counts: np.ndarray) -> np.ndarray | None:
    """Return the weight of each class in the loss, `[K] float64`, with a mean of 1 over the images; None for none.

    Args:
        strategy: one of `STRATEGIES`.
        counts: training images of each class, `[K] int64`.

    Example:
        `class_balance.class_weights("sqrt", train.class_counts())`
    """
    if strategy not in ("balanced", "sqrt"):
        return None
    weights = np.maximum(counts, 1) ** (-1.0 if strategy == "balanced" else -0.5)
    return weights * counts.sum() / (weights @ counts)


def chances(strategy: str, train: Dataset) -> np.ndarray | None:
    """Return the chance of each image to be drawn, `[N] float64`, so that all classes are drawn alike; None for a shuffle."""
    if strategy != "sampling":
        return None
    counts = train.class_counts()
    return 1.0 / (np.count_nonzero(counts) * counts[train.labels])


def log_prior(counts: np.ndarray) -> np.ndarray:
    """Return the logarithm of the classes' proportions, `[K] float64`; a class without images counts as one image."""
    counts = np.maximum(counts, 1)
    return np.log(counts / counts.sum())


def loss(strategy: str, counts: np.ndarray, label_smoothing: float) -> Callable[..., tf.Tensor]:
    """Return the loss of probabilities; with `"logit_adjustment"`, the proportions are added to the logits in training.

    Source: A. K. Menon et al. (2021), "Long-tail learning via logit adjustment", equation 10 with τ = 1.
    """
    if strategy != "logit_adjustment":
        return keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing)
    prior = tf.constant(log_prior(counts), tf.float32)

    def adjusted(targets: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
        logits = tf.math.log(probabilities + keras.config.epsilon()) + prior
        return keras.losses.categorical_crossentropy(targets, logits, True, label_smoothing)

    return adjusted


@dataclass(frozen=True, eq=False)
class Adjustment:
    """A logit adjustment after the training: the classes' proportions, to some power, are divided out.

    Attributes:
        exponent: τ; 0 leaves the probabilities as they are, 1 gives those of equally frequent classes.
        scores: the metric on the validation images by exponent; empty if none was tried.
        log_prior: `[K]`, added exponent times to the logits, it restores the probabilities of the training's proportions.
    """

    exponent: float
    scores: dict[float, float]
    log_prior: np.ndarray

    def adjusted(self, probabilities: np.ndarray) -> np.ndarray:
        """Return adjusted probabilities, `float32 [N, K]`."""
        return _adjusted(probabilities, self.log_prior, self.exponent)

    def apply(self, model: keras.Model) -> None:
        """Adjust a model in place, in the bias of its last layer.

        Example:
            `adjustment.apply(model)`
        """
        if self.exponent:
            model.layers[-1].bias.assign(model.layers[-1].bias - self.exponent * self.log_prior)

    def as_metrics(self) -> dict[str, Any]:
        """Return the adjustment as plain JSON."""
        scores = {f"{exponent:g}": score for exponent, score in self.scores.items()}
        return {"exponent": self.exponent, "scores": scores, "log_prior": self.log_prior.tolist()}


def unequal(counts: np.ndarray) -> bool:
    """Return whether the largest class has more than `UNEQUAL` times the images of the smallest, which has at least one."""
    return bool(counts.max() > UNEQUAL * max(1, counts.min()))


def can_adjust(model: keras.Model) -> bool:
    """Return whether a model ends with a softmax with a bias; that of the nearest neighbours does not."""
    last = model.layers[-1]
    is_softmax = getattr(last, "activation", None) is keras.activations.softmax
    return is_softmax and last.bias is not None


def choose(
    strategy: str, metric: Metric, labels: np.ndarray, probabilities: np.ndarray, counts: np.ndarray
) -> Adjustment:
    """Choose the adjustment with the best metric on validation images; of equal ones, the smallest.

    Source: A. K. Menon et al. (2021), "Long-tail learning via logit adjustment", section 4.1 (post-hoc).

    Args:
        strategy: only `AUTO` adjusts, and only if classes are unequal.
        metric: of the series.
        labels: of the validation images, `[N] int64`.
        probabilities: of a model trained without another strategy, `float32 [N, K]`.
        counts: training images of each class, `[K] int64`.

    Example:
        `class_balance.choose(class_weights, metric, validation.labels, probabilities, train.class_counts())`
    """
    prior = log_prior(counts)
    if strategy != AUTO or not unequal(counts):
        return Adjustment(0.0, {}, prior)
    predicted = {tau: _adjusted(probabilities, prior, tau).argmax(axis=1) for tau in EXPONENTS}
    scores = {tau: metric(labels, values, len(counts)) for tau, values in predicted.items()}
    return Adjustment(max(EXPONENTS, key=lambda tau: scores[tau]), scores, prior)


def _adjusted(probabilities: np.ndarray, prior: np.ndarray, exponent: float) -> np.ndarray:
    odds = probabilities * np.exp(-exponent * prior)
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
