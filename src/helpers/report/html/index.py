"""The index page: the decision on one screen, the map of the series, and folded parts with everything behind it."""

import base64
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from helpers import paths
from helpers.errors import OsemnError
from helpers.export import browser_page
from helpers.obtain import ledger
from helpers.report import collect, conclusions, evidence, provenance
from helpers.report.html import decision, pages
from helpers.report.html.notebook import as_webp
from helpers.report.models import series_metric
from helpers.report.regression import reference
from helpers.series import manifests

EXTRAS = {
    "explorer.html": "Explore every test image",
    "charts.html": "Charts with values, and prices to try",
    "model_card.html": "Model card",
    "data_card.html": "Data card",
    "glossary.html": "Glossary",
}
SMOKE = "smoke"  # the profile whose results mean nothing
SUMMARY_STAGE, SUMMARY = "12_report", "summary.json"
COST_FIGURES = ("12_report/figures/accuracy_against_cost.png", "04_baseline/figures/return_on_complexity.png")
VALUE_FIGURE = "12_report/figures/business_value.png"
LARGE = 128 * 1024  # bytes: a larger figure shows images, and is smaller as WebP; curves are not


@dataclass(frozen=True)
class PageFigure:
    """A figure to embed.

    Attributes:
        kind: its media type.
        data: the file as base64.
        alt: its alt text, from the file's description.
        width: its width in CSS pixels.
        source: the stage that drew it.
    """

    kind: str
    data: str
    alt: str
    width: int
    source: collect.Record


def render(renderer: pages.Renderer, changes: Any = None, beside: Collection[str] = ()) -> str:
    """Return the index page.

    Args:
        renderer: the renderer of the series.
        changes: the changes since the accepted run; None where none was accepted.
        beside: the names of the other files in the report's folder; those of pages that not every report has are linked.

    Raises:
        OsemnError: the figure of a stage has no description.
    """
    series = renderer.series
    last = series.by_name[SUMMARY_STAGE]
    summary = _summary(last, series.title)
    cost_figures = (load_figure(series, place) for place in COST_FIGURES)
    metrics = {record.stage.name: record.metrics for record in series.records if record.intact}
    compared = summary["candidates"] and decision.forest(
        summary["candidates"], series_metric(metrics), decision.references(series)
    )
    exhibits = [
        (one, series.by_name[one.stage], load_figure(series, one.figure)) for one in evidence.exhibits(series)
    ]
    said = {summary["why"], *(one.text for one, _, _ in exhibits)}  # nothing is printed twice
    context: dict[str, Any] = {
        "summary": summary,
        "smoke": series.profile == SMOKE,
        "quick_command": manifests.command(series.dataset, "quick"),
        "forest": compared,
        "series_map": decision.series_map(series),
        "reads": decision.reads,
        "value_figure": load_figure(series, VALUE_FIGURE),
        "last": last,
        "extras": [(name, words) for name, words in EXTRAS.items() if name in beside],
        "demo": browser_page.NAME if browser_page.NAME in beside else "",
        "changes": changes,
        "cost_figure": next((drawn for drawn in cost_figures if drawn is not None), None),
        "exhibits": exhibits,
        "questions": [entry for entry in summary["questions"] if entry[1] not in said],
        "also": [entry for entry in summary["also"] if entry["text"] not in said],
        "lessons": [
            (
                lesson,
                [text for text in lesson["texts"] if text not in said],
                load_figure(series, lesson["figure"]),
            )
            for lesson in summary["post_mortem"]
        ],
        "sources": {record.metrics_shown: record for record in series.records},
        "unfinished": [record for record in series.records if record.state != collect.DONE],
        "total_seconds": sum(record.seconds or 0 for record in series.records),
        "facts": provenance.facts(series),
        "parameters": provenance.parameters(series),
        "openings": provenance.openings(series),
        "ledger_cannot_know": ledger.CANNOT_KNOW,
        "accept_command": reference.command(series.dataset, series.profile),
        "shown_folder": paths.shown(paths.run_folder(series.dataset, series.profile)),
    }
    return renderer.page("index.html.j2", title="Report", contents=(), **context)


def _summary(record: collect.Record, title: str) -> dict[str, Any]:
    """Return the summary that 12_report wrote; an empty one where it wrote none, or one of another schema."""
    if record.holds(SUMMARY):
        content = json.loads((record.folder / SUMMARY).read_text(encoding="utf-8"))
        if content.get("schema") == conclusions.SCHEMA:
            return content
    return conclusions.summarise({}, title)


def load_figure(series: collect.Series, place: str) -> PageFigure | None:
    """Return the figure at `<stage>/figures/<name>.png`, with its description as alt text; a large one as WebP.

    It is None where the place is empty, the stage left no such file, or the file is not a PNG.

    Raises:
        OsemnError: the file has no description.
    """
    from PIL import Image

    stage, _, name = place.partition("/figures/")
    if not name or not series.by_name[stage].holds(f"figures/{name}"):
        return None
    record = series.by_name[stage]
    file = record.folder / "figures" / name
    content = file.read_bytes()
    if not content.startswith(b"\x89PNG"):
        return None
    with Image.open(file) as image:
        alt = image.info.get("Description", "").strip()
        dots = image.info.get("dpi", (96, 96))[0]
        width = round(image.width * 96 / dots)
    if not alt:
        raise OsemnError(
            f"{paths.shown(file)} has no description.", "save it by run.show, with figures.with_alt"
        )
    if len(content) > LARGE:
        return PageFigure("image/webp", as_webp(content), alt, width, record)
    return PageFigure("image/png", base64.b64encode(content).decode(), alt, width, record)
