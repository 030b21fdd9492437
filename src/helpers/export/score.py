"""Scores an exported model from the data set's raw files: a program of its own that needs nothing of this project.

    python score.py onnx model.onnx t10k-images-idx3-ubyte scored.npz

Images are an IDX file, `uint8 [N, H, W]` or `[N, H, W, C]`. The probabilities, `float32 [N, K]`, go to an `.npz`; when the
first of them was there (seconds since the epoch) and the latency are printed as JSON. One thread computes, whatever the
format.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

CHUNK = 250
LATENCY_BATCHES = {1: 200, 64: 30}  # images in a call: calls


def read_idx(path: Path) -> np.ndarray:
    """Return the images of an IDX file, `uint8 [N, H, W, C]`."""
    raw = path.read_bytes()
    dimensions = raw[3]
    if raw[:3] != b"\0\0\x08" or dimensions not in (3, 4):
        raise SystemExit(f"{path.name} is no IDX file of images")
    shape = [int.from_bytes(raw[start : start + 4], "big") for start in range(4, 4 + 4 * dimensions, 4)]
    images = np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    return images if dimensions == 4 else images[..., np.newaxis]


def _one_thread():
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return tf


def keras(path: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return what predicts by Keras, loaded in safe mode."""
    tf = _one_thread()
    import keras

    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    signature = [tf.TensorSpec((None, *model.input.shape[1:]), tf.float32)]
    forward = tf.function(lambda images: model(images, training=False), input_signature=signature)
    return lambda images: forward(images.astype(np.float32)).numpy()


def saved_model(path: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return what predicts by the SavedModel's serving signature, with plain TensorFlow."""
    tf = _one_thread()
    loaded = tf.saved_model.load(path)
    serve = loaded.signatures["serving_default"]
    name = next(iter(serve.structured_input_signature[1]))
    return lambda images: next(iter(serve(**{name: tf.cast(images, tf.float32)}).values())).numpy()


def onnx(path: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return what predicts by ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(["probabilities"], {name: images.astype(np.float32)})[0]


def litert(path: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return what predicts by LiteRT; an integer model takes the raw bytes as they are."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=1)
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    prepared = 0

    def predict(images: np.ndarray) -> np.ndarray:
        nonlocal prepared
        if prepared != len(images):
            interpreter.resize_tensor_input(taken["index"], images.shape)
            interpreter.allocate_tensors()
            prepared = len(images)
        interpreter.set_tensor(taken["index"], images.astype(taken["dtype"]))
        interpreter.invoke()
        found = interpreter.get_tensor(given["index"])
        scale, zero = given["quantization"]
        return (found.astype(np.float32) - zero) * np.float32(scale) if scale else found.copy()

    return predict


LOADERS = {"keras": keras, "saved_model": saved_model, "onnx": onnx, "litert": litert}


def latency(predict: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> dict[str, float]:
    """Return the median time of a call in milliseconds, by number of images in it."""
    found = {}
    for size, calls in LATENCY_BATCHES.items():
        batch = np.resize(images, (size, *images.shape[1:]))
        seconds = []
        for _ in range(calls + calls // 10):
            started = time.perf_counter()
            predict(batch)
            seconds.append(time.perf_counter() - started)
        found[str(size)] = float(np.median(seconds[calls // 10 :])) * 1e3
    return found


def main(kind: str, model: str, images_file: str, scored: str) -> None:
    """Score all images of a file and write what was found."""
    images = read_idx(Path(images_file))
    predict = LOADERS[kind](model)
    predict(images[:1])
    first = time.time()
    chunks = [predict(images[start : start + CHUNK]) for start in range(0, len(images), CHUNK)]
    np.savez(scored, probabilities=np.concatenate(chunks).astype(np.float32))
    project = any(name.partition(".")[0] == "helpers" for name in sys.modules)
    print(json.dumps({"first": first, "latency_ms": latency(predict, images), "project_code": project}))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    main(*sys.argv[1:])
