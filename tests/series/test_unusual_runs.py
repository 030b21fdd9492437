"""A run under circumstances that few machines have, and by tools other than `osemn`, ends complete or says what to do."""

import resource
import shutil
import subprocess
import sys

import pytest

from conftest import EXAMPLES, TinyProject
from helpers.errors import MissingInputError
from helpers.series import manifests, parameters, runs

pytestmark = pytest.mark.timeout(200)

NOBODY = (
    "unshare",
    "--user",
    "--map-user=12345",
)  # a user without an entry in /etc/passwd, as in many containers
FIRST = ("run", "--until", "01_acquire")


def call(project: TinyProject, *command: str, **options) -> subprocess.CompletedProcess:
    """Run a program on the project, with a stand-in for TensorFlow."""
    environment = {**project.environment(), **options.pop("env", {})}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in environment.items() if value is not None},
        cwd=project.root / "notebooks",
        timeout=180,
        **options,
    )


def osemn(project: TinyProject, *before: str, **options) -> subprocess.CompletedProcess:
    """Run the first two stages."""
    of_run = (FIRST[0], "--dataset", "digits", "--profile", "tiny", *FIRST[1:])
    return call(project, *before, sys.executable, "-m", "helpers.cli", *of_run, **options)


@pytest.mark.skipif(
    not shutil.which(NOBODY[0])
    or subprocess.run([*NOBODY, "true"], capture_output=True, check=False).returncode,
    reason="user namespaces are not available",
)
def test_user_without_a_name_and_a_home_runs_the_series(project):
    without = dict.fromkeys(("HOME", "USER", "LOGNAME", "LNAME", "USERNAME"))
    done = osemn(project, *NOBODY, env=without)
    assert done.returncode == 0, done.stdout + done.stderr
    manifests.require(project.folder("01_acquire"), "01_acquire")


def test_limit_of_open_files_is_raised_or_named(project):
    def limited(soft: int, hard: int) -> subprocess.CompletedProcess:
        return osemn(project, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)))

    refused = limited(64, 64)
    assert refused.returncode == 1
    assert "only 64 files open at once here; the series needs 256" in refused.stderr
    assert "ulimit -n 256" in refused.stderr
    project.write(
        "01_acquire", extra="import resource\nassert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 256"
    )
    done = limited(64, 4_096)
    assert done.returncode == 0, done.stdout + done.stderr


def test_clock_set_back_gives_no_negative_duration(project, monkeypatch):
    clock = iter([1_800_000_000.0])
    monkeypatch.setattr(runs.time, "time", lambda: next(clock, 1_700_000_000.0))
    run = runs.Run.start(
        "01_acquire", {name: EXAMPLES[name] for name in parameters.MODELS["01_acquire"].model_fields}
    )
    for name in run.stage.writes:
        run.path(name).write_text(name)
    run.finish()
    manifest = project.manifest("01_acquire")
    assert 0 <= manifest["seconds"] < 60
    assert manifest["started"] <= manifest["finished"]


@pytest.mark.parametrize("refused", [True, False])
def test_run_by_hand_refuses_an_input_that_was_run_with_other_images(project, refused):
    def finished(stage: str, **inputs: str) -> None:
        folder = project.folder(stage)
        folder.mkdir(parents=True)
        (folder / "train.npz").write_text(stage)
        (folder / "data_card.json").write_text(stage)
        outputs = manifests.describe_files(folder, list(folder.iterdir()))
        facts = {"schema": manifests.SCHEMA, "outputs": outputs, "inputs": inputs}
        manifests.write_json(folder / manifests.NAME, facts)

    finished("01_acquire")
    finished("10_export", **{f"01_acquire/{'train.npz' if refused else 'data_card.json'}": "of before"})
    given = {name: EXAMPLES[name] for name in parameters.MODELS["11_serving"].model_fields}
    if not refused:  # such a change cannot move an image from one part to the other
        runs.Run.reading("11_serving", given)
        return
    with pytest.raises(MissingInputError) as caught:
        runs.Run.start("11_serving", given)
    assert "10_export is out of date" in str(caught.value)
    assert "01_acquire/train.npz" in str(caught.value)
    assert "run notebooks/10_export.ipynb again" in str(caught.value)


def test_papermill_takes_lists_as_yaml_and_says_so(project):
    def papermill(*given: str) -> subprocess.CompletedProcess:
        return call(project, sys.executable, "-m", "papermill", "01_acquire.ipynb", "../out.ipynb", *given)

    refused = papermill("-p", "label_thresholds", "[0.5]", "-y", "test_fraction: 2e-1")
    assert refused.returncode != 0
    assert "label_thresholds" in refused.stderr
    assert "test_fraction" in refused.stderr
    assert "papermill takes lists with -y 'name: [1, 2]', and there 3.0e-4 for 3e-4" in refused.stderr
    done = papermill("-y", "{label_thresholds: [0.5], test_fraction: 2.0e-1}")
    assert done.returncode == 0, done.stderr
    assert project.manifest("01_acquire")["parameters"]["label_thresholds"] == [0.5]


@pytest.mark.parametrize(
    "tool",
    [
        ("-m", "nbconvert", "--to", "notebook", "--execute", "--output-dir", "..", "01_acquire.ipynb"),
        ("-m", "pytest", "-p", "no:cacheprovider", "--nbval-lax", "01_acquire.ipynb"),
    ],
)
def test_notebook_runs_by_other_tools(project, tool):
    done = call(project, sys.executable, *tool)
    assert done.returncode == 0, done.stdout + done.stderr
    manifests.require(project.folder("01_acquire"), "01_acquire")
