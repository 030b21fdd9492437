"""Robustness: the accuracy on test images that were rotated, blurred, darkened, compressed or made noisy, next to the unchanged ones.

The kinds are those of D. Hendrycks and T. Dietterich (2019), "Benchmarking neural network robustness to common corruptions and
perturbations", as far as they mean the same for drawings of 28 pixels and for photographs.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from helpers import scoring
from helpers.interpret.changes import CHANGES, JPEG


def measure(
    scorer: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    images: np.ndarray,
    labels: np.ndarray,
    seed: int,
) -> pd.DataFrame:
    """Return a row for each kind and strength: `kind`, `strength`, `n`, `accuracy`, `low`, `high`, and `points`, `points_low`, `points_high`.

    The points are the paired difference from the unchanged images, with its 95% interval.

    Args:
        scorer: from images, `uint8 [N, H, W, C]`, to probabilities and embeddings, as from `candidates.scorer`.
        images: test images, `uint8 [N, H, W, C]`.
        labels: `[N] int64`.
        seed: of the noise.

    Example:
        `robustness.measure(scorer, some.images[:], some.labels, seed)`
    """
    unchanged, rows = scorer(images)[0].argmax(axis=1), []
    cases = [("unchanged", "", None, 0.0)]
    for kind, (change, strengths, text) in (CHANGES | JPEG).items():
        cases += [(kind, text.format(strength), change, strength) for strength in strengths]
    for kind, strength, change, size in cases:
        predicted = scorer(change(images, size, seed))[0].argmax(axis=1) if change else unchanged
        score = scoring.score(labels, predicted, int(labels.max()) + 1)
        against = scoring.compare(labels, predicted, unchanged).as_metrics()
        rows.append(
            (
                kind,
                strength,
                score.n,
                score.accuracy,
                *score.accuracy_ci95,
                against["points"],
                *against["ci95"],
            )
        )
    columns = ["kind", "strength", "n", "accuracy", "low", "high", "points", "points_low", "points_high"]
    return pd.DataFrame(rows, columns=columns)
