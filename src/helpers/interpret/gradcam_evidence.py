"""Measurements on a model's Grad-CAM maps; a model without convolutions has no maps, and the reason takes their place."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from keras import Model

from helpers.errors import OsemnError
from helpers.interpret import error_analysis, gradcam, gradcam_checks
from helpers.interpret.gradcam_checks import Curves, Randomised, perturbed
from helpers.model import training
from helpers.obtain import data
from helpers.scoring import Mean, mean_of

EXAMPLES = 12  # side by side, about as many as fit a page


@dataclass(frozen=True, eq=False)
class Explained:
    """A model's predictions for some images, with Grad-CAM maps if the model has a convolution.

    Attributes:
        predict: the model as a function from `uint8 [N, H, W, C]` to probabilities.
        part: the images.
        probabilities: `float32 [N, K]`.
        cam: generates the maps; None if there can be none.
        maps: for the predicted classes, `float32 [N, H, W]`.
        layer: name of the explained layer; empty without maps.
        reason: why there are no maps; empty if there are.
    """

    predict: gradcam_checks.Predict
    part: data.Dataset
    probabilities: np.ndarray
    cam: gradcam.GradCam | None
    maps: np.ndarray
    layer: str
    reason: str

    @property
    def predicted(self) -> np.ndarray:
        """The predicted labels, `[N] int64`."""
        return self.probabilities.argmax(axis=1)

    @property
    def correct(self) -> np.ndarray:
        """Whether each prediction is correct, `bool [N]`."""
        return self.predicted == self.part.labels


def explain(model: Model, part: data.Dataset, *, layer: str = "", method: str = "grad_cam") -> Explained:
    """Predict images and generate the maps of the predicted classes.

    A model without convolutions is not an error here: the result then holds the reason instead of maps.

    Args:
        model: from raw pixels to probabilities.
        part: the images.
        layer: as for `gradcam.GradCam`.
        method: as for `gradcam.GradCam`.

    Raises:
        OsemnError: the named layer does not exist.

    Example:
        `explained = gradcam_evidence.explain(chosen.model, part)`
    """
    part = replace(part, images=part.images[:])  # few enough for the memory, and used again and again
    predict = training.predictor(model)
    probabilities = predict(part.images)
    try:
        cam = gradcam.GradCam(model, layer, method)
    except OsemnError as error:
        if layer:
            raise
        nothing = np.zeros((0, 0, 0), np.float32)
        return Explained(predict, part, probabilities, None, nothing, "", error.problem)
    maps = cam(part.images, probabilities.argmax(axis=1)).maps
    return Explained(predict, part, probabilities, cam, maps, cam.target.name, "")


def examples(explained: Explained, *, correct: bool) -> np.ndarray:
    """Return the row of the most confident correct (or incorrect) prediction of each class, at most `EXAMPLES`.

    Example:
        `gradcam_evidence.examples(explained, correct=False)`
    """
    if explained.cam is None:
        return np.zeros(0, np.int64)
    confidence = pd.Series(explained.probabilities.max(axis=1))[explained.correct == correct]
    most = confidence.groupby(explained.part.labels[confidence.index]).idxmax()
    return most.to_numpy(np.int64)[:EXAMPLES]


@dataclass(frozen=True)
class Unmeasured:
    """A measurement that was not possible.

    Attributes:
        reason: why, as a sentence.
        table: empty.
    """

    reason: str
    table: pd.DataFrame = field(default_factory=pd.DataFrame)

    def as_metrics(self) -> dict[str, Any]:
        """Return no metrics."""
        return {}


@dataclass(frozen=True, eq=False)
class Energy:
    """How much more of the maps' energy lies on the object than the object covers, image by image.

    A map without preference has the same fraction of its energy on the object as the object has of its own image's pixels: 0 here.

    Attributes:
        table: mean by class and kind of prediction.
        correct: mean over all correct predictions.
        incorrect: mean over all incorrect predictions.
        overall: mean over all images.
        pixels: the object's fraction of the pixels, over all images.
    """

    table: pd.DataFrame
    correct: Mean
    incorrect: Mean
    overall: Mean
    pixels: float

    def as_metrics(self) -> dict[str, Any]:
        """Return what the stage logs."""
        means = {"right": self.correct, "wrong": self.incorrect, "above_pixels": self.overall}
        return {name: asdict(mean) for name, mean in means.items()} | {"pixels": self.pixels}


def measure_energy(explained: Explained) -> Energy | Unmeasured:
    """Measure how much more of each map lies on the object than the object covers, by class, for correct and incorrect predictions.

    Example:
        `energy = gradcam_evidence.measure_energy(explained)`
    """
    part, correct = explained.part, explained.correct
    if explained.cam is None:
        return Unmeasured(explained.reason)
    if not error_analysis.has_black_background(part.images):
        return Unmeasured("The images have no black background, so the object's place is unknown.")
    objects = error_analysis.foreground(part.images)
    pixels = objects.mean(axis=(1, 2))
    above = gradcam_checks.energy_on_object(explained.maps, objects) - pixels
    known = ~np.isnan(above)
    return Energy(
        gradcam_checks.by_class(above, part.labels, correct, part.class_names),
        mean_of(above[known & correct]),
        mean_of(above[known & ~correct]),
        mean_of(above[known]),
        float(pixels.mean()),
    )


@dataclass(frozen=True)
class Perturbation:
    """Confidence while pixels are deleted or inserted, in the order of the maps and in random order.

    Attributes:
        n: number of images.
        curves: `{"deletion": {order: curves}, "insertion": {order: curves}}`.
    """

    n: int
    curves: dict[str, dict[str, Curves]]

    @property
    def gains(self) -> dict[str, Mean]:
        """Area under the curve by the map minus area in random order, for deletion and insertion."""
        return {
            kind: mean_of(orders["by the map"].areas - orders["in random order"].areas)
            for kind, orders in self.curves.items()
        }

    def as_metrics(self) -> dict[str, Any]:
        """Return what the stage logs."""
        return {kind: asdict(mean) for kind, mean in self.gains.items()}


def perturb(explained: Explained, count: int, *, seed: int) -> Perturbation | Unmeasured:
    """Delete and insert the pixels of the first images in the order of their maps, and in random order.

    Example:
        `perturbed = gradcam_evidence.perturb(explained, 120, seed=seed)`
    """
    if explained.cam is None:
        return Unmeasured(explained.reason)
    images, maps = explained.part.images[:count], explained.maps[:count]
    classes = explained.predicted[:count]
    orders = {"by the map": maps, "in random order": np.random.default_rng(seed).random(maps.shape)}
    given = (explained.predict, images)
    curves = {
        kind: {
            name: perturbed(*given, order, classes, insert=insert, seed=seed)
            for name, order in orders.items()
        }
        for kind, insert in (("deletion", False), ("insertion", True))
    }
    return Perturbation(len(images), curves)


def randomise(explained: Explained, count: int, *, seed: int) -> Randomised | Unmeasured:
    """Randomise the model's weights layer by layer, and compare its maps of the first images with the original ones.

    Example:
        `randomised = gradcam_evidence.randomise(explained, 100, seed=seed)`
    """
    if explained.cam is None:
        return Unmeasured(explained.reason)
    try:
        return gradcam_checks.randomise_weights(explained.cam, explained.part.images[:count], seed=seed)
    except OsemnError as error:
        return Unmeasured(error.problem)
