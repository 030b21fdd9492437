"""The post-mortem of the champion: systematic errors, possible label errors, weak slices, when to retrain."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from helpers import wording
from helpers.report.data_facts import metrics_file
from helpers.report.models import EVALUATION, SERVING, MetricsByStage, find_champion
from helpers.report.stage_conclusions import read


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
    last = [one for one in metrics if one.startswith(EVALUATION)][
        -1
    ]  # it knows the predictions of all others
    confusions, slices, robustness, unknown, agreement = (
        tuple(conclusion.text for conclusion in read(metrics, place))
        for place in (
            *((stage, name) for name in ("confusions", "slices", "robustness", "unknown")),
            (last, "agreement"),
        )
    )
    watch = read(metrics, (SERVING, "drift"), (stage, "retraining"))
    retrain = tuple(conclusion.text for conclusion in watch)
    watched = wording.sources(conclusion.source for conclusion in watch)
    parts = [
        Lesson("Systematic errors", confusions, source, f"{stage}/figures/misclassified.png"),
        Lesson("Labels to check", _labels(logged), source),
        Lesson("Slices of the test images", slices, source, f"{stage}/figures/slices.png"),
        Lesson("Worse images", robustness, source),
        Lesson("Images of none of the classes", unknown, source),
        Lesson("Images that no candidate classifies correctly", agreement, metrics_file(last)),
        Lesson("When to retrain", retrain, watched),
    ]
    return [lesson for lesson in parts if lesson.texts]


def _labels(logged: Mapping[str, Any]) -> tuple[str, ...]:
    count, n = logged.get("doubtful_labels"), logged["n"]
    if count is None:
        return ()
    if not count:
        return ("No test label contradicts the predictions so clearly that it may be an error.",)
    verb, listed = ("contradicts", "It is listed") if count == 1 else ("contradict", "They are listed")
    return (
        f"{wording.count(count, 'test label')} ({wording.percent(count / n)}) {verb} the predictions so clearly that the label may be an "
        f"error; the champion may also be wrong. {listed} in doubtful_labels.csv for a manual check; none was changed or removed, so "
        "every accuracy here includes them.",
    )
