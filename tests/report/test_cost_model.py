"""The cost model: thresholds agree with theory and brute force, intervals cover the truth, texts follow the numbers."""

import json

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

from helpers import figures
from helpers.errors import OsemnError, UsageError
from helpers.interpret.calibration import at_temperature
from helpers.report.business import cost_model, plots, policy
from helpers.report.business import value as business
from helpers.report.business.cost_model import CHECK_ALL, Costs, Predictions
from helpers.scoring import mean_of, wilson_interval

CATALOGUE = Costs(0.20, 0.50, 0.08, 0.0001)


def calibrated(n: int, seed: int = 0, steps: int | None = None) -> Predictions:
    """Return calibrated predictions; `steps` puts their confidences on a grid."""
    generator = np.random.default_rng(seed)
    confidence = generator.beta(4.0, 0.6, n)
    if steps:
        confidence = np.round(confidence * steps) / steps
    return Predictions(confidence, generator.random(n) < confidence)


def net_values(given: Predictions, costs: Costs, threshold: float) -> np.ndarray:
    """Return the value of each image, one at a time."""
    values = []
    for confidence, correct in zip(given.confidence, given.correct, strict=True):
        if confidence < threshold:
            values.append(costs.value_right - costs.cost_check - costs.cost_prediction)
        else:
            values.append((costs.value_right if correct else -costs.cost_wrong) - costs.cost_prediction)
    return np.array(values)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


# --- costs and predictions


@pytest.mark.parametrize("name", ["value_right", "cost_wrong", "cost_check", "cost_prediction"])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), "1", None, True])
def test_invalid_costs_are_refused_by_name(name, value):
    with pytest.raises(UsageError, match=name):
        Costs(**{"value_right": 1, "cost_wrong": 1, "cost_check": 1, "cost_prediction": 0, name: value})


def test_a_free_check_is_refused():
    with pytest.raises(UsageError, match="cost_check is 0"):
        Costs(1, 1, 0, 0)


@pytest.mark.parametrize(
    ("confidence", "right"),
    [
        ([], []),
        ([0.5], [True, False]),
        ([0.5, np.nan], [True, True]),
        ([1.2], [True]),
        ([-0.1], [True]),
        ([[0.5]], [[True]]),
        ([0.5], [3]),
        ([0.5], [np.nan]),
    ],
)
def test_invalid_predictions_are_refused(confidence, right):
    with pytest.raises(OsemnError):
        Predictions(np.array(confidence), np.array(right))


def test_confidences_come_from_probabilities_at_a_temperature():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4]], np.float32)
    given = cost_model.calibrate(probabilities, np.array([0, 2]), 2.0)
    assert given.correct.tolist() == [True, False]
    assert given.confidence == pytest.approx(at_temperature(probabilities, 2.0).max(axis=1))
    assert given.confidence[0] < 0.7


@pytest.mark.parametrize(
    ("probabilities", "labels", "temperature"),
    [
        (np.zeros((0, 3)), np.zeros(0), 1.0),
        (np.array([[0.5, 0.5]]), np.array([0, 1]), 1.0),
        (np.array([[np.nan, 0.5]]), np.array([0]), 1.0),
        (np.array([0.5, 0.5]), np.array([0, 1]), 1.0),
        (np.array(0.5), np.array([0]), 1.0),
        (np.array([[0.5, 0.5]]), np.array([0]), 0.0),
        (np.array([[0.5, 0.5]]), np.array([0]), float("nan")),
    ],
)
def test_invalid_probabilities_are_refused(probabilities, labels, temperature):
    with pytest.raises(OsemnError):
        cost_model.calibrate(probabilities, labels, temperature)


def test_a_threshold_that_is_nan_is_refused():
    with pytest.raises(UsageError, match="threshold"):
        cost_model.apply_threshold(calibrated(10), CATALOGUE, float("nan"))


# --- the threshold


