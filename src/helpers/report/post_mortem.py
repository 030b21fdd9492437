"""The post-mortem: where the champion fails and keeps failing, which labels to doubt, what to collect, when to train again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from helpers.report.data_facts import metrics_file
from helpers.report.first_screen import EVALUATION, SERVING, candidate
from helpers.report.models import MetricsByStage
from helpers.wording import listing, percent

PAIRS = 3
LOSS_POINTS = 3.0
LEVEL, POWER = 0.05, 0.8
NOTICED = 0.9
LARGEST_SAMPLE = 3_000


@dataclass(frozen=True)
class Lesson:
    """One part of the post-mortem.

    Attributes:
        heading: what it speaks of.
        texts: its sentences or list entries.
        source: the files that its numbers come from.
        figure: the file of a figure beside the source, or an empty text.
    """

    heading: str
    texts: tuple[str, ...]
    source: str
    figure: str = ""


def lessons(metrics: MetricsByStage) -> list[Lesson]:
    """Return the post-mortem of the champion, as far as it was evaluated and served."""
    name = candidate(metrics)
    if not name:
        return []
    stage = f"{EVALUATION}/{name}"
    tested, source = metrics[stage], metrics_file(stage)
    found = [
        Lesson("Systematic failures", _failures(tested), source, f"{stage}/figures/misclassified.png"),
        Lesson("Labels to check", _labels(tested), source, f"{stage}/figures/doubtful_labels.png"),
        Lesson("What to collect next", _collect(tested), source, f"{stage}/figures/slices.png"),
    ]
    drift = _drift(metrics.get(SERVING, {}))
    watched = f"{source}, {metrics_file(SERVING)}" if drift else source
    found.append(
        Lesson("When to train again", (*drift, retraining(tested["accuracy"], tested["n"])), watched)
    )
    return [lesson for lesson in found if lesson.texts]


def _failures(tested: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the pairs of classes that are taken for each other most, and the share of all mistakes that they make."""
    if not tested.get("confusion"):
        return ()
    counts = np.array(tested["confusion"])
    np.fill_diagonal(counts, 0)
    mistakes = int(counts.sum())
    if not mistakes:
        return ("No test image is told wrong.",)
    both = np.triu(counts + counts.T)
    names, order = tested["class_names"], np.argsort(-both, axis=None, kind="stable")[:PAIRS]
    pairs = [(*divmod(int(place), len(names)), int(both.flat[place])) for place in order if both.flat[place]]
    words = listing([f"{names[one]} and {names[other]} ({count})" for one, other, count in pairs])
    share = sum(count for *_, count in pairs) / mistakes
    return (
        f"{mistakes:,} of {tested['n']:,} test images are told wrong. The classes taken for each other most are {words}: "
        f"{percent(share)} of all mistakes.",
    )


def _labels(tested: Mapping[str, Any]) -> tuple[str, ...]:
    doubtful, n = tested.get("doubtful_labels"), tested["n"]
    if doubtful is None:
        return ()
    if not doubtful:
        return (
            "No test label is contradicted by its neighbours among the training images, as the champion sees them.",
        )
    return (
        f"{doubtful:,} test labels ({percent(doubtful / n)}) are contradicted by nearly all of their nearest neighbours in a sample of the "
        "training images, as near as the champion sees them: that finds wrong labels and its own mistakes alike. They are listed in "
        "doubtful_labels.csv for a person to look at; none was changed or left out, so every accuracy here counts them as they are.",
    )


def _collect(tested: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(text).replace("**", "") for text in tested.get("recommendations") or ())


