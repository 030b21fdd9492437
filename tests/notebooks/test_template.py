"""The template of notebooks: it runs, follows its own rules, and is not a stage of the series."""

import json

import nbformat
import papermill
import pytest
from refresh_notebooks import run_cells
from run_template import NAME, execute

from helpers import paths
from helpers.series import parameters, stages


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The template, executed once with its defaults, and its output folder."""
    output = tmp_path_factory.mktemp("template")
    return execute(output), output / "runs" / "digits" / "quick" / NAME


def test_template_runs_to_its_end_and_leaves_what_it_declares(executed):
    notebook, folder = executed
    assert None not in [cell.execution_count for cell in run_cells(notebook)]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["outputs"]) == {"metrics.json", "learning_curve.csv", "figures/learning_curve.png"}
    assert json.loads((folder / "metrics.json").read_text())["accuracy"]["800"] > 0.9


def test_checked_cells_say_what_the_committed_ones_say(executed):
    committed = nbformat.read(paths.notebook(NAME), as_version=4)
    again = dict(zip(sources(committed), executed[0].cells, strict=True))
    checked = [cell for cell in committed.cells if "NBVAL_CHECK_OUTPUT" in cell.source]
    assert len(checked) >= 2
    for cell in checked:
        assert texts(again[cell.source]) == texts(cell)


def sources(notebook: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells]


def texts(cell: nbformat.NotebookNode) -> list[str]:
    return [str(output.get("text") or output["data"]["text/plain"]) for output in cell.outputs]


def test_every_section_says_its_rule():
    notebook = nbformat.read(paths.notebook(NAME), as_version=4)
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    sections = [text for text in prose if text.startswith(("# ", "## "))]
    assert len(sections) > 10
    assert "**Guess first.**" in prose[0]
    assert "> **Why not simply" in "\n".join(prose)
    for section in sections:
        assert "*The rule" in section, section


def test_template_shows_one_picture_once(executed):
    pictures = [
        output
        for cell in executed[0].cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 1


def test_template_is_no_stage():
    assert NAME not in stages.NOTEBOOKS
    assert NAME not in stages.BY_NAME
    assert NAME not in parameters.MODELS


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"training_sizes": [50, 5_000]}, "lower the largest of training_sizes"),
        ({"dataset": "mnist"}, "parameter 'dataset' = 'mnist' is not valid"),
        ({"trainin_sizes": [50, 100]}, "did you mean 'training_sizes'"),
    ],
)
def test_template_refuses_wrong_parameters_with_what_to_do(tmp_path, given, message):
    with pytest.raises(papermill.PapermillExecutionError, match=message):
        execute(tmp_path, **given)
    assert not list((tmp_path / "runs").rglob("manifest.json"))
