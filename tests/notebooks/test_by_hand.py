"""What a reader does by hand, at the smoke profile: each notebook from top to bottom, its try-it cell, the exercises.

The notebooks run in this process, one after the other, so that TensorFlow starts only once. Those that need a backbone, or
nearly all others, run in `tests/series/test_series.py`, which has the series.
"""

import re

import nbformat
import pytest

import by_hand as hand
from helpers import paths
from helpers.series import notebook_cells, stages

NOTEBOOKS = ["00_warm_up", "01_acquire", "02_explore", "03_preprocess", "04_baseline", "09_tuning"]
TAGS = {
    "try-it",
    "skip-execution",
    "nbval-skip",
}  # ours; nbclient and papermill skip the second, nbval the third


def prose(notebook: str) -> str:
    cells = nbformat.read(paths.notebook(notebook), as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory):
    """Return a function that runs a notebook, and before it those that it reads, and returns its variables."""
    variables: dict[str, dict] = {}

    def run(notebook: str) -> dict:
        for other in (*stages.find(notebook).reads, notebook):
            if other not in variables:
                variables[other] = hand.run(other)
        return variables[notebook]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path_factory.mktemp("by hand")))
        yield run


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_try_it_cell_and_solutions_run_and_leave_the_finished_run_as_it_is(notebook, by_hand):
    hand.try_and_solve(notebook, by_hand(notebook))


@pytest.mark.parametrize("notebook", [*stages.NOTEBOOKS, "template"])
def test_one_cell_is_to_be_tried_and_every_tool_skips_it(notebook):
    tags = [set(cell["metadata"].get("tags", [])) for cell in notebook_cells.code_cells(notebook)]
    assert [some for some in tags if some & TAGS] == [TAGS]


@pytest.mark.parametrize("notebook", stages.NOTEBOOKS)
def test_notebook_asks_for_a_guess_explains_and_ends_with_three_exercises(notebook):
    text = prose(notebook)
    assert "**Guess first.**" in text
    assert "> **Why" in text
    exercises = text.partition("## Exercises")[2]
    assert re.findall(r"^\d\. \*(.+?)\.\*", exercises, re.MULTILINE) == ["Minutes", "An hour", "A day"]
    assert f"(solutions/{notebook}.ipynb)" in exercises


@pytest.mark.parametrize("notebook", stages.NOTEBOOKS)
def test_notebook_explains_at_length_and_its_cells_are_short(notebook):
    cells = nbformat.read(paths.notebook(notebook), as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    lines = sorted(
        len(cell.source.splitlines()) for cell in code if not notebook_cells.is_parameters_cell(cell)
    )
    assert 800 <= len(prose(notebook).split()) <= 2_000
    assert len(cells) - len(code) >= 0.9 * len(code)
    assert lines[-1] <= 20
    assert lines[len(lines) // 2] <= 7
