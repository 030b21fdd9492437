"""The committed sample report, and the tool that writes it."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import keep_sample
import numpy as np
import pytest
from PIL import Image

from conftest import REPOSITORY
from helpers.errors import OsemnError
from helpers.export import browser_page

SAMPLE = REPOSITORY / "reports" / "sample"


def slope(side: int = 200) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 3, (side, side, 3))
    return (np.linspace(20, 230, side)[:, None, None] + noise).astype(np.uint8)


def embedded_png() -> str:
    stream = io.BytesIO()
    Image.fromarray(slope()).save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


@pytest.fixture
def report(tmp_path: Path) -> Path:
    folder = tmp_path / "report"
    (folder / "metrics").mkdir(parents=True)
    (folder / "metrics" / "a.json").write_text("{}")
    page = f'<p>Text</p><img src="{embedded_png()}" alt="a slope"><a href="metrics/a.json">a</a>'
    (folder / "index.html").write_text(page)
    return folder


def test_images_become_smaller_and_all_else_stays(report, tmp_path):
    sample = tmp_path / "sample"
    size = keep_sample.keep(report, sample)
    before, after = ((folder / "index.html").read_text() for folder in (report, sample))
    image = re.search(r"data:image/webp;base64,([^\"]+)", after)
    with Image.open(io.BytesIO(base64.b64decode(image[1]))) as webp:
        assert webp.format == "WEBP"
        assert webp.size == (200, 200)  # the first setting was enough
        assert np.abs(np.asarray(webp.convert("RGB"), int) - slope()).mean() < 4
    assert len(after) < len(before)
    assert after.replace(image[0], "") == before.replace(embedded_png(), "")
    assert size == sum(file.stat().st_size for file in sample.rglob("*") if file.is_file())


def test_sample_that_would_be_too_large_leaves_the_earlier_one(report, tmp_path, monkeypatch):
    sample = tmp_path / "sample"
    keep_sample.keep(report, sample)
    (report / "index.html").write_text("longer" * 100)
    monkeypatch.setattr(keep_sample, "LIMIT", 500)
    with pytest.raises(OsemnError, match="limit"):
        keep_sample.keep(report, sample)
    assert "Text" in (sample / "index.html").read_text()
    assert [path.name for path in tmp_path.iterdir()].count("sample.partial") == 0


def test_a_demo_page_that_is_too_large_is_left_out_with_a_note(report, tmp_path):
    sample = tmp_path / "sample"
    sentence = '<p><a class="try" href="try_it.html">Try the champion</a> in your browser; nothing is sent. All took 3 min.</p>'
    (report / "index.html").write_text(sentence)
    (report / "report.json").write_text("{}")
    (report / browser_page.NAME).write_text("x" * keep_sample.DEMO_LIMIT)
    keep_sample.keep(report, sample)
    assert (sample / browser_page.NAME).read_text() == (report / browser_page.NAME).read_text()
    (report / browser_page.NAME).write_text("x" * 7_400_000)
    keep_sample.keep(report, sample)
    assert not (sample / browser_page.NAME).exists()
    assert not (sample / "report.json").exists()  # its hashes belong to the larger pages
    text = (sample / "index.html").read_text()
    assert Addresses(text).found == []
    assert "<code>osemn demo</code> by itself. All took 3 min." in text


class Addresses(HTMLParser):
    """The links and the loaded files of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attributes if name in ("href", "src")]


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="there is no sample in reports/sample")
def test_committed_sample_is_small_and_complete():
    files = [file for file in SAMPLE.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= keep_sample.LIMIT
    pages = [file for file in files if file.suffix == ".html"]
    assert SAMPLE / "index.html" in pages
    for page in pages:
        for address in Addresses(page.read_text(encoding="utf-8")).found:
            place = address.partition("#")[0]
            if place and not place.startswith(("data:", "blob:", "http")):
                assert (page.parent / place).is_file(), f"{page.name} names {place}"
