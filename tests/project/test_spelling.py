"""The spelling check reads documents, code and notebook cells, and nothing else."""

from pathlib import Path

import nbformat
import pytest
import spelling

WRONG = "rec" + "ieve"  # in two parts, so that the check does not report this file


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder in place of the project's root, with the same settings."""
    (tmp_path / "pyproject.toml").write_text((spelling.ROOT / "pyproject.toml").read_text())
    monkeypatch.setattr(spelling, "ROOT", tmp_path)
    return tmp_path


def write_notebook(path: Path, *, prose: str = "", code: str = "", output: str = "") -> None:
    cell = nbformat.v4.new_code_cell(code)
    cell.outputs = [nbformat.v4.new_output("stream", text=output)]
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(prose), cell]), path)


def test_misspelling_in_prose_and_code_is_named_with_file_and_line(project):
    (project / "README.md").write_text(f"A title\n\nTo {WRONG} images.\n")
    (project / "module.py").write_text(f'"""To {WRONG} images."""\n')
    assert spelling.misspellings(["README.md", "module.py"]) == [
        f"README.md:3: {WRONG} ==> receive",
        f"module.py:1: {WRONG} ==> receive",
    ]


def test_misspelling_in_a_notebook_is_named_with_its_cell(project):
    write_notebook(project / "one.ipynb", prose=f"To {WRONG}.", code=f"x = 1  # {WRONG}")
    assert spelling.misspellings(["one.ipynb"]) == [
        f"one.ipynb, cell 0:1: {WRONG} ==> receive",
        f"one.ipynb, cell 1:1: {WRONG} ==> receive",
    ]


def test_outputs_of_notebooks_are_left_out(project):
    write_notebook(project / "one.ipynb", prose="Fine.", code="x = 1", output=WRONG)
    assert spelling.misspellings(["one.ipynb"]) == []


def test_british_spelling_is_no_mistake(project):
    (project / "README.md").write_text("Normalise the colour, initialise the centre, label the licence.\n")
    assert spelling.misspellings(["README.md"]) == []


def test_generated_files_are_left_out(project):
    (project / "requirements.lock").write_text(f"{WRONG}==1.0\n")
    (project / "results.json").write_text(f'{{"{WRONG}": 1}}\n')
    assert spelling.misspellings(["requirements.lock", "results.json"]) == []


def test_documents_code_and_notebooks_of_the_project_are_among_its_files():
    names = set(spelling.all_files())
    if not names:
        pytest.skip("this is no git checkout")
    assert {"README.md", "src/helpers/series/stages.py", "notebooks/00_warm_up.ipynb", "Makefile"} <= names
    assert not {name for name in names if name.startswith((".venv", "runs/", "data/"))}


def test_house_word_is_named_with_what_to_write_instead(project):
    (project / "README.md").write_text("Fine.\n\nThe files are whole again.\n")
    assert spelling.house_words(["README.md"]) == ["README.md:3: 'are whole' ==> complete, intact, valid"]


@pytest.mark.parametrize(
    "sentence",
    [
        "The whole series runs.",
        "There is no such file.",
        "Make sure that it exists.",
        "Stages share the machine.",
        "Layers that share weights; two share a name.",
        "The best is right above the others.",
        "It may be that nothing changed.",
        "Copies are kept together.",
        "It avoids a look-up and is sure to end.",
        "A person who uses it, and who serves it?",
        "{% if width > 640 %}",
    ],
)
def test_plain_english_is_no_house_word(project, sentence):
    (project / "README.md").write_text(f"{sentence}\n")
    assert spelling.house_words(["README.md"]) == []


@pytest.mark.parametrize(
    "sentence",
    [
        "The gain is not shown.",
        "No source has them whole.",
        "Predictions that are wrong are drawn.",
        "The digit was predicted rightly.",
        "The share of the pixels; that share is small.",
        "For who reads it. Who uses it should know.",
        "It ends, be that killed.",
        "It is 93.3 % of them.",
    ],
)
def test_words_of_the_house_are_noticed(project, sentence):
    (project / "README.md").write_text(f"{sentence}\n")
    assert spelling.house_words(["README.md"])


def test_names_in_braces_are_code(project):
    (project / "a.py").write_text('text = f"the value {kept:.1f} is {mended} here"\n')
    assert spelling.house_words(["a.py"]) == []


def test_of_code_only_comments_and_sentences_are_read(project):
    (project / "a.py").write_text('kept = 5 % 3  # one is kept\nname = "kept"\ntext = "it is kept here"\n')
    assert [line.partition(": ")[0] for line in spelling.house_words(["a.py"])] == ["a.py:1", "a.py:3"]


def test_cells_of_notebooks_are_read_for_house_words(project):
    write_notebook(project / "one.ipynb", prose="It was kept.", code="%matplotlib inline\nx = 1  # at work")
    assert [line.partition(": ")[0] for line in spelling.house_words(["one.ipynb"])] == [
        "one.ipynb, cell 0:1",
        "one.ipynb, cell 1:2",
    ]


def test_variable_called_found_is_named(project):
    (project / "a.py").write_text("def read(found):\n    found_rows = found\n    return found_rows\n")
    assert spelling.vague_names(["a.py"]) == ["a.py:1: an argument called 'found' ==> the name of the thing"]
