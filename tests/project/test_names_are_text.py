"""Class and file names are text, whatever they hold: never markup, never mathematics, never lost. Found by Hypothesis.

`OSEMN_FUZZ_CASES` sets the number of lists of names for each kind of output.
"""

import copy
import csv
import io
import json
import os
import re
from types import SimpleNamespace

import mistune
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib import cbook
from typer.testing import CliRunner

import registry_versions
from export_facts import FACTS
from helpers import figures
from helpers.cli import main
from helpers.export import model_card
from helpers.report import collect
from helpers.report.html import cards, cells, pages
from helpers.series.conclusions import Conclusion, Conclusions
from helpers.serving import offline
from helpers.serving.model import Served

CASES = int(os.environ.get("OSEMN_FUZZ_CASES", "30"))
MOST = 25  # names in a list: 30 lists of each kind are some 2,000 names
TOKENS = (
    *("<b>", "</td>", "<img src=x onerror=alert(1)>", "</script>", "<!--", "-->", "&amp;", "&lt;", "javascript:"),
    *("$", "$$", "\\frac", "\\$", "^{", "_", "__", "*", "**", "~~", "`", "```", "|", "[x](y)", "![x](y)", "#", "# "),
    *("- ", "1. ", "+ ", "> ", "---", "===", "\n", "\n\n", "\r\n", "\r", "\t", "    ", "  \n", "{{ 7*7 }}", "{% x %}", "{0}"),
    *("%s", "\\", "\\\\", '"', "'", ",", ";", "=1+1", "www.example.org", "http://a.b/c", "é", "ﷺ", "猫", "a", "B", "0"),
)  # fmt: skip
PLAIN = (*("h1", "h2", "p", "ul", "li", "code", "pre"), *("table", "thead", "tbody", "tr", "th", "td"))
characters = st.characters(exclude_categories=("Cs",), exclude_characters="\0")
name = st.one_of(
    st.text(characters, min_size=1, max_size=30),
    st.lists(st.sampled_from(TOKENS), min_size=1, max_size=5).map("".join),
).filter(lambda text: text.split())
lists = st.lists(name, min_size=2, max_size=MOST, unique_by=lambda text: tuple(text.split()))
ALL_TOKENS = [f"a{token}b" for token in TOKENS]


RECORD = SimpleNamespace(intact=True, page="", manifest={"finished": "2026-01-31T12:00:00+00:00"})


def words(text: str) -> str:
    """Return a text in one line, as pages show it."""
    return " ".join(text.split())


def of_table(text: str) -> str:
    """Return a text in one line, in which pandas writes a line break as a backslash and a letter."""
    return words(re.sub(r"\\[nrt]", " ", text))


def shown(html: str, *tags: str) -> BeautifulSoup:
    """Return a page, which must have no element but those with the given tags."""
    soup = BeautifulSoup(html, "html.parser")
    assert {element.name for element in soup.find_all(True)} <= set(tags)
    return soup


@settings(max_examples=10 * CASES)
@given(name)
@example("_background")
@example("$5 and $10")
def test_figure_shows_a_name_as_text(text):
    label = figures.label(text)
    assert not cbook.is_math_text(label)
    assert not label.startswith("_")
    plain = label.replace(r"\$", "$").strip()
    assert len(plain) <= 32
    assert plain == words(text) or "…" in plain


@settings(max_examples=CASES)
@given(lists)
@example(ALL_TOKENS)
def test_notebook_shows_names_in_conclusions_as_text(names):
    render = mistune.create_markdown(escape=False, plugins=["table", "strikethrough"])  # as the report does
    texts = [f"Often {one} is taken for {one}." for one in names]
    several = Conclusions(Conclusion(str(place), text) for place, text in enumerate(texts))
    items = shown(render(several._repr_markdown_()), "ul", "li").find_all("li")
    assert [words(item.get_text()) for item in items] == list(map(words, texts))
    for text in texts:
        page = shown(render(Conclusion("one", text)._repr_markdown_()), "p")
        assert words(page.get_text()) == words(text)


