"""`osemn models` lists, promotes, checks, rolls back and prunes, and says what to do if it cannot."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import registry_versions
from helpers.cli import main
from helpers.errors import OsemnError, UsageError
from helpers.export.registry import Registry


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two versions of digits, the older first."""
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path / "out"))
    content = registry_versions.content(tmp_path / "content")
    accuracies = (0.9, 0.95)
    return sorted(
        Registry("digits").publish(content, registry_versions.facts(accuracy)).name for accuracy in accuracies
    )


def call(*arguments: str) -> str:
    done = CliRunner().invoke(main.app, ["models", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_versions_are_listed_promoted_checked_and_rolled_back(names):
    older, newer = names
    listing = call("--dataset", "digits")
    assert listing.index(newer) < listing.index(older)
    assert "on test  a linear classifier  [smoke]" in listing
    assert "No version is served yet" in listing
    assert f"{older} is served now" in call("promote", older, "--dataset", "digits")
    assert f"* {older}" in call("--dataset", "digits")
    call("--dataset", "digits", "promote", newer)
    assert f"{newer} is complete: 9 files; golden outputs within 0" in call("check", "--dataset", "digits")
    assert f"{older} is served again" in call("rollback", "--dataset", "digits")
    assert f"Removed: {newer}" in call("prune", "--keep", "1", "--dataset", "digits")
    assert call("prune", "--dataset", "digits") == "Nothing to remove\n"


def test_damaged_manifest_is_listed_as_such_and_does_not_stop_the_list(names):
    (Registry("digits").folder / names[0] / "manifest.json").write_text("{", encoding="utf-8")
    listing = call("--dataset", "digits")
    assert f"{names[0]}  its manifest cannot be read" in listing
    assert names[1] in listing


def test_served_version_that_is_missing_is_said(names):
    call("promote", names[0], "--dataset", "digits")
    shutil.rmtree(Registry("digits").folder / names[0])
    listing = call("--dataset", "digits")
    assert f"The served version, {names[0]}, is missing" in listing
    assert names[1] in listing


def test_empty_registry_says_how_to_make_a_version(tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path))
    assert "mnist has no versions yet; export one: osemn run --dataset mnist --until 10_export" in call(
        "--dataset", "mnist"
    )


def test_wrong_names_are_errors(names):
    with pytest.raises(UsageError, match="There is no data set 'digit'"):
        call("--dataset", "digit")
    with pytest.raises(UsageError, match="is not a version name"):
        call("promote", "../../etc", "--dataset", "digits")
    with pytest.raises(OsemnError, match="No version of digits is promoted yet"):
        call("check", "--dataset", "digits")
