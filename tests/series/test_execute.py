import hashlib
import json
import subprocess
import sys

import nbformat
import pytest

from conftest import EXAMPLES
from helpers import paths
from helpers.errors import MissingInputError, OsemnError, UsageError
from helpers.series import execute, locks, manifests, parameters, runs, seal

ACQUIRE = {name: EXAMPLES[name] for name in parameters.MODELS["01_acquire"].model_fields}


def run_stage(stage: str = "01_acquire", overrides: dict | None = None):
    return execute.execute(stage, "digits", "tiny", overrides, progress=False)


def test_finished_stage_holds_executed_notebook_and_verifies(project):
    folder = run_stage()
    manifest = manifests.require(folder, "01_acquire")
    notebook = nbformat.read(folder / "notebook.ipynb", as_version=4)
    assert "notebook.ipynb" in manifest["outputs"]
    assert all(cell.execution_count for cell in notebook.cells)
    assert manifest["peak_memory_mb"] > 10
    assert manifest["processor_seconds"] > 0.2, "a kernel alone takes more than that to start"
    assert not list(folder.parent.glob(".01_acquire.*.ipynb")), "no temporary notebook stays"
    assert not folder.with_name("01_acquire.partial").exists()


def test_papermill_is_imported_without_stores_which_stay_importable():
    code = (
        "import sys\nfrom helpers.series import execute\nexecute._without_stores()\n"
        "assert not {'boto3', 'gcsfs', 'pyarrow'} & set(sys.modules)\nimport gcsfs, pandas, pyarrow\n"
        "pandas.DataFrame({'x': [1]}).to_parquet()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_braces_in_the_output_folders_name_are_no_parameters(project, monkeypatch):
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(project.root / "{out} of {dataset}"))
    folder = run_stage()
    assert "{out} of {dataset}" in str(folder)
    manifests.require(folder, "01_acquire")


def test_executed_notebook_names_no_path_of_this_machine(project):
    text = (run_stage() / "notebook.ipynb").read_text()
    assert str(project.root) not in text


def test_notebook_uses_the_address_of_a_database_but_does_not_hold_it(project):
    address = "postgresql://somebody@db.internal:5432/studies"
    project.write(
        "09_tuning",
        before="import hashlib\nfrom helpers.series import study_address\n"
        "print(hashlib.sha256(study_address.given(storage).encode()).hexdigest())",
    )
    with pytest.raises(OsemnError, match="run notebooks/"):  # its inputs are missing
        run_stage("09_tuning", {"09_tuning": {"storage": address}})
    text = (project.folder("09_tuning") / "failed.ipynb").read_text()
    assert hashlib.sha256(address.encode()).hexdigest() in text
    assert "postgresql:///studies" in text
    assert "somebody" not in text
    assert "db.internal" not in text


def test_only_values_that_differ_from_the_defaults_are_injected(project):
    plain = nbformat.read(run_stage() / "notebook.ipynb", as_version=4)
    changed = nbformat.read(run_stage(overrides={"01_acquire": {"seed": 7}}) / "notebook.ipynb", as_version=4)
    injected = [
        cell.source for cell in changed.cells if "injected-parameters" in cell.metadata.get("tags", [])
    ]
    assert not any("injected-parameters" in cell.metadata.get("tags", []) for cell in plain.cells)
    assert len(injected) == 1
    assert "seed = 7" in injected[0]
    assert "image_size" not in injected[0]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"image_sise": 3}, "did you mean 'image_size'"),
        ({"image_size": "big"}, "image_size"),
        ({"image_size": 3.5}, "image_size"),
        ({"test_fraction": 0.9}, "less than 0.5"),
        ({"test_fraction": float("nan")}, "test_fraction"),
        ({"seed": True}, "seed"),
        ({"color_mode": "sepia"}, "grayscale"),
    ],
)
def test_wrong_parameter_is_refused_before_a_kernel_starts(project, monkeypatch, overrides, said):
    monkeypatch.setattr(execute, "_papermill", lambda *_: pytest.fail("a kernel was started"))
    with pytest.raises(UsageError, match=said):
        run_stage(overrides={"01_acquire": overrides})


def test_failing_cell_is_shown_with_its_source_and_kept(project):
    project.write("01_acquire", extra="values = [1, 2]\nvalues[5]")
    with pytest.raises(OsemnError) as caught:
        run_stage()
    assert "values[5]" in str(caught.value)
    assert "IndexError: list index out of range" in str(caught.value)
    assert "failed.ipynb" in str(caught.value)
    kept = nbformat.read(project.folder("01_acquire") / "failed.ipynb", as_version=4)
    assert any(output.output_type == "error" for cell in kept.cells for output in cell.get("outputs", []))
    assert manifests.read(project.folder("01_acquire")) is None


