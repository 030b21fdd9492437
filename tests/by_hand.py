"""Notebooks as a reader runs them: cell by cell in this process, then the try-it cell, then the solutions of the exercises."""

from typing import Any

import nbformat

from conftest import REPOSITORY
from helpers import paths
from helpers.series import manifests, notebook_cells, stages
from helpers.series.resolve import resolve

SOLUTIONS = REPOSITORY / "notebooks" / "solutions"
FEW = {
    "09_tuning": {"trials": 1, "seeds": 1, "default_seeds": 0}
}  # smoke asks for more, which takes a minute


def run(stage: str) -> dict[str, Any]:
    """Run a stage's notebook on the small digits from top to bottom and return its variables."""
    variables = dict(resolve(stage, "digits", "smoke", FEW).parameters)
    for cell in notebook_cells.code_cells(stages.notebook_of(stage)):
        if not (notebook_cells.is_parameters_cell(cell) or notebook_cells.is_skipped(cell)):
            exec("".join(cell["source"]), variables)
    return variables


def try_and_solve(stage: str, variables: dict[str, Any]) -> None:
    """Run a finished notebook's try-it cell and its solutions, and check that they leave the run as it is."""
    notebook = stages.notebook_of(stage)
    folder = paths.stage_folder("digits", "smoke", stage)
    finished = manifests.require(folder, stage)
    for cell in filter(notebook_cells.is_skipped, notebook_cells.code_cells(notebook)):
        exec("".join(cell["source"]), variables)
    solutions = nbformat.read(SOLUTIONS / f"{notebook}.ipynb", as_version=4)
    opening, *code = [cell.source for cell in solutions.cells if cell.cell_type == "code"]
    assert opening == f"%run ../{notebook}.ipynb"
    for source in code:
        exec(source, variables)
    assert manifests.require(folder, stage) == finished
