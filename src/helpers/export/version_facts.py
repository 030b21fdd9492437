"""What a version says of itself, and the golden inputs that prove it able before it is served."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np

from helpers.export import versions
from helpers.export.champion import Choice
from helpers.interpret import candidates, drift
from helpers.interpret.candidates import Candidate
from helpers.obtain import data, framing
from helpers.series import runs, stages

PACKAGES = ("tensorflow", "keras", "numpy", "onnx", "onnxruntime", "tf2onnx", "ai-edge-litert")
GALLERY_IMAGES = 20
_OF_TEST = (
    "n",
    "accuracy",
    "accuracy_ci95",
    "macro_f1",
    "macro_f1_ci95",
    "weighted_f1",
    "top_2_accuracy",
    "ece",
    "ece_scaled",
    "temperature",
    "per_class",
    "confusion",
    "recommendations",
)
_OF_DATA = ("title", "about", "licence", "first_source", "split", "counts")


def write_golden(path: Path, model: keras.Model, validation: data.Dataset, seed: int) -> None:
    """Write golden inputs and outputs: validation images of every class and what Keras predicts for them.

    Args:
        path: the `.npz` to write: `images`, `uint8 [N, H, W, C]`, and `probabilities`, `float32 [N, K]`.
        model: the champion.
        validation: the validation part.
        seed: decides which images.
    """
    rows = data.stratified_sample(validation.labels, min(versions.GOLDEN_IMAGES, len(validation)), seed)
    images = validation.images[rows]
    np.savez(path, images=images, probabilities=np.asarray(model(images.astype(np.float32), training=False)))


def write_drift_reference(path: Path, model: keras.Model, validation: data.Dataset, seed: int) -> None:
    """Write what the service compares the pictures that arrive with; nothing where validation images are too few.

    Args:
        path: the `.npz` to write.
        model: the champion.
        validation: the validation part.
        seed: decides which images become the reference, and which windows find the thresholds.
    """
    if len(validation) < 4 * min(drift.WINDOWS):
        return
    known = drift.sample(*candidates.scorer(model)(validation.images), validation.images)
    drift.DriftReference.made_from(known, seed).save(path)


def write_gallery(path: Path, test: data.Dataset, probabilities: np.ndarray) -> None:
    """Write hard test images for people to try: of each class, of twenty at most, those that it is closest on.

    Args:
        path: the `.npz` to write: `images`, `uint8 [N, H, W, C]`, and `labels`, `int64 [N]`, the classes taking turns.
        test: the test images.
        probabilities: `float32 [N, K]`, the champion's.
    """
    first_two = np.sort(probabilities, axis=1)[:, -2:]
    by_doubt = np.argsort(first_two[:, 1] - first_two[:, 0], kind="stable")
    classes = range(min(test.num_classes, GALLERY_IMAGES))
    of_class = [by_doubt[test.labels[by_doubt] == label] for label in classes]
    turns = max(1, GALLERY_IMAGES // len(of_class))
    rows = [found[turn] for turn in range(turns) for found in of_class if turn < len(found)]
    np.savez(path, images=test.images[rows], labels=test.labels[rows])


def tested(run: runs.Run) -> dict[str, dict[str, Any]]:
    """Return accuracy and interval of every candidate on the test images, by 07_evaluation; nothing is chosen by them."""
    found = {name: _read(run, f"07_evaluation/{name}") for name in stages.CANDIDATES}
    return {
        name: {key: logged[key] for key in ("accuracy", "accuracy_ci95")} for name, logged in found.items()
    }


def collect(
    run: runs.Run, choice: Choice, chosen: Candidate, formats: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return the facts of a version, as plain JSON types, for its manifest and its model card.

    Args:
        run: of 10_export.
        choice: how the champion was chosen.
        chosen: the champion.
        formats: from `parity.prove`.
    """
    test = _read(run, f"07_evaluation/{chosen.name}")
    trained = run.upstream[chosen.stage]
    origin = json.loads(run.input("01_acquire", "data_card.json").read_text(encoding="utf-8"))
    row = choice.row(chosen.name)
    shape = list(chosen.model.input.shape[1:])
    framed = framing.FRAMINGS.get(run.parameters["dataset"])
    return {
        "candidate": chosen.name,
        "label": chosen.label,
        "profile": run.parameters["profile"],
        "champion": {
            "by_rule": choice.by_rule,
            "overridden": choice.overridden,
            "candidates": [row.option.name for row in choice.rows],
        },
        "signature": {
            "input": {
                "name": "image",
                "dtype": "float32",
                "shape": [None, *shape],
                "values": "raw pixels, 0–255",
            },
            "output": {
                "name": "probabilities",
                "dtype": "float32",
                "shape": [None, int(chosen.model.output.shape[-1])],
                "values": "probabilities",
            },
        },
        "classes": list(test["class_names"]),
        "framing": asdict(framed) if framed else None,
        "data": {name: origin[name] for name in _OF_DATA},
        "metrics": {
            "test": {name: test[name] for name in _OF_TEST} | {"right": _right(run, chosen.name)},
            "validation": {
                "n": row.score.n,
                "accuracy": row.score.accuracy,
                "accuracy_ci95": list(row.score.accuracy_ci95),
                "macro_f1": row.score.macro_f1,
            },
            "latency_ms": row.option.latency_ms,
        },
        "formats": list(formats),
        "golden": {"file": versions.GOLDEN, "tolerance": versions.GOLDEN_TOLERANCE},
        "trained_by": trained["stage"],
        "seed": trained["seed"],
        "hashes": {
            "model": chosen.sha256,
            "train": origin["sha256"]["train"],
            "test": origin["sha256"]["test"],
            "trained_source": trained["source_sha256"],
            "source": run.source_sha256,
        },
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in PACKAGES},
        "cpu": runs.cpu_name(),
    }


def _read(run: runs.Run, stage: str) -> dict[str, Any]:
    return json.loads(run.input(stage, "metrics.json").read_text(encoding="utf-8"))


def _right(run: runs.Run, candidate: str) -> str:
    """Return which test images a candidate told right, packed: a later version is compared with it image by image."""
    path = run.input(f"07_evaluation/{candidate}", "test_predictions.npz")
    with np.load(path, allow_pickle=False) as kept:
        return versions.packed(kept["predicted"] == kept["labels"])
