"""Scores from the confusion matrix equal scikit-learn's, and their intervals cover the truth as often as stated."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn import metrics

from helpers import scoring
from helpers.errors import OsemnError
from helpers.interpret import confusion, plots

NAMES = ("shirt", "coat", "dress", "sandal", "boot")


def predictions(n: int = 900, classes: int = 5, skill: float = 0.7, seed: int = 0):
    generator = np.random.default_rng(seed)
    labels = generator.choice(classes, n, p=np.arange(1, classes + 1) / np.arange(1, classes + 1).sum())
    guess = generator.integers(0, classes, n)
    return labels, np.where(generator.random(n) < skill, labels, guess)


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_scikit_learns(seed):
    labels, predicted = predictions(seed=seed)
    result = confusion.scores(confusion.matrix(labels, predicted, 5), NAMES)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(labels, predicted)
    assert [one.precision for one in result.classes] == pytest.approx(precision, abs=1e-9)
    assert [one.recall for one in result.classes] == pytest.approx(recall, abs=1e-9)
    assert [one.f1 for one in result.classes] == pytest.approx(f1, abs=1e-9)
    assert [one.support for one in result.classes] == support.tolist()
    assert result.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted), abs=1e-9)
    assert result.macro_f1 == pytest.approx(f1.mean(), abs=1e-9)
    assert result.weighted_f1 == pytest.approx(
        metrics.f1_score(labels, predicted, average="weighted"), abs=1e-9
    )
    for one in result.classes:
        assert one.f1_ci95[0] < one.f1 < one.f1_ci95[1]


def test_class_that_is_absent_is_left_out_of_the_macro_mean_and_has_no_recall():
    labels, predicted = np.array([0, 0, 1, 1, 1]), np.array([0, 2, 1, 1, 0])
    result = confusion.scores(confusion.matrix(labels, predicted, 4), NAMES[:4])
    assert result.absent == ["dress", "sandal"]
    dress, sandal = result.classes[2:]
    assert (dress.recall, dress.precision, dress.f1) == (None, 0.0, 0.0)
    assert (sandal.recall, sandal.precision, sandal.f1) == (None, None, None)
    wanted = metrics.f1_score(labels, predicted, labels=[0, 1], average="macro")
    assert result.macro_f1 == pytest.approx(wanted, abs=1e-9)


def test_two_classes_all_correct_or_all_incorrect_are_defined():
    correct = confusion.scores(np.array([[7, 0], [0, 9]]), NAMES[:2])
    assert correct.macro_f1 == 1.0
    incorrect = confusion.scores(np.array([[0, 7], [9, 0]]), NAMES[:2])
    assert (incorrect.accuracy, incorrect.macro_f1) == (0.0, 0.0)
    for result in (correct, incorrect):
        for low, high in (
            result.macro_f1_ci95,
            result.weighted_f1_ci95,
            *(c.f1_ci95 for c in result.classes),
        ):
            assert 0.0 <= low < high <= 1.0
            assert high - low > 0.1


@pytest.mark.parametrize(("images", "accuracy"), [(36, 0.99), (36, 0.95), (10, 0.9)])
def test_intervals_of_small_samples_with_hardly_a_mistake_hold_the_true_f1(images, accuracy):
    shape = np.full((8, 8), (1 - accuracy) / 7)
    np.fill_diagonal(shape, accuracy)
    truth, names = scoring.score_confusion(shape), tuple("abcdefgh")
    generator = np.random.default_rng(0)
    result = [
        confusion.scores(np.array([generator.multinomial(images, row) for row in shape]), names, draws=300)
        for _ in range(200)
    ]
    macro = np.mean([one.macro_f1_ci95[0] <= truth.macro_f1 <= one.macro_f1_ci95[1] for one in result])
    by_class = np.mean(
        [low <= truth.f1[0] <= high for one in result for low, high in (c.f1_ci95 for c in one.classes)]
    )
    assert macro >= 0.92
    assert by_class >= 0.92


def test_intervals_hold_the_true_f1_about_as_often_as_they_say():
    shape = np.diag([0.20, 0.17, 0.18, 0.15]) + 0.3 / 16
    truth = scoring.score_confusion(shape)
    generator = np.random.default_rng(0)
    drawn = generator.multinomial(2_000, shape.ravel() / shape.sum(), size=800).reshape(-1, 4, 4)
    result = [confusion.scores(one, NAMES[:4], draws=400, seed=seed) for seed, one in enumerate(drawn)]
    macro = np.mean([one.macro_f1_ci95[0] <= truth.macro_f1 <= one.macro_f1_ci95[1] for one in result])
    first = np.mean([low <= truth.f1[0] <= high for low, high in (one.classes[0].f1_ci95 for one in result)])
    weighted = np.mean(
        [one.weighted_f1_ci95[0] <= truth.weighted_f1 <= one.weighted_f1_ci95[1] for one in result]
    )
    assert 0.93 <= macro <= 0.97
    assert 0.93 <= first <= 0.97
    assert 0.93 <= weighted <= 0.97


@pytest.mark.parametrize(
    ("counts", "names"), [(np.zeros((2, 2)), NAMES[:2]), (np.eye(3), NAMES[:2]), (np.ones((2, 3)), NAMES[:2])]
)
def test_array_that_is_not_a_confusion_matrix_is_refused(counts, names):
    with pytest.raises(OsemnError, match="confusion matrix"):
        confusion.scores(counts, names)


def test_predictions_of_another_length_are_refused():
    with pytest.raises(OsemnError, match="3 predictions for 2 labels"):
        confusion.matrix(np.zeros(2, int), np.zeros(3, int), 2)


def test_most_confused_pairs_come_in_order_with_their_fraction():
    counts = np.array([[80, 15, 5], [8, 90, 2], [0, 0, 50]])
    result = confusion.most_confused(counts, NAMES[:3], top=5)
    assert [(one.true, one.predicted, one.count) for one in result] == [
        ("shirt", "coat", 15),
        ("coat", "shirt", 8),
        ("shirt", "dress", 5),
        ("coat", "dress", 2),
    ]
    assert result[0].share == pytest.approx(0.15)
    assert confusion.most_confused(np.diag([3, 4]), NAMES[:2]) == []


def test_groups_of_confused_classes_are_found():
    counts = np.diag([80] * 5)
    counts[:3, :3] += 10
    counts[3:, 3:] += 6
    assert confusion.groups(counts, NAMES) == [NAMES[:3], NAMES[3:]]
    assert confusion.groups(np.diag([5, 5, 5]), NAMES[:3]) == []
    assert [confusion.mistakes_within(counts, NAMES, group) for group in (NAMES[:3], NAMES[3:])] == [60, 12]
    assert not confusion.most_overpredicted(counts, NAMES).collapsed


@pytest.mark.parametrize(
    ("counts", "of_predictions", "of_images"),
    [([[90, 10], [85, 15]], 0.875, 0.5), ([[95, 0], [5, 0]], 1.0, 0.95)],
)
def test_collapse_into_one_class_is_detected(counts, of_predictions, of_images):
    most = confusion.most_overpredicted(counts, NAMES[:2])
    assert most == confusion.Overpredicted("shirt", of_predictions, of_images, collapsed=True)
    assert not confusion.most_overpredicted(np.diag([4, 5]), NAMES[:2]).collapsed


def test_areas_are_scikit_learns_and_missing_for_a_class_that_is_absent():
    labels = np.array([0, 0, 1, 1, 1])
    probabilities = np.array([[0.8, 0.2, 0], [0.4, 0.6, 0], [0.5, 0.5, 0], [0.1, 0.9, 0], [0.3, 0.7, 0]])
    table = confusion.areas(probabilities, labels, ["a", "b", "c"])
    assert table.loc["a", "roc_auc"] == pytest.approx(5 / 6), "five of six pairs are in order"
    assert table.loc["a", "average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert table.loc["c"].tolist() == [None, None]


@pytest.mark.parametrize("classes", [2, 3, 10, 12, 20])
def test_the_matrix_can_be_read_at_the_width_of_a_page(classes):
    counts = np.full((classes, classes), 8) + 900 * np.eye(classes, dtype=int)
    figure = plots.confusion_matrix(counts, [f"class {number}" for number in range(classes)])
    column = 952  # CSS pixels: of the page's text on a screen of 1,280
    scale = min(1.0, column / (96 * figure.get_figwidth()))
    figure.draw_without_rendering()
    axes = figure.axes[0]
    texts = [text for text in axes.findobj(plt.Text) if text.get_text().strip()]
    assert len(texts) >= classes * classes
    assert min(text.get_fontsize() * 96 / 72 * scale for text in texts) >= 11
    width = axes.get_window_extent().width / classes
    written = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert all(
        box.width < width and box.height < width for box in written
    )  # no text reaches into the next cell
    plt.close(figure)


def test_the_colours_of_the_matrix_tell_no_mistakes_from_two_per_cent():
    counts = np.array([[98, 2, 0], [0, 100, 0], [0, 0, 100]])
    figure = plots.confusion_matrix(counts, list("abc"))
    none, two = (figure.axes[0].collections[0].to_rgba(fraction)[:3] for fraction in (0.0, 0.02))
    assert np.abs(np.subtract(none, two)).max() > 0.12
    plt.close(figure)
