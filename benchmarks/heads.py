"""Which features of a frozen backbone and which heads on them pay?

    .venv/bin/python benchmarks/heads.py elpv_two food

For each set of own_images.py, EfficientNet-Lite0 at 224 pixels. Over five seeds of a split that keeps copies together, heads are
fitted on four fifths of the images and scored on the rest: the product's logistic regression on several kinds of features, and
several heads on the product's features. Writes benchmarks/results/heads.json, and `benchmarks/ablations.py --table` the table.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import helpers  # noqa: F401 - before TensorFlow, which reads once what it asks for

# isort: split
import numpy as np
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import own_images
from helpers import paths
from helpers.model import class_balance, classical_heads, transfer
from helpers.model.backbones import features
from helpers.model.weight_averaging import NormStatistics
from helpers.obtain import splits
from helpers.series import manifests, metrics, records

RESULTS = paths.project_root() / "benchmarks" / "results" / "heads.json"
COPIES = "mirrored copies in training (05, where labels survive)"
BACKBONE, SIDE, SEEDS = "efficientnet_lite0", 224, range(5)
SETTINGS = transfer.HeadSettings(256, 0.3, 5, 256, 0.008, 0)  # the defaults of 05
Predict = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]


def kinds_of_features(images: np.ndarray) -> dict[str, np.ndarray]:
    """Return the features of all images, `float32 [N, F]`, by kind."""
    source = features.extractor(BACKBONE, images.shape[1:], SIDE)
    plain = features.extract(source, images).values
    mirrored = features.extract(source, np.ascontiguousarray(images[:, :, ::-1])).values
    last = source.base.output.shape[-1]
    NormStatistics(source.base, images, 32, 1_024).recompute()
    source = features.Extractor(BACKBONE, SIDE, "bilinear", source.base, "statistics of these images")
    return {
        COPIES: np.hstack([plain, mirrored]),
        "the last map alone": plain[:, :last],
        "the last map and inner ones (05)": plain,
        "mirrored views averaged": (plain + mirrored) / 2,
        "batch-norm statistics of the new images": features.extract(source, images).values,
    }


def classical(name: str, strength: float, class_weights: str = "none") -> Predict:
    """Return a function that fits a head on features and labels and predicts the labels of other features."""

    def predict(values: np.ndarray, labels: np.ndarray, unseen: np.ndarray, classes: int) -> np.ndarray:
        of_class = class_balance.class_weights(class_weights, np.bincount(labels, minlength=classes))
        weights = None if of_class is None else of_class[labels]
        top = classical_heads.fit(name, strength, values, labels, classes, weights)
        return transfer.head_labels(top, unseen)

    return predict


def with_copies(values: np.ndarray, labels: np.ndarray, unseen: np.ndarray, classes: int) -> np.ndarray:
    """Fit on images and their mirrored copies, whose features stand beside theirs, and predict images as they are."""
    both, plain = np.concatenate(np.hsplit(values, 2)), np.hsplit(unseen, 2)[0]
    return classical("logistic", 0.01)(both, np.tile(labels, 2), plain, classes)


def neighbours(values: np.ndarray, labels: np.ndarray, unseen: np.ndarray, classes: int) -> np.ndarray:
    """Predict by the five nearest neighbours, weighted by the cosine distance."""
    model = make_pipeline(StandardScaler(), KNeighborsClassifier(5, weights="distance", metric="cosine"))
    return model.fit(values, labels).predict(unseen)


def dense(values: np.ndarray, labels: np.ndarray, unseen: np.ndarray, classes: int) -> np.ndarray:
    """Predict by the dense head of 05."""
    both = np.concatenate([values, unseen])
    fit_predict = transfer.fold_trainer(
        [both], np.append(labels, np.zeros(len(unseen), np.int64)), classes, SETTINGS
    )
    return fit_predict(np.arange(len(values)), np.arange(len(values), len(both))).argmax(axis=1)


HEADS: dict[str, Predict] = {
    **{f"logistic regression, C = {value:g}": classical("logistic", value) for value in (0.003, 0.01, 0.03)},
    **{f"LDA, shrinkage {value:g}": classical("lda", value) for value in (0.3, 0.6, 0.9)},
    "logistic regression, C = 0.01, balanced": classical("logistic", 0.01, "balanced"),
    "five nearest neighbours": neighbours,
    "dense head": dense,
}


def measure(place: Path, parameters: dict[str, Any]) -> dict[str, dict[str, list[float]]]:
    """Return the metrics of each kind of features and of each head, one value per seed."""
    images, labels, together, classes = own_images.everything(place, parameters, SIDE)
    kinds = kinds_of_features(images)
    usual = kinds["the last map and inner ones (05)"]
    rows = {f"features: {COPIES}": (kinds.pop(COPIES), with_copies)}
    rows |= {f"features: {name}": (values, classical("logistic", 0.01)) for name, values in kinds.items()}
    rows |= {f"head: {name}": (usual, predict) for name, predict in HEADS.items()}
    results: dict[str, dict[str, list[float]]] = {}
    for title, (values, predict) in rows.items():
        for seed in SEEDS:
            train, test = splits.hold_out(labels, together, 0.2, seed)
            predicted = predict(values[train], labels[train], values[test], classes)
            for name in ("accuracy", "balanced_accuracy", "macro_f1"):
                value = metrics.Metric(name)(labels[test], predicted, classes)
                results.setdefault(title, {}).setdefault(name, []).append(round(value, 4))
        print(title, {name: np.mean(values).round(4) for name, values in results[title].items()}, flush=True)
    return results


def main() -> None:
    """Measure the sets that the command line names, and add them to the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="+", choices=("elpv_two", "elpv_four", "food", "stamps"))
    for name in parser.parse_args().sets:
        with tempfile.TemporaryDirectory(prefix="osemn-heads-") as place:
            write(name, *own_images.SETS[name](Path(place)))


def write(name: str, place: Path, parameters: dict[str, Any]) -> None:
    """Measure one set and add it to the file."""
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    results[name] = {"cpu": records.cpu_name(), "seeds": list(SEEDS), "metrics": measure(place, parameters)}
    manifests.write_json(RESULTS, results)


if __name__ == "__main__":
    main()
