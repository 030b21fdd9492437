"""Data sets are filed under names of their own, and only one hidden file knows where they lie."""

import json
import shutil
from pathlib import Path

import pytest

from helpers import paths


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder outside a project, with two data sets of one name."""
    root, outside = tmp_path / "project", tmp_path / "outside"
    for name in ("notebooks", "profiles", "data/pets/cat"):
        (root / name).mkdir(parents=True)
    (root / "Snakefile").touch()
    for name in ("a/pets", "b/pets"):
        (outside / name / "cat").mkdir(parents=True)
    monkeypatch.setenv("OSEMN_HOME", str(root))
    monkeypatch.delenv("OSEMN_OUTPUT_DIR", raising=False)
    return outside


def test_second_data_set_of_one_name_gets_another_name(places):
    first, second, third = str(places / "a/pets"), str(places / "b/pets"), "data/pets"
    for dataset in (first, second, third):
        paths.claim(dataset)
    assert [paths.dataset_slug(one) for one in (first, second, third)] == ["pets", "b_pets", "data_pets"]
    assert paths.models_folder(second) != paths.models_folder(first)


def test_names_are_the_same_whatever_is_asked_first(places):
    paths.claim(str(places / "b/pets"))
    assert paths.dataset_slug(str(places / "a/pets")) == "a_pets"
    assert paths.dataset_slug(str(places / "b/pets")) == "pets"


def test_place_outside_the_project_is_known_by_its_name(places):
    place = places / "a/pets"
    assert paths.recorded_dataset(str(place)) == "pets"
    paths.claim(str(place))
    assert paths.local_path("pets") == place
    assert paths.local_path("pets/cat/1.png") == place / "cat/1.png"
    assert paths.dataset_slug("pets") == "pets"
    assert paths.own_title("pets") == "pets"
    paths.check_dataset("pets")


def test_place_inside_the_project_is_written_down_as_its_path(places):
    paths.claim("data/pets")
    assert paths.recorded_dataset("data/pets") == "data/pets"
    assert paths.recorded_folder(paths.project_root() / "data/pets/cat", "data/pets") == "data/pets/cat"
    assert paths.local_path("pets") == paths.project_root() / "data/pets"


def test_moved_data_set_keeps_its_name(places):
    paths.claim(str(places / "a/pets"))
    shutil.move(places / "a", places / "moved")
    moved = str(places / "moved/pets")
    assert paths.dataset_slug(moved) == "pets"
    paths.claim(moved)
    assert paths.local_path("pets") == Path(moved)


def test_table_outside_the_project_keeps_its_kind_and_finds_its_images(places):
    table = places / "birds" / "labels.csv"
    (places / "birds/images").mkdir(parents=True)
    table.touch()
    paths.claim(str(table))
    assert paths.recorded_dataset(str(table)) == "birds"
    assert paths.file_kind("birds") == "table"
    assert paths.recorded_folder(table.parent, "elsewhere") == str(table.parent)
    for folder in (table.parent, table.parent / "images"):
        assert paths.local_path(paths.recorded_folder(folder, str(table))) == folder


def test_unpacked_archive_is_found_in_the_cache_wherever_that_is(places, monkeypatch):
    (places / "pets.zip").touch()
    for cache in ("here", "there"):
        monkeypatch.setenv("OSEMN_CACHE_DIR", str(places / cache))
        unpacked = paths.cache_root() / "images/pets-1234/unpacked"
        recorded = paths.recorded_folder(unpacked, str(places / "pets.zip"))
        assert recorded == "(cache)/images/pets-1234/unpacked"
        assert paths.local_path(recorded) == unpacked


def test_addresses_of_one_name_do_not_clash(places):
    paths.claim("s3://a/pets")
    assert paths.dataset_slug("s3://a/pets") == "pets"
    assert paths.dataset_slug("s3://b/pets") == "b_pets"
    assert paths.recorded_dataset("s3://b/pets") == "s3://b/pets"


def test_only_a_hidden_file_knows_the_place(places):
    paths.claim(str(places / "a/pets"))
    known = paths.output_root() / "runs/.places.json"
    assert json.loads(known.read_text()) == {"pets": str(places / "a/pets")}
    assert [path.name for path in known.parent.iterdir() if not path.name.startswith(".")] == []


def test_path_of_a_result_opens_from_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path / "out"))
    results = [paths.output_root() / "index.html", tmp_path / "inside" / "reports" / "index.html"]
    assert paths.openable(results[0]) == (tmp_path / "out" / "index.html").resolve().as_posix()
    assert paths.openable(results[1]) == "reports/index.html"
