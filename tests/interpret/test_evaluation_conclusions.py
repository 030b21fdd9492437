"""The conclusions and tables of an evaluation follow its numbers."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from helpers import figures, paths, wording
from helpers.interpret import (
    calibration,
    candidates,
    conclusions,
    confusion,
    error_analysis,
    plots,
    tables,
)
from helpers.interpret.confusion import Confused
from helpers.obtain import data
from helpers.obtain.places import idx
from helpers.series import manifests, stages
from helpers.series.metrics import Metric
from helpers.series.runs import Run

NAMES = ("shirt", "coat", "boot")
NET = "small net"


def predictions(seed: int = 0, n: int = 300, skill: float = 0.8):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, n)
    predicted = np.where(generator.random(n) < skill, labels, generator.integers(0, 3, n))
    probabilities = np.full((n, 3), 0.1)
    probabilities[np.arange(n), predicted] = 0.8
    return labels, predicted, probabilities


def slices(worst: float) -> list[error_analysis.Slice]:
    """Return slices by contrast; in the lowest one the accuracy is `worst`, elsewhere 0.95."""
    generator = np.random.default_rng(3)
    values = generator.random(2_000)
    correct = generator.random(2_000) < np.where(values < 0.25, worst, 0.95)
    return error_analysis.slices({"contrast": values}, correct, np.zeros(2_000, np.int64))


def test_accuracy_stands_next_to_majority_top_two_and_people():
    labels, predicted, probabilities = predictions()
    table = tables.references(
        {"people": idx.DATASETS["fashion_mnist"].people}, labels, predicted, probabilities
    )
    values = table["value"]
    assert values["accuracy"] == pytest.approx(np.mean(labels == predicted))
    assert values["majority class"] == pytest.approx(np.bincount(labels).max() / 300)
    assert values["accuracy"] <= values["top-2 accuracy"] <= 1
    assert values["people"] == 0.835
    assert "H. Xiao" in table.loc["people", "remark"]
    assert "people" not in tables.references({"people": None}, labels, predicted, probabilities).index


def test_top_two_is_scikit_learns():
    from sklearn.metrics import top_k_accuracy_score

    labels, predicted, _ = predictions()
    probabilities = np.random.default_rng(5).dirichlet(np.ones(3), 300)
    table = tables.references({"people": None}, labels, predicted, probabilities)
    expected = top_k_accuracy_score(labels, probabilities, k=2)
    assert table.loc["top-2 accuracy", "value"] == pytest.approx(expected, abs=1e-9)


def test_two_classes_have_a_top_two_of_one():
    labels = np.array([0, 1, 1])
    table = tables.references({}, labels, labels, np.eye(2)[labels])
    assert table.loc["top-2 accuracy", "value"] == 1.0


def test_spread_over_seeds_is_not_confused_with_the_interval_over_images():
    one = conclusions.seed_spread(NET, [0.92], (0.91, 0.93))
    assert "this run trained one seed only" in one.text
    two = conclusions.seed_spread(NET, [0.81, 0.84], (0.67, 0.93))
    assert "95% interval of the mean 63.44 to 100.00%" in two.text, "no accuracy is above 100%"
    several = conclusions.seed_spread(NET, [0.92, 0.93, 0.94], (0.91, 0.93))
    assert "the interval over images, 91.0 to 93.0%, measures this one model" in several.text
    assert (
        "Over 3 seeds of training, the small net reaches a mean test accuracy of 93.00% (92.00 to 94.00%"
        in (several.text)
    )


@pytest.mark.parametrize(
    ("confidence", "verdict"),
    [(0.95, "is overconfident"), (0.6, "is underconfident"), (0.8, "about as confident as it is accurate")],
)
def test_calibration_is_named_by_its_sign(confidence, verdict):
    labels = np.zeros(1_000, int)
    probabilities = np.full((1_000, 2), confidence)
    probabilities[:, 1] = 1 - confidence
    incorrect = np.arange(1_000) < 200
    probabilities[incorrect] = probabilities[incorrect][:, ::-1]
    before = calibration.reliability(probabilities, labels)
    scaling, gain = calibration.fit_scaling(probabilities, labels)
    after = calibration.reliability(calibration.at_temperature(probabilities, *scaling), labels)
    text = conclusions.calibration(NET, before, after, scaling, gain).text
    assert "so it is not used." in text, "one confidence for all images needs no exponent"
    assert verdict in text
    assert ("does not reduce" in text) != (after.error < before.error)


def test_a_few_images_are_too_few_to_call_a_model_overconfident():
    probabilities = np.tile([0.85, 0.15], (40, 1))
    labels = (np.arange(40) < 8).astype(int)
    result = calibration.reliability(probabilities, labels)
    assert result.gap.value == pytest.approx(0.05)
    text = conclusions.calibration(NET, result, result, calibration.Scaling(1.0)).text
    assert "neither significantly overconfident nor significantly underconfident" in text


def test_calibration_names_the_bin_in_which_confidence_is_furthest_too_high():
    generator = np.random.default_rng(3)
    confidence, accuracy = np.repeat([[0.55, 0.75, 0.95], [0.55, 0.55, 0.95]], 2_000, axis=1)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    result = calibration.reliability(probabilities, (generator.random(6_000) >= accuracy).astype(int))
    conclusion = conclusions.calibration(NET, result, result, calibration.Scaling(1.0))
    assert "furthest too high: 75.0% on 2,000 predictions" in conclusion.text
    assert conclusion.numbers["worst_bin"]["n"] == 2_000


def evaluated(tmp_path, monkeypatch, *others: tuple[str, np.ndarray]) -> Run:
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path))
    upstream = {}
    for candidate, predicted in others:
        stage = f"07_evaluation/{candidate}"
        folder = paths.stage_folder("digits", "smoke", stage)
        folder.mkdir(parents=True)
        by_seed = np.atleast_2d(predicted)
        np.savez(folder / candidates.PREDICTIONS, label=candidate.replace("_", " "), by_seed=by_seed)
        upstream[stage] = {"outputs": manifests.describe_files(folder, list(folder.iterdir()))}
    spec = stages.find("07_evaluation/tuned")
    values = {"dataset": "digits", "profile": "smoke", "seed": 0, "candidate": "tuned"}
    return Run(spec, values, upstream=upstream)


def test_others_that_were_evaluated_are_compared_and_missing_ones_skipped(tmp_path, monkeypatch):
    labels, predicted, _ = predictions(skill=0.9)
    poor = np.where(np.arange(300) < 120, (labels + 1) % 3, labels)
    run = evaluated(tmp_path, monkeypatch, ("baseline_cnn", poor), ("fine_tuned", predicted))
    rows = candidates.compare_with_others(run, Metric("accuracy"), labels, [predicted], 3)
    assert [row["other"] for row in rows] == ["baseline_cnn", "fine_tuned"]
    text = conclusions.against_others(NET, rows).text
    assert "the small net differs from the baseline cnn by +32.67 points of accuracy (95% interval +" in text
    assert (
        "which is statistically significant; from the fine tuned by ±0 points of accuracy (95% interval −"
        in text
    )
    assert "not statistically significant; a difference of more than 0." in text
    assert text.endswith(wording.TWO_NETWORKS)
    balanced = candidates.compare_with_others(run, Metric("balanced_accuracy"), labels, [predicted], 3)
    assert "points of balanced accuracy (95% interval +" in conclusions.against_others(NET, balanced).text
    assert "nothing to compare" in conclusions.against_others(NET, []).text


def test_methods_are_compared_only_where_both_have_three_seeds(tmp_path, monkeypatch):
    labels, generator = np.arange(600) % 3, np.random.default_rng(0)

    def seeds_of(accuracy: float, seeds: int) -> np.ndarray:
        return np.where(generator.random((seeds, 600)) < accuracy, labels, (labels + 1) % 3)

    run = evaluated(tmp_path, monkeypatch, ("transfer", seeds_of(0.8, 3)), ("fine_tuned", seeds_of(0.8, 2)))
    rows = candidates.compare_with_others(run, Metric("accuracy"), labels, list(seeds_of(0.9, 4)), 3)
    assert [row.get("seeds") for row in rows] == [[4, 3], None]
    assert rows[0]["methods"]["shown"]
    text = conclusions.against_others(NET, rows).text
    assert (
        "Over seeds and images together, its method of training differs from that of the transfer by +"
        in text
    )
    assert text.count("its method of training") == 1
    assert "method of training" not in conclusions.against_others(NET, rows[1:]).text


def test_accuracy_and_weakest_class_are_named_with_their_intervals():
    labels, predicted, _ = predictions()
    scores = confusion.scores(confusion.matrix(labels, predicted, 3), NAMES)
    assert f"The small net classifies {scores.accuracy:.1%} of 300 test images correctly" in (
        conclusions.test_accuracy(NET, scores).text
    )
    weakest = min(scores.classes, key=lambda one: one.f1)
    conclusion = conclusions.weakest_class(NET, scores)
    assert f"weakest class of the small net is {weakest.name}: F1 {weakest.f1:.3f}" in conclusion.text
    assert conclusion.numbers["name"] == weakest.name
    report = tables.classification_report(scores)
    assert f"{scores.accuracy:.3f}" in report
    assert all(name in report for name in NAMES)


def test_a_class_with_a_handful_of_test_images_may_be_weaker_than_the_weakest():
    scores = confusion.scores(np.array([[20, 10, 0], [2, 28, 0], [0, 0, 1]]), NAMES)
    said = conclusions.weakest_class(NET, scores).text
    assert said.endswith(f"With fewer than 5 test images, {NAMES[2]} may be weaker.")
    enough = confusion.scores(np.array([[20, 10, 0], [2, 28, 0], [0, 0, 5]]), NAMES)
    assert "may be weaker" not in conclusions.weakest_class(NET, enough).text


def test_confusions_name_groups_and_collapse():
    names = (*NAMES, "sandal", "dress")
    counts = np.diag([80] * 5)
    counts[:3, :3] += 10
    counts[3:, 3:] += 6
    text = conclusions.confusions(NET, counts, names).text
    assert "does not collapse" in text
    assert "83% stay in the group (shirt, coat, boot) and 17% stay in the group (sandal, dress)" in text
    collapsed = conclusions.confusions(NET, np.array([[90, 10], [85, 15]]), NAMES[:2]).text
    assert (
        "It collapses into one class: shirt, the most overpredicted class, is 87.5% of its predictions"
        in (collapsed)
    )
    rare = conclusions.confusions(NET, np.array([[95, 0], [5, 0]]), NAMES[:2]).text
    assert "100.0% of its predictions and 95.0% of the images" in rare
    perfect = conclusions.confusions(NET, np.diag([4, 5]), NAMES[:2]).text
    assert perfect == "The small net classifies all 9 test images correctly."


def test_slices_name_the_worst_one():
    text = conclusions.slices(NET, slices(worst=0.6)).text
    assert "of 4 slices by contrast, the accuracy of the small net differs significantly" in text
    assert "The worst is contrast 0.000" in text
    assert "In none of 4 slices" in conclusions.slices(NET, slices(worst=0.95)).text
    better = [replace(part, accuracy=0.9, expected=0.8) for part in slices(worst=0.6)]
    assert conclusions.slices(NET, better).text.endswith("It is better in all of these.")


def test_recommendations_come_from_the_numbers():
    counts = np.array([[70, 30, 0], [20, 80, 0], [0, 5, 95]])
    confused = confusion.most_confused(counts, NAMES)
    first, second = conclusions.recommendations(NET, confused, slices(worst=0.6), 55)
    assert (
        "shirt and coat, first with their labels: 50 of 55 mistakes (91%) confuse the two. Whether more images"
        in first.text
    )
    assert "contrast is between" in second.text
    _, second = conclusions.recommendations(NET, confused, slices(worst=0.95), 55)
    assert "classifies boot as coat (5 images" in second.text
    assert "no mistake" in conclusions.recommendations(NET, [], [], 0)[0].text
    assert not conclusions.recommendations(NET, [Confused("a", "b", 9, 0.1)], slices(worst=0.95), 9)[1:]


def test_of_two_classes_it_says_in_which_direction_they_are_confused():
    two = [Confused("functional", "defective", 33, 0.09), Confused("defective", "functional", 31, 0.19)]
    (only,) = conclusions.recommendations(NET, two, [], 64)
    assert only.text.startswith(
        "To improve the small net, begin with the labels of its 64 mistakes: 33 of functional, 31 of defective."
    )


def test_fraction_of_a_rare_mistake_is_not_rounded_to_zero():
    rare = [Confused("4", "9", 5, 0.0051), Confused("5", "3", 4, 0.0045)]
    equal = error_analysis.Slice("brightness", 0.0, 9.0, 1_000, 0.99, (0.98, 0.995), 0.99, 1.0)
    _, second = conclusions.recommendations(NET, rare, [equal], 34)
    assert "classifies 5 as 3 (4 images, 0.4% of the class)" in second.text


def test_metrics_have_the_names_that_others_read():
    labels, predicted, probabilities = predictions()
    counts = confusion.matrix(labels, predicted, 3)
    scores = confusion.scores(counts, NAMES)
    reliability = calibration.reliability(probabilities, labels)
    scaling = calibration.Scaling(1.1, 1.5)
    logged = tables.metrics("tuned", scores, counts, NAMES, reliability, reliability, scaling, predicted)
    assert calibration.Scaling.of(logged) == scaling
    expected = {
        "candidate",
        "n",
        "accuracy",
        "accuracy_ci95",
        "macro_f1",
        "weighted_f1",
        "ece",
        "boldest_bin",
        "per_class",
        "confusion",
    }
    assert expected <= set(logged)
    assert {"precision", "recall", "f1", "support"} <= set(logged["per_class"]["shirt"])
    assert logged["predictions_sha256"] == data.array_sha256(predicted.astype(np.int64))


def test_absent_class_is_named_in_report_and_conclusion():
    labels, predicted = np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0])
    scores = confusion.scores(confusion.matrix(labels, predicted, 3), NAMES)
    assert "no image of: boot" in tables.classification_report(scores)
    assert "No test image shows boot" in conclusions.test_accuracy(NET, scores).text


def test_figures_carry_their_finding_as_alt_text():
    labels, predicted, probabilities = predictions()
    counts = confusion.matrix(labels, predicted, 3)
    scores, table = confusion.scores(counts, NAMES), confusion.areas(probabilities, labels, NAMES)
    before = calibration.reliability(probabilities, labels)
    images = np.random.default_rng(0).integers(0, 256, (300, 6, 6, 1), dtype=np.uint8)
    part = data.Dataset(images, labels, NAMES)
    rows = error_analysis.confident_mistakes(probabilities, labels, 4)
    no_errors = pd.DataFrame(columns=["index", "label", "suggested", "part", "row"], dtype=np.int64)
    drawn = {
        "misclassifies": plots.confusion_matrix(counts, NAMES),
        "weakest class of the model": plots.scores_by_class(scores),
        "The model is": plots.reliability(before, before, calibration.Scaling(1.0)),
        "Lowest average precision": plots.curves(probabilities, labels, NAMES, table),
        "slices by contrast": plots.slices(slices(worst=0.6), scores.accuracy),
        "The 4 most confident mistakes": plots.mistakes(part, rows, probabilities, "most confident"),
        "No image is misclassified": plots.mistakes(part, rows[:0], probabilities, "most confident"),
        "No label contradicts": plots.possible_label_errors(part, part, no_errors, 4),
    }
    for words, figure in drawn.items():
        assert words in figures.alt_text(figure)


def test_class_without_a_test_image_has_no_curve():
    labels, probabilities = np.array([0, 1, 1, 0]), np.eye(3)[[0, 1, 0, 0]]
    areas = confusion.areas(probabilities, labels, NAMES)
    figure = plots.curves(probabilities, labels, NAMES, areas)
    assert "curves of 2 classes" in figures.alt_text(figure)
    for axis, area in zip(figure.axes, ("average_precision", "roc_auc"), strict=True):
        texts = [text.get_text() for text in axis.get_legend().get_texts()]
        assert texts == [f"{name} {areas.loc[name, area]:.4f}" for name in NAMES[:2]]


def test_comparisons_are_texts_with_intervals():
    row = {
        "label": "net",
        "points": -0.5,
        "ci95": (-0.9, -0.1),
        "p_value": 1e-5,
        "only_this": 1200,
        "only_other": 7,
    }
    assert tables.comparisons([row]).loc["net"].tolist() == [
        "−0.50",
        "−0.90 to −0.10",
        "p < 0.001",
        "1,200",
        "7",
    ]
