"""Sentences about the models of several stages: whose numbers, whose test, and where each is from."""

from copy import deepcopy

import pytest
import update_tables

from helpers import wording
from helpers.errors import OsemnError
from helpers.report import conclusions, models, transfer, tuned
from report_runs import (
    DATASET,
    FINE_TUNED,
    PROFILE,
    FakeRun,
    metrics_by_stage,
    models_metrics,
    only_baseline,
)

BASELINE, TRANSFER, FINE_TUNING = "04_baseline", "05_transfer_learning", "06_fine_tuning"
TUNING = "09_tuning"
PAIRED = "paired test, p = 0.012"


@pytest.fixture
def metrics() -> dict:
    return deepcopy(metrics_by_stage())


def headline(metrics: dict) -> str:
    return " ".join(item.text for item in conclusions.headline(metrics, "Digits"))


def logged_test(metrics: dict) -> dict:
    """Return the logged test of the frozen base against all blocks fine-tuned."""
    return metrics[FINE_TUNING]["differences"][1]


def test_models_of_all_stages_are_compared_each_with_its_file(metrics):
    found = conclusions.models(metrics)
    assert [model.name for model in found[:4]] == ["fine_tuned", "transfer", "tuned", "baseline_cnn"]
    assert [model.stage for model in found[:4]] == [FINE_TUNING, TRANSFER, TUNING, BASELINE]
    assert [model.source for model in found[:3]] == [
        f"{stage}/metrics.json" for stage in (FINE_TUNING, TRANSFER, TUNING)
    ]
    assert "Best of 7 models on Digits: fine-tuned Lite0, 64 px, right on 94.5% of 144" in headline(metrics)


def test_series_without_transfer_learning_speaks_of_the_baselines_only():
    summary = conclusions.summary(only_baseline(), "Digits")
    assert summary["headline"][0]["text"].startswith("Best of 4 models on Digits: three-layer CNN")
    told = summary["headline"] + summary["learned"]
    assert {file for item in told for file in item["source"].split(", ")} == {
        "00_warm_up/metrics.json",
        "02_explore/metrics.json",
        "04_baseline/metrics.json",
    }
    assert summary["models_source"] == "04_baseline/metrics.json"


def test_every_sentence_names_every_file_that_its_numbers_come_from(metrics):
    found = conclusions.headline(metrics, "Digits")
    all_four = ", ".join(f"{stage}/metrics.json" for stage in (BASELINE, TRANSFER, FINE_TUNING, TUNING))
    by_start = {item.text[:22]: item.source for item in found}
    assert by_start["Best of 7 models on Di"] == all_four
    assert by_start["The return on complexi"] == f"{BASELINE}/metrics.json, {FINE_TUNING}/metrics.json"
    assert by_start["Always naming the most"] == f"{BASELINE}/metrics.json"
    assert conclusions.learned(metrics, "Digits")[0].source == all_four


def test_paired_test_overrules_intervals_that_overlap(metrics):
    best, second = conclusions.models(metrics)[:2]
    assert conclusions.overlap(best, second)
    text = headline(metrics)
    assert (
        "The difference is shown between fine-tuned Lite0, 64 px (94.5%) and frozen Lite0, 64 px (93.4%): "
        f"1.1 percentage points (95% interval 0.2 to 1.9; {PAIRED})." in text
    )
    assert "No difference is shown" not in text
    assert "between fine-tuned Lite0, 64 px and the other 5 models is shown" in text


def tested_in_pairs(metrics) -> None:
    """Let 10 have compared the best candidate with the others, image by image."""
    metrics["10_export"] = {
        **metrics["10_export"],
        "against_best": [
            {
                "best": "fine_tuned",
                "other": other,
                "points": ahead,
                "p_value": p_value,
                "shown": p_value < 0.05,
            }
            for other, ahead, p_value in (
                ("baseline_cnn", 3.3, 0.0001),
                ("tuned", 2.4, 0.061),
                ("transfer", 1.1, 0.012),
            )
        ],
    }


