import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
from filelock import FileLock

from conftest import TinyProject, osemn
from helpers import paths
from helpers.cli import graph
from helpers.errors import UsageError
from helpers.series import manifests, profiles
from helpers.series.resolve import resolve
from photographs import class_folders

UNTIL = ("--until", "02_explore")


def words(project, **options) -> dict[str, str]:
    request = graph.Request("digits", "tiny", until="02_explore", **options)
    return {state.stage: state.word for state in graph.states(request)}


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory):
    tiny = TinyProject(tmp_path_factory.mktemp("finished") / "project")
    done = tiny.osemn("run", *UNTIL)
    assert done.returncode == 0, done.stderr
    tiny.printed = done
    return tiny


@pytest.fixture
def finished(project, finished_once):
    """A copy of a tiny project whose first two stages are done; copying must not outdate them."""
    shutil.copytree(finished_once.root, project.root, dirs_exist_ok=True)
    return project


def test_log_of_a_run_has_lines_and_no_progress_bars(finished_once):
    printed = finished_once.printed
    assert [line.partition(" (")[0] for line in printed.stdout.splitlines()][1] == "[1/2] 01_acquire: started"
    assert printed.stderr == ""


def started(project) -> dict[str, str]:
    return {
        stage: project.manifest(stage)["started"] + json.dumps(project.manifest(stage)["parameters"])
        for stage in ("01_acquire", "02_explore")
    }


def edit(project, stage: str, cell: int, addition: str) -> None:
    path = project.root / "notebooks" / f"{stage}.ipynb"
    notebook = json.loads(path.read_text())
    source = notebook["cells"][cell]["source"]
    notebook["cells"][cell]["source"] = "".join(source) + addition
    path.write_text(json.dumps(notebook))


def test_output_folder_with_braces_is_refused_before_anything_is_made(project, monkeypatch):
    folder = project.root / "{out}"
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(folder))
    with pytest.raises(UsageError, match="braces") as refused:
        graph.run(graph.Request("digits", "tiny"))
    assert "OSEMN_OUTPUT_DIR" in refused.value.remedy
    assert not folder.exists()


def test_run_shows_its_progress_and_leaves_every_stage_done(project):
    done = project.osemn("run", *UNTIL)
    assert done.returncode == 0, done.stderr
    assert "[1/2] 01_acquire: started" in done.stdout
    assert "[2/2] 02_explore: done in" in done.stdout
    assert "so far)" in done.stdout
    assert words(project) == {"01_acquire": "done", "02_explore": "done"}


def test_second_run_runs_nothing(finished):
    before = {stage: finished.manifest(stage) for stage in ("01_acquire", "02_explore")}
    done = finished.osemn("run", *UNTIL)
    assert done.returncode == 0, done.stderr
    assert "started" not in done.stdout
    assert {stage: finished.manifest(stage) for stage in before} == before


def test_changed_notebook_outdates_its_stage_and_what_reads_from_it(finished):
    edit(finished, "02_explore", 1, "\n1 + 1")
    assert words(finished) == {"01_acquire": "done", "02_explore": "outdated"}
    edit(finished, "01_acquire", 1, "\n1 + 1")
    assert words(finished) == {"01_acquire": "outdated", "02_explore": "outdated"}


def test_stage_is_not_run_again_when_its_inputs_came_out_the_same(finished):
    before = finished.manifest("02_explore")
    edit(finished, "01_acquire", 1, "\n1 + 1")
    done = finished.osemn("run", *UNTIL)
    assert "[1/2] 01_acquire: done in" in done.stdout
    assert "[2/2] 02_explore: unchanged inputs, nothing to do" in done.stdout
    assert finished.manifest("02_explore") == before
    assert words(finished) == {"01_acquire": "done", "02_explore": "done"}


