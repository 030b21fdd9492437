"""cleanlab reports planted label errors, with their place in the index."""

import numpy as np
import pandas as pd

from helpers.model.label_errors import possible_label_errors


def planted(n: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray, pd.DataFrame]:
    """Return probabilities, labels with four errors, the rows of the errors, and the index."""
    generator = np.random.default_rng(0)
    true = np.arange(n) % 3
    scores = 4 * np.eye(3)[true] + generator.normal(size=(n, 3))
    probabilities = (np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)).astype(np.float32)
    clear = np.flatnonzero(probabilities[np.arange(n), true] > 0.9)
    rows = generator.choice(clear, 4, replace=False)
    labels = true.copy()
    labels[rows] = (labels[rows] + 1) % 3
    part = np.where(np.arange(n) < 200, "train", "test")
    files = pd.DataFrame({"part": part, "row": np.arange(n) % 200, "path": [f"{i}.png" for i in range(n)]})
    return probabilities, labels, rows, files


def test_planted_label_errors_are_reported_first_with_their_place_and_the_true_class():
    probabilities, labels, rows, files = planted()
    result = possible_label_errors(probabilities, labels, files)
    assert set(rows) <= set(result["index"])
    assert len(result) <= 6
    assert result["quality"].is_monotonic_increasing
    first = result[result["index"].isin(rows)]
    assert (first["suggested"] == (first["label"] + 2) % 3).all()
    margins = (
        probabilities[result["index"], result["suggested"]] - probabilities[result["index"], result["label"]]
    )
    assert (margins >= 0.8).all()
    assert (result["path"] == [f"{row}.png" for row in result["index"]]).all()
    assert (result["row"] == result["index"] % 200).all()
    assert (result["part"] == np.where(result["index"] < 200, "train", "test")).all()


def test_images_that_are_not_judged_are_not_reported():
    probabilities, labels, rows, files = planted()
    judged = np.ones(len(labels), bool)
    judged[rows[0]] = False
    result = possible_label_errors(probabilities, labels, files.set_index(files.index + 7), judged)
    assert rows[0] not in set(result["index"])
    assert set(rows[1:]) <= set(result["index"])


def test_labels_without_errors_give_an_empty_table():
    labels = np.arange(30) % 3
    files = pd.DataFrame({"part": "test", "row": np.arange(30), "path": ""})
    result = possible_label_errors((0.97 * np.eye(3) + 0.01)[labels], labels, files)
    assert result.empty
    assert list(result) == ["index", "label", "suggested", "quality", "part", "row", "path"]
