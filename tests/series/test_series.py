"""The real series at the smoke profile on scikit-learn's digits, run once by the command line."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import pandas as pd
import pytest
from missing_weights import FIRST, notebooks_from, notebooks_left_out

import by_hand
import contradictions
from conftest import REPOSITORY, osemn
from helpers.cli import graph
from helpers.series import manifests, profiles, seal, stages
from private_places import named

SECONDS = 2_400  # for the complete series, on a slow machine that runs other tests too
pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS + 100)]  # the first test waits for the series


@pytest.fixture(scope="module")
def registry() -> bool:
    return not notebooks_left_out()


@pytest.fixture
def weights(registry):
    """Skip a test that needs ImageNet weights if they cannot be downloaded; never replace them by random ones."""
    if not registry:
        pytest.skip("skipped: no registry")


@pytest.fixture(params=[stage.name for stage in stages.STAGES])
def stage(request, registry):
    """Each stage that can be run here."""
    if stages.notebook_of(request.param) in notebooks_from(FIRST) and not registry:
        pytest.skip("skipped: no registry")
    return request.param


@pytest.fixture(scope="module")
def twice(tmp_path_factory, registry):
    """Run the series and, at the same time in another folder, its training stages; return the outputs and folders."""
    whole = [()] if registry else [("--until", "09_tuning")]
    training = [("--until", "09_tuning"), ("--until", "06_fine_tuning")] if registry else whole
    folders = [tmp_path_factory.mktemp(name) for name in ("series", "again")]

    def printed(folder: Path, runs: list[tuple[str, ...]]) -> str:
        return "".join(finished(folder, *arguments) for arguments in runs)

    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(printed, folders, (whole, training)))
    return list(zip(said, folders, strict=True))


def finished(output: Path, *arguments: str) -> str:
    """Run the series, or a part of it, and return its output."""
    command = [sys.executable, "-m", "helpers.cli", "run", "--dataset", "digits", "--profile", "smoke"]
    done = subprocess.run(
        [*command, *arguments],
        cwd=REPOSITORY,
        env=environment(output),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def series(twice):
    """The command's output, the output folder and its environment."""
    printed, output = twice[0]
    return printed, output, environment(output)


def environment(output: Path) -> dict[str, str]:
    return {**os.environ, "OSEMN_OUTPUT_DIR": str(output)}


def again(series, *arguments: str):
    _, _, environment = series
    return osemn(*arguments, "--dataset", "digits", "--profile", "smoke", cwd=REPOSITORY, env=environment)


def metrics(series, stage: str) -> dict:
    return json.loads((series[1] / "runs" / "digits" / "smoke" / stage / "metrics.json").read_text())


def test_last_line_printed_is_the_path_of_the_report(series, weights):
    printed, output, _ = series
    last = Path(printed.strip().splitlines()[-1])
    assert last == output / "reports/digits/smoke/index.html"
    assert last.is_file()


def test_conclusions_of_the_series_do_not_contradict_each_other(series, weights):
    logged = {stage.name: metrics(series, stage.name) for stage in stages.STAGES}
    assert contradictions.find(logged) == []


def test_nothing_that_is_shared_names_this_machine(series):
    assert list(named(series[1])) == []


def test_report_has_a_page_to_try_the_champion(series, weights):
    folder = series[1] / "reports" / "digits" / "smoke"
    assert 'href="try_it.html"' in (folder / "index.html").read_text(encoding="utf-8")
    page = (folder / "try_it.html").read_text(encoding="utf-8")
    assert 'href="10_export.html"' in page
    assert metrics(series, "10_export")["version"] in page


def test_stage_left_all_that_it_declares(series, stage):
    folder = series[1] / "runs" / "digits" / "smoke" / stage
    manifest = manifests.require(folder, stage)
    wanted = {*stages.find(stage).writes, "metrics.json", "notebook.ipynb"}
    assert wanted <= set(manifest["outputs"])
    for name in wanted:
        assert (folder / name).stat().st_size > 0


