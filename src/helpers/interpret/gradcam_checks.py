"""Checks of class-activation maps: energy on the object, deletion and insertion of pixels, randomised weights."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from helpers.errors import OsemnError
from helpers.interpret.gradcam import GradCam
from helpers.model import layer_hooks
from helpers.scoring import Mean, mean_of

Predict = Callable[[np.ndarray], np.ndarray]
_ENOUGH = 5  # images; with fewer, the interval is too wide to be useful


def energy_on_object(maps: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Return the fraction of each map's energy that lies on the object, `float64 [N]`; NaN for an empty map.

    Args:
        maps: `float32 [N, H, W]`.
        objects: `bool [N, H, W]`.

    Source: the energy-based pointing game of H. Wang et al. (2020), "Score-CAM", with a mask instead of a box.
    """
    total = maps.sum(axis=(1, 2), dtype=np.float64)
    inside = np.where(objects, maps, 0.0).sum(axis=(1, 2), dtype=np.float64)
    return np.divide(inside, total, out=np.full(len(maps), np.nan), where=total > 0)


@dataclass(frozen=True)
class Curves:
    """Confidence in a class while an image's pixels are deleted or inserted in an order.

    Attributes:
        share: fraction of the pixels that are deleted or inserted, `[S]`, from 0 to 1.
        confidence: `float64 [N, S]`.
    """

    share: np.ndarray
    confidence: np.ndarray

    @property
    def areas(self) -> np.ndarray:
        """The area under each image's curve, `[N]`: small is good for deletion, large for insertion."""
        return np.trapezoid(self.confidence, self.share, axis=1)


def perturbed(
    predict: Predict,
    images: np.ndarray,
    order: np.ndarray,
    classes: np.ndarray,
    *,
    insert: bool = False,
    steps: int = 14,
    seed: int = 0,
) -> Curves:
    """Delete an image's pixels, most important first, or insert them into a black image, and measure the confidence.

    Args:
        predict: from `uint8 [N, H, W, C]` to probabilities `[N, K]`.
        images: `uint8 [N, H, W, C]`.
        order: `float [N, H, W]`, importance of each pixel; equally important ones are ordered at random.
        classes: `[N] int64`, the class whose confidence is measured for each image.
        insert: whether pixels are inserted instead of deleted.
        steps: number of steps.
        seed: of the order among equally important pixels.

    Source: V. Petsiuk et al. (2018), "RISE".
    """
    count, (height, width) = len(images), images.shape[1:3]
    ties = np.random.default_rng(seed).random((count, height * width))
    ranked = np.lexsort((ties, -order.reshape(count, -1)), axis=1)
    rank = np.empty_like(ranked)
    np.put_along_axis(rank, ranked, np.broadcast_to(np.arange(height * width), ranked.shape), axis=1)
    rank = rank.reshape(count, height, width, 1)
    fractions = np.linspace(0, 1, steps + 1)
    rows = np.arange(count)
    confidence = []
    for fraction in fractions:
        first = rank < round(fraction * height * width)
        confidence.append(predict(np.where(first == insert, images, np.uint8(0)))[rows, classes])
    return Curves(fractions, np.stack(confidence, axis=1).astype(np.float64))


@dataclass(frozen=True)
class Randomised:
    """Similarity of the maps to the original ones while the weights of more and more layers are random.

    Attributes:
        layers: number of layers with random kernels, counted from the output, `[S]`.
        names: the last of these layers, by step.
        similarity: mean rank correlation with the original maps, by step, each with its interval.
    """

    layers: tuple[int, ...]
    names: tuple[str, ...]
    similarity: tuple[Mean, ...]

    @property
    def fit(self) -> bool:
        """Whether the maps depend on the weights: with all of them random, the correlation is below 0.5.

        Above, a map reflects the image rather than the model.
        """
        last = self.similarity[-1]
        return last.value is not None and (last.ci95[1] if last.ci95 else last.value) < 0.5

    def as_metrics(self) -> dict[str, Any]:
        """Return what the stage logs."""
        similarity = [asdict(mean) for mean in self.similarity]
        return {"fit": self.fit, "similarity": similarity, "layers": list(self.layers)}


def randomise_weights(cam: GradCam, images: np.ndarray, *, steps: int = 5, seed: int = 0) -> Randomised:
    """Randomise the kernels of a model, layer by layer from its output, and compare the maps with the original ones.

    The maps are for the classes that the trained model predicts. Its weights are restored afterwards.

    Args:
        cam: generates the maps.
        images: `[N, H, W, C]`, raw pixels.
        steps: number of steps; in the last one all layers are random.
        seed: of the random weights.

    Raises:
        OsemnError: every map is empty.

    Source: J. Adebayo et al. (2018), "Sanity checks for saliency maps": cascading randomisation, rank correlation.
    """
    original = cam(images)
    usable = original.maps.reshape(len(images), -1).std(axis=1) > 0
    if not usable.any():
        raise OsemnError("Every map is empty, so there is nothing to check.", "explain the predicted classes")
    seen, kernels = set(), []
    for layer in layer_hooks.flat_layers(cam.model):
        for variable in layer.trainable_variables + layer.non_trainable_variables:
            if len(variable.shape) >= 2 and id(variable) not in seen:
                seen.add(id(variable))
                kernels.append((layer.name, variable))
    kernels.reverse()
    trained = [variable.numpy() for _, variable in kernels]
    ends = sorted({max(1, round(len(kernels) * (step + 1) / steps)) for step in range(steps)})
    generator = np.random.default_rng(seed)
    names, similarity, done = [], [], 0
    try:
        for end in ends:
            for (_, variable), values in zip(kernels[done:end], trained[done:end], strict=True):
                variable.assign(generator.normal(values.mean(), values.std(), values.shape))
            done = end
            names.append(kernels[end - 1][0])
            maps = cam(images[usable], original.classes[usable]).maps
            similarity.append(mean_of(rank_correlations(original.maps[usable], maps)))
    finally:
        for (_, variable), values in zip(kernels, trained, strict=True):
            variable.assign(values)
    return Randomised(tuple(ends), tuple(names), tuple(similarity))


def rank_correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation of each pair of maps, `float64 [N]`; 0 if one of them is constant."""
    ranks = [stats.rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (one, other)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        return np.nan_to_num(stats.pearsonr(*ranks, axis=1).statistic)


def by_class(
    values: np.ndarray, labels: np.ndarray, correct: np.ndarray, class_names: Sequence[str]
) -> pd.DataFrame:
    """Return the mean of a value by class, for correct and incorrect predictions.

    Args:
        values: `float64 [N]`; NaN is left out.
        labels: `[N] int64`.
        correct: `bool [N]`, whether the prediction is correct.
        class_names: K names.

    Returns:
        Columns `n`, `value` and `ci95` (Student's interval, for five or more images), by `class` and `prediction`.
    """
    known, rows = ~np.isnan(values), {}
    for number in np.unique(labels):
        for kind, wanted in (("correct", True), ("incorrect", False)):
            mean = mean_of(values[known & (labels == number) & (correct == wanted)])
            rows[class_names[number], kind] = mean if mean.n >= _ENOUGH else replace(mean, ci95=None)
    index = pd.MultiIndex.from_tuples(rows, names=["class", "prediction"])
    return pd.DataFrame(map(asdict, rows.values()), index).replace(np.nan, None)
