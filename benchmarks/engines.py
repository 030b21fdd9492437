"""Engines for the pass through the frozen EfficientNet-Lite0, side by side: speed, features, and the head's accuracy.

    .venv/bin/python benchmarks/engines.py --peer-python PATH

On photographs of solar cells (own_images.py, elpv_two) at 224 and 64 pixels a side, in batches of 128 as `features.extract`
uses them. All engines take turns, several times, on the same images; OpenVINO and PyTorch run in the peer's environment
(README.md), one process at a time. The features of each engine are compared with those of TensorFlow in float32, row by row,
and by the accuracy of a logistic regression on them in five folds that keep groups together.

An engine is worth taking if its features have a cosine of at least 0.999, the head is as accurate within the interval of the
paired difference, and it is at least 1.3 times as fast as TensorFlow. Writes benchmarks/results/engines.json.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import helpers  # noqa: F401 - before TensorFlow, which reads once what it asks for

# isort: split
import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
import tf2onnx
from onnxruntime import quantization
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import own_images
from helpers import paths, scoring
from helpers.export.formats import ONNX_OPSET
from helpers.model import cpu_speed, frozen_graph
from helpers.model.backbones import features
from helpers.obtain import splits
from helpers.series import manifests, quiet, records

BATCH = 128
USUAL = "tensorflow"
HERE = (USUAL, "tensorflow_bfloat16", "onnxruntime", "onnxruntime_int8")
THERE = ("openvino", "openvino_bfloat16", "openvino_int8", "pytorch")
CALIBRATION = 128  # images that set the ranges of int8
COSINE, FASTER = 0.999, 1.3  # of an engine worth taking

Pass = Callable[[np.ndarray], np.ndarray]


def engines_here(folder: Path, side: int, images: np.ndarray) -> dict[str, Pass]:
    """Return the engines of this environment; their models are written to the folder."""
    pooled = features.extractor("efficientnet_lite0", images.shape[1:], side).pooled()

    def of_tensorflow(half: bool) -> Pass:
        with cpu_speed.bfloat16(half):
            compute = frozen_graph.freeze(pooled)
            compute(tf.zeros((8, *images.shape[1:])))

        def run(batch: np.ndarray) -> np.ndarray:
            with cpu_speed.bfloat16(half):
                return compute(tf.cast(tf.constant(batch), tf.float32)).numpy()

        return run

    graph = frozen_graph.frozen_graph(lambda image: pooled(image, training=False), images.shape[1:])
    file, small = folder / f"float32_{side}.onnx", folder / f"int8_{side}.onnx"
    with quiet.discarded_output():
        name, outputs = f"{graph.input_name}:0", [f"{name}:0" for name in graph.output_names]
        converted, _ = tf2onnx.convert.from_graph_def(
            graph.definition, input_names=[name], output_names=outputs, opset=ONNX_OPSET
        )
        onnx.save(converted, file)
        quantize(file, small, images[:CALIBRATION], name)

    def of_onnx(path: Path) -> Pass:
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry(
            "session.intra_op.allow_spinning", "0"
        )  # it would slow down the next engine
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda batch: session.run(None, {name: batch.astype(np.float32)})[0]

    return dict(
        zip(HERE, (of_tensorflow(False), of_tensorflow(True), of_onnx(file), of_onnx(small)), strict=True)
    )


def quantize(file: Path, small: Path, images: np.ndarray, name: str) -> None:
    """Write a model with weights and activations in int8, calibrated on some images."""

    class Reader(quantization.CalibrationDataReader):
        rows = iter(np.array_split(images.astype(np.float32), 8))

        def get_next(self) -> dict[str, np.ndarray] | None:
            rows = next(self.rows, None)
            return None if rows is None else {name: rows}

    prepared = small.with_suffix(".prepared.onnx")
    quantization.quant_pre_process(file, prepared, skip_symbolic_shape=True)
    quantization.quantize_static(prepared, small, Reader(), per_channel=True)


def timed(run: Pass, images: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the seconds of a pass, and its features."""
    started = perf_counter()
    values = np.concatenate([run(images[start : start + BATCH]) for start in range(0, len(images), BATCH)])
    return perf_counter() - started, values


