"""The charts page: its tables hold what was measured, and its script chooses the same threshold for other prices as Python."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy import special

from conftest import REPOSITORY
from evaluated_runs import EvaluatedRun
from helpers import paths
from helpers.interpret import confusion
from helpers.interpret.calibration import Scaling
from helpers.report import collect, render
from helpers.report.business import cost_model, policy, value
from helpers.report.business.cost_model import Costs
from helpers.report.html import charts, pages
from helpers.series import manifests
from report_runs import DATASET, PROFILE, output_folder, png

AXE = REPOSITORY / "web" / "node_modules" / "axe-core" / "axe.min.js"
NAMES = ("<b>bold", "two", "three", "four", "five")
IMAGES, VALIDATION = 900, 700
CHAMPION = "tuned"
PRICES = (0.2, 0.5, 0.08, 0.0001)
HISTORY = {"loss": [0.9, 0.5], "val_loss": [0.8, 0.6], "accuracy": [0.7, 0.8], "val_accuracy": [0.72, 0.79]}


def predictions(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels, and probabilities that are correct more often the more confident they are; some of them are equal."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % len(NAMES)
    logits = generator.normal(size=(count, len(NAMES))) + 2.5 * np.eye(len(NAMES))[labels]
    return labels, special.softmax(np.round(logits, 1), axis=1).astype(np.float32)


class ChartedRun(EvaluatedRun):
    """Finished stages that left all that the page draws."""

    def __init__(self) -> None:
        super().__init__(images=IMAGES, classes=NAMES)

    def seal(self, stage: str, **changes: object) -> None:
        """Write the validation predictions and the history of the champion, and the plan of 12_report, too."""
        folder = self.folder(stage)
        if stage == "09_tuning":
            labels, probabilities = predictions(VALIDATION, 1)
            np.savez(
                folder / "validation_predictions.npz",
                labels=labels,
                **{f"probabilities_{CHAMPION}": probabilities},
            )
            manifests.write_json(folder / "history.json", {CHAMPION: HISTORY})
        if stage == "12_report":
            parts = value.read_predictions(*files(self), CHAMPION, Scaling(0.7))
            plan = policy.choose_policy(*parts, Costs(*PRICES, 0.9))
            metrics = {**self.metrics[stage], "business": plan.to_dict()}
            manifests.write_json(folder / "metrics.json", metrics)
            changes["parameters"] = {"dataset": DATASET, "profile": PROFILE, "seed": 0, "currency": "EUR"}
        super().seal(stage, **changes)

    def _evaluate(self, name: str) -> None:
        super()._evaluate(name)
        labels, probabilities = predictions(IMAGES, 0)
        np.savez(
            self.folder(f"07_evaluation/{name}") / "test_predictions.npz",
            labels=labels,
            predicted=probabilities.argmax(axis=1),
            probabilities=probabilities,
        )
        figures = self.folder(f"07_evaluation/{name}") / "figures"
        figures.mkdir(exist_ok=True)
        for drawn in ("reliability", "learning_curves", "precision_recall_and_roc"):
            (figures / f"{drawn}.png").write_bytes(png(f"What {drawn} shows."))
        path = self.folder(f"07_evaluation/{name}") / "metrics.json"
        metrics = json.loads(path.read_text(encoding="utf-8"))
        areas = confusion.areas(probabilities, labels, NAMES).to_dict("index")
        manifests.write_json(path, {**metrics, "areas": areas})


def files(run: EvaluatedRun) -> tuple[Path, Path]:
    """Return the files of the champion's predictions."""
    evaluated = run.folder(f"07_evaluation/{CHAMPION}")
    return run.folder("09_tuning") / "validation_predictions.npz", evaluated / "test_predictions.npz"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChartedRun]:
    with output_folder(tmp_path_factory):
        yield ChartedRun()


