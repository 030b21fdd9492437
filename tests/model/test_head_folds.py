"""Heads are cross-validated with the settings of 05, and in 07 with the test images too."""

import json
import random

import numpy as np
import pytest
from test_transfer import shades, source

from helpers.model import conclusions, head_folds, out_of_fold, transfer
from helpers.model.head_choice import Head
from helpers.scoring import score
from helpers.scrub.augment import AugmentationPolicy
from helpers.series import manifests, stages
from helpers.series.runs import Run

pytestmark = pytest.mark.usefixtures("seeded_tensorflow")
SETTINGS = transfer.HeadSettings(units=16, dropout=0.1, epochs=4, batch_size=32, learning_rate=0.02, seed=0)
HEAD = Head("logistic", 0.01)
NAMES = ("dark", "bright")
FOLDS = {"folds": 3, "repeats": 2}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_CACHE_DIR", str(tmp_path / "cache"))


def test_head_of_a_fold_is_the_head_that_05_would_train_whatever_was_trained_before_and_drawn_globally():
    generator = np.random.default_rng(0)
    views = [generator.normal(size=(120, 6)).astype("f4") for _ in range(2)]
    labels = np.arange(120, dtype=np.int64) % 3
    train, test = np.arange(90), np.arange(90, 120)
    fit_predict = transfer.fold_trainer(views, labels, 3, SETTINGS)
    fit_predict(test, train)
    fit_predict(train[:70], test)
    random.seed(1)  # Keras shuffles by it unless it is forbidden to
    top = transfer.head(6, 3, SETTINGS.units, SETTINGS.dropout, SETTINGS.seed)
    held_out = views[0][test], labels[test]
    transfer.fit_head(top, [view[train] for view in views], labels[train], held_out, SETTINGS)
    expected = transfer.head_probabilities(top, views[0][test])
    assert np.array_equal(fit_predict(train, test), expected)


def test_few_images_are_cross_validated_and_many_are_not():
    part, together = shades(60), np.arange(60)
    assert head_folds.cross_validate(source(), [part], together, SETTINGS, **FOLDS, fewer_than=60) is None
    result = head_folds.cross_validate(source(), [part], together, SETTINGS, **FOLDS, fewer_than=61)
    assert result.accuracy[0] > 0.7
    assert result.predicted.shape == (2, 60)


def run_of_07(tmp_path, monkeypatch, candidate: str, files: tuple[str, ...]) -> Run:
    """Return a run of 07 after a 05 that wrote these files."""
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path / "out"))
    spec = stages.find(f"07_evaluation/{candidate}")
    run = Run(spec, {"dataset": "digits", "profile": "smoke", "seed": 0, "candidate": candidate})
    folder = run.root / "05_transfer_learning"
    folder.mkdir(parents=True)
    few = out_of_fold.cross_validated(
        lambda train, test: np.eye(2)[np.zeros(len(test), int)],
        np.arange(6) % 2,
        np.arange(6),
        **FOLDS,
        seed=0,
    )
    for name in files:
        few.save(folder / name, mirrored=True, augmented=1)
    (run.root / "03_preprocess").mkdir()
    policy = run.root / "03_preprocess" / "augmentation.json"
    policy.write_text(json.dumps(AugmentationPolicy().settings()))
    head = {
        "head_units": 16,
        "dropout": 0.1,
        "epochs": 4,
        "batch_size": 32,
        "learning_rate": 0.02,
        "seed": 0,
    }
    network = {"backbone": "efficientnet_lite0", "resolution": 0, "interpolation": "bilinear"}
    chosen = {"backbone": "efficientnet_lite0", "resolution": 32, "head": vars(HEAD)}
    manifests.write_json(folder / "metrics.json", chosen)
    run.upstream["03_preprocess"] = {"outputs": manifests.describe_files(policy.parent, [policy])}
    outputs = manifests.describe_files(folder, [folder / name for name in (*files, "metrics.json")])
    run.upstream["05_transfer_learning"] = {"outputs": outputs, "parameters": head | network | FOLDS}
    return run


def test_test_images_are_added_with_the_settings_of_05(tmp_path, monkeypatch):
    run = run_of_07(tmp_path, monkeypatch, "transfer", (head_folds.FILE,))
    monkeypatch.setattr(head_folds.features, "extractor", lambda *named: (asked.append(named), source())[1])
    asked = []
    parts = [shades(60), shades(20, seed=1)]
    result = head_folds.with_test(run, parts, np.arange(80))
    assert asked == [("efficientnet_lite0", (8, 8, 1), 32, "bilinear")]
    assert np.array_equal(result.labels, np.concatenate([part.labels for part in parts]))
    policy = AugmentationPolicy()
    views = [head_folds.features.View(), head_folds.features.View(policy, 0, 1)]
    expected = head_folds.cross_validate(source(), parts, np.arange(80), SETTINGS, HEAD, **FOLDS, views=views)
    assert np.array_equal(result.probabilities, expected.probabilities)


@pytest.mark.parametrize(("candidate", "files"), [("tuned", (head_folds.FILE,)), ("transfer", ())])
def test_other_candidates_and_larger_sets_are_not_cross_validated(tmp_path, monkeypatch, candidate, files):
    run = run_of_07(tmp_path, monkeypatch, candidate, files)
    if candidate == "tuned":
        del run.upstream["05_transfer_learning"]  # 07 may not read from it
    assert head_folds.with_test(run, [shades(60)], np.arange(60)) is None


def test_conclusion_compares_the_interval_with_that_of_one_part_and_names_classes_left_out():
    labels = np.repeat(np.arange(3, dtype=np.int64), (40, 40, 4))
    together = np.arange(84)
    together[80:] = 80
    result = out_of_fold.cross_validated(
        lambda train, test: np.eye(3)[labels[test] * (test % 4 > 0)], labels, together, **FOLDS, seed=0
    )
    alone = score(np.array([0, 1, 0, 1]), np.array([0, 1, 0, 0]), 3)
    conclusion = conclusions.out_of_fold(result, alone, "validation", (*NAMES, "rare"))
    assert "over 80 images (3 folds, 2 repeats)" in conclusion.text
    assert "87.5% correctly" in conclusion.text
    assert "Left out: rare, as all images of it are in one group." in conclusion.text
    assert conclusion.numbers["times_as_wide"] > 3
    absent = conclusions.out_of_fold(None, alone, "test", NAMES)
    assert absent.text.startswith("Accuracy is measured on the 4 test images alone")
