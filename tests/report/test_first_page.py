"""The report's first page: what it says of the champion follows from the metrics, number by number and word by word."""

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

from helpers import paths
from helpers.obtain import data
from helpers.report import collect, conclusions, evidence, first_screen, post_mortem, provenance, questions
from helpers.report.html import index as first_page
from helpers.report.html import pages
from report_runs import (
    BUSINESS,
    DATASET,
    PROFILE,
    FakeRun,
    evaluated_metrics,
    metrics_by_stage,
    png,
    written_once,
)

TESTED = "07_evaluation/tuned"


@pytest.fixture
def metrics() -> dict:
    return deepcopy({**metrics_by_stage(), **evaluated_metrics()})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written_once(tmp_path_factory)


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRun:
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path))
    monkeypatch.delenv("OSEMN_HOME", raising=False)
    found = FakeRun(copy_of=finished)
    found.metrics = deepcopy(found.metrics)
    return found


def index() -> str:
    """Return the first page alone: the pages of the notebooks take longer, and have tests of their own."""
    return first_page.render(pages.Renderer(collect.collect(DATASET, PROFILE)))


def tiles(metrics: dict) -> dict[str, first_screen.Tile]:
    return {tile.title: tile for tile in first_screen.tiles(metrics)}


def test_the_champions_numbers_stand_with_their_files(metrics):
    found = tiles(metrics)
    assert first_screen.candidate(metrics) == "tuned"
    assert (found["Test accuracy"].value, found["Test accuracy"].detail) == (
        "91.8%",
        "95% interval 88.8 to 93.8%",
    )
    assert found["Macro-F1"].value == "0.917"
    assert (found["Parameters"].value, found["Parameters"].detail) == ("240,000", "0.96 MB as ONNX")
    assert (found["Latency, one picture"].value, found["Latency, one picture"].detail) == (
        "0.3 ms",
        "0.62 ms by the service",
    )
    assert found["Training"].value == "60 s"
    assert found["Latency, one picture"].source == "10_export/metrics.json, 11_serving/metrics.json"
    assert found["Test accuracy"].source == f"{TESTED}/metrics.json"


@pytest.mark.parametrize(
    ("stage", "path", "value", "before", "after"),
    [
        (TESTED, ["accuracy"], 0.8512, "91.8%", "85.1%"),
        (TESTED, ["macro_f1"], 0.8432, ">0.917<", ">0.843<"),
        (TESTED, ["macro_f1_ci95"], [0.801, 0.877], "0.883 to 0.943", "0.801 to 0.877"),
        ("09_tuning", ["models", "tuned", "parameters"], 98_765, "240,000", "98,765"),
        ("10_export", ["formats", 1, "bytes"], 1_230_000, "0.96 MB as ONNX", "1.23 MB as ONNX"),
        ("10_export", ["latency_ms", "tuned"], 0.47, ">0.3 ms<", ">0.47 ms<"),
        ("11_serving", ["load", 0, "p50"], 0.93, "0.62 ms by the service", "0.93 ms by the service"),
        (TESTED, ["doubtful_labels"], 17, "9 test labels (2.5%)", "17 test labels (4.7%)"),
        ("09_tuning", ["gain", "points"], 1.23, "0.8 percentage points", "1.2 percentage points"),
    ],
)
def test_a_changed_metric_changes_the_page(run: FakeRun, stage, path, value, before, after):
    page = index()
    assert before in page
    assert after not in page
    place = run.metrics[stage]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    run.write(stage)
    run.write("12_report")
    assert after in index()


def test_what_it_must_not_be_used_for_names_weak_classes_and_the_threshold(metrics):
    texts = [text for text, _ in first_screen.not_for(metrics, 0.93)]
    assert texts[0].startswith("Deciding alone that a picture shows one (80.0%, 77.0 to 82.0%)")
    assert "zero" not in texts[0]
    assert "confidence below 0.93" in texts[1]
    metrics[TESTED]["per_class"]["one"]["precision_ci95"] = [0.75, 0.95]
    texts = [text for text, _ in first_screen.not_for(metrics)]
    assert not any("Deciding alone" in text or "confidence below" in text for text in texts)


