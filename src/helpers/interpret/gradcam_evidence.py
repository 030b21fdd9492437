"""What 08_grad_cam shows: maps of a candidate and the evidence on them; without a convolution, why there is none."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from helpers import figures
from helpers.errors import OsemnError
from helpers.interpret import error_analysis, gradcam, gradcam_checks
from helpers.interpret import gradcam_plots as plots
from helpers.model import training
from helpers.obtain import data
from helpers.scoring import Mean, mean_of

EXAMPLES = 12
"""The most predictions whose maps stand side by side."""


@dataclass(frozen=True, eq=False)
class Explained:
    """A model's predictions for some images, with their maps where the model has a convolution.

    Attributes:
        predict: from `uint8 [N, H, W, C]` to probabilities, by the model.
        part: the images.
        probabilities: `float32 [N, K]`.
        cam: what makes maps; None where there can be none.
        maps: for the predicted classes, `float32 [N, H, W]`.
        layer: the layer that was looked at; empty where there is none.
        reason: why there are no maps; empty where there are.
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
    def right(self) -> np.ndarray:
        """Which predictions are right, `bool [N]`."""
        return self.predicted == self.part.labels

    @property
    def nothing(self) -> str:
        """What to say where there is nothing to draw."""
        return self.reason or "There is no such prediction among these images."

    @property
    def sentence(self) -> str:
        """What was explained, in words."""
        if self.reason:
            return f"**There are no maps**: {self.reason}"
        empty = int((self.maps.max(axis=(1, 2)) == 0).sum())
        none_speaks = "because nothing in that layer speaks for the predicted class"
        maps = "no map is" if not empty else "one map is" if empty == 1 else f"{empty:,} maps are"
        return (
            f"{len(self.part):,} validation images explained at `{self.layer}`; {maps} empty"
            f"{f', {none_speaks}' if empty else ''}."
        )


def explain(
    model: keras.Model, part: data.Dataset, *, layer: str = "", method: str = "grad_cam"
) -> Explained:
    """Predict images and make the maps of the predicted classes; a model without convolution is no error here.

    Args:
        model: from raw pixels to probabilities.
        part: the images.
        layer: as for `gradcam.GradCam`.
        method: as for `gradcam.GradCam`.

    Raises:
        OsemnError: a layer was named that does not exist.
    """
    predict = training.predictor(model)
    probabilities = predict(part.images)
    try:
        cam = gradcam.GradCam(model, layer, method)
    except OsemnError as error:
        if layer:
            raise
        return Explained(
            predict, part, probabilities, None, np.zeros((0, 0, 0), np.float32), "", error.problem
        )
    maps = cam(part.images, probabilities.argmax(axis=1)).maps
    return Explained(predict, part, probabilities, cam, maps, cam.target.name, "")


def examples(found: Explained, *, right: bool) -> np.ndarray:
    """Return the row of the most confident right, or wrong, prediction of each class, where there is one; `EXAMPLES` at most."""
    if found.cam is None:
        return np.zeros(0, np.int64)
    confidence = found.probabilities.max(axis=1)
    rows = []
    for label in range(found.part.num_classes):
        mine = np.flatnonzero((found.part.labels == label) & (found.right == right))
        if len(mine):
            rows.append(mine[np.argmax(confidence[mine])])
    return np.array(rows[:EXAMPLES], np.int64)


def panel(
    found: Explained, rows: np.ndarray, *, true_class: bool = False
) -> tuple[list[np.ndarray], list[list[str]]]:
    """Return maps and captions of some rows for `plots.panel`; with `true_class`, the maps for it beside the others."""
    if found.cam is None or len(rows) == 0:
        return [], []
    names, labels, predicted = found.part.class_names, found.part.labels, found.predicted
    maps = [found.maps[rows]]
    if true_class:
        maps.append(found.cam(found.part.images[rows], labels[rows]).maps)
    captions = []
    for row in rows.tolist():
        texts = [names[labels[row]], f"→ {names[predicted[row]]} {found.probabilities[row].max():.0%}"]
        if true_class:
            texts.append(f"for {names[labels[row]]} {found.probabilities[row, labels[row]]:.0%}")
        captions.append(texts)
    return maps, captions


@dataclass(frozen=True)
class Evidence:
    """One kind of evidence.

    Attributes:
        sentence: what it says, from the numbers.
        alt: what its figure shows.
        figure: draws it.
        metrics: to be logged; empty where there is no evidence.
        table: its numbers, where they make a table.
    """

    sentence: str
    alt: str
    figure: Callable[[], Figure]
    metrics: dict[str, Any] = field(default_factory=dict)
    table: pd.DataFrame = field(default_factory=pd.DataFrame)


def _none(reason: str) -> Evidence:
    return Evidence(f"No evidence here: {reason}", f"No figure: {reason}", lambda: figures.sentence(reason))


