"""Each metric agrees with scikit-learn, and costs and names are checked."""

from typing import get_args

import numpy as np
import pytest
from sklearn import metrics as reference

from helpers import scoring, wording
from helpers.errors import OsemnError, UsageError
from helpers.series import metrics, parameters
from helpers.series.metrics import Metric

REFERENCES = {
    "accuracy": reference.accuracy_score,
    "balanced_accuracy": reference.balanced_accuracy_score,
    "macro_f1": lambda labels, predicted: reference.f1_score(labels, predicted, average="macro"),
    "mcc": reference.matthews_corrcoef,
}


@pytest.mark.parametrize("name", sorted(set(metrics.TITLES) - {"cost"}))
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_agrees_with_scikit_learn(name: str, classes: int) -> None:
    generator = np.random.default_rng(classes)
    labels = generator.integers(0, classes, 200)
    predicted = np.where(generator.random(200) < 0.6, labels, generator.integers(0, classes, 200))
    expected = REFERENCES[name](labels, predicted)
    assert Metric(name)(labels, predicted, classes) == pytest.approx(expected, abs=1e-12)


def test_every_metric_can_be_chosen_in_03() -> None:
    field = parameters.MODELS["03_preprocess"].model_fields["metric"]
    assert set(get_args(field.annotation)) == {metrics.AUTO, *metrics.TITLES}


def test_macro_f1_counts_a_class_that_is_never_predicted() -> None:
    labels, predicted = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1])
    assert Metric("macro_f1")(labels, predicted, 4) == 0.5


def test_balanced_accuracy_ignores_classes_without_images() -> None:
    assert Metric("balanced_accuracy")(np.array([0, 0, 2]), np.array([0, 1, 2]), 3) == 0.75


def test_matthews_correlation_of_a_constant_is_zero() -> None:
    assert Metric("mcc")(np.array([0, 1, 1]), np.zeros(3, np.int64), 2) == 0.0


def test_cost_is_the_mean_with_a_minus_sign() -> None:
    costs = ((0.0, 1.0), (5.0, 0.0))
    assert Metric("cost", costs)(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 0]), 2) == -1.5


