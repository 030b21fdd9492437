"""Sentences about transfer learning and fine-tuning: the paired test, and what a finer resolution brings.

The paired test compares two models on the same images (McNemar 1947, "Note on the sampling error of the
difference between correlated proportions or percentages"): it can show a difference that two separate
intervals, which overlap, cannot.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from helpers.report.models import (
    FINE_TUNING,
    TRANSFER,
    Difference,
    MetricsByStage,
    Model,
    differences,
    same_accuracy,
    variants,
)
from helpers.wording import duration, interval, listing, p_value, percent, points

FROZEN = "frozen"
LEVEL = 0.05
ROUNDING = 0.06  # percentage points by which a logged difference may be rounded


def frozen_against_tuned(metrics: MetricsByStage) -> Difference | None:
    """Return the test of the frozen base against the fine-tuned model, or None where 06 logged none.

    The fine-tuned model is the variant with its accuracy; where none has it, the best that was tested.
    """
    tuned = (metrics.get(FINE_TUNING, {}).get("models") or {}).get("fine_tuned", {}).get("accuracy")
    ways = variants(metrics)

    def rank(difference: Difference) -> tuple[bool, float]:
        accuracy = ways.get(_not_frozen(difference), {}).get("accuracy")
        return same_accuracy(accuracy, tuned), accuracy or 0.0

    tested = [found for found in differences(metrics) if FROZEN in (found.better, found.worse)]
    return max(tested, key=rank, default=None)


def _not_frozen(difference: Difference) -> str:
    return difference.worse if difference.better == FROZEN else difference.better


def paired(metrics: MetricsByStage, compared: Sequence[Model]) -> tuple[str, set[Model]]:
    """Return the paired test's verdict on freezing against fine-tuning, and which two models it speaks of.

    Args:
        metrics: every stage's metrics.
        compared: the compared models; a variant is one of them if it has the same accuracy.

    Returns:
        The sentence, empty where no test was logged, and the two models; none of them unless both were compared.
    """
    found = frozen_against_tuned(metrics)
    if found is None:
        return "", set()
    model_of = {name: _model(metrics, compared, name) for name in (found.better, found.worse)}
    names = listing([_label(metrics, name, model) for name, model in model_of.items()])
    verdict = "The difference is shown" if found.significant else "No difference is shown"
    ends = "" if found.low is None else f"95% interval {points(found.low)} to {points(found.high)}; "
    sentence = (
        f"{verdict} between {names}: {points(found.points)} percentage points "
        f"({ends}paired test, {p_value(found.p_value)})."
    )
    both = {model for model in model_of.values() if model is not None}
    return sentence, both if len(both) == 2 else set()


def _model(metrics: MetricsByStage, compared: Sequence[Model], name: str) -> Model | None:
    """Return the compared model that a variant is."""
    stage = TRANSFER if name == FROZEN else FINE_TUNING
    accuracy = variants(metrics).get(name, {}).get("accuracy")
    return next(
        (model for model in compared if model.stage == stage and same_accuracy(model.accuracy, accuracy)),
        None,
    )


def _label(metrics: MetricsByStage, name: str, model: Model | None) -> str:
    entry = variants(metrics).get(name, {})
    words = (model.label if model else entry.get("label")) or name.replace("_", " ")
    return f"{words} ({percent(entry['accuracy'])})" if "accuracy" in entry else words


def resolution(metrics: MetricsByStage) -> str:
    """Return what 05 found about the resolution of the frozen base; empty where it did not compare any."""
    logged = metrics.get(TRANSFER, {})
    rows = _comparable(logged.get("comparison") or [])
    if not rows:
        return ""
    best, coarsest = max(rows, key=lambda row: row["accuracy"]), rows[0]
    label = best.get("backbone_label") or best.get("backbone") or "base"
    ends = f", 95% interval {interval(*best['accuracy_ci95'])}" if best.get("accuracy_ci95") else ""
    fitted = f"; fitted on {best['samples']:,} images" if best.get("samples") else ""
    sentences = [
        f"Of the resolutions {listing([str(row['resolution']) for row in rows])} px, a frozen {label} does best "
        f"at {best['resolution']} px ({percent(best['accuracy'])}{ends}{fitted})."
    ]
    gain = _tested_gain(logged, rows) or ("" if best is coarsest else _gain(best, coarsest))
    cost = "" if best is coarsest else _extraction(best, coarsest)
    return " ".join(sentence for sentence in (*sentences, gain, cost) if sentence)


def _comparable(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows of one backbone by rising resolution: of the best that was tried at more than one."""
    rows = [row for row in rows if {"accuracy", "resolution"} <= set(row)]
    by_backbone: dict[Any, dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        by_backbone.setdefault(row.get("backbone"), {})[row["resolution"]] = row
    several = [[found[size] for size in sorted(found)] for found in by_backbone.values() if len(found) > 1]
    return max(several, key=lambda found: max(row["accuracy"] for row in found), default=[])


def _tested_gain(logged: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return whether more pixels help by 05's paired test; empty where it tested other models than these."""
    tested = logged.get("resolution_gain") or {}
    accuracy = {row["resolution"]: row["accuracy"] for row in rows}
    ends = (tested.get("from"), tested.get("to"))
    if not {"points", "p_value"} <= set(tested) or not set(ends) <= set(accuracy) or ends[0] == ends[1]:
        return ""
    if not math.isclose(100 * (accuracy[ends[1]] - accuracy[ends[0]]), tested["points"], abs_tol=ROUNDING):
        return ""
    verdict = "the difference is shown" if tested["p_value"] < LEVEL else "no difference is shown"
    test = f"{points(tested['points'])} percentage points (paired test, {p_value(tested['p_value'])})"
    return f"From {ends[0]} to {ends[1]} px {verdict}: {test}."


def _gain(best: Mapping[str, Any], coarsest: Mapping[str, Any]) -> str:
    """Return whether more pixels help, by the intervals."""
    gain = f"{points(100 * (best['accuracy'] - coarsest['accuracy']))} percentage points"
    ends = [row.get("accuracy_ci95") for row in (best, coarsest)]
    if None in ends:
        return f"That is {gain} above {coarsest['resolution']} px."
    if ends[0][0] <= ends[1][1]:
        return (
            f"No difference to {coarsest['resolution']} px is shown: {gain}, and the 95% intervals overlap."
        )
    return f"The difference to {coarsest['resolution']} px is shown: {gain}, and the 95% intervals do not overlap."


def _extraction(best: Mapping[str, Any], coarsest: Mapping[str, Any]) -> str:
    """Return what the pixels cost in extraction time, which the cache of features remembers."""
    seconds = [row.get("extraction_seconds") for row in (best, coarsest)]
    if None in seconds:
        return ""
    cached = best.get("from_cache") or coarsest.get("from_cache")
    when = ", timed when the cache was made" if cached else ""
    return (
        f"Extracting the features took {duration(seconds[0])} at {best['resolution']} px and "
        f"{duration(seconds[1])} at {coarsest['resolution']} px{when}."
    )
