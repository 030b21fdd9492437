"""Collect the facts of a version for its manifest and model card, and write its golden, drift and gallery files."""

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
from helpers.model import loading
from helpers.obtain import data, splits
from helpers.obtain.images import framing
from helpers.series import conclusions, runs, stages

PACKAGES = ("tensorflow", "keras", "numpy", "onnx", "onnxruntime", "tf2onnx", "ai-edge-litert")
GALLERY_IMAGES = 20  # two per class of the built-in data sets
_OF_TEST = ("n", "accuracy", "accuracy_ci95", "macro_f1", "temperature", "exponent", "per_class", "confusion")
_OF_DATA = ("title", "about", "licence", "first_source", "split", "counts")


def write_golden(path: Path, model: keras.Model, validation: data.Dataset, seed: int) -> None:
    """Write golden inputs and outputs: validation images of every class and Keras's predictions for them.

    Args:
        path: the `.npz` to write: `images`, `uint8 [N, H, W, C]`, and `probabilities`, `float32 [N, K]`.
        model: the champion.
        validation: the validation part.
        seed: selects the images.

    Example:
        `version_facts.write_golden(version / "golden.npz", chosen.model, validation, seed)`
    """
    rows = splits.stratified_sample(validation.labels, min(versions.GOLDEN_IMAGES, len(validation)), seed)
    images = validation.images[rows]
    np.savez(path, images=images, probabilities=np.asarray(model(images.astype(np.float32), training=False)))


def write_drift_reference(path: Path, model: keras.Model, validation: data.Dataset, seed: int) -> None:
    """Write the reference that the service compares incoming images with; nothing if there are too few validation images.

    Args:
        path: the `.npz` to write.
        model: the champion.
        validation: the validation part.
        seed: selects the reference images, and the windows that set the thresholds.

    Example:
        `version_facts.write_drift_reference(version / "drift_reference.npz", chosen.model, validation, seed)`
    """
    if len(validation) < 4 * min(drift.WINDOWS):
        return
    drawn = np.random.default_rng(seed).permutation(len(validation))[: 2 * drift.LARGEST_REFERENCE]
    images = validation.subset(np.sort(drawn)).images
    known = drift.sample(*candidates.scorer(model)(images), images)
    drift.DriftReference.made_from(known, seed).save(path)


def write_gallery(path: Path, test: data.Dataset, probabilities: np.ndarray) -> None:
    """Write hard test images for people to try: the least certain predictions of each class, of at most twenty classes.

    Args:
        path: the `.npz` to write: `images`, `uint8 [N, H, W, C]`, and `labels`, `int64 [N]`, the classes taking turns.
        test: the test images.
        probabilities: `float32 [N, K]`, the champion's.

    Example:
        `version_facts.write_gallery(version / "gallery.npz", test, expected)`
    """
    top_two = np.sort(probabilities, axis=1)[:, -2:]
    by_margin = np.argsort(top_two[:, 1] - top_two[:, 0], kind="stable")
    classes = range(min(test.num_classes, GALLERY_IMAGES))
    of_class = [by_margin[test.labels[by_margin] == label] for label in classes]
    turns = max(1, GALLERY_IMAGES // len(of_class))
    rows = [members[turn] for turn in range(turns) for members in of_class if turn < len(members)]
    np.savez(path, images=test.images[rows], labels=test.labels[rows])


def read_test_accuracies(run: runs.Run) -> dict[str, dict[str, Any]]:
    """Return accuracy and interval of every candidate on the test images, from 07_evaluation; they do not affect the choice.

    Example:
        `tested = version_facts.read_test_accuracies(run)`
    """
    logged = {name: _read(run, f"07_evaluation/{name}") for name in stages.CANDIDATES}
    return {
        name: {key: metrics[key] for key in ("accuracy", "accuracy_ci95")} for name, metrics in logged.items()
    }


def collect(
    run: runs.Run, choice: Choice, chosen: Candidate, formats: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return the facts of a version, as plain JSON types, for its manifest and its model card.

    Args:
        run: of 10_export, with its conclusions so far.
        choice: how the champion was chosen.
        chosen: the champion.
        formats: from `parity.compare_formats`.

    Example:
        `facts = version_facts.collect(run, choice, chosen, rows)`
    """
    evaluation = f"07_evaluation/{chosen.name}"
    test = _read(run, evaluation)
    trained, row = run.upstream[chosen.stage], choice.row(chosen.name)
    origin = json.loads(run.input("01_acquire", "data_card.json").read_text(encoding="utf-8"))
    frame = framing.FRAMINGS.get(run.parameters["dataset"])
    with np.load(run.input(evaluation, "test_predictions.npz"), allow_pickle=False) as saved:
        correct = versions.packed(saved["predicted"] == saved["labels"])
    return {
        "candidate": chosen.name,
        "label": chosen.label,
        "profile": run.parameters["profile"],
        "champion": {
            "by_rule": choice.by_rule,
            "overridden": choice.overridden,
            "candidates": [row.option.name for row in choice.rows],
        },
        "signature": _signature(chosen.model),
        "classes": list(test["class_names"]),
        "framing": asdict(frame) if frame else None,
        "preparation": origin.get("preparation"),
        "data": {name: origin[name] for name in _OF_DATA},
        "metrics": {
            "test": {name: test[name] for name in _OF_TEST if name in test} | {"right": correct},
            "validation": asdict(row.score),
            "latency_ms": row.option.latency_ms,
        },
        "conclusions": _conclusions(run, test, chosen.name),
        "formats": list(formats),
        "golden": {"file": versions.GOLDEN, "tolerance": versions.GOLDEN_TOLERANCE},
        "trained_by": trained["stage"],
        "seed": trained["seed"],
        "hashes": {
            "model": chosen.sha256,
            "weights": loading.weights_sha256(chosen.model),
            **{part: origin["sha256"][part] for part in ("train", "test")},
            "trained_source": trained["source_sha256"],
            "source": run.source_sha256,
        },
        "versions": {name: metadata.version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
        "cpu": runs.cpu_name(),
    }


def _signature(model: keras.Model) -> dict[str, Any]:
    tensors = {
        "input": ("image", model.input.shape, "raw pixels, 0–255"),
        "output": ("probabilities", model.output.shape, "probabilities"),
    }
    return {
        end: {"name": name, "dtype": "float32", "shape": [None, *map(int, shape[1:])], "values": values}
        for end, (name, shape, values) in tensors.items()
    }


def _conclusions(run: runs.Run, evaluation: dict[str, Any], candidate: str) -> dict[str, str]:
    """Return the conclusions about the champion by id: of its evaluation, its Grad-CAM checks where they ran, and its export."""
    grad_cam = f"08_grad_cam/{candidate}"
    logged = [evaluation, *([_read(run, grad_cam)] if grad_cam in run.upstream else []), run.metrics]
    return {name: one.text for metrics in logged for name, one in conclusions.read(metrics).items()}


def _read(run: runs.Run, stage: str) -> dict[str, Any]:
    return json.loads(run.input(stage, "metrics.json").read_text(encoding="utf-8"))
