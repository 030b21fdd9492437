"""The hard validation image of 03, followed through the series: what each model predicts for it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from helpers import figures, wording
from helpers.obtain.data import Dataset
from helpers.series import stages
from helpers.series.runs import Run

FILE = "followed.npz"  # of 10_export
MOST_CLASSES = 5  # columns of the figure; the other classes have next to no probability
MODELS = {
    "baseline_cnn": "three-layer CNN (04)",
    "transfer": "frozen network (05)",
    "fine_tuned": "fine-tuned network (06)",
    "tuned": "tuned network (09)",
}
"""The candidates by name, as the figure calls them."""


@dataclass(frozen=True, eq=False)
class Followed:
    """An image, usually of the validation part, with the predictions of the models so far.

    Attributes:
        image: `[H, W, C] uint8`.
        index: its place among the images of its part.
        label: its label, an index into `class_names`.
        class_names: names by label.
        answers: by the name of each model in a figure, the probabilities that it predicts, `[K]`.
        part: the part of the data that it belongs to.
    """

    image: np.ndarray
    index: int
    label: int
    class_names: tuple[str, ...]
    answers: Mapping[str, np.ndarray]
    part: str = "validation"

    def with_answer(self, model: str, probabilities: np.ndarray) -> "Followed":
        """Return it with the prediction of one more model: its probabilities for this image, `[K]`.

        Example:
            `followed.with_answer(follow.MODELS["transfer"], probabilities[followed.index])`
        """
        return replace(self, answers={**self.answers, model: np.asarray(probabilities)})


def find(run: Run, validation: Dataset) -> Followed:
    """Return the image that 03 chose, with the predictions of those models that the run's stage reads.

    Args:
        run: of a stage that reads from 03_preprocess.
        validation: the validation images, at any side.

    Example:
        `followed = follow.find(run, validation)`
    """
    index = json.loads(run.input("03_preprocess", "followed.json").read_text(encoding="utf-8"))[
        "validation_image"
    ]
    answers = {}
    for name, stage in stages.CANDIDATES.items():
        if stage in run.upstream:
            with np.load(run.input(stage, "validation_predictions.npz")) as arrays:
                answers[MODELS[name]] = arrays[f"probabilities_{name}"][index]
    label = int(validation.labels[index])
    return Followed(validation.images[index], index, label, validation.class_names, answers)


def save(run: Run, followed: Followed) -> None:
    """Save the image and the predictions for the stages that see no validation images: 11_serving and 12_report.

    Example:
        `follow.save(run, followed)`
    """
    np.savez(
        run.path(FILE),
        image=followed.image,
        place=(followed.index, followed.label),
        class_names=followed.class_names,
        models=list(followed.answers),
        probabilities=list(followed.answers.values()),
    )


def load(run: Run) -> Followed:
    """Return the image with the predictions that 10_export saved: those of all models, and of the champion in its formats.

    Example:
        `followed = follow.load(run)`
    """
    with np.load(run.input("10_export", FILE), allow_pickle=False) as saved:
        index, label = saved["place"].tolist()
        answers = dict(zip(saved["models"].tolist(), saved["probabilities"], strict=True))
        return Followed(saved["image"], index, label, tuple(saved["class_names"].tolist()), answers)


def hardest(probabilities: np.ndarray, labels: np.ndarray) -> int:
    """Return the place of the most confident mistake, or, if there is none, of the least confident prediction."""
    confidence = probabilities.max(axis=1)
    wrong = probabilities.argmax(axis=1) != labels
    return int(np.where(wrong, confidence, -confidence).argmax())


def figure(followed: Followed) -> Figure:
    """Return the image beside the probabilities of each model, one row per model, for the classes in question.

    Example:
        `run.show(follow.figure(followed), "followed_image")`
    """
    names = [figures.label(name, 16) for name in followed.class_names]
    told = [
        f"the {model} predicts {names[answer.argmax()]} with {wording.percent(answer.max(), 0)}"
        for model, answer in followed.answers.items()
    ]
    title = f"{followed.part} image {followed.index:,}, labelled {names[followed.label]}"
    table = pd.DataFrame(followed.answers.values(), list(followed.answers), names)
    columns = np.argsort(-table.to_numpy().max(axis=0, initial=0.0), kind="stable")[:MOST_CLASSES]
    columns = np.unique([followed.label, *columns])
    canvas, [[left, right]] = figures.subplots(
        1, 2, width=9.0, height=1.5 + 0.35 * max(len(table), 3), width_ratios=[1, 3]
    )
    figures.draw_image(left, followed.image)
    left.set_title(title.replace(", ", ",\n"), fontsize=10)
    if len(table):
        sns.heatmap(
            table.iloc[:, columns], ax=right, annot=True, fmt=".0%", cmap="Blues", vmin=0, vmax=1, cbar=False
        )
        right.set_title("predicted probability", fontsize=10)
        right.tick_params(axis="x", rotation=30)
    else:
        figures.no_axes(right)
    return figures.with_alt(canvas, f"{wording.capital('; '.join([title, *told]))}.")
