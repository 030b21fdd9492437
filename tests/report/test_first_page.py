"""The report's first page: what it says of the champion follows from the metrics, number by number and word by word."""

import json
import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
from markupsafe import escape

from helpers.obtain import ledger
from helpers.report import collect, conclusions, evidence, first_screen, post_mortem, provenance, questions
from helpers.report.html import decision, pages
from helpers.report.html import index as first_page
from helpers.series import conclusions as conclusions_of_stages
from helpers.series import stages
from helpers.series.conclusions import Conclusion
from helpers.series.metrics import Metric
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
    copied = FakeRun.copied(finished, tmp_path, monkeypatch)
    copied.metrics = deepcopy(copied.metrics)
    return copied


def index() -> str:
    """Return the first page alone: the pages of the notebooks take longer, and have tests of their own."""
    return first_page.render(pages.Renderer(collect.collect(DATASET, PROFILE)))


def rows(metrics: dict) -> dict[str, dict]:
    return {row["candidate"]: row for row in first_screen.candidates(metrics)}


def test_the_champion_stands_first_and_the_others_with_their_paired_difference_to_it(metrics):
    assert list(rows(metrics)) == ["tuned", "fine_tuned", "transfer", "baseline_cnn"]
    fine_tuned = rows(metrics)["fine_tuned"]["against"]
    assert fine_tuned["points"] == pytest.approx(2.2)  # 07 logged the champion minus this one
    assert fine_tuned["ci95"] == pytest.approx([1.7, 3.2])
    assert rows(metrics)["tuned"]["against"] is None
    metrics["10_export"]["candidate"] = "baseline_cnn"
    tuned = rows(metrics)["tuned"]["against"]
    assert tuned["points"] == pytest.approx(1.3)  # here this one minus the champion
    assert tuned["ci95"] == pytest.approx([0.3, 1.8])


def test_the_alternative_is_the_more_accurate_one_else_the_faster_one_else_the_next(metrics):
    def roles() -> dict[str, str]:
        return {name: row["role"] for name, row in rows(metrics).items() if row["role"]}

    assert roles() == {"tuned": "chosen", "fine_tuned": "alternative: higher accuracy"}
    metrics[TESTED]["accuracy"] = 0.95
    assert roles() == {"tuned": "chosen", "baseline_cnn": "alternative: faster"}
    metrics["10_export"]["latency_ms"]["tuned"] = 0.01
    assert roles() == {"tuned": "chosen", "fine_tuned": "next best"}


def test_training_time_includes_the_search_and_the_head(metrics):
    seconds = {name: row["seconds"] for name, row in rows(metrics).items()}
    assert seconds == {"baseline_cnn": 43.0, "transfer": 9.0, "fine_tuned": 90.0 + 9.0, "tuned": 60.0 + 75.0}


def test_a_smoke_run_chooses_no_model_and_says_so(run: FakeRun):
    smoke = index()
    assert "Digits: a smoke run</h1>" in smoke
    assert "its accuracies mean nothing" in smoke
    assert "<code>osemn run --dataset digits --profile quick</code>" in smoke
    series = collect.collect(DATASET, PROFILE)
    quick = first_page.render(pages.Renderer(replace(series, profile="quick")))
    assert "Digits: choose the tuned residual CNN</h1>" in quick
    assert "smoke run" not in quick


def test_with_few_images_the_accuracy_over_all_stands_beside_that_on_the_test_images(metrics):
    def asked() -> dict[str, str]:
        return {question: text for question, text, _ in conclusions.summarise(metrics, "Digits")["questions"]}

    def conclude(numbers: dict) -> None:
        few = Conclusion("out_of_fold", "Over 150 images.", numbers)
        metrics[TESTED]["conclusions"] += conclusions_of_stages.as_metrics([few])

    conclude({})
    assert questions.FEW_IMAGES not in asked()
    conclude({"n": 150})
    assert asked()[questions.FEW_IMAGES].endswith(" Over 150 images.")
    assert asked()[questions.FEW_IMAGES].startswith(first_screen.lead(metrics))


