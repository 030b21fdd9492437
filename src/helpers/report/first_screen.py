"""The report's first screen: the champion beside the other candidates, its risks, what to do next, and what it is not for."""

from collections.abc import Mapping, Sequence
from typing import Any

from helpers.report import models
from helpers.report.data_facts import metrics_file
from helpers.report.models import EVALUATION, EXPORT, TRANSFER, TUNING, MetricsByStage, find_champion
from helpers.report.stage_conclusions import joined, read
from helpers.series import stages
from helpers.wording import interval, listing, percent

WEAK_CLASSES = 3  # as many as fit into one sentence
RISKS = ("weakest_class", "seed_spread")  # ids of 07
CHOSEN, MORE_ACCURATE, FASTER = "chosen", "alternative: higher accuracy", "alternative: faster"
NEXT_BEST = "next best"


def lead(metrics: MetricsByStage) -> str:
    """Return what 07 concluded of the champion's test accuracy; empty without a champion."""
    return joined(metrics, (f"{EVALUATION}/{find_champion(metrics)}", "test_accuracy"))


def candidates(metrics: MetricsByStage) -> list[dict[str, Any]]:
    """Return the rows of `models.list_tested`, the champion first, then the most accurate, with what the table adds.

    `role` says what a candidate is to the decision, `against` holds the logged paired difference to the champion (`points`,
    `ci95`, `significant`) or None, `parameters` and `seconds` are those of the training and of what came before it.
    """
    champion = find_champion(metrics)
    rows = [
        {**row, **_training(metrics, row["candidate"]), "role": ""}
        | {"against": _against(metrics, row["candidate"], champion)}
        for row in models.list_tested(metrics)
    ]
    rows.sort(key=lambda row: (row["candidate"] != champion, -row["accuracy"]))
    if champion and len(rows) > 1:
        _assign_roles(*rows)
    return rows


def _training(metrics: MetricsByStage, name: str) -> dict[str, Any]:
    """Return a candidate's size, its training images, and its training time with the search or the head before it."""
    model = metrics.get(stages.CANDIDATES[name], {}).get("models", {}).get(name, {})
    seconds = model.get("fit_seconds")
    if seconds is not None and name == "tuned":
        seconds += metrics[TUNING]["search_seconds"]
    if seconds is not None and name == "fine_tuned":
        seconds += metrics[TRANSFER]["models"]["transfer"]["fit_seconds"]
    return {"parameters": model.get("parameters"), "samples": model.get("samples"), "seconds": seconds}


def _against(metrics: MetricsByStage, name: str, champion: str) -> dict[str, Any] | None:
    """Return the paired difference of a candidate to the champion on the test images, whichever of the two logged it."""
    for one, other, sign in ((name, champion, 1), (champion, name, -1)):
        for row in metrics.get(f"{EVALUATION}/{one}", {}).get("compared") or []:
            if row["other"] == other:
                ends = sorted(sign * end for end in row["ci95"])
                return {"points": sign * row["points"], "ci95": ends, "significant": row["shown"]}
    return None


def _assign_roles(chosen: dict[str, Any], *others: dict[str, Any]) -> None:
    """Name the champion, and the one candidate that a reader would weigh against it."""
    chosen["role"], alternative, role = CHOSEN, others[0], NEXT_BEST
    faster = [row for row in others if (row["latency_ms"] or 0) < (chosen["latency_ms"] or 0)]
    if alternative["accuracy"] > chosen["accuracy"]:
        role = MORE_ACCURATE
    elif faster:
        alternative, role = faster[0], FASTER
    alternative["role"] = role


def risks(metrics: MetricsByStage) -> list[tuple[str, str]]:
    """Return the three main risks of using the champion, each with the file that holds the reason."""
    name = find_champion(metrics)
    if not name:
        return []
    stage = f"{EVALUATION}/{name}"
    logged = [(one.text, one.source) for one in read(metrics, *((stage, risk) for risk in RISKS))]
    words = (
        f"Images of anything but its {len(metrics[stage]['class_names'])} classes, or from another source: it names one of its "
        "classes for every image, and was tested on its own data set only."
    )
    for marked in read(metrics, (stage, "unknown")):
        words += (
            f" Beside the name, the mark 'unknown' warns of {percent(marked.numbers['others_rejected'])} of "
            f"{marked.numbers['others_n']:,} {marked.numbers['others']}."
        )
    return [*logged, (words, metrics_file(EXPORT))]


def next_steps(metrics: MetricsByStage) -> list[tuple[str, str]]:
    """Return what 07 recommends for the champion, each with the file that holds the reason."""
    stage = f"{EVALUATION}/{find_champion(metrics)}"
    advice = metrics.get(stage, {}).get("recommendations") or ()
    return [(str(text).replace("**", ""), metrics_file(stage)) for text in advice]


def not_for(metrics: MetricsByStage) -> list[tuple[str, str]]:
    """Return what the champion must not be used for beside the risks, each with the file that holds the reason."""
    name = find_champion(metrics)
    if not name:
        return []
    stage = f"{EVALUATION}/{name}"
    entries = [("Decisions about people.", metrics_file(EXPORT))]
    if weak := _weak_classes(metrics[stage]):
        words = f"Deciding alone that an image shows {_weakness(weak)}; in brackets, the precision and its 95% interval."
        entries.insert(0, (words, metrics_file(stage)))
    return entries


def _weak_classes(logged: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the classes whose interval of the precision lies below that of the accuracy, weakest first."""
    floor = logged["accuracy_ci95"][0]
    weak = [
        (name, scores)
        for name, scores in logged["per_class"].items()
        if scores["precision_ci95"] and scores["precision_ci95"][1] < floor
    ]
    return sorted(weak, key=lambda entry: entry[1]["precision"])[:WEAK_CLASSES]


def _weakness(weak: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    words = [
        f"{name} ({percent(scores['precision'])}, {interval(*scores['precision_ci95'])})"
        for name, scores in weak
    ]
    return listing(words, "or")