def test_without_an_evaluated_champion_there_is_nothing_to_sign(run: FakeRun):
    del run.metrics["10_export"]["candidate"]
    run.write("10_export")
    run.write("12_report")
    page = index()
    assert "there is nothing to sign" in page
    assert "Not to be used for" not in page


@pytest.mark.parametrize(
    ("shown", "points", "opening"),
    [
        (
            True,
            -3.5,
            "Yes: fine-tuned Lite0, 64 px beats the tuned residual CNN, the best that was trained from scratch, by 3.5",
        ),
        (
            True,
            1.2,
            "No: fine-tuned Lite0, 64 px stays behind the tuned residual CNN, the best that was trained from scratch, by 1.2",
        ),
        (
            False,
            -0.2,
            "Not shown: fine-tuned Lite0, 64 px and the tuned residual CNN, the best that was trained from scratch, differ by 0.2",
        ),
        (
            False,
            -0.04,
            "Not shown: fine-tuned Lite0, 64 px and the tuned residual CNN, the best that was trained from scratch, differ by less than 0.1 percentage",
        ),
    ],
)
def test_transfer_learning_is_judged_by_the_paired_test(metrics, shown, points, opening):
    found = metrics["07_evaluation/tuned"]["compared"][2]
    assert found["other"] == "fine_tuned"
    found.update(shown=shown, points=points)
    asked = {question: answer for question, answer, _ in questions.answers(metrics)}
    answer = asked["Was transfer learning worth it on images of 8 pixels?"]
    assert answer.startswith(opening)
    assert (
        "at 15 × the parameters, 90 s of fitting instead of 60 s and 2.1 ms instead of 0.3 ms for a picture."
        in answer
    )
    assert answer.endswith(
        "Without fine-tuning, as frozen Lite0, 64 px, it beats that network by 0.7 percentage points (p = 0.040)."
    )


def test_pretrained_network_is_held_against_the_best_from_scratch_whichever_that_is(metrics):
    metrics["09_tuning"]["models"]["tuned"]["accuracy"] = 0.9
    asked = {question: answer for question, answer, _ in questions.answers(metrics)}
    answer = asked["Was transfer learning worth it on images of 8 pixels?"]
    assert (
        "Not shown: fine-tuned Lite0, 64 px and the three-layer CNN, the best that was trained from scratch"
        in answer
    )
    assert "as frozen Lite0, 64 px, the difference to that network" in answer


def test_tuning_is_judged_over_defaults_and_baseline(metrics):
    metrics["09_tuning"]["against_baseline"] = {"points": 0.4, "p_value": 0.3}
    asked = {question: answer for question, answer, _ in questions.answers(metrics)}
    assert (
        "settings that look better than the defaults: 0.8 percentage points" in asked["Was tuning worth it?"]
    )
    assert "no difference of the tuned network is shown: 0.4" in asked["Was tuning worth it?"]
    metrics["09_tuning"]["against_baseline"] = {"points": -1.4, "p_value": 0.001}
    asked = {question: answer for question, answer, _ in questions.answers(metrics)}
    assert "the tuned network does worse: −1.4" in asked["Was tuning worth it?"]


def test_the_price_of_the_champion_is_named(metrics):
    answer = {question: answer for question, answer, _ in questions.answers(metrics)}
    why = answer["Why this model and not the others?"]
    assert why.endswith(
        "The price: 0.3 ms instead of 0.15 ms of the three-layer CNN for one picture, in the format that is served."
    )
    metrics["10_export"]["latency_ms"]["tuned"] = 0.1
    why = dict(entry[:2] for entry in questions.answers(metrics))["Why this model and not the others?"]
    assert why.endswith("It is also the fastest of them.")