@pytest.mark.parametrize(
    ("name", "costs", "words"),
    [
        ("accurac", (), "accuracy"),
        ("cost", (), "belong together"),
        ("accuracy", ((0.0,),), "belong together"),
        ("cost", ((0.0, 1.0),), "square"),
        ("cost", ((0.0, float("nan")), (1.0, 0.0)), "finite"),
    ],
)
def test_bad_metrics_are_refused(name: str, costs: tuple[tuple[float, ...], ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Metric(name, costs)


def test_costs_must_fit_the_classes() -> None:
    with pytest.raises(UsageError, match="2 classes; the data have 3"):
        metrics.choose("cost", [[0, 1], [1, 0]], np.array([5, 5, 5]))
    with pytest.raises(OsemnError, match="2 classes; the data have 3"):
        Metric("cost", ((0.0, 1.0), (1.0, 0.0)))(np.array([2]), np.array([0]), 3)


def test_no_images_are_refused() -> None:
    with pytest.raises(OsemnError, match="exactly once"):
        Metric("accuracy")(np.array([], np.int64), np.array([], np.int64), 2)


@pytest.mark.parametrize(("counts", "name"), [([50, 100], "accuracy"), ([49, 100], "balanced_accuracy")])
def test_auto_follows_the_classes(counts: list[int], name: str) -> None:
    assert metrics.choose("auto", [], np.array(counts)).name == name


def test_facts_are_read_again() -> None:
    chosen = metrics.choose("cost", [[0, 1], [5, 0]], np.array([5, 5]))
    assert Metric.of_facts(chosen.facts()) == chosen


def two_models(n: int, only_one: int, only_other: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels = np.arange(n) % 2
    one, other = labels.copy(), labels.copy()
    other[:only_one] ^= 1
    one[only_one : only_one + only_other] ^= 1
    return labels, one, other


@pytest.mark.parametrize(("n", "only_one", "only_other"), [(210, 12, 8), (1_000, 30, 30), (6_000, 200, 100)])
def test_interval_of_a_difference_agrees_with_that_of_paired_proportions(
    n: int, only_one: int, only_other: int
) -> None:
    given = two_models(n, only_one, only_other)
    expected = scoring.compare(*given)
    difference = metrics.compare(Metric("accuracy"), *given, 2)
    assert difference.value == pytest.approx(expected.difference)
    assert difference.ci95 == pytest.approx(expected.ci95, abs=0.2 / n**0.5 / 10 + 1 / n)
    assert difference.ci95[0] < difference.upper95 < difference.ci95[1]


def test_models_that_never_differ_are_not_shown_to_be_equal() -> None:
    labels, one, _ = two_models(210, 0, 0)
    difference = metrics.compare(Metric("accuracy"), labels, one, one, 2)
    assert difference.value == 0.0
    assert difference.upper95 > 0.003, "half an image of 210 may still differ"


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "macro_f1", "mcc"])
def test_bound_holds_in_nineteen_of_twenty_samples(name: str) -> None:
    """Unequal classes; both models classify the same images correctly more often than by chance."""
    chosen, generator = Metric(name), np.random.default_rng(5)

    def sample(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        labels = (generator.random(n) < 0.3).astype(np.int64)
        hard = generator.random(n)
        right = [(hard * 0.7 + generator.random(n) * 0.3) < limit[labels] for limit in LIMITS]
        return labels, *(np.where(each, labels, 1 - labels) for each in right)

    LIMITS = (np.array([0.85, 0.70]), np.array([0.83, 0.68]))
    labels, one, other = sample(2_000_000)
    truth = chosen(labels, one, 2) - chosen(labels, other, 2)
    held = np.mean([metrics.compare(chosen, *sample(400), 2).upper95 >= truth for _ in range(120)])
    assert held >= 0.89, "0.95 minus three standard errors of 120 samples; it may be cautious"


def seeds(generator: np.random.Generator, n: int, mean: float, spread: float, count: int = 3) -> np.ndarray:
    """Return whether each of some networks classifies each image correctly, `[count, n] bool`."""
    lucky = mean + spread * generator.normal(size=(count, 1))
    return lucky + generator.normal(size=(count, n)) > 0


def test_interval_of_two_methods_covers_seeds_and_images() -> None:
    """Two methods that do not differ: three lucky seeds show a difference of networks, and none of methods."""
    generator, claims = np.random.default_rng(1), {"methods": 0, "networks": 0}
    for _ in range(60):
        labels = generator.integers(0, 2, 1_000)
        ones, others = (
            np.where(seeds(generator, 1_000, 1.5, 0.3), labels, 1 - labels) for _ in ("one", "other")
        )
        low, high = metrics.compare_methods(Metric("accuracy"), labels, ones, others, 2).ci95
        claims["methods"] += not low <= 0 <= high
        claims["networks"] += scoring.compare(labels, ones[0], others[0]).significant
    assert claims["methods"] <= 9, "5% of 60, plus three standard errors and a half"
    assert claims["networks"] > 25


def test_methods_that_differ_are_told_apart_from_both_sides() -> None:
    generator = np.random.default_rng(2)
    labels = generator.integers(0, 2, 1_000)
    good, bad = (np.where(seeds(generator, 1_000, mean, 0.02), labels, 1 - labels) for mean in (2.0, 1.0))
    there = metrics.compare_methods(Metric("balanced_accuracy"), labels, good, bad, 2)
    back = metrics.compare_methods(Metric("balanced_accuracy"), labels, bad, good, 2)
    assert there.ci95[0] > 0
    assert [back.value, *back.ci95] == pytest.approx([-there.value, -there.ci95[1], -there.ci95[0]], abs=1e-9)
    assert there.ci95[0] < there.value < there.upper95 < there.ci95[1]
    with pytest.raises(OsemnError, match="2 and 3 networks"):
        metrics.compare_methods(Metric("accuracy"), labels, good[:2], bad, 2)


def test_a_difference_that_is_not_significant_comes_with_the_largest_that_is_excluded() -> None:
    labels, one, other = two_models(210, 8, 5)
    words = wording.difference(metrics.tested(Metric("accuracy"), labels, one, other, 2))
    assert words.startswith(
        "+1.43 points of accuracy (95% interval −2.04 to +4.87, p = 0.581), which is not statistically significant"
    )
    assert words.endswith("; a difference of more than 4.87 points of accuracy is excluded")
    labels, one, other = two_models(210, 40, 5)
    for name, unit in (("accuracy", "points of accuracy"), ("macro_f1", "hundredths of macro-F1")):
        words = wording.difference(metrics.tested(Metric(name), labels, one, other, 2))
        assert f" {unit} (95% interval +" in words
        assert words.endswith("which is statistically significant")
