"""The examples of docs/own_images.md are read as they stand there, and the documents name parameters that exist."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from conftest import REPOSITORY
from helpers import paths
from helpers.obtain.layouts import recognise
from helpers.obtain.options import Options
from helpers.obtain.places import locations
from helpers.series import parameters, profiles

DOCUMENTS = [*(REPOSITORY / "docs").glob("*.md"), REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"]
SECTIONS = (REPOSITORY / "docs" / "own_images.md").read_text(encoding="utf-8").split("\n## ")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
CLASSES = {
    "Class folders": [("cat", "dog")],
    "Nested class folders": [("cat", "dog"), ("cat", "dog/beagle", "dog/husky", "dog/poodle")],
    "Ready-made parts": [("cat", "dog")],
    "A table": [("crack", "none")],
    "Numbers as labels": [("good", "defective")],
    "As in competitions": [("cat", "dog")],
    "Loose files": [("cat", "dog")],
    "Archives": [("cat", "dog")],
    "Groups and copies": [("healthy", "ill"), ("healthy", "ill")],
}
"""The classes that each command of a section gives."""


def tree(text: str) -> list[str]:
    """Return the files of a drawn tree; names behind a folder lie in it."""
    files, folders = [], []
    for line in text.splitlines():
        drawing, name, inside = re.fullmatch(r"([│├└─ ]*)(\S+)(.*)", line).groups()
        folders = [*folders[: len(drawing) // 4], name]
        files += ["".join(folders)] if not name.endswith("/") else []
        files += ["".join(folders) + file for file in inside.split()]
    return files


def blocks(title: str) -> dict[str, str]:
    """Return the blocks of a section by their language."""
    section = next(section for section in SECTIONS if section.startswith(f"{title}\n"))
    return dict(BLOCK.findall(section))


def calls(script: str) -> list[tuple[str, list[str]]]:
    """Return the data set and the assignments of each `osemn run` of a script."""
    lines = script.replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines if "osemn run" in line]
    return [
        (call[call.index("--dataset") + 1], [call[i + 1] for i, word in enumerate(call) if word == "--set"])
        for call in words
    ]


def build(folder: Path, title: str) -> list[tuple[str, list[str]]]:
    """Make the files of a section's tree, with its table, and return its calls."""
    parts = blocks(title)
    files = tree(parts[""])
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    if "csv" in parts:
        (folder / next(file for file in files if file.endswith(".csv"))).write_text(parts["csv"])
    return calls(parts["sh"])


def test_every_drawn_tree_is_tested():
    drawn = {section.partition("\n")[0] for section in SECTIONS if "" in dict(BLOCK.findall(section))}
    assert drawn == set(CLASSES)


@pytest.mark.parametrize("title", CLASSES)
def test_each_tree_is_read_into_the_classes_that_the_text_names(title, tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    commands = build(tmp_path, title)
    assert len(commands) == len(CLASSES[title])
    for (dataset, assignments), classes in zip(commands, CLASSES[title], strict=True):
        if paths.file_kind(dataset) == "archive":
            shutil.make_archive(Path(dataset).stem, "zip", base_dir=Path(dataset).stem)
        options = Options.of(profiles.parse_overrides(assignments).get("01_acquire", {}))
        place = locations.locate(paths.project_dataset(dataset), options)
        listing = recognise.read(place.path, options)
        assert listing.class_names == classes
        assert listing.files["label"].value_counts().min() >= 3
        grouped = bool(options.group_by) or title == "A table"
        assert (listing.files["group"] != "").all() == grouped


def test_a_tree_is_read_as_drawn():
    assert tree("a/\n├── b.csv\n├── c/  1.jpg  2.jpg\n│   └── d/\n│       └── e.png\n└── f/  3.jpg") == [
        *("a/b.csv", "a/c/1.jpg", "a/c/2.jpg", "a/c/d/e.png", "a/f/3.jpg")
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_assignment_in_the_documents_is_a_parameter(document):
    text = document.read_text(encoding="utf-8")
    for stage, name in re.findall(r"\b(\d\d_[a-z_]+)\.([a-z_]+)=", text):
        assert name in parameters.MODELS[stage].model_fields, f"{stage}.{name}"


def test_commands_in_the_documents_have_values_that_are_allowed():
    for dataset, assignments in [
        call for section in SECTIONS for call in calls(dict(BLOCK.findall(section)).get("sh", ""))
    ]:
        for stage, values in profiles.parse_overrides(assignments).items():
            for name, value in values.items():
                field = parameters.MODELS[stage]
                field.__pydantic_validator__.validate_assignment(field.model_construct(), name, value)
        if paths.is_address(dataset):
            paths.check_dataset(dataset)
