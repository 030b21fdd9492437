import numpy as np
import pytest
from scipy import stats
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers import scoring
from helpers.errors import OsemnError
from helpers.model import baselines


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (10, 10), (5, 10), (5_454, 6_000), (1, 1)])
def test_wilson_interval_follows_its_formula(successes, n):
    z, p = stats.norm.ppf(0.975), successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = scoring.wilson_interval(successes, n)
    assert low == pytest.approx(max(centre - half, 0), abs=1e-9)
    assert high == pytest.approx(min(centre + half, 1), abs=1e-9)


def test_wilson_interval_holds_the_true_proportion_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    draws = generator.binomial(400, 0.9, size=2_000)
    held = np.mean(
        [low <= 0.9 <= high for low, high in (scoring.wilson_interval(int(k), 400) for k in draws)]
    )
    assert 0.935 <= held <= 0.965


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_invalid_proportions_are_refused(successes, n):
    with pytest.raises(OsemnError, match="is not a proportion"):
        scoring.wilson_interval(successes, n)


def test_score_agrees_with_scikit_learn():
    generator = np.random.default_rng(1)
    labels, predicted = generator.integers(0, 7, 500), generator.integers(0, 7, 500)
    result = scoring.score(labels, predicted, 7)
    assert result.accuracy == pytest.approx(accuracy_score(labels, predicted), abs=1e-12)
    assert result.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro"), abs=1e-12)
    assert result.accuracy_ci95[0] < result.accuracy < result.accuracy_ci95[1]


def test_class_that_is_never_predicted_lowers_macro_f1():
    labels = np.array([0, 0, 1, 1, 2, 2])
    assert scoring.score(labels, np.array([0, 0, 1, 1, 1, 1]), 3).macro_f1 < 0.6


def test_predictions_of_another_length_are_refused():
    with pytest.raises(OsemnError, match="2 predictions for 3 labels"):
        scoring.score(np.zeros(3), np.zeros(2), 2)


def test_parameters_are_counted_by_what_was_fitted():
    generator = np.random.default_rng(2)
    features, labels = generator.normal(size=(90, 5)), np.arange(90) % 3
    linear = LogisticRegression().fit(features, labels)
    assert baselines.count_parameters(linear) == 3 * 5 + 3
    assert baselines.count_parameters(make_pipeline(StandardScaler(), linear).fit(features, labels)) == 18
    forest = RandomForestClassifier(4, random_state=0).fit(features, labels)
    assert baselines.count_parameters(forest) == sum(tree.tree_.node_count for tree in forest.estimators_)


def test_measure_times_and_scores_one_prediction_of_all_images():
    labels, calls = np.array([0, 1, 1, 0]), []

    def predict():
        calls.append(1)
        return np.array([0, 1, 0, 0])

    row, predicted = baselines.measure("x", predict, labels, 2, parameters=3, samples=9, fit_seconds=0.5)
    assert len(calls) == 1
    assert predicted.dtype == np.int64
    assert row.score.accuracy == 0.75
    assert row.as_metrics()["accuracy"] == 0.75
    assert {"label", "parameters", "samples", "fit_seconds", "predict_microseconds", "n"} <= set(
        row.as_metrics()
    )


def test_comparison_counts_the_images_that_only_one_classifies_correctly():
    labels = np.zeros(10, np.int64)
    one, other = np.array([0] * 8 + [1] * 2), np.array([0] * 3 + [1] * 6 + [0])
    result = scoring.compare(labels, one, other)
    assert (result.only_one, result.only_other) == (5, 1)
    assert result.difference == pytest.approx(0.4)
    # exact binomial, by hand: 2 · (C(6,0) + C(6,1)) / 2⁶
    assert result.p_value == pytest.approx(2 * 7 / 64)
    assert not result.significant
    assert result.ci95[0] < 0.4 < result.ci95[1]
    logged = result.as_metrics()
    assert (logged["points"], logged["shown"]) == (pytest.approx(40), False)
    assert logged["ci95"] == pytest.approx([100 * end for end in result.ci95])
    assert logged["p_value"] == result.p_value


def test_comparison_of_equal_predictions_shows_no_difference():
    labels = np.arange(50) % 3
    result = scoring.compare(labels, labels, labels)
    assert (result.difference, result.p_value) == (0.0, 1.0)
    assert result.ci95[0] < 0 < result.ci95[1]


def test_comparison_finds_a_real_difference_and_turns_its_sign():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 5, 2_000)
    one = np.where(generator.random(2_000) < 0.95, labels, labels + 1)
    other = np.where(generator.random(2_000) < 0.90, labels, labels + 1)
    there, back = scoring.compare(labels, one, other), scoring.compare(labels, other, one)
    assert there.significant
    assert there.ci95[0] > 0
    assert back.difference == -there.difference
    assert back.ci95 == pytest.approx((-there.ci95[1], -there.ci95[0]))


def test_intervals_of_differences_hold_the_truth_about_as_often_as_they_say():
    generator, held = np.random.default_rng(1), 0
    labels = np.zeros(400, np.int64)
    for _ in range(400):
        one = (generator.random(400) > 0.9).astype(np.int64)
        other = (generator.random(400) > 0.85).astype(np.int64)
        low, high = scoring.compare(labels, one, other).ci95
        held += low <= 0.05 <= high
    assert 0.92 <= held / 400 <= 0.98


def test_comparison_of_different_images_is_refused():
    with pytest.raises(OsemnError, match="3 and 2 predictions for 3 labels"):
        scoring.compare(np.zeros(3), np.zeros(3), np.zeros(2))


@pytest.mark.parametrize(("only_one", "only_other"), [(5, 0), (7, 1), (60, 40), (9, 0), (70, 40), (0, 5)])
def test_interval_leaves_out_zero_only_where_the_test_shows_a_difference(only_one, only_other):
    labels = np.zeros(360, int)
    one, other = np.zeros(360, int), np.zeros(360, int)
    other[:only_one] = 1
    one[only_one : only_one + only_other] = 1
    result = scoring.compare(labels, one, other)
    low, high = result.ci95
    assert (low <= 0 <= high) != result.significant


def test_best_of_several_candidates_is_compared_with_a_correction():
    result = scoring.Comparison(0.01, (0.001, 0.02), 0.02, 20, 10)
    assert result.significant
    assert result.corrected(2).p_value == pytest.approx(0.04)
    assert not result.corrected(3).significant
    assert result.corrected(100).p_value == 1.0