def test_paired_tests_of_all_candidates_overrule_the_intervals_of_all(metrics):
    tested_in_pairs(metrics)
    text = headline(metrics)
    assert (
        "fine-tuned Lite0, 64 px does better than frozen Lite0, 64 px (93.4%) by 1.1 percentage points (p = 0.012) and three-layer CNN (91.2%) by 3.3 "
        "percentage points (p < 0.001), and is not shown to differ from tuned residual CNN (92.1%, p = 0.061)."
        in text
    )
    assert "between fine-tuned Lite0, 64 px and the other 3 models is shown" in text
    assert "The next best" not in text, "the paired tests spoke of it"
    assert "The best of these, random forest, is" in text
    assert text.count("tuned residual CNN") == 1
    assert PAIRED not in text
    shown = {model.name for model in conclusions.shown_worse(metrics)}
    assert shown == {"majority", "logistic_regression", "random_forest", "transfer", "baseline_cnn"}


def test_paired_tests_of_another_best_are_not_taken_for_this_one(metrics):
    tested_in_pairs(metrics)
    metrics["04_baseline"]["models"]["baseline_cnn"].update(accuracy=0.96, accuracy_ci95=[0.947, 0.97])
    assert "image by image" not in headline(metrics)
    assert {model.name for model in conclusions.shown_worse(metrics)} >= {"tuned", "transfer"}


def test_of_models_with_as_few_parameters_the_better_one_is_the_simplest(metrics):
    metrics[BASELINE]["models"]["majority"].update(parameters=0)
    metrics[BASELINE]["models"]["linear_svm"] = {
        **metrics[BASELINE]["models"]["logistic_regression"],
        "label": "linear SVM",
        "accuracy": 0.85,
    }
    assert "above logistic regression" in headline(metrics)


def test_without_a_paired_test_the_intervals_decide(metrics):
    del metrics[FINE_TUNING]["differences"]
    text = headline(metrics)
    assert "No difference is shown between fine-tuned Lite0, 64 px and frozen Lite0, 64 px (93.4%" in text
    assert "The other 5 models are lower: their intervals lie below" in text
    assert "paired" not in text


def test_paired_test_that_shows_nothing_is_worded_so(metrics):
    logged_test(metrics).update(points=-1.1, ci95=[-2.4, 0.2], p_value=0.31, shown=False)
    text = headline(metrics)
    assert "No difference is shown between fine-tuned Lite0, 64 px (94.5%) and frozen Lite0" in text
    assert "(95% interval −0.2 to 2.4; paired test, p = 0.310)" in text
    assert text.count("frozen Lite0") == 1


@pytest.mark.parametrize(
    "logged",
    [
        {"one": "frozen", "other": "all_blocks", "points": -1.1, "ci95": [-1.9, -0.2]},
        {"one": "all_blocks", "other": "frozen", "points": 1.1, "ci95": [0.2, 1.9]},
        {"one": "frozen", "other": "all_blocks", "points": 1.1, "ci95": [0.2, 1.9]},
        {"one": "all blocks", "other": "frozen", "points": 1.1, "ci95": [0.2, 1.9]},
    ],
)
def test_which_of_the_two_was_subtracted_does_not_matter(metrics, logged):
    logged_test(metrics).update(logged)
    assert "fine-tuned Lite0, 64 px (94.5%) and frozen Lite0, 64 px (93.4%): 1.1" in headline(metrics)
    assert f"(95% interval 0.2 to 1.9; {PAIRED})" in headline(metrics)


def test_better_frozen_base_is_named_first(metrics):
    metrics[FINE_TUNING]["variants"][2]["accuracy"] = 0.92
    metrics[FINE_TUNING]["models"]["fine_tuned"].update(accuracy=0.92, accuracy_ci95=[0.904, 0.934])
    logged_test(metrics).update(points=1.4, ci95=[0.4, 2.4])
    assert "between frozen Lite0, 64 px (93.4%) and fine-tuned Lite0, 64 px (92.0%): 1.4" in headline(metrics)