def test_stage_read_only_what_it_may(series, stage):
    manifest = manifests.read(series[1] / "runs" / "digits" / "smoke" / stage)
    read = {stages.split_input(name)[0] for name in manifest["inputs"] if not name.startswith("source:")}
    spec = stages.find(stage)
    assert read <= set(spec.looks_at)
    assert set(stages.find(stage).reads) <= read, (
        "else a stage would be done although what it read has changed"
    )
    opened = "01_acquire/test.npz" in manifest["inputs"]
    assert opened == (spec.notebook in seal.TEST_STAGES)


def test_second_run_has_nothing_to_do(series, weights):
    before = {stage.name: manifests.read(folder(series, stage.name)) for stage in stages.STAGES}
    done = again(series, "run")
    assert done.returncode == 0
    assert "started" not in done.stdout
    assert {name: manifests.read(folder(series, name)) for name in before} == before


def folder(series, stage: str) -> Path:
    return series[1] / "runs" / "digits" / "smoke" / stage


def test_worker_that_comes_late_finds_the_study_finished(series, weights):
    done = again(series, "tune")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["4 of 4 trials finished, 4 of them from before"]


def test_best_trial_is_never_worse_than_the_defaults(series, weights):
    rows = pd.read_csv(folder(series, "09_tuning") / "trials.csv")
    complete = rows[rows["state"] == "complete"]
    assert rows["number"].tolist() == list(range(4))
    assert metrics(series, "09_tuning")["best_trial"] == complete.loc[complete["value"].idxmax(), "number"]
    assert complete["value"].max() >= rows["value"][0]


def test_baselines_beat_the_majority_class(series):
    models = metrics(series, "04_baseline")["models"]
    floor = models["majority"]["accuracy_ci95"][1]
    for name in ("logistic_regression", "linear_svm", "random_forest"):
        assert models[name]["accuracy_ci95"][0] > floor, name


def test_forest_predicts_with_one_thread(series):
    """Sums over the threads of a forest differ in the last bit from call to call."""
    forest = joblib.load(folder(series, "04_baseline") / "models/random_forest.joblib")
    assert forest.n_jobs in (None, 1)


MODELS = (
    ("04_baseline", "baseline_cnn"),
    ("04_baseline", "dense"),
    ("05_transfer_learning", "transfer"),
    ("06_fine_tuning", "fine_tuned"),
    ("09_tuning", "tuned"),
)


@pytest.mark.parametrize(("stage_of_model", "name"), MODELS)
def test_saved_models_take_raw_pixels_without_this_package(series, registry, stage_of_model, name):
    """The model file and the raw images alone reproduce the saved predictions."""
    import keras
    import numpy as np

    if stage_of_model in notebooks_from(FIRST) and not registry:
        pytest.skip("skipped: no registry")
    place = folder(series, stage_of_model)
    train = np.load(folder(series, "01_acquire") / "train.npz")
    rows = np.load(folder(series, "03_preprocess") / "split.npz")["validation_index"]
    saved = np.load(place / "validation_predictions.npz")
    model = keras.models.load_model(place / "models" / f"{name}.keras", safe_mode=True)
    probabilities = model.predict(train["images"][rows].astype("float32"), verbose=0)
    assert probabilities.dtype == np.float32
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert np.allclose(probabilities, saved[f"probabilities_{name}"], atol=1e-5)


def test_fine_tuning_trains_what_it_says_and_keeps_the_rest(series, weights):
    """Compare 06's model with 05's: the chosen blocks differ, and the frozen blocks are identical bit for bit."""
    import keras
    import numpy as np

    from helpers.model.backbones import fold_batch_norm

    before = fold_batch_norm.fold(
        keras.models.load_model(folder(series, "05_transfer_learning") / "models" / "transfer.keras")
    )
    after = keras.models.load_model(folder(series, "06_fine_tuning") / "models" / "fine_tuned.keras")
    chosen = metrics(series, "06_fine_tuning")["chosen"]
    same = {
        layer.name: all(
            np.array_equal(one, other)
            for one, other in zip(layer.get_weights(), after.get_layer(layer.name).get_weights(), strict=True)
        )
        for layer in before.layers
        if layer.weights
    }
    assert not same["head_conv"]
    assert not same["probabilities"]
    assert same["stem_conv"] == (chosen == "top_blocks")
    assert same.get("classifier_norm", True), "the batch normalisation of a dense head stays as it is"