def test_questions_without_numbers_are_not_asked():
    assert questions.answers({}) == []
    assert post_mortem.lessons({}) == []
    assert first_screen.tiles({}) == first_screen.not_for({}) == []


def test_the_post_mortem_counts_confusions_both_ways(metrics):
    lessons = {lesson.heading: lesson for lesson in post_mortem.lessons(metrics)}
    (text,) = lessons["Systematic failures"].texts
    assert "28 of 360 test images are told wrong" in text
    assert "zero and one (18), zero and two (5) and one and two (5): 100.0% of all mistakes" in text
    assert "**" not in lessons["What to collect next"].texts[0]
    metrics[TESTED]["confusion"] = [[120, 0, 0], [0, 120, 0], [0, 0, 120]]
    (text,) = post_mortem.lessons(metrics)[0].texts
    assert text == "No test image is told wrong."


def test_the_drift_monitor_is_said_to_notice_what_it_noticed(metrics):
    lessons = {lesson.heading: lesson for lesson in post_mortem.lessons(metrics)}
    watched = lessons["When to train again"].texts[0]
    assert "Watching 200 pictures" in watched
    assert "rotation from 10° and other pictures. Mostly not noticed: rotation of 5°." in watched
    assert "False alarms: 2 of 1,000" in watched


@pytest.mark.parametrize(("accuracy", "n"), [(0.7, 10_000), (0.92, 1_000), (0.98, 360)])
def test_the_sample_to_label_has_the_errors_that_are_claimed_however_few_test_images(accuracy, n):
    images, limit = post_mortem.labelled_sample(accuracy, n, 0.03)
    draw = np.random.default_rng(0)
    true = draw.beta(accuracy * n + 0.5, (1 - accuracy) * n + 0.5, 100_000)  # what it may have been
    unchanged = draw.binomial(images, true)
    worse = draw.binomial(images, np.clip(true - 0.03, 0, 1))
    assert 0.02 < np.mean(unchanged < limit) < 0.053
    assert np.mean(worse < limit) > 0.79


def test_few_test_images_cannot_tell_a_loss_by_any_sample():
    assert post_mortem.labelled_sample(0.9, 100, 0.03) is None
    assert "no sample would tell" in post_mortem.retraining(0.9, 100)
    assert post_mortem.labelled_sample(0.02, 10_000, 0.03) is None


def test_a_model_that_was_always_right_has_a_sample_to_label_too():
    images, limit = post_mortem.labelled_sample(1.0, 360, 0.03)
    assert 0 < limit <= images


def test_the_ledger_counts_openings_and_models(run: FakeRun):
    assert "The test images have not been opened." in index()
    lines = [
        {"opened": f"2025-01-31T09:3{minute}:00+00:00", "stage": stage, "model_sha256": model}
        for minute, (stage, model) in enumerate(
            (("10_export", "a"), (TESTED, "a"), (TESTED, "b"), (TESTED, "a"))
        )
    ]
    ledger = paths.run_folder(DATASET, PROFILE) / data.LEDGER
    ledger.write_text("".join(json.dumps(line) + "\n" for line in lines))
    series = collect.collect(DATASET, PROFILE)
    assert [(one.stage, one.times, one.models) for one in provenance.openings(series)] == [
        (TESTED, 3, 2),
        ("10_export", 1, 1),
    ]
    assert "2025-01-31 09:33 UTC" in index()


def test_parameters_of_each_notebook_stand_once(run: FakeRun):
    run.seal("04_baseline", parameters={"dataset": DATASET, "profile": PROFILE, "seed": 0, "cnn_epochs": 7})
    for name in ("baseline_cnn", "transfer", "fine_tuned", "tuned"):
        given = {"dataset": DATASET, "profile": PROFILE, "seed": 0, "candidate": name, "grid_images": 18}
        run.seal(f"07_evaluation/{name}", parameters=given)
    page = index()
    assert "<code>cnn_epochs = 7</code>" in page
    assert page.count("<code>grid_images = 18</code>") == 1


