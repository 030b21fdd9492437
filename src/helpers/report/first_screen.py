"""The champion on the report's first screen: its scores, its costs, and what it must not be used for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helpers.report.business.policy import shown_threshold
from helpers.report.data_facts import metrics_file
from helpers.report.models import EVALUATION, EXPORT, SERVING, TRANSFER, TUNING, MetricsByStage, find_champion
from helpers.report.stage_conclusions import joined
from helpers.series import stages
from helpers.wording import duration, interval, listing, percent, sources

SERVED_FORMAT = "onnx"
WEAK_CLASSES = 3  # as many as fit into one sentence


@dataclass(frozen=True)
class Tile:
    """One number on the first screen.

    Attributes:
        title: what was measured.
        value: the number with its unit.
        detail: its interval or its conditions.
        source: the file that holds it.
    """

    title: str
    value: str
    detail: str
    source: str


def lead(metrics: MetricsByStage, dataset: str) -> str:
    """Return the sentences on top: the champion and its test accuracy; empty without a champion."""
    name = find_champion(metrics)
    if not name:
        return ""
    stage = f"{EVALUATION}/{name}"
    named = f"The champion on {dataset} is the {metrics[stage]['label']}."
    return f"{named} {joined(metrics, (stage, 'test_accuracy'))}".strip()


def tiles(metrics: MetricsByStage) -> list[Tile]:
    """Return the champion's numbers that were logged: accuracy, macro-F1, size, latency, training time."""
    name = find_champion(metrics)
    if not name:
        return []
    stage = f"{EVALUATION}/{name}"
    logged, source = metrics[stage], metrics_file(stage)
    low, high = logged["macro_f1_ci95"]
    scores = [
        Tile("Test accuracy", percent(logged["accuracy"]), _ends(interval(*logged["accuracy_ci95"])), source),
        Tile("Macro-F1", f"{logged['macro_f1']:.3f}", _ends(f"{low:.3f} to {high:.3f}"), source),
    ]
    return [*scores, *_costs(metrics, name)]


def _ends(words: str) -> str:
    return f"95% interval {words}"


def _costs(metrics: MetricsByStage, name: str) -> list[Tile]:
    """Return a candidate's size, latency and training time."""
    trained_by, export = stages.CANDIDATES[name], metrics[EXPORT]
    trained = metrics[trained_by]["models"][name]
    (size,) = (row["bytes"] / 1e6 for row in export["formats"] if row["format"] == SERVED_FORMAT)
    service, (before, stage) = _service(metrics), _before_training(metrics, name)
    ms, samples = f"{export['latency_ms'][name]:.2g} ms", f"on {trained['samples']:,} images{before}"
    return [
        Tile(
            "Parameters", f"{trained['parameters']:,}", f"{size:.2f} MB as ONNX", _files(trained_by, EXPORT)
        ),
        Tile("Latency, one image", ms, service, _files(EXPORT, SERVING if service else "")),
        Tile("Training", duration(trained["fit_seconds"]), samples, _files(trained_by, stage)),
    ]


def _before_training(metrics: MetricsByStage, name: str) -> tuple[str, str]:
    """Return the time that a candidate needed before its own training, and the other stage that logged it."""
    if name == "tuned":
        return f"; after a search of {duration(metrics[TUNING]['search_seconds'])}", ""
    if name == "fine_tuned":
        head = metrics[TRANSFER]["models"]["transfer"]["fit_seconds"]
        return f"; after {duration(head)} for its head", TRANSFER
    return "", ""


def _service(metrics: MetricsByStage) -> str:
    """Return the median response time of the service, where it was measured."""
    load = metrics.get(SERVING, {}).get("load", [])
    alone = [row for row in load if row["connections"] == row["workers"] == row["pictures"] == 1]
    return f"{alone[0]['p50']:.2g} ms by the service" if alone else ""


def _files(*names: str) -> str:
    return sources(metrics_file(stage) for stage in names if stage)


def not_for(metrics: MetricsByStage, threshold: float | None = None) -> list[tuple[str, str]]:
    """Return what the champion must not be used for, most serious first, each with the file that holds the reason.

    Args:
        metrics: metrics by stage.
        threshold: the confidence below which a person should check, where the cost model chose one.
    """
    name = find_champion(metrics)
    if not name:
        return []
    stage = f"{EVALUATION}/{name}"
    weak = _weak_classes(metrics[stage])
    entries = []
    if weak:
        words = f"Deciding alone that an image shows {_weakness(weak)}; in brackets, the precision and its 95% interval."
        entries.append((words, metrics_file(stage)))
    if threshold:
        words = (
            f"Acting without a person on predictions with a calibrated confidence below {shown_threshold(threshold)} (after "
            "temperature scaling, as the service returns it)."
        )
        entries.append((words, metrics_file("12_report")))
    words = (
        f"Images of anything but its {len(metrics[stage]['class_names'])} classes, or from another source: it predicts one of its "
        "classes for every image, and was tested on its own data set only."
    )
    return [*entries, (words, metrics_file(EXPORT)), ("Decisions about people.", metrics_file(EXPORT))]


def _weak_classes(logged: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the classes whose interval of the precision lies below that of the accuracy, weakest first."""
    floor = logged["accuracy_ci95"][0]
    weak = [
        (name, scores)
        for name, scores in logged["per_class"].items()
        if scores["precision_ci95"] and scores["precision_ci95"][1] < floor
    ]
    return sorted(weak, key=lambda entry: entry[1]["precision"])[:WEAK_CLASSES]


def _weakness(weak: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    words = [
        f"{name} ({percent(scores['precision'])}, {interval(*scores['precision_ci95'])})"
        for name, scores in weak
    ]
    return listing(words, "or")
