"""The questions that a reviewer asks, answered from the metrics: was transfer learning worth it, was tuning, why this model."""

from collections.abc import Mapping, Sequence
from typing import Any

from helpers.report import exported, tuned
from helpers.report.data_facts import ACQUIRE, metrics_file
from helpers.report.first_screen import EVALUATION, EXPORT
from helpers.report.models import TUNING, MetricsByStage
from helpers.series.stages import CANDIDATES
from helpers.wording import duration, listing, p_value, points, sources

FROM_SCRATCH = ("baseline_cnn", "tuned")
PRETRAINED = ("transfer", "fine_tuned")
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
    """Return whether pretrained weights beat the best network trained from scratch, by 07's paired tests."""
    name, scratch = _best(metrics, PRETRAINED), _best(metrics, FROM_SCRATCH)
    test = _test(metrics, name, scratch) if name and scratch else None
    if test is None:
        return []
    size = metrics.get(ACQUIRE, {}).get("image_height")
    question = (
        f"Was transfer learning worth it on images of {size} pixels?"
        if size
        else "Was transfer learning worth it?"
    )
    labels = {one: metrics[f"{EVALUATION}/{one}"]["label"] for one in (name, scratch)}
    other = f"the {labels[scratch]}, the best that was trained from scratch,"
    apart = points(abs(test["points"])) if abs(test["points"]) >= 0.05 else "less than 0.1"
    gap = f"{apart} percentage points ({p_value(test['p_value'])}, the same test images)"
    if not test["shown"]:
        answer = f"Not shown: {labels[name]} and {other} differ by {gap}"
    elif test["points"] > 0:
        answer = f"Yes: {labels[name]} beats {other} by {gap}"
    else:
        answer = f"No: {labels[name]} stays behind {other} by {gap}"
    files = [CANDIDATES[name], CANDIDATES[scratch], f"{EVALUATION}/{name}", f"{EVALUATION}/{scratch}"]
    files += [EXPORT] if metrics.get(EXPORT, {}).get("latency_ms") else []
    frozen, stage = _frozen(metrics, name, scratch)
    files += [stage] if stage else []
    text = f"{answer}{_price(metrics, name, scratch)}.{frozen}"
    return [(question, text, sources(map(metrics_file, files)))]


def _best(metrics: MetricsByStage, candidates: Sequence[str]) -> str:
    """Return which of some candidates does best on validation, of those that were evaluated; empty for none."""
    known = {
        name: (metrics.get(CANDIDATES[name], {}).get("models") or {}).get(name, {}).get("accuracy") or 0.0
        for name in candidates
        if metrics.get(f"{EVALUATION}/{name}")
    }
    return max(known, key=known.__getitem__, default="")


def _test(metrics: MetricsByStage, one: str, other: str) -> dict[str, Any] | None:
    """Return 07's paired test of two candidates as one minus the other, whichever of them was evaluated last."""
    for late, early, sign in ((one, other, 1), (other, one, -1)):
        for found in metrics.get(f"{EVALUATION}/{late}", {}).get("compared") or []:
            if found["other"] == early:
                return {**found, "points": sign * found["points"]}
    return None


def _frozen(metrics: MetricsByStage, name: str, scratch: str) -> tuple[str, str]:
    """Return what the pretrained network reaches as it comes, where a fine-tuned one is spoken of, and the stage that says so."""
    test = _test(metrics, "transfer", scratch) if name != "transfer" else None
    if test is None:
        return "", ""
    label = metrics[f"{EVALUATION}/transfer"]["label"]
    gap = f"{points(abs(test['points']))} percentage points ({p_value(test['p_value'])})"
    verdict = (
        f"the difference to that network, {gap}, is not shown"
        if not test["shown"]
        else f"it beats that network by {gap}"
        if test["points"] > 0
        else f"it stays behind that network by {gap}"
    )
    return f" Without fine-tuning, as {label}, {verdict}.", f"{EVALUATION}/transfer"


def _price(metrics: MetricsByStage, name: str, scratch: str) -> str:
    """Return what the pretrained network costs against the one from scratch."""
    one = (metrics.get(CANDIDATES[name], {}).get("models") or {}).get(name, {})
    other = (metrics.get(CANDIDATES[scratch], {}).get("models") or {}).get(scratch, {})
    parts = []
    if one.get("parameters") and other.get("parameters"):
        parts.append(f"{_times(one['parameters'] / other['parameters'])} the parameters")
    if one.get("fit_seconds") and other.get("fit_seconds"):
        parts.append(f"{duration(one['fit_seconds'])} of fitting instead of {duration(other['fit_seconds'])}")
    latency = metrics.get(EXPORT, {}).get("latency_ms") or {}
    if latency.get(name) and latency.get(scratch):
        parts.append(f"{_milliseconds(latency, name, scratch)} for a picture")
    return f", at {listing(parts)}" if parts else ""


def _times(ratio: float) -> str:
    return f"{ratio:.0f} ×" if ratio >= 9.5 else f"{ratio:.1f} ×"


def _milliseconds(latency: Mapping[str, float], one: str, other: str) -> str:
    return f"{latency[one]:.2g} ms instead of {latency[other]:.2g} ms"


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
    return f" The price: {_milliseconds(latency, champion, fastest)} of the {label} for one picture, in the format that is served."
