"""Model card and data card of the report: read by the Hugging Face hub's own library, and pages of their own."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from huggingface_hub import DatasetCard

from conftest import REPOSITORY
from helpers.report import collect, render
from helpers.report.html import cards, cells, pages
from report_runs import DATASET, PROFILE, FakeRun, written_once

CARD = {
    "title": "Garments",
    "about": "Drawn for a <b>test</b>.",
    "licence": "CC0",
    "counts": {"test": 300, "train": 1_500},
    "class_names": ["a|b", "<script>alert(1)</script>"],
    "class_counts": {"test": {"a|b": 300}, "train": {"a|b": 700, "<script>alert(1)</script>": 800}},
    "formats": {"PNG": 1_800},
    "image_shape": [28, 28, 1],
    "dtype": "uint8",
    "split": "drawn by label",
    "first_source": "a folder",
    "sha256": {"test": "t" * 64, "train": "r" * 64},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written_once(tmp_path_factory)


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRun:
    copied = FakeRun.copied(finished, tmp_path, monkeypatch)
    (copied.folder("01_acquire") / "data_card.json").write_text(json.dumps(CARD))
    (copied.folder("10_export") / "model_card.md").write_text(
        "---\nlicense: mit\n---\n# Model card\n\nText.\n"
    )
    for stage in ("01_acquire", "10_export"):
        copied.seal(stage)
    return copied


def test_the_hub_reads_the_data_card():
    card = DatasetCard(cards.data_card(CARD, ["It has 1,800 images."], "runs/garments"))
    assert card.data.pretty_name == "Garments"
    assert card.data.size_categories == ["1K<n<10K"]
    assert card.data.task_categories == ["image-classification"]
    assert "- It has 1,800 images." in card.text


@pytest.mark.parametrize(("count", "size"), [(999, "n<1K"), (70_000, "10K<n<100K"), (2_000_000, "n>1M")])
def test_the_size_category_follows_the_number_of_images(count, size):
    assert DatasetCard(
        cards.data_card({**CARD, "counts": {"train": count}}, [], "runs")
    ).data.size_categories == [size]


def test_names_and_texts_are_never_markup_in_a_card(run: FakeRun):
    renderer = pages.Renderer(collect.collect(DATASET, PROFILE))
    text = cards.markdown(renderer.series)["data_card"]
    page = cards.page(renderer, "data_card", text)
    assert "<b>" not in page
    assert ">a|b</td>" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert page.count("<script>") == 1
    assert ">800</td>" in page


def test_the_report_holds_both_cards_as_pages_and_as_files(run: FakeRun):
    folder = render.render(DATASET, PROFILE).parent
    index = (folder / "index.html").read_text(encoding="utf-8")
    for name in ("model_card", "data_card"):
        assert f'href="{name}.html"' in index
        assert f'href="{name}.md"' in (folder / f"{name}.html").read_text(encoding="utf-8")
    assert (
        (folder / "model_card.md")
        .read_text(encoding="utf-8")
        .startswith("---\nlicense: mit\n---\n# Model card")
    )
    page = (folder / "model_card.html").read_text(encoding="utf-8")
    assert "<code>license: mit</code>" in page


def test_the_notebooks_lead_to_terms_of_the_glossary(run: FakeRun):
    folder = render.render(DATASET, PROFILE).parent
    glossary = (folder / cards.GLOSSARY).read_text(encoding="utf-8")
    assert f'href="{cards.GLOSSARY}"' in (folder / "index.html").read_text(encoding="utf-8")
    linked = set()
    for notebook in (REPOSITORY / "notebooks").glob("[01]*.ipynb"):
        linked |= set(re.findall(r"docs/glossary\.md#([\w-]+)", notebook.read_text(encoding="utf-8")))
    assert len(linked) > 5
    assert [term for term in linked if f'id="{term}"' not in glossary] == []
    written = '<h1>A</h1><p><a href="../docs/glossary.md#drift">drift</a></p>'
    body = cells.finish(written, title="", where="a notebook", pages={})
    assert f'<a href="{cards.GLOSSARY}#drift">drift</a>' in body.html


def test_the_code_of_the_data_card_reads_the_index(tmp_path: Path):
    index = pd.DataFrame({"part": ["train", "train", "test"], "label": ["a", "b", "a"]})
    index.to_parquet(tmp_path / "index.parquet")
    code = re.search(r"```python\n(.*?)```", cards.data_card(CARD, [], str(tmp_path)), re.DOTALL).group(1)
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert re.search(r"train +a +1\n +b +1", printed)


def test_a_run_without_cards_has_no_pages_of_them(finished: Path, tmp_path: Path, monkeypatch):
    FakeRun.copied(finished, tmp_path, monkeypatch)
    assert cards.markdown(collect.collect(DATASET, PROFILE)) == {}
