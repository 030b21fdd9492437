"""Model card and data card: Markdown with a head of metadata, as the Hugging Face hub reads it; their pages, and the glossary's."""

import json
from typing import Any

import jinja2
import mistune
import yaml
from markupsafe import Markup

from helpers import paths, wording
from helpers.report import collect
from helpers.report.data_facts import ACQUIRE
from helpers.report.html import cells, pages
from helpers.report.models import EXPORT
from helpers.series import conclusions

MODEL_CARD, DATA_CARD = "model_card", "data_card"
GLOSSARY = "glossary.html"
TITLES = {MODEL_CARD: "Model card", DATA_CARD: "Data card"}
SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
"""The size categories of data sets on the Hugging Face hub, by their upper bounds."""


def markdown(series: collect.Series) -> dict[str, str]:
    """Return the cards that the stages' files allow, as Markdown by name."""
    cards = {}
    exported, acquired = series.by_name[EXPORT], series.by_name[ACQUIRE]
    if exported.holds(f"{MODEL_CARD}.md"):
        cards[MODEL_CARD] = (exported.folder / f"{MODEL_CARD}.md").read_text(encoding="utf-8")
    if acquired.holds(f"{DATA_CARD}.json"):
        card = json.loads((acquired.folder / f"{DATA_CARD}.json").read_text(encoding="utf-8"))
        concluded = [one.text for one in conclusions.read(acquired.metrics).values()]
        cards[DATA_CARD] = data_card(card, concluded, paths.shown(acquired.folder))
    return cards


def data_card(card: dict[str, Any], concluded: list[str], folder: str) -> str:
    """Return a data card as Markdown, with the metadata of a data set on the Hugging Face hub.

    Args:
        card: the content of `data_card.json`.
        concluded: the conclusions of 01_acquire.
        folder: where its index lies, as a reader would name it.

    Source: https://huggingface.co/docs/hub/datasets-cards
    """
    count = sum(card["counts"].values())
    head = {
        "pretty_name": card["title"],
        "license": "other",
        "license_name": card["licence"],
        "task_categories": ["image-classification"],
        "size_categories": [next((name for most, name in SIZES.items() if count < most), "n>1M")],
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(collect.template_folder()),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["plain"] = wording.escape_markdown
    body = environment.get_template("data_card.md.j2").render(card=card, concluded=concluded, folder=folder)
    return f"---\n{yaml.safe_dump(head, allow_unicode=True, sort_keys=False)}---\n{body}"


def page(renderer: pages.Renderer, name: str, text: str) -> str:
    """Return the page of one card.

    Args:
        renderer: the renderer of the series.
        name: of the card.
        text: from `markdown`.
    """
    head, _, body = (
        text.removeprefix("---\n").partition("\n---\n") if text.startswith("---") else ("", "", text)
    )
    return _page(renderer, TITLES[name], body, head=head, file=f"{name}.md")


def glossary(renderer: pages.Renderer) -> str:
    """Return the page of the glossary."""
    text = collect.glossary_file().read_text(encoding="utf-8")
    return _page(renderer, "Glossary", text.replace("\n### ", "\n## "), head="", file="")


def _page(renderer: pages.Renderer, title: str, body: str, *, head: str, file: str) -> str:
    rendered = mistune.create_markdown(escape=True, plugins=["table"])(body)
    dressed = cells.finish(rendered, title=title, where=paths.shown(paths.project_root()), pages={})
    return renderer.page(
        "card.html.j2",
        title=title,
        body=Markup(dressed.html),
        contents=dressed.contents,
        head=head,
        file=file,
    )
