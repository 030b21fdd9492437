"""Every command finds a folder of images as `osemn run` does; a registry needs no images."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

import registry_versions
import service_support
from helpers import paths
from helpers.cli import main
from helpers.errors import OsemnError, UsageError
from helpers.export import browser_page
from helpers.export.registry import Registry
from helpers.serving import server


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory outside the project's root, and a registry of pets without their images."""
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path / "out"))
    content = registry_versions.content(tmp_path / "content")
    registry_versions.write_drift_reference(content)
    registry = Registry("pets")
    facts = registry_versions.facts()
    registry.promote(registry.publish(content, facts).name)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


def call(*arguments: str) -> str:
    done = CliRunner().invoke(main.app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def picture(folder: Path) -> str:
    path = folder / "one.png"
    path.write_bytes(service_support.png(service_support.pixels()))
    return str(path)


@pytest.fixture(params=["without its images", "with its images"])
def named(request: pytest.FixtureRequest, place: Path) -> str:
    """The data set as typed: a name without a folder, and a folder in the working directory."""
    if request.param == "with its images":
        for name in ("cat", "dog"):
            (place / "pets" / name).mkdir(parents=True)
    return "pets"


def test_models_are_listed_and_checked(named):
    assert "* " in call("models", "--dataset", named)
    assert "is complete" in call("models", "check", "--dataset", named)


def test_images_are_predicted(named, place):
    assert len(call("predict", picture(place), "--dataset", named).splitlines()) == 2


def test_service_starts(named, monkeypatch):
    started = []
    monkeypatch.setattr(server, "run", started.append)
    assert "Serving" in call("serve", "--dataset", named)
    assert paths.dataset_slug(started[0].dataset) == "pets"


def test_page_is_written(named, place, monkeypatch):
    monkeypatch.setattr(browser_page, "write", lambda version, path, report: path)
    assert "mine.html" in call("demo", "--dataset", named, "--output", str(place / "mine.html"))


def test_page_whose_folder_cannot_be_created_is_reported_in_a_sentence(place):
    (place / "file").write_text("")
    for target in (("--files", "file/files"), ("--output", "file/page.html")):
        with pytest.raises(OsemnError, match=r"Nothing can be written to .*: (not a directory|file exists)"):
            call("demo", "--dataset", "pets", *target)


def test_folder_is_watched_for_drift(named, place):
    (place / "pictures").mkdir()
    picture(place / "pictures")
    with pytest.raises(OsemnError, match="1 images are too few"):
        call("drift", "pictures", "--dataset", named)


def test_report_takes_a_folder_from_the_working_directory(place):
    for name in ("cat", "dog"):
        (place / "my cats" / name).mkdir(parents=True)
    with pytest.raises(OsemnError, match="no stage has been run") as raised:
        call("report", "--dataset", "my cats")
    assert not isinstance(raised.value, UsageError)


@pytest.mark.parametrize("command", [["predict", "x.png"], ["serve"], ["demo"], ["drift", "."], ["models"]])
@pytest.mark.parametrize("wrong", ["mnits", "fashion-mnist", "no/folder", "..."])
def test_name_without_models_and_without_a_folder_is_a_wrong_call(place, command, wrong):
    with pytest.raises(UsageError, match=r"There is no (data set|folder)|cannot name a run"):
        call(*command, "--dataset", wrong)


def test_folder_is_named_from_the_root_inside_of_the_project_and_in_full_outside(
    project, tmp_path, monkeypatch
):
    inside = project.root / "pictures" / "pets"
    outside = tmp_path / "birds"
    inside.mkdir(parents=True)
    outside.mkdir()
    monkeypatch.chdir(inside.parent)
    assert paths.project_dataset("pets") == "pictures/pets"
    assert paths.project_dataset("pictures/pets") == "pictures/pets"
    assert paths.project_dataset(str(outside)) == outside.as_posix()
    assert paths.project_dataset("digits") == "digits"


@pytest.mark.parametrize("address", ["s3://bucket/photos/pets", "https://host/pets.zip?download=1"])
def test_address_names_the_registry_without_being_asked(place, address):
    assert "* " in call("models", "--dataset", address)
    assert "is complete" in call("models", "--dataset", address, "check")


@pytest.mark.parametrize("command", [["run"], ["status"], ["models"], ["serve"], ["report"]])
def test_address_with_a_password_is_a_wrong_call_that_does_not_repeat_it(place, command):
    with pytest.raises(UsageError, match="in the environment") as raised:
        call(*command, "--dataset", "https://me:hunter2@host/pets")
    assert "hunter2" not in str(raised.value)


def test_help_names_the_forms_of_a_data_set():
    text = " ".join(CliRunner().invoke(main.app, ["run", "--help"], env={"COLUMNS": "400"}).stdout.split())
    for form in ("folder", ".csv", ".zip", "s3://", "gs://", "https://", "hf://datasets/"):
        assert form in text