@pytest.mark.parametrize("seed", range(8))
def test_choice_is_the_best_of_all_thresholds(seed):
    given = calibrated(60, seed, steps=12 if seed % 2 else None)
    for costs in (CATALOGUE, Costs(1, 20, 0.3, 0.01), Costs(1, 1, 1, 0)):
        candidates = [0.0, *np.unique(given.confidence), CHECK_ALL]
        values = [net_values(given, costs, threshold).mean() for threshold in candidates]
        chosen = cost_model.choose_threshold(given, costs)
        assert net_values(given, costs, chosen).mean() == pytest.approx(max(values), abs=1e-12)


def test_of_equal_thresholds_the_one_that_automates_most_is_chosen():
    # Automating the last two images saves two checks of 1 and loses one stake of 2.
    given = Predictions(np.array([0.9, 0.6, 0.5]), np.array([True, True, False]))
    assert cost_model.choose_threshold(given, Costs(1, 1, 2, 0)) == 0.0
    assert cost_model.choose_threshold(given, Costs(1, 1, 1.99, 0)) == 0.6


def test_threshold_does_not_separate_images_of_one_confidence():
    given = Predictions(np.full(4, 0.8), np.array([True, True, False, False]))
    assert cost_model.choose_threshold(given, Costs(0, 1, 0.4, 0)) == CHECK_ALL
    assert cost_model.choose_threshold(given, Costs(0, 1, 0.6, 0)) == 0.0


def test_threshold_approaches_chows_rule_where_confidences_are_exact():
    validation, test = calibrated(200_000, 1), calibrated(200_000, 2)
    for costs in (CATALOGUE, Costs(1, 5, 0.5, 0.001), Costs(1, 0, 0.5, 0)):
        exact = 1 - costs.cost_check / costs.stake
        chosen = policy.choose_policy(validation, test, costs).chosen
        assert chosen.threshold == pytest.approx(exact, abs=0.03)
        gain = cost_model.compare_thresholds(test, costs, chosen.threshold, exact)
        assert abs(gain.value) < 0.01 * chosen.saving.value


def test_costlier_errors_never_lead_to_fewer_checks_and_costlier_checks_never_to_more():
    given = calibrated(500, 3)
    by_mistake = [
        cost_model.choose_threshold(given, Costs(0.2, cost, 0.08, 0)) for cost in (0, 0.1, 0.5, 2, 10, 100)
    ]
    by_look = [
        cost_model.choose_threshold(given, Costs(0.2, 0.5, cost, 0)) for cost in (0.001, 0.01, 0.08, 0.3, 1)
    ]
    assert by_mistake == sorted(by_mistake)
    assert by_look == sorted(by_look, reverse=True)
    assert by_mistake[0] < by_mistake[-1]
    assert by_look[0] > by_look[-1]


# --- the result of a threshold


def test_amounts_are_means_over_images_and_their_intervals_those_of_the_paired_difference():
    given = calibrated(20_000, 4)
    values = net_values(given, CATALOGUE, 0.85)
    machine, person = net_values(given, CATALOGUE, 0.0), CATALOGUE.value_right - CATALOGUE.cost_check
    result = cost_model.apply_threshold(given, CATALOGUE, 0.85)
    pairs = ((result.saving, values - person), (result.saving_over_machine, values - machine))
    for amount, differences in pairs:
        student = mean_of(1_000 * differences)
        assert amount.value == pytest.approx(student.value, abs=1e-9)
        width = student.ci95[1] - student.ci95[0]
        # 4,000 draws place the ends to within a few per cent of the interval's width
        assert amount.ci95 == pytest.approx(student.ci95, abs=0.05 * width)


