"""Conclusions: those that compare stages follow the numbers, all others are printed as their stages worded them."""

from copy import deepcopy

import pytest
import update_tables

from helpers import wording
from helpers.errors import OsemnError
from helpers.report import conclusions, data_facts, models, questions, stage_conclusions
from helpers.series.conclusions import Conclusion, as_metrics
from helpers.series.metrics import Metric
from report_runs import (
    CONCLUSIONS,
    DATASET,
    FINE_TUNED,
    PROFILE,
    FakeRun,
    evaluated_metrics,
    metrics_by_stage,
    models_metrics,
    only_baseline,
)

BASELINE, TRANSFER, FINE_TUNING = "04_baseline", "05_transfer_learning", "06_fine_tuning"
TUNING = "09_tuning"


@pytest.fixture
def metrics() -> dict:
    return deepcopy({**metrics_by_stage(), **evaluated_metrics()})


def best(metrics: dict) -> str:
    return conclusions.best_model(metrics, "Digits").text


def test_models_of_all_stages_are_compared_each_with_its_file(metrics):
    compared = models.list_models(metrics)
    assert [model.name for model in compared[:4]] == ["fine_tuned", "transfer", "tuned", "baseline_cnn"]
    assert [model.stage for model in compared[:4]] == [FINE_TUNING, TRANSFER, TUNING, BASELINE]
    assert [model.source for model in compared[:3]] == [
        f"{stage}/metrics.json" for stage in (FINE_TUNING, TRANSFER, TUNING)
    ]
    assert best(metrics) == (
        "Of 7 models, the fine-tuned Lite0, 64 px is best on Digits by accuracy: 94.5% of 144 validation images are classified "
        "correctly (95% interval 93.1 to 95.6%)."
    )


def test_models_with_the_same_result_are_called_equally_good(metrics):
    tuned, chosen = metrics["09_tuning"]["models"]["tuned"], metrics["06_fine_tuning"]["models"]["fine_tuned"]
    tuned |= {name: chosen[name] for name in ("accuracy", "accuracy_ci95", "macro_f1")}
    tested_in_pairs(metrics)
    established = conclusions.best_model(metrics, "Digits")
    first, other = (model.label for model in models.list_models(metrics)[:2])
    assert established.text.startswith(
        f"Of 7 models, the {first} and the {other} are equally good, and best, on Digits by accuracy: 94.5% of 144 validation images "
        "are classified correctly by each (95% interval"
    )
    assert len(established.numbers["equal"]) == 1
    assert " it differs" not in established.text


def test_series_without_transfer_learning_compares_the_baselines_only():
    summary = conclusions.summarise(only_baseline(), "Digits")
    assert summary["best_model"]["text"].startswith(
        "Of 4 models, the three-layer CNN is best on Digits by accuracy"
    )
    assert summary["best_model"]["source"] == "04_baseline/metrics.json"
    assert {statement["source"] for statement in summary["also"]} == {
        "00_warm_up/metrics.json",
        "04_baseline/metrics.json",
    }


def test_every_conclusion_names_the_files_that_hold_its_numbers(metrics):
    all_four = ", ".join(f"{stage}/metrics.json" for stage in (BASELINE, TRANSFER, FINE_TUNING, TUNING))
    assert conclusions.best_model(metrics, "Digits").source == all_four
    assert conclusions.complexity(metrics).source == f"{BASELINE}/metrics.json, {FINE_TUNING}/metrics.json"


def tested_in_pairs(metrics) -> None:
    """Add the paired tests of the best candidate that 10 logs."""
    rows = (("baseline_cnn", 3.3, 0.0001), ("tuned", 2.4, 0.061), ("transfer", 1.1, 0.012))
    metrics["10_export"]["against_best"] = [
        {
            "best": "fine_tuned",
            "other": other,
            "points": points,
            "ci95": [points - 1, points + 1],
            "p_value": p_value,
            "shown": p_value < 0.05,
        }
        for other, points, p_value in rows
    ]


def test_paired_tests_of_the_best_model_are_reported_with_their_intervals(metrics):
    tested_in_pairs(metrics)
    established = conclusions.best_model(metrics, "Digits")
    assert established.text.endswith(
        "On these images it differs from the frozen Lite0, 64 px by +1.10 points (95% interval +0.10 to +2.10, p = 0.012), which is "
        "statistically significant; from the tuned residual CNN by +2.40 points (95% interval +1.40 to +3.40, p = 0.061), which is "
        "not statistically significant; a difference of more than 3.40 points is excluded; from the three-layer CNN by +3.30 points "
        f"(95% interval +2.30 to +4.30, p < 0.001), which is statistically significant. {wording.TWO_NETWORKS}"
    )
    assert established.numbers["significantly_worse"] == ["transfer", "baseline_cnn"]
    assert "10_export/metrics.json" in established.source


