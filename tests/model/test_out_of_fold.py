"""Cross-validation keeps groups together, trains on nothing that it predicts, and its interval holds the accuracy."""

import numpy as np
import pytest

from helpers import scoring
from helpers.errors import OsemnError
from helpers.model import out_of_fold


def rows(n: int, seed: int = 0, classes: int = 3, distance: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.arange(n, dtype=np.int64) % classes
    return distance * np.eye(classes)[labels] + generator.normal(size=(n, classes)), labels


def classified(known: np.ndarray, labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the class with the nearest mean, `[N] int64`."""
    classes = np.unique(labels)
    centres = np.stack([known[labels == label].mean(axis=0) for label in classes])
    return classes[np.linalg.norm(values[:, None] - centres, axis=2).argmin(axis=1)]


def nearest_centre(values: np.ndarray, labels: np.ndarray, seen: list | None = None):
    """Return what `cross_validated` needs, and note the rows of every training."""

    def fit_predict(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        if seen is not None:
            seen.append((train, test))
        return np.eye(labels.max() + 1, dtype=np.float32)[
            classified(values[train], labels[train], values[test])
        ]

    return fit_predict


def result_of(labels, together, seen=None, values=None, **options) -> out_of_fold.OutOfFold:
    values = rows(len(labels))[0] if values is None else values
    options = {"folds": 5, "repeats": 2, "seed": 0} | options
    return out_of_fold.cross_validated(nearest_centre(values, labels, seen), labels, together, **options)


def test_every_image_is_predicted_once_in_a_repeat_by_a_head_that_saw_none_of_its_group():
    labels = np.repeat(np.arange(3, dtype=np.int64), 40)
    together = np.arange(120) // 4
    seen = []
    result = result_of(labels, together, seen)
    assert len(seen) == 10
    for repeat in (seen[:5], seen[5:]):
        assert sorted(np.concatenate([test for _, test in repeat])) == list(range(120))
    for train, test in seen:
        assert not set(together[train]) & set(together[test])
        assert np.bincount(labels[test]).tolist() == [8, 8, 8]
    assert {tuple(test) for _, test in seen[:5]} != {tuple(test) for _, test in seen[5:]}
    assert result.predicted.shape == (2, 120)
    assert np.allclose(result.probabilities.sum(axis=1), 1)
    assert result.accuracy[0] == pytest.approx(result.accuracies.mean())


def test_labels_that_cannot_be_learned_are_not_learned_from_copies():
    """Each image has a copy with the same random label: without groups, a head would know it."""
    generator = np.random.default_rng(0)
    values, labels = np.repeat(generator.normal(size=(150, 8)), 2, axis=0), np.repeat(np.arange(150) % 3, 2)

    def nearest(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        distances = np.linalg.norm(values[test, None] - values[None, train], axis=2)
        return np.eye(3, dtype=np.float32)[labels[train][distances.argmin(axis=1)]]

    options = {"folds": 5, "repeats": 1, "seed": 0}
    grouped = out_of_fold.cross_validated(nearest, labels, np.arange(300) // 2, **options)
    assert grouped.accuracy[0] < 0.45
    assert out_of_fold.cross_validated(nearest, labels, np.arange(300), **options).accuracy[0] > 0.8


def test_the_same_seed_gives_the_same_folds_and_another_seed_others():
    labels, together = rows(90)[1], np.arange(90) // 2
    first, again, other = (result_of(labels, together, seed=seed) for seed in (3, 3, 7))
    assert np.array_equal(first.predicted, again.predicted)
    assert np.array_equal(first.probabilities, again.probabilities)
    assert not np.array_equal(first.predicted, other.predicted)


@pytest.mark.filterwarnings("error")
def test_a_class_in_one_group_is_left_out_and_one_in_two_groups_is_not():
    labels = np.repeat(np.arange(4, dtype=np.int64), (40, 40, 3, 3))
    together = np.arange(86)
    together[80:83] = 80  # all of class 2
    together[83:86] = [83, 83, 84]  # two groups of class 3
    values = 9 * np.eye(4)[labels] + np.random.default_rng(0).normal(size=(86, 4))
    result = result_of(labels, together, values=values)
    assert np.flatnonzero(~result.estimable).tolist() == [80, 81, 82]
    assert result.accuracy[0] == 1.0
    assert result.predicted[0, 80] != 2


def test_folds_are_as_many_as_there_are_groups():
    labels = np.arange(30, dtype=np.int64) % 2
    assert result_of(labels, np.arange(30) // 10).folds == 3
    for together in (np.zeros(30, np.int64), labels):
        with pytest.raises(OsemnError, match="group"):
            result_of(labels, together)
    with pytest.raises(OsemnError, match="cannot be cross-validated"):
        result_of(np.arange(3, dtype=np.int64), np.arange(3))


def folds_of(n: int, repeats: int = 1) -> np.ndarray:
    """Return folds in turn, the same in each repeat, `[R, N]`."""
    return np.tile(np.arange(n) % 5, (repeats, 1))


def test_interval_of_equal_folds_is_wilsons_up_to_the_quantile_however_often_they_are_repeated():
    correct = np.arange(400) // 5 % 10 > 0
    for repeats in (20, 200):
        each = np.tile(correct, (repeats, 1))
        mean, ends = out_of_fold.mean_with_interval(each, folds_of(400, repeats), np.arange(400))
        assert mean == pytest.approx(0.9)
        assert ends == pytest.approx(scoring.wilson_interval(360, 400), abs=1e-3)


def test_interval_widens_where_folds_differ_more_than_single_images_would():
    fold = folds_of(400, 3)
    unlike = np.arange(400) // 5 % 10 > 2 * (fold % 2)  # folds of 90% and of 70%
    equal = np.arange(400) // 5 % 100 > 100 * (1 - unlike.mean())
    wide, narrow = (
        np.ptp(out_of_fold.mean_with_interval(each, fold, np.arange(400))[1])
        for each in (unlike, np.tile(equal, (3, 1)))
    )
    assert wide > 2 * narrow


def test_if_all_images_are_correct_copies_do_not_narrow_the_interval():
    every = np.ones((3, 100), bool)
    single, copied = (
        out_of_fold.mean_with_interval(every, folds_of(100, 3), np.arange(100) // size)[1] for size in (1, 5)
    )
    assert copied[0] < 0.85 < 0.94 < single[0] < 0.97
    assert (copied[1], single[1]) == pytest.approx((1.0, 1.0))


def test_balanced_accuracy_counts_each_class_the_same_and_is_as_uncertain_as_its_rarest_class():
    labels = np.repeat([0, 1], (180, 20))
    correct = np.concatenate([np.arange(180) // 5 % 10 > 0, np.arange(20) // 5 % 2 > 0])[None]
    mean, ends = out_of_fold.mean_with_interval(correct, folds_of(200), np.arange(200), labels)
    assert mean == pytest.approx((160 / 180 + 0.5) / 2)
    assert np.ptp(ends) > 0.2
    plain, ends = out_of_fold.mean_with_interval(correct, folds_of(200), np.arange(200))
    assert plain == pytest.approx(0.85)
    assert np.ptp(ends) < 0.15


def test_interval_holds_the_accuracy_of_a_head_trained_on_all_images():
    """90% is 3.2 standard errors below 95% in 200 draws; benchmarks/coverage_of_folds.py measures it closely."""
    others, truth = rows(6_000, seed=1)
    held = 0
    for seed in range(200):
        values, labels = rows(60, seed=seed + 2)
        low, high = result_of(labels, np.arange(60), values=values, repeats=1, seed=seed).accuracy[1]
        accuracy = np.mean(classified(values, labels, others) == truth)
        held += low <= accuracy <= high
    assert held >= 0.90 * 200


def test_saved_predictions_have_the_row_of_each_image(tmp_path):
    labels = rows(30)[1]
    result = result_of(labels, np.arange(30))
    result.save(tmp_path / "folds.npz", views=2)
    with np.load(tmp_path / "folds.npz", allow_pickle=False) as saved:
        assert saved["index"].tolist() == list(range(30))
        assert np.array_equal(saved["probabilities"], result.probabilities)
        assert (saved["views"], saved["fold"].max()) == (2, 4)
