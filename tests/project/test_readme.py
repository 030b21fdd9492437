"""The table of the original experiments, and the links of the documents, name what exists."""

import re
import shlex
import tomllib
import urllib.parse

import nbformat
import pytest
import typer
import yaml

from conftest import REPOSITORY
from helpers import paths
from helpers.cli import main
from helpers.export import browser_page
from helpers.export.registry import Registry
from helpers.series import stages

DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "notebooks/README.md",
    "deploy/README.md",
    *(f"docs/{file.name}" for file in sorted((REPOSITORY / "docs").glob("*.md"))),
)
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)|!\[[^\]]+\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`]+)`")
ALWAYS = {"metrics.json", "notebook.ipynb", "manifest.json"}
ELSEWHERE = {
    "models/<dataset>/<version>/",
    "models/<dataset>/<version>/tfjs/",
    "reports/<dataset>/<profile>/index.html",
    f"reports/<dataset>/<profile>/{browser_page.NAME}",
    "out.png",
}


def rows() -> list[list[str]]:
    """The cells of the table of the original experiments."""
    text = (REPOSITORY / "docs" / "original_experiments.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def targets(text: str) -> list[str]:
    return [link or picture for link, picture in LINK.findall(text)]


def test_the_table_has_every_thing_of_the_five_experiments():
    firsts = "\n".join(row[0] for row in rows())
    for name in (
        "Make Moons",
        "decision boundary",
        "dense network (≈ 88%)",
        "error analysis",
        "MNIST digits",
    ):
        assert name in firsts
    assert sorted(int(number) for number in re.findall(r"(?:^|: )(\d+) ", firsts, re.MULTILINE)) == [
        *range(1, 15)
    ]
    for name in (
        "TensorFlow.js",
        "classical",
        "inference grid",
        "label map",
        "summary",
        "classification report",
    ):
        assert name in firsts


@pytest.mark.parametrize("link", sorted({link for row in rows() for link in targets(row[1])}))
def test_each_section_of_the_table_is_in_its_notebook(link):
    path, anchor = link.split("#")
    notebook = nbformat.read(REPOSITORY / "docs" / path, as_version=4)
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    headings = [line.lstrip("# ") for text in prose for line in text.splitlines() if line.startswith("#")]
    assert anchor in {heading.replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("file", sorted({file for row in rows() for file in CODE.findall(row[2])}))
def test_each_file_of_the_table_is_written_by_its_stage(file):
    if file in ELSEWHERE:
        return
    for candidate in stages.CANDIDATES:
        stage, name = stages.split_input(file.replace("<candidate>", candidate))
        assert stage, f"no stage writes {file}"
        assert name in ALWAYS.union(stages.find(stage).writes)


def test_what_lies_elsewhere_is_made_there(monkeypatch):
    monkeypatch.delenv("OSEMN_OUTPUT_DIR", raising=False)
    assert paths.shown(Registry("mnist").folder) == "models/mnist"
    assert paths.shown(paths.report_folder("mnist", "quick")) == "reports/mnist/quick"
    from helpers.export.formats import FORMATS  # imports TensorFlow

    assert "tfjs" in {item.file for item in FORMATS}


@pytest.mark.parametrize("call", sorted({call for row in rows() for call in CODE.findall(row[3])}))
def test_each_command_of_the_table_can_be_called(call):
    program, name, *arguments = shlex.split(call)
    assert program == "osemn"
    typer.main.get_command(main.app).commands[name].make_context(name, arguments)
    if "--until" in arguments:
        assert stages.until(arguments[arguments.index("--until") + 1])


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_to_files_that_exist(document):
    path = REPOSITORY / document
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link for link in targets(text) if not link.startswith(("http", "#", "mailto:"))]
    for link in links:
        place = path.parent / urllib.parse.unquote(link.split("#")[0])
        assert place.exists(), f"{document} links to {link}"


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_source_files_that_are_named_exist(document):
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    named = re.findall(r"`((?:src|tests|tools|deploy|benchmarks)/[\w./]+\.\w+)`", text)
    assert named or document == "README.md"
    for name in named:
        assert (REPOSITORY / name).is_file(), name


def test_citation_and_licence_agree_with_the_package():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"] == "MIT"
    assert (REPOSITORY / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
    assert f"({project['version']})" in (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")


def test_readme_can_be_read_in_five_minutes():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 1_500
