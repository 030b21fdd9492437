"""Reads the parameters cell of a notebook: names and defaults, as literals."""

import ast
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from helpers import paths
from helpers.errors import OsemnError


def code_cells(notebook: str) -> list[dict[str, Any]]:
    """Return the code cells of a notebook."""
    return _code_cells(paths.notebook(notebook).read_text(encoding="utf-8"))


@cache
def _code_cells(notebook_text: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(notebook_text)["cells"] if cell["cell_type"] == "code"]


def is_skipped(cell: Mapping[str, Any]) -> bool:
    """Return True if a run skips a notebook's cell, as nbclient skips all with this tag: it is there to be tried by hand."""
    return "skip-execution" in cell.get("metadata", {}).get("tags", [])


def is_parameters_cell(cell: Mapping[str, Any]) -> bool:
    """Return True if a notebook's cell is tagged `parameters`."""
    return "parameters" in cell.get("metadata", {}).get("tags", [])


def defaults(notebook: str) -> dict[str, Any]:
    """Return the values in a notebook's cell tagged `parameters`.

    Raises:
        OsemnError: the notebook does not exist, does not have exactly one such cell, or the cell holds anything but
            literals.
    """
    path = paths.notebook(notebook)
    if not path.is_file():
        raise OsemnError(f"There is no {paths.shown(path)}.", "restore it, or copy notebooks/template.ipynb")
    tagged = [cell for cell in code_cells(notebook) if is_parameters_cell(cell)]
    if len(tagged) != 1:
        raise OsemnError(f"{paths.shown(path)} has {len(tagged)} cells tagged 'parameters'.", "tag one cell")
    return literals("".join(tagged[0]["source"]), paths.shown(path))


def literals(source: str, where: str) -> dict[str, Any]:
    """Return the `name: type = literal` assignments of a parameters cell.

    Raises:
        OsemnError: the cell holds anything else.
    """
    values: dict[str, Any] = {}
    for statement in ast.parse(source).body:
        target = getattr(statement, "target", None) or getattr(statement, "targets", [None])[0]
        if not isinstance(target, ast.Name) or getattr(statement, "value", None) is None:
            raise OsemnError(
                f"The parameters cell of {where} holds more than 'name: type = literal' (line {statement.lineno}).",
                "move everything else to the next cell",
            )
        values[target.id] = ast.literal_eval(statement.value)
    return values