def test_an_interval_that_misses_its_own_difference_is_not_shown(metrics):
    logged_test(metrics)["ci95"] = [-0.019, -0.002]
    assert f"1.1 percentage points ({PAIRED})" in headline(metrics)


def test_a_variant_that_is_no_compared_model_does_not_speak_for_one(metrics):
    metrics[FINE_TUNING]["variants"][0]["accuracy"] = 0.931
    assert transfer.paired(metrics, conclusions.models(metrics))[1] == set()
    text = headline(metrics)
    assert "between fine-tuned Lite0, 64 px (94.5%) and frozen (93.1%)" in text
    assert "No difference is shown between fine-tuned Lite0, 64 px and frozen Lite0, 64 px (93.4%" in text


def test_the_test_is_that_of_the_variant_which_became_the_model(metrics):
    metrics[FINE_TUNING]["models"]["fine_tuned"].update(accuracy=0.94, accuracy_ci95=[0.925, 0.952])
    assert "p = 0.200" in transfer.paired(metrics, conclusions.models(metrics))[0]


def test_what_concerns_the_best_model_is_told_first(metrics):
    def order() -> list[str]:
        return [
            item.text.partition(" shown between ")[2][:10] for item in conclusions.headline(metrics, "Digits")
        ]

    metrics[BASELINE]["models"]["baseline_cnn"].update(accuracy=0.95, accuracy_ci95=[0.936, 0.961])
    assert order()[:3] == ["", "three-laye", "fine-tuned"]
    metrics[BASELINE]["models"]["baseline_cnn"].update(accuracy=0.94, accuracy_ci95=[0.926, 0.951])
    assert order()[:3] == ["", "fine-tuned", "fine-tuned"]
    assert "paired" in conclusions.headline(metrics, "Digits")[1].text


def test_learning_curves_of_the_best_model_come_first(metrics):
    told = [
        item.source[:2] for item in conclusions.learned(metrics, "Digits") if "learning curves" in item.text
    ]
    assert told == ["06", "05", "04"]


def test_best_resolution_is_told_with_its_test_and_its_cost(metrics):
    assert transfer.resolution(metrics) == (
        "Of the resolutions 64, 96 and 128 px, a frozen Lite0 does best at 128 px (94.1%, 95% interval 92.6 to "
        "95.3%; fitted on 20,000 images). From 64 to 128 px no difference is shown: 0.7 percentage points (paired "
        "test, p = 0.210). Extracting the features took 55 s at 128 px and 14 s at 64 px."
    )
    assert transfer.resolution(metrics) in [item.text for item in conclusions.learned(metrics, "Digits")]


def test_resolutions_without_a_test_are_judged_by_their_intervals(metrics):
    del metrics[TRANSFER]["resolution_gain"]
    assert "No difference to 64 px is shown: 0.7 percentage points" in transfer.resolution(metrics)
    metrics[TRANSFER]["comparison"][1]["accuracy_ci95"] = [0.947, 0.96]
    assert "The difference to 64 px is shown: 0.7 percentage points" in transfer.resolution(metrics)


def test_a_gain_on_the_same_resolution_is_not_told(metrics):
    metrics[TRANSFER]["resolution_gain"] = {"points": 0.0, "p_value": 1.0, "from": 64, "to": 64}
    assert "From 64 to 64" not in transfer.resolution(metrics)


def test_the_only_network_of_a_stage_is_called_as_elsewhere_in_the_report(metrics):
    told = [item.text for item in conclusions.learned(metrics, "Digits") if "learning curves" in item.text]
    label = metrics["06_fine_tuning"]["models"]["fine_tuned"]["label"]
    assert told[0].startswith(f"The learning curves say: {label}: low bias")


def test_gain_of_another_backbone_is_not_told_as_this_one_s(metrics):
    metrics[TRANSFER]["resolution_gain"]["points"] = 3.0
    assert "paired" not in transfer.resolution(metrics)


def test_features_from_the_cache_are_told_with_the_time_of_their_making(metrics):
    assert "cache" not in transfer.resolution(metrics)
    metrics[TRANSFER]["comparison"][1]["from_cache"] = True
    assert "took 55 s at 128 px and 14 s at 64 px, timed when the cache was made." in transfer.resolution(
        metrics
    )


