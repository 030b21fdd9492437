"""The sentences of an evaluation follow its numbers."""

import numpy as np
import pytest

from helpers import paths
from helpers.interpret import calibration, conclusions, confusion
from helpers.obtain import data
from helpers.series import manifests, stages
from helpers.series.runs import Run

NAMES = ("a", "b", "c")


def predictions(seed: int = 0, n: int = 300, skill: float = 0.8):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, n)
    predicted = np.where(generator.random(n) < skill, labels, generator.integers(0, 3, n))
    probabilities = np.full((n, 3), 0.1)
    probabilities[np.arange(n), predicted] = 0.8
    return labels, predicted, probabilities


def test_accuracy_stands_beside_majority_top_two_and_people():
    labels, predicted, probabilities = predictions()
    rows = {row[0]: row for row in conclusions.references("fashion_mnist", labels, predicted, probabilities)}
    assert rows["accuracy"][1] == pytest.approx(np.mean(labels == predicted))
    assert rows["majority class"][1] == pytest.approx(np.bincount(labels).max() / 300)
    assert rows["accuracy"][1] <= rows["top-2 accuracy"][1] <= 1
    assert rows["people"][1] == 0.835
    assert "H. Xiao" in rows["people"][3]
    assert "people" not in [
        row[0] for row in conclusions.references("digits", labels, predicted, probabilities)
    ]


def test_top_two_is_scikit_learns():
    from sklearn.metrics import top_k_accuracy_score

    labels, predicted, _ = predictions()
    probabilities = np.random.default_rng(5).dirichlet(np.ones(3), 300)
    row = conclusions.references("digits", labels, predicted, probabilities)[2]
    assert row[1] == pytest.approx(top_k_accuracy_score(labels, probabilities, k=2), abs=1e-9)


def test_two_classes_have_a_top_two_of_one():
    labels = np.array([0, 1, 1])
    rows = conclusions.references("pets", labels, labels, np.eye(2)[labels])
    assert rows[2][1] == 1.0


def test_spread_over_seeds_is_not_mixed_up_with_the_interval_over_images():
    one = conclusions.spread([0.92], (0.91, 0.93))
    assert "this run trained one" in one
    several = conclusions.spread([0.92, 0.93, 0.94], (0.91, 0.93))
    assert "91.0% to 93.0% (95% interval over images)" in several
    assert "Over 3 seeds of training, accuracy is 93.00% on average, 92.00% to 94.00%" in several


@pytest.mark.parametrize(
    ("confidence", "said"), [(0.95, "too sure"), (0.6, "not sure enough"), (0.8, "about as sure")]
)
def test_calibration_is_called_by_its_sign(confidence, said):
    labels = np.zeros(1_000, int)
    probabilities = np.full((1_000, 2), confidence)
    probabilities[:, 1] = 1 - confidence
    wrong = np.arange(1_000) < 200
    probabilities[wrong] = probabilities[wrong][:, ::-1]
    before = calibration.reliability(probabilities, labels)
    temperature = calibration.fit_temperature(probabilities, labels)
    after = calibration.reliability(calibration.at_temperature(probabilities, temperature), labels)
    text = conclusions.calibration_sentence(before, after, temperature)
    assert said in text
    helps = after.error < before.error
    assert ("does not help" in text) != helps


def test_a_few_images_do_not_tell_whether_a_model_is_too_sure():
    probabilities = np.tile([0.85, 0.15], (40, 1))
    labels = (np.arange(40) < 8).astype(int)
    found = calibration.reliability(probabilities, labels)
    assert found.gap.value == pytest.approx(0.05)
    text = conclusions.calibration_sentence(found, found, 1.0)
    assert "not shown to be too sure or not sure enough" in text


def evaluated(tmp_path, monkeypatch, *others: tuple[str, np.ndarray]) -> Run:
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path))
    upstream = {}
    for candidate, predicted in others:
        stage = f"07_evaluation/{candidate}"
        folder = paths.stage_folder("digits", "smoke", stage)
        folder.mkdir(parents=True)
        np.savez(folder / conclusions.PREDICTIONS, label=candidate.replace("_", " "), predicted=predicted)
        upstream[stage] = {"outputs": manifests.describe_files(folder, list(folder.iterdir()))}
    spec = stages.find("07_evaluation/tuned")
    values = {"dataset": "digits", "profile": "smoke", "seed": 0, "candidate": "tuned"}
    return Run(spec, values, upstream=upstream)


def test_others_that_exist_are_compared_and_those_that_do_not_are_passed_over(tmp_path, monkeypatch):
    labels, predicted, _ = predictions(skill=0.9)
    poor = np.where(np.arange(300) < 120, (labels + 1) % 3, labels)
    run = evaluated(tmp_path, monkeypatch, ("baseline_cnn", poor), ("fine_tuned", predicted))
    found = conclusions.against_others(run, labels, predicted)
    assert [one["other"] for one in found] == ["baseline_cnn", "fine_tuned"]
    text = conclusions.comparison_text(found)
    assert "against the **baseline cnn**" in text
    assert "**better**" in text.splitlines()[0]
    assert "**no difference shown**" in text.splitlines()[1]
    assert "nothing to compare" in conclusions.comparison_text([])


def test_lessons_name_the_weakest_class_and_what_differs():
    labels, predicted, probabilities = predictions()
    counts = confusion.matrix(labels, predicted, 3)
    scores = confusion.scores(counts, NAMES)
    reliability = calibration.reliability(probabilities, labels)
    compared = [
        {"label": "frozen network", "points": -2.0, "shown": True},
        {"label": "plain network", "points": 0.1, "shown": False},
        {"label": "small network", "points": 0.2, "shown": False},
    ]
    text = conclusions.learned("small net", scores, scores.classes[1], reliability, reliability, compared)
    assert (
        "not shown to differ from the plain network and the small network; worse than the frozen network"
        in text
    )
    assert "weakest class is **b**" in text
    report = conclusions.classification_report(scores)
    assert f"{scores.accuracy:.3f}" in report
    assert all(name in report for name in NAMES)


def test_metrics_have_the_names_that_others_look_for():
    labels, predicted, probabilities = predictions()
    counts = confusion.matrix(labels, predicted, 3)
    scores = confusion.scores(counts, NAMES)
    reliability = calibration.reliability(probabilities, labels)
    found = conclusions.metrics("tuned", scores, counts, NAMES, reliability, reliability, 1.1, predicted)
    wanted = {
        "candidate",
        "n",
        "accuracy",
        "accuracy_ci95",
        "macro_f1",
        "weighted_f1",
        "ece",
        "per_class",
        "confusion",
    }
    assert wanted <= set(found)
    assert {"precision", "recall", "f1", "support"} <= set(found["per_class"]["a"])
    assert found["predictions_sha256"] == data.array_sha256(predicted.astype(np.int64))


def test_absent_class_is_said_in_report_and_lessons():
    labels, predicted = np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0])
    scores = confusion.scores(confusion.matrix(labels, predicted, 3), NAMES)
    assert "no image of: c" in conclusions.classification_report(scores)
    reliability = calibration.reliability(np.eye(3)[predicted], labels)
    text = conclusions.learned("net", scores, scores.classes[0], reliability, reliability, [])
    assert "No test image shows c" in text