def measure(side: int, images: np.ndarray, peer: str, rounds: int, few: int) -> tuple[dict, dict]:
    """Return the images per second of each engine by round, and the features of all images."""
    with tempfile.TemporaryDirectory(prefix="osemn-engines-") as place:
        folder = Path(place)
        np.save(folder / f"images_{side}.npy", images)
        here = engines_here(folder, side, images)
        worker = subprocess.Popen(
            [peer, paths.project_root() / "benchmarks" / "peers" / "engines_worker.py", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

        def there(engine: str, count: int, save: str) -> float:
            order = {"engine": engine, "side": side, "images": count, "save": save}
            worker.stdin.write(json.dumps(order) + "\n")
            worker.stdin.flush()
            line = next(line for line in worker.stdout if line.startswith("{"))
            return json.loads(line)["seconds"]

        values, speeds = {}, {name: [] for name in (*HERE, *THERE)}
        for name in speeds:
            if name in here:
                _, values[name] = timed(here[name], images)
            else:
                there(name, len(images), f"{folder}/{name}.npy")
                values[name] = np.load(folder / f"{name}.npy")
        for _ in range(rounds):
            for name, speed in speeds.items():
                seconds = timed(here[name], images[:few])[0] if name in here else there(name, few, "")
                speed.append(few / seconds)
        worker.stdin.close()
        worker.wait()
    return speeds, values


def head(values: np.ndarray, labels: np.ndarray, together: np.ndarray) -> np.ndarray:
    """Return the labels that a logistic regression on features predicts in five folds."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1_000))
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    return cross_val_predict(model, values, labels, groups=together, cv=folds)


def table(speeds: dict, values: dict, labels: np.ndarray, together: np.ndarray) -> dict[str, Any]:
    """Return one entry per engine, compared with TensorFlow in float32; PyTorch's features are those of the last stage alone."""
    rows: dict[str, Any] = {}
    predicted = {name: head(some, labels, together) for name, some in values.items()}
    for name, some in values.items():
        usual = values[USUAL][:, -some.shape[1] :]
        cosines = (some * usual).sum(1) / (np.linalg.norm(some, axis=1) * np.linalg.norm(usual, axis=1))
        ratios = [speed / before for speed, before in zip(speeds[name], speeds[USUAL], strict=True)]
        pair = scoring.compare(labels, predicted[name], predicted[USUAL])
        rows[name] = {
            "images_per_second": round(statistics.median(speeds[name]), 1),
            "times_as_fast": round(statistics.median(ratios), 2),
            "times_as_fast_by_round": [round(ratio, 2) for ratio in ratios],
            "cosine_mean": float(cosines.mean()),
            "cosine_least": float(cosines.min()),
            "largest_difference": float(np.abs(some - usual).max()),
            "head_accuracy": float(np.mean(predicted[name] == labels)),
            "head_against_tensorflow": pair.as_metrics(),
            "worth_taking": bool(
                cosines.min() >= COSINE and not pair.significant and statistics.median(ratios) >= FASTER
            ),
        }
    return rows


def main() -> None:
    """Measure both sides, and write and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peer-python", required=True, help="the interpreter of the peer's environment")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=256, help="in a round")
    parser.add_argument("--sample", type=int, default=10_000, help="stratified images for features and head")
    parser.add_argument("--sides", type=int, nargs="+", default=[224, 64])
    given = parser.parse_args()
    results = paths.project_root() / "benchmarks" / "results" / "engines.json"
    result: dict[str, Any] = {"cpu": records.cpu_name(), "cores": os.cpu_count(), "sides": {}}
    if results.is_file():
        result["sides"] = json.loads(results.read_text(encoding="utf-8"))["sides"]
    with tempfile.TemporaryDirectory(prefix="osemn-images-") as folder:
        place, parameters = own_images.SETS["elpv_two"](Path(folder))
        for side in given.sides:
            images, labels, together, _ = own_images.everything(place, parameters, side)
            rows = splits.stratified_sample(labels, given.sample, 0)
            images, labels, together = images[rows], labels[rows], together[rows]
            few = given.images * (224 // side) ** 2  # small images are faster
            measured = measure(side, images, given.peer_python, given.rounds, min(few, len(images)))
            result["sides"][str(side)] = {"images": len(rows), "engines": table(*measured, labels, together)}
            manifests.write_json(results, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