@pytest.fixture(scope="module")
def file(run: ChartedRun) -> Path:
    file = paths.output_root() / charts.NAME
    file.write_text(charts.render(pages.Renderer(collect.collect(DATASET, PROFILE))), encoding="utf-8")
    return file


@pytest.fixture
def page(browser, file: Path) -> Iterator:
    problems: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(file.as_uri())
    yield page
    assert problems == []
    context.close()


def numbers(page, name: str) -> list[float]:
    """Return the values behind a result of the prices."""
    return [float(text) for text in page.locator(f"#{name}").get_attribute("data-values").split()]


def test_the_report_holds_the_page_and_leads_to_it(run: ChartedRun):
    folder = render.render(DATASET, PROFILE).parent
    index = (folder / "index.html").read_text(encoding="utf-8")
    assert f'href="{charts.NAME}"' in index
    ids = set(re.findall(r'id="([^"]+)"', (folder / charts.NAME).read_text(encoding="utf-8")))
    linked = set(re.findall(rf'href="{charts.NAME}#([^"]+)"', index))
    assert linked
    assert linked <= ids


def test_a_series_without_a_champion_has_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path))
    run = ChartedRun()
    run.metrics["10_export"].pop("candidate")
    run.write("10_export")
    assert charts.render(pages.Renderer(collect.collect(DATASET, PROFILE))) == ""


def test_the_precision_at_a_recall_is_the_highest_from_there_on(file: Path):
    labels, probabilities = predictions(IMAGES, 0)
    series = collect.collect(DATASET, PROFILE)
    evaluated = series.by_name[f"07_evaluation/{CHAMPION}"]
    table = charts._precision_recall(probabilities.astype(np.float64), labels, evaluated).table
    mine, scores = labels == 2, probabilities[:, 2]
    reached = [(mine[scores >= cut].sum() / mine.sum(), mine[scores >= cut].mean()) for cut in scores]
    column = next(name for name in table if name.startswith("three "))
    for recall in (0.1, 0.5, 0.9, 1.0):
        best = max(precision for reach, precision in reached if reach >= recall)
        assert table[column].iloc[round(100 * recall)] == pytest.approx(best)


def test_passes_of_training_and_validation_share_one_axis(run: ChartedRun):
    series = collect.collect(DATASET, PROFILE)
    trained = series.by_name["09_tuning"]
    finer = {**HISTORY, "passes": [0.5, 1.0], "val_passes": [1.0, 2.0]}
    manifests.write_json(trained.folder / "history.json", {CHAMPION: finer})
    try:
        loss, _ = charts._learning_curves(trained, CHAMPION, trained)
    finally:
        manifests.write_json(trained.folder / "history.json", {CHAMPION: HISTORY})
    assert loss.table.index.tolist() == [0.5, 1.0, 2.0]
    assert loss.table.loc[1.0].tolist() == [0.5, 0.8]


@pytest.mark.browser
@pytest.mark.parametrize(
    "prices",
    [
        (*PRICES, 0.9),
        (*PRICES, 1.0),
        (0.2, 5.0, 0.01, 0.0001, 1.0),  # checks cost little
        (0.2, 0.0, 0.5, 0.0, 0.5),  # checks cost much
        (1.0, 1.0, 0.3, 0.05, 0.835),
        (0.0, 1.0, 0.02, 3.0, 1.0),  # predictions cost more than they save
    ],
)
def test_other_prices_give_the_plan_of_python(page, run: ChartedRun, prices):
    names = ("value_right", "cost_wrong", "cost_check", "cost_prediction", "person_accuracy")
    for name, price in zip(names, prices, strict=True):
        page.locator(f"#prices [name={name}]").fill(str(price))
    costs = Costs(*prices)
    validation, test = value.read_predictions(*files(run), CHAMPION, Scaling(0.7))
    plan = policy.choose_policy(validation, test, costs)
    shown, threshold = page.locator("#policy").get_attribute("data-values").split()
    assert shown == plan.policy
    assert min(float(threshold), cost_model.CHECK_ALL) == plan.chosen.threshold
    expected = plan.result or cost_model.apply_threshold(test, costs, cost_model.CHECK_ALL)
    assert numbers(page, "automated") == [expected.automated]
    assert numbers(page, "accuracy") == [expected.wrong]
    for name, amount in (("saving", plan.saving), ("over-machine", expected.saving_over_machine)):
        number, low, high = numbers(page, name)
        assert number == pytest.approx(amount.value, abs=1e-9)
        width = amount.ci95[1] - amount.ci95[0]
        # 4,000 draws each, with other random numbers: the ends differ by a few percent of the width
        assert (low, high) == pytest.approx(amount.ci95, abs=0.08 * width + 1e-9)
    best = page.locator("#curve tbody tr").evaluate_all(
        "rows => Math.max(...rows.map(row => parseFloat(row.cells[1].textContent)))"
    )
    curve = [
        cost_model.apply_threshold(test, costs, place).saving.value for place in np.unique(test.confidence)
    ]
    assert best <= max(curve) + 1e-4


