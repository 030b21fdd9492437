"""The index page: summary, findings, evidence, business value, post-mortem, changes, and where every number comes from."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers import paths, wording
from helpers.errors import OsemnError
from helpers.report import collect, conclusions, evaluated, evidence, models, provenance
from helpers.report.html import notebook, pages
from helpers.report.html.cells import Heading

SUMMARY_STAGE, SUMMARY = "12_report", "summary.json"
COST_FIGURES = (
    (SUMMARY_STAGE, "figures/accuracy_against_cost.png"),
    ("04_baseline", "figures/return_on_complexity.png"),
)
TALL = 1.5
VALUE_FIGURE = "figures/business_value.png"


@dataclass(frozen=True)
class PageFigure:
    """A figure to embed.

    Attributes:
        kind: its media type.
        data: the file as base64.
        alt: what it shows, from the file's own description.
        width: width to show it at, in CSS pixels.
        tall: whether it is much higher than wide, so that it scrolls in a box of its own.
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
        renderer: of the series.
        demo: the name of the page that tries the champion; empty for none.
        changes: what changed since the accepted run; None where none was accepted.

    Raises:
        OsemnError: the figure of a stage has no description.
    """
    series = renderer.series
    last = series.by_name[SUMMARY_STAGE]
    summary = _summary(last, series.title)
    context: dict[str, Any] = {
        "summary": summary,
        "business": summary.get("business"),
        "value_picture": picture(series, SUMMARY_STAGE, VALUE_FIGURE),
        "last": last,
        "demo": demo,
        "changes": changes,
        "models": [models.Model(**entry) for entry in summary["models"]],
        "tested": [evaluated.TestedModel(**entry) for entry in summary.get("tested", [])],
        "cost_picture": _first_picture(series),
        "exhibits": _exhibits(series),
        "lessons": _lessons(series, summary),
        "sources": {record.metrics_shown: record for record in series.records},
        "unfinished": [record for record in series.records if record.state != collect.DONE],
        "total_seconds": sum(record.seconds or 0 for record in series.records),
        "facts": provenance.facts(series),
        "finished": provenance.finished(series),
        "parameters": provenance.parameters(series),
        "openings": provenance.openings(series),
        "run_command": series.command,
        "accept_command": series.command.replace("osemn run", "osemn report") + " --accept",
        "shown_folder": paths.shown(paths.run_folder(series.dataset, series.profile)),
    }
    words = (wording.percent, wording.duration, wording.microseconds, wording.capital)
    context |= {word.__name__: word for word in words}
    return renderer.page("index.html.j2", title="Report", contents=_contents(context), **context)


def _contents(context: dict[str, Any]) -> list[Heading]:
    entries = [
        ("summary", "Summary", True),
        ("findings", "Findings", bool(context["summary"]["headline"])),
        ("evidence", "Evidence", bool(context["exhibits"] or context["summary"]["data"])),
        ("value", "Business value", bool(context["business"])),
        ("post-mortem", "Post-mortem and limits", bool(context["lessons"])),
        (
            "changes",
            "Changes since the accepted run",
            context["changes"] is not None or bool(context["summary"].get("lead")),
        ),
        ("provenance", "Provenance", True),
    ]
    return [Heading(2, anchor, text) for anchor, text, shown in entries if shown]


def _summary(record: collect.Record, title: str) -> dict[str, Any]:
    """Return what 12_report concluded; a summary of nothing where it did not."""
    nothing = conclusions.summary({}, title)
    if not record.holds(SUMMARY):
        return nothing
    try:
        found = json.loads((record.folder / SUMMARY).read_text(encoding="utf-8"))
    except ValueError:
        return nothing
    return found if isinstance(found, dict) and found.get("schema") == conclusions.SCHEMA else nothing


def _exhibits(series: collect.Series) -> list[tuple[evidence.Exhibit, collect.Record, PageFigure | None]]:
    return [
        (one, series.by_name[one.stage], picture(series, one.stage, one.figure) if one.figure else None)
        for one in evidence.exhibits(series)
    ]


def _lessons(
    series: collect.Series, summary: dict[str, Any]
) -> list[tuple[dict[str, Any], PageFigure | None]]:
    found = []
    for lesson in summary["post_mortem"]:
        stage, _, file = lesson["figure"].partition("/figures/")
        drawn = picture(series, stage, f"figures/{file}") if file else None
        found.append((lesson, drawn))
    return found


def _first_picture(series: collect.Series) -> PageFigure | None:
    """Return the figure of accuracy against cost, of the whole series where there is one."""
    drawn = (picture(series, stage, file) for stage, file in COST_FIGURES)
    return next((one for one in drawn if one is not None), None)


def picture(series: collect.Series, stage: str, file: str) -> PageFigure | None:
    """Return a figure of a stage, or None where it left none.

    Raises:
        OsemnError: the file does not say what it shows.
    """
    record = series.by_name[stage]
    return load_picture(record.folder / file, record) if record.holds(file) else None


def load_picture(file: Path, record: collect.Record) -> PageFigure | None:
    """Return a PNG file with the alt text that `Run.show` wrote into it, as WebP where that is smaller; None for other files.

    Raises:
        OsemnError: the file does not say what it shows.
    """
    from PIL import Image

    content = file.read_bytes()
    if not content.startswith(b"\x89PNG"):
        return None
    with Image.open(file) as image:
        alt = image.text.get("Description", "").strip()
        dots = image.info.get("dpi", (96, 96))[0]
        width, tall = round(image.width * 96 / dots), image.height > TALL * image.width
    if not alt:
        raise OsemnError(
            f"{paths.shown(file)} has no description.", "save it by run.show(figure, name, alt=…)"
        )
    kind, encoded = "image/png", base64.b64encode(content).decode()
    smaller = notebook.as_webp(content)
    if len(smaller) < len(encoded):
        kind, encoded = "image/webp", smaller
    return PageFigure(kind, encoded, alt, width, tall, record)
