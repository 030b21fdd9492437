"""Tests of whether a score changed: on the same images, pair by pair; on other images, as independent samples."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from helpers.scoring import LEVEL, LabelScores, bootstrap_scores, compare, score_cells, wilson_interval

DRAWS = 2_000
_CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class TestedChange:
    """A score before and after, and whether the difference may be chance.

    Attributes:
        before: the score of the one.
        after: the score of the other.
        low: lower end of the 95% interval of after − before.
        high: upper end of it.
        p_value: two-sided, of no difference.
    """

    before: float
    after: float
    low: float
    high: float
    p_value: float


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for how many there are, so that one in twenty families, not tests, holds a false alarm.

    Source: S. Holm (1979), "A simple sequentially rejective multiple test procedure".
    """
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected.tolist()


def paired_share(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> TestedChange:
    """Compare the share of right predictions on the same images, by McNemar's exact test.

    Args:
        labels: `[N]`, the true labels.
        before: `[N]`, what the one predicted.
        after: `[N]`, what the other predicted.

    Raises:
        OsemnError: the three have not the same length, or are empty.
    """
    found = compare(labels, after, before)
    shares = [float(np.mean(predicted == labels)) for predicted in (before, after)]
    return TestedChange(*shares, *found.ci95, found.p_value)


def independent_share(right_before: int, n_before: int, right_after: int, n_after: int) -> TestedChange:
    """Compare two shares of different images.

    Raises:
        OsemnError: a count is no part of its total.

    Source: R. A. Fisher's exact test; the interval is R. G. Newcombe's (1998, "Interval estimation for the difference
    between independent proportions", method 10), made from Wilson's two.
    """
    before, after = right_before / n_before, right_after / n_after
    low_before, high_before = wilson_interval(right_before, n_before)
    low_after, high_after = wilson_interval(right_after, n_after)
    down = np.hypot(after - low_after, high_before - before)
    up = np.hypot(high_after - after, before - low_before)
    table = [[right_after, n_after - right_after], [right_before, n_before - right_before]]
    p_value = float(stats.fisher_exact(table).pvalue)
    gain = after - before
    return TestedChange(
        before, after, float(max(gain - down, -1.0)), float(min(gain + up, 1.0)), min(p_value, 1.0)
    )


def paired_macro_f1(
    labels: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    num_classes: int,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> TestedChange:
    """Compare macro-F1 on the same images: each image's two answers are swapped at random, or drawn together.

    If neither model is better, either answer might as well be the other's: that gives the p-value. The interval comes from a
    bootstrap over images. Images with the same label and the same two answers are one cell: drawing how often each cell occurs
    is drawing images.

    Args:
        labels: `[N]`, the true labels.
        before: `[N]`, what the one predicted.
        after: `[N]`, what the other predicted.
        num_classes: K.
        draws: samples of either kind.
        seed: of the samples.

    Source: R. Fisher's permutation test (1935) of pairs; B. Efron's percentile bootstrap (1979), widened to zero where the test
    shows nothing.
    """
    labels, before, after = (np.asarray(one).astype(np.int64) for one in (labels, before, after))
    keys, counts = np.unique((labels * num_classes + before) * num_classes + after, return_counts=True)
    rest, new = np.divmod(keys, num_classes)
    label, old = np.divmod(rest, num_classes)
    generator = np.random.default_rng(seed)
    sampled = bootstrap_scores(
        label, (old, new), counts, len(labels), num_classes, draws=draws, generator=generator
    )
    observed = score_cells(label, (old, new), counts[None], num_classes)
    p_value = _permuted(label, (old, new), counts, num_classes, draws, generator)
    found = _from_draws(observed, sampled)
    if p_value >= LEVEL:
        found = replace(found, low=min(found.low, 0.0), high=max(found.high, 0.0))
    return replace(found, p_value=p_value)


def _permuted(
    label: np.ndarray,
    answers: tuple[np.ndarray, np.ndarray],
    counts: np.ndarray,
    num_classes: int,
    draws: int,
    generator: np.random.Generator,
) -> float:
    """Return how often a difference as large comes about when each image's two answers are swapped by a coin."""
    one, other = answers
    label, pairs = np.tile(label, 2), (np.concatenate([one, other]), np.concatenate([other, one]))

    def difference(swapped: np.ndarray) -> np.ndarray:
        cells = np.concatenate([counts - swapped, swapped], axis=1)
        before, after = score_cells(label, pairs, cells, num_classes)
        return np.abs(after.macro_f1 - before.macro_f1)

    observed = difference(np.zeros((1, len(counts)), np.int64)).item()
    at_once, as_large = max(1, _CELLS_AT_ONCE // len(label)), 0
    for start in range(0, draws, at_once):
        size = (min(at_once, draws - start), len(counts))
        as_large += int(np.sum(difference(generator.binomial(counts, 0.5, size=size)) >= observed - 1e-12))
    return min(1.0, (1 + as_large) / (1 + draws))


def independent_macro_f1(
    before: np.ndarray, after: np.ndarray, *, draws: int = DRAWS, seed: int = 0
) -> TestedChange:
    """Compare macro-F1 on different images, by a bootstrap of each confusion matrix on its own.

    Args:
        before: `[K, K]` counts, rows are true classes.
        after: `[K, K]` counts of other images.
        draws: bootstrap samples.
        seed: of the bootstrap.
    """
    generator = np.random.default_rng(seed)
    observed, sampled = [], []
    for matrix in (before, after):
        label, predicted = np.nonzero(matrix)
        counts = np.asarray(matrix)[label, predicted]
        cells, n = (label, (predicted,)), int(counts.sum())
        sampled += bootstrap_scores(*cells, counts, n, len(matrix), draws=draws, generator=generator)
        observed += score_cells(*cells, counts[None], len(matrix))
    return _from_draws(observed, sampled)


def _from_draws(observed: Sequence[LabelScores], sampled: Sequence[LabelScores]) -> TestedChange:
    differences = sampled[1].macro_f1 - sampled[0].macro_f1
    low, high = np.percentile(differences, [2.5, 97.5])
    smaller = min(int(np.sum(differences <= 0)), int(np.sum(differences >= 0)))
    p_value = min(1.0, 2 * (1 + smaller) / (1 + len(differences)))
    before, after = (float(one.macro_f1.item()) for one in observed)
    return TestedChange(before, after, float(low), float(high), p_value)