def energy(found: Explained) -> Evidence:
    """Return how much of the maps lies on the object, by class, for right and for wrong predictions."""
    if found.cam is None:
        return _none(found.reason)
    if not error_analysis.has_black_background(found.part.images):
        return _none("the images have no black background, so it is not known where the object is.")
    objects = error_analysis.foreground(found.part.images)
    shares = gradcam_checks.energy_on_object(found.maps, objects)
    pixels = objects.mean(axis=(1, 2))
    names, labels = found.part.class_names, found.part.labels
    by_class = gradcam_checks.by_class(shares, labels, found.right, names)
    of_pixels = {
        name: float(pixels[labels == number].mean())
        for number, name in enumerate(names)
        if (labels == number).any()
    }
    known = ~np.isnan(shares)
    over = mean_of(shares[known] - pixels[known])
    right, wrong = (mean_of(shares[known & (found.right == word)]) for word in (True, False))
    drawn = {name: means for name, means in by_class.items() if name in of_pixels}
    sentence = (
        f"{_percent(right)} of the maps' energy lies on the object for right predictions, {_percent(wrong)} for wrong ones; the "
        f"object has {pixels.mean():.1%} of the pixels. The candidate looks {_preference(over)}."
    )
    table = pd.DataFrame(
        [
            {"class": name, "prediction": word, **asdict(mean), "object's share of pixels": of_pixels[name]}
            for name, means in drawn.items()
            for word, mean in means.items()
        ]
    ).set_index(["class", "prediction"])
    return Evidence(
        sentence,
        f"Share of the maps' energy on the object by class: {_plain(sentence)}",
        lambda: plots.energy(drawn, of_pixels),
        {
            "right": asdict(right),
            "wrong": asdict(wrong),
            "pixels": float(pixels.mean()),
            "above_pixels": asdict(over),
        },
        table,
    )


def _preference(over: Mean) -> str:
    if over.ci95 is None:
        return "at too few images to say where"
    low, high = over.ci95
    if low > 0:
        return f"more at the object than chance would (by {100 * over.value:.1f} points, {100 * low:.1f} to {100 * high:.1f})"
    if high < 0:
        return f"**more at the background** than chance would (by {-100 * over.value:.1f} points, {-100 * high:.1f} to {-100 * low:.1f})"
    return "at places not shown to be more the object than chance would hit"


def _percent(mean: Mean) -> str:
    if mean.value is None:
        return "none (no such prediction)"
    interval = f" ({mean.ci95[0]:.1%} to {mean.ci95[1]:.1%})" if mean.ci95 else ""
    return f"{mean.value:.1%}{interval}"


def perturb(found: Explained, count: int, *, seed: int) -> Evidence:
    """Delete and insert the pixels of the first images in the order of their maps, and in random order."""
    if found.cam is None:
        return _none(found.reason)
    images, maps = found.part.images[:count], found.maps[:count]
    classes = found.predicted[:count]
    orders = {"by the map": maps, "in random order": np.random.default_rng(seed).random(maps.shape)}
    curves = {
        kind: {
            name: gradcam_checks.perturbed(
                found.predict, images, order, classes, insert=kind == "insertion", seed=seed
            )
            for name, order in orders.items()
        }
        for kind in ("deletion", "insertion")
    }
    gains = {
        kind: mean_of(of_kind["by the map"].areas - of_kind["in random order"].areas)
        for kind, of_kind in curves.items()
    }
    sentence = (
        f"Deleted by the map, the area under the confidence is {gain_words(gains['deletion'], wanted=-1)}; inserted by the map, it is "
        f"{gain_words(gains['insertion'], wanted=1)} ({len(images):,} images)."
    )
    return Evidence(
        sentence,
        f"Confidence while pixels go and come: {_plain(sentence)}",
        lambda: plots.perturbation(curves),
        {kind: asdict(mean) for kind, mean in gains.items()},
    )


def _plain(sentence: str) -> str:
    """Return a sentence without Markdown's asterisks, for a description of a picture."""
    return sentence.replace("**", "")


def gain_words(mean: Mean, wanted: int) -> str:
    """Return how an area under the confidence compares with random order; `wanted` is the sign that it should have."""
    word = "smaller" if mean.value < 0 else "larger"
    gain = f"{abs(mean.value):.3f} {word} than in random order"
    if mean.ci95 is None:
        return gain
    low, high = mean.ci95
    if low <= 0 <= high:
        return f"**not shown to differ** from random order ({mean.value:+.3f}, {low:+.3f} to {high:+.3f})"
    note = "as it should be" if np.sign(mean.value) == wanted else "**the wrong way round**"
    return f"{gain} ({low:+.3f} to {high:+.3f}), {note}"


def randomise(found: Explained, count: int, *, seed: int) -> Evidence:
    """Make the model's weights random, layer by layer, and compare its maps of the first images with the real ones."""
    if found.cam is None:
        return _none(found.reason)
    try:
        checked = gradcam_checks.randomise_weights(found.cam, found.part.images[:count], seed=seed)
    except OsemnError as error:
        return _none(error.problem)
    last = checked.similarity[-1]
    interval = f", {last.ci95[0]:.2f} to {last.ci95[1]:.2f}" if last.ci95 else ""
    verdict = (
        "they depend on what it learned"
        if checked.fit
        else "they show the image rather than the model, and are **unfit**"
    )
    sentence = (
        f"With all {checked.layers[-1]} weight arrays random, the maps' rank correlation with the real ones is {last.value:z.2f}"
        f"{interval}: {verdict}."
    )
    return Evidence(
        sentence,
        f"Likeness of the maps as layers become random: {_plain(sentence)}",
        lambda: plots.randomised(checked),
        {
            "fit": checked.fit,
            "similarity": [asdict(mean) for mean in checked.similarity],
            "layers": list(checked.layers),
        },
    )
