"""The report's first page: what it says of the champion follows from the metrics, number by number and word by word."""

import json
from copy import deepcopy
from pathlib import Path

import pytest

from helpers import paths
from helpers.obtain import data
from helpers.report import collect, conclusions, evidence, first_screen, models, post_mortem, provenance
from helpers.report.html import index as first_page
from helpers.report.html import pages
from helpers.series import stages
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
    copied = FakeRun(copy_of=finished)
    copied.metrics = deepcopy(copied.metrics)
    return copied


def index() -> str:
    """Return the first page alone: the pages of the notebooks take longer, and have tests of their own."""
    return first_page.render(pages.Renderer(collect.collect(DATASET, PROFILE)))


def tiles(metrics: dict) -> dict[str, first_screen.Tile]:
    return {tile.title: tile for tile in first_screen.tiles(metrics)}


def test_the_champions_numbers_stand_with_their_files(metrics):
    shown = tiles(metrics)
    assert models.find_champion(metrics) == "tuned"
    assert (shown["Test accuracy"].value, shown["Test accuracy"].detail) == (
        "91.8%",
        "95% interval 88.8 to 93.8%",
    )
    assert shown["Macro-F1"].value == "0.917"
    assert (shown["Parameters"].value, shown["Parameters"].detail) == ("240,000", "0.96 MB as ONNX")
    assert (shown["Latency, one image"].value, shown["Latency, one image"].detail) == (
        "0.3 ms",
        "0.62 ms by the service",
    )
    assert shown["Training"].value == "60 s"
    assert shown["Latency, one image"].source == "10_export/metrics.json, 11_serving/metrics.json"
    assert shown["Test accuracy"].source == f"{TESTED}/metrics.json"


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
        (
            "09_tuning",
            ["conclusions", 0, "text"],
            "It gained 1.2 points.",
            "gained 0.8 percentage points",
            "gained 1.2 points",
        ),
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
    assert texts[0].startswith("Deciding alone that an image shows one (80.0%, 77.0 to 82.0%)")
    assert "zero" not in texts[0]
    assert "confidence below 0.93" in texts[1]
    metrics[TESTED]["per_class"]["one"]["precision_ci95"] = [0.75, 0.95]
    texts = [text for text, _ in first_screen.not_for(metrics)]
    assert not any("Deciding alone" in text or "confidence below" in text for text in texts)


def test_without_an_evaluated_champion_the_best_model_is_on_top(run: FakeRun):
    del run.metrics["10_export"]["candidate"]
    run.write("10_export")
    run.write("12_report")
    page = index()
    assert "No champion has been exported and evaluated yet." in page
    assert '<p class="lead">Of 7 models, the fine-tuned Lite0' in page
    assert "Do not use it for" not in page


def test_without_metrics_the_sections_are_empty():
    assert post_mortem.lessons({}) == []
    assert first_screen.tiles({}) == first_screen.not_for({}) == []
    assert first_screen.lead({}, "Digits") == ""


def test_the_post_mortem_prints_the_conclusions_on_the_champion(metrics):
    lessons = {lesson.heading: lesson for lesson in post_mortem.lessons(metrics)}
    assert lessons["Systematic errors"].texts == ("tuned confuses zero and one most.",)
    assert lessons["What to collect next"].texts[0] == "tuned is less accurate on dark images."
    assert "**" not in lessons["What to collect next"].texts[1]
    assert lessons["When to retrain"].texts[0] == "The monitor detects rotation from 10°."
    assert lessons["When to retrain"].texts[1] == "Label images to see whether tuned has become worse."
    assert lessons["When to retrain"].source == f"{TESTED}/metrics.json, 11_serving/metrics.json"


def test_labels_to_check_are_counted(metrics):
    def labels() -> str:
        (lesson,) = [one for one in post_mortem.lessons(metrics) if one.heading == "Labels to check"]
        return lesson.texts[0]

    assert labels().startswith("9 test labels (2.5%) contradict the predictions so clearly")
    metrics[TESTED]["doubtful_labels"] = 0
    assert labels().startswith("No test label contradicts")


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
    assert [(one["stage"], one["times"], one["models"]) for one in provenance.openings(series)] == [
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
    assert headings == ["Confusion matrix", "Scores by class", "Formats", "Power of the drift monitor"]
    page = index()
    for name in ("confusion_matrix", "drift_power", "misclassified"):
        assert f'alt="What {name} shows."' in page
    section = page[page.index('id="evidence"') : page.index('id="post-mortem"')]
    assert 'href="07_evaluation-tuned.html"' in section
    assert 'href="metrics/11_serving.json"' in section


def test_business_value_is_shown_as_12_logged_it(run: FakeRun, metrics):
    run.write_summary(conclusions.summarise(metrics, "Digits", BUSINESS))
    page = index()
    first_cell = '<th scope="row">cost of a check</th>'
    for text in (*list(BUSINESS.values())[:3], first_cell, "31 (29 to 33)", "confidence below 0.93"):
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


def test_every_figure_of_evidence_and_post_mortem_is_one_that_its_stage_writes(run: FakeRun, metrics):
    drawn = [
        (stage.name, name.removeprefix("figures/").removesuffix(".png"))
        for stage in stages.STAGES
        if stage.candidate in ("", "tuned")
        for name in stage.writes
        if name.endswith(".png")
    ]
    assert len(exhibited(run, *drawn)) == 9
    for lesson in post_mortem.lessons(metrics):
        stage, _, name = lesson.figure.partition("/figures/")
        assert not name or f"figures/{name}" in stages.find(stage).writes


def test_evidence_prints_the_conclusions_of_its_stages(run: FakeRun):
    cam = "08_grad_cam/tuned"
    drawn = ((TESTED, "reliability"), (TESTED, "learning_curves"), (cam, "maps_wrong"))
    texts = exhibited(run, *drawn, (cam, "deletion_and_insertion"), ("11_serving", "latency_and_throughput"))
    assert texts["Calibration"] == "tuned is underconfident before scaling."
    assert texts["Scores by class"] == "tuned is weakest on one."
    assert texts["Learning curves"] == "tuned has a good fit."
    assert texts["Where it looks when it is wrong"] == "tuned looks at the object."
    assert texts["Checks of the Grad-CAM maps"] == (
        "The maps of tuned depend on its weights. Deletion is significant for tuned, insertion is not."
    )
    assert texts["Formats"] == "All formats assign the same labels. ONNX is the smallest format."
    assert texts["Latency and throughput"] == "Half of the responses arrive within 2.5 ms."


def test_run_that_has_no_accepted_one_says_how_to_accept_it(run: FakeRun):
    page = index()
    section = page[page.index('id="changes"') : page.index('id="provenance"')]
    assert "No run of this data set and profile has been accepted yet" in section
    assert f"osemn report --dataset {DATASET} --profile {PROFILE} --accept" in section
