"""Conclusions that compare stages, and what every stage concluded, ready for the report's first page.

12_report logs `best_model`, `complexity`, `confusions` and `value`. All other conclusions are printed as their stages logged them; a
stage that has not run, or logged none, is left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from helpers.errors import OsemnError
from helpers.report import data_facts, first_screen, models, post_mortem, questions, stage_conclusions
from helpers.report.data_facts import EXPLORE, metrics_file
from helpers.report.models import BASELINE, TRANSFER, MetricsByStage, Model
from helpers.series.conclusions import Conclusion, Conclusions
from helpers.series.metrics import Metric
from helpers.wording import TWO_NETWORKS, difference, duration, listing, percent, signed, sources

SCHEMA = 6
WARM_UP = "00_warm_up"
MAJORITY = "majority"


def require_models(metrics: MetricsByStage) -> list[Model]:
    """Return the compared models, best first by the metric of the series.

    Raises:
        OsemnError: no stage logged a model with an accuracy and its interval.

    Example:
        `compared = conclusions.require_models(metrics)`
    """
    compared = models.list_models(metrics)
    if not compared:
        raise OsemnError(
            f"{metrics_file(BASELINE)} and the later stages hold no model with 'accuracy' and 'accuracy_ci95'.",
            f"run notebooks/{BASELINE}.ipynb again",
        )
    return compared


def best_model(metrics: MetricsByStage, dataset: str) -> Conclusion:
    """Return which model is best on the validation images by the metric of the series, with the tests that 10 logged.

    Args:
        metrics: metrics by stage; at least one model.
        dataset: the data set's title.

    Example:
        `run.conclude(conclusions.best_model(metrics, "Digits"))`
    """
    compared, metric = require_models(metrics), models.series_metric(metrics)
    best, n = compared[0], models.count_validation_images(metrics)
    tests = models.read_tests_of_best(metrics, compared)
    equal = [model for model in compared if _result(model) == _result(best)]
    among = f"Of {len(compared)} models, the" if len(compared) > 1 else "The"
    which = f"{best.label} is best"
    if len(equal) > 1:
        which = f"{listing([equal[0].label, *(f'the {model.label}' for model in equal[1:])])} are equally good, and best,"
    text = (
        f"{among} {which} on {dataset} by {metric.title}{_other_metric(metric, best)}: {percent(best.accuracy)} of "
        f"{f'{n:,} ' if n else ''}validation images are classified correctly{' by each' if len(equal) > 1 else ''} "
        f"(95% interval {best.interval})."
    )
    numbers = {
        "model": best.name,
        "metric": metric.name,
        "value": best.value,
        "accuracy": best.accuracy,
        "accuracy_ci95": [best.low, best.high],
        "equal": [model.name for model in equal[1:]],
        "significantly_worse": [test["other"] for test in tests if test["shown"]],
    }
    files = [model.source for model in compared] + ([metrics_file(models.EXPORT)] if tests else [])
    test = "paired tests on the validation images" if tests else ""
    return Conclusion(
        "best_model",
        text + _tested(tests, f"the {best.label}" if len(equal) > 1 else "it"),
        numbers,
        test,
        sources(files),
    )


def _result(model: Model) -> tuple[float | None, float]:
    """Return what a model reached, rounded: equal means of recalls differ in their last bit."""
    return None if model.value is None else round(model.value, 9), round(model.accuracy, 9)


def _other_metric(metric: Metric, model: Model) -> str:
    """Return a model's value of the metric, unless that is the accuracy, which stands beside it."""
    return "" if metric.name == "accuracy" or model.value is None else f" ({metric.words(model.value)})"


def _tested(tests: Sequence[Mapping[str, Any]], best: str) -> str:
    """Return the results of the paired tests of the best model as a sentence, empty for none."""
    parts = [f"from the {test['label']} by {difference(test)}" for test in tests]
    return f" On these images {best} differs {'; '.join(parts)}. {TWO_NETWORKS}" if parts else ""


def complexity(metrics: MetricsByStage) -> Conclusion:
    """Return what the best model by the metric of the series gains over the smallest one, and what it costs more.

    Args:
        metrics: metrics by stage; at least one model.

    Example:
        `run.conclude(conclusions.complexity(metrics))`
    """
    compared, metric = require_models(metrics), models.series_metric(metrics)
    best = compared[0]
    # the majority class looks at no image, so it is not a model to start from
    known = [model for model in compared if model.parameters and model.name != MAJORITY]
    simplest = min(known, key=lambda model: (model.parameters or 0, -model.accuracy), default=best)
    files = sources([best.source, simplest.source])
    if simplest is best:
        text = f"The best model, the {best.label}, is also the smallest."
        return Conclusion("complexity", text, source=files)
    gain = 100 * (best.accuracy - simplest.accuracy)
    changed = ""
    if metric.name != "accuracy" and best.value is not None and simplest.value is not None:
        changed = (
            f"; the {metric.title} is {metric.words(best.value)} instead of {metric.words(simplest.value)}"
        )
    text = (
        f"Going from {simplest.label}, the smallest model, to the {best.label}, the best one, changes validation accuracy by "
        f"{signed(gain)} percentage points: {percent(simplest.accuracy)} (95% interval {simplest.interval}) to "
        f"{percent(best.accuracy)} ({best.interval}){changed}{_cost(best, simplest)}."
    )
    numbers = {"model": best.name, "simplest": simplest.name, "points": gain}
    return Conclusion("complexity", text, numbers, "95% intervals of both accuracies", files)


