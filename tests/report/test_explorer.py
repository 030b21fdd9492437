"""The explorer as a reader uses it: offline from a file, by mouse and keyboard, with names that are only ever text."""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import REPOSITORY
from evaluated_runs import EvaluatedRun
from helpers import paths
from helpers.interpret import explored
from helpers.obtain import corrections
from helpers.obtain.data import Dataset
from helpers.report import collect, render
from helpers.report.html import explorer, pages
from helpers.series import stages
from report_runs import DATASET, PROFILE, output_folder

AXE = REPOSITORY / "web" / "node_modules" / "axe-core" / "axe.min.js"
NAMES = ("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "quo\"te's & $5", "_plain", *"efghij")
IMAGES = 400
GROUP, FILE = "</script><b>group", "a/<b>bold.png"


class ExploredRun(EvaluatedRun):
    """Finished stages whose evaluations have an explorer; image 7 is a copy, images 3 and 11 have possible label errors."""

    def __init__(self) -> None:
        super().__init__(images=IMAGES, classes=NAMES)

    def seal(self, stage: str, **changes: object) -> None:
        """Write what 07 leaves for the explorer, too."""
        if stage.startswith("07_evaluation/"):
            folder = self.folder(stage)
            generator = np.random.default_rng(0)
            images = generator.integers(0, 255, (IMAGES, 8, 8, 1)).astype(np.uint8)
            index = pd.DataFrame(
                {"path": FILE, "group": GROUP, "sha256": [f"{row:064x}" for row in range(IMAGES)]}
            )
            features = np.eye(10, dtype=np.float32)[self.labels] + 0.1 * generator.normal(size=(IMAGES, 10))
            test = Dataset(images, self.labels.astype(np.int64), self.classes)
            errors = {
                "index": [11, 3, 5],
                "label": [1, 3, 5],
                "suggested": [2, 0, 1],
                "quality": [0.01, 0.02, 0.03],
            }
            rows = {"part": ["test", "test", "train"], "row": [11, 3, 5], "path": ["", "", ""]}
            table = pd.DataFrame({**errors, **rows})
            table.to_csv(folder / "doubtful_labels.csv", index=False)
            shown = explored.of_test(test, features, index, np.array([7]), seed=0)
            training = index.assign(sha256=[f"{row + 10_000:064x}" for row in range(IMAGES)])
            probabilities = np.eye(10)[(self.labels + 6) % 10]
            shown = shown.with_training(test, training, table[table["part"] == "train"], probabilities)
            wrong = np.flatnonzero(self.predicted[stages.find(stage).candidate] != self.labels)
            near = np.stack([wrong, (wrong + 10) % IMAGES], axis=1)
            maps = np.zeros((len(wrong), 2, 2), np.float32)
            maps[:, 0, 0] = 1  # it looks at the top left corner
            shown = shown.with_mistakes(wrong, maps, near, test, index)
            unknown = np.arange(IMAGES, dtype=np.float32)
            replace(shown, unknown=unknown).save(folder / explored.FILE)
        super().seal(stage, **changes)

    def correct(self, name: str) -> np.ndarray:
        """Return which test images a candidate classifies correctly."""
        return self.predicted[name] == self.labels


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExploredRun]:
    with output_folder(tmp_path_factory):
        yield ExploredRun()


@pytest.fixture(scope="module")
def file(run: ExploredRun) -> Path:
    series = collect.collect(DATASET, PROFILE)
    file = paths.output_root() / explorer.NAME
    file.write_text(explorer.render(pages.Renderer(series), explorer.sources(series)), encoding="utf-8")
    return file