def test_stage_runs_again_when_an_input_came_out_different(finished):
    before = finished.manifest("02_explore")
    edit(finished, "01_acquire", 2, "\nrun.path('train.npz').write_text('other')")
    done = finished.osemn("run", *UNTIL)
    assert "[2/2] 02_explore: done in" in done.stdout
    assert finished.manifest("02_explore")["inputs"] != before["inputs"]


def test_changed_parameter_outdates_only_its_stage_and_is_named(finished):
    request = graph.Request("digits", "tiny", overrides={"02_explore": {"samples_per_class": 5}})
    state = graph.stage_state(request, request.stages[2])
    assert state.word == "outdated"
    assert "samples_per_class was 2, is 5" in state.reason
    done = finished.osemn("run", *UNTIL, "--set", "02_explore.samples_per_class=5")
    assert "01_acquire: started" not in done.stdout
    assert finished.manifest("02_explore")["parameters"]["samples_per_class"] == 5


def test_changed_helper_outdates_what_imports_it(finished, monkeypatch, tmp_path):
    genuine = manifests.source_sha256
    monkeypatch.setattr(manifests, "source_sha256", lambda s: genuine(s) + ("x" if s == "02_explore" else ""))
    assert words(finished) == {"01_acquire": "done", "02_explore": "outdated"}


def test_flipped_byte_is_named_and_only_that_stage_runs_again(finished):
    target = finished.folder("02_explore") / "duplicates.csv"
    target.write_bytes(target.read_bytes()[:-1] + b"!")
    status = finished.osemn("status")
    assert "02_explore" in status.stdout
    assert "duplicates.csv was changed after it was written" in status.stdout
    done = finished.osemn("run", *UNTIL)
    assert "duplicates.csv was changed" in done.stdout
    assert "01_acquire: started" not in done.stdout
    assert words(finished) == {"01_acquire": "done", "02_explore": "done"}


def test_from_runs_a_done_stage_again(finished):
    before = started(finished)
    time.sleep(1.1)
    done = finished.osemn("run", *UNTIL, "--from", "02_explore")
    assert done.returncode == 0
    assert started(finished)["01_acquire"] == before["01_acquire"]
    assert started(finished)["02_explore"] != before["02_explore"]


def test_failed_stage_ends_the_run_with_1_and_the_next_run_goes_on_there(project):
    good = (project.root / "notebooks" / "02_explore.ipynb").read_text()
    project.write("02_explore", extra="raise ValueError('a bad cell')")
    done = project.osemn("run", *UNTIL)
    assert done.returncode == 1
    assert "ValueError: a bad cell" in done.stderr
    assert "Traceback" not in done.stderr
    assert "without an error message" not in done.stderr
    assert words(project) == {"01_acquire": "done", "02_explore": "not run"}
    assert "see failed.ipynb" in project.osemn("status").stdout
    (project.root / "notebooks" / "02_explore.ipynb").write_text(good)
    done = project.osemn("run", *UNTIL)
    assert done.returncode == 0
    assert "01_acquire: started" not in done.stdout
    assert not (project.folder("02_explore") / "failed.ipynb").exists()


def test_folder_of_images_may_have_braces_in_its_name(project):
    class_folders(project.root / "pictures" / "br{x}", {"cat": 3, "dog": 3})
    named = ("--dataset", "pictures/br{x}", "--profile", "tiny", "--until", "01_acquire")
    done = osemn("run", *named, cwd=project.root, env=project.environment())
    assert done.returncode == 0, done.stderr
    assert (project.root / "runs" / "br_x" / "tiny" / "01_acquire" / "manifest.json").is_file()


def test_stage_run_by_hand_is_distinguished(finished):
    folder = finished.folder("01_acquire")
    manifest = manifests.read(folder)
    del manifest["outputs"]["notebook.ipynb"]
    manifests.write_json(folder / manifests.NAME, manifest)
    assert words(finished)["01_acquire"] == "by hand"


