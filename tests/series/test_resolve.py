import json

import numpy as np
import pytest

from conftest import EXAMPLES
from helpers import paths
from helpers.errors import MissingInputError
from helpers.series import manifests, parameters, resolve, stages

VALUES = {name: EXAMPLES[name] for name in parameters.MODELS["07_evaluation"].model_fields}
VALUES |= {"dataset": "digits", "profile": "smoke", "candidate": ""}
LABELS = np.array([0, 0, 0, 0, 0, 0, 1, 1])
MOSTLY_RIGHT = {
    "baseline_cnn": [0, 0, 0, 0, 0, 0, 0, 0],  # accuracy 0.75, balanced accuracy 0.5
    "transfer": [0, 0, 0, 1, 1, 1, 1, 1],  # 0.625 and 0.75
    "tuned": [1, 1, 1, 1, 1, 1, 1, 1],
}


def finish(stage: str) -> None:
    folder = paths.stage_folder("digits", "smoke", stage)
    files = [file for file in folder.iterdir() if file.name != manifests.NAME]
    facts = {"schema": manifests.SCHEMA, "stage": stage, "outputs": manifests.describe_files(folder, files)}
    manifests.write_json(folder / manifests.NAME, facts)


def train(name: str) -> None:
    folder = paths.stage_folder("digits", "smoke", stages.CANDIDATES[name])
    folder.mkdir(parents=True)
    saved = {f"predicted_{name}": MOSTLY_RIGHT[name], f"probabilities_{name}": np.full((8, 2), 0.5)}
    np.savez(folder / "validation_predictions.npz", labels=LABELS, **saved)
    finish(stages.CANDIDATES[name])


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """Return a function that chooses the metric of the series."""
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path))
    monkeypatch.delenv(resolve.EXECUTOR_VARIABLE, raising=False)
    folder = paths.stage_folder("digits", "smoke", "03_preprocess")
    folder.mkdir(parents=True)

    def choose(metric: str) -> None:
        (folder / "metric.json").write_text(json.dumps({"name": metric, "costs": []}))
        finish("03_preprocess")

    return choose


def chosen(**saved: str) -> str:
    resolved = resolve.resolve_namespace("07_evaluation", VALUES | saved)
    assert resolved.stage.name == f"07_evaluation/{resolved.parameters['candidate']}"
    return resolved.parameters["candidate"]


@pytest.mark.parametrize(
    ("metric", "best"), [("accuracy", "baseline_cnn"), ("balanced_accuracy", "transfer")]
)
def test_without_a_name_the_best_trained_candidate_by_the_series_metric_is_taken(prepared, metric, best):
    prepared(metric)
    for name in MOSTLY_RIGHT:
        train(name)
    assert chosen() == best


def test_only_trained_candidates_are_compared(prepared):
    prepared("balanced_accuracy")
    assert chosen() == "baseline_cnn", "the first to be trained, whose absence is then named"
    train("tuned")
    assert chosen() == "tuned"
    train("transfer")
    assert chosen() == "transfer"


def test_damaged_predictions_are_named(prepared):
    prepared("accuracy")
    train("transfer")
    train("tuned")
    (paths.stage_folder("digits", "smoke", "09_tuning") / "validation_predictions.npz").write_bytes(b"half")
    with pytest.raises(MissingInputError, match="files of 09_tuning are damaged"):
        chosen()


@pytest.mark.parametrize("executed", ["07_evaluation/fine_tuned", "07_evaluation/tuned"])
def test_the_executor_names_the_candidate(prepared, monkeypatch, executed):
    monkeypatch.setenv(resolve.EXECUTOR_VARIABLE, executed)
    assert f"07_evaluation/{chosen()}" == executed
    assert f"07_evaluation/{chosen(candidate='transfer')}" == executed, "a name saved in the notebook"


def test_a_kernel_of_another_notebook_names_no_candidate(prepared, monkeypatch):
    prepared("accuracy")
    train("transfer")
    monkeypatch.setenv(resolve.EXECUTOR_VARIABLE, "08_grad_cam/tuned")
    assert chosen() == "transfer"
