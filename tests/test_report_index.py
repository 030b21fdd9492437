"""The report's first page: what it says of the champion follows from the metrics, number by number and word by word."""

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

from helpers import data, paths
from helpers.report import champion, collect, evidence, findings, pages, post_mortem, provenance, questions
from helpers.report import index as first_page
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


def tiles(metrics: dict) -> dict[str, champion.Tile]:
    return {tile.title: tile for tile in champion.tiles(metrics)}


def test_the_champions_numbers_stand_with_their_files(metrics):
    found = tiles(metrics)
    assert champion.candidate(metrics) == "tuned"
    assert (found["Test accuracy"].value, found["Test accuracy"].detail) == (
        "91.8%",
        "95% interval 88.8 to 93.8%",
    )
    assert found["Macro-F1"].value == "0.917"
    assert (found["Parameters"].value, found["Parameters"].detail) == ("240,000", "0.96 MB as ONNX")
    assert (found["Latency, one picture"].value, found["Latency, one picture"].detail) == (
        "0.21 ms",
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
        ("10_export", ["formats", 1, "latency_ms_1"], 0.47, ">0.21 ms<", ">0.47 ms<"),
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
    texts = [text for text, _ in champion.not_for(metrics, 0.93)]
    assert texts[0].startswith("Deciding alone that a picture shows one (80.0%, 77.0 to 82.0%)")
    assert "zero" not in texts[0]
    assert "confidence below 0.93" in texts[1]
    metrics[TESTED]["per_class"]["one"]["precision_ci95"] = [0.75, 0.95]
    texts = [text for text, _ in champion.not_for(metrics)]
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
        (True, 3.5, "Yes: fine-tuned Lite0, 64 px beats the three-layer CNN, trained from scratch, by 3.5"),
        (
            True,
            -1.2,
            "No: fine-tuned Lite0, 64 px stays behind the three-layer CNN, trained from scratch, by 1.2",
        ),
        (
            False,
            0.2,
            "Not shown: fine-tuned Lite0, 64 px and the three-layer CNN, trained from scratch, differ by 0.2",
        ),
    ],
)
def test_transfer_learning_is_judged_by_the_paired_test(metrics, shown, points, opening):
    found = metrics["07_evaluation/fine_tuned"]["compared"][0]
    found.update(shown=shown, points=points)
    asked = {question: answer for question, answer, _ in questions.answers(metrics)}
    answer = asked["Was transfer learning worth it on images of 8 pixels?"]
    assert answer.startswith(opening)
    assert "at 29 × the parameters and 14 × the time for a picture" in answer


def test_tuning_is_judged_over_defaults_and_baseline(metrics):
    metrics["09_tuning"]["against_baseline"] = {"points": 0.4, "p_value": 0.3}
    asked = {question: answer for question, answer, _ in questions.answers(metrics)}
    assert "gained over the defaults: 0.8 percentage points" in asked["Was tuning worth it?"]
    assert "no difference of the tuned network is shown: 0.4" in asked["Was tuning worth it?"]
    metrics["09_tuning"]["against_baseline"] = {"points": -1.4, "p_value": 0.001}
    asked = {question: answer for question, answer, _ in questions.answers(metrics)}
    assert "the tuned network does worse: −1.4" in asked["Was tuning worth it?"]


def test_the_price_of_the_champion_is_named(metrics):
    answer = {question: answer for question, answer, _ in questions.answers(metrics)}
    why = answer["Why this model and not the others?"]
    assert why.endswith("The price: the three-layer CNN answers 2.0 × as fast.")
    metrics["10_export"]["latency_ms"]["tuned"] = 0.1
    why = dict(entry[:2] for entry in questions.answers(metrics))["Why this model and not the others?"]
    assert why.endswith("It is also the fastest of them.")


def test_questions_without_numbers_are_not_asked():
    assert questions.answers({}) == []
    assert post_mortem.lessons({}) == []
    assert champion.tiles({}) == champion.not_for({}) == []


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


@pytest.mark.parametrize("accuracy", [0.7, 0.92, 0.99])
def test_the_sample_to_label_has_the_errors_that_are_claimed(accuracy):
    images, limit = post_mortem.labelled_sample(accuracy, 0.03)
    draw = np.random.default_rng(0)
    unchanged = draw.binomial(images, accuracy, 100_000)
    worse = draw.binomial(images, accuracy - 0.03, 100_000)
    assert 0.02 < np.mean(unchanged < limit) < 0.053
    assert 0.795 < np.mean(worse < limit) < 0.83


def test_labelled_sample_copes_with_both_ends():
    for accuracy in (0.0, 0.01, 1.0):
        images, limit = post_mortem.labelled_sample(accuracy, 0.03)
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


def test_evidence_links_each_figure_to_page_and_file(run: FakeRun):
    for stage, name in (
        (TESTED, "confusion_matrix"),
        ("11_serving", "drift_power"),
        (TESTED, "misclassified"),
    ):
        folder = run.folder(stage) / "figures"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.png").write_bytes(png(f"What {name} shows."))
        run.seal(stage)
    series = collect.collect(DATASET, PROFILE)
    headings = [one.heading for one in evidence.exhibits(series)]
    assert headings == ["Confusion matrix", "Classes one by one", "Formats", "Power of the drift monitor"]
    page = index()
    for name in ("confusion_matrix", "drift_power", "misclassified"):
        assert f'alt="What {name} shows."' in page
    section = page[page.index('id="evidence"') : page.index('id="post-mortem"')]
    assert 'href="07_evaluation-tuned.html"' in section
    assert 'href="metrics/11_serving.json"' in section


def test_business_value_is_shown_as_12_found_it(run: FakeRun, metrics):
    run.write_summary(findings.summary(metrics, "Digits", BUSINESS))
    page = index()
    for text in (*list(BUSINESS.values())[:4], "31 (29 to 33)", "confidence below 0.93"):
        assert text in page
