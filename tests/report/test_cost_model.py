"""The cost model: thresholds agree with closed form and brute force, intervals hold, words follow the numbers."""

import functools
import json

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

from helpers.errors import OsemnError, UsageError
from helpers.interpret.calibration import at_temperature
from helpers.report.business import cost_model, plots
from helpers.report.business import policy as cost_plan
from helpers.report.business import value as business
from helpers.report.business.cost_model import CHECK_ALL, Answers, Costs
from helpers.scoring import mean_of, wilson_interval

CATALOGUE = Costs(0.20, 0.50, 0.08, 0.0001)


def calibrated(n: int, seed: int = 0, steps: int | None = None) -> Answers:
    """Return answers that are right with a probability of their confidence, on a grid where steps are given."""
    generator = np.random.default_rng(seed)
    confidence = generator.beta(4.0, 0.6, n)
    if steps:
        confidence = np.round(confidence * steps) / steps
    return Answers(confidence, generator.random(n) < confidence)


def net_values(found: Answers, costs: Costs, threshold: float) -> np.ndarray:
    """Return what each picture brings, one at a time."""
    values = []
    for confidence, right in zip(found.confidence, found.right, strict=True):
        if confidence < threshold:
            values.append(costs.value_right - costs.cost_check - costs.cost_prediction)
        else:
            values.append((costs.value_right if right else -costs.cost_wrong) - costs.cost_prediction)
    return np.array(values)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def quick_wilson(monkeypatch):
    """Wilson's interval, worked out once for each proportion."""
    monkeypatch.setattr(cost_model, "wilson_interval", functools.cache(wilson_interval))


# --- costs and answers


@pytest.mark.parametrize("name", ["value_right", "cost_wrong", "cost_check", "cost_prediction"])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf"), "1", None, True])
def test_costs_that_are_no_amount_are_refused_by_name(name, value):
    with pytest.raises(UsageError, match=name):
        Costs(**{"value_right": 1, "cost_wrong": 1, "cost_check": 1, "cost_prediction": 0, name: value})


def test_a_look_that_costs_nothing_is_refused():
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
def test_answers_that_are_none_are_refused(confidence, right):
    with pytest.raises(OsemnError):
        Answers(np.array(confidence), np.array(right))


def test_answers_come_from_probabilities_at_a_temperature():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4]], np.float32)
    found = cost_model.answers(probabilities, np.array([0, 2]), 2.0)
    assert found.right.tolist() == [True, False]
    assert found.confidence == pytest.approx(at_temperature(probabilities, 2.0).max(axis=1))
    assert found.confidence[0] < 0.7


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
def test_bad_predictions_are_refused(probabilities, labels, temperature):
    with pytest.raises(OsemnError):
        cost_model.answers(probabilities, labels, temperature)


def test_a_threshold_that_is_no_number_is_refused():
    with pytest.raises(UsageError, match="threshold"):
        cost_model.outcome(calibrated(10), CATALOGUE, float("nan"))


# --- the threshold


@pytest.mark.parametrize(
    "costs", [CATALOGUE, Costs(1, 5, 0.5, 0.001), Costs(0, 1, 0.9, 2), Costs(1, 1, 3, 0)]
)
def test_theory_parts_where_automating_pays_from_where_it_does_not(costs):
    threshold = cost_model.best_threshold_in_theory(costs)
    for p in np.linspace(0, 1, 1_001):
        alone, looked = (
            p * costs.value_right - (1 - p) * costs.cost_wrong,
            costs.value_right - costs.cost_check,
        )
        if abs(p - threshold) > 1e-9:
            assert (alone > looked) == (p > threshold)


def test_theory_automates_everything_where_nothing_is_at_stake():
    assert cost_model.best_threshold_in_theory(Costs(0, 0, 1, 0)) == 0.0


@pytest.mark.parametrize("seed", range(8))
def test_choice_is_the_best_of_all_thresholds(seed):
    found = calibrated(60, seed, steps=12 if seed % 2 else None)
    for costs in (CATALOGUE, Costs(1, 20, 0.3, 0.01), Costs(1, 1, 1, 0)):
        candidates = [0.0, *np.unique(found.confidence), CHECK_ALL]
        values = [net_values(found, costs, threshold).mean() for threshold in candidates]
        chosen = cost_model.choose(found, costs)
        assert net_values(found, costs, chosen).mean() == pytest.approx(max(values), abs=1e-12)


