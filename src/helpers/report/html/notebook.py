"""Prepares an executed notebook for its page: nbconvert preprocessors that number cells and describe parameters."""

import base64
import io
import re
from typing import Any

from nbconvert.preprocessors import Preprocessor

from helpers.errors import OsemnError
from helpers.series.notebook_cells import literals

PARAMETERS, INJECTED = "parameters", "injected-parameters"
_COMMENT = re.compile(r"^(?P<name>\w+)\s*(:[^=]+)?=[^#]*#\s*(?P<meaning>.+)$")


class DescribeCells(Preprocessor):
    """Gives each cell `metadata.report` for the template: its number, its role, and the table of parameters."""

    def preprocess(self, nb: Any, resources: dict) -> tuple[Any, dict]:
        """Describe all cells of a notebook."""
        for number, cell in enumerate(nb.cells):
            tags = cell.metadata.get("tags", []) if cell.cell_type == "code" else []
            role = next((tag for tag in (INJECTED, PARAMETERS) if tag in tags), "")
            cell.metadata["report"] = {"number": number, "role": role}
        injected = [cell.source for cell in nb.cells if cell.metadata.report.role == INJECTED]
        for cell in nb.cells:
            if cell.metadata.report.role == PARAMETERS:
                cell.metadata.report.parameters = _parameters(cell.source, injected)
        return nb, resources


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


class ShrinkImages(Preprocessor):
    """Replaces PNG images by WebP of high quality where that is smaller."""

    def preprocess_cell(self, cell: Any, resources: dict, index: int) -> tuple[Any, dict]:
        """Replace the images in the outputs of one cell."""
        for output in cell.get("outputs", []):
            png = output.get("data", {}).get("image/png", "")
            webp = as_webp(base64.b64decode(png)) if png else ""
            if len(webp) < len(png):
                output.data["image/webp"] = webp
                output.metadata["image/webp"] = output.metadata.get("image/png", {})
                del output.data["image/png"]
        return cell, resources


def as_webp(png: bytes) -> str:
    """Return a PNG image as WebP of high quality, base64."""
    from PIL import Image

    stream = io.BytesIO()
    # quality 85: no visible artefacts on plots
    Image.open(io.BytesIO(png)).convert("RGB").save(stream, "WEBP", quality=85, method=4)
    return base64.b64encode(stream.getvalue()).decode()