def test_failed_run_leaves_the_earlier_result_whole(project):
    run_stage()
    before = project.manifest("01_acquire")
    project.write("01_acquire", extra="raise RuntimeError('no')")
    with pytest.raises(OsemnError, match="RuntimeError: no"):
        run_stage()
    assert manifests.require(project.folder("01_acquire"), "01_acquire") == before


def test_dead_kernel_is_told_with_its_cell_and_peak_memory(project):
    project.write("01_acquire", extra="import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(OsemnError) as caught:
        run_stage()
    message = str(caught.value)
    assert "kernel died" in message
    assert "os.kill(os.getpid(), signal.SIGKILL)" in message
    assert "peak memory" in message
    assert "batch size" in message


def test_error_for_the_user_is_passed_on_without_a_traceback(project):
    with pytest.raises(OsemnError) as caught:
        run_stage("02_explore")
    remedy = "run notebooks/01_acquire.ipynb first, or 'osemn run --dataset digits --profile tiny --until 01_acquire'"
    assert remedy in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_notebook_that_never_finishes_its_run_is_not_done(project):
    project.write("01_acquire", finish="")
    with pytest.raises(OsemnError, match=r"must call run\.finish\(\)"):
        run_stage()
    assert manifests.read(project.folder("01_acquire")) is None


def test_missing_declared_output_is_named(project):
    project.write("01_acquire", finish='run.path("train.npz").unlink()\nrun.finish()')
    with pytest.raises(OsemnError, match=r"did not write: train\.npz"):
        run_stage()


def test_cell_that_never_ran_is_noticed(project, monkeypatch):
    import papermill

    genuine = papermill.execute_notebook

    def forgetful(*arguments, **options):
        notebook = genuine(*arguments, **options)
        notebook.cells[-2].execution_count = None
        return notebook

    monkeypatch.setattr(papermill, "execute_notebook", forgetful)
    with pytest.raises(OsemnError, match="did not run"):
        run_stage()
    assert manifests.read(project.folder("01_acquire")) is None


def test_cell_to_be_tried_by_hand_is_skipped_and_may_be_edited(project):
    path = project.write("01_acquire")
    before = manifests.source_sha256("01_acquire")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("1 / 0", metadata={"tags": ["skip-execution"]}))
    nbformat.write(notebook, path)
    executed = nbformat.read(run_stage() / manifests.NOTEBOOK, as_version=4)
    assert [cell.execution_count for cell in executed.cells][-2:] == [len(executed.cells) - 1, None]
    assert manifests.source_sha256("01_acquire") == before


def test_changed_byte_in_an_input_is_named_before_use(project):
    folder = run_stage()
    target = folder / "train.npz"
    content = bytearray(target.read_bytes())
    content[3] ^= 1
    target.write_bytes(content)
    with pytest.raises(OsemnError, match=r"train\.npz was changed"):
        run_stage("02_explore")


def papermill(project, output, *arguments: str) -> subprocess.CompletedProcess:
    command = [
        sys.executable,
        "-m",
        "papermill",
        "--no-progress-bar",
        "notebooks/01_acquire.ipynb",
        str(output),
    ]
    return subprocess.run(
        [*command, *arguments], cwd=project.root, check=False, capture_output=True, text=True, timeout=120
    )


def test_plain_papermill_finishes_a_run_too(project, tmp_path):
    done = papermill(project, tmp_path / "o.ipynb", "-p", "seed", "3")
    assert done.returncode == 0, done.stderr
    manifest = manifests.require(project.folder("01_acquire"), "01_acquire")
    assert manifest["parameters"]["seed"] == 3


def test_plain_papermill_with_an_unknown_parameter_fails(project, tmp_path):
    done = papermill(project, tmp_path / "o.ipynb", "-p", "image_sise", "3")
    assert done.returncode != 0
    assert "did you mean 'image_size'" in done.stderr + done.stdout


def end_runs() -> None:
    for run in runs._open_runs.values():
        run.locks.close()
    runs._open_runs.clear()
    seal._running.clear()


def test_start_refuses_while_another_process_runs_the_stage(project, monkeypatch):
    code = (
        "import time\nfrom helpers.series.runs import Run\n"
        f"Run.start('01_acquire', {json.dumps(ACQUIRE)})\n"
        "print('locked', flush=True)\ntime.sleep(60)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=project.environment()
    )
    try:
        assert other.stdout.readline().strip() == "locked"
        monkeypatch.setenv("OSEMN_LOCK_SECONDS", "0.2")
        with pytest.raises(OsemnError, match="Another run of 01_acquire is in progress"):
            runs.Run.start("01_acquire", ACQUIRE)
        other.kill()
        other.wait()
        runs.Run.start("01_acquire", ACQUIRE)
    finally:
        other.kill()
        end_runs()