def test_proportion_and_accuracy_are_those_of_the_automated_images():
    given = calibrated(300, 5)
    result = cost_model.apply_threshold(given, CATALOGUE, 0.9)
    automated = given.confidence >= 0.9
    correct = int(given.correct[automated].sum())
    assert (result.automated, result.wrong) == (automated.sum(), automated.sum() - correct)
    assert result.proportion == automated.mean()
    assert result.accuracy == pytest.approx(correct / automated.sum())
    assert result.accuracy_ci95 == wilson_interval(correct, int(automated.sum()))


def test_interval_of_the_saving_covers_the_truth_in_drawn_samples():
    population = calibrated(1_000_000, 10)
    truth = cost_model.apply_threshold(population, CATALOGUE, 0.85).saving.value
    generator, covered = np.random.default_rng(11), 0
    for _ in range(400):
        drawn = generator.integers(0, 1_000_000, 300)
        given = Predictions(population.confidence[drawn], population.correct[drawn])
        low, high = cost_model.apply_threshold(given, CATALOGUE, 0.85).saving.ci95
        covered += low <= truth <= high
    # of 400 intervals of 95%, 367 to 391 cover it in 99 of 100 cases
    assert stats.binom.ppf(0.005, 400, 0.95) <= covered


def test_no_error_seen_does_not_rule_out_errors_to_come():
    given = Predictions(np.full(50, 0.9), np.ones(50, bool))
    saving = cost_model.apply_threshold(given, CATALOGUE, 0.0).saving
    assert saving.value == saving.ci95[1] == pytest.approx(1_000 * (0.08 - 0.0001))
    # Jeffreys' upper limit for no error in 50
    limit = stats.beta(0.5, 50.5).ppf(0.975)
    assert saving.value - saving.ci95[0] == pytest.approx(1_000 * 0.7 * limit, rel=0.1)


def test_policies_that_check_all_or_none_are_compared_without_uncertainty():
    given = calibrated(50)
    nobody = cost_model.apply_threshold(given, CATALOGUE, CHECK_ALL)
    assert nobody.accuracy is None
    assert nobody.saving.ci95 == (nobody.saving.value,) * 2 == pytest.approx((-0.1, -0.1))
    everybody = cost_model.apply_threshold(given, CATALOGUE, 0.0)
    assert everybody.proportion == 1
    assert everybody.saving_over_machine == cost_model.Amount(0.0, (0.0, 0.0))
    assert not everybody.saving_over_machine.significant
    assert cost_model.compare_thresholds(given, CATALOGUE, 0.7, 0.7) == cost_model.Amount(0.0, (0.0, 0.0))


def test_people_who_make_errors_are_worth_less():
    given = calibrated(2_000, 6)
    perfect, human = CATALOGUE, Costs(0.2, 0.5, 0.08, 0.0001, person_accuracy=0.95)
    threshold = cost_model.choose_threshold(given, human)
    assert threshold < cost_model.choose_threshold(given, perfect)
    automated, correct = given.confidence >= threshold, given.correct
    model = np.where(correct, 0.2, -0.5) - 0.0001
    person = 0.95 * 0.2 - 0.05 * 0.5 - 0.08
    expected = np.where(automated, model, person - 0.0001).mean() - person
    assert cost_model.apply_threshold(given, human, threshold).saving.value == pytest.approx(1_000 * expected)
    with pytest.raises(UsageError, match="person_accuracy"):
        Costs(0.2, 0.5, 0.08, 0.0001, person_accuracy=1.2)


def test_prices_that_nobody_chose_are_called_examples_and_people_as_accurate_as_measured():
    given, own = calibrated(2_000, 6), Costs(0.2, 0.5, 0.09, 0.0001, person_accuracy=0.95)
    text = policy.conclusion(policy.choose_policy(given, given, own), "EUR").text
    assert text.startswith("With 0.20 EUR for a correct label")
    assert (
        "0.09 for a check by a person, who is taken to be correct on 95.0% of all images, hard ones included, and"
        in text
    )
    measured = {"people": [0.835, 1_000, "a paper"]}
    assert [business.person_accuracy(asked, measured) for asked in (0.0, 0.9)] == [0.835, 0.9]
    assert business.person_accuracy(0.0, {"people": None}) == business.person_accuracy(0.0, {}) == 1.0


