"""Splits keep classes in proportion and groups together; nothing crosses, nothing is lost."""

import numpy as np
import pytest

from helpers.errors import OsemnError
from helpers.obtain import splits


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