def _drift(logged: Mapping[str, Any]) -> tuple[str, ...]:
    """Return which changes of the pictures the monitor notices with the middle one of its windows, and how often it errs."""
    rows = logged.get("drift_power") or []
    if not rows:
        return ()
    window = sorted({row["window"] for row in rows})[len({row["window"] for row in rows}) // 2]
    rows = [row for row in rows if row["window"] == window]
    noticed = {
        row["kind"]: row["strength"] for row in reversed(rows) if row["detected"] >= NOTICED * row["windows"]
    }
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    seen = [
        f"{kind} from {noticed[kind]}" if len(_of(rows, kind)) > 1 else kind
        for kind in kinds
        if kind in noticed
    ]
    unseen = [f"{kind} of {_weakest_unseen(rows, kind)}" for kind in kinds if _weakest_unseen(rows, kind)]
    text = f"Watching {window} pictures at a time, the service's monitor notices in at least nine of ten windows: "
    text += listing(seen) if seen else "none of the changes that were tried"
    text += f". Mostly not noticed: {listing(unseen)}." if unseen else "."
    return (text + _false_alarms(logged, window),)


def _of(rows: Sequence[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["kind"] == kind]


def _weakest_unseen(rows: Sequence[Mapping[str, Any]], kind: str) -> str:
    """Return the strongest change of a kind that is noticed in less than half of the windows; empty for none."""
    missed = [row["strength"] for row in _of(rows, kind) if row["detected"] < row["windows"] / 2]
    return missed[-1] if missed else ""


def _false_alarms(logged: Mapping[str, Any], window: int) -> str:
    quiet = next((row for row in logged.get("false_alarms") or [] if row["window"] == window), None)
    return (
        ""
        if quiet is None
        else f" False alarms: {quiet['detected']} of {quiet['windows']:,} unchanged windows."
    )


def retraining(accuracy: float, n: int) -> str:
    """Return how many pictures to label, and how many right answers are too few.

    Args:
        accuracy: on the test images.
        n: test images.
    """
    needed = labelled_sample(accuracy, n, LOSS_POINTS / 100)
    if needed is None:
        return (
            f"Accuracy itself needs labels: label a fresh random sample of pictures from time to time. With {n:,} test images, of "
            f"which {percent(accuracy)} were told right, no sample would tell a loss of {LOSS_POINTS:.0f} percentage points from "
            "chance: test on more images first."
        )
    images, limit = needed
    return (
        f"Accuracy itself needs labels: label a fresh random sample of {images:,} pictures from time to time, and train again when "
        f"fewer than {limit:,} of them ({percent(limit / images)}) are told right. By chance alone that happens in at most one of "
        f"twenty samples; after a loss of {LOSS_POINTS:.0f} percentage points in at least four of five. How uncertain the accuracy on "
        f"{n:,} test images is itself, is reckoned in."
    )


def labelled_sample(accuracy: float, n: int, loss: float) -> tuple[int, int] | None:
    """Return a sample that shows a loss of accuracy, and the count of right answers below which it does.

    By the predictive distribution of the count, beta-binomial after Jeffreys' prior, as the accuracy before is only known from
    test images: level 5%, power 80%, one-sided. The sample is the smallest multiple of ten; None where none is large enough.

    Args:
        accuracy: as it was on the test images, between 0 and 1.
        n: test images.
        loss: how much lower it may have become, above 0.
    """
    right, wrong = accuracy * n + 0.5, (1 - accuracy) * n + 0.5
    if right / (n + 1) <= loss:
        return None
    for images in range(10, LARGEST_SAMPLE + 1, 10):
        limit = _limit(images, right, wrong)
        lost = loss * (right + wrong)
        if limit > 0 and _cumulative(images, right - lost, wrong + lost)[limit - 1] >= POWER:
            return images, limit
    return None


def _limit(images: int, right: float, wrong: float) -> int:
    """Return the count that at most `LEVEL` of the samples stay below."""
    return int(np.searchsorted(_cumulative(images, right, wrong), LEVEL, side="right"))


def _cumulative(images: int, right: float, wrong: float) -> np.ndarray:
    return np.cumsum(stats.betabinom.pmf(np.arange(images + 1), images, right, wrong))
