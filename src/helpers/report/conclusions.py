"""Sentences made from metrics: what came out, worded by whether a difference was shown.

Where a stage made a paired test of two models on the same images, its verdict stands. Two other accuracies count as
different when their 95% intervals do not overlap. That is cautious: models scored on the same images can differ
for certain although their intervals overlap (Schenker and Gentleman 2001, "On judging the significance of
differences by examining the overlap between confidence intervals").
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from helpers.errors import OsemnError
from helpers.report import evaluated, exported, first_screen, post_mortem, questions, transfer, tuned
from helpers.report import models as comparison
from helpers.report.data_facts import EXPLORE, data_facts, metrics_file
from helpers.report.models import BASELINE, FINE_TUNING, TRANSFER, MetricsByStage, Model, models, overlap
from helpers.wording import capital, duration, listing, p_value, percent, points, sources

SCHEMA = 3
WARM_UP = "00_warm_up"
MAJORITY = "majority"
_SMALLEST = "the best of the models with fewest parameters"


@dataclass(frozen=True)
class Finding:
    """One sentence and the file that its numbers come from; several files stand with commas between."""

    text: str
    source: str


def require_models(metrics: MetricsByStage) -> list[Model]:
    """Return the compared models, the best first.

    Raises:
        OsemnError: no model was logged with an accuracy and its interval.
    """
    found = models(metrics)
    if not found:
        raise OsemnError(
            f"{metrics_file(BASELINE)} holds no model with 'accuracy' and 'accuracy_ci95', nor does a later stage.",
            f"run notebooks/{BASELINE}.ipynb again",
        )
    return found


def headline(metrics: MetricsByStage, dataset: str) -> list[Finding]:
    """Return the conclusions, the most important first; none where no model was compared."""
    compared = models(metrics)
    if not compared:
        return []
    found = _best_and_others(metrics, dataset)
    bought = complexity(metrics)
    if bought:
        found.append(Finding(*bought))
    floor = _floor(compared[1:])
    if floor is not None:
        found.append(floor)
    tested, tested_sources = evaluated.test_accuracy(metrics)
    if tested:
        found.insert(1, Finding(tested, sources(tested_sources)))
    return found


def _best_and_others(metrics: MetricsByStage, dataset: str) -> list[Finding]:
    """Return which model is best, whether the others are worse, and whether fine-tuning pays."""
    compared = models(metrics)
    if not compared:
        return []
    best, others = compared[0], compared[1:]
    n = comparison.validation_images(metrics)
    images = f"{n:,} validation images" if n else "validation images"
    all_sources = sources(model.source for model in compared)
    found = [
        Finding(
            f"Best of {len(compared)} models on {dataset}: {best.label}, right on {percent(best.accuracy)} "
            f"of {images} (95% interval {best.interval}).",
            all_sources,
        )
    ]
    pairs = comparison.against_best(metrics, compared)
    verdict, tested = transfer.paired(metrics, compared)
    settled = {best, *(pair.other for pair in pairs)} if pairs else tested if best in tested else set()
    others = [model for model in others if model not in settled]
    if pairs:
        found.append(Finding(_in_pairs(best, pairs), metrics_file(comparison.EXPORT)))
    if others:
        found.append(Finding(_against_others(best, others, bool(settled)), all_sources))
    if verdict and not (pairs and tested <= settled):
        found.insert(1 if settled else 2, Finding(verdict, metrics_file(FINE_TUNING)))
    return found


def _in_pairs(best: Model, pairs: Sequence[comparison.Paired]) -> str:
    """Return what the paired tests say of the best model."""
    worse = [
        f"{pair.other.label} ({percent(pair.other.accuracy)}) by {points(pair.points)} percentage points ({p_value(pair.p_value)})"
        for pair in pairs
        if pair.shown
    ]
    alike = [
        f"{pair.other.label} ({percent(pair.other.accuracy)}, {p_value(pair.p_value)})"
        for pair in pairs
        if not pair.shown
    ]
    parts = [f"does better than {listing(worse)}"] if worse else []
    parts += [f"is not shown to differ from {listing(alike)}"] if alike else []
    return f"Tested image by image on the validation images, {best.label} {', and '.join(parts)}."


def shown_worse(metrics: MetricsByStage) -> list[Model]:
    """Return the models that are shown to be worse than the best: by a paired test where there is one, else by the intervals."""
    compared = models(metrics)
    tested = (
        {pair.other: pair.shown for pair in comparison.against_best(metrics, compared)} if compared else {}
    )
    return [model for model in compared[1:] if tested.get(model, not overlap(model, compared[0]))]


def _against_others(best: Model, others: Sequence[Model], one_is_settled: bool) -> str:
    """Return how the best compares by the intervals; `one_is_settled` if a paired test spoke of one more."""
    alike = [model for model in others if overlap(best, model)]
    worse = [model for model in others if not overlap(best, model)]
    if not alike:
        nearest = worse[0]
        ahead = 100 * (best.accuracy - nearest.accuracy)
        opening = "The difference is shown: its interval lies above all others."
        if one_is_settled:
            opening = f"The difference between {best.label} and {_others(len(worse))} is shown: the intervals do not overlap."
        which = f"The next best, {nearest.label},"
        if one_is_settled:  # by the paired test, and may be ahead of these
            which = f"The best of these, {nearest.label}," if len(worse) > 1 else "It"
        return (
            f"{opening} {which} "
            f"is {ahead:.1f} percentage points behind ({percent(nearest.accuracy)}, {nearest.interval})."
        )
    names = listing([f"{model.label} ({percent(model.accuracy)}, {model.interval})" for model in alike])
    sentence = f"No difference is shown between {best.label} and {names}: their 95% intervals overlap."
    if worse:
        sentence += f" {capital(_others(len(worse)))} {'is' if len(worse) == 1 else 'are'} lower: their intervals lie below."
    return sentence


def _others(count: int) -> str:
    return "the other model" if count == 1 else f"the other {count} models"


def _simplest(compared: Sequence[Model]) -> Model | None:
    """Return the model with the fewest parameters of those that look at the image."""
    known = [model for model in compared if model.parameters and model.name != MAJORITY]
    return min(known, key=lambda model: (model.parameters or 0, -model.accuracy), default=None)


def _return_on_complexity(best: Model, simplest: Model) -> str:
    cost = _cost(best, simplest)
    if overlap(best, simplest):
        return (
            f"The return on complexity is not shown: {simplest.label}, {_SMALLEST}, "
            f"reaches {percent(simplest.accuracy)} ({simplest.interval}), and the 95% intervals overlap{cost}."
        )
    bought = 100 * (best.accuracy - simplest.accuracy)
    return (
        f"The return on complexity: {best.label} is {bought:.1f} percentage points above {simplest.label}, "
        f"{_SMALLEST}{cost}."
    )


def _floor(compared: Sequence[Model]) -> Finding | None:
    """Return what naming always the same class would reach."""
    floor = next((model for model in compared if model.name == MAJORITY), None)
    if floor is None:
        return None
    return Finding(
        f"Always naming the most frequent class would be right on {percent(floor.accuracy)}.", floor.source
    )


def complexity(metrics: MetricsByStage) -> tuple[str, str] | None:
    """Return what the best model has over the simplest, and the files; None where a paired test spoke of the two."""
    compared = models(metrics)
    simplest = _simplest(compared)
    if simplest is None or simplest is compared[0]:
        return None
    _, tested = transfer.paired(metrics, compared)
    if {compared[0], simplest} <= tested:
        return None
    return _return_on_complexity(compared[0], simplest), sources([compared[0].source, simplest.source])


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


def also(metrics: MetricsByStage, dataset: str) -> list[Finding]:
    """Return what is worth knowing beside the champion's numbers and the answered questions."""
    found = _best_and_others(metrics, dataset)[1:]
    floor = _floor(models(metrics))
    found += [floor] if floor else []
    for text, files in (evaluated.test_accuracy(metrics), evaluated.looking(metrics)):
        if text:
            found.append(Finding(text, sources(files)))
    return found + _smaller(metrics)