def test_errors_of_people_are_varied_as_a_price_is():
    given, costs = calibrated(2_000, 6), Costs(0.2, 0.5, 0.08, 0.0001, person_accuracy=0.6)
    rows = [row for row in policy.vary_costs(given, given, costs) if row["cost"] == policy.PERSON_ERRORS]
    assert [row["value"] for row in rows] == pytest.approx([0.2, 0.8])
    better, worse = (
        policy.choose_policy(given, given, Costs(0.2, 0.5, 0.08, 0.0001, right)) for right in (0.8, 0.2)
    )
    assert [row["saving"] for row in rows] == pytest.approx([better.saving.value, worse.saving.value])
    assert len(policy.vary_costs(given, given, CATALOGUE)) == 8, (
        "a person who makes no error has none to vary"
    )


def test_difference_turns_its_sign_with_its_order():
    given = calibrated(400, 6)
    one = cost_model.compare_thresholds(given, CATALOGUE, 0.9, 0.6)
    other = cost_model.compare_thresholds(given, CATALOGUE, 0.6, 0.9)
    assert one.value == pytest.approx(-other.value)
    assert one.ci95 == pytest.approx((-other.ci95[1], -other.ci95[0]))
    savings = [
        cost_model.apply_threshold(given, CATALOGUE, threshold).saving.value for threshold in (0.9, 0.6)
    ]
    assert one.value == pytest.approx(savings[0] - savings[1])


@pytest.mark.parametrize("correct", [True, False])
@pytest.mark.parametrize("n", [1, 2, 50])
def test_only_correct_only_incorrect_and_one_image_give_a_plan(correct, n):
    given = Predictions(np.linspace(0.5, 1.0, n), np.full(n, correct))
    made = policy.choose_policy(given, given, CATALOGUE)
    assert made.policy == ("machine" if correct else "person")
    assert made.chosen.threshold == (0.0 if correct else CHECK_ALL)
    assert made.chosen.saving.ci95[0] <= made.chosen.saving.value <= made.chosen.saving.ci95[1]
    assert np.isfinite(json.loads(json.dumps(made.to_dict(), allow_nan=False))["saving"]["value"])
    assert policy.conclusion(made, "EUR").text


# --- the plan


def test_plan_chooses_on_validation_and_measures_on_test():
    validation, test = calibrated(2_000, 7), calibrated(3_000, 8)
    made = policy.choose_policy(validation, test, CATALOGUE)
    other = policy.choose_policy(validation, Predictions(test.confidence, ~test.correct), CATALOGUE)
    assert (
        made.chosen.threshold == other.chosen.threshold == cost_model.choose_threshold(validation, CATALOGUE)
    )
    assert made.policy == other.policy == "threshold"
    assert (made.validation_n, made.chosen.n, made.machine.n) == (2_000, 3_000, 3_000)
    assert made.chosen == cost_model.apply_threshold(test, CATALOGUE, made.chosen.threshold)
    assert made.saving == made.chosen.saving


def test_predictions_that_cost_more_than_they_save_leave_it_to_people():
    given = calibrated(500, 9)
    made = policy.choose_policy(given, given, Costs(0.2, 0.5, 0.08, 0.08))
    assert made.policy == "person"
    assert made.saving == cost_model.Amount(0.0, (0.0, 0.0))
    assert made.chosen.saving.value < 0


def test_plan_survives_json():
    made = policy.choose_policy(calibrated(300, 1), calibrated(300, 2), CATALOGUE).to_dict()
    again = json.loads(json.dumps(made, allow_nan=False))
    assert again["saving"]["value"] == made["saving"]["value"]
    assert again["chosen"]["threshold"] == made["chosen"]["threshold"]


