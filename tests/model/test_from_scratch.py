"""On few photographs from disk, networks from scratch get little time."""

import numpy as np
import pytest

from helpers.model import from_scratch
from helpers.obtain.data import Dataset

WANTED = {"trials": 6, "trial_epochs": 2, "epochs": 7, "seeds": 3, "default_seeds": 3}


class OnDisk(Dataset):
    """Images that count as read from disk."""

    from_disk = True


def photographs(count: int = 40, kind: type[Dataset] = OnDisk) -> Dataset:
    return kind(np.zeros((count, 4, 4, 1), np.uint8), np.zeros(count, np.int64), ("cat", "dog"))


def test_few_photographs_get_a_minimal_search_and_the_reason_is_said():
    values, [reason] = from_scratch.budget(photographs(), 5_000, **WANTED)
    assert values == {name: from_scratch.MINIMAL[name] for name in WANTED}
    assert "There are 40 training photographs, fewer than 5,000." in reason.text
    assert "trials 1" in reason.text
    assert reason.numbers == {"images": 40, "limit": 5_000, **values}


@pytest.mark.parametrize("limit", [0, 40])
def test_enough_photographs_get_what_the_parameters_say(limit):
    assert from_scratch.budget(photographs(), limit, **WANTED) == (WANTED, ())


def test_built_in_sets_keep_their_budget_whatever_their_size():
    assert from_scratch.budget(photographs(kind=Dataset), 5_000, **WANTED) == (WANTED, ())


def test_smaller_parameters_are_never_raised():
    values, [reason] = from_scratch.budget(photographs(), 5_000, cnn_epochs=1, dense_epochs=2)
    assert values == {"cnn_epochs": 1, "dense_epochs": 2}
    assert reason.text.endswith("this notebook spends little: cnn epochs 1 and dense epochs 2.")


def test_a_parameter_without_a_smallest_value_is_refused():
    with pytest.raises(KeyError):
        from_scratch.budget(photographs(), 5_000, forest_trees=3)
