"""The evidence on the champion: for each claim a figure or a table, its page, and the file with its numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from helpers.report import collect
from helpers.report.models import EVALUATION, EXPORT, GRAD_CAM, SERVING, find_champion
from helpers.report.stage_conclusions import joined
from helpers.wording import bound, milliseconds, percent, score

Rows = list[dict[str, str]]
"""A table of texts: the cells of each row by column; the first column names the row."""


@dataclass(frozen=True)
class Exhibit:
    """One piece of evidence.

    Attributes:
        heading: its subject.
        text: the conclusion of the stage; empty where it logged none.
        stage: the stage that measured it.
        figure: the path of a figure, or an empty text.
        table: its numbers; empty for a figure.
    """

    heading: str
    text: str
    stage: str
    figure: str = ""
    table: Rows | None = None


def exhibits(series: collect.Series) -> list[Exhibit]:
    """Return the evidence on the champion that its stages left; the figures are not read yet."""
    metrics = {record.stage.name: record.metrics for record in series.records if record.intact}
    name = find_champion(metrics)
    if not name:
        return []
    evaluation, grad_cam = f"{EVALUATION}/{name}", f"{GRAD_CAM}/{name}"
    checks = ("evidence", "randomisation", "perturbation")
    by_class, formats = _per_class(metrics[evaluation]), _formats(metrics.get(EXPORT, {}))
    # heading, stage, ids of its conclusions, figure or table
    plan: list[tuple[str, str, tuple[str, ...], str | Rows]] = [
        ("Confusion matrix", evaluation, (), "confusion_matrix"),
        ("Scores by class", evaluation, (), by_class),
        ("Calibration", evaluation, ("calibration", "class_thresholds"), "reliability"),
        ("Learning curves", evaluation, ("learning_curves",), "learning_curves"),
        ("Where it looks when it is wrong", grad_cam, ("maps", "where_it_looks"), "maps_wrong"),
        ("Checks of the Grad-CAM maps", grad_cam, checks, "deletion_and_insertion"),
        ("Formats", EXPORT, ("parity", "sizes"), formats),
        ("Latency and throughput", SERVING, ("latency", "throughput"), "latency_and_throughput"),
        ("Power of the drift monitor", SERVING, ("drift",), "drift_power"),
    ]
    shown = []
    for heading, stage, ids, drawn in plan:
        words = joined(metrics, *((stage, name) for name in ids))
        if not isinstance(drawn, str):
            if drawn:
                shown.append(Exhibit(heading, words, stage, table=drawn))
        elif series.by_name[stage].holds(f"figures/{drawn}.png"):
            shown.append(Exhibit(heading, words, stage, f"{stage}/figures/{drawn}.png"))
    return shown


def _per_class(logged: Mapping[str, Any]) -> Rows:
    by_name = logged.get("per_class") or {}
    columns = {"Precision": "precision", "Recall": "recall", "F1": "f1"}
    return [
        {"Class": name}
        | {column: score(by_name[name], key) for column, key in columns.items()}
        | {"Images": f"{by_name[name]['support']:,}"}
        for name in logged.get("class_names") or by_name
        if name in by_name
    ]


def _formats(logged: Mapping[str, Any]) -> Rows:
    return [
        {
            "Format": row["title"],
            "Size": f"{row['bytes'] / 1e6:.2f} MB",
            "Test accuracy": percent(row["accuracy"]),
            "Same label": f"{row['same_labels']:,} of {row['n']:,}",
            "Largest difference": bound(row["largest_difference"]),
            "One image": milliseconds(row["latency_ms_1"]),
            "First prediction": f"{row['seconds_to_first']:.1f} s",
        }
        for row in logged.get("formats") or []
    ]
