"""The rule chooses the fastest candidate that is shown to lose less than the margin against the best."""

import numpy as np
import pytest

from helpers import figures
from helpers.errors import OsemnError, UsageError
from helpers.export import champion, plots
from helpers.series.metrics import Metric

LABELS = np.arange(1000) % 2
ACCURACY = Metric("accuracy")


def option(name: str, wrong: range, latency_ms: float) -> champion.Option:
    predicted = LABELS.copy()
    predicted[list(wrong)] ^= 1
    return champion.Option(name, f"model {name}", predicted, latency_ms)


def options() -> list[champion.Option]:
    return [
        option("slow_best", range(50), 9.0),
        option("fast_close", range(2, 53), 2.0),  # 1 more error, 5 images of difference: at most 0.5 points
        option(
            "fast_unknown", range(20, 75), 1.5
        ),  # 5 more errors, 45 images of difference: p = 0.55, at most 1.6 points
        option("faster_worse", range(120), 1.0),  # 70 more errors
        option("slow_close", range(52), 10.0),
    ]


def test_fastest_of_those_shown_to_be_within_the_margin_is_chosen():
    choice = champion.choose(options(), LABELS, 2, ACCURACY)
    assert (choice.best, choice.by_rule, choice.champion) == ("slow_best", "fast_close", "fast_close")
    assert not choice.overridden
    names = ["faster_worse", "fast_unknown", "fast_close", "slow_best", "slow_close"]
    assert [row.option.name for row in choice.rows] == names
    assert [row.eligible for row in choice.rows] == [False, False, True, True, True]


def test_a_difference_that_is_not_significant_is_not_enough():
    row = champion.choose(options(), LABELS, 2, ACCURACY).row("fast_unknown")
    assert not row.against_best["shown"]
    assert row.loss.value == pytest.approx(0.005)
    assert row.loss.upper95 > 0.01
    assert not row.eligible


def test_wider_margin_lets_a_faster_one_pass():
    assert champion.choose(options(), LABELS, 2, ACCURACY, margin=0.02).champion == "fast_unknown"


def test_metric_decides_which_is_best():
    """Of 100 images of the rare class, one model classifies more correctly, at the price of more errors on the common one."""
    labels = np.repeat([0, 1], [900, 100])
    common, rare = labels.copy(), labels.copy()
    common[900:950] = 0
    rare[:60] = 1
    both = [champion.Option(name, name, x, 1.0) for name, x in (("common", common), ("rare", rare))]
    by_accuracy = champion.choose(both, labels, 2, ACCURACY)
    by_recalls = champion.choose(both, labels, 2, Metric("balanced_accuracy"))
    assert (by_accuracy.champion, by_recalls.champion) == ("common", "rare")
    assert "by balanced accuracy (96.7%)" in by_recalls.conclusion().text


def test_conclusion_says_why_with_the_bounds():
    conclusion = champion.choose(options(), LABELS, 2, ACCURACY).conclusion()
    assert conclusion.id == "champion"
    assert (
        "fastest candidate that is shown to lose less than 1.00 points (0.10 points on these"
        in conclusion.text
    )
    assert "2.00 ms for one image instead of 9.00 ms" in conclusion.text
    assert (
        "A faster one would be taken if, with 95% confidence, it lost less than 1.00 points: the model faster_worse loses 7.00 points"
        in conclusion.text
    )
    assert "slow_close" not in conclusion.text, "it is neither better nor faster"
    assert conclusion.numbers["latency_ms"]["fast_close"] == 2.0
    assert "1,000 validation images" in conclusion.test


def test_best_is_chosen_where_no_faster_one_is_close_enough():
    choice = champion.choose([option("a", range(10), 2.0), option("b", range(90), 1.0)], LABELS, 2, ACCURACY)
    assert choice.champion == "a"
    assert "The model a is the best candidate" in choice.conclusion().text


def test_of_two_equally_accurate_ones_the_faster_counts_as_best():
    choice = champion.choose(
        [option("slow", range(10), 2.0), option("fast", range(10), 1.0)], LABELS, 2, ACCURACY
    )
    assert choice.best == choice.champion == "fast"


def test_conclusion_warns_of_a_choice_by_few_images():
    few = [champion.Option(one.name, one.label, one.predicted[:40], one.latency_ms) for one in options()]
    said = champion.choose(few, LABELS[:40], 2, ACCURACY).conclusion().text
    assert (
        "40 validation images hardly tell candidates apart; 03_preprocess.validation_fraction holds" in said
    )
    assert "hardly tell" not in champion.choose(options(), LABELS, 2, ACCURACY).conclusion().text


def test_equal_values_that_differ_in_their_last_bit_are_equal():
    labels, metric = np.repeat([0, 1, 2], [3, 6, 5]), Metric("balanced_accuracy")

    def predicted(*mistakes: int) -> np.ndarray:
        rank = np.concatenate([np.arange(3), np.arange(6), np.arange(5)])
        return np.where(rank < np.array(mistakes)[labels], (labels + 1) % 3, labels)

    slow = champion.Option("slow", "model slow", predicted(3, 1, 2), 2.0)
    fast = champion.Option("fast", "model fast", predicted(2, 3, 2), 1.0)
    values = [metric(labels, one.predicted, 3) for one in (slow, fast)]
    assert 0 < values[0] - values[1] < 1e-12
    assert champion.choose([slow, fast], labels, 3, metric).champion == "fast"


def test_override_is_followed_and_said():
    choice = champion.choose(options(), LABELS, 2, ACCURACY, override="faster_worse")
    assert choice.champion == "faster_worse"
    assert choice.by_rule == "fast_close"
    assert choice.overridden
    assert "overrides the rule: faster_worse" in choice.conclusion().text
    table = choice.table()
    assert table.index[table["champion"]].tolist() == ["faster_worse"]


def test_no_candidate_and_an_unknown_override_are_errors():
    with pytest.raises(OsemnError, match="no candidate to choose from"):
        champion.choose([], LABELS, 2, ACCURACY)
    with pytest.raises(UsageError, match="did you mean 'fast_close'"):
        champion.choose(options(), LABELS, 2, ACCURACY, override="fast_clos")


def test_figure_shows_every_candidate_and_names_the_champion():
    figure = plots.accuracy_and_latency(champion.choose(options(), LABELS, 2, ACCURACY))
    texts = [text.get_text().strip() for text in figure.axes[0].texts]
    assert texts == ["faster_worse", "fast_unknown", "fast_close (champion)", "slow_best", "slow_close"]
    assert "fast_close" in figures.alt_text(figure)
