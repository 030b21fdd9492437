"""The evidence on the champion: for each claim a figure or a table, its page, and the file with its numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helpers.report import collect
from helpers.report.models import EVALUATION, EXPORT, GRAD_CAM, SERVING, find_champion
from helpers.report.stage_conclusions import joined
from helpers.wording import percent, score

HEAD = (
    "Format",
    "Size",
    "Test accuracy",
    "Same label",
    "Largest difference",
    "One image",
    "First prediction",
)


@dataclass(frozen=True)
class Table:
    """A table of texts; the first column names the row.

    Attributes:
        head: the columns' titles.
        rows: the cells.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Exhibit:
    """One piece of evidence.

    Attributes:
        heading: its subject.
        text: the conclusion of the stage; empty where it logged none.
        stage: the stage that measured it.
        figure: the figure's file in the stage's folder, or an empty text.
        table: its numbers, or None.
    """

    heading: str
    text: str
    stage: str
    figure: str = ""
    table: Table | None = None


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
    plan: list[tuple[str, str, tuple[str, ...], str | Table | None]] = [
        ("Confusion matrix", evaluation, ("test_accuracy", "seed_spread"), "confusion_matrix"),
        ("Scores by class", evaluation, ("weakest_class",), by_class),
        ("Calibration", evaluation, ("calibration",), "reliability"),
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
        if isinstance(drawn, Table):
            shown.append(Exhibit(heading, words, stage, "", drawn))
        elif drawn and series.by_name[stage].holds(f"figures/{drawn}.png"):
            shown.append(Exhibit(heading, words, stage, f"figures/{drawn}.png"))
    return shown


def _per_class(logged: Mapping[str, Any]) -> Table | None:
    by_name = logged.get("per_class") or {}
    if not by_name:
        return None
    rows = tuple(
        (
            name,
            *(score(by_name[name], key) for key in ("precision", "recall", "f1")),
            f"{by_name[name]['support']:,}",
        )
        for name in logged.get("class_names") or by_name
    )
    return Table(("Class", "Precision", "Recall", "F1", "Images"), rows)


def _formats(logged: Mapping[str, Any]) -> Table | None:
    formats: Sequence[Mapping[str, Any]] = logged.get("formats") or []
    if not formats:
        return None
    rows = tuple(
        (
            row["title"],
            f"{row['bytes'] / 1e6:.2f} MB",
            percent(row["accuracy"]),
            f"{row['same_labels']:,} of {row['n']:,}",
            f"{row['largest_difference']:.1g}",
            f"{row['latency_ms_1']:.2g} ms",
            f"{row['seconds_to_first']:.1f} s",
        )
        for row in formats
    )
    return Table(HEAD, rows)