def test_scratch_is_gone_when_a_stage_is_done(series):
    assert not list((series[1] / "runs" / "digits" / "smoke").glob("*.scratch"))


def test_same_seed_gives_the_same_models_bit_for_bit(twice, registry):
    """Two simultaneous runs in separate processes make equal predictions."""
    files = ["01_acquire/train.npz", "03_preprocess/split.npz", "04_baseline/validation_predictions.npz"]
    if registry:
        files += [
            f"{name}/validation_predictions.npz"
            for name in ("05_transfer_learning", "06_fine_tuning", "09_tuning")
        ]
    for file in files:
        one, other = (output / "runs" / "digits" / "smoke" / file for _, output in twice)
        assert manifests.sha256(one) == manifests.sha256(other), file


def test_flipped_byte_in_any_artifact_is_noticed_and_named(series, tmp_path):
    """Flip one byte in every file of every stage, and restore its time stamp."""
    copy = tmp_path / "output"
    shutil.copytree(series[1], copy)
    checked = 0
    for stage in stages.STAGES:
        if not folder(series, stage.name).is_dir():
            continue  # no registry
        place = copy / "runs" / "digits" / "smoke" / stage.name
        manifest = manifests.read(place)
        for name in manifest["outputs"]:
            file = place / name
            original, stamp = file.read_bytes(), file.stat()
            middle = len(original) // 2
            file.write_bytes(original[:middle] + bytes([original[middle] ^ 1]) + original[middle + 1 :])
            os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
            (message,) = manifests.faults(place, manifest)
            assert name in message
            file.write_bytes(original)
            checked += 1
    assert checked > 40


def test_changed_parameter_outdates_all_that_depends_on_it(series, weights, monkeypatch):
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(series[1]))
    changed = profiles.parse_overrides(["04_baseline.forest_trees=11"])
    request = graph.Request("digits", "smoke", overrides=changed)
    assert {state.stage for state in graph.states(request) if not state.done} == {
        "04_baseline",
        # 05 and 06 need no network from 04, and of the maps only those of its CNN and of the network that 09 compares with it
        "08_grad_cam/baseline_cnn",
        "08_grad_cam/tuned",
        "09_tuning",
        # the other candidates are compared with the first, and run again if it changes
        *(stage.name for stage in stages.of_notebook("07_evaluation")),
        "10_export",
        "11_serving",
        "12_report",
    }


def test_changed_parameter_runs_only_what_depends_on_it(series, weights):
    done = again(series, "run", "--set", "02_explore.embedding_samples=200")
    assert done.returncode == 0, done.stderr
    ran = [line.split()[1].rstrip(":") for line in done.stdout.splitlines() if ": started" in line]
    assert ran == ["02_explore", "12_report"]


@pytest.fixture(scope="module")
def copied(series, tmp_path_factory):
    """The finished series in a folder of its own, for notebooks that are run once more."""
    folder = tmp_path_factory.mktemp("by hand")
    shutil.copytree(series[1], folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OSEMN_OUTPUT_DIR", str(folder))
        yield


@pytest.mark.parametrize(
    "stage",
    [
        *("05_transfer_learning", "06_fine_tuning", "07_evaluation/fine_tuned", "08_grad_cam/tuned"),
        *("10_export", "11_serving", "12_report"),
    ],
)
def test_notebook_by_hand_with_its_try_it_cell_and_solutions(copied, weights, stage):
    by_hand.try_and_solve(stage, by_hand.run(stage))
