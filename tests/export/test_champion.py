"""The rule chooses the fastest candidate that is not significantly worse than the best."""

import numpy as np
import pytest

from helpers import figures
from helpers.errors import OsemnError, UsageError
from helpers.export import champion, plots

LABELS = np.arange(1000) % 2


def option(name: str, wrong: range, latency_ms: float) -> champion.Option:
    predicted = LABELS.copy()
    predicted[list(wrong)] ^= 1
    return champion.Option(name, f"model {name}", predicted, latency_ms)


def options() -> list[champion.Option]:
    return [
        option("slow_best", range(50), 9.0),
        option("fast_close", range(20, 75), 2.0),  # 55 errors, of which 30 are the best's too: p = 0.66
        option("faster_worse", range(120), 1.0),  # 70 more errors: p < 1e-9
        option("slow_close", range(52), 10.0),
    ]


def test_fastest_of_those_not_significantly_worse_is_chosen():
    choice = champion.choose(options(), LABELS, 2)
    assert (choice.best, choice.by_rule, choice.champion) == ("slow_best", "fast_close", "fast_close")
    assert not choice.overridden
    assert [row.option.name for row in choice.rows] == [
        "faster_worse",
        "fast_close",
        "slow_best",
        "slow_close",
    ]
    assert [row.eligible for row in choice.rows] == [False, True, True, True]
    assert choice.row("fast_close").against_best.p_value == pytest.approx(0.5515, abs=0.15)


def test_conclusion_says_why_with_the_numbers_of_the_test():
    conclusion = champion.choose(options(), LABELS, 2).conclusion()
    assert conclusion.id == "champion"
    assert "fastest candidate that is not significantly worse (by 0.5 points, 95% interval" in conclusion.text
    assert "2.00 ms for one image instead of 9.00 ms" in conclusion.text
    assert "Faster, but significantly worse: the model faster_worse (by 7.0 points" in conclusion.text
    assert "slow_close" not in conclusion.text, "it is neither better nor faster"
    assert conclusion.numbers["latency_ms"]["fast_close"] == 2.0
    assert "1,000 validation images" in conclusion.test


def test_best_is_chosen_where_no_faster_one_is_close_enough():
    choice = champion.choose([option("a", range(10), 2.0), option("b", range(90), 1.0)], LABELS, 2)
    assert choice.champion == "a"
    assert "The rule chooses the model a: it is the most accurate candidate" in choice.conclusion().text


def test_of_two_equally_accurate_ones_the_faster_counts_as_best():
    choice = champion.choose([option("slow", range(10), 2.0), option("fast", range(10), 1.0)], LABELS, 2)
    assert choice.best == choice.champion == "fast"


def test_override_is_followed_and_said():
    choice = champion.choose(options(), LABELS, 2, override="faster_worse")
    assert choice.champion == "faster_worse"
    assert choice.by_rule == "fast_close"
    assert choice.overridden
    assert "overrides the rule: faster_worse" in choice.conclusion().text
    table = choice.table()
    assert table.index[table["champion"]].tolist() == ["faster_worse"]


def test_no_candidate_and_an_unknown_override_are_errors():
    with pytest.raises(OsemnError, match="no candidate to choose from"):
        champion.choose([], LABELS, 2)
    with pytest.raises(UsageError, match="did you mean 'fast_close'"):
        champion.choose(options(), LABELS, 2, override="fast_clos")


def test_figure_shows_every_candidate_and_names_the_champion():
    figure = plots.accuracy_and_latency(champion.choose(options(), LABELS, 2))
    texts = [text.get_text().strip() for text in figure.axes[0].texts]
    assert texts == ["faster_worse", "fast_close (champion)", "slow_best", "slow_close"]
    assert "fast_close" in figures.alt_text(figure)
