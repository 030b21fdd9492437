"""Each notebook imports only helpers of its own room, and of the other rooms that it may use."""

import ast
import json
import re

import pytest

from conftest import REPOSITORY
from helpers.series import stages

EVERYWHERE = {"series", "obtain", "errors", "figures", "paths", "scoring", "wording"}
ROOMS = {
    "00_warm_up": {"explore"},
    "01_acquire": set(),
    "02_explore": {"explore"},
    "03_preprocess": {"scrub", "explore"},
    "04_baseline": {"model", "scrub"},
    "05_transfer_learning": {"model", "scrub", "interpret"},
    "06_fine_tuning": {"model", "scrub", "interpret"},
    "07_evaluation": {"interpret", "model"},
    "08_grad_cam": {"interpret"},
    "09_tuning": {"model"},
    "10_export": {"export", "interpret"},
    "11_serving": {"serving", "export", "interpret"},
    "12_report": {"report", "interpret", "model"},
}


def rooms(source: str) -> set[str]:
    """Return the rooms, or files of the ground, that a notebook's code imports."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "helpers":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("helpers."):
            names.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("helpers.")}
    return names


def code(notebook: str) -> str:
    cells = json.loads((REPOSITORY / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@pytest.mark.parametrize("notebook", sorted({stage.notebook for stage in stages.STAGES}))
def test_notebook_imports_only_its_room_and_what_everyone_may_use(notebook: str) -> None:
    assert rooms(code(notebook)) <= EVERYWHERE | ROOMS[notebook]


def test_imports_of_every_form_are_seen() -> None:
    assert rooms("from helpers import paths") == {"paths"}
    assert rooms("from helpers.model.tuning import study\nimport helpers.serving.app") == {"model", "serving"}


def test_the_list_of_rooms_names_every_module_and_no_other():
    text = (
        (REPOSITORY / "docs" / "rooms.md")
        .read_text(encoding="utf-8")
        .partition("### The files at the bottom")[0]
    )
    listed = {
        (section.partition("`")[0], module)
        for section in text.split("### `")[1:]
        for module in re.findall(r"^\| `([\w/]+)` \|", section, re.MULTILINE)
    }
    package = REPOSITORY / "src" / "helpers"
    files = [file.relative_to(package) for file in package.rglob("*.py") if not file.stem.startswith("__")]
    assert listed == {
        (file.parts[0], file.with_suffix("").relative_to(file.parts[0]).as_posix())
        for file in files
        if len(file.parts) > 1
    }


def test_modules_of_the_first_version_went_to_modules_that_exist():
    text = (REPOSITORY / "docs" / "rooms.md").read_text(encoding="utf-8").partition("## Where a module of")[2]
    named = re.findall(r"^\| `[\w.]+` \|.*`([\w.]+)` \|$", text, re.MULTILINE)
    package = REPOSITORY / "src" / "helpers"
    places = {name: package.joinpath(*name.split(".")) for name in named}
    assert len(named) > 100
    assert not [
        name for name, place in places.items() if not (place.is_dir() or place.with_suffix(".py").is_file())
    ]
