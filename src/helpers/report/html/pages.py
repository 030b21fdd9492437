"""Turns executed notebooks into pages: nbconvert renders the cells, our layout surrounds them."""

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from helpers import paths
from helpers.report import collect
from helpers.report.html import cells, notebook
from helpers.wording import capital, duration, interval, microseconds, moment, percent, points

if TYPE_CHECKING:
    from nbconvert.exporters.html import HTMLExporter

PRIORITY = ["text/html", "text/markdown", *notebook.IMAGES, "image/svg+xml", "text/plain"]


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
        words = (percent, interval, duration, microseconds, moment, capital, points)
        self.environment.globals |= {
            **{word.__name__: word for word in words},
            "series": series,
            "css": Markup((folder / "report.css").read_text(encoding="utf-8")),
            "js": Markup(js),
            "js_hash": script_hash(js),
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
        import nbformat

        place = record.folder / collect.NOTEBOOK
        content = nbformat.read(place, as_version=4)
        notebook.describe_cells(content)
        taken = notebook.take_out(content)
        rendered, _ = self.exporter.from_notebook_node(content)
        # a link to a notebook that runs for each candidate leads to the page of the same candidate, or the first
        pages = {other.stage.notebook: other.page for other in reversed(self.series.pages)}
        mine = [other for other in self.series.pages if other.stage.candidate == record.stage.candidate]
        pages.update((other.stage.notebook, other.page) for other in mine)
        body = cells.finish(rendered, title=record.stage.title, where=paths.shown(place), pages=pages)
        names = [other.stage.name for other in self.series.pages]
        position = names.index(record.stage.name)
        page = self.page(
            "notebook_page.html.j2",
            title=body.title,
            body=Markup(body.html),
            contents=(*body.contents, cells.Heading(2, "provenance", "How this page was generated")),
            record=record,
            previous=self.series.pages[position - 1] if position else None,
            following=self.series.pages[position + 1] if position + 1 < len(names) else None,
        )
        return notebook.put_back(page, taken)


def _exporter(folder: Path) -> "HTMLExporter":
    """Return an exporter with our cell template; it needs no network."""
    from nbconvert.exporters.html import HTMLExporter
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor
    from traitlets.config import Config

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
    exporter.register_preprocessor(CoalesceStreamsPreprocessor, enabled=True)
    return exporter


def script_hash(script: str) -> str:
    """Return the hash by which a content security policy allows one inline script and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
