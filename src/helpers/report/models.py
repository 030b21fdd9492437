"""The models that the stages compared: on the validation images, and the candidates on the test images."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helpers.report.data_facts import PREPROCESS, metrics_file
from helpers.series import conclusions, stages
from helpers.series.metrics import Metric
from helpers.wording import interval

BASELINE, TRANSFER, FINE_TUNING = "04_baseline", "05_transfer_learning", "06_fine_tuning"
EVALUATION, GRAD_CAM, TUNING = "07_evaluation", "08_grad_cam", "09_tuning"
EXPORT, SERVING = "10_export", "11_serving"
STAGES = (BASELINE, TRANSFER, FINE_TUNING, TUNING)
MEASURED = ("macro_f1", "parameters", "fit_seconds", "predict_microseconds", "samples")
MetricsByStage = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Model:
    """One model on the validation images, as its stage logged it.

    Attributes:
        name: its key in the metrics.
        label: its name in sentences.
        accuracy: proportion of validation images that are classified correctly.
        low: lower end of the 95% interval of the accuracy.
        high: upper end of that interval.
        macro_f1: mean F1 over the classes, or None.
        parameters: number of trained parameters, or None.
        fit_seconds: training time, or None.
        predict_microseconds: prediction time for one image, or None.
        samples: number of training images, or None.
        value: the metric of the series; None where the stage logged it of no such model.
        source: the file that holds its numbers.
    """

    name: str
    label: str
    accuracy: float
    low: float
    high: float
    macro_f1: float | None = None
    parameters: int | None = None
    fit_seconds: float | None = None
    predict_microseconds: float | None = None
    samples: int | None = None
    value: float | None = None
    source: str = metrics_file(BASELINE)

    @property
    def interval(self) -> str:
        """The 95% interval as text."""
        return interval(self.low, self.high)

    @property
    def stage(self) -> str:
        """The stage that trained it."""
        return self.source.partition("/")[0]


def series_metric(metrics: MetricsByStage) -> Metric:
    """Return the metric by which 03 lets models be chosen; accuracy where it logged none."""
    logged = conclusions.read(metrics.get(PREPROCESS, {})).get("metric")
    return Metric.of_facts(logged.numbers) if logged else Metric("accuracy")


def list_models(metrics: MetricsByStage) -> list[Model]:
    """Return the models of all stages that have run, best first by the metric of the series; of equals, the champion first.

    Entries without an accuracy and an interval are left out. Those of which the metric is unknown come last: for costs, that are
    all but the candidates.

    Example:
        `compared = models.list_models(metrics)`
    """
    logged, metric = [], series_metric(metrics)
    champion = conclusions.read(metrics.get(EXPORT, {})).get("champion")
    values = champion.numbers.get("values", {}) if champion else {}
    for stage in STAGES:
        for name, entry in (metrics.get(stage, {}).get("models") or {}).items():
            accuracy, ends = entry.get("accuracy"), entry.get("accuracy_ci95")
            if accuracy is not None and ends:
                measured = {key: entry.get(key) for key in MEASURED}
                measured |= {"value": entry.get(metric.name, values.get(name)), "source": metrics_file(stage)}
                logged.append(Model(name, entry.get("label", name), accuracy, *ends, **measured))
    chosen = metrics.get(EXPORT, {}).get("candidate")
    return sorted(logged, key=lambda model: _best_first(model, chosen))


def _best_first(model: Model, chosen: str | None) -> tuple[float, float, bool, int]:
    value = math.inf if model.value is None else -model.value
    return value, -model.accuracy, model.name != chosen, model.parameters or 0


def read_tests_of_best(metrics: MetricsByStage, compared: Sequence[Model]) -> list[dict[str, Any]]:
    """Return the paired tests of the best model as 10 logged them, smallest difference first; none where it tested another one.

    Args:
        metrics: metrics by stage.
        compared: the models, best first.
    """
    labels = {model.name: model.label for model in compared}
    tests = [
        {**row, "label": labels[row["other"]]}
        for row in metrics.get(EXPORT, {}).get("against_best") or []
        if row["best"] == compared[0].name and row["other"] in labels
    ]
    return sorted(tests, key=lambda test: test["points"])


def count_validation_images(metrics: MetricsByStage) -> int | None:
    """Return the number of validation images; None where the stages disagree or logged none."""
    counts = {metrics.get(stage, {}).get("n_validation") for stage in STAGES} - {None}
    if not counts:
        return metrics.get(PREPROCESS, {}).get("validation_images")
    return counts.pop() if len(counts) == 1 else None


def list_tested(metrics: MetricsByStage) -> list[dict[str, Any]]:
    """Return a row for each candidate that was evaluated on the test images, in the order of the stages.

    `low` and `high` are the ends of the 95% interval of the accuracy, `ece` is the expected calibration error after temperature
    scaling, `latency_ms` is the prediction time for one image in the served format, and `value` the metric of the series; both are
    None where they were not measured. `value_ci95` is the interval of the latter, or None. `seeds` holds the accuracies of all seeds.

    Example:
        `pd.DataFrame(models.list_tested(metrics))`
    """
    latency, metric = metrics.get(EXPORT, {}).get("latency_ms") or {}, series_metric(metrics)
    return [
        {name: logged[name] for name in ("label", "n", "accuracy", "macro_f1")}
        | {
            "candidate": candidate,
            "low": logged["accuracy_ci95"][0],
            "high": logged["accuracy_ci95"][1],
            "ece": logged["ece_scaled"],
            "latency_ms": latency.get(candidate),
            "seeds": logged.get("test_accuracy_by_seed") or [],
            "value": logged.get(metric.name),
            "value_ci95": logged.get(f"{metric.name}_ci95"),
            "source": metrics_file(f"{EVALUATION}/{candidate}"),
        }
        for candidate in stages.CANDIDATES
        if (logged := metrics.get(f"{EVALUATION}/{candidate}"))
    ]


def find_champion(metrics: MetricsByStage) -> str:
    """Return the champion's name; empty where it was not exported or not evaluated.

    Example:
        `name = models.find_champion(metrics)`
    """
    name = str(metrics.get(EXPORT, {}).get("candidate") or "")
    return name if metrics.get(f"{EVALUATION}/{name}") else ""
