import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import service_support
from conftest import REPOSITORY, osemn
from helpers.cli import main
from helpers.series import locks, stages
from photographs import class_folders


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (["run", "--dataset", "fashion-mnist"], "did you mean 'fashion_mnist'"),
        (["run", "--dataset", "no/folder/here"], "There is no folder"),
        (["run", "--profile", "quik"], "did you mean 'quick'"),
        (["run", "--until", "04_basline"], "did you mean '04_baseline'"),
        (["run", "--from", "4"], "There is no stage '4'"),
        (["run", "--set", "04_baseline.epochs=3"], "04_baseline has no parameter 'epochs'"),
        (["run", "--set", "04_baseline.cnn_epochs=many"], "valid integer"),
        (["run", "--set", "04_baseline.cnn_epochs=0"], "greater than or equal to 1"),
        (["run", "--set", "cnn_epochs"], "STAGE.parameter=value"),
        (["run", "--labels", "nowhere/labels.csv"], "nowhere/labels.csv.\n"),
        (["run", "--cores", "0"], "--cores"),
        (["run", "--core", "2"], "--cores"),
        (["status", "--profile", "quik"], "did you mean 'quick'"),
        (["report", "--dataset", "mnits"], "did you mean 'mnist'"),
        (["rum"], "run"),
        (["serve", "--timeout", "nan"], "less than or equal to"),
        (["serve", "--drift-every", "inf"], "less than or equal to"),
    ],
)
def test_wrong_call_ends_with_2_and_says_what_to_do(call, said, tmp_path):
    done = osemn(*call, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout.strip()


@pytest.mark.parametrize(
    ("classes", "said"),
    [((), "holds no image"), (("cat",), "are not in sub-folders"), (None, "There is no folder")],
)
def test_folder_without_two_classes_is_a_wrong_call(project, tmp_path, classes, said):
    folder = tmp_path / "pets"
    if classes is not None:
        folder.mkdir()
    class_folders(folder, dict.fromkeys(classes or (), 3))
    done = osemn(
        "run", "--dataset", str(folder), "--profile", "tiny", cwd=tmp_path, env=project.environment()
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert not list((project.root / "runs").glob("*"))


def test_parameter_that_a_built_in_data_set_does_not_take_is_a_wrong_call(project):
    done = project.osemn("run", "--set", "01_acquire.image_size=64")
    assert done.returncode == 2
    assert "comes with its own size" in done.stderr


def test_folder_whose_files_are_no_images_ends_with_1_and_names_them(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(3):
            (tmp_path / "pets" / name / f"{number}.png").write_text("not an image")
    environment = {**os.environ, "OSEMN_OUTPUT_DIR": str(tmp_path / "output")}
    done = osemn("run", "--dataset", "pets", "--until", "01_acquire", cwd=tmp_path, env=environment)
    assert done.returncode == 1
    assert "No image of" in done.stderr
    assert "cat/0.png" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_network_and_no_registry_is_one_clear_error_with_1(tmp_path):
    """Dead proxies simulate a missing network, and an empty PATH missing package tools."""
    environment = {
        **os.environ,
        "OSEMN_OUTPUT_DIR": str(tmp_path / "output"),
        "OSEMN_CACHE_DIR": str(tmp_path / "cache"),
        "PATH": str(tmp_path),
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    environment.pop("OSEMN_DATA_DIR", None)
    done = osemn("run", "--dataset", "mnist", "--until", "01_acquire", cwd=REPOSITORY, env=environment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "OSEMN_DATA_DIR" in done.stderr
    assert "npm" in done.stderr
    assert not list((tmp_path / "output").rglob("train.npz"))


COMMANDS = {
    name: command for name, command in typer.main.get_command(main.app).commands.items() if not command.hidden
}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command_has_an_example(name):
    commands = getattr(COMMANDS[name], "commands", None) or {"": COMMANDS[name]}
    for inner, command in commands.items():
        assert f"Example: osemn {f'{name} {inner}'.strip()}" in (command.epilog or ""), inner
    done = osemn(name, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_report_of_a_series_never_run_ends_with_1(project):
    done = project.osemn("report")
    assert done.returncode == 1
    assert "osemn run" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["status", "--dataset", "digits", "--profile", "smoke"]])
def test_help_and_status_import_nothing_that_takes_long(arguments):
    code = (
        "import sys\nfrom helpers.cli import main as cli\n"
        f"sys.argv = ['osemn', *{arguments!r}]\n"
        "try:\n    cli.main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'tensorflow', 'keras', 'snakemake', 'papermill', 'matplotlib', 'sklearn', 'numpy', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_commands_do_without_the_grammar_that_nbformat_would_wait_for():
    code = "import helpers.cli.main, papermill, sys; assert 'lark' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_status_lists_every_stage(project):
    done = project.osemn("status")
    assert done.returncode == 0
    for stage in stages.STAGES:
        assert stage.name in done.stdout
    command = (
        "osemn run --dataset digits --profile tiny --set '05_transfer_learning.compared_resolutions=[32, 48]'"
    )
    done = project.osemn("status", "--set", "05_transfer_learning.compared_resolutions=[32, 48]")
    assert done.stdout.splitlines()[-1].endswith(f"stages done; to continue: {command}")


def test_status_names_the_stage_that_runs_now(project):
    folder = project.folder("01_acquire")
    folder.parent.mkdir(parents=True)
    with locks.of_stage(folder, locks.EXECUTING):
        lines = project.osemn("status").stdout.splitlines()
    assert [line.split()[0] for line in lines if line.endswith("running")] == ["01_acquire"]
    assert lines[-1] == f"0 of {len(stages.STAGES)} stages done"
    assert "running" not in project.osemn("status").stdout


def test_image_folder_is_taken_from_the_working_directory(project, monkeypatch):
    inside = class_folders(project.root / "pictures" / "pets", {"cat": 3, "dog": 3})
    done = osemn(
        "status", "--dataset", "pets", "--profile", "tiny", cwd=inside.parent, env=project.environment()
    )
    assert done.returncode == 0, done.stderr
    assert "0 of" in done.stdout


def test_command_outside_a_project_still_finds_the_installed_one(tmp_path):
    assert osemn("status", "--dataset", "digits", "--profile", "smoke", cwd=tmp_path).returncode == 0


def test_folders_named_from_the_working_directory_are_the_same_for_every_process_of_a_run(project, tmp_path):
    place = tmp_path / "elsewhere"
    (place / "mine").mkdir(parents=True)
    environment = {**project.environment(), "OSEMN_OUTPUT_DIR": "out", "OSEMN_CACHE_DIR": "mine"}
    environment["OSEMN_HOME"] = os.path.relpath(project.root, place)
    write_cache = 'from helpers import paths\nrun.path("cache.txt").write_text(str(paths.cache_root()))'
    project.write("01_acquire", extra=write_cache)
    call = ("--dataset", "digits", "--profile", "tiny", "--until", "01_acquire")
    done = osemn("run", *call, cwd=place, env=environment)
    assert done.returncode == 0, done.stderr
    folder = place / "out" / "runs" / "digits" / "tiny" / "01_acquire"
    assert (folder / "manifest.json").is_file()
    assert (folder / "cache.txt").read_text() == str(place / "mine")
    assert not (project.root / "runs").exists()


def test_output_folder_that_cannot_be_created_is_reported_in_a_sentence(project, monkeypatch):
    (project.root / "file").write_text("")
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(project.root / "file" / "out"))
    done = project.osemn("run", "--until", "01_acquire")
    assert done.returncode == 1
    assert "cannot be written to: not a directory" in done.stderr
    assert "OSEMN_OUTPUT_DIR" in done.stderr
    assert "Traceback" not in done.stderr


def test_home_folder_and_unset_variables_are_understood(monkeypatch):
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", "~/runs of mine")
    monkeypatch.setenv("OSEMN_DATA_DIR", "")
    monkeypatch.delenv("OSEMN_CACHE_DIR", raising=False)
    main.fix_folders()
    assert os.environ["OSEMN_OUTPUT_DIR"] == str(Path.home() / "runs of mine")
    assert not os.environ["OSEMN_DATA_DIR"]
    assert "OSEMN_CACHE_DIR" not in os.environ


def test_prediction_of_a_file_whose_name_is_not_valid_text_is_printed_like_the_others(home):
    """The kind of F7: the first name stopped the predictions after it."""
    files = [home / os.fsdecode(b"a\xe9.png"), home / "b.png"]
    for file in files:
        file.write_bytes(service_support.png(service_support.pixels()))
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = osemn("predict", *map(str, files), "--dataset", "digits", env=strict)
    assert done.returncode == 0, done.stderr
    _, *rows = done.stdout.splitlines()
    assert [row.partition(",")[0].rpartition("/")[2] for row in rows] == [r"a\udce9.png", "b.png"]
