"""Reads an executed notebook for its page: what each cell does, its parameters and outputs; what is large is taken out meanwhile."""

import ast
import base64
import functools
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.errors import OsemnError
from helpers.series.notebook_cells import literals

PARAMETERS, INJECTED, TRY_IT = "parameters", "injected-parameters", "try-it"
IMAGES = ("image/png", "image/jpeg", "image/webp")
KINDS = ("text/html", "text/markdown", *IMAGES, "text/plain")
"""The forms of an output that a page shows, best first."""
IMAGES_LIMIT = 2_800_000  # characters on a page: a larger page than three megabytes opens slowly on a phone
_MARK = "taken-out-of-this-page-{}."
_ROLES = {PARAMETERS: "parameters", INJECTED: "values that were set for this run"}
_STARTS_RUN = "Run.start("
_EVERYWHERE = ("run.path", "run.input")  # they say nothing about a cell
_MOST_CALLS = 3  # as many as fit into a line
_COMMENT = re.compile(r"^(?P<name>\w+)\s*(:[^=]+)?=[^#]*#\s*(?P<meaning>.+)$")


def read(path: Path) -> list[dict[str, Any]]:
    """Return the cells of a notebook (nbformat 4), for `cells.html.j2`.

    What a reader may try in the notebook has no result to report, and is left out. Each has its number, type and source; a code cell also its role, what it does, its parameters, its outputs, and whether these
    are folded with the code.
    """
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    known = {"run"}.union(*(_imported(_parsed(source)) for source in code))
    described = []
    for number, cell in enumerate(cells):
        if TRY_IT in cell["metadata"].get("tags", []):
            continue
        source = "".join(cell["source"])
        one = {
            "number": number,
            "type": cell["cell_type"],
            "source": source,
            "lines": len(source.splitlines()),
        }
        described.append(one | (_describe(cell, source, known) if cell["cell_type"] == "code" else {}))
    injected = [one["source"] for one in described if one.get("role") == INJECTED]
    for one in described:
        one["parameters"] = _parameters(one["source"], injected) if one.get("role") == PARAMETERS else []
    return described


def _describe(cell: dict[str, Any], source: str, known: set[str]) -> dict[str, Any]:
    tags = cell["metadata"].get("tags", [])
    role = next((tag for tag in (INJECTED, PARAMETERS) if tag in tags), "")
    outputs = [_output(output) for output in _join_streams(cell["outputs"])]
    literal = bool(outputs) and all(output["kind"] == "literal" for output in outputs)
    return {
        "role": role,
        "does": _ROLES.get(role) or _what_it_does(source, known),
        "outputs": outputs,
        "folded": bool(role) or literal or _STARTS_RUN in source,
    }


def _join_streams(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return outputs with each stream in one piece: a notebook holds it as it was flushed."""
    joined: list[dict[str, Any]] = []
    for output in outputs:
        if output["output_type"] == "stream":
            text = "".join(output["text"])
            if joined and joined[-1].get("name") == output["name"]:
                joined[-1]["text"] += text
                continue
            output = {**output, "text": text}
        joined.append(output)
    return joined


def _output(output: dict[str, Any]) -> dict[str, Any]:
    """Return an output's kind, its content, and for an image alt text and width."""
    if output["output_type"] == "stream":
        # a carriage return starts the line again, as a progress bar does
        return {
            "kind": output["name"],
            "content": _plain(re.sub(r"[^\n]*\r(?!\n)", "", output["text"])).strip("\n"),
        }
    if output["output_type"] == "error":
        return {"kind": "error", "content": _plain("\n".join(output["traceback"]))}
    data = {
        kind: "".join(content) for kind, content in output["data"].items() if isinstance(content, str | list)
    }
    kind = next((kind for kind in KINDS if kind in data), "")
    if kind in IMAGES:
        about = output["metadata"].get(kind, {})
        return {
            "kind": kind,
            "content": data[kind].strip(),
            "alt": about.get("alt", ""),
            "width": about.get("width"),
        }
    content = data.get(kind, "")
    return _literal(_plain(content)) if kind == "text/plain" else {"kind": kind, "content": content}


def _plain(text: str) -> str:
    """Return a text without a terminal's colours."""
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)


def _literal(text: str) -> dict[str, Any]:
    """Return a text as an output: names with values become a list, which is for readers; other bare values are marked."""
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        value = ""
    if isinstance(value, dict):
        return {"kind": "list", "content": value}
    return {"kind": "text/plain" if isinstance(value, str) else "literal", "content": text}


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


def take_out(described: list[dict[str, Any]]) -> dict[str, str]:
    """Replace images and code by short marks; return base64 and highlighted code by mark, for `put_back`.

    Both would be parsed on the way to the page, and are most of it. PNG images become WebP where all of them are too large together.
    """
    taken: dict[str, str] = {}
    code = [one for one in described if one["type"] == "code"]
    images = [output for one in code for output in one["outputs"] if output["kind"] in IMAGES]
    if sum(len(image["content"]) for image in images) > IMAGES_LIMIT:
        for image in images:
            _shrink(image)
    for one in code:
        one["code"] = mark = _MARK.format(len(taken))
        taken[mark] = _highlighted(one["source"])
    for image in images:
        mark = _MARK.format(len(taken))
        taken[mark], image["content"] = image["content"], mark
    return taken


@functools.lru_cache(maxsize=512)  # the pages of all candidates have the same code
def _highlighted(source: str) -> str:
    from pygments import formatters, highlight, lexers

    return highlight(source, lexers.PythonLexer(), formatters.HtmlFormatter())


def put_back(html: str, taken: Mapping[str, str]) -> str:
    """Return a page with what `take_out` took out of the notebook."""
    return re.sub(_MARK.format(r"\d+"), lambda mark: taken.get(mark[0], mark[0]), html)


def _shrink(image: dict[str, Any]) -> None:
    """Replace a PNG image by WebP if that is smaller."""
    webp = as_webp(base64.b64decode(image["content"])) if image["kind"] == "image/png" else image["content"]
    if len(webp) < len(image["content"]):
        image |= {"kind": "image/webp", "content": webp}


@functools.lru_cache(maxsize=16)  # a figure is on the first page and on that of its charts
def as_webp(png: bytes) -> str:
    """Return a PNG image as WebP of high quality, base64."""
    from PIL import Image

    stream = io.BytesIO()
    # quality 85: no visible artefacts on plots; method 2: half the time of the default, and 4% more bytes
    Image.open(io.BytesIO(png)).convert("RGB").save(stream, "WEBP", quality=85, method=2)
    return base64.b64encode(stream.getvalue()).decode()
