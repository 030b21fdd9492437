"""What is concluded on mistakes that the candidates share, on made-up predictions."""

import numpy as np
import pytest

from helpers.interpret import limits_conclusions

LABELS = np.zeros(1_000, np.int64)


def predictions(*wrong: tuple[int, int], other: int = 1) -> np.ndarray:
    """Return predictions that are incorrect from one row to another."""
    predicted = LABELS.copy()
    for start, end in wrong:
        predicted[start:end] = other
    return predicted


def test_images_that_all_misclassify_are_counted_beside_chance():
    said = limits_conclusions.agreement(LABELS, [predictions((0, 100)), predictions((50, 250), other=2)])
    assert said.numbers["misclassified_by_all"] == 50
    assert said.numbers["alike"] == 0
    assert said.numbers["by_chance"] == pytest.approx(20)
    assert "misclassify 50 test images in common: 5.0% of 1,000" in said.text
    assert "would reach 95.0%, where the best one reaches 90.0%" in said.text


def test_the_same_incorrect_class_is_told_from_different_ones():
    said = limits_conclusions.agreement(
        LABELS, [predictions((0, 40)), predictions((0, 30)), predictions((10, 60))]
    )
    assert (said.numbers["misclassified_by_all"], said.numbers["alike"]) == (20, 20)


def test_candidates_that_share_no_mistake_are_not_said_to():
    said = limits_conclusions.agreement(LABELS, [predictions((0, 10)), predictions((10, 20))])
    assert "misclassify no test image in common" in said.text
    assert said.numbers["misclassified_by_all"] == 0
    assert "0.0% of 1,000" in said.text


def test_a_single_candidate_shares_no_mistakes():
    said = limits_conclusions.agreement(LABELS, [predictions((0, 10))])
    assert "unknown" in said.text
    assert said.numbers == {}