@settings(max_examples=CASES)
@given(lists)
@example(ALL_TOKENS)
def test_page_shows_names_in_tables_as_text(names):
    table = pd.DataFrame({"class": names, "taken for": names[::-1]}, index=pd.Index(names, name="name"))
    body = cells.finish(table.to_html(), title="Title", where="a.ipynb", pages={})
    soup = shown(body.html, "h1", "div", "table", "thead", "tbody", "tr", "th", "td")
    rows = [
        [of_table(cell.get_text()) for cell in row.find_all(["th", "td"])] for row in soup.select("tbody tr")
    ]
    texts = list(map(of_table, names))
    assert rows == [[one, one, other] for one, other in zip(texts, texts[::-1], strict=True)]


@settings(max_examples=CASES)
@given(lists)
@example(ALL_TOKENS)
def test_model_card_shows_names_as_text(names):
    facts = copy.deepcopy(FACTS)
    test = facts["metrics"]["test"]
    test |= {
        "per_class": dict.fromkeys(names, test["per_class"]["Shirt"]),
        "confusion": np.eye(len(names)).tolist(),
    }
    facts |= {"classes": names, "conclusions": {"confusions": f"{names[0]} is taken for {names[1]}."}}
    facts["data"]["title"] = names[0]
    html = mistune.create_markdown(escape=True, plugins=["table"])(model_card.render(facts))
    soup = shown(html, *PLAIN)
    first = [words(row.td.get_text()) for row in soup.find("table").select("tbody tr")]
    assert first == list(map(words, names))
    assert words(names[0]) in words(soup.h1.get_text())


@settings(max_examples=CASES)
@given(lists)
@example(ALL_TOKENS)
def test_data_card_shows_names_as_text(names):
    counts = {"train": 2, "test": 1}
    card = {
        **{"title": names[0], "about": names[1], "licence": "CC", "counts": counts, "split": "made", "dtype": "uint8"},
        **{"formats": ["PNG"], "image_shape": [8, 8, 3], "class_names": names, "first_source": names[0], "sha256": {}},
        "class_counts": {part: dict.fromkeys(names, 1) for part in counts},
    }  # fmt: skip
    text = cards.data_card(card, [f"{names[0]} is the largest class."], "runs/digits/smoke/01_acquire")
    body = text.removeprefix("---\n").partition("\n---\n")[2]
    soup = shown(mistune.create_markdown(escape=True, plugins=["table"])(body), *PLAIN)
    assert [words(row.td.get_text()) for row in soup.find("table").select("tbody tr")] == list(
        map(words, names)
    )
    assert words(soup.li.get_text()) == words(f"{names[0]} is the largest class.")


@settings(max_examples=CASES)
@given(lists)
@example(ALL_TOKENS)
def test_explorer_receives_names_unchanged(names):
    renderer = pages.Renderer(collect.Series("digits", "smoke", (RECORD,)))
    soups = []
    for classes in (["a", "b"], names):
        context = {"content": {"classes": classes, "paths": classes, "near": None}, "shown": 1, "total": 1}
        page = renderer.page("explorer.html.j2", title="Explorer", contents=(), **context)
        soups.append(BeautifulSoup(page, "html.parser"))
    usual, soup = soups
    assert json.loads(soup.find(id="content").string)["classes"] == names
    assert [tag.name for tag in soup.find_all(True)] == [tag.name for tag in usual.find_all(True)]


@settings(max_examples=CASES)
@given(lists)
@example(ALL_TOKENS)
def test_service_and_command_line_return_names_unchanged(names):
    served = Served(
        SimpleNamespace(name="v", manifest={}), None, tuple(names), registry_versions.SHAPE, 1.0, 1.0
    )
    probabilities = 0.1 + 0.9 * np.eye(len(names))
    predictions = served.describe(probabilities / probabilities.sum(axis=1, keepdims=True), probabilities)
    sent = json.loads(json.dumps(predictions, ensure_ascii=False).encode())
    assert [one["class"] for one in sent] == names
    items = [
        offline.FilePrediction(one, None, prediction)
        for one, prediction in zip(names, predictions, strict=True)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(offline, "current", lambda dataset: served)
        patch.setattr(offline, "of_files", lambda *_: items)
        done = CliRunner().invoke(
            main.app, ["predict", "a.png", "--dataset", "digits"], catch_exceptions=False
        )
    printed = list(csv.reader(io.StringIO(done.stdout_bytes.decode(), newline="")))[1:]
    assert [row[0] for row in printed] == names
    assert [row[1] for row in printed] == names
