"""The charts page: figures whose values show under the pointer, each drawn from its table, and prices to try."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from helpers.interpret import calibration
from helpers.report import collect
from helpers.report.business import policy, value
from helpers.report.html import index, pages
from helpers.report.models import EVALUATION, SERVING, find_champion
from helpers.report.stage_conclusions import joined
from helpers.series import stages

NAME = "charts.html"
MOST_CLASSES = 10  # curves that can be told apart, those of the lowest average precision
STEPS = 101  # recalls of a curve: as many as percentages


@dataclass(frozen=True, eq=False)
class Chart:
    """A chart and its table.

    Attributes:
        heading: its subject, as on the first page.
        table: the curves as columns; the index, with its name, is the horizontal axis.
        vertical: the title of the vertical axis.
        source: the stage that measured it.
        figure: the name of the figure that the stage drew of it.
        conclusions: ids of the stage's conclusions on it.
        logarithmic: the axes with a logarithmic scale: `""`, `"x"`, `"y"` or `"xy"`.
    """

    heading: str
    table: pd.DataFrame
    vertical: str
    source: collect.Record
    figure: str
    conclusions: tuple[str, ...] = ()
    logarithmic: str = ""


def render(renderer: pages.Renderer) -> str:
    """Return the page; an empty text where no champion was evaluated.

    Args:
        renderer: the renderer of the series.
    """
    series = renderer.series
    metrics = {record.stage.name: record.metrics for record in series.records if record.intact}
    champion = find_champion(metrics)
    charts = list(_charts(series, champion)) if champion else []
    if not charts:
        return ""
    texts = [joined(metrics, *((one.source.stage.name, name) for name in one.conclusions)) for one in charts]
    figures = [
        index.load_figure(series, f"{one.source.stage.name}/figures/{one.figure}.png") for one in charts
    ]
    return renderer.page(
        "charts.html.j2",
        title="Charts",
        contents=(),
        scripts=("vendor/uplot.min.js", "charts.js", "report.js"),
        style=("vendor/uplot.min.css", "charts.css"),
        label=metrics[f"{EVALUATION}/{champion}"]["label"],
        charts=list(zip(charts, texts, figures, strict=True)),
        prices=prices(series, champion),
        value_text=joined(metrics, (index.SUMMARY_STAGE, "value")),
        value_figure=index.load_figure(series, index.VALUE_FIGURE),
        names=policy.NAMES,
    )


def prices(series: collect.Series, champion: str) -> dict[str, Any] | None:
    """Return what the page needs to choose a threshold for other prices; None where 12_report has no cost model.

    The predictions are sorted by falling confidence, `float64` as base64, because a threshold is one of the confidences.
    """
    last, trained = series.by_name[index.SUMMARY_STAGE], series.by_name[stages.CANDIDATES[champion]]
    evaluated = series.by_name[f"{EVALUATION}/{champion}"]
    files = ((trained, "validation_predictions.npz"), (evaluated, "test_predictions.npz"))
    plan = last.metrics.get("business")
    if not plan or not all(record.holds(name) for record, name in files):
        return None
    parts = value.read_predictions(
        *(record.folder / name for record, name in files), champion, calibration.Scaling.of(evaluated.metrics)
    )
    content: dict[str, Any] = {
        "costs": plan["costs"],
        "unit": last.manifest["parameters"]["currency"],
        "policies": value.POLICIES,
    }
    for name, part in zip(("validation", "test"), parts, strict=True):
        order = np.argsort(-part.confidence, kind="stable")
        arrays = part.confidence[order].astype("<f8"), (~part.correct[order]).astype(np.uint8)
        content[name] = [base64.b64encode(array.tobytes()).decode() for array in arrays]
    return content


def _charts(series: collect.Series, champion: str) -> Iterator[Chart]:
    """Yield the charts that the stages of the champion allow."""
    evaluated = series.by_name[f"{EVALUATION}/{champion}"]
    yield from _learning_curves(series.by_name[stages.CANDIDATES[champion]], champion, evaluated)
    if evaluated.holds("test_predictions.npz"):
        with np.load(evaluated.folder / "test_predictions.npz") as saved:
            labels, probabilities = saved["labels"], saved["probabilities"].astype(np.float64)
        scaled = calibration.at_temperature(probabilities, *calibration.Scaling.of(evaluated.metrics))
        yield _calibration(scaled, labels, evaluated)
        if "areas" in evaluated.metrics:
            yield _precision_recall(probabilities, labels, evaluated)
    serving = series.by_name[SERVING]
    if load := serving.metrics.get("load"):
        yield _latency(load, serving)


def _learning_curves(trained: collect.Record, name: str, evaluated: collect.Record) -> Iterator[Chart]:
    if not trained.holds("history.json"):
        return
    histories = json.loads((trained.folder / "history.json").read_text(encoding="utf-8"))
    history: Mapping[str, Any] = histories.get(name) or histories.get(trained.metrics.get("chosen")) or {}
    for measure, ids in (("loss", ("learning_curves",)), ("accuracy", ())):
        if measure not in history:
            continue
        epochs = range(1, len(history[measure]) + 1)
        curves = {
            "training": pd.Series(history[measure], history.get("passes", epochs)),
            "validation": pd.Series(history[f"val_{measure}"], history.get("val_passes", epochs)),
        }
        table = pd.DataFrame(curves).rename_axis("passes over the training images")
        yield Chart(f"Learning curves: {measure}", table, measure, evaluated, "learning_curves", ids)


def _calibration(probabilities: np.ndarray, labels: np.ndarray, evaluated: collect.Record) -> Chart:
    measured = calibration.reliability(probabilities, labels)
    columns = {
        "accuracy": measured.accuracy,
        "interval from": measured.accuracy_ci95[:, 0],
        "interval to": measured.accuracy_ci95[:, 1],
        "perfect calibration": measured.confidence,
        "images": measured.count,
    }
    table = pd.DataFrame(columns, pd.Index(measured.confidence, name="confidence"))
    return Chart("Calibration", table, "accuracy, 95% interval", evaluated, "reliability", ("calibration",))


def _precision_recall(probabilities: np.ndarray, labels: np.ndarray, evaluated: collect.Record) -> Chart:
    """Return the curves of the classes with the lowest average precision.

    The precision at a recall is the highest at that recall or above.

    Source: C. D. Manning, P. Raghavan and H. Schütze (2008), "Introduction to information retrieval", section 8.4.
    """
    from sklearn.metrics import precision_recall_curve

    names = evaluated.metrics["class_names"]
    areas = {name: row["average_precision"] for name, row in evaluated.metrics["areas"].items()}
    known = sorted((area, name) for name, area in areas.items() if area is not None)
    recalls = np.linspace(0, 1, STEPS)
    curves = {}
    for area, name in known[:MOST_CLASSES]:
        place = names.index(name)
        precision, recall, _ = precision_recall_curve(labels == place, probabilities[:, place])
        best = np.maximum.accumulate(precision)[::-1]  # from the highest recall to the lowest, and back
        curves[f"{name} ({area:.3f})"] = best[np.searchsorted(recall[::-1], recalls)]
    table = pd.DataFrame(curves, pd.Index(recalls, name="recall"))
    return Chart(
        "Precision against recall",
        table,
        "precision (average precision)",
        evaluated,
        "precision_recall_and_roc",
    )


def _latency(load: list[dict[str, Any]], serving: collect.Record) -> Chart:
    rows = pd.DataFrame(load)
    rows = rows[rows["pictures"] == rows["pictures"].min()]
    table = rows.pivot_table(index="connections", columns="workers", values=["p50", "p95", "p99"])
    table.columns = [
        f"{name}, {workers} {'worker' if workers == 1 else 'workers'}" for name, workers in table.columns
    ]
    ids = ("latency", "throughput")
    return Chart(
        "Latency and throughput", table, "milliseconds", serving, "latency_and_throughput", ids, "xy"
    )
