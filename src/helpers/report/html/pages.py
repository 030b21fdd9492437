"""Turns executed notebooks into pages: Markdown and outputs as HTML, in our layout."""

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

import jinja2
import mistune
from markupsafe import Markup

from helpers import paths
from helpers.report import collect
from helpers.report.html import cells, notebook
from helpers.wording import capital, duration, interval, microseconds, milliseconds, moment, percent, points


class Renderer:
    """Renders the pages of one series with the report's templates, style and script."""

    def __init__(self, series: collect.Series) -> None:
        """Load the templates."""
        self.series = series
        self.environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(collect.template_folder()),
            autoescape=jinja2.select_autoescape(default=True, default_for_string=True),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.filters["anchor"] = cells.slug
        words = (percent, interval, duration, microseconds, milliseconds, moment, capital, points)
        self.environment.globals |= {
            **{word.__name__: word for word in words},
            "series": series,
            "markdown": mistune.create_markdown(escape=False, plugins=["table", "strikethrough"]),
        }

    def page(
        self,
        template: str,
        *,
        scripts: Sequence[str] = ("report.js",),
        style: Sequence[str] = (),
        **context: Any,
    ) -> str:
        """Return a complete page from one of the layouts, with scripts and further styles from the folder of the templates."""
        js, css = (
            "\n".join((collect.template_folder() / name).read_text(encoding="utf-8") for name in names)
            for names in (scripts, ("report.css", *style))
        )
        # the hash by which the content security policy allows this script and no other
        js_hash = "sha256-" + base64.b64encode(hashlib.sha256(js.encode()).digest()).decode()
        inside = {"css": Markup(css), "js": Markup(js), "js_hash": js_hash}
        return self.environment.get_template(template).render(context, **inside)

    def notebook(self, record: collect.Record) -> str:
        """Return the page of one executed notebook, with smaller images where it would be too large.

        Raises:
            OsemnError: an image has no alt text or is not embedded in the notebook.
        """
        place = record.folder / collect.NOTEBOOK
        described = notebook.read(place)
        taken = notebook.take_out(described)
        cell_template = self.environment.get_template("cells.html.j2")
        rendered = cell_template.render(cells=described, images=notebook.IMAGES)
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