def learned(metrics: MetricsByStage, dataset: str) -> list[Finding]:
    """Return what to remember, the most important first: models, champion, resolution, tuning, learning curves, classes, warm-up."""
    found = _best_and_others(metrics, dataset)
    if found:
        text = " ".join(item.text for item in found)
        found = [Finding(text, sources(name for item in found for name in item.source.split(", ")))]
    for text, files in (
        evaluated.test_accuracy(metrics),
        evaluated.looking(metrics),
        exported.champion(metrics),
    ):
        if text:
            found.append(Finding(text, sources(files)))
    search = tuned.search(metrics)
    if search:
        found.append(Finding(search, metrics_file(comparison.TUNING)))
    return found + _smaller(metrics)


def _smaller(metrics: MetricsByStage) -> list[Finding]:
    """Return what resolution, learning curves, mean images and warm-up showed."""
    resolution = transfer.resolution(metrics)
    found = [Finding(resolution, metrics_file(TRANSFER))] if resolution else []
    found += _diagnoses(metrics)
    pairs = alike(metrics)
    if pairs:
        one, other, correlation = pairs[0]
        hardest = next(iter(metrics[EXPLORE].get("most_confused") or []), None)
        expected = (
            f" A linear classifier takes {hardest[0]} and {hardest[1]} for each other most ({percent(hardest[2])} of their "
            "images): expect mistakes there first."
            if hardest
            else ""
        )
        found.append(
            Finding(
                f"The classes whose mean images are most alike are {one} and {other} (correlation {correlation:.2f}).{expected}",
                metrics_file(EXPLORE),
            )
        )
    if {"dense_accuracy", "logistic_accuracy"} <= set(metrics.get(WARM_UP, {})):
        found.append(Finding(_warm_up(metrics[WARM_UP]), metrics_file(WARM_UP)))
    return found


