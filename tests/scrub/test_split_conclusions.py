"""03 says how exactly the smallest class can be measured."""

import numpy as np
import pytest

from helpers.obtain.data import Dataset
from helpers.scoring import wilson_interval
from helpers.scrub import conclusions
from helpers.series import metrics


def part(*counts: int) -> Dataset:
    """Return a part with a number of images of each class."""
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    names = tuple(f"class {number}" for number in range(len(counts)))
    return Dataset(np.zeros((len(labels), 2, 2, 1), np.uint8), labels, names)


def test_smallest_class_has_its_numbers_and_interval() -> None:
    conclusion = conclusions.unequal_classes(part(900, 90), part(100, 10))
    assert "class 1, has 90 images for training and 10 images for validation" in conclusion.text
    assert "correct for 90.9% of the validation images" in conclusion.text
    assert conclusion.numbers["recall_ci95"] == pytest.approx(wilson_interval(9, 10))


def test_equal_classes_have_no_smallest() -> None:
    text = conclusions.unequal_classes(part(90, 90), part(10, 10)).text
    assert text.startswith("Each class has 90 images for training and 10 images for validation.")
    assert "Always predicting one class" in text


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((90, 90), "all classes have the same number of images"),
        ((98, 90), "has 1.09 times the images of the smallest"),
    ],
)
def test_reason_for_the_metric_says_how_unequal_the_classes_are(sizes, words):
    chosen = metrics.choose("auto", [], np.array(sizes))
    assert conclusions.metric(chosen, "auto", part(*sizes)).text.endswith(f"{words}.")


def test_class_without_a_validation_image_has_no_recall() -> None:
    conclusion = conclusions.unequal_classes(part(90, 1), part(10, 0))
    assert "1 image for training and no image for validation" in conclusion.text
    assert conclusion.numbers["recall_ci95"] == [0.0, 1.0]