def test_of_equal_thresholds_the_one_that_automates_most_is_chosen():
    # Automating the unsure pair gains two looks of 1 and loses one stake of 2.
    found = Answers(np.array([0.9, 0.6, 0.5]), np.array([True, True, False]))
    assert cost_model.choose(found, Costs(1, 1, 2, 0)) == 0.0
    assert cost_model.choose(found, Costs(1, 1, 1.99, 0)) == 0.6


def test_threshold_does_not_part_pictures_of_one_confidence():
    found = Answers(np.full(4, 0.8), np.array([True, True, False, False]))
    assert cost_model.choose(found, Costs(0, 1, 0.4, 0)) == CHECK_ALL
    assert cost_model.choose(found, Costs(0, 1, 0.6, 0)) == 0.0


def test_choice_nears_theory_where_confidences_are_exact():
    validation, test = calibrated(200_000, 1), calibrated(200_000, 2)
    for costs in (CATALOGUE, Costs(1, 5, 0.5, 0.001), Costs(1, 0, 0.5, 0)):
        found = cost_plan.plan(validation, test, costs)
        assert found.chosen.threshold == pytest.approx(found.theory.threshold, abs=0.03)
        assert abs(found.over_theory.value) < 0.01 * found.theory.saving.value


def test_dearer_mistakes_never_send_fewer_pictures_to_a_person_and_dearer_looks_never_more():
    found = calibrated(500, 3)
    by_mistake = [cost_model.choose(found, Costs(0.2, cost, 0.08, 0)) for cost in (0, 0.1, 0.5, 2, 10, 100)]
    by_look = [cost_model.choose(found, Costs(0.2, 0.5, cost, 0)) for cost in (0.001, 0.01, 0.08, 0.3, 1)]
    assert by_mistake == sorted(by_mistake)
    assert by_look == sorted(by_look, reverse=True)
    assert by_mistake[0] < by_mistake[-1]
    assert by_look[0] > by_look[-1]


# --- what a threshold gives


def test_amounts_are_means_over_pictures_and_their_intervals_those_of_the_paired_difference():
    found = calibrated(20_000, 4)
    values = net_values(found, CATALOGUE, 0.85)
    machine, person = net_values(found, CATALOGUE, 0.0), CATALOGUE.value_right - CATALOGUE.cost_check
    given = cost_model.outcome(found, CATALOGUE, 0.85)
    pairs = (
        (given.net, values),
        (given.saving, values - person),
        (given.saving_over_machine, values - machine),
    )
    for amount, differences in pairs:
        student = mean_of(1_000 * differences)
        width = student.ci95[1] - student.ci95[0]
        assert amount.value == pytest.approx(student.value, abs=1e-9)
        assert amount.ci95[1] - amount.ci95[0] == pytest.approx(width, rel=0.01)
        # Wilson's interval is centred as if z²/2 answers more had been right and as many wrong: fewer than two.
        assert amount.ci95 == pytest.approx(student.ci95, abs=1_000 * 2 * CATALOGUE.stake / 20_000)


def test_shares_have_wilsons_intervals():
    found = calibrated(300, 5)
    given = cost_model.outcome(found, CATALOGUE, 0.9)
    alone = found.confidence >= 0.9
    right = int(found.right[alone].sum())
    assert (given.automated, given.wrong) == (alone.sum(), alone.sum() - right)
    assert given.share_ci95 == wilson_interval(int(alone.sum()), 300)
    assert given.accuracy == pytest.approx(right / alone.sum())
    assert given.accuracy_ci95 == wilson_interval(right, int(alone.sum()))
    assert given.wrong_let_through.ci95 == pytest.approx(
        [1_000 * end for end in wilson_interval(given.wrong, 300)]
    )


