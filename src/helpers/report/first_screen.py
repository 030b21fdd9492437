"""The champion on the report's first screen: how good it is, what it costs, and what it must not be used for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helpers.report.business.policy import shown_threshold
from helpers.report.data_facts import metrics_file
from helpers.report.models import TRANSFER, TUNING, MetricsByStage
from helpers.series import stages
from helpers.wording import duration, interval, percent, sources

EVALUATION, EXPORT, SERVING, REPORT = "07_evaluation", "10_export", "11_serving", "12_report"
SERVED_FORMAT = "onnx"
WEAK_CLASSES = 3


@dataclass(frozen=True)
class Tile:
    """One number of the first screen.

    Attributes:
        title: what it is.
        value: the number, in words.
        detail: its interval, or what it rests on.
        source: the file that it comes from.
    """

    title: str
    value: str
    detail: str
    source: str


def candidate(metrics: MetricsByStage) -> str:
    """Return the champion's name; empty where it was not exported or not evaluated."""
    name = str(metrics.get(EXPORT, {}).get("candidate") or "")
    return name if metrics.get(f"{EVALUATION}/{name}") else ""


def lead(metrics: MetricsByStage, dataset: str) -> str:
    """Return the one sentence on top: who the champion is and what it reaches; empty without one."""
    tested = _tested(metrics)
    if not tested:
        return ""
    return (
        f"The champion on {dataset} is the {tested['label']}: it is right on {percent(tested['accuracy'])} of "
        f"{tested['n']:,} test images, by which no candidate was chosen."
    )


def tiles(metrics: MetricsByStage) -> list[Tile]:
    """Return the champion's numbers, as far as they were logged: accuracy, macro-F1, size, latency, training."""
    tested, name = _tested(metrics), candidate(metrics)
    if not tested:
        return []
    source = metrics_file(f"{EVALUATION}/{name}")
    found = [
        Tile("Test accuracy", percent(tested["accuracy"]), _ends(tested.get("accuracy_ci95")), source),
        Tile("Macro-F1", f"{tested['macro_f1']:.3f}", _plain_ends(tested.get("macro_f1_ci95")), source),
    ]
    return [*found, *_costs(metrics, name)]


def _costs(metrics: MetricsByStage, name: str) -> list[Tile]:
    """Return size, latency and training time of a candidate."""
    trained_by = stages.CANDIDATES.get(name, "")
    fitted = (metrics.get(trained_by, {}).get("models") or {}).get(name, {})
    exported = _served(metrics.get(EXPORT, {}).get("formats") or [])
    found = []
    if fitted.get("parameters"):
        size = f"{exported['bytes'] / 1e6:.2f} MB as ONNX" if exported.get("bytes") else ""
        known = [trained_by, EXPORT] if size else [trained_by]
        found.append(Tile("Parameters", f"{fitted['parameters']:,}", size, _files(known)))
    latency = (metrics.get(EXPORT, {}).get("latency_ms") or {}).get(name)
    if latency:
        service = _service(metrics)
        known = [EXPORT, SERVING] if service else [EXPORT]
        value = f"{latency:.2g} ms"
        found.append(Tile("Latency, one picture", value, service, _files(known)))
    if fitted.get("fit_seconds") is not None:
        on = f"on {fitted['samples']:,} images" if fitted.get("samples") else ""
        before, known = _before_the_fit(metrics, name)
        detail = "; ".join(part for part in (on, before) if part)
        found.append(Tile("Training", duration(fitted["fit_seconds"]), detail, _files([trained_by, *known])))
    return found


def _before_the_fit(metrics: MetricsByStage, name: str) -> tuple[str, list[str]]:
    """Return what a candidate took before its own fit, and the further stage that says so."""
    searched = metrics.get(TUNING, {}).get("search_seconds")
    if name == "tuned" and searched:
        return f"after a search of {duration(searched)}", []
    head = (metrics.get(TRANSFER, {}).get("models") or {}).get("transfer", {}).get("fit_seconds")
    if name == "fine_tuned" and head:
        return f"after {duration(head)} for its head", [TRANSFER]
    return "", []


def _files(known: Sequence[str]) -> str:
    return sources(metrics_file(stage) for stage in known)


def not_for(metrics: MetricsByStage, threshold: float | None = None) -> list[tuple[str, str]]:
    """Return what the champion must not be used for, each with the file that says so, the gravest first.

    Args:
        metrics: every stage's metrics.
        threshold: the confidence below which a person should look, where the cost model found one.
    """
    tested, name = _tested(metrics), candidate(metrics)
    if not tested:
        return []
    source = metrics_file(f"{EVALUATION}/{name}")
    found = []
    weak = _weak_classes(tested)
    if weak:
        found.append(
            (
                f"Deciding alone that a picture shows {_weakness(weak)}: in brackets, the share of such answers that is right.",
                source,
            )
        )
    if threshold:
        found.append(
            (
                f"Acting without a person on answers of a calibrated confidence below {shown_threshold(threshold)} (after temperature "
                "scaling, as the service gives it; not the model's own probability).",
                metrics_file(REPORT),
            )
        )
    classes = len(tested.get("class_names") or tested.get("per_class") or ())
    if classes:
        found.append(
            (
                f"Pictures of anything but its {classes} classes, or from another source: it names one of them whatever it is "
                "shown, and was tried on its own data set only.",
                metrics_file(EXPORT),
            )
        )
    found.append(("Decisions about people.", metrics_file(EXPORT)))
    return found


def _weak_classes(tested: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the classes whose precision is shown to lie below the accuracy of the whole, the weakest first."""
    floor = (tested.get("accuracy_ci95") or [0.0])[0]
    known = (tested.get("per_class") or {}).items()
    weak = [
        (name, found)
        for name, found in known
        if found.get("precision_ci95") and found["precision_ci95"][1] < floor
    ]
    return sorted(weak, key=lambda entry: entry[1]["precision"])[:WEAK_CLASSES]


def _weakness(weak: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    words = [
        f"{name} ({percent(found['precision'])}, {interval(*found['precision_ci95'])})"
        for name, found in weak
    ]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _tested(metrics: MetricsByStage) -> Mapping[str, Any]:
    name = candidate(metrics)
    return metrics[f"{EVALUATION}/{name}"] if name else {}


def _served(formats: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return next((row for row in formats if row.get("format") == SERVED_FORMAT), {})


def _service(metrics: MetricsByStage) -> str:
    """Return the median time of a request to the service, where it was measured."""
    load = metrics.get(SERVING, {}).get("load") or []
    alone = [row for row in load if row.get("connections") == row.get("workers") == row.get("pictures") == 1]
    return f"{alone[0]['p50']:.2g} ms by the service" if alone else ""


def _ends(ends: Sequence[float] | None) -> str:
    return f"95% interval {interval(*ends)}" if ends else ""


def _plain_ends(ends: Sequence[float] | None) -> str:
    return f"95% interval {ends[0]:.3f} to {ends[1]:.3f}" if ends else ""