@pytest.mark.parametrize(
    ("stage", "path", "value", "before", "after"),
    [
        (TESTED, ["accuracy"], 0.8512, ">91.8%<", ">85.1%<"),
        (TESTED, ["accuracy_ci95"], [0.71, 0.77], "88.8 to 93.8%", "71.0 to 77.0%"),
        (TESTED, ["macro_f1"], 0.8432, ">0.917<", ">0.843<"),
        (TESTED, ["compared", 2, "points"], 1.37, ">2.20 (", ">−1.37 ("),
        ("09_tuning", ["models", "tuned", "parameters"], 98_765, "240,000", "98,765"),
        ("09_tuning", ["search_seconds"], 33.0, ">2.2 min<", ">93 s<"),
        ("10_export", ["latency_ms", "tuned"], 0.47, ">0.3 ms<", ">0.47 ms<"),
        ("10_export", ["latency_ms", "tuned"], 108.4, ">0.3 ms<", ">110 ms<"),
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


def test_the_first_screen_names_choice_alternative_risks_and_next_steps(run: FakeRun):
    page = index()
    screen = page[page.index('class="summary"') : page.index('id="map"')]
    for words in (
        "★ Tuned residual CNN",
        ">alternative: higher accuracy<",
        "The tuned residual CNN is the best candidate.",
        "tuned is weakest on one.",
        "The seeds of tuned differ by 0.7 points.",
        "Images of anything but its 3 classes",
        "Collect or re-label images of zero and one",
    ):
        assert words in screen


def test_what_it_must_not_be_used_for_names_weak_classes(metrics):
    texts = [text for text, _ in first_screen.not_for(metrics)]
    assert texts[0].startswith("Deciding alone that an image shows one (80.0%, 77.0 to 82.0%)")
    assert "zero" not in texts[0]
    metrics[TESTED]["per_class"]["one"]["precision_ci95"] = [0.75, 0.95]
    texts = [text for text, _ in first_screen.not_for(metrics)]
    assert texts == ["Decisions about people."]


def test_no_conclusion_is_printed_twice(run: FakeRun):
    page = index()
    texts = [one["text"] for logged in run.metrics.values() for one in logged.get("conclusions", [])]
    printed = [text for text in texts if escape(text) in page]
    assert len(printed) > 20
    again = [text for text in printed if len(re.findall(rf"(?<!\w){re.escape(escape(text))}", page)) > 1]
    assert again == []


def test_the_axis_shows_all_intervals_seeds_and_references(metrics):
    known = [decision.Reference("people", 0.8, "a study")]
    listed = first_screen.candidates(metrics)
    axis = decision.forest(listed, Metric("accuracy"), known).axis
    shown = [value for row in listed for value in (row["low"], row["high"], *row["seeds"])] + [0.8]
    assert all(0 < float(axis.at(value).rstrip("%")) < 100 for value in shown)
    assert axis.at(axis.low) == "0.00%"
    places = [float(place.rstrip("%")) for place, _ in axis.ticks]
    assert all(0 <= place <= 100 for place in places)
    assert [label for _, label in axis.ticks] == ["80%", "85%", "90%", "95%"]


@pytest.mark.parametrize(("low", "high"), [(0.9, 0.9), (0.9991, 0.9996), (0.0, 1.0)])
def test_an_axis_has_a_few_ticks_whatever_its_length(low, high):
    row = {"candidate": "a", "accuracy": low, "low": low, "high": high, "seeds": []}
    axis = decision.forest([row], Metric("accuracy"), []).axis
    labels = [label for _, label in axis.ticks]
    assert 2 <= len(labels) <= 8
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize(
    ("name", "title", "shown", "tick"),
    [
        ("balanced_accuracy", "Balanced accuracy", ("71.0%", "66.0% to 75.0%"), ">70%<"),
        ("macro_f1", "Macro-F1", ("0.710", "0.660 to 0.750"), ">0.70<"),
    ],
)
def test_the_forest_plot_shows_the_metric_of_the_series(run: FakeRun, name, title, shown, tick):
    chosen = Conclusion("metric", f"Models are chosen by {name}.", Metric(name).facts())
    run.metrics["03_preprocess"]["conclusions"] = conclusions_of_stages.as_metrics(
        [chosen.from_file("03_preprocess/metrics.json")]
    )
    for candidate in stages.CANDIDATES:
        run.metrics[f"07_evaluation/{candidate}"] |= {name: 0.71, f"{name}_ci95": [0.66, 0.75]}
    for stage in run.metrics:
        run.write(stage)
    page = index()
    assert f"{title} on 360 test images" in page
    assert f"{title}, 95% interval" in page
    assert f"<strong>{shown[0]}</strong> <span>{shown[1]}</span>" in page
    assert tick in page
    del run.metrics[TESTED][f"{name}_ci95"]
    run.write(TESTED)
    run.write("12_report")
    assert "Accuracy on 360 test images" in index()


def test_people_and_published_results_are_lines_where_they_are_known(run: FakeRun, monkeypatch):
    assert decision.references(collect.collect(DATASET, PROFILE)) == []
    card = run.folder("01_acquire") / decision.CARD
    card.write_text(json.dumps({"people": [0.835, 1_000, "a study of <people>"]}))
    run.seal("01_acquire")
    monkeypatch.setitem(decision.PUBLISHED, DATASET, (0.99, "a paper"))
    page = index()
    assert page.count('class="reference"') == 2 * 4  # two lines through each of the four candidates
    assert "people: 83.5%, a study of &lt;people&gt;; published: 99.0%, a paper" in page


def test_every_notebook_stands_to_the_right_of_those_that_it_reads(run: FakeRun):
    columns = decision.series_map(collect.collect(DATASET, PROFILE))
    place = {
        runs[0].stage.notebook: number for number, column in enumerate(columns) for runs in column if runs
    }
    assert set(place) == set(stages.NOTEBOOKS)
    for stage in stages.STAGES:
        assert all(place[name.partition("/")[0]] < place[stage.notebook] for name in stage.reads), stage.name


def test_the_map_links_every_page_of_the_series(run: FakeRun):
    page = index()
    section = page[page.index('id="map"') : page.index('id="evidence"')]
    for stage in stages.STAGES:
        assert f'href="{stage.slug}.html"' in section


def test_pages_that_not_every_report_has_are_linked_where_they_were_made(run: FakeRun):
    renderer = pages.Renderer(collect.collect(DATASET, PROFILE))
    page = first_page.render(renderer)
    names = ["explorer.html", "model_card.html", "data_card.html", "try_it.html"]
    assert [name for name in names if f'href="{name}"' in page] == []
    page = first_page.render(renderer, beside=["index.html", *names])
    assert [name for name in names if f'href="{name}"' in page] == names
    for view in ("explorer.html#r=wrong", "explorer.html#m=error&amp;d=both&amp;s=error"):
        assert f'href="{view}"' in page


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
    assert first_screen.candidates({}) == first_screen.not_for({}) == first_screen.risks({}) == []
    assert first_screen.lead({}) == ""


def test_the_risk_of_other_images_says_how_many_are_marked_as_unknown(metrics):
    numbers = {"others_rejected": 0.955, "others": "photographs of cats", "others_n": 1_200}
    metrics[TESTED]["conclusions"] += conclusions_of_stages.as_metrics(
        [Conclusion("unknown", "It recognises some.", numbers).from_file("metrics.json")]
    )
    assert (
        "the mark 'unknown' warns of 95.5% of 1,200 photographs of cats."
        in first_screen.risks(metrics)[-1][0]
    )


def test_the_post_mortem_prints_the_conclusions_on_the_champion(metrics):
    lessons = {lesson.heading: lesson for lesson in post_mortem.lessons(metrics)}
    assert lessons["Systematic errors"].texts == ("tuned confuses zero and one most.",)
    assert lessons["Slices of the test images"].texts == ("tuned is less accurate on dark images.",)
    assert lessons["When to retrain"].texts[0] == "The monitor detects rotation from 10°."
    assert lessons["When to retrain"].texts[1] == "Label images to see whether tuned has become worse."
    assert lessons["When to retrain"].source == f"{TESTED}/metrics.json, 11_serving/metrics.json"


def test_the_post_mortem_says_what_it_does_with_unknown_images_and_which_all_misclassify(metrics):
    last = [stage for stage in metrics if stage.startswith("07_evaluation")][-1]
    for stage, name in ((TESTED, "unknown"), (last, "agreement")):
        metrics[stage]["conclusions"] += conclusions_of_stages.as_metrics(
            [Conclusion(name, f"About {name}.")]
        )
    lessons = {lesson.heading: lesson for lesson in post_mortem.lessons(metrics)}
    assert lessons["Images of none of the classes"].texts == ("About unknown.",)
    assert lessons["Images that no candidate classifies correctly"].texts == ("About agreement.",)
    assert lessons["Images that no candidate classifies correctly"].source == f"{last}/metrics.json"


def test_labels_to_check_are_counted(metrics):
    def labels() -> str:
        (lesson,) = [one for one in post_mortem.lessons(metrics) if one.heading == "Labels to check"]
        return lesson.texts[0]

    assert labels().startswith("9 test labels (2.5%) contradict the predictions so clearly")
    metrics[TESTED]["doubtful_labels"] = 1
    assert labels().startswith("1 test label (0.3%) contradicts the predictions so clearly")
    assert "It is listed in doubtful_labels.csv" in labels()
    metrics[TESTED]["doubtful_labels"] = 0
    assert labels().startswith("No test label contradicts")


def test_the_ledger_counts_openings_and_models(run: FakeRun, tmp_path, monkeypatch):
    assert "The test images have not been opened." in index()
    monkeypatch.setenv("OSEMN_CACHE_DIR", str(tmp_path))
    own = ledger.this_copy()
    lines = [
        {
            "opened": f"2025-01-31T09:3{minute}:00+00:00",
            "stage": stage,
            "models": models,
            "profile": profile,
            "copy": copy,
        }
        for minute, (stage, models, profile, copy) in enumerate(
            (
                ("10_export", ["a"], PROFILE, own),
                (TESTED, ["a"], PROFILE, own),
                (TESTED, ["b", "c"], PROFILE, own),
                (TESTED, ["d"], "standard", own),
                (TESTED, ["e"], PROFILE, "elsewhere"),
            )
        )
    ]
    series = collect.collect(DATASET, PROFILE)
    file = ledger.of_manifest(series.by_name["01_acquire"].manifest)
    file.parent.mkdir()
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = provenance.openings(series)
    assert [
        (one["stage"], one["profile"], one["times"], len(one["models"]), one["other"]) for one in rows
    ] == [
        (TESTED, PROFILE, 2, 3, False),
        ("10_export", PROFILE, 1, 1, False),
        (TESTED, "standard", 1, 1, False),
        (TESTED, PROFILE, 1, 1, True),
    ]
    page = index()
    assert "2025-01-31 09:33 UTC" in page
    assert "5 different models were scored" in page
    assert "cannot know of openings on other machines" in page


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
    section = page[page.index('id="evidence"') : page.index('id="limits"')]
    assert 'href="07_evaluation-tuned.html"' in section
    assert 'href="metrics/11_serving.json"' in section


def test_business_value_is_shown_as_12_logged_it(run: FakeRun, metrics):
    run.write_summary(conclusions.summarise(metrics, "Digits", BUSINESS))
    page = index()
    first_cell = '<th scope="row">cost of a check</th>'
    for text in (*list(BUSINESS.values())[:3], first_cell, "31 (29 to 33)"):
        assert text in page


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
