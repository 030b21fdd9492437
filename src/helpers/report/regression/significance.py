"""Tests whether a score changed: paired tests on the same images, tests of independent samples on different ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from helpers.scoring import LEVEL, LabelScores, bootstrap_scores, compare, score_cells, wilson_interval

DRAWS = 2_000  # a p-value of 0.05 is then known to ±0.01
_CELLS_AT_ONCE = 4_000_000  # keeps an array below 32 MB


@dataclass(frozen=True)
class TestedChange:
    """A score before and after, with a test of the difference.

    Attributes:
        before: the first score.
        after: the second score.
        low: lower end of the 95% interval of after − before.
        high: upper end of that interval.
        p_value: two-sided.
    """

    before: float
    after: float
    low: float
    high: float
    p_value: float


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, so that one family of tests in twenty holds a false alarm.

    Source: S. Holm (1979), "A simple sequentially rejective multiple test procedure".
    """
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected.tolist()


def paired_proportion(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> TestedChange:
    """Compare the proportion of correct predictions on the same images by McNemar's exact test.

    Args:
        labels: `[N]`, the true labels.
        before: `[N]`, the first predictions.
        after: `[N]`, the second predictions.

    Raises:
        OsemnError: the three differ in length, or are empty.
    """
    test = compare(labels, after, before)
    accuracies = [float(np.mean(predicted == labels)) for predicted in (before, after)]
    return TestedChange(*accuracies, *test.ci95, test.p_value)


def independent_proportion(
    correct_before: int, n_before: int, correct_after: int, n_after: int
) -> TestedChange:
    """Compare the proportions of correct predictions on different images.

    Raises:
        OsemnError: a count exceeds its total.

    Source: R. A. Fisher's exact test; the interval is R. G. Newcombe's (1998, "Interval estimation for the difference
    between independent proportions", method 10), computed from Wilson's two.
    """
    before, after = correct_before / n_before, correct_after / n_after
    low_before, high_before = wilson_interval(correct_before, n_before)
    low_after, high_after = wilson_interval(correct_after, n_after)
    down = np.hypot(after - low_after, high_before - before)
    up = np.hypot(high_after - after, before - low_before)
    table = [[correct_after, n_after - correct_after], [correct_before, n_before - correct_before]]
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
    """Compare macro-F1 on the same images by a permutation test, with an interval from a bootstrap over images.

    The test swaps the two predictions of images at random, as if neither model were better. Images with the same label and
    the same two predictions form one cell, so images are drawn by drawing the counts of the cells.

    Args:
        labels: `[N]`, the true labels.
        before: `[N]`, the first predictions.
        after: `[N]`, the second predictions.
        num_classes: K.
        draws: number of samples of either kind.
        seed: of the samples.

    Source: R. Fisher's permutation test (1935) of pairs; B. Efron's percentile bootstrap (1979), widened to zero where the test
    is not significant.
    """
    labels, before, after = (np.asarray(one).astype(np.int64) for one in (labels, before, after))
    keys, counts = np.unique((labels * num_classes + before) * num_classes + after, return_counts=True)
    rest, new = np.divmod(keys, num_classes)
    label, old = np.divmod(rest, num_classes)
    generator = np.random.default_rng(seed)
    cells, n = (label, (old, new)), len(labels)
    sampled = bootstrap_scores(*cells, counts, n, num_classes, draws=draws, generator=generator)
    observed = score_cells(*cells, counts[None], num_classes)
    p_value = _permuted(label, (old, new), counts, num_classes, draws, generator)
    change = _from_draws(observed, sampled)
    if p_value >= LEVEL:
        change = replace(change, low=min(change.low, 0.0), high=max(change.high, 0.0))
    return replace(change, p_value=p_value)


def _permuted(
    label: np.ndarray,
    predictions: tuple[np.ndarray, np.ndarray],
    counts: np.ndarray,
    num_classes: int,
    draws: int,
    generator: np.random.Generator,
) -> float:
    """Return how often swapping the two predictions of each image at random gives a difference as large."""
    one, other = predictions
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
    """Compare macro-F1 on different images by a bootstrap of each confusion matrix.

    Args:
        before: `[K, K]` counts, rows are true classes.
        after: `[K, K]` counts of other images.
        draws: number of bootstrap samples.
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