@pytest.mark.parametrize(("n", "share", "error"), [(50, 0.85, 0.03), (100, 0.8, 0.02), (100, 0.5, 0.1)])
def test_interval_of_the_saving_holds_the_truth_as_often_as_it_says(n, share, error, quick_wilson):
    """The chance is exact: summed over all counts of automated and of wrong answers that can come about."""
    look, stake = CATALOGUE.cost_check, CATALOGUE.stake
    truth = 1_000 * (share * look - share * error * stake)
    counts = [(part, wrong) for part in range(n + 1) for wrong in range(part + 1)]
    part, wrong = np.array(counts).T
    chance = stats.binom.pmf(part, n, share) * stats.binom.pmf(wrong, part, error)
    held = students = 0.0
    for index in np.flatnonzero(chance > 1e-7):
        automated, bad = counts[index]
        right = np.arange(n) >= bad
        found = Answers(np.where(np.arange(n) < automated, 0.9, 0.5), right)
        low, high = cost_model.difference(found, CATALOGUE, 0.8, CHECK_ALL).ci95
        held += chance[index] * (low <= truth <= high)
        student = mean_of(1_000 * np.where(np.arange(n) < automated, look - stake * ~right, 0.0)).ci95
        students += chance[index] * (student[0] <= truth <= student[1])
    assert chance[chance > 1e-7].sum() > 0.9999
    assert 0.94 < held < 0.965
    assert students < held


def test_interval_of_the_saving_holds_the_truth_in_drawn_samples(quick_wilson):
    population = calibrated(1_000_000, 10)
    truth = cost_model.outcome(population, CATALOGUE, 0.85).saving.value
    generator, held = np.random.default_rng(11), 0
    for _ in range(400):
        drawn = generator.integers(0, 1_000_000, 300)
        found = Answers(population.confidence[drawn], population.right[drawn])
        low, high = cost_model.outcome(found, CATALOGUE, 0.85).saving.ci95
        held += low <= truth <= high
    # Of 400 intervals of 95%, 367 to 391 hold it in 99 of 100 cases.
    assert stats.binom.ppf(0.005, 400, 0.95) <= held


def test_no_wrong_answer_seen_is_not_taken_for_none_to_come():
    found = Answers(np.full(50, 0.9), np.ones(50, bool))
    saving = cost_model.outcome(found, CATALOGUE, 0.0).saving
    assert saving.value == saving.ci95[1] == pytest.approx(1_000 * (0.08 - 0.0001))
    assert saving.value - saving.ci95[0] == pytest.approx(1_000 * 0.7 * wilson_interval(0, 50)[1])


def test_what_is_so_by_making_has_no_interval():
    found = calibrated(50)
    nobody = cost_model.outcome(found, CATALOGUE, CHECK_ALL)
    assert nobody.accuracy is None
    assert nobody.saving.ci95 == (nobody.saving.value,) * 2 == pytest.approx((-0.1, -0.1))
    everybody = cost_model.outcome(found, CATALOGUE, 0.0)
    assert everybody.share_ci95 == (1.0, 1.0)
    assert everybody.saving_over_machine == cost_model.Amount(0.0, (0.0, 0.0))
    assert not everybody.saving_over_machine.shown
    assert cost_model.difference(found, CATALOGUE, 0.7, 0.7) == cost_model.Amount(0.0, (0.0, 0.0))


def test_difference_turns_its_sign_with_its_order():
    found = calibrated(400, 6)
    one = cost_model.difference(found, CATALOGUE, 0.9, 0.6)
    other = cost_model.difference(found, CATALOGUE, 0.6, 0.9)
    assert one.value == pytest.approx(-other.value)
    assert one.ci95 == pytest.approx((-other.ci95[1], -other.ci95[0]))
    nets = [cost_model.outcome(found, CATALOGUE, threshold).net.value for threshold in (0.9, 0.6)]
    assert one.value == pytest.approx(nets[0] - nets[1])


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("n", [1, 2, 50])
def test_all_right_and_all_wrong_and_one_picture_give_a_plan(right, n):
    found = Answers(np.linspace(0.5, 1.0, n), np.full(n, right))
    made = cost_plan.plan(found, found, CATALOGUE)
    assert made.policy == ("machine" if right else "person")
    assert made.chosen.threshold == (0.0 if right else CHECK_ALL)
    assert made.chosen.saving.ci95[0] <= made.chosen.saving.value <= made.chosen.saving.ci95[1]
    assert np.isfinite(json.loads(json.dumps(made.to_dict(), allow_nan=False))["saving"]["value"])
    assert cost_plan.sentence(made, "EUR")
    assert cost_plan.theory_sentence(made, "EUR")


# --- the plan


