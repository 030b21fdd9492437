"""Nothing that is shared names a place on this machine, its user or its name."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import TinyProject, osemn
from helpers.cli import graph
from helpers.report import collect
from private_places import named


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """A folder of images outside the project."""
    folder = tmp_path / "home of somebody" / "pets"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(6):
            pixels = np.random.default_rng(number + 10 * len(name)).integers(0, 256, (8, 8), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def run(project: TinyProject, command: str, dataset: Path, *arguments: str) -> str:
    """Run a command on a data set outside the project, and return what it printed."""
    of_run = ("--dataset", str(dataset), "--profile", "tiny", *arguments)
    done = osemn(command, *of_run, cwd=project.root, env=project.environment())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_run_does_not_name_the_place_of_the_data_and_stays_done_when_they_move(project, pets):
    printed = run(project, "run", pets, "--until", "01_acquire")
    assert "of pets to run" in printed
    runs = project.root / "runs"
    assert [path.name for path in runs.iterdir() if not path.name.startswith(".")] == ["pets"]
    assert list(named(runs, project.root, pets, pets.parent)) == []
    assert collect.collect(str(pets), "tiny").command == "osemn run --dataset pets --profile tiny"

    for file in pets.rglob("*.png"):
        file.touch()
    moved = shutil.move(pets.parent, pets.parent.with_name("elsewhere")) / pets.name
    assert "to run" not in run(project, "run", moved, "--until", "01_acquire")
    other = moved.with_name("other") / "pets"
    shutil.copytree(moved, other)
    states = graph.states(graph.Request(str(other), "tiny", "01_acquire"))
    assert {state.word for state in states} == {"not run"}
    assert "of other_pets to run" in run(project, "run", other, "--until", "01_acquire")
