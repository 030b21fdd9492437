"""Error analysis finds what was planted: confident mistakes, wrong labels, a bad slice; and recommends accordingly."""

import numpy as np
import pytest

from helpers.errors import OsemnError
from helpers.interpret import confusion, error_analysis
from helpers.interpret.confusion import Confused

ONE_CLASS = np.zeros(8_000, np.int64)


def test_mistakes_are_ordered_by_confidence_and_by_how_close_they_were():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.45, 0.55], [0.99, 0.01], [0.3, 0.7]])
    labels = np.array([1, 1, 0, 1, 0])
    assert error_analysis.confident_mistakes(probabilities, labels, 5).tolist() == [3, 0, 4, 2]
    assert error_analysis.near_misses(probabilities, labels, 2).tolist() == [2, 4]
    assert error_analysis.confident_mistakes(probabilities, labels, 1).tolist() == [3]


def test_planted_wrong_labels_are_found_and_clean_ones_are_not():
    generator = np.random.default_rng(0)
    centres = 5 * np.eye(3)
    train_labels = np.arange(300) % 3
    train = centres[train_labels] + 0.3 * generator.normal(size=(300, 3))
    labels = np.arange(60) % 3
    embeddings = centres[labels] + 0.3 * generator.normal(size=(60, 3))
    carried = labels.copy()
    carried[[7, 20]] = (carried[[7, 20]] + 1) % 3
    found = error_analysis.doubtful_labels(embeddings, carried, labels, train, train_labels)
    assert sorted(one.index for one in found) == [7, 20]
    assert all(one.suggested == labels[one.index] == one.predicted for one in found)
    assert all(one.label == carried[one.index] and one.agreement >= 0.9 for one in found)


def test_all_training_images_are_asked_where_there_are_fewer_than_ten():
    rows = np.ones((4, 2))
    (found,) = error_analysis.doubtful_labels(
        rows[:1], np.zeros(1, int), np.zeros(1, int), rows, np.ones(4, int)
    )
    assert (found.suggested, found.agreement) == (1, 1.0)
    with pytest.raises(OsemnError, match="no training images"):
        error_analysis.doubtful_labels(
            rows[:1], np.zeros(1, int), np.zeros(1, int), rows[:0], np.ones(0, int)
        )


def test_slices_cover_every_image_once_and_show_the_planted_gap():
    generator = np.random.default_rng(1)
    values = generator.random(4_000)
    right = generator.random(4_000) < np.where(values < 0.25, 0.7, 0.95)
    found = error_analysis.slices({"brightness": values}, right, ONE_CLASS[:4_000])
    assert sum(one.n for one in found) == 4_000
    worst = min(found, key=lambda one: one.gap)
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
            one.shown
            for one in error_analysis.slices(
                by, generator.random(400) < 0.9, generator.integers(0, 5, size=400)
            )
        )
    assert false_alarms <= 18  # five per cent of 200, and Bonferroni keeps below


def test_slice_is_not_blamed_for_holding_more_of_a_hard_class():
    generator = np.random.default_rng(4)
    labels = generator.integers(0, 2, size=8_000)
    values = generator.random(8_000) + 0.5 * labels  # the hard class is brighter
    right = generator.random(8_000) < np.where(labels == 1, 0.7, 0.95)
    found = error_analysis.slices({"brightness": values}, right, labels)
    brightest = found[-1]
    assert brightest.accuracy < right.mean() - 0.08
    assert brightest.gap == pytest.approx(0.0, abs=0.05)
    assert not any(one.shown for one in found)
    assert not error_analysis.recommendations([Confused("a", "b", 9, 0.1)], found, 9)[1:]


