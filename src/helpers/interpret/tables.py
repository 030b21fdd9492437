"""Tables, files and metrics of 07_evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from helpers.interpret.calibration import Reliability, Scaling
from helpers.interpret.confusion import Scores
from helpers.obtain import data
from helpers.scoring import wilson_interval
from helpers.wording import interval, p_value, score, signed


def references(
    card: Mapping[str, Any], labels: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray
) -> pd.DataFrame:
    """Return the accuracy next to what it should be compared with, one row each: value, 95% interval, remark.

    Args:
        card: the data card, for the accuracy of people if it is known.
        labels: `[N] int64`.
        predicted: `[N] int64`.
        probabilities: `[N, K]`.

    Example:
        `tables.references(card, test.labels, predicted, probabilities)`
    """
    n, order = len(labels), np.argsort(-probabilities, axis=1, kind="stable")
    in_two = int((labels[:, None] == order[:, :2]).any(axis=1).sum())
    counts = {
        "accuracy": (int(np.sum(labels == predicted)), n, "of the candidate"),
        "majority class": (int(np.bincount(labels).max()), n, "always predicting the most frequent class"),
        "top-2 accuracy": (in_two, n, "the true class is among the two most probable"),
    }
    if card.get("people"):
        value, images, source = card["people"]
        counts["people"] = (round(images * value), images, source)
    rows = {
        name: (hits / total, interval(*wilson_interval(hits, total)), remark)
        for name, (hits, total, remark) in counts.items()
    }
    return pd.DataFrame.from_dict(rows, "index", columns=["value", "95% interval", "remark"])


def comparisons(compared: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the paired comparisons with other candidates as texts, one row each.

    Args:
        compared: from `candidates.compare_with_others`.

    Example:
        `tables.comparisons(compared)`
    """
    rows = {
        row["label"]: (
            signed(row["points"]),
            " to ".join(map(signed, row["ci95"])),
            p_value(row["p_value"]),
            f"{row['only_this']:,}",
            f"{row['only_other']:,}",
        )
        for row in compared
    }
    names = ["points", "95% interval", "test", "only this one correct", "only the other correct"]
    return pd.DataFrame.from_dict(rows, "index", columns=names)


def accepted(
    thresholds: np.ndarray, probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> pd.DataFrame:
    """Return what thresholds on the confidence of each class are worth, one row per class, the highest threshold first.

    Args:
        thresholds: from `calibration.class_thresholds`, `[K]`.
        probabilities: of the test images, scaled as on validation, `[N, K]`.
        labels: `[N] int64`.
        class_names: K names.

    Returns:
        `threshold` (NaN: none is high enough), `predicted` and `accepted` (images), `correct` (of the accepted ones), and their
        `precision` with its 95% interval, `low` and `high`; NaN without an accepted image.

    Example:
        `tables.accepted(thresholds, scaled, test.labels, names)`
    """
    predicted, confidence, rows = probabilities.argmax(axis=1), probabilities.max(axis=1), {}
    for label, (name, threshold) in enumerate(zip(class_names, thresholds, strict=True)):
        mine = predicted == label
        taken = mine & (confidence >= threshold)
        n, correct = int(taken.sum()), int(np.sum(labels[taken] == label))
        ends = (correct / n, *wilson_interval(correct, n)) if n else (np.nan,) * 3
        rows[name] = (threshold, int(mine.sum()), n, correct, *ends)
    columns = ["threshold", "predicted", "accepted", "correct", "precision", "low", "high"]
    return pd.DataFrame.from_dict(rows, "index", columns=columns).sort_values(
        "threshold", ascending=False, na_position="first", kind="stable"
    )


def metrics(
    candidate: str,
    scores: Scores,
    counts: np.ndarray,
    class_names: Sequence[str],
    before: Reliability,
    after: Reliability,
    scaling: Scaling,
    predicted: np.ndarray,
) -> dict[str, Any]:
    """Return the metrics that every evaluation logs, by the names that report and registry read."""
    logged = asdict(scores)
    return logged | {
        "candidate": candidate,
        "ece": before.error,
        "ece_scaled": after.error,
        "ece_by_chance": after.error_by_chance,
        **scaling._asdict(),
        "boldest_bin": after.most_overconfident(),
        "per_class": {one.pop("name"): one for one in logged.pop("classes")},
        "confusion": counts,
        "class_names": list(class_names),
        "predictions_sha256": data.array_sha256(predicted.astype(np.int64)),
    }


def classification_report(scores: Scores) -> str:
    """Return the scores in scikit-learn's familiar layout, with intervals.

    Example:
        `print(tables.classification_report(scores))`
    """
    columns = ("precision", "recall", "f1")
    rows = {}
    for one in scores.classes:
        rows[one.name] = [*(score(vars(one), name) for name in columns), f"{one.support:,}"]
    for name in ("accuracy", "macro_f1", "weighted_f1"):
        title = name.replace("_f1", " average")
        rows[title] = ["", "", score(vars(scores), name), f"{scores.n:,}"]
    table = pd.DataFrame.from_dict(rows, "index", columns=["precision", "recall", "F1", "support"])
    absent = ", ".join(scores.absent)
    note = f"\nno image of: {absent} (left out of the macro average)" if absent else ""
    return f"{table.to_string()}{note}\n"