def test_paired_tests_of_another_best_model_are_left_out(metrics):
    tested_in_pairs(metrics)
    metrics[BASELINE]["models"]["baseline_cnn"].update(accuracy=0.96, accuracy_ci95=[0.947, 0.97])
    established = conclusions.best_model(metrics, "Digits")
    assert "differs" not in established.text
    assert established.numbers["significantly_worse"] == []


def test_complexity_compares_the_best_model_with_the_smallest(metrics):
    text = conclusions.complexity(metrics).text
    assert text.startswith(
        "Going from logistic regression, the smallest model, to the fine-tuned Lite0, 64 px, the best one, changes validation "
        "accuracy by +8.40 percentage points: 86.1% (95% interval 84.0 to 88.0%) to 94.5% (93.1 to 95.6%). The cost: 3,500,000 "
        "parameters instead of 650"
    )
    assert text.endswith("90 s of training instead of 0.8 s, on 20,000 and 1,000 training images.")


def test_of_models_with_equally_few_parameters_the_better_one_is_the_smallest(metrics):
    metrics[BASELINE]["models"]["majority"].update(parameters=0)
    metrics[BASELINE]["models"]["linear_svm"] = {
        **metrics[BASELINE]["models"]["logistic_regression"],
        "label": "linear SVM",
        "accuracy": 0.85,
    }
    assert "from logistic regression" in conclusions.complexity(metrics).text


def conclude(metrics: dict, stage: str, conclusion: Conclusion) -> None:
    """Let a stage have logged a conclusion and nothing else."""
    metrics[stage]["conclusions"] = as_metrics([conclusion])


def chosen_by(metrics: dict, name: str, **values: float) -> None:
    """Let models be chosen by another metric, of which stages logged the values of these models."""
    numbers = Metric(name, ((0.0, 1.0), (1.0, 0.0)) if name == "cost" else ()).facts()
    conclude(metrics, "03_preprocess", Conclusion("metric", "", numbers))
    for stage in models.STAGES:
        for model, entry in metrics[stage]["models"].items():
            if model in values:
                entry[name] = values[model]


def test_best_model_is_best_by_the_metric_of_the_series_as_the_champion_is(metrics):
    chosen_by(metrics, "balanced_accuracy", fine_tuned=0.70, transfer=0.81, logistic_regression=0.66)
    assert [model.name for model in models.list_models(metrics)][:3] == [
        "transfer",
        "fine_tuned",
        "logistic_regression",
    ]
    assert best(metrics).startswith(
        "Of 7 models, the frozen Lite0, 64 px is best on Digits by balanced accuracy (81.0%): 93.4% of 144 validation images"
    )
    text = conclusions.complexity(metrics).text
    assert "frozen Lite0, 64 px, the best one, changes validation accuracy by +7.3" in text
    assert "the balanced accuracy is 81.0% instead of 66.0%" in text


def test_costs_are_known_of_the_candidates_alone(metrics):
    chosen_by(metrics, "cost")
    conclude(
        metrics, "10_export", Conclusion("champion", "", {"values": {"tuned": -0.1, "baseline_cnn": -0.2}})
    )
    assert [model.name for model in models.list_models(metrics)][:3] == [
        "tuned",
        "baseline_cnn",
        "fine_tuned",
    ]
    assert "best on Digits by cost per image (0.100)" in best(metrics)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([[90, 8, 2], [9, 90, 1], [3, 0, 97]], "confuses zero and one most often, on 17 of 360 test images, as expected."),
        ([[90, 2, 8], [3, 96, 1], [9, 0, 91]], "confuses zero and two most often, on 17 of 360 test images, and zero and one on 5."),
    ],
)  # fmt: skip
def test_classes_that_looked_alike_stand_beside_those_that_are_confused(metrics, counts, words):
    conclude(
        metrics,
        "02_explore",
        Conclusion("most_alike", "One and zero are alike.", {"confused": [["one", "zero", 0.1]]}),
    )
    metrics["07_evaluation/tuned"]["confusion"] = counts
    text = conclusions.confusions(metrics).text
    expected = words.replace("and zero and one", "and one and zero")
    assert text == f"One and zero are alike. The tuned residual CNN {expected}"


def test_of_equal_models_the_champion_is_the_best(metrics):
    metrics["06_fine_tuning"]["models"]["fine_tuned"] = {
        **metrics["09_tuning"]["models"]["tuned"],
        "parameters": 1,
    }
    for chosen in ("tuned", "fine_tuned"):
        metrics["10_export"]["candidate"] = chosen
        ranked = [one.name for one in models.list_models(metrics) if one.name in ("tuned", "fine_tuned")]
        assert ranked[0] == chosen


