"""Prepares an executed notebook for its page: says what each cell does, describes parameters, and takes out what is large."""

import ast
import base64
import io
import re
from collections.abc import Mapping
from typing import Any

from markupsafe import escape

from helpers.errors import OsemnError
from helpers.series.notebook_cells import literals

PARAMETERS, INJECTED = "parameters", "injected-parameters"
IMAGES = ("image/png", "image/jpeg", "image/webp")
IMAGES_LIMIT = 2_800_000  # characters on a page: a larger page than three megabytes opens slowly on a phone
_MARK = "taken-out-of-this-page-{}."
_ROLES = {PARAMETERS: "parameters", INJECTED: "values that were set for this run"}
_STARTS_RUN = "Run.start("
_EVERYWHERE = ("run.path", "run.input")  # they say nothing about a cell
_MOST_CALLS = 3  # as many as fit into a line
_COMMENT = re.compile(r"^(?P<name>\w+)\s*(:[^=]+)?=[^#]*#\s*(?P<meaning>.+)$")


def describe_cells(notebook: Any) -> None:
    """Give each cell `metadata.report` for the template: number, role, what it does, and whether its outputs are folded, too."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    known = {"run"}.union(*(_imported(_parsed(cell.source)) for cell in code))
    for number, cell in enumerate(notebook.cells):
        cell.metadata["report"] = {"number": number}
    for cell in code:
        tags = cell.metadata.get("tags", [])
        role = next((tag for tag in (INJECTED, PARAMETERS) if tag in tags), "")
        literal = [_show_literal(output) for output in cell.outputs]
        cell.metadata.report |= {
            "role": role,
            "does": _ROLES.get(role) or _what_it_does(cell.source, known),
            "folded": bool(role or (literal and all(literal))) or _STARTS_RUN in cell.source,
        }
    injected = [cell.source for cell in code if cell.metadata.report.role == INJECTED]
    for cell in code:
        if cell.metadata.report.role == PARAMETERS:
            cell.metadata.report.parameters = _parameters(cell.source, injected)


def _show_literal(output: Any) -> bool:
    """Return True if an output is only a Python literal; one of names with values becomes a list, which is for readers."""
    if set(output.get("data", {})) != {"text/plain"}:
        return False
    try:
        value = ast.literal_eval(output.data["text/plain"])
    except (SyntaxError, ValueError):
        return False
    if not isinstance(value, dict):
        return not isinstance(value, str)
    rows = (f"<dt>{escape(name)}</dt><dd>{escape(item)}</dd>" for name, item in value.items())
    output.data["text/html"] = f"<dl>{''.join(rows)}</dl>"
    return False


def _parsed(source: str) -> ast.Module:
    """Return the code of a cell; an empty module where it is not plain Python."""
    try:
        return ast.parse(source)
    except SyntaxError:
        return ast.Module([], [])


def _imported(tree: ast.Module) -> set[str]:
    """Return the names that code imports from the package."""
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    ours = [node for node in imports if (node.module or "").startswith("helpers")]
    return {alias.asname or alias.name for node in ours for alias in node.names}


def _what_it_does(source: str, known: set[str]) -> str:
    """Return a cell's first comment, or which functions of the package it calls; empty where it calls none."""
    first = source.partition("\n")[0]
    if first.startswith("#") and "NBVAL" not in first:
        return first.lstrip("# ")
    tree = _parsed(source)
    if tree.body and all(isinstance(node, ast.Import | ast.ImportFrom) for node in tree.body):
        return "imports"
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [call for call in dict.fromkeys(calls) if call not in _EVERYWHERE and "(" not in call]
    ours = [call for call in named if call.partition(".")[0] in known]
    return ", ".join(ours[:_MOST_CALLS]) + (" …" if len(ours) > _MOST_CALLS else "")


def _parameters(source: str, injected: list[str]) -> list[dict[str, Any]]:
    """Return name, value, default and meaning of each parameter; empty where the cell holds other code."""
    try:
        defaults = literals(source, "the notebook")
        values = defaults | {
            name: value for text in injected for name, value in literals(text, "the run").items()
        }
    except (OsemnError, SyntaxError, ValueError):
        return []
    comments = [match for line in source.splitlines() if (match := _COMMENT.match(line))]
    meanings = {comment["name"]: comment["meaning"] for comment in comments}
    return [
        {
            "name": name,
            "value": repr(values[name]),
            "default": repr(default) if values[name] != default else "",
            "meaning": meanings.get(name, ""),
        }
        for name, default in defaults.items()
    ]


def take_out(notebook: Any) -> dict[str, str]:
    """Replace images and code by short marks; return base64 and highlighted code by mark, for `put_back`.

    Both would be parsed several times on the way to the page, and are most of it. PNG images become WebP where all of them are
    too large together.
    """
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    lexer, formatter, taken = PythonLexer(), HtmlFormatter(), {}
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [output for cell in code for output in cell.outputs if "data" in output]
    size = sum(len(output.data.get(kind, "")) for output in outputs for kind in IMAGES)
    for cell in code:
        cell.metadata.report["code"] = mark = _MARK.format(len(taken))
        taken[mark] = highlight(cell.source, lexer, formatter)
    for output in outputs:
        if size > IMAGES_LIMIT and "image/png" in output.data:
            _shrink(output)
        for kind in IMAGES:
            if kind in output.data:
                mark = _MARK.format(len(taken))
                taken[mark], output.data[kind] = output.data[kind].strip(), mark
    return taken


def put_back(html: str, taken: Mapping[str, str]) -> str:
    """Return a page with what `take_out` took out of the notebook."""
    return re.sub(_MARK.format(r"\d+"), lambda mark: taken.get(mark[0], mark[0]), html)


def _shrink(output: Any) -> None:
    """Replace a PNG image by WebP if that is smaller."""
    png = output.data["image/png"]
    webp = as_webp(base64.b64decode(png))
    if len(webp) < len(png):
        output.data["image/webp"] = webp
        output.metadata["image/webp"] = output.metadata.get("image/png", {})
        del output.data["image/png"]


def as_webp(png: bytes) -> str:
    """Return a PNG image as WebP of high quality, base64."""
    from PIL import Image

    stream = io.BytesIO()
    # quality 85: no visible artefacts on plots
    Image.open(io.BytesIO(png)).convert("RGB").save(stream, "WEBP", quality=85, method=4)
    return base64.b64encode(stream.getvalue()).decode()