def _diagnoses(metrics: MetricsByStage) -> list[Finding]:
    """Return what the learning curves of each stage showed, first of the stage with the best model."""
    stages_best_first = dict.fromkeys([*(model.stage for model in models(metrics)), *comparison.STAGES])
    found = [(stage, _diagnosis(metrics.get(stage, {}))) for stage in stages_best_first]
    return [
        Finding(f"The learning curves say: {text}.", metrics_file(stage)) for stage, text in found if text
    ]


def _diagnosis(training: Mapping[str, Any]) -> str:
    """Return what the learning curves showed: one text, or one for each network."""
    history = training.get("history")
    found = training.get("diagnosis") or (history.get("diagnosis") if isinstance(history, Mapping) else None)
    if isinstance(found, Mapping):
        labels = [model["label"] for model in (training.get("models") or {}).values() if model.get("label")]
        names = labels if len(labels) == len(found) == 1 else found
        found = "; ".join(f"{name}: {text}" for name, text in zip(names, found.values(), strict=True))
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


def summary(
    metrics: MetricsByStage, dataset: str, business: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return all of it as plain JSON: what the index page is made from.

    Args:
        metrics: every stage's metrics.
        dataset: what the data set is called.
        business: what the cost model found, with its `threshold`; None where it was not asked.
    """
    compared = models(metrics)
    threshold = (business or {}).get("threshold")
    return {
        "schema": SCHEMA,
        "dataset": dataset,
        "champion": first_screen.candidate(metrics),
        "lead": first_screen.lead(metrics, dataset),
        "tiles": [asdict(tile) for tile in first_screen.tiles(metrics)],
        "not_for": [list(entry) for entry in first_screen.not_for(metrics, threshold)],
        "questions": [list(answer) for answer in questions.answers(metrics, complexity(metrics))],
        "headline": [asdict(item) for item in headline(metrics, dataset)],
        "also": [asdict(item) for item in also(metrics, dataset)],
        "learned": [asdict(item) for item in learned(metrics, dataset)],
        "business": dict(business) if business else None,
        "post_mortem": [asdict(lesson) for lesson in post_mortem.lessons(metrics)],
        "models": [asdict(item) for item in compared],
        "models_source": sources(model.source for model in compared) or metrics_file(BASELINE),
        "tested": [asdict(item) for item in evaluated.tested(metrics)],
        "n_validation": comparison.validation_images(metrics),
        "data": [asdict(item) for item in data_facts(metrics)],
        "most_alike": [list(pair) for pair in alike(metrics)],
        "most_alike_source": metrics_file(EXPLORE),
    }