def test_two_classes_can_only_be_confused_with_each_other(metrics):
    alike = Conclusion("most_alike", "One and zero are alike.", {"confused": [["one", "zero", 0.1]]})
    conclude(metrics, "02_explore", alike)
    metrics["07_evaluation/tuned"]["class_names"] = ["zero", "one"]
    assert conclusions.confusions(metrics) is None


def test_smallest_model_may_be_the_best():
    models = {"a": ("net", 10, 1.0, 1.0, 9, 0.91, [0.89, 0.93], 0.9)}
    text = conclusions.complexity(only_baseline(models)).text
    assert text == "The best model, the net, is also the smallest."


def test_conclusions_are_printed_as_their_stages_worded_them(metrics):
    summary = conclusions.summarise(metrics, "Digits")
    printed = [answer for _, answer, _ in summary["questions"]]
    printed += [statement["text"] for statement in summary["also"]]
    printed += [text for lesson in summary["post_mortem"] for text in lesson["texts"]]
    by_evidence = ("parity", "sizes", "latency")
    for stage, texts in CONCLUSIONS.items():
        for name, text in texts.items():
            assert name in by_evidence or sum(text in words for words in printed) == 1, (stage, name)


def test_stages_without_conclusions_are_skipped(metrics):
    for values in metrics.values():
        values.pop("conclusions", None)
    summary = conclusions.summarise(metrics, "Digits")
    assert summary["also"] == []
    assert [question for question, *_ in summary["questions"]] == list(questions.OWN.values())[:2]
    assert summary["lead"] == ""
    assert stage_conclusions.read({}, (TUNING, "search_gain")) == ()


def test_questions_are_answered_with_the_files_of_all_conclusions(metrics):
    by_question = {question: (answer, files) for question, answer, files in questions.answers(metrics)}
    answer, files = by_question["Was tuning worth it?"]
    texts = CONCLUSIONS[TUNING]
    assert answer.startswith(f"{texts['search_gain']} {texts['tuned_network']}")
    assert files == "07_evaluation/tuned/metrics.json, 09_tuning/metrics.json"
    assert "Was transfer learning worth it?" in by_question
    assert questions.answers({}) == []


def test_an_answer_says_once_that_it_compares_networks(metrics):
    for stage, name in (("06_fine_tuning", "fine_tuning"), ("07_evaluation/fine_tuned", "against_others")):
        conclude(metrics, stage, Conclusion(name, f"{stage} compares. {wording.TWO_NETWORKS}"))
    answers = {question: answer for question, answer, _ in questions.answers(metrics)}
    assert answers["Was transfer learning worth it?"].endswith(
        f"06_fine_tuning compares. 07_evaluation/fine_tuned compares. {wording.TWO_NETWORKS}"
    )
    assert answers["Was transfer learning worth it?"].count(wording.TWO_NETWORKS) == 1


def test_learning_curves_of_the_best_model_come_first(metrics):
    also = conclusions.summarise(metrics, "Digits")["also"]
    curves = {texts["learning_curves"] for texts in CONCLUSIONS.values() if "learning_curves" in texts}
    shown = [statement["source"][:2] for statement in also if statement["text"] in curves]
    assert shown == ["06", "05", "09", "04"]


def test_stages_that_disagree_on_the_number_of_images_give_none(metrics):
    assert models.count_validation_images(metrics) == 144
    metrics[TRANSFER]["n_validation"] = 100
    assert models.count_validation_images(metrics) is None
    assert "94.5% of validation images" in best(metrics)


def test_tested_candidates_have_their_scores_and_latency(metrics):
    tested = models.list_tested(metrics)
    assert [model["candidate"] for model in tested] == ["baseline_cnn", "transfer", "fine_tuned", "tuned"]
    assert (tested[3]["accuracy"], tested[3]["value"], tested[3]["latency_ms"]) == (0.918, 0.918, 0.3)
    assert tested[3]["source"] == "07_evaluation/tuned/metrics.json"
    del metrics["07_evaluation/transfer"], metrics["10_export"]
    assert [model["candidate"] for model in models.list_tested(metrics)] == [
        "baseline_cnn",
        "fine_tuned",
        "tuned",
    ]
    assert models.list_tested(metrics)[0]["latency_ms"] is None
    assert models.list_tested(metrics_by_stage()) == []


def test_classes_of_one_size_are_called_exactly_equal(metrics):
    def said() -> str:
        return next(
            fact["value"] for fact in data_facts.list_facts(metrics) if "class sizes" in fact["label"]
        )

    assert said() == "p = 0.993"
    metrics["02_explore"]["balance_p_value"] = 1.0
    assert said() == "exactly equal"