def test_costs_are_varied_one_at_a_time_and_zero_is_skipped():
    validation, test = calibrated(500, 1), calibrated(500, 2)
    rows = policy.vary_costs(validation, test, Costs(0.2, 0.5, 0.08, 0.0))
    assert [(row["cost"], row["factor"]) for row in rows] == [
        (name, factor) for name in ("value_right", "cost_wrong", "cost_check") for factor in (0.5, 2.0)
    ]
    assert json.loads(json.dumps(rows)) == rows
    other = policy.choose_policy(validation, test, Costs(0.2, 1.0, 0.08, 0.0))
    assert (rows[3]["value"], rows[3]["policy"]) == (1.0, other.policy)
    assert (rows[3]["threshold"], rows[3]["saving"]) == (other.chosen.threshold, other.saving.value)


# --- the texts


def test_conclusion_gives_the_threshold_and_its_saving():
    made = policy.choose_policy(calibrated(5_000, 1), calibrated(5_000, 2), CATALOGUE)
    established = policy.conclusion(made, "EUR")
    text = established.text
    assert text.startswith(
        "With the example prices of 0.20 EUR for a correct label, 0.50 lost by an incorrect one, 0.08 for a check"
    )
    assert f"confidence below {policy.shown_threshold(made.chosen.threshold)}. " in text
    assert f"the saving is {policy.money(made.saving.value)} EUR (95% interval" in text
    assert "compared with automating everything" in text
    assert "5,000 validation images" in text
    assert (established.id, established.numbers["policy"]) == ("value", "threshold")


def test_conclusion_reports_a_saving_that_is_not_significant():
    validation = Predictions(np.array([0.9, 0.9, 0.4]), np.array([True, True, False]))
    test = Predictions(np.repeat([0.95, 0.95, 0.5], [20, 2, 20]), np.repeat([True, False, True], [20, 2, 20]))
    text = policy.conclusion(policy.choose_policy(validation, test, CATALOGUE), "EUR").text
    assert "EUR (not significant, 95% interval −" in text
    advice = text[text.index("a person should check") :].partition(". ")[0]
    assert "below 0.9, but" in advice or "below 0.90, but" in advice
    assert advice.endswith(
        "the saving compared with a person who checks every image and with automating everything is not significantly above zero"
    )


def test_conclusion_reports_a_loss_with_a_minus_sign():
    validation = Predictions(np.array([0.9, 0.9, 0.4]), np.array([True, True, False]))
    test = Predictions(np.full(200, 0.95), np.arange(200) % 2 == 0)
    text = policy.conclusion(policy.choose_policy(validation, test, CATALOGUE), "EUR").text
    assert "the saving is −270 EUR (95% interval −" in text


def test_conclusion_says_when_everything_is_automated_and_when_nothing_is():
    given = calibrated(500, 1)

    def text(given: Predictions, costs: Costs) -> str:
        return policy.conclusion(policy.choose_policy(given, given, costs), "USD").text

    assert "no check is worth its cost. 100.0% of the images are automated" in text(
        given, Costs(1, 1, 3, 0.001)
    )
    costly = text(given, Costs(0.2, 0.5, 0.08, 0.09))
    assert "a person should check every image" in costly
    assert "does not pay for the predictions" in costly
    wrong = Predictions(given.confidence, np.zeros(500, bool))
    assert "no threshold saves more than its errors cost" in text(wrong, CATALOGUE)


def test_sensitivity_sentence_names_the_costs_that_change_the_policy():
    given = calibrated(2_000, 1)
    costs = Costs(0.2, 0.5, 0.08, 0.04)
    made = policy.choose_policy(given, given, costs)
    said = policy.sensitivity_sentence(made, policy.vary_costs(given, given, costs), "EUR")
    assert made.policy == "person"
    assert "changes with the cost of a check × 2 and the cost of a prediction × 0.5." in said
    stays = policy.choose_policy(given, given, CATALOGUE)
    same = policy.sensitivity_sentence(stays, policy.vary_costs(given, given, CATALOGUE), "EUR")
    assert "the best policy stays the same" in same


