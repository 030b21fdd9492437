"""What the report says of test accuracy and of the maps follows what 07 and 08 logged."""

import copy

import pytest

from helpers.report import conclusions, evaluated
from report_runs import evaluated_metrics, metrics_by_stage


@pytest.fixture
def metrics() -> dict[str, dict]:
    return copy.deepcopy({**metrics_by_stage(), **evaluated_metrics()})


def test_every_evaluated_candidate_is_named_with_its_interval(metrics):
    text, files = evaluated.test_accuracy(metrics)
    assert text.startswith("On the 360 test images: three-layer CNN")
    assert "fine-tuned Lite0, 64 px 94.0% (91.0 to 96.0%)" in text
    assert files == [
        f"07_evaluation/{name}/metrics.json" for name in ("baseline_cnn", "transfer", "fine_tuned", "tuned")
    ]


def test_paired_verdicts_of_the_last_candidate_are_told_by_whether_they_are_shown(metrics):
    text, _ = evaluated.test_accuracy(metrics)
    assert "Tuned residual CNN is not shown to differ from three-layer CNN (p = 0.310)" in text
    assert "worse than frozen Lite0, 64 px by 0.7 percentage points (p = 0.040)" in text
    metrics["07_evaluation/tuned"]["compared"][0].update(shown=True, points=1.3, p_value=0.001)
    assert "better than three-layer CNN by 1.3 percentage points" in evaluated.test_accuracy(metrics)[0]


def test_candidates_that_were_not_evaluated_are_left_out(metrics):
    for name in ("baseline_cnn", "transfer", "tuned"):
        del metrics[f"07_evaluation/{name}"]
    metrics["07_evaluation/fine_tuned"].update(compared=[])
    text, files = evaluated.test_accuracy(metrics)
    assert text.startswith("On the 360 test images: fine-tuned Lite0")
    assert len(files) == 1
    assert evaluated.test_accuracy(metrics_by_stage()) == ("", [])
    assert evaluated.looking(metrics_by_stage()) == ("", [])


def test_maps_that_fail_a_check_are_called_unfit_with_the_reason(metrics):
    metrics["08_grad_cam/tuned"]["perturbation"]["deletion"]["ci95"] = [-0.01, 0.03]
    metrics["08_grad_cam/fine_tuned"]["energy"]["above_pixels"]["ci95"] = [-0.05, -0.01]
    metrics["08_grad_cam/baseline_cnn"]["reason"] = "no convolution"
    text, _ = evaluated.looking(metrics)
    assert "three-layer CNN has no maps" in text
    assert (
        "frozen Lite0, 64 px looks more at the object than chance would; its maps are not fit for evidence (they do not"
        in text
    )
    assert "fine-tuned Lite0, 64 px looks more at the background than chance would;" in text
    assert "(deleting what they mark does not lower the confidence faster than chance)" in text


def test_summary_and_headline_hold_the_test_accuracy(metrics):
    summary = conclusions.summary(metrics, "Digits")
    assert [one["candidate"] for one in summary["tested"]] == [
        "baseline_cnn",
        "transfer",
        "fine_tuned",
        "tuned",
    ]
    headline = conclusions.headline(metrics, "Digits")
    assert headline[0].text.startswith("Best of")
    assert headline[1].text.startswith("On the 360 test images")
    metrics["07_evaluation/tuned"]["accuracy"] = 0.876
    assert "87.6%" in conclusions.headline(metrics, "Digits")[1].text