def test_missing_metrics_leave_gaps():
    assert conclusions.summarise({}, "Digits")["best_model"] is None
    assert conclusions.summarise({BASELINE: {"models": {"a": {"label": "x"}}}}, "Digits")["models"] == []
    alone = {BASELINE: {"models": {"a": {"accuracy": 0.5, "accuracy_ci95": [0.4, 0.6]}}}}
    assert best(alone).startswith("The a is best on Digits by accuracy: 50.0% of validation images")
    assert "also the smallest" in conclusions.complexity(alone).text
    with pytest.raises(OsemnError, match="hold no model"):
        conclusions.require_models({})


@pytest.mark.parametrize(
    ("value", "words"), [(0.0004, "p < 0.001"), (0.0419, "p = 0.042"), (0.9999, "p > 0.999")]
)
def test_p_values_have_three_decimals(value, words):
    assert wording.p_value(value) == words


@pytest.mark.parametrize(
    ("fraction", "digits", "words"),
    [
        (1.0, 1, "100.0%"), (1 - 1e-16, 1, "100.0%"), (0.9995, 1, "> 99.9%"), (0.9994, 1, "99.9%"), (0.0, 1, "0.0%"),
        (0.0004, 1, "< 0.1%"), (0.0005, 1, "0.1%"), (0.996, 0, "> 99%"), (0.004, 0, "< 1%"), (1.0, 0, "100%"), (1.2, 1, "120.0%"),
    ],
)  # fmt: skip
def test_percentage_is_not_rounded_to_all_or_nothing(fraction, digits, words):
    assert wording.percent(fraction, digits) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.3, "0.3 ms"), (0.468, "0.47 ms"), (7.96, "8 ms"), (108.4, "110 ms"), (1_234.0, "1,200 ms")],
)
def test_milliseconds_have_two_digits_and_no_exponent(value, words):
    assert wording.milliseconds(value) == words


def test_a_difference_has_one_decimal_more_than_the_percentages_beside_it():
    words = wording.change_words(0.9135, 0.9145, (-0.009, 0.0115), None, share=True)
    assert (words.before, words.after, words.difference) == ("91.3%", "91.5%", "+0.10 points")
    assert words.interval == "−0.90 to +1.15 points"
    compared = {"points": 0.1, "ci95": [-0.9, 1.15], "shown": False}
    assert wording.difference(compared) == (
        "+0.10 points (95% interval −0.90 to +1.15), which is not statistically significant; a difference of more than 1.15 points "
        "is excluded"
    )
    assert (wording.points(-0.1), wording.signed(0.004)) == ("−0.10", "+0.004")


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0"), (1.31e-6, "0.000002"), (1.2e-6, "0.000002"), (2e-6, "0.000002"), (9.5e-7, "0.000001"), (3.2e-10, "0.0000000004"), (0.04, "0.04"), (11.0, "20")],
)  # fmt: skip
def test_bounds_are_rounded_up(value, words):
    assert wording.bound(value) == words
    assert float(words) >= value or float(words) == pytest.approx(value)


@pytest.fixture
def run(tmp_path, monkeypatch) -> FakeRun:
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path))
    monkeypatch.delenv("OSEMN_HOME", raising=False)
    return FakeRun()


def test_results_table_names_the_notebook_of_each_model(run):
    record = {"fashion_mnist/quick": update_tables.run_of(DATASET, PROFILE)}
    lines = update_tables.results_table(record).splitlines()
    rows = {cells[1].strip(): cells[2].strip() for cells in (line.split("|") for line in lines[2:9])}
    assert list(rows)[-1] == "fine-tuned Lite0, 64 px"
    assert [rows[name] for name in list(rows)[-4:]] == ["`04`", "`09`", "`05`", "`06`"]
    assert len({line.count("|") for line in lines[:9]}) == 1


def test_two_stages_may_not_log_models_of_one_name(run):
    run.metrics[FINE_TUNING]["models"] = models_metrics({"transfer": FINE_TUNED["fine_tuned"]})
    run.write(FINE_TUNING)
    with pytest.raises(
        OsemnError, match=r"05_transfer_learning and 06_fine_tuning both logged .* 'transfer'"
    ):
        update_tables.models(DATASET, PROFILE)


def test_corrected_labels_are_facts_of_the_data_those_of_the_test_part_apart():
    counts = {"train": {"relabelled": 12, "dropped": 0}, "test": {"relabelled": 0, "dropped": 3}}
    listed = data_facts.list_facts({"01_acquire": {"labels_corrected": counts}})
    assert [(fact["label"], fact["value"]) for fact in listed] == [
        ("Labels corrected in training", "12 relabelled, 0 images dropped"),
        ("Labels corrected in the test part", "0 relabelled, 3 images dropped"),
    ]
    assert data_facts.list_facts({"01_acquire": {"labels_corrected": None}}) == []
