"""The committed notebooks follow the rules, and their outputs belong to their code."""

import ast
import copy
import json
import re

import nbformat
import pytest
from refresh_notebooks import code_sha256, run_cells, with_outputs
from update_tables import OWN_IMAGES, RECORD, RESULTS, fill, stored

from helpers import paths
from helpers.series import notebook_cells, stages

ALL = [*stages.NOTEBOOKS, "template"]  # not a stage, but under the same rules
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:root|home|work|tmp|Users|private|mnt)/[\w.-]+")
MAX_BYTES = 1_500_000


def read(stage: str) -> nbformat.NotebookNode:
    return nbformat.read(paths.notebook(stage), as_version=4)


def code_cells(stage: str) -> list:
    return [cell for cell in read(stage).cells if cell.cell_type == "code" and cell.source.strip()]


def test_every_notebook_is_in_the_stage_table():
    files = {path.stem for path in paths.notebook("x").parent.glob("*.ipynb")}
    assert files == set(ALL)


@pytest.mark.parametrize("stage", ALL)
def test_notebook_has_one_title_and_short_cells(stage):
    prose = "\n".join(cell.source for cell in read(stage).cells if cell.cell_type == "markdown")
    assert len(re.findall(r"^# ", prose, re.MULTILINE)) == 1
    for cell in code_cells(stage):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        # the parameters cell is a list to look things up in
        assert len(lines) <= 25 or notebook_cells.is_parameters_cell(cell), cell.source


@pytest.mark.parametrize("stage", ALL)
def test_outputs_are_of_the_code_that_stands_there(stage):
    notebook = read(stage)
    assert notebook.metadata.get("osemn", {}).get("code_sha256") == code_sha256(notebook), (
        "run 'make notebooks'"
    )
    counts = [cell.execution_count for cell in run_cells(notebook)]
    assert None not in counts
    assert counts == sorted(counts)


def executed(source: nbformat.NotebookNode) -> nbformat.NotebookNode:
    ran = copy.deepcopy(source)
    ran.metadata["papermill"] = {"duration": 1.0}
    for number, cell in enumerate(run_cells(ran), start=1):
        cell.execution_count, cell.metadata["papermill"] = number, {"start_time": "now"}
        cell.outputs = [nbformat.v4.new_output("stream", text=f"output {number}")]
    return ran


