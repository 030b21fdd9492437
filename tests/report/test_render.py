"""The rendered report: the content of its pages, what is refused, and how numbers follow the metrics."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from helpers import paths
from helpers.errors import MissingInputError, OsemnError
from helpers.report import collect
from helpers.report import render as report
from helpers.report.html import cells
from helpers.report.html import pages as html_pages
from helpers.series import manifests, stages
from report_runs import (
    DATASET,
    MODELS,
    PROFILE,
    FakeRun,
    metrics_by_stage,
    picture_output,
    png,
    written_once,
)

FETCHING = (
    "src",
    "href",
    "srcset",
    "poster",
    "data",
    "action",
    "formaction",
    "background",
    "xlink:href",
    "ping",
)
CSS_FETCH = re.compile(r"@import[^;]*|url\(\s*['\"]?(?!data:)[^)]*\)")


class Page(HTMLParser):
    """The references, texts and elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.references: list[tuple[str, str, str]] = []
        self.ids: list[str] = []
        self.headings: list[int] = []
        self.images: list[dict] = []
        self.css: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self._inside = tag
        self.references += [(tag, name, value) for name, value in attrs if name in FETCHING]
        self.css += [value for name, value in attrs if name == "style"]
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "img":
            self.images.append(attributes)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self.css.append(data)

    def external(self, beside: set[str]) -> list[str]:
        """Return every reference that leaves the report's folder."""
        outside = [match for css in self.css for match in CSS_FETCH.findall(css)]
        for tag, name, value in self.references:
            inside = value.startswith("data:") or value.partition("#")[0] in {*beside, ""}
            if not inside or (tag == "script" and name == "src"):
                outside.append(f"{tag} {name}={value}")
        return outside

    def __contains__(self, words: str) -> bool:
        return words in self.text


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written_once(tmp_path_factory)


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRun:
    return FakeRun.copied(finished, tmp_path, monkeypatch)


