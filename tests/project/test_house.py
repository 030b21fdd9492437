"""The limits that keep the package and the notebooks readable; `python tools/house.py` prints the measures."""

import ast
import re
from statistics import median

import house
import nbformat

from conftest import REPOSITORY

ENTRIES = 16  # nine rooms, the command line, five files on the ground, and __init__.py
LINES_OF_A_FILE = 350  # what can be scrolled through in one go
LINES_OF_A_FUNCTION = 60  # one screen, docstring included
SENTENCE_LINES = 100  # in all notebooks together: sentences are worded in the package
WORDS = (800, 1_300)  # median of the notebooks: less teaches too little, more is not read to the end
LONELY_CELLS = 1 / 5  # of all code cells


def test_package_has_few_entries_at_the_top() -> None:
    assert len(house.entries()) <= ENTRIES, house.entries()


def test_no_file_is_too_long() -> None:
    lines = {file: len(source.splitlines()) for file, source in house.sources().items()}
    assert {file: number for file, number in lines.items() if number > LINES_OF_A_FILE} == {}


def test_no_function_is_too_long() -> None:
    too_long = {
        f"{file}: {name}": lines
        for file, source in house.sources().items()
        for lines, name in house.functions(source)
        if lines > LINES_OF_A_FUNCTION
    }
    assert too_long == {}


def test_notebooks_build_hardly_any_sentences() -> None:
    lines = {notebook.stem: house.sentence_lines(notebook) for notebook in house.notebooks()}
    assert sum(lines.values()) <= SENTENCE_LINES, lines


def test_nearly_every_code_cell_has_a_text_cell_before_it() -> None:
    cells = {notebook.stem: house.lonely_cells(notebook) for notebook in house.notebooks()}
    lonely, total = (sum(counts) for counts in zip(*cells.values(), strict=True))
    assert lonely <= LONELY_CELLS * total, cells


def test_notebooks_explain_what_they_do() -> None:
    words = {notebook.stem: house.words(notebook) for notebook in house.notebooks()}
    assert WORDS[0] <= median(words.values()) <= WORDS[1], words


def test_measures_count_what_they_say() -> None:
    source = '"""Docstring."""\n\n# comment\nx = (\n    1\n)\n\n\ndef f():\n    """Two\n    lines."""\n    return x\n'
    assert house.code_lines(source) == 5
    assert house.functions(source) == [(4, "f")]


def without_encoding(source: str) -> list[str]:
    """Return the calls that read or write text in whatever encoding the user's locale has."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    named = (call for call in calls if getattr(call.func, "attr", "") in ("read_text", "write_text"))
    return [
        ast.unparse(call) for call in named if "encoding" not in {keyword.arg for keyword in call.keywords}
    ]


def test_text_is_read_and_written_as_utf_8_whatever_the_locale() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in (REPOSITORY / "src").rglob("*.py")}
    for path in (REPOSITORY / "notebooks").rglob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        code = [cell.source for cell in cells if cell.cell_type == "code"]
        sources[path] = re.sub("^%.*", "", "\n".join(code), flags=re.MULTILINE)
    by_locale = {str(path): calls for path, source in sources.items() if (calls := without_encoding(source))}
    assert not by_locale
    assert without_encoding('path.read_text()\npath.write_text("ü")')
