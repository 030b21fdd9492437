"""Prepares an executed notebook for rendering: quiet streams, named cells, images that say what they show."""

import ast
import base64
import io
import re
from html import escape
from typing import Any

from bs4 import BeautifulSoup

from helpers.errors import OsemnError

PARAMETERS, INJECTED = "parameters", "injected-parameters"
_ALT_REMEDY = "show figures by run.show(figure, name, alt=…), or give Image(…, alt=…) words for what it shows"
_COMMENT = re.compile(r"^(?P<name>\w+)\s*(:[^=]+)?=[^#]*#\s*(?P<meaning>.+)$")


def prepare(notebook: Any, where: str) -> Any:
    """Return the notebook, ready for the cell template; each cell carries `metadata.report`.

    Args:
        notebook: a `nbformat` notebook, changed in place.
        where: the notebook's path, for messages.

    Raises:
        OsemnError: an image has no alt text; the message names the notebook and the cell.
    """
    cells = notebook.cells
    for number, cell in enumerate(cells):
        cell.metadata["report"] = {
            "number": number,
            "role": _role(cell),
            "lines": len(cell.source.splitlines()),
        }
        if cell.cell_type == "markdown":
            _refuse_silent_tags(cell.source, number, where)
        if cell.cell_type != "code":
            continue
        cell.outputs = _merge_streams(cell.outputs)
        for output in cell.outputs:
            _refuse_silent_images(output, cell, number, where)
    _add_parameter_table(cells)
    return notebook


def _role(cell: Any) -> str:
    tags = cell.metadata.get("tags", []) if cell.cell_type == "code" else []
    return next((tag for tag in (INJECTED, PARAMETERS) if tag in tags), "")


def _merge_streams(outputs: list[Any]) -> list[Any]:
    """Join what one stream wrote in pieces, and keep only the last state of progress bars."""
    merged: list[Any] = []
    for output in outputs:
        if output.output_type == "stream":
            before = merged[-1] if merged else None
            if before is not None and before.output_type == "stream" and before.name == output.name:
                before.text += output.text
                continue
        merged.append(output)
    for output in merged:
        if output.output_type == "stream":
            output.text = last_states(output.text).strip("\n")
    return [output for output in merged if output.output_type != "stream" or output.text.strip()]


def last_states(text: str) -> str:
    """Return text as a terminal would leave it: a carriage return starts its line anew, a backspace erases."""
    text = text.replace("\r\n", "\n")
    while "\b" in text:
        text, before = re.sub(r"[^\b\n]\x08|^\x08|(?<=\n)\x08", "", text), text
        if text == before:
            text = text.replace("\b", "")
    lines = []
    for line in text.split("\n"):
        states = [state for state in line.split("\r") if state.strip()]
        lines.append(states[-1].rstrip() if states else "")
    return "\n".join(lines)


def _refuse_silent_images(output: Any, cell: Any, number: int, where: str) -> None:
    data = output.get("data", {})
    for kind in data:
        if kind.startswith("image/"):
            alt = output.metadata.get(kind, {}).get("alt") or cell.metadata.get("alt") or ""
            if not alt.strip():
                raise _silent(number, where)
            output.metadata["alt"] = alt
    for kind in ("text/html", "text/markdown"):
        _refuse_silent_tags(data.get(kind, ""), number, where)


def _refuse_silent_tags(source: str, number: int, where: str) -> None:
    """Look at written `<img>` tags here, since nbconvert would give them a meaningless alt text."""
    if "<img" not in source.lower():
        return
    for image in BeautifulSoup(source, "html.parser").find_all("img"):
        if not (image.get("alt") or "").strip():
            raise _silent(number, where)


def _silent(number: int, where: str) -> OsemnError:
    return OsemnError(f"An image in cell {number} of {where} has no alt text.", _ALT_REMEDY)


def _add_parameter_table(cells: list[Any]) -> None:
    """Give the parameters cell a table of names, values and meanings; plain code stays where it cannot."""
    tagged = [cell for cell in cells if cell.metadata["report"]["role"] == PARAMETERS]
    injected = [cell for cell in cells if cell.metadata["report"]["role"] == INJECTED]
    if len(tagged) != 1:
        return
    try:
        defaults = _literals(tagged[0].source)
        values = {name: value for cell in injected for name, value in _literals(cell.source).items()}
    except (SyntaxError, ValueError):
        return
    meanings = {
        found["name"]: found["meaning"]
        for found in map(_COMMENT.match, tagged[0].source.splitlines())
        if found is not None
    }
    rows = "".join(_parameter_row(name, defaults, values, meanings) for name in defaults)
    head = "<tr><th>Parameter</th><th>Value</th><th>Meaning</th></tr>"
    tagged[0].metadata["report"]["table"] = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _parameter_row(name: str, defaults: dict, values: dict, meanings: dict) -> str:
    value = escape(repr(values.get(name, defaults[name])))
    if name in values and values[name] != defaults[name]:
        value = f"<strong>{value}</strong> <small>set for this run; default {escape(repr(defaults[name]))}</small>"
    return f"<tr><th>{escape(name)}</th><td>{value}</td><td>{escape(meanings.get(name, ''))}</td></tr>"


def _literals(source: str) -> dict[str, Any]:
    values = {}
    for statement in ast.parse(source).body:
        target = (
            statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        )
        if not isinstance(target, ast.Name) or getattr(statement, "value", None) is None:
            raise ValueError("more than 'name = literal'")
        values[target.id] = ast.literal_eval(statement.value)
    return values


def shrink_images(notebook: Any) -> Any:
    """Return the notebook with its PNG images as WebP of high quality, where that is smaller."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                smaller = as_webp(base64.b64decode(data["image/png"]))
                if len(smaller) < len(data["image/png"]):
                    data["image/webp"] = smaller
                    output.metadata["image/webp"] = output.metadata.get("image/png", {})
                    del data["image/png"]
    return notebook


def as_webp(png: bytes) -> str:
    """Return a PNG image as WebP of high quality, base64."""
    from PIL import Image

    stream = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(stream, "WEBP", quality=85, method=4)
    return base64.b64encode(stream.getvalue()).decode()