def test_plan_chooses_on_validation_and_measures_on_test():
    validation, test = calibrated(2_000, 7), calibrated(3_000, 8)
    made = cost_plan.plan(validation, test, CATALOGUE)
    other = cost_plan.plan(validation, Answers(test.confidence, ~test.right), CATALOGUE)
    assert made.chosen.threshold == other.chosen.threshold == cost_model.choose(validation, CATALOGUE)
    assert made.policy == other.policy == "threshold"
    assert (made.validation_n, made.chosen.n, made.theory.n, made.machine.n) == (2_000, 3_000, 3_000, 3_000)
    assert made.chosen == cost_model.outcome(test, CATALOGUE, made.chosen.threshold)
    assert made.nets["person"].value == pytest.approx(120.0)
    assert made.nets["threshold"].value - made.nets["person"].value == pytest.approx(made.saving.value)


def test_predictions_that_cost_more_than_they_save_leave_it_to_people():
    found = calibrated(500, 9)
    made = cost_plan.plan(found, found, Costs(0.2, 0.5, 0.08, 0.08))
    assert made.policy == "person"
    assert made.saving == cost_model.Amount(0.0, (0.0, 0.0))
    assert made.chosen.saving.value < 0


def test_plan_survives_json():
    made = cost_plan.plan(calibrated(300, 1), calibrated(300, 2), CATALOGUE).to_dict()
    assert json.loads(json.dumps(made, allow_nan=False)) == made


def test_sensitivity_changes_one_cost_at_a_time_and_passes_over_zero():
    validation, test = calibrated(500, 1), calibrated(500, 2)
    rows = cost_plan.sensitivity(validation, test, Costs(0.2, 0.5, 0.08, 0.0))
    assert [(row.cost, row.factor) for row in rows] == [
        (name, factor) for name in ("value_right", "cost_wrong", "cost_check") for factor in (0.5, 2.0)
    ]
    for row in rows:
        assert row.plan == cost_plan.plan(validation, test, row.plan.costs)
        assert json.loads(json.dumps(row.to_dict()))["value"] == getattr(row.plan.costs, row.cost)
        assert row.to_dict()["saving"] == row.plan.saving.value
    assert rows[3].plan.costs == Costs(0.2, 1.0, 0.08, 0.0)


# --- the words


def test_sentence_says_the_threshold_and_what_it_saves():
    made = cost_plan.plan(calibrated(5_000, 1), calibrated(5_000, 2), CATALOGUE)
    said = cost_plan.sentence(made, "EUR")
    assert (
        "worth 0.20, a wrong one costing 0.50, a look by a person 0.08 and a prediction 0.0001 (EUR" in said
    )
    assert f"confidence is below {cost_plan.shown_threshold(made.chosen.threshold)}:" in said
    assert f"this saves {cost_plan.money(made.saving.value)} EUR" in said
    assert "more than automating everything" in said
    assert "5,000 validation pictures" in said


def test_sentence_says_when_no_saving_is_shown():
    validation = Answers(np.array([0.9, 0.9, 0.4]), np.array([True, True, False]))
    test = Answers(np.repeat([0.95, 0.95, 0.5], [20, 2, 20]), np.repeat([True, False, True], [20, 2, 20]))
    said = cost_plan.sentence(cost_plan.plan(validation, test, CATALOGUE), "EUR")
    assert "no saving is shown" in said
    assert "a person should look" not in said


def test_sentence_says_when_test_pictures_show_a_loss():
    validation = Answers(np.array([0.9, 0.9, 0.4]), np.array([True, True, False]))
    test = Answers(np.full(200, 0.95), np.arange(200) % 2 == 0)
    said = cost_plan.sentence(cost_plan.plan(validation, test, CATALOGUE), "EUR")
    assert "this loses" in said
    assert "a person should look" not in said


def test_sentence_says_when_everything_is_automated_and_when_nothing_is():
    found = calibrated(500, 1)
    cheap = cost_plan.sentence(cost_plan.plan(found, found, Costs(1, 1, 3, 0.001)), "USD")
    assert "no picture is worth a look: all are automated" in cheap
    dear = cost_plan.sentence(cost_plan.plan(found, found, Costs(0.2, 0.5, 0.08, 0.09)), "USD")
    assert "a person should look at every picture" in dear
    assert "does not pay for its predictions" in dear
    wrong = Answers(found.confidence, np.zeros(500, bool))
    assert "no threshold saves more looks" in cost_plan.sentence(
        cost_plan.plan(wrong, wrong, CATALOGUE), "USD"
    )


