"""The report as a reader opens it: by double click, offline, with a keyboard, on a phone and on a desk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import REPOSITORY
from helpers.report import conclusions, render
from helpers.series import stages
from report_runs import BUSINESS, DATASET, PROFILE, FakeRun, output_folder, png

pytestmark = pytest.mark.browser
AXE = REPOSITORY / "web" / "node_modules" / "axe-core" / "axe.min.js"
SIZES = {"desk": (1280, 820), "phone": (390, 844)}
FOLDS = "details.code"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with output_folder(tmp_path_factory):
        _draw_everything(FakeRun())
        yield render.render(DATASET, PROFILE).parent


def _draw_everything(run: FakeRun) -> None:
    """Leave every figure that the stages of the champion declare, and a summary with every section."""
    for stage in stages.STAGES:
        if stage.candidate in ("", "tuned"):
            for name in (name for name in stage.writes if name.endswith(".png")):
                file = run.folder(stage.name) / name
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(png(f"What {file.stem} of {stage.name} shows."))
            run.seal(stage.name)
    run.write_summary(conclusions.summarise(run.metrics, "Digits", BUSINESS))


class Reader:
    """A browser that may open files and nothing else, and remembers what went wrong."""

    def __init__(self, browser, size: tuple[int, int], scheme: str) -> None:
        self.problems: list[str] = []
        self.context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, offline=True
        )
        self.context.route("**/*", self._only_files)
        self.page = self.context.new_page()
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))

    def _only_files(self, route) -> None:
        if route.request.url.startswith(("file:", "data:")):
            route.continue_()
        else:
            self.problems.append(f"asked for {route.request.url}")
            route.abort()

    def _note_message(self, message) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"{message.type}: {message.text}")

    def open(self, file: Path) -> "Reader":
        self.page.goto(file.as_uri())
        return self

    def folds_open(self) -> list[bool]:
        return self.page.eval_on_selector_all(FOLDS, "folds => folds.map(fold => fold.open)")


@pytest.fixture
def read(browser) -> Iterator:
    opened: list[Reader] = []

    def start(size: str = "desk", scheme: str = "light") -> Reader:
        opened.append(Reader(browser, SIZES[size], scheme))
        return opened[-1]

    yield start
    for reader in opened:
        reader.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["index", "02_explore"])
def test_a_page_opens_without_messages_and_fits_the_screen(
    read, folder: Path, tmp_path: Path, name, size, scheme
) -> None:
    reader = read(size, scheme).open(folder / f"{name}.html")
    widths = reader.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    reader.page.screenshot(path=tmp_path / f"{name}_{size}_{scheme}.png", full_page=True)
    assert widths[0] <= widths[1]
    assert reader.problems == []
    assert (tmp_path / f"{name}_{size}_{scheme}.png").stat().st_size > 10_000


def test_all_images_are_drawn(read, folder: Path) -> None:
    for name in ("index", "02_explore"):
        reader = read().open(folder / f"{name}.html")
        widths = reader.page.eval_on_selector_all("img", "images => images.map(image => image.naturalWidth)")
        assert widths
        assert all(width > 100 for width in widths)


def test_code_is_folded_at_first_and_one_fold_opens_by_keyboard(read, folder: Path) -> None:
    reader = read().open(folder / "02_explore.html")
    assert not any(reader.folds_open())
    assert not reader.page.locator(f"{FOLDS} pre").first.is_visible()
    reader.page.locator(f"{FOLDS} summary").first.focus()
    reader.page.keyboard.press("Enter")
    assert reader.folds_open()[:2] == [True, False]
    assert reader.page.locator(f"{FOLDS} pre").first.is_visible()


def test_the_button_shows_and_hides_all_code_by_keyboard(read, folder: Path) -> None:
    reader = read().open(folder / "02_explore.html")
    button = reader.page.get_by_role("button", name="Show all code")
    for _ in range(20):
        reader.page.keyboard.press("Tab")
        if button.evaluate("button => button === document.activeElement"):
            break
    else:
        pytest.fail("the button cannot be reached by the Tab key")
    reader.page.keyboard.press("Space")
    assert all(reader.folds_open())
    assert button.get_attribute("aria-pressed") == "true"
    reader.page.keyboard.press("Enter")
    assert not any(reader.folds_open())
    assert button.get_attribute("aria-pressed") == "false"


def test_the_first_tab_offers_to_skip_to_the_content(read, folder: Path) -> None:
    reader = read().open(folder / "02_explore.html")
    reader.page.keyboard.press("Tab")
    assert reader.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    reader.page.keyboard.press("Enter")
    assert reader.page.evaluate("document.activeElement.id") == "main"


def test_links_lead_from_the_index_through_the_pages(read, folder: Path) -> None:
    reader = read().open(folder / "index.html")
    reader.page.get_by_role("link", name="Warm-up: Make Moons").click()
    assert reader.page.url.endswith("00_warm_up.html")
    reader.page.get_by_role("link", name="Acquire the data").last.click()
    assert reader.page.url.endswith("01_acquire.html")
    reader.page.get_by_role("link", name="OSEMN Vision").click()
    assert reader.page.url.endswith("index.html")
    assert reader.problems == []


def test_the_dark_style_is_dark_and_figures_stay_on_white(read, folder: Path) -> None:
    reader = read(scheme="dark").open(folder / "02_explore.html")
    color = "element => getComputedStyle(element).backgroundColor"
    assert reader.page.locator("body").evaluate(color) == "rgb(20, 24, 29)"
    assert reader.page.locator("figure").first.evaluate(color) == "rgb(255, 255, 255)"


def test_a_script_in_the_page_cannot_reach_the_network(read, folder: Path) -> None:
    reader = read().open(folder / "index.html")
    blocked = reader.page.evaluate(
        "new Promise(done => { document.addEventListener('securitypolicyviolation', () => done(true));"
        " const image = new Image(); image.src = 'https://example.org/a.png';"
        " setTimeout(() => done(false), 2000); })"
    )
    assert blocked


def test_the_summary_needs_no_scrolling(read, folder: Path) -> None:
    reader = read("desk").open(folder / "index.html")
    bottom = "element => element.getBoundingClientRect().bottom"
    assert reader.page.locator("section.summary").evaluate(bottom) <= SIZES["desk"][1]


def test_the_first_page_is_short_until_parts_are_opened(read, folder: Path) -> None:
    page = read("desk").open(folder / "index.html").page
    assert len(page.inner_text("body").split()) < 2000
    assert page.evaluate("document.documentElement.scrollHeight / window.innerHeight") < 7


def test_a_link_to_a_folded_part_opens_it(read, folder: Path) -> None:
    page = read("desk").open(folder / "index.html").page
    heading = page.get_by_role("heading", name="Stages")
    assert not heading.is_visible()
    page.get_by_role("navigation", name="On this page").get_by_role("link", name="Provenance").click()
    assert heading.is_visible()


def test_without_a_script_parts_open_and_nothing_is_missing(browser, folder: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((folder / "index.html").as_uri())
    assert page.get_by_role("button").count() == 0
    page.locator("summary", has_text="Limits").click()
    assert page.get_by_text("Decisions about people.").is_visible()
    context.close()


def test_a_table_is_sorted_by_a_column_with_the_keyboard(read, folder: Path) -> None:
    page = read("desk").open(folder / "index.html").page
    page.locator("summary", has_text="Evidence").click()
    table = page.get_by_role("group", name="Models compared")

    def column() -> list[float]:
        texts = table.locator("tbody td[data-label='Parameters']").all_inner_texts()
        return [float(text.replace(",", "")) for text in texts]

    unsorted = column()
    header = table.get_by_role("button", name="Parameters")
    header.focus()
    page.keyboard.press("Enter")
    assert column() == sorted(unsorted) != unsorted
    page.keyboard.press("Enter")
    assert column() == sorted(unsorted, reverse=True)
    assert table.locator("th[aria-sort='descending']").inner_text().startswith("Parameters")
    seconds = table.locator("tbody td[data-label='Training time']")
    table.get_by_role("button", name="Training time").click()
    values = [float(value) for value in seconds.evaluate_all("all => all.map(one => one.dataset.value)")]
    assert values == sorted(values)


def test_a_table_is_copied_as_columns(read, folder: Path) -> None:
    reader = read("desk")
    reader.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = reader.open(folder / "index.html").page
    page.get_by_role("button", name="Copy the table: Candidates on the test images").click()
    page.get_by_role("button", name="Copy the table: Candidates").get_by_text("Copied").wait_for()
    copied = [line.split("\t") for line in page.evaluate("navigator.clipboard.readText()").split("\n")]
    assert copied[1][0] == "★ Tuned residual CNN chosen"
    assert copied[1][2].startswith("91.8%")
    assert len({len(line) for line in copied[:-1]}) == 1


def test_a_figure_is_enlarged_and_closed_with_the_keyboard(read, folder: Path) -> None:
    page = read("phone").open(folder / "index.html").page
    page.locator("summary", has_text="Evidence").click()
    button = page.get_by_role("button", name="Enlarge the figure").first
    before = button.locator("img").bounding_box()["width"]
    button.focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("dialog").locator("img").bounding_box()["width"] > 1.5 * before
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0
    assert button.evaluate("button => button === document.activeElement")


def test_on_a_phone_no_table_of_the_first_page_is_cut(read, folder: Path) -> None:
    page = read("phone").open(folder / "index.html").page
    page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    cut = "boxes => boxes.filter(box => box.scrollWidth > box.clientWidth).map(box => box.ariaLabel)"
    assert page.locator(".cards").count() > 3
    assert page.eval_on_selector_all(".scroll:has(.cards)", cut) == []


@pytest.mark.parametrize("size", SIZES)
def test_the_contents_stand_after_the_title_and_are_folded_on_a_phone(read, folder: Path, size: str) -> None:
    page = read(size).open(folder / "02_explore.html").page
    after = "title => Boolean(title.compareDocumentPosition(document.getElementById('contents')) & 4)"
    assert page.get_by_role("heading", level=1).evaluate(after)
    first = page.locator("nav.contents a").first
    assert first.is_visible() == (size == "desk")
    if size == "phone":
        page.locator("nav.contents summary").focus()
        page.keyboard.press("Enter")
        assert first.is_visible()
    else:
        title = page.get_by_role("heading", level=1).bounding_box()
        assert first.bounding_box()["x"] + first.bounding_box()["width"] < title["x"]


def test_on_paper_no_table_of_the_first_page_is_cut(read, folder: Path) -> None:
    page = read().open(folder / "index.html").page
    page.set_viewport_size({"width": 680, "height": 1000})  # the width of A4 within its margins
    page.emulate_media(media="print")
    cut = "tables => tables.filter(one => one.getBoundingClientRect().right > 681).map(one => one.className)"
    assert page.eval_on_selector_all("table", cut) == []


def test_on_paper_folded_parts_are_printed(read, folder: Path) -> None:
    page = read().open(folder / "index.html").page
    page.emulate_media(media="print")
    assert page.get_by_role("heading", name="Stages").is_visible()
    assert page.locator("details:not([open]) table").first.is_visible()
    assert not page.get_by_role("button", name="Copy").first.is_visible()


def test_each_sheet_of_paper_says_what_it_is_and_which(read, folder: Path) -> None:
    page = read().open(folder / "02_explore.html").page
    rules = "[...document.styleSheets[0].cssRules].filter(rule => rule instanceof CSSPageRule).map(rule => rule.cssText)"
    (rule,) = page.evaluate(rules)
    for words in (
        '"Digits, smoke profile"',
        '"Explore the training part',
        'counter(page) " / " counter(pages)',
    ):
        assert words in rule


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: python tools/web_tools.py")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["index", "02_explore"])
def test_axe_finds_no_violation(read, folder: Path, name: str, size: str, scheme: str) -> None:
    reader = read(size, scheme).open(folder / f"{name}.html")
    reader.page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    reader.page.evaluate(AXE.read_text(encoding="utf-8"))
    violations = reader.page.evaluate("axe.run()")["violations"]
    assert [(item["id"], [node["html"][:200] for node in item["nodes"]]) for item in violations] == []


def test_on_paper_nothing_is_cut_and_folded_code_is_left_out(read, folder: Path) -> None:
    reader = read().open(folder / "02_explore.html")
    reader.page.emulate_media(media="print")
    assert not reader.page.locator("nav.contents").first.is_visible()
    assert not reader.page.get_by_text("frame = pd.DataFrame").first.is_visible()
    assert reader.page.get_by_text("of everything random").first.is_visible()
    boxes = reader.page.eval_on_selector_all(
        ".scroll", "boxes => boxes.map(box => getComputedStyle(box).overflowX)"
    )
    assert set(boxes) == {"visible"}