class Reader:
    """A browser without a network, that remembers messages and dialogs."""

    def __init__(self, browser, file: Path, width: int, scheme: str = "light") -> None:
        self.problems: list[str] = []
        self.file = file
        self.context = browser.new_context(
            viewport={"width": width, "height": 844}, color_scheme=scheme, offline=True
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.problems.append(dialog.message), dialog.dismiss()))
        self.open("")

    def open(self, address: str) -> None:
        self.page.goto("about:blank")
        self.page.goto(f"{self.file.as_uri()}{address}")
        self.page.wait_for_selector("body[data-state=ready]")

    def choose(self, filter_name: str, option: str) -> None:
        """Choose an option by the names that a screen reader says."""
        self.page.get_by_role("combobox", name=filter_name, exact=True).select_option(label=option)

    def count(self) -> str:
        return self.page.locator("#count").text_content()

    def chosen(self) -> str:
        """Return what a screen reader hears of the gallery's current image."""
        return self.page.locator("#gallery [role=option]").text_content()

    def title(self) -> str:
        return self.page.locator("#image-title").text_content()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("helpers.paths.project_root", lambda: tmp_path)
    return tmp_path


@pytest.fixture(params=[(1280,)])
def reader(browser, file: Path, request: pytest.FixtureRequest) -> Iterator[Reader]:
    started = Reader(browser, file, *request.param)
    yield started
    assert started.problems == []
    started.context.close()