def _cost(best: Model, simplest: Model) -> str:
    """Return what the best model costs more than the simplest, as far as it was measured."""
    parts = []
    if best.parameters and simplest.parameters:
        parts.append(f"{best.parameters:,} parameters instead of {simplest.parameters:,}")
    if best.fit_seconds is not None and simplest.fit_seconds is not None:
        parts.append(f"{duration(best.fit_seconds)} of training instead of {duration(simplest.fit_seconds)}")
    if not parts:
        return ""
    text = f". The cost: {listing(parts)}"
    if best.samples and simplest.samples and best.samples != simplest.samples:
        text += f", on {best.samples:,} and {simplest.samples:,} training images"
    return text


def confusions(metrics: MetricsByStage) -> Conclusion | None:
    """Return which classes 02 expected to be confused, beside those that the champion confuses.

    It is None where 02 concluded nothing, and for two classes, which can only be confused with each other.

    Args:
        metrics: metrics by stage.

    Example:
        `run.conclude(conclusions.confusions(metrics))`
    """
    explored = next(iter(stage_conclusions.read(metrics, (EXPLORE, "most_alike"))), None)
    stage = f"{models.EVALUATION}/{models.find_champion(metrics)}"
    logged, expected = metrics.get(stage, {}), explored.numbers.get("confused") if explored else None
    if len(logged.get("class_names") or ()) == 2:
        return None
    if not expected or "confusion" not in logged:
        return explored and replace(explored, id="confusions")
    counts, names = np.array(logged["confusion"]), logged["class_names"]
    both = np.triu(counts + counts.T, 1)
    most = [names[index] for index in np.unravel_index(both.argmax(), both.shape)]
    before = [names.index(name) for name in expected[0][:2]]
    images = int(both[min(before), max(before)])
    text = f"{explored.text} The {logged['label']} confuses {listing(most)} most often, on {both.max():,} of {logged['n']:,} test images"
    text += (
        ", as expected."
        if set(most) == set(expected[0][:2])
        else f", and {listing(expected[0][:2])} on {images:,}."
    )
    numbers = {
        "expected": expected[0][:2],
        "found": most,
        "images": int(both.max()),
        "images_of_expected": images,
    }
    return Conclusion("confusions", text, numbers, source=sources([explored.source, metrics_file(stage)]))


def _also(metrics: MetricsByStage) -> Conclusions:
    """Return the conclusions that neither the questions nor the evidence print."""
    stages_best_first = dict.fromkeys(
        [*(model.stage for model in models.list_models(metrics)), *models.STAGES]
    )
    return stage_conclusions.read(
        metrics,
        (BASELINE, "from_scratch"),
        (BASELINE, "baselines"),
        (BASELINE, "cnn_against_forest"),
        (TRANSFER, "resolution"),
        (models.FINE_TUNING, "unfrozen_blocks"),
        *((stage, "learning_curves") for stage in stages_best_first),
        (models.SERVING, "bad_input"),
        (WARM_UP, "boundary"),
    )


def _printed(conclusion: Conclusion) -> dict[str, str]:
    return {"text": conclusion.text, "source": conclusion.source}


def summarise(
    metrics: MetricsByStage, dataset: str, business: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the content of the report's first page as plain JSON.

    Args:
        metrics: metrics by stage.
        dataset: the data set's title.
        business: what `value.summarise` returned; None without a cost model.

    Example:
        `run.save_json("summary.json", conclusions.summarise(metrics, "Digits", business))`
    """
    compared = models.list_models(metrics)
    established = [best_model(metrics, dataset), complexity(metrics)] if compared else []
    established += filter(None, [confusions(metrics)])
    return {
        "schema": SCHEMA,
        "dataset": dataset,
        "champion": models.find_champion(metrics),
        "lead": first_screen.lead(metrics),
        "why": stage_conclusions.joined(metrics, (models.EXPORT, "champion")),
        "candidates": first_screen.candidates(metrics),
        "risks": [list(entry) for entry in first_screen.risks(metrics)],
        "next_steps": [list(entry) for entry in first_screen.next_steps(metrics)],
        "not_for": [list(entry) for entry in first_screen.not_for(metrics)],
        "best_model": _printed(established[0]) if compared else None,
        "questions": [list(answer) for answer in questions.answers(metrics, established)],
        "also": [_printed(conclusion) for conclusion in _also(metrics)],
        "business": dict(business) if business else None,
        "post_mortem": [asdict(lesson) for lesson in post_mortem.lessons(metrics)],
        "models": [asdict(model) for model in compared],
        "n_validation": models.count_validation_images(metrics),
        "data": data_facts.list_facts(metrics),
    }