def test_sensitivity_sentence_names_the_costs_that_change_the_policy():
    found = calibrated(2_000, 1)
    costs = Costs(0.2, 0.5, 0.08, 0.04)
    made = cost_plan.plan(found, found, costs)
    said = cost_plan.sensitivity_sentence(made, cost_plan.sensitivity(found, found, costs), "EUR")
    assert made.policy == "person"
    assert "changes with cost_check × 2 and cost_prediction × 0.5;" in said
    stays = cost_plan.plan(found, found, CATALOGUE)
    same = cost_plan.sensitivity_sentence(stays, cost_plan.sensitivity(found, found, CATALOGUE), "EUR")
    assert "the best policy stays the same" in same


def test_prices_at_which_no_threshold_is_used_show_none():
    found = calibrated(2_000, 1)
    person, machine = Costs(0.2, 0.5, 0.08, 0.5), Costs(0.2, 0.01, 2.0, 0.0)
    for costs, policy, share, saving in (
        (person, "person", "0.0%", "0.00 (0.00 to 0.00)"),
        (machine, "machine", "100.0%", None),
    ):
        made = cost_plan.plan(found, found, costs)
        rows = cost_plan.sensitivity(found, found, costs)
        assert {row.plan.policy for row in rows} == {policy}
        for row in business.summary(made, rows, "EUR")["sensitivity"]["rows"]:
            assert row[3:5] == ["–", share]
            assert saving is None or row[5] == saving
        said = cost_plan.sensitivity_sentence(made, rows, "EUR")
        assert "threshold" not in said
        assert "the best policy stays the same; what the best policy saves is" in said


@pytest.mark.parametrize(
    ("threshold", "shown"),
    [(0.0, "0.00"), (0.5, "0.50"), (0.886, "0.89"), (0.91, "0.91"), (0.9123, "0.912"), (0.995, "0.995"), (0.99987, "0.99987"), (1.0, "1.00"), (CHECK_ALL, "1.00")],
)  # fmt: skip
def test_thresholds_are_shown_by_their_distance_from_one(threshold, shown):
    assert cost_plan.shown_threshold(threshold) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0, "0.00"), (-0.001, "0.00"), (-3.456, "−3.46"), (99.999, "100"), (-1234.5, "−1,234")]
)  # fmt: skip
def test_money_has_the_decimals_it_can_bear(value, shown):
    assert cost_plan.money(value) == shown


# --- the figure


@pytest.mark.parametrize(
    "costs", [CATALOGUE, Costs(0.2, 50, 0.08, 0), Costs(1, 1, 3, 0.001), Costs(1, 200, 0.0005, 0.1)], ids=str
)
def test_figure_has_labelled_axes_and_its_alt_text_the_threshold_and_the_saving(costs):
    validation, test = calibrated(500, 1), calibrated(500, 2)
    made = cost_plan.plan(validation, test, costs)
    places = cost_model.thresholds_around(made.chosen.threshold, test)
    assert (np.diff(places) > 0).all()
    assert made.chosen.threshold in places
    figure, alt = plots.thresholds(made, cost_model.curve(test, costs, places), "EUR")
    money, shares = figure.axes
    assert money.get_ylabel() == "saving (EUR per 1,000 pictures)"
    assert shares.get_ylabel() == "share of pictures"
    assert "threshold" in shares.get_xlabel()
    assert cost_plan.shown_threshold(made.chosen.threshold) in alt
    assert f"{cost_plan.money(made.chosen.saving.value)} EUR" in alt
    low, high = money.get_ylim()
    for found in (made.chosen, made.theory):
        assert low <= found.saving.value <= high
    assert low <= 0 <= high
    figure.canvas.draw()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(drawn.x0, drawn.y0) > -0.1
    assert drawn.x1 < width + 0.1
    assert drawn.y1 < height + 0.1


def test_figure_of_a_model_that_is_always_wrong_marks_no_threshold():
    found = Answers(np.linspace(0.3, 0.9, 40), np.zeros(40, bool))
    made = cost_plan.plan(found, found, CATALOGUE)
    places = cost_model.thresholds_around(made.chosen.threshold, found)
    figure, alt = plots.thresholds(made, cost_model.curve(found, CATALOGUE, places), "EUR")
    figure.canvas.draw()
    assert "no threshold pays" in alt
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert not any("chosen" in label for label in labels)