def test_names_are_data_and_never_markup(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    data = re.search(r'<script type="application/json" id="content">(.*?)</script>', text, re.DOTALL).group(1)
    assert "<" not in data
    content = json.loads(data)
    assert tuple(content["classes"]) == NAMES
    assert content["paths"][0] == FILE
    assert text.count("<script") == 2
    assert "onerror" not in text.replace(data, "")


def test_the_report_has_the_page_where_an_evaluation_saved_its_data(run: ExploredRun, file: Path) -> None:
    folder = render.render(DATASET, PROFILE).parent
    assert (folder / explorer.NAME).read_bytes() == file.read_bytes()


def test_candidates_with_other_test_images_are_left_out(run: ExploredRun) -> None:
    saved = run.folder("07_evaluation/transfer") / explored.FILE
    before = saved.read_bytes()
    content = explored.load(saved)
    explored.Explored(**{**vars(content), "rows": content.rows + 1}).save(saved)
    try:
        ExploredRun.__mro__[1].seal(run, "07_evaluation/transfer")
        series = collect.collect(DATASET, PROFILE)
        text = explorer.render(pages.Renderer(series), explorer.sources(series))
        data = json.loads(re.search(r'id="content">(.*?)</script>', text, re.DOTALL).group(1))
        assert [one["name"] for one in data["candidates"]] == ["baseline_cnn", "fine_tuned", "tuned"]
    finally:
        saved.write_bytes(before)
        ExploredRun.__mro__[1].seal(run, "07_evaluation/transfer")


def test_training_images_are_shown_though_the_sharpest_evaluation_has_none(run: ExploredRun) -> None:
    folder = run.folder("07_evaluation/tuned")
    before = {name: (folder / name).read_bytes() for name in (explored.FILE, "doubtful_labels.csv")}
    content = explored.load(folder / explored.FILE)
    nothing = {
        "suspects": content.suspects[:0],
        "suspect_labels": content.suspect_labels[:0],
        "suspect_probabilities": content.suspect_probabilities[:0],
        "sha256": content.sha256[:IMAGES],
    }
    table = pd.read_csv(folder / "doubtful_labels.csv")
    replace(content, side=content.side + 1, **nothing).save(folder / explored.FILE)
    table[table["part"] == "test"].to_csv(folder / "doubtful_labels.csv", index=False)
    try:
        ExploredRun.__mro__[1].seal(run, "07_evaluation/tuned")
        series = collect.collect(DATASET, PROFILE)
        text = explorer.render(pages.Renderer(series), explorer.sources(series))
        data = json.loads(re.search(r'id="content">(.*?)</script>', text, re.DOTALL).group(1))
        errors = {one["name"]: sorted(map(int, one["labelErrors"])) for one in data["candidates"]}
        assert errors == {name: [3, 11, IMAGES] for name in stages.CANDIDATES}
    finally:
        for name, saved_bytes in before.items():
            (folder / name).write_bytes(saved_bytes)
        ExploredRun.__mro__[1].seal(run, "07_evaluation/tuned")


@pytest.mark.browser
def test_filters_count_what_the_predictions_say(reader: Reader, run: ExploredRun) -> None:
    wrong = int((~run.correct("tuned")).sum())
    assert reader.count() == f"{IMAGES} of {IMAGES} images; {wrong} misclassified."
    reader.choose("Prediction", "misclassified")
    assert reader.count() == f"{wrong} of {IMAGES} images; {wrong} misclassified."
    reader.choose("Model", "three-layer CNN")
    wrong = int((~run.correct("baseline_cnn")).sum())
    assert reader.count() == f"{wrong} of {IMAGES} images; {wrong} misclassified."
    reader.choose("Prediction", "any")
    reader.choose("True class", NAMES[1])
    assert reader.count().startswith(f"{IMAGES // 10} of")
    reader.page.get_by_role("button", name="Reset").click()
    reader.choose("Mark", "possible label error")
    assert reader.count().startswith("2 of")
    reader.choose("Sort by", "plausibility of the label, lowest first")
    assert reader.chosen().startswith("Image 11:")
    reader.choose("Mark", "copy or group in training")
    assert reader.count().startswith("1 of")
    assert reader.chosen().startswith("Image 7:")
    assert "copy or group in the training part" in reader.chosen()
    reader.page.get_by_label("Confidence from").fill("101")
    assert reader.count().startswith("0 of")
    assert reader.chosen() == "No image passes the filters"


@pytest.mark.browser
def test_filter_by_group(reader: Reader) -> None:
    reader.page.get_by_role("combobox", name="Group", exact=True).fill("another")
    assert reader.count().startswith("0 of")
    reader.page.get_by_role("combobox", name="Group", exact=True).fill(GROUP)
    assert reader.count().startswith(f"{IMAGES} of")


@pytest.mark.browser
def test_a_cell_of_the_matrix_opens_its_images(reader: Reader, run: ExploredRun) -> None:
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (run.labels, run.predicted["tuned"]), 1)
    np.fill_diagonal(counts, 0)
    truth, guess = np.unravel_index(counts.argmax(), counts.shape)
    name = f"true {NAMES[truth]}, predicted {NAMES[guess]}: {counts.max()} images"
    cell = reader.page.get_by_role("button", name=name, exact=True)
    cell.click()
    assert reader.count() == f"{counts.max()} of {IMAGES} images; {counts.max()} misclassified."
    assert cell.get_attribute("aria-pressed") == "true"
    assert f"true {NAMES[truth]}, predicted {NAMES[guess]}" in reader.chosen()
    cell.click()
    assert reader.count().startswith(f"{IMAGES} of")


