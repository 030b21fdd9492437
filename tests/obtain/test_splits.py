"""Splits keep classes in proportion and groups together; nothing crosses, nothing is lost."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.errors import OsemnError
from helpers.obtain import splits
from helpers.obtain.options import Options


def test_a_split_is_whole_disjoint_sorted_and_keeps_the_shares():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [100, 50, 10])).astype(np.int64)
    rest, held_out = splits.stratified_split(labels, 0.2, seed=1)
    assert sorted([*rest, *held_out]) == list(range(160))
    assert np.bincount(labels[held_out]).tolist() == [20, 10, 2]
    assert (np.diff(rest) > 0).all()
    assert (np.diff(held_out) > 0).all()
    assert rest.dtype == held_out.dtype == np.int64


def test_a_split_depends_on_its_seed_alone():
    labels = np.repeat([0, 1], 50)
    first = splits.stratified_split(labels, 0.2, seed=1)[1]
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    np.testing.assert_array_equal(first, splits.stratified_split(labels, 0.2, seed=1)[1])
    assert not np.array_equal(first, splits.stratified_split(labels, 0.2, seed=2)[1])
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_each_side_of_a_split_has_each_class():
    labels = np.repeat([0, 1], [2, 30])
    rest, held_out = splits.stratified_split(labels, 0.01, seed=0)
    assert set(labels[rest]) == set(labels[held_out]) == {0, 1}


def test_a_class_with_one_image_cannot_be_split():
    with pytest.raises(OsemnError, match="Class 7 has 1 image"):
        splits.stratified_split(np.array([0, 0, 0, 7]), 0.2, seed=0)


@pytest.mark.parametrize("size", [1, 3, 5, 17, 100, 119])
def test_a_sample_has_its_size_and_every_class(size):
    labels = np.repeat([0, 1, 4], [100, 18, 2])
    chosen = splits.stratified_sample(labels, size, seed=3)
    assert len(chosen) == max(size, 3)
    assert set(labels[chosen]) == {0, 1, 4}
    assert (np.diff(chosen) > 0).all()


def test_a_sample_keeps_the_shares():
    labels = np.repeat([0, 1], [300, 100])
    assert np.bincount(labels[splits.stratified_sample(labels, 40, seed=0)]).tolist() == [30, 10]


def test_a_sample_larger_than_the_data_is_all_of_it():
    assert splits.stratified_sample(np.zeros(4, np.int64), 9, seed=0).tolist() == [0, 1, 2, 3]


@st.composite
def grouped(draw) -> tuple[np.ndarray, np.ndarray]:
    """Labels and groups: each group has images of one class or of two, and each class at least two groups."""
    classes = draw(st.integers(2, 5))
    sizes = draw(st.lists(st.integers(1, 9), min_size=2 * classes, max_size=60))
    groups = np.repeat(np.arange(len(sizes)), sizes)
    labels = groups % classes
    mixed = draw(st.lists(st.integers(0, len(groups) - 1), max_size=5))
    labels[mixed] = (labels[mixed] + 1) % classes
    return labels, groups


@settings(max_examples=150, deadline=None)
@given(grouped(), st.floats(0.05, 0.6), st.integers(0, 5))
def test_no_group_crosses_and_nothing_is_lost(made, fraction, seed):
    labels, groups = made
    holders = pd.Series(groups).groupby(labels).nunique()
    if (holders < 2).any():
        with pytest.raises(OsemnError, match="cannot be split"):
            splits.hold_out(labels, groups, fraction, seed)
        return
    rest, held_out = splits.hold_out(labels, groups, fraction, seed)
    assert sorted([*rest, *held_out]) == list(range(len(labels)))
    assert not set(groups[rest]) & set(groups[held_out])
    again = splits.hold_out(labels, groups, fraction, seed)
    np.testing.assert_array_equal(held_out, again[1])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(4, 60), min_size=2, max_size=6), st.floats(0.1, 0.5), st.integers(0, 9))
def test_each_class_is_on_both_sides_and_close_to_its_fraction(counts, fraction, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    groups = np.arange(len(labels)) // 2  # pairs, some of two classes
    rest, held_out = splits.hold_out(labels, groups, fraction, seed)
    held = np.bincount(labels[held_out], minlength=len(counts))
    assert (held > 0).all()
    assert set(labels[rest]) == set(labels)
    assert np.abs(held - np.array(counts) * fraction).max() <= 2.5  # a pair can leave one, a mixed one two


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(2, 50), min_size=1, max_size=6), st.floats(0.05, 0.9), st.integers(0, 9))
def test_without_groups_it_is_the_stratified_split(counts, fraction, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    expected = splits.stratified_split(labels, fraction, seed)
    for drawn, part in zip(
        splits.hold_out(labels, np.arange(len(labels)), fraction, seed), expected, strict=True
    ):
        np.testing.assert_array_equal(drawn, part)


def test_few_groups_change_few_images_of_the_split():
    labels = np.repeat(np.arange(10), 1000)
    groups = np.arange(len(labels))
    groups[1:2000:200] = groups[0:2000:200]  # ten pairs
    changed = np.setxor1d(
        splits.hold_out(labels, groups, 0.1, 0)[1], splits.stratified_split(labels, 0.1, 0)[1]
    )
    assert len(changed) <= 20


def test_one_group_that_holds_a_class_is_named():
    labels, groups = np.repeat([0, 1], [5, 5]), np.array([0, 1, 2, 3, 4, 7, 7, 7, 7, 7])
    with pytest.raises(OsemnError, match="Class rare cannot be split: all of its 5 images belong together"):
        splits.hold_out(labels, groups, 0.2, 0, ["common", "rare"])


def test_a_class_of_three_beside_ten_thousand_is_on_both_sides():
    labels = np.repeat([0, 1], [10_000, 3])
    rest, held_out = splits.hold_out(labels, np.r_[np.arange(10_000) // 7, 9_000, 9_000, 9_001], 0.2, 0)
    assert set(labels[held_out]) == set(labels[rest]) == {0, 1}
    assert len(held_out) / len(labels) == pytest.approx(0.2, abs=1e-3)
    assert splits.class_deviation(labels, held_out) < 0.1


def table_of(parts: list[str], labels: list[str], together: list[int]) -> pd.DataFrame:
    paths = [f"{number}.png" for number in range(len(parts))]
    return pd.DataFrame({"path": paths, "part": parts, "label": labels, "together": together})


def assigned(parts: list[str]) -> pd.Series:
    labels = ["a", "b"] * (len(parts) // 2)
    table = table_of(parts, labels, [number // 4 for number in range(len(parts))])
    after = splits.assign(table, pd.factorize(table["label"])[0], Options(test_fraction=0.25))
    assert not set(after["together"][after["part"] == "test"]) & set(
        after["together"][after["part"] != "test"]
    )
    return after["part"]


@pytest.mark.parametrize("parts", [[""] * 40, ["train"] * 40])
def test_without_a_test_part_it_is_held_out(parts):
    assert assigned(parts).value_counts().to_dict() == {"train": 32, "test": 8}


def test_a_test_part_is_held_out_of_training_and_validation():
    before = pd.Series(["train"] * 28 + ["validation"] * 12)
    after = assigned(before.to_list())
    assert set(after) == {"train", "validation", "test"}
    assert (after[after != "test"] == before[after != "test"]).all()


def test_ready_made_parts_stay():
    table = table_of(
        ["train", "test", "train", "validation", "train"], ["a", "a", "b", "b", "b"], [5, 5, 6, 7, 6]
    )
    after = splits.assign(table, np.array([0, 0, 1, 1, 1]), Options())
    pd.testing.assert_frame_equal(after, table)


def test_a_part_with_a_class_that_training_lacks_is_refused():
    table = table_of(["train", "train", "test", "test"], ["a", "b", "a", "odd"], [0, 1, 2, 3])
    with pytest.raises(OsemnError, match="test part has images of odd"):
        splits.assign(table, np.array([0, 1, 0, 2]), Options())


def test_a_random_split_leaks_what_its_groups_say():
    alone = table_of([""] * 40, ["a", "b"] * 20, list(range(40)))
    assert splits.random_split_leak(alone, 0.5, seeds=3).tolist() == [0, 0, 0]
    joined = alone.assign(together=0)
    assert splits.random_split_leak(joined, 0.5, seeds=3).tolist() == [1, 1, 1]


def test_test_images_with_a_member_in_training_are_listed_with_it():
    table = table_of(["train", "test", "validation", "test", "test"], list("aabba"), [3, 3, 4, 4, 9])
    shared = splits.shared_with_training(table.assign(row=[0, 0, 7, 1, 2]))
    assert shared.to_dict("list") == {"row": [0, 1], "training_row": [0, 7]}