def test_start_by_hand_leaves_a_finished_run_alone_that_the_executor_has_not_put_in_its_place(
    project, monkeypatch
):
    monkeypatch.setenv("OSEMN_LOCK_SECONDS", "0.2")
    final = paths.stage_folder("digits", "tiny", "01_acquire")
    final.parent.mkdir(parents=True)
    with locks.of_stage(final, locks.EXECUTING):
        monkeypatch.setenv(runs.EXECUTOR_VARIABLE, "01_acquire")
        run = runs.Run.start("01_acquire", ACQUIRE)
        for name in run.stage.writes:
            run.path(name).write_text(name)
        run.finish()
        monkeypatch.delenv(runs.EXECUTOR_VARIABLE)
        with pytest.raises(OsemnError, match="Another run of 01_acquire is in progress"):
            runs.Run.start("01_acquire", ACQUIRE)
        assert manifests.read(run.partial)["stage"] == "01_acquire"
    runs.Run.start("01_acquire", ACQUIRE)
    end_runs()


def test_run_by_hand_keeps_the_executor_out_before_a_kernel_is_started(project, monkeypatch):
    monkeypatch.setenv("OSEMN_LOCK_SECONDS", "0.2")
    monkeypatch.setattr(execute, "_papermill", lambda *_: pytest.fail("a kernel was started"))
    runs.Run.start("01_acquire", ACQUIRE)
    try:
        with pytest.raises(OsemnError, match="Another run of 01_acquire is in progress"):
            execute.execute("01_acquire", "digits", "tiny", progress=False)
    finally:
        end_runs()


def test_start_resolves_its_stage_and_checks_its_parameters_once(project, monkeypatch):
    calls = []
    genuine = parameters.check
    monkeypatch.setattr(parameters, "check", lambda *given: calls.append(given) or genuine(*given))
    run = runs.Run.start("01_acquire", ACQUIRE)
    try:
        assert [stage for stage, _ in calls] == ["01_acquire"]
        assert run.folder == project.folder("01_acquire")
        assert run.partial.is_dir()
    finally:
        end_runs()


def test_input_of_a_stage_that_is_not_declared_is_refused(project):
    run_stage()
    run = runs.Run.start(
        "02_explore",
        {
            "dataset": "digits",
            "profile": "tiny",
            "seed": 0,
            "samples_per_class": 2,
            "embedding_samples": 100,
            "issue_images": 3,
        },
    )
    try:
        with pytest.raises(MissingInputError, match="may not read from 03_preprocess"):
            run.input("03_preprocess", "split.npz")
        with pytest.raises(MissingInputError, match=r"did you mean 'train\.npz'"):
            run.input("01_acquire", "trian.npz")
        with pytest.raises(OsemnError, match="loss' is nan"):
            run.log(loss=float("nan"))
        with pytest.raises(OsemnError, match="of type object"):
            run.log(loss=object())
    finally:
        end_runs()


def test_after_the_end_pictures_are_shown_but_nothing_is_written(project):
    import matplotlib.pyplot as plt

    run = runs.Run.start("01_acquire", ACQUIRE)
    for name in run.stage.writes:
        run.path(name).write_text(name)
    run.finish()
    before = manifests.require(run.folder, "01_acquire")
    picture = run.show(plt.figure(), "another", alt="an empty figure")
    assert picture.data.startswith(b"\x89PNG")
    for attempt in (run.finish, lambda: run.path("x.txt"), lambda: run.log(accuracy=1.0)):
        with pytest.raises(OsemnError, match=r"finished.*\n.*run cell"):
            attempt()
    assert not run.partial.exists()
    assert manifests.require(run.folder, "01_acquire") == before


def test_run_cell_can_be_run_again_before_the_end(project):
    first = runs.Run.start("01_acquire", ACQUIRE)
    first.path("train.npz").write_text("first")
    second = runs.Run.start("01_acquire", ACQUIRE)
    assert not (second.partial / "train.npz").exists()
    for name in second.stage.writes:
        second.path(name).write_text("second")
    second.finish()
    assert first.finished
    assert (second.folder / "train.npz").read_text() == "second"


def test_the_code_on_record_is_the_one_that_ran_not_what_it_was_edited_to_meanwhile(project):
    run = runs.Run.start("01_acquire", ACQUIRE)
    path = paths.notebook("01_acquire")
    path.write_text(path.read_text().replace("run.finish();", "1 + 1\\nrun.finish();"))
    for name in run.stage.writes:
        run.path(name).write_text(name)
    run.finish()
    assert manifests.read(run.folder)["source_sha256"] == run.source_sha256
    assert run.source_sha256 != manifests.source_sha256("01_acquire")
