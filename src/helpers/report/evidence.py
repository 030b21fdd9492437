"""The evidence on the champion: for each claim a figure or a table, its page, and the file with its numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helpers.report import collect, evaluated
from helpers.report.first_screen import EVALUATION, EXPORT, SERVING, candidate
from helpers.report.models import MetricsByStage
from helpers.wording import interval, percent, score

GRAD_CAM = "08_grad_cam"
ENOUGH_FOR_P99 = 500  # answers


@dataclass(frozen=True)
class Table:
    """Rows of words; the first column names the row.

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
        heading: what it shows.
        text: what to see in it, from the metrics.
        stage: the stage that measured it.
        figure: the figure's file inside the stage's folder, or an empty text.
        table: its numbers, or None.
    """

    heading: str
    text: str
    stage: str
    figure: str = ""
    table: Table | None = None


def exhibits(series: collect.Series) -> list[Exhibit]:
    """Return the evidence on the champion, as far as its stages left any; the figures are not read yet."""
    metrics = {record.stage.name: record.metrics for record in series.records if record.whole}
    name = candidate(metrics)
    if not name:
        return []
    stage, tested = f"{EVALUATION}/{name}", metrics[f"{EVALUATION}/{name}"]
    found = [
        Exhibit("Confusion matrix", _mistakes(tested), stage, "figures/confusion_matrix.png"),
        Exhibit("Classes one by one", "", stage, "", _per_class(tested)),
        Exhibit("Calibration", _calibration(tested), stage, "figures/reliability.png"),
        Exhibit("Learning curves", _curves(tested), stage, "figures/learning_curves.png"),
        *_looking(metrics, name),
        *_formats(metrics.get(EXPORT, {})),
        *_service(metrics.get(SERVING, {})),
    ]
    return [one for one in found if _has_something(series, one)]


def _has_something(series: collect.Series, one: Exhibit) -> bool:
    return one.table is not None or bool(one.figure and series.by_name[one.stage].holds(one.figure))


def _mistakes(tested: Mapping[str, Any]) -> str:
    wrong = round(tested["n"] * (1 - tested["accuracy"]))
    return f"{wrong:,} of {tested['n']:,} test images lie off the diagonal."


def _per_class(tested: Mapping[str, Any]) -> Table | None:
    by_name = tested.get("per_class") or {}
    if not by_name:
        return None
    known = {name: by_name[name] for name in tested.get("class_names") or by_name}
    rows = tuple(
        (
            name,
            *(score(found, key) for key in ("precision", "recall", "f1")),
            f"{found['support']:,}",
        )
        for name, found in known.items()
    )
    return Table(("Class", "Precision", "Recall", "F1", "Images"), rows)


def _calibration(tested: Mapping[str, Any]) -> str:
    before, after = tested.get("ece"), tested.get("ece_scaled")
    if before is None or after is None:
        return ""
    return (
        f"Confidence and accuracy differ by {100 * before:.1f} percentage points on average as trained, and by {100 * after:.1f} "
        f"after temperature scaling on validation images (expected calibration error, 15 bins"
        f"{_by_chance(tested.get('ece_by_chance'))}).{_boldest(tested.get('boldest_bin'))}"
    )


def _by_chance(error: float | None) -> str:
    return "" if error is None else f"; confidence that is exactly right would differ by {100 * error:.1f}"


def _boldest(found: Mapping[str, Any] | None) -> str:
    """Return where the scaled confidence promises most too much, which the average does not tell."""
    if not found:
        return ""
    return (
        f" The average hides where it is furthest off: of {found['n']:,} answers of a scaled confidence of {percent(found['confidence'])} on "
        f"average, only {percent(found['accuracy'])} are right ({interval(*found['accuracy_ci95'])}, "
        "95% for all bins together)."
    )


def _curves(tested: Mapping[str, Any]) -> str:
    text = str(tested.get("diagnosis") or "").strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _looking(metrics: MetricsByStage, name: str) -> list[Exhibit]:
    stage = f"{GRAD_CAM}/{name}"
    if not metrics.get(stage):
        return []
    text, _ = evaluated.looking({stage: metrics[stage]})
    text += _right_and_wrong(metrics[stage].get("energy") or {})
    return [
        Exhibit("Where it looks when it is wrong", text, stage, "figures/maps_wrong.png"),
        Exhibit(
            "May the maps be believed?", _checks(metrics[stage]), stage, "figures/deletion_and_insertion.png"
        ),
    ]


def _right_and_wrong(energy: Mapping[str, Any]) -> str:
    """Return how much of the maps lies on the object where the champion is right and where it is wrong."""
    right, wrong, pixels = (energy.get(name) for name in ("right", "wrong", "pixels"))
    if not right or not wrong or pixels is None or not (right.get("ci95") and wrong.get("ci95")):
        return ""
    shares = [f"{percent(one['value'])} ({interval(*one['ci95'])})" for one in (wrong, right)]
    return (
        f" On average {shares[0]} of a map lies on the object where the prediction is wrong, {shares[1]} where it is right; the object "
        f"takes {percent(pixels)} of the pixels."
    )


def _checks(logged: Mapping[str, Any]) -> str:
    """Return what the checks on the maps found: random weights, and deletion and insertion against chance."""
    if logged.get("reason"):
        return ""
    fit = (logged.get("randomised") or {}).get("fit")
    text = (
        "With random weights the maps change, as they should."
        if fit
        else "The maps hardly depend on the weights."
    )
    for check, wanted in (("deletion", "below"), ("insertion", "above")):
        found = (logged.get("perturbation") or {}).get(check) or {}
        if found.get("ci95"):
            text += f" {_perturbed(check, wanted, found)}"
    return text


def _perturbed(check: str, wanted: str, found: Mapping[str, Any]) -> str:
    """Return what deleting or inserting what the maps mark does, against doing so at random."""
    low, high = found["ci95"]
    sign = -1 if wanted == "below" else 1
    first = min(sign * low, sign * high)
    passed = "so it does" if first > 0 else "which is not shown"
    sizes = f"{found['value']:+.3f} (95% interval {low:+.3f} to {high:+.3f})".replace("-", "−")
    return (
        f"{check.capitalize()} of what they mark, against {check} at random, moves the area under the confidence curve by {sizes}: "
        f"{wanted} zero if the maps mark what matters, {passed}."
    )


def _formats(logged: Mapping[str, Any]) -> list[Exhibit]:
    known: Sequence[Mapping[str, Any]] = logged.get("formats") or []
    if not known:
        return []
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
        for row in known
    )
    head = (
        "Format",
        "Size",
        "Test accuracy",
        "Same label",
        "Largest difference",
        "One picture",
        "First answer",
    )
    return [Exhibit("Formats", logged.get("agreement", ""), EXPORT, "", Table(head, rows))]


def _service(logged: Mapping[str, Any]) -> list[Exhibit]:
    load = logged.get("load") or []
    best = max(load, key=lambda row: row["per_second"] * row["pictures"], default=None)
    latency = ""
    if best:
        latency = (
            f"At most {best['per_second'] * best['pictures']:,.0f} pictures a second, by {_counted(best['connections'], 'connection')}, "
            f"{_counted(best['pictures'], 'picture')} a request and {_counted(best['workers'], 'worker')}: half of the "
            f"{best['answers']:,} answers within {best['p50']:.1f} ms, {_slowest(best)}."
        )
    return [
        Exhibit("Latency and throughput", latency, SERVING, "figures/latency_and_throughput.png"),
        Exhibit("Power of the drift monitor", _false_alarms(logged), SERVING, "figures/drift_power.png"),
    ]


def _slowest(row: Mapping[str, Any]) -> str:
    """Return the highest percentile of the latency that so many answers can tell."""
    share, percentile = (99, "p99") if row["answers"] >= ENOUGH_FOR_P99 else (95, "p95")
    return f"{share} of 100 within {row[percentile]:.1f} ms"


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _false_alarms(logged: Mapping[str, Any]) -> str:
    quiet = logged.get("false_alarms") or []
    if not quiet:
        return ""
    alarms, windows = sum(row["detected"] for row in quiet), sum(row["windows"] for row in quiet)
    return f"Of {windows:,} windows of unchanged pictures {alarms} raised a false alarm ({percent(alarms / windows)})."
