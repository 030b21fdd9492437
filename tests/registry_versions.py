"""Build versions for tests of the registry and its readers: small, real ONNX models, without TensorFlow."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = ("a", "b", "c")
SHAPE = (8, 8, 1)


def write_model(path: Path, seed: int = 0, shape: tuple[int, ...] = SHAPE, classes: int = 3) -> None:
    """Write a linear classifier as ONNX, `image` to `probabilities`."""
    weights = np.random.default_rng(seed).normal(0, 0.02, (int(np.prod(shape)), classes)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"]),
            helper.make_node("Identity", ["logits"], ["embedding"]),
        ],
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", *shape])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", classes])
            for name in ("probabilities", "embedding")
        ],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def predict(model: Path, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and embeddings by ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return tuple(session.run(["probabilities", "embedding"], {"image": images.astype(np.float32)}))


def write_drift_reference(folder: Path, n: int = 600) -> np.ndarray:
    """Add a drift reference of random images to the files of a version, and return the images."""
    from helpers.interpret import drift

    images = np.random.default_rng(5).integers(0, 256, (n, *SHAPE), dtype=np.uint8)
    known = drift.sample(*predict(folder / "model.onnx", images), images)
    drift.DriftReference.made_from(known, seed=0, windows=(50,), resamples=200).save(
        folder / "drift_reference.npz"
    )
    return images


def write_detector(folder: Path, threshold: float) -> None:
    """Add a detector of unknown images to the files of a version: the largest logit, with its sign changed, above a threshold."""
    from helpers.interpret.unknown import FILE, Detector

    same, none = np.eye(len(CLASSES)), np.zeros(len(CLASSES))
    Detector("largest_logit", threshold, same, none, none, same, same, same, same, np.ones((2, 2))).save(
        folder / FILE
    )


def content(folder: Path, seed: int = 0, shape: tuple[int, ...] = SHAPE, classes: int = 3) -> Path:
    """Write the files of a version, without its manifest, into a new folder and return it."""
    folder.mkdir(parents=True)
    write_model(folder / "model.onnx", seed, shape, classes)
    images = np.random.default_rng(seed).integers(0, 256, (20, *shape), dtype=np.uint8)
    probabilities, _ = predict(folder / "model.onnx", images)
    np.savez(folder / "golden.npz", images=images, probabilities=probabilities)
    (folder / "model.keras").write_bytes(b"stands for a model")
    (folder / "tfjs").mkdir()
    (folder / "tfjs" / "model.json").write_text(json.dumps({"format": "graph-model"}), encoding="utf-8")
    for number in range(1, 5):
        (folder / "tfjs" / f"weights_{number}_of_4.bin").write_bytes(bytes(64 * number))
    (folder / "model_card.md").write_text("# Card\n", encoding="utf-8")
    return folder


def facts(accuracy: float = 0.9, test_sha256: str = "t" * 64, **more: Any) -> dict[str, Any]:
    """Return the facts of a version that the registry and the command line read."""
    return {
        "label": "a linear classifier",
        "candidate": "tuned",
        "profile": "smoke",
        "classes": list(CLASSES),
        "signature": {"input": {"name": "image", "shape": [None, *SHAPE]}},
        "metrics": {
            "test": {
                "n": 1000,
                "accuracy": accuracy,
                "accuracy_ci95": [accuracy - 0.01, accuracy + 0.01],
                "macro_f1": accuracy,
                "temperature": 1.2,
            }
        },
        "hashes": {"test": test_sha256},
        **more,
    }
