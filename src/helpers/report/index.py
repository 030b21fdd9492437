"""The index page: conclusions first, then the evidence, the stages, and where every number comes from."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers import paths, wording
from helpers.errors import OsemnError
from helpers.report import collect, compared, evaluated, findings, pages
from helpers.report.offline import Heading

SUMMARY_STAGE, SUMMARY = "12_report", "summary.json"
FIGURE_STAGE, FIGURE = "04_baseline", "figures/return_on_complexity.png"


@dataclass(frozen=True)
class Picture:
    """A figure to embed.

    Attributes:
        data: the PNG file as base64.
        alt: what it shows, from the file's own description.
        width: width to show it at, in CSS pixels.
        source: the stage that drew it.
    """

    data: str
    alt: str
    width: int
    source: collect.Record


def render(renderer: pages.Renderer, demo: str = "") -> str:
    """Return the index page.

    Args:
        renderer: of the series.
        demo: the name of the page that tries the champion; empty for none.

    Raises:
        OsemnError: the figure of a stage has no description.
    """
    series = renderer.series
    last = series.by_name[SUMMARY_STAGE]
    summary = _summary(last, series.title)
    models = [compared.Model(**entry) for entry in summary["models"]]
    tested = [evaluated.Tested(**entry) for entry in summary.get("tested", [])]
    picture = _picture(series.by_name[FIGURE_STAGE])
    return renderer.page(
        "index.html.j2",
        title="Report",
        contents=_contents(summary, models, tested, picture),
        summary=summary,
        findings=[
            *summary["headline"][1:],
            *(item for item in summary["learned"][1:] if item not in summary["headline"]),
        ],
        last=last,
        demo=demo,
        models=models,
        tested=tested,
        best=models[0] if models else None,
        picture=picture,
        sources={record.metrics_shown: record for record in series.records},
        unfinished=[record for record in series.records if record.state != collect.DONE],
        total_seconds=sum(record.seconds or 0 for record in series.records),
        provenance=_provenance(series),
        run_command=series.command,
        shown_folder=paths.shown(paths.run_folder(series.dataset, series.profile)),
        percent=wording.percent,
        duration=wording.duration,
        microseconds=wording.microseconds,
        capital=wording.capital,
    )


def _contents(
    summary: dict[str, Any], models: list[Any], tested: list[Any], picture: Picture | None
) -> list[Heading]:
    entries = [
        ("conclusions", "Conclusions", True),
        ("complexity", "Return on complexity", picture is not None),
        ("tested", "On the test images", bool(tested)),
        ("models", "Models compared", bool(models)),
        ("data", "The data", bool(summary["data"])),
        ("stages", "Stages", True),
        ("provenance", "Provenance", True),
    ]
    return [Heading(2, anchor, text) for anchor, text, shown in entries if shown]


def _summary(record: collect.Record, title: str) -> dict[str, Any]:
    """Return what 12_report concluded; a summary of nothing where it did not."""
    nothing = findings.summary({}, title)
    if not record.holds(SUMMARY):
        return nothing
    try:
        found = json.loads((record.folder / SUMMARY).read_text(encoding="utf-8"))
    except ValueError:
        return nothing
    return found if isinstance(found, dict) and found.get("schema") == findings.SCHEMA else nothing


def _picture(record: collect.Record) -> Picture | None:
    """Return the figure of a stage, or None where it left none."""
    if not record.holds(FIGURE):
        return None
    return load_picture(record.folder / FIGURE, record)


def load_picture(file: Path, record: collect.Record) -> Picture | None:
    """Return a PNG file with the alt text that `Run.show` wrote into it; None where it is no picture.

    Raises:
        OsemnError: the file does not say what it shows.
    """
    from PIL import Image

    if not file.read_bytes().startswith(b"\x89PNG"):
        return None
    with Image.open(file) as image:
        alt = image.text.get("Description", "").strip()
        dots = image.info.get("dpi", (96, 96))[0]
        width = round(image.width * 96 / dots)
    if not alt:
        raise OsemnError(
            f"{paths.shown(file)} has no description.", "save it by run.show(figure, name, alt=…)"
        )
    return Picture(base64.b64encode(file.read_bytes()).decode(), alt, width, record)


def _provenance(series: collect.Series) -> list[tuple[str, str]]:
    """Return machine, versions, seeds and dates; values that differ between stages are all shown."""
    whole = [record.manifest for record in series.records if record.whole]
    versions = {f"{name} {version}" for manifest in whole for name, version in manifest["versions"].items()}
    seeds = sorted({str(manifest["seed"]) for manifest in whole})
    finished = sorted(manifest["finished"] for manifest in whole)
    return [
        (
            "Machine",
            "; ".join(sorted({f"{manifest['cpu']}, {manifest['cores']} cores" for manifest in whole})),
        ),
        ("Versions", ", ".join(sorted(versions))),
        ("Seed" if len(seeds) == 1 else "Seeds", ", ".join(seeds)),
        ("Finished", f"{pages.moment(finished[0])} to {pages.moment(finished[-1])}"),
    ]
