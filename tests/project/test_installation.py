"""`make` and the script that creates its environment, with stand-ins for Python and `osemn`."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import REPOSITORY

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the script is for a POSIX shell")


def program(path: Path, script: str) -> Path:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def install(folder: Path, failing: str) -> subprocess.CompletedProcess:
    """Run the script with a stand-in for Python that fails on arguments matching a pattern."""
    python = program(
        folder / "bin" / "python",
        f'case "$*" in {failing}) echo "ERROR: hashes do not match"; exit 1 ;; esac\nexit 0',
    )
    return subprocess.run(
        ["sh", "tools/make_environment.sh", str(folder)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHON": str(python)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("failing", ["*--require-hashes*", "*--editable*", "*importlib.metadata*"])
def test_environment_is_not_ready_where_a_step_failed_and_is_after_the_next_try(tmp_path, failing):
    folder = tmp_path / "my environment"
    done = install(folder, failing)
    assert done.returncode == 1
    assert "ERROR: hashes do not match" in done.stdout
    assert "The installation did not finish" in done.stderr
    assert not (folder / ".ready").exists()
    done = install(folder, "nothing")
    assert done.returncode == 0, done.stderr
    assert (folder / ".ready").exists()
    assert done.stdout.endswith(f"The environment in {folder} is ready.\n")


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize("target", ["run", "status", "report"])
def test_make_takes_a_folder_with_a_space_in_its_name(tmp_path, target):
    program(tmp_path / "bin" / "osemn", 'printf "<%s>" "$@"')
    (tmp_path / ".ready").touch()
    call = ["make", "--no-print-directory", f"VENV={tmp_path}", target, "DATASET=my images", "PROFILE=smoke"]
    done = subprocess.run(call, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.stdout == f"<{target}><--dataset><my images><--profile><smoke>", done.stderr
