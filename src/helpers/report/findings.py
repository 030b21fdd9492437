"""Sentences made from metrics: what came out, worded by whether a difference was shown.

Two accuracies count as different when their 95% intervals do not overlap. That is cautious: models scored
on the same images can differ for certain although their intervals overlap (Schenker and Gentleman 2001, "On
judging the significance of differences by examining the overlap between confidence intervals").
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from helpers.errors import OsemnError
from helpers.report.facts import EXPLORE, PREPROCESS, data_facts, metrics_file
from helpers.report.wording import capital, duration, interval, listing, percent

SCHEMA = 1
BASELINE, WARM_UP = "04_baseline", "00_warm_up"
MAJORITY = "majority"
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

    @property
    def interval(self) -> str:
        """The 95% interval in words."""
        return interval(self.low, self.high)


@dataclass(frozen=True)
class Finding:
    """One sentence and the file that its numbers come from."""

    text: str
    source: str


def models(metrics: MetricsByStage) -> list[Model]:
    """Return the compared models, the best first; entries without an accuracy and an interval are left out."""
    found = []
    for name, entry in (metrics.get(BASELINE, {}).get("models") or {}).items():
        accuracy, ends = entry.get("accuracy"), entry.get("accuracy_ci95")
        if accuracy is None or not ends:
            continue
        rest = {key: entry.get(key) for key in Model.__dataclass_fields__ if key in entry and key != "label"}
        found.append(Model(name=name, label=entry.get("label", name), low=ends[0], high=ends[1], **rest))
    return sorted(found, key=lambda model: (-model.accuracy, model.parameters or 0))


def require_models(metrics: MetricsByStage) -> list[Model]:
    """Return the compared models, the best first.

    Raises:
        OsemnError: no model was logged with an accuracy and its interval.
    """
    found = models(metrics)
    if not found:
        raise OsemnError(
            f"{metrics_file(BASELINE)} holds no model with 'accuracy' and 'accuracy_ci95'.",
            f"run notebooks/{BASELINE}.ipynb again",
        )
    return found


def overlap(one: Model, other: Model) -> bool:
    """Tell whether the 95% intervals of two models share a value."""
    return one.low <= other.high and other.low <= one.high


def headline(metrics: MetricsByStage, dataset: str) -> list[Finding]:
    """Return the conclusions, the most important first; none where no model was compared."""
    compared = models(metrics)
    if not compared:
        return []
    best, others = compared[0], compared[1:]
    n = _first(metrics, "n_validation", BASELINE, PREPROCESS)
    images = f"{n:,} validation images" if n else "validation images"
    source = metrics_file(BASELINE)
    found = [
        Finding(
            f"Best of {len(compared)} models on {dataset}: {best.label}, right on {percent(best.accuracy)} "
            f"of {images} (95% interval {best.interval}).",
            source,
        )
    ]
    if others:
        found.append(Finding(_against_others(best, others), source))
    simplest = _simplest(compared)
    if simplest is not None and simplest is not best:
        found.append(Finding(_return_on_complexity(best, simplest), source))
    floor = next((model for model in others if model.name == MAJORITY), None)
    if floor is not None:
        found.append(
            Finding(
                f"Always naming the most frequent class would be right on {percent(floor.accuracy)}.", source
            )
        )
    return found


def _against_others(best: Model, others: Sequence[Model]) -> str:
    alike = [model for model in others if overlap(best, model)]
    worse = [model for model in others if not overlap(best, model)]
    if not alike:
        nearest = worse[0]
        points = 100 * (best.accuracy - nearest.accuracy)
        return (
            f"The difference is shown: its interval lies above all others. The next best, {nearest.label}, "
            f"is {points:.1f} percentage points behind ({percent(nearest.accuracy)}, {nearest.interval})."
        )
    names = listing([f"{model.label} ({percent(model.accuracy)}, {model.interval})" for model in alike])
    sentence = f"No difference is shown between {best.label} and {names}: their 95% intervals overlap."
    if worse:
        sentence += f" {capital(_others(len(worse)))} lower: their intervals lie below."
    return sentence


def _others(count: int) -> str:
    return "the other model is" if count == 1 else f"the other {count} models are"


def _simplest(compared: Sequence[Model]) -> Model | None:
    """Return the model with the fewest parameters of those that look at the image."""
    known = [model for model in compared if model.parameters and model.name != MAJORITY]
    return min(known, key=lambda model: model.parameters or 0, default=None)


def _return_on_complexity(best: Model, simplest: Model) -> str:
    cost = _cost(best, simplest)
    if overlap(best, simplest):
        return (
            f"The return on complexity is not shown: {simplest.label}, the model with the fewest parameters, "
            f"reaches {percent(simplest.accuracy)} ({simplest.interval}), and the 95% intervals overlap{cost}."
        )
    points = 100 * (best.accuracy - simplest.accuracy)
    return (
        f"The return on complexity: {points:.1f} percentage points over {simplest.label}, "
        f"the model with the fewest parameters{cost}."
    )


def _cost(best: Model, simplest: Model) -> str:
    """Return what the best model costs more than the simplest, as far as it was measured."""
    parts = []
    if best.parameters and simplest.parameters:
        parts.append(f"{best.parameters:,} parameters instead of {simplest.parameters:,}")
    if best.fit_seconds is not None and simplest.fit_seconds is not None:
        parts.append(f"{duration(best.fit_seconds)} of fitting instead of {duration(simplest.fit_seconds)}")
    text = f"; {best.label} costs {listing(parts)}" if parts else ""
    if text and best.samples and simplest.samples and best.samples != simplest.samples:
        text += f" (fitted on {best.samples:,} and {simplest.samples:,} images)"
    return text


def alike(metrics: MetricsByStage) -> list[tuple[str, str, float]]:
    """Return the pairs of classes that look most alike, and the correlation of their mean images."""
    pairs = metrics.get(EXPLORE, {}).get("most_alike") or []
    return [(str(one), str(other), float(correlation)) for one, other, correlation in pairs]


def learned(metrics: MetricsByStage, dataset: str) -> list[Finding]:
    """Return what to remember, the most important first: models, learning curves, classes, warm-up."""
    found = headline(metrics, dataset)[:2]
    found = [Finding(" ".join(item.text for item in found), metrics_file(BASELINE))] if found else []
    diagnosis = _diagnosis(metrics.get(BASELINE, {}))
    if diagnosis:
        found.append(Finding(f"The learning curves say: {diagnosis}.", metrics_file(BASELINE)))
    pairs = alike(metrics)
    if pairs:
        one, other, correlation = pairs[0]
        found.append(
            Finding(
                f"The classes whose mean images are most alike are {one} and {other} (correlation {correlation:.2f}): "
                "expect confusion there first.",
                metrics_file(EXPLORE),
            )
        )
    if {"dense_accuracy", "logistic_accuracy"} <= set(metrics.get(WARM_UP, {})):
        found.append(Finding(_warm_up(metrics[WARM_UP]), metrics_file(WARM_UP)))
    return found


def _diagnosis(training: Mapping[str, Any]) -> str:
    """Return what the learning curves showed: one text, or one for each network."""
    history = training.get("history")
    found = training.get("diagnosis") or (history.get("diagnosis") if isinstance(history, Mapping) else None)
    if isinstance(found, Mapping):
        found = "; ".join(f"{name}: {text}" for name, text in found.items())
    return str(found or "").strip().rstrip(".")


def _warm_up(metrics: Mapping[str, Any]) -> str:
    curved, straight = metrics["dense_accuracy"], metrics["logistic_accuracy"]
    ends, other = metrics.get("dense_accuracy_ci95"), metrics.get("logistic_accuracy_ci95")
    text = f"On Make Moons the small network reaches {percent(curved)} and logistic regression {percent(straight)}"
    if not ends or not other:
        return f"{text}."
    if ends[0] <= other[1] and other[0] <= ends[1]:
        return f"{text}: no difference is shown, the 95% intervals overlap."
    better = "a curved boundary pays" if curved > straight else "the straight boundary does better"
    return f"{text}: {better}, and the 95% intervals do not overlap."


def _first(metrics: MetricsByStage, name: str, *among: str) -> int | None:
    return next(
        (metrics[stage][name] for stage in among if metrics.get(stage, {}).get(name) is not None), None
    )


def summary(metrics: MetricsByStage, dataset: str) -> dict[str, Any]:
    """Return all of it as plain JSON: what the index page is made from."""
    compared = models(metrics)
    return {
        "schema": SCHEMA,
        "dataset": dataset,
        "headline": [asdict(item) for item in headline(metrics, dataset)],
        "learned": [asdict(item) for item in learned(metrics, dataset)],
        "models": [asdict(item) for item in compared],
        "models_source": metrics_file(BASELINE),
        "n_validation": _first(metrics, "n_validation", BASELINE, PREPROCESS),
        "data": [asdict(item) for item in data_facts(metrics)],
        "most_alike": [list(pair) for pair in alike(metrics)],
        "most_alike_source": metrics_file(EXPLORE),
    }
