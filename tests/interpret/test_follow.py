"""The hard validation image of 03 is read and drawn with the predictions of the models that a stage may read."""

import json

import numpy as np

from helpers import figures, paths
from helpers.interpret import follow
from helpers.obtain.data import Dataset
from helpers.series import manifests, stages
from helpers.series.runs import Run

NAMES = ("bag", "dress", "$hirt")
VALIDATION = Dataset(np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8, 1), np.array([0, 1, 2, 0]), NAMES)
# image 1 is misclassified by a hair, image 2 with much confidence, and image 3 is classified correctly
ANSWERS = np.array([[0.9, 0.1, 0.0], [0.5, 0.4, 0.1], [0.0, 0.8, 0.2], [0.4, 0.3, 0.3]])


def run_for(stage: str, tmp_path, monkeypatch, **answers: np.ndarray) -> Run:
    """Return a run of a stage after 03, which chose image 2, and those that saved the predictions of the candidates named."""
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path))
    chosen = paths.stage_folder("digits", "smoke", "03_preprocess") / "followed.json"
    chosen.parent.mkdir(parents=True)
    chosen.write_text(json.dumps({"validation_image": 2}))
    upstream = {"03_preprocess": {"outputs": manifests.describe_files(chosen.parent, [chosen])}}
    for name, probabilities in answers.items():
        folder = paths.stage_folder("digits", "smoke", stages.CANDIDATES[name])
        folder.mkdir(parents=True)
        file = folder / "validation_predictions.npz"
        np.savez(file, **{f"probabilities_{name}": probabilities})
        upstream[folder.name] = {"outputs": manifests.describe_files(folder, [file])}
    return Run(
        stages.find(stage), {"dataset": "digits", "profile": "smoke", "seed": 0, "candidate": ""}, upstream
    )


def test_the_image_of_03_is_followed_with_the_predictions_that_the_stage_reads(tmp_path, monkeypatch):
    run = run_for("07_evaluation/tuned", tmp_path, monkeypatch, transfer=ANSWERS[::-1], baseline_cnn=ANSWERS)
    followed = follow.find(run, VALIDATION)
    assert (followed.index, followed.label, followed.class_names) == (2, 2, NAMES)
    assert np.array_equal(followed.image, VALIDATION.images[2])
    assert list(followed.answers) == [follow.MODELS["baseline_cnn"], follow.MODELS["transfer"]]
    assert followed.answers["frozen network (05)"].tolist() == [0.5, 0.4, 0.1]
    assert set(run.inputs) == {
        "03_preprocess/followed.json",
        "04_baseline/validation_predictions.npz",
        "05_transfer_learning/validation_predictions.npz",
    }


def test_hardest_is_the_most_confident_mistake_or_without_one_the_least_confident():
    assert follow.hardest(ANSWERS, VALIDATION.labels) == 2
    assert follow.hardest(ANSWERS, ANSWERS.argmax(axis=1)) == 3


def test_figure_has_a_row_for_each_model_and_the_true_class_among_its_columns(tmp_path, monkeypatch):
    run = run_for("05_transfer_learning", tmp_path, monkeypatch, baseline_cnn=ANSWERS)
    followed = follow.find(run, VALIDATION).with_answer("mine", np.array([0.6, 0.0, 0.4]))
    drawn = follow.figure(followed)
    assert [text.get_text() for text in drawn.axes[1].get_yticklabels()] == ["three-layer CNN (04)", "mine"]
    alt = figures.alt_text(drawn)
    assert alt == (
        r"Validation image 2, labelled \$hirt; the three-layer CNN (04) predicts dress with 80%; the mine predicts bag with 60%."
    )


def test_of_many_classes_the_figure_shows_those_in_question():
    names = tuple(f"class {number}" for number in range(200))
    answer = np.full(200, 0.0005)
    answer[[7, 150]] = 0.3, 0.6
    followed = follow.Followed(np.zeros((8, 8, 3), np.uint8), 5, 199, names, {"network": answer})
    labels = [text.get_text() for text in follow.figure(followed).axes[1].get_xticklabels()]
    assert {"class 7", "class 150", "class 199"} <= set(labels)
    assert len(labels) <= follow.MOST_CLASSES + 1
    follow.figure(follow.Followed(np.zeros((8, 8, 3), np.uint8), 5, 199, names, {}))


def test_the_image_and_its_predictions_are_passed_on_by_the_export(tmp_path, monkeypatch):
    run = run_for("10_export", tmp_path, monkeypatch, baseline_cnn=ANSWERS)
    run.partial.mkdir(parents=True)
    monkeypatch.setattr(Run, "finished", False)
    followed = follow.find(run, VALIDATION).with_answer("ONNX", np.array([0.1, 0.2, 0.7]))
    follow.save(run, followed)
    run.partial.rename(run.folder)
    outputs = manifests.describe_files(run.folder, [run.folder / follow.FILE])
    later = Run(stages.find("11_serving"), run.parameters, {"10_export": {"outputs": outputs}})
    loaded = follow.load(later)
    assert np.array_equal(loaded.image, followed.image)
    assert (loaded.index, loaded.label, loaded.class_names) == (2, 2, NAMES)
    assert list(loaded.answers) == ["three-layer CNN (04)", "ONNX"]
    assert loaded.answers["ONNX"].tolist() == [0.1, 0.2, 0.7]
