"""The models that the stages of one run compared, on the same validation images, and where each number is from."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helpers.report.data_facts import PREPROCESS, metrics_file
from helpers.wording import interval

BASELINE, TRANSFER, FINE_TUNING = "04_baseline", "05_transfer_learning", "06_fine_tuning"
TUNING, EXPORT = "09_tuning", "10_export"
STAGES = (BASELINE, TRANSFER, FINE_TUNING, TUNING)
MEASURED = ("macro_f1", "parameters", "fit_seconds", "predict_microseconds", "samples")
MetricsByStage = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Model:
    """One compared model, as its stage logged it.

    Attributes:
        name: its key in the metrics.
        label: what it is called.
        accuracy: share of right predictions on the validation images.
        low: lower end of the 95% interval of the accuracy.
        high: upper end of it.
        macro_f1: mean of the classes' F1, or None.
        parameters: number of fitted numbers, or None.
        fit_seconds: time to fit, or None.
        predict_microseconds: time to predict one image, or None.
        samples: number of images it was fitted on, or None.
        source: the file that its numbers come from.
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
    source: str = metrics_file(BASELINE)

    @property
    def interval(self) -> str:
        """The 95% interval in words."""
        return interval(self.low, self.high)

    @property
    def stage(self) -> str:
        """The stage that fitted it."""
        return self.source.partition("/")[0]


def models(metrics: MetricsByStage) -> list[Model]:
    """Return the models of every stage that fits some, the best first.

    Entries without an accuracy and an interval are left out, and so are stages that have not been run.
    """
    found = []
    for stage in STAGES:
        for name, entry in (metrics.get(stage, {}).get("models") or {}).items():
            accuracy, ends = entry.get("accuracy"), entry.get("accuracy_ci95")
            if accuracy is None or not ends:
                continue
            measured = {key: entry.get(key) for key in MEASURED}
            label = entry.get("label", name)
            found.append(
                Model(name, label, accuracy, ends[0], ends[1], **measured, source=metrics_file(stage))
            )
    return sorted(found, key=lambda model: (-model.accuracy, model.parameters or 0))


def overlap(one: Model, other: Model) -> bool:
    """Tell whether the 95% intervals of two models share a value."""
    return one.low <= other.high and other.low <= one.high


@dataclass(frozen=True)
class Paired:
    """What 10's paired test on the validation images found between the best model and another candidate.

    Attributes:
        other: the other candidate.
        points: by how much the best is above it, in percentage points.
        p_value: of McNemar's exact test.
        shown: whether the difference counts as shown.
    """

    other: Model
    points: float
    p_value: float
    shown: bool


def against_best(metrics: MetricsByStage, compared: Sequence[Model]) -> list[Paired]:
    """Return the paired tests of the best model, nearest first; none where 10 has not run or saw another best."""
    by_name = {model.name: model for model in compared}
    found = [
        Paired(by_name[test["other"]], test["points"], test["p_value"], test["shown"])
        for test in metrics.get(EXPORT, {}).get("against_best") or []
        if test["best"] == compared[0].name and test["other"] in by_name
    ]
    return sorted(found, key=lambda test: test.points)


def validation_images(metrics: MetricsByStage) -> int | None:
    """Return how many images the models were scored on; None where the stages do not agree or do not say."""
    logged = [metrics.get(stage, {}).get("n_validation") for stage in STAGES]
    counts = {count for count in logged if count is not None}
    if not counts:
        return metrics.get(PREPROCESS, {}).get("validation_images")
    return counts.pop() if len(counts) == 1 else None


@dataclass(frozen=True)
class Difference:
    """What 06's paired test found between two ways of training one network, the better one first.

    Attributes:
        better: the name of the variant with the higher accuracy.
        worse: the name of the other.
        points: by how much, in percentage points.
        low: lower end of its 95% interval, or None where none was logged.
        high: upper end of it.
        p_value: of the paired test.
        significant: whether the stage counts the difference as shown.
    """

    better: str
    worse: str
    points: float
    low: float | None
    high: float | None
    p_value: float
    significant: bool


def variants(metrics: MetricsByStage) -> dict[str, Mapping[str, Any]]:
    """Return 06's ways of training by name: "frozen", "top_blocks", "all_blocks"."""
    found = metrics.get(FINE_TUNING, {}).get("variants") or []
    return {str(entry["name"]): entry for entry in found if "name" in entry}


def differences(metrics: MetricsByStage) -> list[Difference]:
    """Return the paired tests that 06 logged, whichever of the two it took from the other."""
    ways = variants(metrics)
    by_label = {str(entry.get("label")): name for name, entry in ways.items()}
    found = []
    for entry in metrics.get(FINE_TUNING, {}).get("differences") or []:
        if not {"one", "other", "points", "p_value", "shown"} <= set(entry):
            continue
        pair = [by_label.get(entry[side], str(entry[side])) for side in ("one", "other")]
        if _second_is_better(*(ways.get(name, {}).get("accuracy") for name in pair), entry["points"]):
            pair.reverse()
        sizes = _sizes(entry["points"], entry.get("ci95"))
        found.append(Difference(*pair, *sizes, entry["p_value"], bool(entry["shown"])))
    return found


def _second_is_better(one: float | None, other: float | None, points: float) -> bool:
    """Tell which is better: by their accuracies where they differ, else by the sign of one minus the other."""
    known = one is not None and other is not None and one != other
    return one < other if known else points < 0


def _sizes(points: float, ends: Sequence[float] | None) -> tuple[float, float | None, float | None]:
    """Return the size of a difference and its interval, seen from the better; no interval if it misses the size."""
    low, high = ends or (math.inf, -math.inf)
    if points < 0:
        points, low, high = -points, -high, -low
    return (points, low, high) if low <= points <= high else (points, None, None)


def same_accuracy(one: float | None, other: float | None) -> bool:
    """Tell whether two logged accuracies are one and the same number."""
    return one is not None and other is not None and math.isclose(one, other, abs_tol=1e-9)
