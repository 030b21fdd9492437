"""TensorFlow.js comes from the first source that has it complete, and is verified each time."""

import dataclasses
import shutil

import pytest

from helpers.errors import AcquisitionError
from helpers.export import browser_runtime
from helpers.obtain.places import package_registries
from helpers.obtain.places.package_registries import SourceFailedError


@pytest.fixture(scope="module")
def files():
    try:
        return browser_runtime.folder()
    except AcquisitionError as error:
        pytest.skip(f"TensorFlow.js is unavailable here: {error.problem.splitlines()[0]}")


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("OSEMN_DATA_DIR", raising=False)
    return tmp_path / "cache" / "tfjs" / browser_runtime.VERSION


def offline(*arguments):
    raise SourceFailedError("npm failed: no network")


OFFLINE = dataclasses.replace(
    browser_runtime.RUNTIME, package=dataclasses.replace(browser_runtime.RUNTIME.package, fetch=offline)
)


def test_named_folder_comes_first_and_its_files_go_into_the_cache(files, empty_cache, tmp_path, monkeypatch):
    named = tmp_path / "named"
    shutil.copytree(files, named)
    monkeypatch.setenv("OSEMN_DATA_DIR", str(named))
    monkeypatch.setattr(browser_runtime, "RUNTIME", OFFLINE)
    assert browser_runtime.folder() == empty_cache
    monkeypatch.delenv("OSEMN_DATA_DIR")
    assert browser_runtime.folder() == empty_cache, "from the cache, without any source"


def test_altered_file_is_named_and_fetched_again(files, empty_cache, tmp_path, monkeypatch):
    named = tmp_path / "named"
    shutil.copytree(files, named)
    monkeypatch.setenv("OSEMN_DATA_DIR", str(named))
    folder = browser_runtime.folder()
    name = browser_runtime.FILES[0].name
    (folder / name).write_text("altered", encoding="utf-8")
    with pytest.warns(UserWarning, match=name):
        browser_runtime.folder()
    assert (folder / name).read_bytes() == (named / name).read_bytes()


def test_altered_source_is_not_taken(files, empty_cache, tmp_path, monkeypatch):
    named = tmp_path / "named"
    shutil.copytree(files, named)
    name = browser_runtime.FILES[-1].name
    (named / name).write_bytes(b"altered")
    monkeypatch.setenv("OSEMN_DATA_DIR", str(named))
    monkeypatch.setattr(browser_runtime, "RUNTIME", OFFLINE)
    with pytest.raises(AcquisitionError) as caught:
        browser_runtime.folder()
    assert f"OSEMN_DATA_DIR: {name} has the wrong content" in str(caught.value)
    assert "npm: npm failed: no network" in str(caught.value)
    assert "set OSEMN_DATA_DIR" in str(caught.value)


def test_node_and_its_npm_come_with_the_packages(monkeypatch):
    monkeypatch.setattr(package_registries.shutil, "which", lambda name: None)
    command = package_registries.npm()
    assert command[0] == package_registries.node()
    done = package_registries.call_tool([*command, "--version"], package_registries.Path("."), 60)
    assert done[0] == 0
    assert done[1].strip()[0].isdigit()
