"""Candidates are loaded for their stage, checked against the data, and compared with each other."""

import json

import keras
import numpy as np
import pytest
from scipy import special

from conftest import EXAMPLES
from helpers import paths
from helpers.errors import MissingInputError, OsemnError, UsageError
from helpers.interpret import candidates
from helpers.model import architectures
from helpers.obtain.data import Dataset
from helpers.obtain.images import from_disk
from helpers.series import manifests, parameters, stages
from helpers.series.runs import Run

pytestmark = pytest.mark.usefixtures("seeded_tensorflow")
NAMES, SHAPE = ("a", "b", "c"), (8, 8, 1)
STATISTICS = {"mean": [60.0], "standard_deviation": [60.0]}


def part(names=NAMES, shape=SHAPE) -> Dataset:
    return Dataset(np.zeros((1, *shape), np.uint8), np.zeros(1, np.int64), names)


def network(classes: int = 3, shape=SHAPE) -> keras.Model:
    return architectures.residual_cnn(shape, classes, **STATISTICS, width=8)


def run_for(tmp_path, monkeypatch, candidate: str, model: keras.Model | None, **further: keras.Model) -> Run:
    """Return a run of 07 for a candidate whose stage left a model."""
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path))
    stage = stages.CANDIDATES[candidate]
    folder = paths.stage_folder("digits", "smoke", stage)
    (folder / "models").mkdir(parents=True)
    if model is not None:
        model.save(folder / "models" / f"{candidate}.keras")
    for name, other in further.items():
        other.save(folder / "models" / f"{name}.keras")
    logged = {"models": {candidate: {"label": "a model", "accuracy": 0.9}}, "chosen": "top_blocks"}
    (folder / "metrics.json").write_text(json.dumps(logged))
    history = {candidate if candidate != "fine_tuned" else "top_blocks": {"loss": [1.0, 0.5]}}
    (folder / "history.json").write_text(json.dumps(history))
    files = [path for path in folder.rglob("*") if path.is_file()]
    upstream = {stage: {"outputs": manifests.describe_files(folder, files)}}
    spec = stages.find(f"07_evaluation/{candidate}")
    values = {"dataset": "digits", "profile": "smoke", "seed": 0, "candidate": candidate}
    return Run(spec, values, upstream=upstream)


@pytest.mark.parametrize("candidate", stages.CANDIDATES)
def test_candidate_is_loaded_with_its_history_and_the_hash_of_its_file(tmp_path, monkeypatch, candidate):
    run = run_for(tmp_path, monkeypatch, candidate, network())
    result = candidates.load(run, part())
    assert (result.name, result.stage) == (candidate, stages.CANDIDATES[candidate])
    assert result.history == {"loss": [1.0, 0.5]}
    assert result.sha256 == manifests.sha256(run.root / result.stage / "models" / f"{candidate}.keras")
    assert result.further == ()


def test_models_of_other_seeds_come_with_it(tmp_path, monkeypatch):
    run = run_for(tmp_path, monkeypatch, "tuned", network(), tuned_seed_1=network(), tuned_seed_2=network())
    loaded = candidates.load(run, part())
    assert len(loaded.further) == 2
    files = [run.root / loaded.stage / "models" / f"tuned_seed_{seed}.keras" for seed in (1, 2)]
    assert loaded.further_sha256 == tuple(map(manifests.sha256, files))


def test_model_of_other_classes_or_other_images_is_refused(tmp_path, monkeypatch):
    run = run_for(tmp_path, monkeypatch, "tuned", network(classes=4))
    with pytest.raises(
        OsemnError,
        match=r"has 4 classes and takes images of shape \[8, 8, 1\]; the data have 3 \(a, b, c\)(?s:.)*osemn run --from 09_tuning",
    ):
        candidates.load(run, part())
    with pytest.raises(
        OsemnError, match=r"takes images of shape \[8, 8, 1\]; the data have 4 \(a, b, c, d\) and \[9, 8, 1\]"
    ):
        candidates.load(run, part((*NAMES, "d"), (9, 8, 1)))


def test_a_model_may_take_images_from_disk_of_another_side_but_not_of_other_channels(tmp_path, monkeypatch):
    run = run_for(tmp_path, monkeypatch, "tuned", network())
    how = {"root": "", "fit": "crop", "window": "auto", "side": 64, "cache_gb": 0.0}
    for channels in (1, 3):
        files = from_disk.ImageFiles.listed(["a.png"], ["00" * 32], channels=channels, **how)
        on_disk = Dataset(from_disk.DiskImages(files), np.zeros(1, np.int64), NAMES)
        if channels == 1:
            assert candidates.load(run, on_disk).side == 8
        else:
            with pytest.raises(OsemnError, match=r"\[8, 8, 1\]; the data have 3 \(a, b, c\) and \[8, 8, 3\]"):
                candidates.load(run, on_disk)


def test_stage_that_left_no_model_is_named(tmp_path, monkeypatch):
    run = run_for(tmp_path, monkeypatch, "tuned", None)
    with pytest.raises(MissingInputError, match=r"09_tuning has no output 'models/tuned\.keras'"):
        candidates.load(run, part())


def test_candidate_that_was_not_trained_or_does_not_exist_is_refused(project):
    values = {name: EXAMPLES[name] for name in parameters.MODELS["07_evaluation"].model_fields}
    values |= {"dataset": "digits", "profile": "tiny", "candidate": "tuned"}
    with pytest.raises(MissingInputError, match="01_acquire has not been run"):
        Run.start("07_evaluation", values)
    with pytest.raises(UsageError, match=r"'candidate' = 'tunned'(?s:.)*baseline_cnn"):
        Run.start("07_evaluation", {**values, "candidate": "tunned"})


def test_the_last_layer_turns_embeddings_into_probabilities():
    model, images = network(), np.random.default_rng(0).integers(0, 256, (6, *SHAPE), dtype=np.uint8)
    probabilities, embeddings = candidates.scorer(model)(images)
    weights, bias = candidates.last_layer(model)
    np.testing.assert_allclose(special.softmax(embeddings @ weights + bias, axis=1), probabilities, atol=1e-5)


@pytest.mark.parametrize("views", [False, True])
def test_embeddings_are_what_the_last_layer_sees(views):
    inner = network()
    model = architectures.averaging_views(inner, flip=views)
    images = np.random.default_rng(0).integers(0, 256, (9, *SHAPE), dtype=np.uint8)
    probabilities, embeddings = candidates.scorer(model, batch_size=4)(images)
    assert probabilities == pytest.approx(model(images.astype("f4")).numpy(), abs=1e-5)
    pooled = keras.Model(inner.input, inner.get_layer("pool").output)(images.astype("f4"))
    assert embeddings == pytest.approx(pooled.numpy(), abs=1e-4)


def test_model_without_a_dense_layer_for_the_classes_is_refused():
    image = keras.Input(SHAPE)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 3)(image))
    with pytest.raises(OsemnError, match="does not end in a dense layer of 3 units"):
        candidates.scorer(keras.Model(image, keras.layers.Softmax()(x)))
