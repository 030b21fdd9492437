"""What 02 says and draws about images that belong together."""

import numpy as np

from helpers import figures
from helpers.explore import conclusions, plots
from helpers.obtain.data import Dataset

LABELS = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
IMAGES = Dataset(np.zeros((10, 6, 6, 3), np.uint8), LABELS, ("apple", "pear"))


def test_without_groups_there_is_nothing_to_draw():
    assert "any image may be held out" in conclusions.copies(np.arange(10), LABELS).text
    assert "No image belongs together" in figures.alt_text(plots.copy_groups(IMAGES, np.arange(10)))


def test_groups_are_counted_and_drawn_by_size():
    together = np.array([0, 0, 2, 3, 4, 4, 6, 7, 8, 0])
    result = conclusions.copies(together, LABELS)
    assert result.numbers["grouped"] == 5
    assert result.numbers["groups_with_different_labels"] == 2
    assert "5 (50.0%) belong together" in result.text
    figure = plots.copy_groups(IMAGES, together, across=4)
    assert [axis.get_ylabel() for axis in figure.axes[::4]] == ["3 images", "2 images"]
    assert sum(len(axis.images) for axis in figure.axes) == 5


def test_a_group_that_swallows_a_class_is_said():
    together = np.array([0, 0, 0, 0, 4, 5, 6, 7, 8, 9])
    assert "holds 80.0% of a class" in conclusions.copies(together, LABELS).text
    assert "of a class" not in conclusions.copies(np.array([0, 0, *range(2, 10)]), LABELS).text
