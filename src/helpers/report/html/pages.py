"""Turns executed notebooks into pages: nbconvert renders the cells, our layout surrounds them."""

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from helpers import paths
from helpers.report import collect
from helpers.report.html import cells
from helpers.wording import capital, duration, interval, microseconds, moment, percent

if TYPE_CHECKING:
    from nbconvert.exporters.html import HTMLExporter

IMAGES = ["image/png", "image/jpeg", "image/webp", "image/svg+xml"]
PRIORITY = ["text/html", "text/markdown", *IMAGES, "text/plain"]
PAGE_LIMIT = 3_000_000  # bytes: a larger page opens slowly on a phone


class Renderer:
    """Renders the pages of one series with the report's templates, style and script."""

    def __init__(self, series: collect.Series) -> None:
        """Load the templates."""
        self.series = series
        self.folder = folder = collect.template_folder()
        js = (folder / "report.js").read_text(encoding="utf-8")
        self.environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(folder),
            autoescape=jinja2.select_autoescape(default=True, default_for_string=True),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        words = (percent, interval, duration, microseconds, moment, capital)
        self.environment.globals |= {
            **{word.__name__: word for word in words},
            "series": series,
            "css": Markup((folder / "report.css").read_text(encoding="utf-8")),
            "js": Markup(js),
            "js_hash": _script_hash(js),
        }
        self.exporter = _exporter(folder)

    def page(self, template: str, **context: Any) -> str:
        """Return a complete page from one of the layouts."""
        return self.environment.get_template(template).render(context)

    def notebook(self, record: collect.Record) -> str:
        """Return the page of one executed notebook, with smaller images where it would be too large.

        Raises:
            OsemnError: an image has no alt text or is not embedded in the notebook.
        """
        page = self._notebook_page(record, self.exporter)
        if len(page.encode()) > PAGE_LIMIT:
            page = self._notebook_page(record, _exporter(self.folder, shrink=True))
        return page

    def _notebook_page(self, record: collect.Record, exporter: "HTMLExporter") -> str:
        notebook = record.folder / collect.NOTEBOOK
        rendered, _ = exporter.from_filename(str(notebook))
        # a link to a notebook that runs for each candidate leads to the page of the same candidate, or the first
        pages = {other.stage.notebook: other.page for other in reversed(self.series.pages)}
        mine = [other for other in self.series.pages if other.stage.candidate == record.stage.candidate]
        pages.update((other.stage.notebook, other.page) for other in mine)
        body = cells.finish(rendered, title=record.stage.title, where=paths.shown(notebook), pages=pages)
        names = [other.stage.name for other in self.series.pages]
        position = names.index(record.stage.name)
        return self.page(
            "notebook_page.html.j2",
            title=body.title,
            body=Markup(body.html),
            contents=(*body.contents, cells.Heading(2, "provenance", "How this page was generated")),
            record=record,
            previous=self.series.pages[position - 1] if position else None,
            following=self.series.pages[position + 1] if position + 1 < len(names) else None,
        )


def _exporter(folder: Path, *, shrink: bool = False) -> "HTMLExporter":
    """Return an exporter with our cell template and preprocessors; it needs no network."""
    from nbconvert.exporters.html import HTMLExporter
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor
    from traitlets.config import Config

    from helpers.report.html import notebook

    configuration = Config()
    configuration.NbConvertBase.display_data_priority = PRIORITY
    # what a reader may try in the notebook has no result to report
    configuration.TagRemovePreprocessor.update(enabled=True, remove_cell_tags={"try-it"})
    exporter = HTMLExporter(
        config=configuration,
        extra_template_basedirs=[str(folder.parent)],
        template_name=folder.name,
        template_file="cells.html.j2",
        exclude_anchor_links=True,
    )
    for step in (CoalesceStreamsPreprocessor, notebook.DescribeCells):
        exporter.register_preprocessor(step, enabled=True)
    exporter.register_preprocessor(notebook.ShrinkImages, enabled=shrink)
    return exporter


def _script_hash(script: str) -> str:
    """Return the hash by which a content security policy allows one inline script and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
