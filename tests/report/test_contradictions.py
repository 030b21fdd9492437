"""Conclusions that contradict each other are found, and those of a run of the real functions are not called so."""

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pandas as pd
import pytest

import contradictions
from helpers import scoring
from helpers.export import champion
from helpers.interpret import confusion, retraining
from helpers.report import conclusions as report
from helpers.series import metrics
from helpers.series.conclusions import Conclusion, as_metrics
from helpers.series.metrics import Metric
from helpers.serving import conclusions as serving

NAMES = ["boot", "coat", "dress"]
SKILL = {"baseline_cnn": 0.80, "transfer": 0.86, "fine_tuned": 0.90, "tuned": 0.93}
STAGE = {
    "baseline_cnn": "04_baseline",
    "transfer": "05_transfer_learning",
    "fine_tuned": "06_fine_tuning",
    "tuned": "09_tuning",
}
LOAD = [{"workers": 1, "pictures": 1, "connections": count, "answers": 2_000, "p50": 0.4 * count, "p95": 1.0, "p99": 2.0, "per_second": 2_000.0 + count} for count in (1, 16)]  # fmt: skip


def predictions(n: int, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return labels and each candidate's predictions; two images of three are of the first class."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(3, n, p=[0.66, 0.17, 0.17])
    hard, other = generator.random(n), (labels + generator.integers(1, 3, n)) % 3
    return labels, {name: np.where(hard < skill, labels, other) for name, skill in SKILL.items()}


@pytest.fixture(scope="module", params=["accuracy", "balanced_accuracy"])
def run(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the metrics of a run as its stages log them."""
    metric, (labels, predicted) = Metric(request.param), predictions(600, 0)
    logged: dict[str, Any] = {
        name: {"conclusions": []} for name in (*STAGE.values(), "10_export", "11_serving", "12_report")
    }
    logged["03_preprocess"] = {"conclusions": as_metrics([Conclusion("metric", "", metric.facts())])}
    for name, stage in STAGE.items():
        score = scoring.score(labels, predicted[name], 3)
        logged[stage] |= {"n_validation": 600, "models": {name: {"label": name, **vars(score)}}}
    for stage, name, one, other in (("06_fine_tuning", "fine_tuning", "fine_tuned", "transfer"), ("09_tuning", "against_baseline", "tuned", "baseline_cnn")):  # fmt: skip
        pair = scoring.compare(labels, predicted[one], predicted[other])
        logged[stage]["conclusions"] = as_metrics([Conclusion(name, "", pair.as_metrics())])
    options = [champion.Option(name, name, predicted[name], 1.0 + place) for place, name in enumerate(SKILL)]
    choice = champion.choose(options, labels, 3, metric)
    _evaluate(logged, metric)
    tested = {name: {"accuracy": logged[f"07_evaluation/{name}"]["accuracy"]} for name in SKILL}
    logged["10_export"] = {
        "candidate": choice.champion,
        "champion": {"overridden": choice.overridden},
        "against_best": choice.against_best(),
        "tested": tested,
        "conclusions": as_metrics([choice.conclusion()]),
    }
    load = pd.DataFrame(LOAD)
    of_service = [serving.latency(load, 0.1), serving.throughput(load)]
    logged["11_serving"] = {"load": LOAD, "conclusions": as_metrics(of_service)}
    explored = Conclusion("most_alike", "Boot and coat are alike.", {"confused": [["boot", "coat", 0.1]]})
    logged["02_explore"] = {"conclusions": as_metrics([explored])}
    logged["12_report"]["conclusions"] = as_metrics(
        [report.best_model(logged, "Digits"), report.confusions(logged)]
    )
    return json.loads(json.dumps(logged, default=float))


def _evaluate(logged: dict[str, Any], metric: Metric) -> None:
    labels, predicted = predictions(1_000, 1)
    for place, name in enumerate(SKILL):
        counts = confusion.matrix(labels, predicted[name], 3)
        scores = confusion.scores(counts, NAMES, draws=50)
        others = [
            {"other": other, **scoring.compare(labels, predicted[name], predicted[other]).as_metrics()}
            | {"by_metric": metrics.tested(metric, labels, predicted[name], predicted[other], 3)}
            for other in list(SKILL)[:place]
        ]
        logged[f"07_evaluation/{name}"] = {
            "label": name,
            "n": scores.n,
            "accuracy": scores.accuracy,
            "class_names": NAMES,
            "confusion": counts.tolist(),
            "compared": others,
            "conclusions": as_metrics([retraining.retraining(name, scores.accuracy, scores.n)]),
        }


def numbers(logged: dict[str, Any], stage: str, name: str) -> dict[str, Any]:
    return next(one["numbers"] for one in logged[stage]["conclusions"] if one["id"] == name)


def test_a_consistent_run_has_no_contradiction(run):
    assert contradictions.find(run) == []


def _twice_best(run: dict[str, Any]) -> None:
    numbers(run, "12_report", "best_model")["model"] = "baseline_cnn"


def _other_metric(run: dict[str, Any]) -> None:
    numbers(run, "12_report", "best_model")["metric"] = "mcc"


def _worse_champion(run: dict[str, Any]) -> None:
    run["10_export"]["candidate"] = "baseline_cnn"


def _other_confusion(run: dict[str, Any]) -> None:
    named = numbers(run, "12_report", "confusions")
    named["found"] = ["coat", "dress"] if set(named["found"]) != {"coat", "dress"} else ["boot", "coat"]


def _other_rule(run: dict[str, Any]) -> None:
    run["11_serving"]["conclusions"] += as_metrics([Conclusion("drift", "Below 92%, retrain.")])


def _other_latency(run: dict[str, Any]) -> None:
    numbers(run, "11_serving", "latency")["p50_ms"] *= 1.07


def _other_throughput(run: dict[str, Any]) -> None:
    numbers(run, "11_serving", "throughput")["images_per_second"] *= 1.07


def _other_test_accuracy(run: dict[str, Any]) -> None:
    run["10_export"]["tested"]["tuned"]["accuracy"] -= 0.001


def _other_difference(run: dict[str, Any]) -> None:
    run["07_evaluation/tuned"]["compared"][0]["points"] += 0.1


@pytest.mark.parametrize(
    ("contradict", "words"),
    [
        (_twice_best, "12 calls baseline_cnn best, and 10 tuned"),
        (_other_metric, "12 compares by mcc"),
        (_worse_champion, "10 exports baseline_cnn, although it may lose"),
        (_other_confusion, "12 names other classes than 07 confuses"),
        (_other_rule, "another rule for retraining: Below 92%, retrain."),
        (_other_latency, "two latencies"),
        (_other_throughput, "two throughputs"),
        (_other_test_accuracy, "tuned has two test accuracies"),
        (_other_difference, "tuned and baseline_cnn differ by"),
    ],
)
def test_each_contradiction_is_found(run, contradict: Callable[[dict[str, Any]], None], words: str):
    changed = deepcopy(run)
    contradict(changed)
    assert any(words in problem for problem in contradictions.find(changed)), contradictions.find(changed)


def test_one_pair_of_networks_has_one_difference_and_one_verdict(run):
    changed = deepcopy(run)
    row = next(row for row in changed["10_export"]["against_best"] if row["other"] == "baseline_cnn")
    row |= {"unit": " points of accuracy", "points": row["points"] + 1, "p_value": 0.5}
    problems = contradictions.find(changed)
    assert any("differ by" in text for text in problems)
    assert any("significantly in only one" in text for text in problems)
