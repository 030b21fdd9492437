"""Possible label errors, judged by cleanlab on probabilities of models that have not seen the labels."""

import numpy as np
import pandas as pd
from cleanlab.rank import get_label_quality_scores

# of cleanlab's normalised margin: another class is more probable than the label by at least 0.8. In
# benchmarks/label_errors.py this had a higher F1 than nearest neighbours and all filters of cleanlab
QUALITY = 0.1


def possible_label_errors(
    probabilities: np.ndarray, labels: np.ndarray, files: pd.DataFrame, judged: np.ndarray | None = None
) -> pd.DataFrame:
    """Return the images whose label is probably an error, least plausible label first.

    Source: C. Northcutt, L. Jiang and I. Chuang (2021), "Confident learning: estimating uncertainty in dataset labels",
    Journal of Artificial Intelligence Research 70: the normalised margin, as in cleanlab.

    Args:
        probabilities: `[N, K]`, by a model that was not trained on these images.
        labels: `[N] int64`.
        files: N rows of the index, in the order of the images, with `part`, `row` and `path`.
        judged: `bool [N]`, the images that are judged, such as `OutOfFold.estimable`; None for all.

    Returns:
        Columns `index` (row of the image in these arrays), `label`, `suggested` (the most probable class), `quality` (0 if
        only the suggested class is probable, 0.5 if it is as probable as the label), and `part`, `row` and `path` of the
        index.

    Example:
        `possible_label_errors(probabilities, test.labels, table)`
    """
    quality = get_label_quality_scores(labels, probabilities, method="normalized_margin")
    rows = np.flatnonzero((quality <= QUALITY) & (True if judged is None else judged))
    rows = rows[np.argsort(quality[rows], kind="stable")]
    columns = {"index": rows, "label": labels[rows], "suggested": probabilities[rows].argmax(axis=1)}
    places = files[["part", "row", "path"]].iloc[rows].reset_index(drop=True)
    return pd.DataFrame({**columns, "quality": quality[rows]}).join(places)
