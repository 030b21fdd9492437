"""Interpolates the weights of a network before and after fine-tuning: in between, it often predicts best."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from helpers.model import training
from helpers.obtain import splits
from helpers.obtain.data import Dataset
from helpers.series.metrics import Metric

FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)  # between neighbours, a network's predictions hardly change
IMAGES = 2_000  # validation images; five fractions then cost a few seconds


@dataclass(frozen=True)
class Mixture:
    """How far a network was moved from its weights before fine-tuning to those after it.

    Attributes:
        fraction: of the way; 0 keeps the weights before fine-tuning, 1 those after it.
        scores: the metric on validation images, by fraction.
        images: number of these images.
    """

    fraction: float
    scores: dict[float, float]
    images: int


def choose(
    model: keras.Model,
    before: Sequence[np.ndarray],
    validation: Dataset,
    metric: Metric,
    seed: int,
    fractions: Sequence[float] = FRACTIONS,
) -> Mixture:
    """Give a fine-tuned model the mixture of old and new weights that has the best metric on validation images.

    Among equals, the one nearest to the fine-tuned weights is taken. A network that fine-tuning did not improve ends with the
    weights that it had before.

    Source: M. Wortsman et al. (2022), "Robust fine-tuning of zero-shot models".

    Args:
        model: after fine-tuning; changed in place. Its batch normalisation must have been frozen.
        before: its weights before fine-tuning, from `get_weights`.
        validation: the validation part; of a large one a stratified sample is used.
        metric: of predicted labels, higher is better.
        seed: draws the sample.
        fractions: those to compare.

    Example:
        `mixtures[name] = interpolation.choose(models[name], folded.get_weights(), validation, metric, seed)`
    """
    rows = splits.stratified_sample(validation.labels, min(IMAGES, len(validation)), seed)
    labels, images = validation.labels[rows], validation.subset(rows).images
    predict, after = training.predictor(model), model.get_weights()
    scores = {}

    def move(fraction: float) -> None:
        model.set_weights([old + fraction * (new - old) for old, new in zip(before, after, strict=True)])

    for fraction in fractions:
        move(fraction)
        scores[fraction] = metric(labels, predict(images).argmax(axis=1), validation.num_classes)
    best = max(fractions, key=lambda fraction: (scores[fraction], fraction))
    move(best)
    return Mixture(best, scores, len(rows))