def test_two_runs_of_the_same_series_do_not_mix(project):
    folder = project.root / "runs" / "digits" / "tiny"
    folder.mkdir(parents=True)
    with FileLock(folder / ".run.lock"):
        done = project.osemn("run", *UNTIL)
    assert done.returncode == 1
    assert "Another 'osemn run' is in progress in runs/digits/tiny" in done.stderr


def test_two_profiles_run_at_once(project):
    (project.root / "profiles" / "second.yaml").write_text("")
    command = [sys.executable, "-m", "helpers.cli", "run", "--dataset", "digits", *UNTIL, "--profile"]
    both = [
        subprocess.Popen(
            [*command, profile], env=project.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        for profile in ("tiny", "second")
    ]
    for process in both:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
    for profile in ("tiny", "second"):
        folder = project.root / "runs" / "digits" / profile / "02_explore"
        assert manifests.require(folder, "02_explore")["parameters"]["profile"] == profile


def test_request_refuses_wrong_names_before_anything_runs(project):
    for options in (
        {"profile": "quik"},
        {"dataset": "fashion"},
        {"until": "13_more"},
        {"from_stage": "03_preprocess", "until": "02_explore"},
        {"overrides": {"02_explore": {"samples_per_clas": 3}}},
    ):
        with pytest.raises(UsageError):
            graph.Request(**{"dataset": "digits", "profile": "tiny", **options})
    with pytest.raises(UsageError, match="no setting 'datset'"):
        graph.Request.from_config({"datset": "mnist"})


def descendants(process: subprocess.Popen) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


@pytest.mark.slow
@pytest.mark.parametrize("whole_group", [False, True])
def test_run_killed_at_random_moments_resumes_by_the_same_command(project, whole_group):
    project.write("02_explore", extra="import time; time.sleep(0.5)")
    generator = random.Random(int(whole_group))
    for _ in range(2):
        command = [
            sys.executable,
            "-m",
            "helpers.cli",
            "run",
            "--dataset",
            "digits",
            "--profile",
            "tiny",
            *UNTIL,
            "--from",
            "01_acquire",
        ]
        process = subprocess.Popen(
            command,
            env=project.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(generator.uniform(1.0, 8.0))
        family = descendants(process)
        if whole_group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        done = project.osemn("run", *UNTIL)
        assert done.returncode == 0, done.stderr
        assert words(project) == {"01_acquire": "done", "02_explore": "done"}
        psutil.wait_procs(family, timeout=10)
        assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE], (
            "no process is left behind"
        )
    leftovers = {file.name for file in project.folder("01_acquire").parent.iterdir()}
    assert not {name for name in leftovers if name.endswith((".old", ".partial", ".ipynb"))}


@pytest.mark.slow
def test_run_ended_by_ctrl_c_says_so_and_resumes_by_the_same_command(project):
    begun = project.root / "begun"
    project.write(
        "02_explore", extra=f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "helpers.cli", "run", "--dataset", "digits", "--profile", "tiny", *UNTIL],
        env=project.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not begun.exists():
        assert process.poll() is None
        time.sleep(0.1)
    family = descendants(process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Stopped: The run was stopped by Ctrl+C.\n  → the same command resumes it" in said
    assert "Traceback" not in said
    psutil.wait_procs(family, timeout=10)
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    project.write("02_explore")
    done = project.osemn("run", *UNTIL)
    assert done.returncode == 0, done.stderr
    assert "01_acquire: started" not in done.stdout
    leftovers = {file.name for file in project.folder("01_acquire").parent.iterdir()}
    assert not {name for name in leftovers if name.endswith((".old", ".partial", ".ipynb"))}


def test_broken_lock_or_marker_files_do_not_confuse_the_graph(finished):
    folder = finished.root / "runs" / "digits" / "tiny" / ".graph"
    for marker in folder.glob("*.done"):
        marker.unlink()
    done = finished.osemn("run", *UNTIL)
    assert done.returncode == 0, done.stderr
    assert "started" not in done.stdout
    (folder / "03_preprocess.done").touch()
    request = graph.Request("digits", "tiny", until="03_preprocess")
    graph.steps(request)
    assert not (folder / "03_preprocess.done").exists(), "a marker without a manifest is removed"
    assert (folder / "01_acquire.done").exists(), "a manifest without a marker gets one"


@pytest.mark.parametrize(("usable", "half"), [(1, 1), (2, 1), (8, 4), (9, 5)])
def test_stages_that_train_share_a_machine_unless_they_measure_times(project, usable, half):
    request = graph.Request("digits", "tiny")
    steps = {step.name: step for step in graph.steps(request, refresh=False)}
    for name in ("04_baseline", "05_transfer_learning", "06_fine_tuning", "09_tuning"):
        assert steps[name].cores(usable, shared=True) == half
        assert steps[name].cores(usable, shared=False) == usable
    for name in ("10_export", "11_serving"):
        assert steps[name].cores(usable, shared=True) == usable
    assert steps["02_explore"].cores(usable, shared=True) == 1
    budget = graph.Request("digits", "tiny", overrides={"06_fine_tuning": {"minutes": 3.0}})
    timed = {step.name: step for step in graph.steps(budget, refresh=False)}
    assert timed["06_fine_tuning"].cores(usable, shared=True) == usable
    assert timed["09_tuning"].cores(usable, shared=True) == half
    first = sorted(steps, key=lambda name: -steps[name].priority)
    assert first[:4] == ["04_baseline", "05_transfer_learning", "06_fine_tuning", "09_tuning"]
    assert first.index("03_preprocess") < first.index("02_explore")


def test_unknown_executor_is_an_error_that_says_so(project):
    done = project.osemn("run", *UNTIL, "--executor", "slrum")
    assert done.returncode != 0
    assert "slrum" in done.stderr + done.stdout


def test_evaluation_runs_again_when_a_candidate_to_compare_with_appears(project):
    assert project.osemn("run", "--until", "07_evaluation/transfer").returncode == 0
    inputs = project.manifest("07_evaluation/transfer")["inputs"]
    assert inputs["07_evaluation/baseline_cnn/manifest.json"] == "absent"
    assert state_of(project, "07_evaluation/transfer").word == "done"
    assert project.osemn("run", "--until", "07_evaluation/baseline_cnn").returncode == 0
    state = state_of(project, "07_evaluation/transfer")
    assert state.word == "outdated"
    assert "07_evaluation/baseline_cnn" in state.reason
    assert project.osemn("run", "--until", "07_evaluation/transfer").returncode == 0
    inputs = project.manifest("07_evaluation/transfer")["inputs"]
    assert "07_evaluation/baseline_cnn/test_predictions.npz" in inputs
    assert state_of(project, "07_evaluation/transfer").word == "done"


def state_of(project, stage: str) -> graph.State:
    return graph.states(graph.Request("digits", "tiny", until=stage))[-1]


def test_parameters_of_one_candidate_may_be_set(project):
    given = profiles.parse_overrides(["07_evaluation.seed=3", "07_evaluation/tuned.seed=4"])
    values = {
        name: resolve(f"07_evaluation/{name}", "digits", "tiny", given).parameters
        for name in ("transfer", "tuned")
    }
    assert (values["transfer"]["seed"], values["tuned"]["seed"]) == (3, 4)
    assert (values["transfer"]["candidate"], values["tuned"]["candidate"]) == ("transfer", "tuned")
    with pytest.raises(UsageError, match="runs for every candidate"):
        profiles.parse_overrides(["07_evaluation.candidate=tuned"])


def test_a_state_leaves_a_publish_alone_that_is_under_way(finished):
    folder = paths.stage_folder("digits", "tiny", "01_acquire")
    retired = folder.with_name("01_acquire.old")
    folder.rename(retired)
    with FileLock(folder.with_name(".01_acquire.lock")):
        assert words(finished)["01_acquire"] == "not run"
        assert retired.is_dir()
    assert words(finished)["01_acquire"] == "done"
    assert not retired.exists()