@pytest.mark.browser
def test_a_slider_moves_the_saving_and_the_address_keeps_the_prices(page, file: Path):
    before = numbers(page, "saving")[0]
    slider = page.get_by_role("slider", name="Slider: cost of a check")
    slider.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    after = numbers(page, "saving")[0]
    assert after > before
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    assert numbers(page, "saving")[0] == after
    page.get_by_role("button", name="Prices of the report").click()
    page.wait_for_function(
        "before => document.getElementById('saving').dataset.values.startsWith(before)", arg=str(before)
    )


@pytest.mark.browser
def test_impossible_prices_are_named_instead_of_a_result(page):
    page.locator("#prices [name=cost_check]").fill("0")
    assert "above 0" in page.locator("#policy").text_content()
    assert page.locator("#saving").text_content() == "–"


@pytest.mark.browser
def test_the_value_under_the_pointer_is_that_of_the_table(page):
    section = page.locator("section", has=page.get_by_role("heading", name="Calibration", exact=True))
    area = section.locator(".u-over")
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2)
    shown = section.locator(".u-legend .u-value").all_text_contents()
    section.get_by_text("Values").click()
    last = section.locator("tbody tr").last.locator("th, td").all_text_contents()
    assert shown == last[: len(shown)]
    assert section.locator(".u-legend").text_content().startswith("confidence")


@pytest.mark.browser
def test_class_names_are_text_in_a_legend(page):
    assert page.locator(".u-legend", has_text="<b>bold").count() == 1
    assert page.locator(".u-legend b").count() == 0


@pytest.mark.browser
def test_on_paper_and_without_script_the_stored_figures_stand_in(browser, file: Path, page):
    assert page.locator(".chart").count() >= 5
    page.emulate_media(media="print")
    assert not page.locator(".chart").first.is_visible()
    assert page.locator(".still img").first.is_visible()
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(file.as_uri())
    assert not plain.locator("#prices").is_visible()
    assert plain.locator(".still img").first.is_visible()
    plain.locator("summary", has_text="Values").last.click()
    assert plain.locator("table").last.is_visible()
    context.close()


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_the_screen_and_axe_finds_nothing(page, width):
    if not AXE.is_file():
        pytest.skip("axe-core is not installed")
    page.set_viewport_size({"width": width, "height": 844})
    page.wait_for_timeout(100)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate(AXE.read_text(encoding="utf-8"))
    violations = page.evaluate(
        "axe.run().then(result => result.violations.map(one => [one.id, one.nodes[0].html]))"
    )
    assert violations == []


def test_the_data_of_the_page_hold_no_markup(file: Path):
    text = file.read_text(encoding="utf-8")
    data = re.search(r'<script type="application/json" id="content">(.*?)</script>', text, re.DOTALL).group(1)
    assert "<" not in data
    assert json.loads(data)["unit"] == "EUR"
    assert "<b>bold" not in text
