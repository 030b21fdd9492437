"""Turns executed notebooks into pages: nbconvert renders the cells, our own layout goes around them."""

import base64
import hashlib
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from helpers import paths
from helpers.report import collect
from helpers.report.html import cells
from helpers.report.html import notebook as outputs

if TYPE_CHECKING:
    from nbconvert.exporters.html import HTMLExporter

PRIORITY = [
    "text/html",
    "text/markdown",
    "image/png",
    "image/jpeg",
    "image/webp",
    "image/svg+xml",
    "text/plain",
]
PAGE_LIMIT = 3_000_000


class Renderer:
    """Renders the pages of one series; holds the templates, the style and the script."""

    def __init__(self, series: collect.Series) -> None:
        """Load the templates."""
        self.series = series
        folder = collect.template_folder()
        self.css = (folder / "report.css").read_text(encoding="utf-8")
        self.js = (folder / "report.js").read_text(encoding="utf-8")
        self.environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(folder),
            autoescape=jinja2.select_autoescape(default=True, default_for_string=True),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.filters.update(clock=clock, moment=moment)
        self.exporter = _exporter(folder)

    def page(self, template: str, **context: Any) -> str:
        """Return a whole page made from one of the layouts."""
        return self.environment.get_template(template).render(
            series=self.series,
            css=Markup(self.css),
            js=Markup(self.js),
            js_hash=_script_hash(self.js),
            **context,
        )

    def notebook(self, record: collect.Record) -> str:
        """Return the page of one executed notebook.

        Raises:
            OsemnError: an image has no alt text or lies outside of the notebook.
        """
        import nbformat

        where = paths.shown(record.folder / collect.NOTEBOOK)
        notebook = outputs.prepare(nbformat.read(record.folder / collect.NOTEBOOK, as_version=4), where)
        page = self._notebook_page(record, notebook, where)
        if len(page.encode()) > PAGE_LIMIT:
            page = self._notebook_page(record, outputs.shrink_images(notebook), where)
        return page

    def _notebook_page(self, record: collect.Record, notebook: Any, where: str) -> str:
        rendered, _ = self.exporter.from_notebook_node(notebook)
        # a link to a notebook that is run for each candidate leads to the page of the same candidate, or the first
        pages = {other.stage.notebook: other.page for other in reversed(self.series.pages)}
        mine = [other for other in self.series.pages if other.stage.candidate == record.stage.candidate]
        pages.update((other.stage.notebook, other.page) for other in mine)
        body = cells.finish(rendered, title=record.stage.title, where=where, pages=pages)
        names = [other.stage.name for other in self.series.pages]
        position = names.index(record.stage.name)
        return self.page(
            "notebook_page.html.j2",
            title=body.title,
            body=Markup(body.html),
            contents=(*body.contents, cells.Heading(2, "provenance", "How this page was made")),
            record=record,
            previous=self.series.pages[position - 1] if position else None,
            following=self.series.pages[position + 1] if position + 1 < len(names) else None,
        )


def _exporter(folder: Path) -> "HTMLExporter":
    """Return an exporter that knows our cell template and nothing of the network."""
    from nbconvert.exporters.html import HTMLExporter
    from traitlets.config import Config

    configuration = Config()
    configuration.NbConvertBase.display_data_priority = PRIORITY
    return HTMLExporter(
        config=configuration,
        extra_template_basedirs=[str(folder.parent)],
        template_name=folder.name,
        template_file="cells.html.j2",
        exclude_anchor_links=True,
    )


def _script_hash(script: str) -> str:
    """Return the hash by which a content security policy allows one inline script and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def clock(seconds: float | None) -> str:
    """Return seconds as people say them: `0.4 s`, `12 s`, `3 min 20 s`."""
    if seconds is None:
        return "–"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def moment(iso: str | None) -> str:
    """Return an ISO time as `2025-01-31 09:30 UTC`."""
    if not iso:
        return "–"
    found = datetime.fromisoformat(iso)
    return re.sub(r"\+00:?00$", "UTC", found.strftime("%Y-%m-%d %H:%M %Z")).strip()
