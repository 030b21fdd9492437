"""Error analysis detects what was planted: confident mistakes, a bad slice."""

import numpy as np
import pytest

from helpers.interpret import error_analysis

ONE_CLASS = np.zeros(8_000, np.int64)


def test_mistakes_are_ordered_by_confidence_and_by_how_close_they_were():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.45, 0.55], [0.99, 0.01], [0.3, 0.7]])
    labels = np.array([1, 1, 0, 1, 0])
    assert error_analysis.confident_mistakes(probabilities, labels, 5).tolist() == [3, 0, 4, 2]
    assert error_analysis.near_misses(probabilities, labels, 2).tolist() == [2, 4]
    assert error_analysis.confident_mistakes(probabilities, labels, 1).tolist() == [3]


def test_slices_cover_every_image_once_and_detect_the_planted_gap():
    generator = np.random.default_rng(1)
    values = generator.random(4_000)
    correct = generator.random(4_000) < np.where(values < 0.25, 0.7, 0.95)
    result = error_analysis.slices({"brightness": values}, correct, ONE_CLASS[:4_000])
    assert sum(one.n for one in result) == 4_000
    worst = min(result, key=lambda one: one.gap)
    assert worst.high == pytest.approx(0.25, abs=0.02)
    assert worst.gap == pytest.approx(-0.25, abs=0.04)
    assert worst.p_value < 1e-6
    assert worst.accuracy_ci95[0] < worst.accuracy < worst.accuracy_ci95[1]


def test_slices_without_a_gap_are_rarely_called_worse():
    generator = np.random.default_rng(2)
    false_alarms = 0
    for _ in range(200):
        by = {name: generator.random(400) for name in ("brightness", "contrast")}
        false_alarms += any(
            one.significant
            for one in error_analysis.slices(
                by, generator.random(400) < 0.9, generator.integers(0, 5, size=400)
            )
        )
    assert false_alarms <= 18  # 5% of 200, with some room


def test_slice_is_not_called_worse_for_holding_more_of_a_hard_class():
    generator = np.random.default_rng(4)
    labels = generator.integers(0, 2, size=8_000)
    values = generator.random(8_000) + 0.5 * labels  # the hard class is brighter
    correct = generator.random(8_000) < np.where(labels == 1, 0.7, 0.95)
    result = error_analysis.slices({"brightness": values}, correct, labels)
    brightest = result[-1]
    assert brightest.accuracy < correct.mean() - 0.08
    assert brightest.gap == pytest.approx(0.0, abs=0.05)
    assert not any(one.significant for one in result)


def test_slice_in_which_a_class_does_worse_is_significant_although_its_classes_are_easy():
    generator = np.random.default_rng(5)
    labels = generator.integers(0, 2, size=8_000)
    values = generator.random(8_000) - 0.5 * labels
    dark = values < np.quantile(values, 0.25)
    correct = generator.random(8_000) < np.where(labels == 1, 0.95, 0.6) - 0.1 * dark
    darkest = error_analysis.slices({"brightness": values}, correct, labels)[0]
    assert darkest.accuracy > correct.mean()
    assert darkest.gap == pytest.approx(-0.1, abs=0.03)
    assert darkest.significant


def test_p_value_of_a_slice_is_for_the_reported_difference():
    generator = np.random.default_rng(7)
    inside, outside = (2_000, 500), (100, 7_400)  # images of two classes
    labels = np.concatenate([np.repeat([0, 1], inside), np.repeat([0, 1], outside)])
    within = np.arange(len(labels)) < sum(inside)
    # one class better here and the other worse: by the classes of the slice, the two cancel out
    accuracy = np.where(labels == 0, np.where(within, 0.85, 0.80), np.where(within, 0.60, 0.80))
    significant = 0
    for _ in range(100):
        correct = generator.random(len(labels)) < accuracy
        first = error_analysis.slices({"place": np.arange(len(labels))}, correct, labels)[0]
        assert first.n == sum(inside)
        significant += first.significant
    assert significant <= 8


def test_classes_on_one_side_of_a_slice_are_ignored():
    labels = np.repeat([0, 1], 50)
    correct = np.arange(100) % 10 > 0
    for one in error_analysis.slices({"two": np.repeat([0.0, 1.0], 50)}, correct, labels):
        assert (one.gap, one.p_value) == (0.0, 1.0)


def test_property_with_few_values_makes_few_slices():
    correct = np.array([True, False] * 50)
    assert error_analysis.slices({"constant": np.ones(100)}, correct, ONE_CLASS[:100]) == []
    halves = error_analysis.slices({"two": np.repeat([0.0, 1.0], 50)}, correct, ONE_CLASS[:100])
    assert sum(one.n for one in halves) == 100


def test_properties_leave_out_the_object_without_a_black_background():
    black = np.zeros((5, 8, 8, 1), np.uint8)
    black[:, 2:6, 2:6] = 200
    result = error_analysis.properties(black)
    assert result["fraction of pixels not black"] == pytest.approx([0.25] * 5)
    assert result["brightness"] == pytest.approx([50.0] * 5)
    photos = np.full((5, 8, 8, 3), 90, np.uint8)
    assert set(error_analysis.properties(photos)) == {"brightness", "contrast"}
