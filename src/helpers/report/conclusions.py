"""Conclusions that compare stages, and what every stage concluded, ready for the report's first page.

12_report logs `best_model`, `complexity` and `value`. All other conclusions are printed as their stages logged them; a
stage that has not run, or logged none, is left out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from helpers.errors import OsemnError
from helpers.report import data_facts, first_screen, models, post_mortem, questions, stage_conclusions
from helpers.report.data_facts import EXPLORE, metrics_file
from helpers.report.models import BASELINE, TRANSFER, MetricsByStage, Model
from helpers.series.conclusions import Conclusion, Conclusions
from helpers.wording import duration, listing, p_value, percent, points, sources

SCHEMA = 6
WARM_UP = "00_warm_up"
MAJORITY = "majority"


def require_models(metrics: MetricsByStage) -> list[Model]:
    """Return the compared models, most accurate first.

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
    """Return which model is the most accurate on the validation images, with the paired tests that 10 logged.

    Args:
        metrics: metrics by stage; at least one model.
        dataset: the data set's title.

    Example:
        `run.conclude(conclusions.best_model(metrics, "Digits"))`
    """
    compared = require_models(metrics)
    best, n = compared[0], models.count_validation_images(metrics)
    tests = models.read_tests_of_best(metrics, compared)
    among = (
        f"Of {len(compared)} models, the {best.label} has" if len(compared) > 1 else f"The {best.label} has"
    )
    text = (
        f"{among} the highest accuracy on {dataset}: {percent(best.accuracy)} of {f'{n:,} ' if n else ''}validation images "
        f"(95% interval {best.interval})."
    )
    numbers = {
        "model": best.name,
        "accuracy": best.accuracy,
        "accuracy_ci95": [best.low, best.high],
        "significantly_worse": [test["other"] for test in tests if test["shown"]],
    }
    files = [model.source for model in compared] + ([metrics_file(models.EXPORT)] if tests else [])
    test = "McNemar's exact test on the validation images" if tests else ""
    return Conclusion("best_model", text + _tested(tests), numbers, test, sources(files))


def _tested(tests: Iterable[Mapping[str, Any]]) -> str:
    """Return the results of the paired tests as a sentence, empty for none."""
    named: dict[bool, list[str]] = {}
    for test in tests:
        low, high = map(points, test["ci95"])
        words = (
            f"{test['label']} ({points(test['points'])} percentage points, 95% interval {low} to {high}, "
            f"{p_value(test['p_value'])})"
        )
        named.setdefault(test["shown"], []).append(words)
    parts = [
        f"{'significant' if significant else 'not significant'} against {listing(named[significant])}"
        for significant in (True, False)
        if significant in named
    ]
    return f" In paired tests on these images, its lead is {', and '.join(parts)}." if parts else ""


def complexity(metrics: MetricsByStage) -> Conclusion:
    """Return what the most accurate model gains over the smallest one, and what it costs more.

    Args:
        metrics: metrics by stage; at least one model.

    Example:
        `run.conclude(conclusions.complexity(metrics))`
    """
    compared = require_models(metrics)
    best = compared[0]
    # the majority class looks at no image, so it is not a model to start from
    known = [model for model in compared if model.parameters and model.name != MAJORITY]
    simplest = min(known, key=lambda model: (model.parameters or 0, -model.accuracy), default=best)
    files = sources([best.source, simplest.source])
    if simplest is best:
        return Conclusion(
            "complexity", f"The most accurate model, the {best.label}, is also the smallest.", source=files
        )
    gain = 100 * (best.accuracy - simplest.accuracy)
    text = (
        f"Going from {simplest.label}, the smallest model, to the {best.label} gains {points(gain)} percentage points of "
        f"validation accuracy: {percent(simplest.accuracy)} (95% interval {simplest.interval}) to {percent(best.accuracy)} "
        f"({best.interval}){_cost(best, simplest)}."
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
        (EXPLORE, "most_alike"),
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