def test_refreshing_outputs_leaves_prose_and_comments_as_they_were_edited_meanwhile():
    source = read("01_acquire")
    ran = executed(source)
    prose = next(cell for cell in source.cells if cell.cell_type == "markdown")
    prose.source += "\n\nA sentence that was written while it ran."
    parameters = next(cell for cell in source.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source = parameters.source.replace("  # ", "  # in other words: ", 1)
    wanted = [cell.source for cell in source.cells]
    filled = with_outputs(source, ran)
    assert [cell.source for cell in filled.cells] == wanted
    texts = [cell.outputs[0].text for cell in run_cells(filled)]
    assert texts == [f"output {number}" for number in range(1, len(texts) + 1)]
    assert filled.metadata["osemn"]["code_sha256"] == code_sha256(filled)
    assert "papermill" not in json.dumps(filled.metadata) + json.dumps(
        [cell.metadata for cell in filled.cells]
    )


def test_refreshed_pictures_have_their_alt_text_where_every_viewer_shows_it():
    source = read("01_acquire")
    ran = executed(source)
    alt = "Accuracy <rises> with size."
    data, about = {"image/png": "AA==", "text/plain": "<Image>"}, {"image/png": {"alt": alt}}
    run_cells(ran)[-1].outputs = [nbformat.v4.new_output("display_data", data, metadata=about)]
    picture, description = run_cells(with_outputs(source, ran))[-1].outputs
    assert picture.data["text/plain"] == description.data["text/plain"] == alt
    assert picture.metadata["image/png"]["alt"] == alt
    assert "Accuracy &lt;rises&gt; with size.</details>" in description.data["text/html"]


@pytest.mark.parametrize("index", [0, -1], ids=["a parameter's value", "code"])
def test_outputs_of_other_code_are_refused(index):
    source = read("01_acquire")
    ran = executed(source)
    cell = run_cells(source)[index]
    cell.source = cell.source.replace("= 0 ", "= 1 ", 1) if index == 0 else cell.source + "\n1 + 1"
    assert cell.source != run_cells(ran)[index].source
    with pytest.raises(ValueError, match="other code"):
        with_outputs(source, ran)


@pytest.mark.parametrize("stage", ALL)
def test_outputs_hold_no_error_no_noise_and_no_machine_path(stage):
    assert paths.notebook(stage).stat().st_size < MAX_BYTES
    for cell in code_cells(stage):
        assert not MACHINE_PATH.findall(cell.source)
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.get("text")
            text = json.dumps({k: v for k, v in output.get("data", {}).items() if k != "image/png"})
            text += str(output.get("text", ""))
            assert not MACHINE_PATH.findall(text)
            assert "WARNING" not in text, text


@pytest.mark.parametrize("stage", ALL)
def test_every_picture_has_alt_text(stage):
    for cell in code_cells(stage):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                assert len(output.metadata["image/png"].get("alt", "")) > 20


@pytest.mark.parametrize("stage", ALL)
def test_no_measured_number_is_typed_into_prose(stage):
    """Percentages belong in outputs, which come from metrics; only the level of the intervals is constant."""
    for cell in read(stage).cells:
        if cell.cell_type == "markdown":
            assert set(re.findall(r"[\d.]+(?= ?%)", cell.source)) <= {"95"}, cell.source


@pytest.mark.parametrize("stage", ALL)
def test_links_to_the_glossary_lead_to_a_term(stage):
    terms = re.findall(
        r"^### (.+)$", (paths.project_root() / "docs" / "glossary.md").read_text(), re.MULTILINE
    )
    anchors = {re.sub(r"[^a-z0-9 -]", "", term.lower()).replace(" ", "-") for term in terms}
    prose = "\n".join(cell.source for cell in read(stage).cells if cell.cell_type == "markdown")
    assert set(re.findall(r"docs/glossary\.md#([\w-]+)", prose)) <= anchors


@pytest.mark.parametrize("stage", ALL)
def test_notebook_has_cells_whose_output_is_checked(stage):
    checked = [cell for cell in code_cells(stage) if "NBVAL_CHECK_OUTPUT" in cell.source]
    assert len(checked) >= 2
    for cell in checked:
        assert cell.outputs, f"nothing to check: {cell.source}"


@pytest.mark.parametrize(("document", "folder"), [("README.md", "notebooks/"), ("notebooks/README.md", "")])
def test_tables_are_made_from_the_recorded_metrics(document, folder):
    record, own_images = stored(RECORD), stored(OWN_IMAGES)
    text = (paths.project_root() / document).read_text()
    assert fill(text, record, own_images, folder) == text, "run 'make readme'"
    for name in RESULTS:
        if name in record:
            record[name]["models"]["baseline_cnn"]["accuracy"] = 0.1234
    if "table: results" in text:
        assert "12.3%" in fill(text, record, own_images, folder), "the table follows the metrics"


def shown(stage: str, key: str) -> dict:
    """Return the dictionary with a key that a committed notebook shows."""
    cells = nbformat.read(paths.notebook(stage), as_version=4).cells
    texts = [
        output.get("data", {}).get("text/plain", "") for cell in cells for output in cell.get("outputs", [])
    ]
    return ast.literal_eval(next(text for text in texts if text.startswith(f"{{'{key}':")))


def test_evaluation_and_grad_cam_are_shown_for_the_champion():
    champion = re.search(r"The champion is (\w+)\.", paths.notebook("10_export").read_text(encoding="utf-8"))
    evaluated = shown("07_evaluation", "candidate")
    assert evaluated["trained by"] == stages.CANDIDATES[champion[1]]
    assert shown("08_grad_cam", "model")["model"] == evaluated["candidate"]
