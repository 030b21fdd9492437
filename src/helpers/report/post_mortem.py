"""The post-mortem of the champion: systematic errors, possible label errors, weak slices, when to retrain."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from helpers.report.data_facts import metrics_file
from helpers.report.models import EVALUATION, SERVING, MetricsByStage, find_champion
from helpers.report.stage_conclusions import read
from helpers.wording import percent, sources

LOSS_POINTS = 3.0  # percentage points: a loss that users notice
LEVEL, POWER = 0.05, 0.8  # the usual error rates of a test
LARGEST_SAMPLE = 3_000  # images that one person can label in a few days


@dataclass(frozen=True)
class Lesson:
    """One part of the post-mortem.

    Attributes:
        heading: its subject.
        texts: its sentences or list entries.
        source: the files that hold its numbers.
        figure: the path of a figure, or an empty text.
    """

    heading: str
    texts: tuple[str, ...]
    source: str
    figure: str = ""


def lessons(metrics: MetricsByStage) -> list[Lesson]:
    """Return the post-mortem of the champion, as far as it was evaluated and served."""
    name = find_champion(metrics)
    if not name:
        return []
    stage = f"{EVALUATION}/{name}"
    logged, source = metrics[stage], metrics_file(stage)
    confusions, slices = (
        tuple(conclusion.text for conclusion in read(metrics, (stage, name)))
        for name in ("confusions", "slices")
    )
    drift = read(metrics, (SERVING, "drift"))
    retrain = (*(conclusion.text for conclusion in drift), retraining(logged["accuracy"], logged["n"]))
    watched = sources([source, *(conclusion.source for conclusion in drift)])
    parts = [
        Lesson("Systematic errors", confusions, source, f"{stage}/figures/misclassified.png"),
        Lesson("Labels to check", _labels(logged), source, f"{stage}/figures/doubtful_labels.png"),
        Lesson("Slices of the test images", slices, source, f"{stage}/figures/slices.png"),
        Lesson("When to retrain", retrain, watched),
    ]
    return [lesson for lesson in parts if lesson.texts]


def _labels(logged: Mapping[str, Any]) -> tuple[str, ...]:
    count, n = logged.get("doubtful_labels"), logged["n"]
    if count is None:
        return ()
    if not count:
        return ("No test label contradicts the predictions so clearly that it may be an error.",)
    return (
        f"{count:,} test labels ({percent(count / n)}) contradict the predictions so clearly that the label may be an error; the "
        "champion may also be wrong. They are listed in doubtful_labels.csv for a manual check; none was changed or removed, so "
        "every accuracy here includes them.",
    )


def retraining(accuracy: float, n: int) -> str:
    """Return the number of images to label, and how many correct predictions are too few.

    Args:
        accuracy: on the test images.
        n: number of test images.
    """
    needed = labelled_sample(accuracy, n, LOSS_POINTS / 100)
    start = "Only labelled images show a loss of accuracy: label a new random sample of"
    if needed is None:
        return (
            f"{start} images from time to time. With {n:,} test images, of which {percent(accuracy)} are classified correctly, no "
            f"sample can distinguish a loss of {LOSS_POINTS:.0f} percentage points from chance: test on more images first."
        )
    images, limit = needed
    return (
        f"{start} {images:,} images from time to time, and retrain when fewer than {limit:,} of them "
        f"({percent(limit / images)}) are classified correctly. Without any change, at most one sample in twenty falls below "
        f"that limit; after a loss of {LOSS_POINTS:.0f} percentage points, at least four in five do. The uncertainty of the "
        f"accuracy on {n:,} test images is included."
    )


def labelled_sample(accuracy: float, n: int, loss: float) -> tuple[int, int] | None:
    """Return the size of a sample that detects a loss of accuracy, and the count of correct predictions below which it does.

    The count follows a beta-binomial distribution (Jeffreys' prior), as the accuracy is only known from test images. The
    test is one-sided at level 5% with power 80%. The size is the smallest multiple of ten; None where none is large enough.

    Args:
        accuracy: on the test images, between 0 and 1.
        n: number of test images.
        loss: decrease in accuracy to detect, above 0.
    """
    correct, incorrect = accuracy * n + 0.5, (1 - accuracy) * n + 0.5
    if correct / (n + 1) <= loss:
        return None
    for images in range(10, LARGEST_SAMPLE + 1, 10):
        limit = int(np.searchsorted(_cumulative(images, correct, incorrect), LEVEL, side="right"))
        lost = loss * (correct + incorrect)
        if limit > 0 and _cumulative(images, correct - lost, incorrect + lost)[limit - 1] >= POWER:
            return images, limit
    return None


def _cumulative(images: int, correct: float, incorrect: float) -> np.ndarray:
    return np.cumsum(stats.betabinom.pmf(np.arange(images + 1), images, correct, incorrect))
