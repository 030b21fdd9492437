"""Numbers that make class-activation maps evidence: energy on the object, deletion and insertion, randomised weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from helpers.errors import OsemnError
from helpers.interpret.gradcam import GradCam
from helpers.model import layer_hooks
from helpers.scoring import Mean, mean_of

Predict = Callable[[np.ndarray], np.ndarray]
_ENOUGH = 5  # images, below which an interval says nothing


def energy_on_object(maps: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Return the share of each map that lies on the object, `float64 [N]`; NaN for an empty map.

    Args:
        maps: `float32 [N, H, W]`.
        objects: `bool [N, H, W]`.

    Source: the energy-based pointing game of H. Wang et al. (2020), "Score-CAM", with a mask for a box.
    """
    total = maps.sum(axis=(1, 2), dtype=np.float64)
    inside = np.where(objects, maps, 0.0).sum(axis=(1, 2), dtype=np.float64)
    return np.divide(inside, total, out=np.full(len(maps), np.nan), where=total > 0)


@dataclass(frozen=True)
class Curves:
    """Confidence in a class while an image's pixels go, or come, in an order.

    Attributes:
        share: of the pixels that are gone, or there, `[S]`, from 0 to 1.
        confidence: `float64 [N, S]`.
    """

    share: np.ndarray
    confidence: np.ndarray

    @property
    def areas(self) -> np.ndarray:
        """The area under each image's curve, `[N]`: for deletion small is good, for insertion large."""
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
    """Delete an image's pixels, most important first, or insert them into a black image, and watch the confidence.

    Args:
        predict: from `uint8 [N, H, W, C]` to probabilities `[N, K]`.
        images: `uint8 [N, H, W, C]`.
        order: `float [N, H, W]`, importance of each pixel; among equal ones the order is random.
        classes: `[N] int64`, whose confidence is watched.
        insert: whether pixels come instead of going.
        steps: how many times pixels go or come.
        seed: of the order among equal pixels.

    Source: V. Petsiuk et al. (2018), "RISE".
    """
    count, (height, width) = len(images), images.shape[1:3]
    ties = np.random.default_rng(seed).random((count, height * width))
    ranked = np.lexsort((ties, -order.reshape(count, -1)), axis=1)
    rank = np.empty_like(ranked)
    np.put_along_axis(rank, ranked, np.broadcast_to(np.arange(height * width), ranked.shape), axis=1)
    rank = rank.reshape(count, height, width, 1)
    shares = np.linspace(0, 1, steps + 1)
    rows = np.arange(count)
    confidence = []
    for share in shares:
        first = rank < round(share * height * width)
        confidence.append(predict(np.where(first == insert, images, np.uint8(0)))[rows, classes])
    return Curves(shares, np.stack(confidence, axis=1).astype(np.float64))


@dataclass(frozen=True)
class Randomised:
    """How alike the maps stay when the weights of ever more layers are random.

    Attributes:
        layers: how many layers with kernels are random, counted from the output, `[S]`.
        names: the last of them, by step.
        similarity: mean rank correlation with the real maps, by step, each with its interval.
    """

    layers: tuple[int, ...]
    names: tuple[str, ...]
    similarity: tuple[Mean, ...]

    @property
    def fit(self) -> bool:
        """Whether maps depend on the weights: with all of them random, hardly any likeness is left.

        Below 0.5 counts as hardly any; above, a map shows the image rather than the model.
        """
        last = self.similarity[-1]
        return last.value is not None and (last.ci95[1] if last.ci95 else last.value) < 0.5


def randomise_weights(cam: GradCam, images: np.ndarray, *, steps: int = 5, seed: int = 0) -> Randomised:
    """Make the kernels of a model random, layer by layer from its output, and compare the maps with the real ones.

    The maps are for the classes that the model with its own weights predicts. Its weights are given back.

    Args:
        cam: the maps' maker.
        images: `[N, H, W, C]`, raw pixels.
        steps: how many times more layers become random; the last time, all are.
        seed: of the weights.

    Raises:
        OsemnError: no image has a map that is not empty.

    Source: J. Adebayo et al. (2018), "Sanity checks for saliency maps": cascading randomisation, rank correlation.
    """
    real = cam(images)
    usable = real.maps.reshape(len(images), -1).std(axis=1) > 0
    if not usable.any():
        raise OsemnError("Every map is empty: there is nothing to check.", "explain the predicted classes")
    seen, kernels = set(), []
    for layer in layer_hooks.flat_layers(cam.model):
        for variable in layer.trainable_variables + layer.non_trainable_variables:
            if len(variable.shape) >= 2 and id(variable) not in seen:
                seen.add(id(variable))
                kernels.append((layer.name, variable))
    kernels.reverse()
    kept = [variable.numpy() for _, variable in kernels]
    ends = sorted({max(1, round(len(kernels) * (step + 1) / steps)) for step in range(steps)})
    generator = np.random.default_rng(seed)
    names, similarity, done = [], [], 0
    try:
        for end in ends:
            for (_, variable), values in zip(kernels[done:end], kept[done:end], strict=True):
                variable.assign(generator.normal(values.mean(), values.std(), values.shape))
            done = end
            names.append(kernels[end - 1][0])
            found = cam(images[usable], real.classes[usable]).maps
            similarity.append(mean_of(rank_correlations(real.maps[usable], found)))
    finally:
        for (_, variable), values in zip(kernels, kept, strict=True):
            variable.assign(values)
    return Randomised(tuple(ends), tuple(names), tuple(similarity))


def rank_correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation of each pair of maps, `float64 [N]`; 0 where one of them is flat."""
    ranks = [stats.rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (one, other)]
    centred = [values - values.mean(axis=1, keepdims=True) for values in ranks]
    norms = [np.linalg.norm(values, axis=1) for values in centred]
    product = norms[0] * norms[1]
    covered = (centred[0] * centred[1]).sum(axis=1)
    return np.divide(covered, product, out=np.zeros(len(one)), where=product > 0)


def _mean(values: np.ndarray) -> Mean:
    mean = mean_of(values)
    return mean if mean.n >= _ENOUGH else replace(mean, ci95=None)


def by_class(
    values: np.ndarray, labels: np.ndarray, right: np.ndarray, class_names: Sequence[str]
) -> dict[str, dict[str, Mean]]:
    """Return the mean of a number for each class, for right and for wrong predictions: `{class: {"right": …, "wrong": …}}`.

    Args:
        values: `float64 [N]`; NaN is left out.
        labels: `[N] int64`.
        right: `bool [N]`.
        class_names: K names.

    Returns:
        Means with Student's interval, which is left out where it rests on fewer than five images.
    """
    known = ~np.isnan(values)
    return {
        name: {
            word: _mean(values[known & (labels == number) & (right == wanted)])
            for word, wanted in (("right", True), ("wrong", False))
        }
        for number, name in enumerate(class_names)
    }