@pytest.mark.browser
def test_confusions_of_many_classes_are_a_list(browser, run: ExploredRun, file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    start = text.index('id="content">') + len('id="content">')
    end = text.index("</script>", start)
    content = json.loads(text[start:end])
    content["classes"] = [f"class {label}" for label in range(40)]
    many = file.with_name("many.html")
    many.write_text(text[:start] + json.dumps(content).replace("<", "\\u003c") + text[end:], encoding="utf-8")
    reader = Reader(browser, many, 390)
    wrong = run.predicted["tuned"] != run.labels
    counts = np.unique(np.stack([run.labels, run.predicted["tuned"]])[:, wrong], axis=1, return_counts=True)[
        1
    ]
    assert "40 most frequent confusions of 40 classes" in reader.page.locator("#matrix-about").text_content()
    assert reader.page.locator("#matrix button").count() == min(40, len(counts))
    reader.page.locator("#matrix button").first.click()
    assert reader.count().startswith(f"{counts.max()} of")
    assert reader.problems == []
    reader.context.close()


@pytest.mark.browser
def test_the_matrix_is_one_tab_stop_and_arrow_keys_move_in_it(reader: Reader) -> None:
    cells = reader.page.locator("#matrix button")
    assert cells.evaluate_all("cells => cells.filter(cell => cell.tabIndex === 0).length") == 1
    cells.first.focus()
    reader.page.keyboard.press("ArrowRight")
    reader.page.keyboard.press("ArrowDown")
    focused = reader.page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused.startswith(f"true {NAMES[1]}, predicted {NAMES[1]}")


@pytest.mark.browser
def test_the_gallery_is_used_by_keyboard(reader: Reader, run: ExploredRun) -> None:
    reader.page.locator("#gallery").focus()
    assert reader.chosen().startswith(f"Image 0: true {NAMES[0]}")
    reader.page.keyboard.press("ArrowRight")
    assert reader.chosen().startswith("Image 1:")
    reader.page.keyboard.press("End")
    assert reader.chosen().startswith(f"Image {IMAGES - 1}:")
    option = reader.page.locator("#gallery [role=option]")
    assert (option.get_attribute("aria-posinset"), option.get_attribute("aria-setsize")) == (
        str(IMAGES),
        str(IMAGES),
    )
    assert reader.page.locator("#gallery").get_attribute("aria-activedescendant") == option.get_attribute(
        "id"
    )
    reader.page.keyboard.press("Enter")
    assert reader.title() == f"Image {IMAGES - 1} of the test part"
    reader.page.keyboard.press("ArrowLeft")
    assert reader.title() == f"Image {IMAGES - 2} of the test part"
    reader.page.keyboard.press("Escape")
    assert not reader.page.locator("dialog").is_visible()
    assert reader.page.evaluate("document.activeElement.id") == "gallery"


@pytest.mark.browser
def test_a_screen_reader_hears_what_the_parts_are(reader: Reader) -> None:
    heard = reader.page.locator("main").aria_snapshot()
    for part in (
        'form "Filters"',
        'region "Images"',
        'region "Which classes are confused?"',
        'region "Map of the model\'s features"',
    ):
        assert part in heard
    assert 'listbox "Test images":' in heard
    assert re.search(r"option .*Image 0: true <script>alert\(1\)</script>, predicted .* \[selected\]", heard)
    assert f"{IMAGES} of {IMAGES} images" in heard
    reader.open("#i=3")
    heard = reader.page.locator("dialog").aria_snapshot()
    assert heard.startswith('- dialog "Image 3 of the test part"')
    assert re.search(r"img .*Image 3: true _plain", heard)
    assert "Is the label “_plain” correct?" in heard


@pytest.mark.browser
def test_a_click_opens_the_image_below_it(reader: Reader) -> None:
    reader.page.locator("#gallery").click(position={"x": 6 + 62 + 20, "y": 20})
    assert reader.title() == "Image 1 of the test part"


@pytest.mark.browser
def test_the_open_image_names_everything_as_text(reader: Reader) -> None:
    reader.open("#i=11")
    dialog = reader.page.locator("dialog")
    text = dialog.inner_text()
    for name in (
        NAMES[1],
        NAMES[2],
        FILE,
        GROUP,
        "Possible label error",
        "three-layer CNN",
        "tuned residual CNN",
    ):
        assert name in text
    assert dialog.locator("b, img, script").count() == 0
    assert dialog.locator("#alike button").count() == explored.ALIKE
    dialog.locator("#alike button").first.click()
    assert reader.title() != "Image 11 of the test part"


@pytest.mark.browser
def test_a_mistake_has_a_map_and_training_images_like_it(reader: Reader, run: ExploredRun) -> None:
    image = int(np.flatnonzero(~run.correct("tuned"))[0])
    reader.open(f"#i={image}")
    named = reader.page.locator("#near canvas").evaluate_all(
        "drawn => drawn.map(canvas => canvas.getAttribute('aria-label'))"
    )
    rows = [image, (image + 10) % IMAGES]
    assert named == [f"{NAMES[run.labels[row]]}, training image {row}" for row in rows]
    corners = """() => { const canvas = document.getElementById("large");
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
        copy.drawImage(canvas, 0, 0);
        const at = (x, y) => Array.from(copy.getImageData(x, y, 1, 1).data);
        return [at(2, 2), at(canvas.width - 3, canvas.height - 3)]; }"""
    settled = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    reader.page.evaluate(settled)
    with_map = reader.page.evaluate(corners)
    assert with_map[0][0] > with_map[0][2]  # orange, on a grey image
    reader.page.get_by_label("Where the model looked").uncheck()
    reader.page.evaluate(settled)
    without = reader.page.evaluate(corners)
    assert max(without[0][:3]) - min(without[0][:3]) <= 2
    assert without[1] == with_map[1]


@pytest.mark.browser
def test_a_correct_prediction_and_another_model_have_no_training_images(
    reader: Reader, run: ExploredRun
) -> None:
    reader.open(f"#i={int(np.flatnonzero(run.correct('tuned'))[0])}")
    assert reader.page.locator("#near canvas").count() == 0
    assert not reader.page.get_by_label("Where the model looked").is_visible()
    wrong = int(np.flatnonzero(~run.correct("baseline_cnn"))[0])
    reader.open(f"#c=baseline_cnn&i={wrong}")
    assert reader.page.get_by_label("Where the model looked").is_visible()
    assert not reader.page.locator("#near-title").is_visible()


@pytest.mark.browser
def test_images_sort_by_how_unlike_the_training_images_they_are(reader: Reader) -> None:
    reader.choose("Sort by", "unlike the training images, most first")
    assert reader.chosen().startswith(f"Image {IMAGES - 1}:")
    reader.page.locator("#gallery").press("Enter")
    assert "Unlike the training images" in reader.page.locator("dialog").inner_text()


@pytest.mark.browser
def test_an_address_brings_back_a_view(reader: Reader) -> None:
    reader.choose("True class", NAMES[2])
    reader.choose("Sort by", "confidence, lowest first")
    reader.page.locator("#gallery").press("Enter")
    address, count, title = reader.page.evaluate("location.hash"), reader.count(), reader.title()
    reader.open(address)
    assert (reader.count(), reader.title()) == (count, title)
    assert reader.page.get_by_role("combobox", name="Sort by").input_value() == "low"


@pytest.mark.browser
def test_an_address_of_another_report_opens_the_page_all_the_same(reader: Reader) -> None:
    reader.open("#c=unknown&t=99&s=unknown&i=999999")
    assert reader.count().startswith(f"{IMAGES} of")
    assert not reader.page.locator("dialog").is_visible()


@pytest.mark.browser
def test_the_map_is_used_by_keyboard_and_mouse(reader: Reader) -> None:
    drawn = "document.querySelector('#map canvas').toDataURL()"
    before = reader.page.evaluate(drawn)
    reader.page.locator("#map").focus()
    reader.page.keyboard.press("+")
    reader.page.keyboard.press("ArrowLeft")
    said = reader.page.locator("#nearest").text_content()
    assert said.startswith("Image ")
    reader.page.evaluate("new Promise(requestAnimationFrame)")
    assert reader.page.evaluate(drawn) != before
    reader.page.keyboard.press("Enter")
    assert reader.title() == f"{said.partition(':')[0]} of the test part"


def saved(reader: Reader) -> list[dict[str, str]]:
    """Save the decisions, and return the rows of the file."""
    with reader.page.expect_download() as download:
        reader.page.get_by_role("button", name="Save labels.csv").click()
    assert download.value.suggested_filename == corrections.FILE
    text = Path(download.value.path()).read_text(encoding="utf-8")
    (paths.project_root() / corrections.FILE).write_text(text, encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.browser
def test_possible_label_errors_are_decided_by_keyboard_and_saved(reader: Reader, project: Path) -> None:
    reader.page.get_by_role("button", name="Review possible label errors").click()
    assert reader.title() == "Image 11 of the test part"
    assert reader.page.get_by_label("New label").input_value() == "2"
    reader.page.keyboard.press("r")
    assert reader.title() == "Image 3 of the test part"
    reader.page.keyboard.press("d")
    assert reader.title() == "Image 5 of the training part"
    reader.page.keyboard.press("ArrowLeft")
    assert "dropped" in reader.page.locator("#decision").text_content()
    reader.page.keyboard.press("Escape")
    assert reader.count().startswith("2 images of the test part, 1 of the training part; ")
    assert (
        f"--dataset {DATASET} --profile {PROFILE} --labels labels.csv"
        in reader.page.locator("#apply").inner_text()
    )
    reader.choose("Part", "training, possible label errors")
    assert reader.count() == "1 of 1 images; 1 misclassified."
    reader.page.locator("#gallery").press("Enter")
    assert reader.title() == "Image 5 of the training part"
    assert "not trained on this image" in reader.page.locator("dialog").inner_text()
    reader.page.keyboard.press("u")
    reader.page.keyboard.press("Escape")
    rows = saved(reader)
    assert [tuple(row.values()) for row in rows] == [
        (f"{11:064x}", FILE, NAMES[1], "relabel", NAMES[2], "test"),
        (f"{3:064x}", FILE, NAMES[3], "drop", "", "test"),
        (f"{10_005:064x}", FILE, NAMES[5], "unsure", "", "train"),
    ]
    assert corrections.read(corrections.FILE).to_dict("records") == rows


@pytest.mark.browser
def test_relabelling_as_the_same_class_is_refused(reader: Reader) -> None:
    reader.open("#i=11")
    reader.page.get_by_label("New label").select_option("1")
    reader.page.get_by_role("button", name="Relabel").click()
    assert "its label already" in reader.page.locator("#decision").text_content()
    assert reader.title() == "Image 11 of the test part"


@pytest.mark.browser
def test_earlier_corrections_are_saved_with_new_ones(browser, run: ExploredRun, project: Path) -> None:
    """Image 11 was relabelled from class e to its present label, and is now dropped: the source still says e."""
    folder, text = run.folder("01_acquire"), [",".join(corrections.COLUMNS)]
    text += [f"{'f' * 64},gone.png,e,drop,,train", f'{11:064x},a.png,e,relabel,"{NAMES[1]}",test']
    (folder / corrections.FILE).write_text("\n".join(text) + "\n")
    run.seal("01_acquire")
    series = collect.collect(DATASET, PROFILE)
    file = paths.output_root() / "second.html"
    file.write_text(explorer.render(pages.Renderer(series), explorer.sources(series)), encoding="utf-8")
    (folder / corrections.FILE).unlink()
    run.seal("01_acquire")
    reader = Reader(browser, file, 1280)
    reader.open("#i=11")
    reader.page.keyboard.press("d")
    reader.page.keyboard.press("Escape")
    rows = [tuple(row.values()) for row in saved(reader)]
    assert rows == [
        ("f" * 64, "gone.png", "e", "drop", "", "train"),
        (f"{11:064x}", FILE, "e", "drop", "", "test"),
    ]
    reader.context.close()


@pytest.mark.browser
@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: python tools/web_tools.py")
@pytest.mark.parametrize("address", ["", "#i=11"])
@pytest.mark.parametrize("reader", [(1280, "light"), (1280, "dark"), (390, "light")], indirect=True)
def test_axe_finds_no_violation_and_nothing_sticks_out(reader: Reader, address: str) -> None:
    reader.open(address)
    assert reader.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    reader.page.evaluate(AXE.read_text(encoding="utf-8"))
    violations = reader.page.evaluate("axe.run()")["violations"]
    assert [(item["id"], [node["html"][:200] for node in item["nodes"]]) for item in violations] == []