def exhibited(run: FakeRun, *figures: tuple[str, str]) -> dict[str, str]:
    """Return the evidence's texts by heading, after these figures were drawn."""
    for stage, name in figures:
        folder = run.folder(stage) / "figures"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.png").write_bytes(png(f"What {name} shows."))
        run.seal(stage)
    return {one.heading: one.text for one in evidence.exhibits(collect.collect(DATASET, PROFILE))}


def test_evidence_links_each_figure_to_page_and_file(run: FakeRun):
    drawn = ((TESTED, "confusion_matrix"), ("11_serving", "drift_power"), (TESTED, "misclassified"))
    headings = list(exhibited(run, *drawn))
    assert headings == ["Confusion matrix", "Classes one by one", "Formats", "Power of the drift monitor"]
    page = index()
    for name in ("confusion_matrix", "drift_power", "misclassified"):
        assert f'alt="What {name} shows."' in page
    section = page[page.index('id="evidence"') : page.index('id="post-mortem"')]
    assert 'href="07_evaluation-tuned.html"' in section
    assert 'href="metrics/11_serving.json"' in section


def test_business_value_is_shown_as_12_found_it(run: FakeRun, metrics):
    run.write_summary(conclusions.summary(metrics, "Digits", BUSINESS))
    page = index()
    for text in (*list(BUSINESS.values())[:4], "31 (29 to 33)", "confidence below 0.93"):
        assert text in page


def test_training_names_what_came_before_the_last_fit(metrics):
    assert tiles(metrics)["Training"].detail == "on 54,000 images; after a search of 75 s"
    metrics["10_export"]["candidate"] = "fine_tuned"
    training = tiles(metrics)["Training"]
    assert training.detail == "on 20,000 images; after 9 s for its head"
    assert training.source == "05_transfer_learning/metrics.json, 06_fine_tuning/metrics.json"


def test_threshold_says_which_confidence_it_is_of(metrics):
    texts = [text for text, _ in first_screen.not_for(metrics, threshold=0.96)]
    assert any("calibrated confidence below 0.96 (after temperature scaling" in text for text in texts)


def test_evidence_hides_neither_the_failed_check_nor_the_worst_bin(run: FakeRun):
    cam = "08_grad_cam/tuned"
    found = exhibited(run, (TESTED, "reliability"), (cam, "maps_wrong"), (cam, "deletion_and_insertion"))
    assert (
        "of 40 answers of a scaled confidence of 75.0% on average, only 56.0% are right"
        in found["Calibration"]
    )
    checks = found["May the maps be believed?"]
    assert "Deletion of what they mark" in checks
    assert (
        "−0.100 (95% interval −0.120 to −0.080): below zero if the maps mark what matters, so it does."
        in checks
    )
    assert (
        "+0.001 (95% interval −0.030 to +0.040): above zero if the maps mark what matters, which is not shown"
        in checks
    )
    looks = found["Where it looks when it is wrong"]
    assert "61.0% (55.0 to 67.0%) of a map lies on the object where the prediction is wrong, 53.0%" in looks


@pytest.mark.parametrize(
    ("answers", "said"), [(1_480, "99 of 100 within 5.6 ms"), (90, "95 of 100 within 4.4 ms")]
)
def test_slowest_of_a_hundred_is_told_only_of_many_answers(run: FakeRun, answers, said):
    for row in run.metrics["11_serving"]["load"]:
        row["answers"] = answers
        row["per_second"] = 1_000.0 * row["connections"]
    run.write("11_serving")
    found = exhibited(run, ("11_serving", "latency_and_throughput"))
    assert f"half of the {answers:,} answers within 2.5 ms, {said}." in found["Latency and throughput"]


def test_run_that_has_no_accepted_one_says_how_to_accept_it(run: FakeRun):
    page = index()
    section = page[page.index('id="changes"') : page.index('id="provenance"')]
    assert "No run of this data set and profile has been accepted yet" in section
    assert f"osemn report --dataset {DATASET} --profile {PROFILE} --accept" in section