def test_resolutions_are_compared_within_one_backbone(metrics):
    row = {"backbone": "efficientnet_lite2", "resolution": 96, "accuracy": 0.99}
    metrics[TRANSFER]["comparison"].append(row)
    assert "a frozen Lite0 does best at 128 px (94.1%" in transfer.resolution(metrics)
    metrics[TRANSFER]["comparison"] = [row]
    assert transfer.resolution(metrics) == ""


def test_best_at_the_coarsest_resolution_costs_nothing_more(metrics):
    metrics[TRANSFER]["comparison"][0]["accuracy"] = 0.95
    text = transfer.resolution(metrics)
    assert "does best at 64 px (95.0%" in text
    assert "Extracting" not in text


def test_stages_that_disagree_on_the_number_of_images_give_none(metrics):
    assert models.validation_images(metrics) == 144
    metrics[TRANSFER]["n_validation"] = 100
    assert models.validation_images(metrics) is None
    assert "of validation images (95%" in headline(metrics)


@pytest.mark.parametrize(
    ("value", "words"), [(0.0004, "p < 0.001"), (0.0419, "p = 0.042"), (0.9999, "p > 0.999")]
)
def test_p_values_are_told_with_three_decimals(value, words):
    assert wording.p_value(value) == words


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


@pytest.mark.parametrize(
    ("ends", "basis", "said"),
    [
        (
            [0.12, 1.58],
            "images",
            "The search of 8 settings in 75 s found settings that look better than the defaults: 0.8 percentage points",
        ),
        ([-0.2, 1.9], "images", "is not shown to have gained anything"),
        ([-1.9, -0.2], "images", "found settings that do worse than the defaults"),
        ([0.12, 1.58], "images", "the winner was picked on these images"),
        ([0.0, 0.0], "defaults", "found nothing better than the defaults."),
        ([0.12, 1.58], "seeds", "over 144 seeds of full training"),
    ],
)
def test_search_is_judged_by_its_interval(ends, basis, said):
    metrics = metrics_by_stage()
    metrics["09_tuning"] = {
        **metrics["09_tuning"],
        "gain": {"points": 0.85, "ci95": ends, "basis": basis, "count": 144},
    }
    told = [
        item
        for item in conclusions.learned(metrics, "Digits")
        if "09_tuning" in item.source and "search" in item.text
    ]
    assert said in told[0].text


@pytest.mark.parametrize(("value", "kept"), [(-0.8, True), (0.8, False)])
def test_defaults_that_won_at_full_length_are_said_to_be_kept(value, kept):
    metrics = metrics_by_stage()
    gain = {"points": value, "ci95": [value - 0.1, value + 0.1], "basis": "seeds", "count": 3}
    metrics["09_tuning"] = {**metrics["09_tuning"], "gain": gain}
    assert ("the defaults were kept" in tuned.search(metrics)) is kept


def test_without_a_search_nothing_is_said_of_it():
    assert not any("search" in item.text for item in conclusions.learned(only_baseline(), "Digits"))


def test_two_stages_may_not_log_models_of_one_name(run):
    run.metrics[FINE_TUNING]["models"] = models_metrics({"transfer": FINE_TUNED["fine_tuned"]})
    run.write(FINE_TUNING)
    with pytest.raises(
        OsemnError, match=r"05_transfer_learning and 06_fine_tuning both logged .* 'transfer'"
    ):
        update_tables.models(DATASET, PROFILE)


def test_champion_is_named_with_its_reason_once_it_was_exported():
    logged = {"chosen_because": "The rule chooses tuned.", "agreement": "Five formats agree."}
    (finding,) = [
        item for item in conclusions.learned({"10_export": logged}, "Digits") if "rule" in item.text
    ]
    assert finding.text == "The rule chooses tuned. Five formats agree."
    assert finding.source == "10_export/metrics.json"
    assert conclusions.learned({}, "Digits") == []