def render() -> dict[str, Page]:
    """Render the report and return its pages by name."""
    folder = report.render(DATASET, PROFILE).parent
    return {file.stem: Page(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.html"))}


def beside() -> set[str]:
    folder = paths.report_folder(DATASET, PROFILE)
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def test_every_stage_with_a_notebook_gets_a_page(run: FakeRun) -> None:
    assert set(render()) == {"index", "charts", "glossary", *(stage.slug for stage in stages.STAGES)}


def test_no_page_refers_to_anything_outside_the_report(run: FakeRun) -> None:
    pages = render()
    assert {name: page.external(beside()) for name, page in pages.items()} == {name: [] for name in pages}


def test_the_check_for_external_references_sees_each_kind() -> None:
    for tag in (
        '<img src="https://e.org/a.png">',
        '<script src="a.js"></script>',
        '<a href="//e.org">x</a>',
        '<img srcset="https://e.org/a.png 2x">',
        "<style>@import 'a.css';</style>",
        '<p style="background: url(https://e.org/a.png)">',
        '<a href="missing.html">x</a>',
    ):
        assert Page(tag).external(set()), tag


def test_what_would_fetch_or_run_is_taken_out_of_outputs(run: FakeRun) -> None:
    html = (
        '<script>alert(1)</script><iframe src="https://e.org"></iframe><p onclick="alert(1)">stays</p>'
        '<p style="background: url(https://e.org/x.png)">plain</p><style>@import "https://e.org/x.css";</style>'
    )
    run.write("02_explore", [new_code_cell("x", outputs=[_shown(html)], execution_count=1)])
    page = render()["02_explore"]
    assert page.external(beside()) == []
    assert "stays" in page
    assert "alert(1)" not in page


def test_what_is_to_be_tried_in_the_notebook_is_not_on_its_page(run: FakeRun) -> None:
    tagged = {"metadata": {"tags": ["try-it"]}}
    shown = [new_markdown_cell("# A title"), new_code_cell("left = 1", execution_count=1)]
    run.write(
        "02_explore", [*shown, new_markdown_cell("## Try it", **tagged), new_code_cell("knob = 2", **tagged)]
    )
    page = render()["02_explore"]
    assert "left" in page
    assert "Try it<" not in page
    assert "knob" not in page


def test_every_image_has_alt_text(run: FakeRun) -> None:
    pages = render()
    images = [image for page in pages.values() for image in page.images]
    assert len(images) == len(stages.STAGES) + 1
    assert all(image["alt"].strip() and image["src"].startswith("data:image/") for image in images)


def test_the_index_shows_the_figure_with_the_words_in_its_file(run: FakeRun) -> None:
    assert [image["alt"] for image in render()["index"].images] == [
        "Validation accuracy against cost: from 62% to 91%."
    ]


@pytest.mark.parametrize("alt", [None, "", "  "])
def test_an_image_without_alt_text_is_refused_by_notebook_and_cell(run: FakeRun, alt: str | None) -> None:
    cell = new_code_cell("x", outputs=[picture_output(alt)], execution_count=1)
    run.write("03_preprocess", [new_markdown_cell("# A title"), cell])
    with pytest.raises(
        OsemnError, match=r"cell 1 of runs/digits/smoke/03_preprocess/notebook\.ipynb has no alt text"
    ):
        render()


@pytest.mark.parametrize(
    "source", ["![](data:image/png;base64,AA==)", '<img src="data:image/png;base64,AA==">']
)
def test_a_written_image_without_alt_text_is_refused(run: FakeRun, source: str) -> None:
    run.write("03_preprocess", [new_markdown_cell("# A title"), new_markdown_cell(source)])
    with pytest.raises(OsemnError, match=r"cell 1 of .*03_preprocess/notebook\.ipynb has no alt text"):
        render()


def test_an_image_outside_the_notebook_is_refused(run: FakeRun) -> None:
    run.write("03_preprocess", [new_markdown_cell("# A title\n\n![a picture](https://example.org/a.png)")])
    with pytest.raises(OsemnError, match=r"cell 0 .* is not in the notebook: https://example\.org/a\.png"):
        render()


def test_a_figure_file_without_description_is_refused(run: FakeRun) -> None:
    (run.folder("04_baseline") / "figures" / "return_on_complexity.png").write_bytes(png())
    run.seal("04_baseline")
    with pytest.raises(OsemnError, match=r"return_on_complexity\.png has no description"):
        render()


def test_a_refused_report_leaves_the_one_before(run: FakeRun) -> None:
    render()
    before = (paths.report_folder(DATASET, PROFILE) / "index.html").read_bytes()
    run.write("03_preprocess", [new_code_cell("x", outputs=[picture_output(None)], execution_count=1)])
    with pytest.raises(OsemnError):
        render()
    assert (paths.report_folder(DATASET, PROFILE) / "index.html").read_bytes() == before


def test_ids_are_unique(run: FakeRun) -> None:
    for name, page in render().items():
        assert len(page.ids) == len(set(page.ids)), name


def test_headings_start_at_one_and_skip_no_level(run: FakeRun) -> None:
    for name, page in render().items():
        assert page.headings[0] == 1, name
        assert page.headings.count(1) == 1, name
        steps = zip(page.headings, page.headings[1:], strict=False)
        assert all(after <= before + 1 for before, after in steps), name


def test_links_inside_a_page_lead_somewhere(run: FakeRun) -> None:
    for name, page in render().items():
        targets = [
            value[1:] for _, attribute, value in page.references if attribute == "href" and value[:1] == "#"
        ]
        assert set(targets) <= set(page.ids), name


def test_links_to_notebooks_lead_to_pages_and_addresses_become_words(run: FakeRun) -> None:
    page = render()["01_acquire"]
    assert ("a", "href", "02_explore.html") in page.references
    assert "the web (https://example.org/page)" in page


def test_pages_lead_from_stage_to_stage_in_the_order_in_which_they_run(run: FakeRun) -> None:
    pages = render()
    walked = ["00_warm_up"]
    while following := re.search(r'<a rel="next" class="next" href="([^"]+)\.html"', pages[walked[-1]].text):
        walked.append(following[1])
    assert walked == [stage.slug for stage in stages.STAGES]


def test_code_is_folded_and_every_fold_has_words(run: FakeRun) -> None:
    page = render()["02_explore"]
    folds = [attributes for tag, attributes in page.tags if tag == "details" and attributes.get("class")]
    assert len(folds) == 9
    assert not any("open" in fold for fold in folds)
    summaries = re.findall(r"<summary>(.*?)</summary>", page.text)
    assert summaries[0] == 'Code: parameters<span class="aside">, 3 lines</span>'
    assert summaries[1] == 'Code: values that were set for this run<span class="aside">, 2 lines</span>'
    assert len(summaries) == 9


def _page_of(run: FakeRun, *cells) -> str:
    """Return the page of a notebook with these cells below a title and a heading."""
    run.write("03_preprocess", [new_markdown_cell("# A title\n\n## Look at it"), *cells])
    renderer = html_pages.Renderer(collect.collect(DATASET, PROFILE))
    return renderer.notebook(renderer.series.by_name["03_preprocess"])


def test_code_is_named_by_its_comment_or_by_what_it_calls_of_the_package(run: FakeRun) -> None:
    sources = (
        "from helpers.interpret import plots\nfrom helpers.obtain.data import load",
        "# NBVAL_CHECK_OUTPUT\nframe = load(run.path('x')).head()",
        "run.show(plots.matrix(plots.count(a)), 'b')\nplots.other(1)\nplots.third()",
        "# Draw the first images\nshow()",
        "%timeit x",
    )
    page = _page_of(run, *(new_code_cell(source, execution_count=1) for source in sources))
    names = re.findall(r"<summary>Code(.*?)<span", page)
    assert names == [
        ": imports",
        ": load",
        ": run.show, plots.other, plots.third …",
        ": Draw the first images",
        "",
    ]


def test_bare_values_are_folded_and_named_ones_are_listed(run: FakeRun) -> None:
    def cell(text: str):
        output = new_output("execute_result", data={"text/plain": text}, execution_count=1)
        return new_code_cell("x", outputs=[output], execution_count=1)

    page = _page_of(run, cell("(True, 28)"), cell("{'mean': 0.286, '<b>': 'x'}"), cell("'a sentence'"))
    opened = re.sub(r"<details.*?</details>", "", page, flags=re.DOTALL)
    assert "(True, 28)" in page
    assert "(True, 28)" not in opened
    assert "<dt>mean</dt><dd>0.286</dd>" in opened
    assert "<dt>&lt;b&gt;</dt>" in opened
    assert "'a sentence'" in opened


def test_boxes_that_scroll_are_named_after_their_headings(run: FakeRun) -> None:
    for page in render().values():
        labels = [
            attributes["aria-label"] for _, attributes in page.tags if attributes.get("role") == "group"
        ]
        assert len(labels) == len(set(labels))
    assert 'aria-label="Table: Look at it"' in page_with_frame(run)


def page_with_frame(run: FakeRun) -> str:
    titles = "".join(f"<th>{title}</th>" for title in ("", "images", "class", "share"))
    row = "<tr><th>0</th><td>142</td><td>zero</td><td>9%</td></tr>"
    html = f"<table><thead><tr>{titles}</tr></thead><tbody>{row}</tbody></table>"
    return _page_of(run, new_code_cell("x", outputs=[_shown(html)], execution_count=1))


def test_a_line_of_text_is_wrapped_and_text_in_columns_scrolls(run: FakeRun) -> None:
    page = render()["02_explore"].text
    assert re.search(r'<pre [^>]*class="text line"[^>]*>[^<]*one line of text[^<]*</pre>', page)
    assert re.search(r'<pre [^>]*class="text scroll"[^>]* tabindex="0"[^>]*>\[\(2, 6\),', page)


def test_parameters_are_shown_with_the_values_of_the_run(run: FakeRun) -> None:
    page = render()["02_explore"]
    assert "<strong>7</strong> <small>set for this run; default 0</small>" in page
    assert "of everything random" in page


def test_progress_bars_leave_their_last_state(run: FakeRun) -> None:
    page = render()["02_explore"]
    assert "fit: 100%|####" in page
    assert "55%" not in page


def test_colour_codes_of_terminals_do_not_reach_the_page(run: FakeRun) -> None:
    assert not any("\x1b" in page or "[31m" in page for page in render().values())


@pytest.mark.parametrize("schema", [3, None])
def test_a_summary_of_another_schema_is_left_out(run: FakeRun, schema: int | None) -> None:
    run.write_summary({"schema": schema, "lead": "From another version."})
    page = render()["index"]
    assert "From another version." not in page
    assert "No model has been compared yet." in page


def test_pages_stay_under_three_megabytes(run: FakeRun) -> None:
    figures = [picture_output("Noise.", noise=620) for _ in range(3)]
    run.write("02_explore", [new_code_cell("x", outputs=figures, execution_count=1)])
    page = render()["02_explore"]
    assert sum(len(figure["data"]["image/png"]) for figure in figures) > 3_000_000
    assert len(page.text.encode()) <= 3_000_000
    assert [image["alt"] for image in page.images] == ["Noise."] * 3


def test_every_page_forbids_the_network_and_foreign_scripts(run: FakeRun) -> None:
    for page in render().values():
        policy = next(a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
        assert "default-src 'none'" in policy
        assert sum(tag == "script" for tag, _ in page.tags) == 1


def test_stages_not_run_are_listed_with_the_command(run: FakeRun) -> None:
    for stage in ("04_baseline", "12_report"):
        (run.folder(stage) / manifests.NAME).unlink()
    pages = render()
    assert "04_baseline" not in pages
    assert "osemn run --dataset digits --profile smoke --until 04_baseline" in pages["index"]
    assert "The conclusions are missing, because 12_report is not run" in pages["index"]


def test_a_stage_run_by_hand_is_listed_and_has_no_page(run: FakeRun) -> None:
    (run.folder("02_explore") / "notebook.ipynb").unlink()
    run.seal("02_explore")
    pages = render()
    assert "02_explore" not in pages
    assert "run by hand" in pages["index"]


def test_a_damaged_artifact_is_named_and_its_stage_has_no_page(run: FakeRun) -> None:
    (run.folder("02_explore") / "metrics.json").write_text("{}")
    pages = render()
    assert "02_explore" not in pages
    assert "runs/digits/smoke/02_explore/metrics.json has 2 bytes" in pages["index"]


def test_a_notebook_changed_after_its_run_is_refused_by_name(run: FakeRun) -> None:
    notebook = run.folder("02_explore") / "notebook.ipynb"
    notebook.write_bytes(notebook.read_bytes().replace(b"One sentence", b"Two sentence"))
    with pytest.raises(
        MissingInputError, match=r"02_explore/notebook\.ipynb was changed after it was written"
    ):
        render()


def test_a_stage_made_from_earlier_inputs_is_called_outdated(run: FakeRun) -> None:
    run.metrics["01_acquire"] = {**run.metrics["01_acquire"], "n_train": 5}
    run.write("01_acquire")
    pages = render()
    assert "made from an earlier state of 01_acquire" in pages["index"]
    assert "This page is outdated" in pages["03_preprocess"]


def test_nothing_run_is_an_error_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path))
    with pytest.raises(OsemnError, match="run 'osemn run --dataset digits --profile smoke' first"):
        render()


def test_numbers_on_the_index_follow_the_metrics(run: FakeRun) -> None:
    assert "87.5%" in render()["index"]
    label, *rest = MODELS["random_forest"]
    run.metrics = metrics_by_stage(
        {**MODELS, "random_forest": (label, *rest[:4], 0.8123, [0.789, 0.834], 0.8)}
    )
    run.write("04_baseline")
    run.write("12_report")
    page = render()["index"]
    assert "81.2%" in page
    assert "87.5%" not in page


def test_metrics_lie_beside_the_index_as_the_stages_wrote_them(run: FakeRun) -> None:
    page = render()["index"]
    copy = paths.report_folder(DATASET, PROFILE) / "metrics" / "04_baseline.json"
    assert copy.read_bytes() == (run.folder("04_baseline") / "metrics.json").read_bytes()
    assert ("a", "href", "metrics/04_baseline.json") in page.references


def test_each_model_stands_with_a_link_to_the_file_of_its_numbers(run: FakeRun) -> None:
    text = render()["index"].text
    table = text[text.index('id="models"') : text.index('id="data"')]
    links = re.findall(r'<th scope="row">([^<]+)<span class="name"><a class="source" href="([^"]+)"', table)
    assert links[:4] == [
        ("Fine-tuned Lite0, 64 px", "metrics/06_fine_tuning.json"),
        ("Frozen Lite0, 64 px", "metrics/05_transfer_learning.json"),
        ("★ Tuned residual CNN", "metrics/09_tuning.json"),
        ("Three-layer CNN", "metrics/04_baseline.json"),
    ]
    assert len(links) == 7


def test_a_conclusion_from_two_stages_links_to_both_files(run: FakeRun) -> None:
    text = render()["index"].text
    sentence = text[text.index("Going from logistic regression") :].partition("</p>")[0]
    assert re.findall(r'href="([^"]+)"', sentence) == [
        "metrics/04_baseline.json",
        "metrics/06_fine_tuning.json",
    ]


def test_a_rendered_report_is_current(run: FakeRun) -> None:
    assert not report.is_current(DATASET, PROFILE)
    render()
    assert report.is_current(DATASET, PROFILE)


@pytest.mark.parametrize("name", ["index.html", "02_explore.html", "metrics/04_baseline.json", "report.json"])
@pytest.mark.parametrize("harm", ["change", "remove"])
def test_a_report_with_a_harmed_file_is_not_current(run: FakeRun, name: str, harm: str) -> None:
    render()
    file = paths.report_folder(DATASET, PROFILE) / name
    file.write_bytes(file.read_bytes()[:-20] + b"x" * 20) if harm == "change" else file.unlink()
    assert not report.is_current(DATASET, PROFILE)


def test_a_report_is_not_current_once_a_stage_ran_again(run: FakeRun) -> None:
    render()
    run.seal("01_acquire", finished="2025-02-01T10:00:00+00:00")
    assert not report.is_current(DATASET, PROFILE)


def test_a_report_is_not_current_once_the_style_has_changed(
    run: FakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    style = tmp_path / "template"
    shutil.copytree(collect.template_folder(), style)
    monkeypatch.setattr(collect, "template_folder", lambda: style)
    render()
    assert report.is_current(DATASET, PROFILE)
    (style / "report.css").write_text((style / "report.css").read_text() + "\np { color: red; }\n")
    assert not report.is_current(DATASET, PROFILE)


def test_a_report_killed_between_its_two_renames_is_found_again(run: FakeRun) -> None:
    render()
    folder = paths.report_folder(DATASET, PROFILE)
    folder.rename(folder.with_name(f"{folder.name}.old"))
    (folder.parent / f"{folder.name}.partial").mkdir()
    render()
    assert report.is_current(DATASET, PROFILE)
    assert not list(folder.parent.glob(f"{folder.name}.*"))


def test_rendering_imports_no_tensorflow_and_the_check_imports_no_renderer(
    run: FakeRun, tmp_path: Path
) -> None:
    code = (
        "import sys; from helpers.report import render as report\n"
        f"report.is_current({DATASET!r}, {PROFILE!r}); assert not {{'bs4', 'scipy', 'sklearn'}} & set(sys.modules)\n"
        f"report.render({DATASET!r}, {PROFILE!r}); assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=paths.project_root())


def test_colours_of_words_contrast_with_what_is_behind_them() -> None:
    css = (collect.template_folder() / "report.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", css, re.DOTALL)[:2]
    for block in (light, dark):
        color = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
        words = ["text", "muted", "accent", *(name for name in color if name.startswith("code-"))]
        pairs = [(name, ground) for name in words for ground in ("page", "card", "sunken")]
        pairs += [
            ("good", "good-soft"),
            ("warn", "warn-soft"),
            ("text", "warn-soft"),
            ("text", "accent-soft"),
        ]
        for name, ground in pairs:
            assert _contrast(color[name], color[ground]) >= 4.5, (name, ground)


def _contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2, 1.4.3)."""

    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_record_lists_every_file_of_the_report(run: FakeRun) -> None:
    render()
    record = json.loads((paths.report_folder(DATASET, PROFILE) / "report.json").read_text())
    assert set(record["files"]) == beside() - {"report.json"}


def _shown(html: str):
    return new_output("display_data", data={"text/html": html, "text/plain": "x"})


def test_minutes_of_a_notebook_lead_to_those_of_the_run_on_its_page():
    written = '<h1>A question</h1><p>writes a model · <a href="README.md">minutes on two cores</a></p>'
    body = cells.finish(written, title="", where="a notebook", pages={})
    assert '<a href="#provenance">minutes on two cores</a>' in body.html