def test_costs_for_which_no_threshold_is_used_show_none():
    given = calibrated(2_000, 1)
    person, machine = Costs(0.2, 0.5, 0.08, 0.5), Costs(0.2, 0.01, 2.0, 0.0)
    for costs, best, proportion, saving in (
        (person, "person", "0.0%", "0.00 (0.00 to 0.00)"),
        (machine, "machine", "100.0%", None),
    ):
        made = policy.choose_policy(given, given, costs)
        rows = policy.vary_costs(given, given, costs)
        assert {row["policy"] for row in rows} == {best}
        for row in business.summarise(made, rows, "EUR")["sensitivity"]["rows"]:
            assert (row["Threshold"], row["Automated"]) == ("–", proportion)
            assert saving is None or row["Saving, EUR per 1,000"] == saving
        said = policy.sensitivity_sentence(made, rows, "EUR")
        assert "threshold" not in said
        assert "the best policy stays the same. The saving is" in said


@pytest.mark.parametrize(
    ("threshold", "shown"),
    [(0.0, "0.00"), (0.5, "0.50"), (0.886, "0.89"), (0.91, "0.91"), (0.9123, "0.912"), (0.995, "0.995"), (0.99987, "0.99987"), (1.0, "1.00"), (CHECK_ALL, "1.00")],
)  # fmt: skip
def test_thresholds_have_the_decimals_of_their_distance_from_one(threshold, shown):
    assert policy.shown_threshold(threshold) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0, "0.00"), (-0.001, "0.00"), (-3.456, "−3.46"), (99.999, "100"), (-1234.5, "−1,234")]
)  # fmt: skip
def test_money_has_decimals_below_a_hundred(value, shown):
    assert policy.money(value) == shown


# --- the figure


@pytest.mark.parametrize(
    "costs", [CATALOGUE, Costs(0.2, 50, 0.08, 0), Costs(1, 1, 3, 0.001), Costs(1, 200, 0.0005, 0.1)], ids=str
)
def test_figure_has_labelled_axes_and_its_alt_text_the_threshold_and_the_saving(costs):
    validation, test = calibrated(500, 1), calibrated(500, 2)
    made = policy.choose_policy(validation, test, costs)
    places = cost_model.thresholds_around(made.chosen.threshold, test)
    assert (np.diff(places) > 0).all()
    assert made.chosen.threshold in places
    figure = plots.thresholds(
        made, [cost_model.apply_threshold(test, costs, place) for place in places], "EUR"
    )
    money, shares = figure.axes
    assert money.get_ylabel() == "saving (EUR per 1,000 images)"
    assert shares.get_ylabel() == "percentage of images"
    assert "threshold" in shares.get_xlabel()
    assert policy.shown_threshold(made.chosen.threshold) in figures.alt_text(figure)
    assert f"{policy.money(made.chosen.saving.value)} EUR" in figures.alt_text(figure)
    low, high = money.get_ylim()
    assert low <= made.chosen.saving.value <= high
    assert low <= 0 <= high
    figure.canvas.draw()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(drawn.x0, drawn.y0) > -0.1
    assert drawn.x1 < width + 0.1
    assert drawn.y1 < height + 0.1


def test_figure_of_a_model_without_a_correct_prediction_marks_no_threshold():
    given = Predictions(np.linspace(0.3, 0.9, 40), np.zeros(40, bool))
    made = policy.choose_policy(given, given, CATALOGUE)
    places = cost_model.thresholds_around(made.chosen.threshold, given)
    figure = plots.thresholds(
        made, [cost_model.apply_threshold(given, CATALOGUE, place) for place in places], "EUR"
    )
    figure.canvas.draw()
    assert "no threshold pays" in figures.alt_text(figure)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert not any("chosen" in label for label in labels)
