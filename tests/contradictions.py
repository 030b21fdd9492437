"""Reads what the stages of a run concluded, and lists what contradicts each other."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from helpers.report import post_mortem
from helpers.report.models import EVALUATION, EXPORT, FINE_TUNING, SERVING, TUNING, find_champion
from helpers.series import conclusions

Run = Mapping[str, Mapping[str, Any]]


def find(metrics: Run) -> list[str]:
    """Return the contradictions between the conclusions of a complete run, as sentences; empty for none."""
    problems = []
    for check in (_best, _differences, _test_scores, _confusions, _retraining, _service):
        problems += check(metrics)
    return problems


def _numbers(metrics: Run, stage: str, name: str) -> Mapping[str, Any]:
    logged = conclusions.read(metrics.get(stage, {})).get(name)
    return logged.numbers if logged else {}


def _best(metrics: Run) -> list[str]:
    """Champion, best candidate and best model follow one metric."""
    rule, best = _numbers(metrics, EXPORT, "champion"), _numbers(metrics, "12_report", "best_model")
    chosen_by = _numbers(metrics, "03_preprocess", "metric")
    problems = [
        f"{what} by {given['metric']}, although 03 chose {chosen_by['name']}"
        for what, given in (("10 chooses", rule), ("12 compares", best))
        if given["metric"] != chosen_by["name"]
    ]
    values = rule["values"]
    first = max(values, key=values.__getitem__)
    if best["model"] in values and values[best["model"]] < values[first]:
        problems.append(f"12 calls {best['model']} best, and 10 {first}")
    champion, loss = metrics[EXPORT]["candidate"], rule["loss_at_most"]
    if (
        champion in loss
        and loss[champion] >= rule["margin"]
        and not metrics[EXPORT]["champion"]["overridden"]
    ):
        problems.append(f"10 exports {champion}, although it may lose {loss[champion]:.3f}")
    return problems


def _differences(metrics: Run) -> list[str]:
    """The same two networks on the same validation images differ by the same, with the same verdict."""
    tests = {frozenset((row["best"], row["other"])): row for row in metrics[EXPORT]["against_best"]}
    others = {
        ("tuned", "baseline_cnn"): _numbers(metrics, TUNING, "against_baseline"),
        ("fine_tuned", "transfer"): _numbers(metrics, FINE_TUNING, "fine_tuning"),
    }
    problems = []
    for pair, other in others.items():
        one = tests.get(frozenset(pair))
        if not one or not other or not one["unit"].endswith(" of accuracy"):
            continue  # 06 and 09 test the accuracy
        if not np.isclose(abs(one["points"]), abs(other["points"])):
            problems.append(
                f"{pair} differ by {one['points']} in 10, and by {other['points']} in their stage"
            )
        if one["p_value"] < 0.05 <= other["p_value"] and one["p_value"] >= 0.025:
            continue  # 06 corrects for the variants that it chose from, two at most
        if (one["p_value"] < 0.05) != (other["p_value"] < 0.05):
            problems.append(f"{pair} differ significantly in only one of two stages")
    return problems


def _test_scores(metrics: Run) -> list[str]:
    """A candidate has one test accuracy, and a comparison is the difference of two of them."""
    tested = {
        name.partition("/")[2]: logged for name, logged in metrics.items() if name.startswith(EVALUATION)
    }
    problems = []
    for name, logged in tested.items():
        if metrics[EXPORT]["tested"][name]["accuracy"] != logged["accuracy"]:
            problems.append(f"{name} has two test accuracies")
        for row in logged["compared"]:
            points = 100 * (logged["accuracy"] - tested[row["other"]]["accuracy"])
            if not np.isclose(points, row["points"]):
                problems.append(
                    f"{name} and {row['other']} differ by {row['points']}, and their accuracies by {points}"
                )
    return problems


def _confusions(metrics: Run) -> list[str]:
    """The classes that 12 calls confused most are those of the champion's confusion matrix."""
    named, logged = (
        _numbers(metrics, "12_report", "confusions"),
        metrics[f"{EVALUATION}/{find_champion(metrics)}"],
    )
    counts, names = np.array(logged["confusion"]), logged["class_names"]
    both = np.triu(counts + counts.T, 1)
    one, other = (names.index(name) for name in named["found"])
    return (
        []
        if both[one, other] + both[other, one] == both.max()
        else ["12 names other classes than 07 confuses"]
    )


def _retraining(metrics: Run) -> list[str]:
    """There is one rule for retraining."""
    champion = f"{EVALUATION}/{find_champion(metrics)}"
    rule = conclusions.read(metrics[champion])["retraining"].text
    texts = [text for lesson in post_mortem.lessons(metrics) for text in lesson.texts]
    printed = [text for text in texts if "retrain" in text and text != rule]
    return [f"another rule for retraining: {text}" for text in printed] + ["no rule for retraining"] * (
        rule not in texts
    )


def _service(metrics: Run) -> list[str]:
    """A setting of the service has one latency and one throughput."""
    load = metrics[SERVING]["load"]
    alone = [row for row in load if row["workers"] == row["pictures"] == 1]
    latency, throughput = (_numbers(metrics, SERVING, name) for name in ("latency", "throughput"))
    problems = []
    if latency["p50_ms"] != min(alone, key=lambda row: row["connections"])["p50"]:
        problems.append("two latencies for one image")
    if throughput["images_per_second"] != max(row["per_second"] * row["pictures"] for row in load):
        problems.append("two throughputs for one setting")
    return problems
