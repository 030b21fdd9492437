"""The index page: summary, conclusions, evidence, business value, post-mortem, changes, provenance."""

import base64
import json
from dataclasses import dataclass
from typing import Any

from helpers import paths
from helpers.errors import OsemnError
from helpers.report import collect, conclusions, evidence, provenance
from helpers.report.html import pages
from helpers.report.html.cells import Heading
from helpers.report.html.notebook import as_webp
from helpers.report.regression import reference

SUMMARY_STAGE, SUMMARY = "12_report", "summary.json"
COST_FIGURES = ("12_report/figures/accuracy_against_cost.png", "04_baseline/figures/return_on_complexity.png")
VALUE_FIGURE = "12_report/figures/business_value.png"
TALL = 1.5  # height over width from which a figure scrolls in its own box


@dataclass(frozen=True)
class PageFigure:
    """A figure to embed.

    Attributes:
        kind: its media type.
        data: the file as base64.
        alt: its alt text, from the file's description.
        width: its width in CSS pixels.
        tall: True if it is much higher than wide, and so scrolls in its own box.
        source: the stage that drew it.
    """

    kind: str
    data: str
    alt: str
    width: int
    tall: bool
    source: collect.Record


def render(renderer: pages.Renderer, demo: str = "", changes: Any = None) -> str:
    """Return the index page.

    Args:
        renderer: the renderer of the series.
        demo: the name of the demo page; empty for none.
        changes: the changes since the accepted run; None where none was accepted.

    Raises:
        OsemnError: the figure of a stage has no description.
    """
    series = renderer.series
    last = series.by_name[SUMMARY_STAGE]
    summary = _summary(last, series.title)
    cost_figures = (load_figure(series, place) for place in COST_FIGURES)
    context: dict[str, Any] = {
        "summary": summary,
        "value_figure": load_figure(series, VALUE_FIGURE),
        "last": last,
        "demo": demo,
        "changes": changes,
        "cost_figure": next((drawn for drawn in cost_figures if drawn is not None), None),
        "exhibits": [
            (one, series.by_name[one.stage], load_figure(series, one.figure))
            for one in evidence.exhibits(series)
        ],
        "lessons": [(lesson, load_figure(series, lesson["figure"])) for lesson in summary["post_mortem"]],
        "sources": {record.metrics_shown: record for record in series.records},
        "unfinished": [record for record in series.records if record.state != collect.DONE],
        "total_seconds": sum(record.seconds or 0 for record in series.records),
        "facts": provenance.facts(series),
        "finished": provenance.finished(series),
        "parameters": provenance.parameters(series),
        "openings": provenance.openings(series),
        "accept_command": reference.command(series.dataset, series.profile),
        "shown_folder": paths.shown(paths.run_folder(series.dataset, series.profile)),
    }
    return renderer.page("index.html.j2", title="Report", contents=_contents(context), **context)


def _contents(context: dict[str, Any]) -> list[Heading]:
    summary = context["summary"]
    entries = [
        ("summary", "Summary", True),
        ("conclusions", "Conclusions", summary["best_model"]),
        ("evidence", "Evidence", context["exhibits"] or summary["data"]),
        ("value", "Business value", summary["business"]),
        ("post-mortem", "Post-mortem and limits", context["lessons"]),
        ("changes", "Changes since the accepted run", context["changes"] is not None or summary["lead"]),
        ("provenance", "Provenance", True),
    ]
    return [Heading(2, anchor, text) for anchor, text, shown in entries if shown]


def _summary(record: collect.Record, title: str) -> dict[str, Any]:
    """Return the summary that 12_report wrote; an empty one where it wrote none, or one of another schema."""
    if record.holds(SUMMARY):
        content = json.loads((record.folder / SUMMARY).read_text(encoding="utf-8"))
        if content.get("schema") == conclusions.SCHEMA:
            return content
    return conclusions.summarise({}, title)


def load_figure(series: collect.Series, place: str) -> PageFigure | None:
    """Return the figure at `<stage>/figures/<name>.png`, with its description as alt text, as WebP where that is smaller.

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
        alt = image.text.get("Description", "").strip()
        dots = image.info.get("dpi", (96, 96))[0]
        width, tall = round(image.width * 96 / dots), image.height > TALL * image.width
    if not alt:
        raise OsemnError(
            f"{paths.shown(file)} has no description.", "save it by run.show, with figures.with_alt"
        )
    png, webp = base64.b64encode(content).decode(), as_webp(content)
    kind, data = ("image/webp", webp) if len(webp) < len(png) else ("image/png", png)
    return PageFigure(kind, data, alt, width, tall, record)