def test_slice_in_which_a_class_does_worse_is_shown_although_its_classes_are_easy():
    generator = np.random.default_rng(5)
    labels = generator.integers(0, 2, size=8_000)
    values = generator.random(8_000) - 0.5 * labels
    dark = values < np.quantile(values, 0.25)
    right = generator.random(8_000) < np.where(labels == 1, 0.95, 0.6) - 0.1 * dark
    darkest = error_analysis.slices({"brightness": values}, right, labels)[0]
    assert darkest.accuracy > right.mean()
    assert darkest.gap == pytest.approx(-0.1, abs=0.03)
    assert darkest.shown


def test_the_test_of_a_slice_is_of_the_difference_that_is_said():
    generator = np.random.default_rng(7)
    inside, outside = (2_000, 500), (100, 7_400)  # images of two classes
    labels = np.concatenate([np.repeat([0, 1], inside), np.repeat([0, 1], outside)])
    within = np.arange(len(labels)) < sum(inside)
    # one class better here and the other worse: by the classes of the slice, the two cancel out
    share = np.where(labels == 0, np.where(within, 0.85, 0.80), np.where(within, 0.60, 0.80))
    shown = 0
    for _ in range(100):
        right = generator.random(len(labels)) < share
        first = error_analysis.slices({"place": np.arange(len(labels))}, right, labels)[0]
        assert first.n == sum(inside)
        shown += first.shown
    assert shown <= 8


def test_classes_on_one_side_of_a_slice_say_nothing():
    labels = np.repeat([0, 1], 50)
    right = np.arange(100) % 10 > 0
    for one in error_analysis.slices({"two": np.repeat([0.0, 1.0], 50)}, right, labels):
        assert (one.gap, one.p_value) == (0.0, 1.0)


def test_property_with_few_values_makes_few_slices():
    right = np.array([True, False] * 50)
    assert error_analysis.slices({"constant": np.ones(100)}, right, ONE_CLASS[:100]) == []
    halves = error_analysis.slices({"two": np.repeat([0.0, 1.0], 50)}, right, ONE_CLASS[:100])
    assert sum(one.n for one in halves) == 100


def test_properties_leave_out_the_object_where_there_is_no_black_background():
    black = np.zeros((5, 8, 8, 1), np.uint8)
    black[:, 2:6, 2:6] = 200
    found = error_analysis.properties(black)
    assert found["share of pixels not black"] == pytest.approx([0.25] * 5)
    assert found["brightness"] == pytest.approx([50.0] * 5)
    photos = np.full((5, 8, 8, 3), 90, np.uint8)
    assert set(error_analysis.properties(photos)) == {"brightness", "contrast"}


def test_recommendations_come_from_the_numbers():
    counts = np.array([[70, 30, 0], [20, 80, 0], [0, 5, 95]])
    confused = confusion.most_confused(counts, ("shirt", "coat", "boot"))
    generator = np.random.default_rng(3)
    values = generator.random(2_000)
    gap = error_analysis.slices(
        {"contrast": values},
        generator.random(2_000) < np.where(values < 0.25, 0.6, 0.95),
        ONE_CLASS[:2_000],
    )
    first, second = error_analysis.recommendations(confused, gap, 55)
    assert "**shirt** and **coat**: 50 of the 55 mistakes (91%)" in first
    assert "**contrast** lies between" in second
    even = error_analysis.slices({"contrast": values}, generator.random(2_000) < 0.9, ONE_CLASS[:2_000])
    assert "**boot** taken for **coat** (5 images" in error_analysis.recommendations(confused, even, 55)[1]
    assert "no mistake" in error_analysis.recommendations([], [], 0)[0]


def test_a_rare_mistake_is_not_called_none_of_the_class():
    rare = [Confused("4", "9", 5, 0.0051), Confused("5", "3", 4, 0.0045)]
    equal = error_analysis.Slice("brightness", 0.0, 9.0, 1_000, 0.99, (0.98, 0.995), 0.99, 1.0)
    said = error_analysis.recommendations(rare, [equal], 34)
    assert "taken for **3** (4 images, 0.4% of the class)" in said[1]
