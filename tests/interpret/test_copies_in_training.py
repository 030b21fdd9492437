"""What 07 says and draws about test images that have copies in training."""

import numpy as np
import pandas as pd
import pytest

from helpers import figures
from helpers.interpret import conclusions, plots
from helpers.obtain.data import Dataset

PART = Dataset(np.zeros((3, 6, 6, 1), np.uint8), np.array([0, 1, 1]), ("apple", "pear"))


def test_accuracy_is_given_with_and_without_images_that_training_has():
    correct = np.array([True] * 8 + [False] * 2)
    result = conclusions.with_and_without_copies("network", correct, np.array([0, 1, 2, 3, 8]))
    assert result.numbers["shared"] == 5
    accuracies = {name: result.numbers[name]["accuracy"] for name in ("all", "alone", "only_shared")}
    assert accuracies == {"all": 0.8, "alone": 0.8, "only_shared": 0.8}
    result = conclusions.with_and_without_copies("network", correct, np.arange(5))
    assert result.numbers["alone"]["accuracy"] == pytest.approx(0.6)
    assert "80.0%" in result.text
    assert "60.0%" in result.text


@pytest.mark.parametrize(
    ("shared", "words"), [(np.arange(4), "no image is left"), (np.arange(0), "None of the 4")]
)
def test_all_or_none_shared_is_a_sentence_too(shared, words):
    assert words in conclusions.with_and_without_copies("network", np.ones(4, bool), shared).text


def test_the_random_split_is_told_with_its_spread():
    result = conclusions.random_split(np.array([0.1, 0.2, 0.3]), 0, 110)
    assert "20.0% of the test images (10.0 to 30.0% over 3 seeds)" in result.text
    assert "in this split none has" in result.text


def test_pairs_are_drawn_side_by_side():
    shared = pd.DataFrame({"row": [0, 2], "training_row": [1, 2]})
    figure = plots.copies_in_training(PART, PART, shared)
    titles = [text.get_text() for text in figure.axes[0].texts]
    assert titles == ["test: apple\ntraining: pear", "test: pear\ntraining: pear"]
    assert figures.alt_text(figure).startswith("2 of 2 test images")
