"""Possible label errors, judged by cleanlab on probabilities of models that have not seen the labels."""

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores


def possible_label_errors(
    probabilities: np.ndarray, labels: np.ndarray, files: pd.DataFrame, judged: np.ndarray | None = None
) -> pd.DataFrame:
    """Return the images whose label is probably an error, least plausible label first.

    Source: C. Northcutt, L. Jiang and I. Chuang (2021), "Confident learning: estimating uncertainty in dataset labels",
    Journal of Artificial Intelligence Research 70, as in cleanlab. `benchmarks/label_errors.py` compares it with others.

    Args:
        probabilities: `[N, K]`, by a model that was not trained on these images.
        labels: `[N] int64`.
        files: N rows of the index, in the order of the images, with `part`, `row` and `path`.
        judged: `bool [N]`, the images that are judged, such as `OutOfFold.estimable`; None for all.

    Returns:
        Columns `index` (row of the image in these arrays), `label`, `suggested` (the most probable class), `quality`
        (probability of the label), and `part`, `row` and `path` of the index.

    Example:
        `possible_label_errors(probabilities, test.labels, data.load_test_index(run))`
    """
    rows = np.arange(len(labels)) if judged is None else np.flatnonzero(judged)
    given, by = labels[rows], probabilities[rows]
    # 0: no warning about small classes; one process: starting others takes longer than judging the images
    options = {"min_examples_per_class": 0, "n_jobs": 1}
    issues = find_label_issues(given, by, return_indices_ranked_by="self_confidence", **options)
    quality = get_label_quality_scores(given, by)[issues]
    rows = rows[issues]
    columns = {"index": rows, "label": labels[rows], "suggested": probabilities[rows].argmax(axis=1)}
    places = files[["part", "row", "path"]].iloc[rows].reset_index(drop=True)
    return pd.DataFrame({**columns, "quality": quality}).join(places)
