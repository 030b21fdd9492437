"""The questions that a reviewer asks, answered from the metrics: was transfer learning worth it, was tuning, why this model."""

from collections.abc import Mapping
from typing import Any

from helpers.report import exported, tuned
from helpers.report.champion import EVALUATION, EXPORT
from helpers.report.compared import BASELINE, FINE_TUNING, TRANSFER, TUNING, MetricsByStage
from helpers.report.facts import ACQUIRE, metrics_file
from helpers.wording import listing, p_value, points, sources

FROM_SCRATCH = "baseline_cnn"
PRETRAINED = {"fine_tuned": FINE_TUNING, "transfer": TRANSFER}
Answer = tuple[str, str, str]


def answers(metrics: MetricsByStage, complexity: tuple[str, str] | None = None) -> list[Answer]:
    """Return question, answer and the files that the answer's numbers come from; questions without numbers are left out.

    Args:
        metrics: every stage's metrics.
        complexity: the sentence on the return on complexity and its files.
    """
    found = []
    if complexity:
        found.append(("What does complexity buy?", *complexity))
    found += [*_transfer(metrics), *_tuning(metrics)]
    text, files = exported.champion(metrics)
    if metrics.get(EXPORT, {}).get("chosen_because"):
        text = metrics[EXPORT]["chosen_because"] + _cheaper(metrics)
        found.append(("Why this model and not the others?", text, sources([*files, metrics_file(EXPORT)])))
    return found


def _transfer(metrics: MetricsByStage) -> list[Answer]:
    """Return whether pretrained weights beat a small network trained from scratch, by 07's paired test."""
    found = _best_pretrained(metrics)
    if found is None:
        return []
    name, logged = found
    test = next((one for one in logged.get("compared") or [] if one["other"] == FROM_SCRATCH), None)
    if test is None:
        return []
    size = metrics.get(ACQUIRE, {}).get("image_height")
    question = (
        f"Was transfer learning worth it on images of {size} pixels?"
        if size
        else "Was transfer learning worth it?"
    )
    other = metrics[f"{EVALUATION}/{FROM_SCRATCH}"]["label"]
    gap = (
        f"{points(abs(test['points']))} percentage points ({p_value(test['p_value'])}, the same test images)"
    )
    if not test["shown"]:
        answer = f"Not shown: {logged['label']} and the {other}, trained from scratch, differ by {gap}"
    elif test["points"] > 0:
        answer = f"Yes: {logged['label']} beats the {other}, trained from scratch, by {gap}"
    else:
        answer = f"No: {logged['label']} stays behind the {other}, trained from scratch, by {gap}"
    files = [PRETRAINED[name], BASELINE, f"{EVALUATION}/{name}", f"{EVALUATION}/{FROM_SCRATCH}"]
    files += [EXPORT] if metrics.get(EXPORT, {}).get("latency_ms") else []
    return [(question, f"{answer}{_price(metrics, name)}.", sources(map(metrics_file, files)))]


def _best_pretrained(metrics: MetricsByStage) -> tuple[str, Mapping[str, Any]] | None:
    """Return the pretrained candidate that does best on validation, with its evaluation."""
    known = {
        name: (metrics.get(stage, {}).get("models") or {}).get(name, {}).get("accuracy") or 0.0
        for name, stage in PRETRAINED.items()
        if metrics.get(f"{EVALUATION}/{name}") and metrics.get(f"{EVALUATION}/{FROM_SCRATCH}")
    }
    if not known:
        return None
    best = max(known, key=known.__getitem__)
    return best, metrics[f"{EVALUATION}/{best}"]


def _price(metrics: MetricsByStage, name: str) -> str:
    """Return what the pretrained network costs against the small one."""
    pretrained = (metrics.get(PRETRAINED[name], {}).get("models") or {}).get(name, {})
    scratch = (metrics.get(BASELINE, {}).get("models") or {}).get(FROM_SCRATCH, {})
    parts = []
    if pretrained.get("parameters") and scratch.get("parameters"):
        parts.append(f"{_times(pretrained['parameters'] / scratch['parameters'])} the parameters")
    latency = metrics.get(EXPORT, {}).get("latency_ms") or {}
    if latency.get(name) and latency.get(FROM_SCRATCH):
        parts.append(f"{_times(latency[name] / latency[FROM_SCRATCH])} the time for a picture")
    return f", at {listing(parts)}" if parts else ""


def _times(ratio: float) -> str:
    return f"{ratio:.0f} ×" if ratio >= 9.5 else f"{ratio:.1f} ×"


def _tuning(metrics: MetricsByStage) -> list[Answer]:
    """Return whether the search paid, over the defaults and over the shallow baseline."""
    text = tuned.search(metrics)
    if not text:
        return []
    against = metrics[TUNING].get("against_baseline") or {}
    if {"points", "p_value"} <= set(against):
        shown = against["p_value"] < 0.05
        verb = "does better" if against["points"] > 0 else "does worse"
        verdict = f"the tuned network {verb}" if shown else "no difference of the tuned network is shown"
        text += (
            f" Against the three-layer CNN {verdict}: {points(against['points'])} percentage points on validation "
            f"({p_value(against['p_value'])})."
        )
    return [("Was tuning worth it?", text, metrics_file(TUNING))]


def _cheaper(metrics: MetricsByStage) -> str:
    """Return how much faster the fastest other candidate answers, where that is another one."""
    logged = metrics.get(EXPORT, {})
    latency, champion = logged.get("latency_ms") or {}, logged.get("candidate")
    if champion not in latency or len(latency) < 2:
        return ""
    fastest = min(latency, key=latency.__getitem__)
    if fastest == champion:
        return " It is also the fastest of them."
    label = (metrics.get(f"{EVALUATION}/{fastest}") or {}).get("label", fastest)
    return f" The price: the {label} answers {_times(latency[champion] / latency[fastest])} as fast."
