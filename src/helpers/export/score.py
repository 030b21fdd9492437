"""Score an exported model on the data set's raw files: a stand-alone program that needs nothing from this project.

    python score.py onnx model.onnx t10k-images-idx3-ubyte scored.bin

Images are an IDX file, `uint8 [N, H, W]` or `[N, H, W, C]`. The probabilities, float32 `[N, K]` in little-endian order, are
written to a file. The time of the first prediction (seconds since the epoch) and K are printed as JSON, then the latency. With
the word `wait` at the end, the program waits for a line of input between the two. Every format runs on one thread.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

CHUNK = 250  # images of 64 px per call, fewer larger ones: few enough for a small machine's memory
LATENCY_BATCHES = {1: 200, 64: 30}  # images per call: timed calls, enough for a steady median
# a photograph takes a hundred times as long as a small image, and its median is as steady after fewer calls
LATENCY_SECONDS, FEWEST_CALLS = 1.5, 3


def read_idx(path: Path) -> np.ndarray:
    """Return the images of an IDX file, `uint8 [N, H, W, C]`, mapped into memory."""
    with path.open("rb") as stream:
        start = stream.read(4)
        dimensions = start[3] if start[:3] == b"\0\0\x08" else 0
        shape = tuple(int.from_bytes(stream.read(4), "big") for _ in range(dimensions))
    if dimensions not in (3, 4):
        raise SystemExit(f"{path.name} is not an IDX file of images")
    images = np.memmap(path, np.uint8, "r", 4 + 4 * dimensions, shape)
    return images if dimensions == 4 else images[..., np.newaxis]


def _one_thread():
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return tf


def keras(path: str) -> Callable[[np.ndarray], np.ndarray]:
    """Load a Keras file in safe mode and return its predict function."""
    tf = _one_thread()
    import keras

    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    signature = [tf.TensorSpec((None, *model.input.shape[1:]), tf.float32)]
    forward = tf.function(lambda images: model(images, training=False), input_signature=signature)
    return lambda images: forward(images.astype(np.float32)).numpy()


def saved_model(path: str) -> Callable[[np.ndarray], np.ndarray]:
    """Load a SavedModel with plain TensorFlow and return its serving signature as a predict function."""
    tf = _one_thread()
    loaded = tf.saved_model.load(path)
    serve = loaded.signatures["serving_default"]
    name = next(iter(serve.structured_input_signature[1]))
    return lambda images: next(iter(serve(**{name: tf.cast(images, tf.float32)}).values())).numpy()


def onnx(path: str) -> Callable[[np.ndarray], np.ndarray]:
    """Load an ONNX file with ONNX Runtime and return its predict function."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(["probabilities"], {name: images.astype(np.float32)})[0]


def litert(path: str) -> Callable[[np.ndarray], np.ndarray]:
    """Load a LiteRT file and return its predict function; an integer model takes the raw bytes."""
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
        output = interpreter.get_tensor(given["index"])
        scale, zero = given["quantization"]
        return (output.astype(np.float32) - zero) * np.float32(scale) if scale else output.copy()

    return predict


LOADERS = {"keras": keras, "saved_model": saved_model, "onnx": onnx, "litert": litert}


def latency(predict: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> dict[str, float]:
    """Return the median time of a call in milliseconds, by number of images per call."""
    medians = {}
    for size, calls in LATENCY_BATCHES.items():
        batch = np.resize(images, (size, *images.shape[1:]))
        seconds, warm_up = [], calls // 10
        while len(seconds) < calls + warm_up:
            if sum(seconds) > LATENCY_SECONDS and len(seconds) >= FEWEST_CALLS:
                warm_up = 1  # slow calls are steady from the second one on
                break
            started = time.perf_counter()
            predict(batch)
            seconds.append(time.perf_counter() - started)
        medians[str(size)] = float(np.median(seconds[warm_up:])) * 1e3
    return medians


def main(kind: str, model: str, images_file: str, scored: str, wait: str = "") -> None:
    """Score all images of a file, write the probabilities and print the times."""
    path = Path(images_file)
    images, predict = read_idx(path), LOADERS[kind](model)
    predict(images[:1])
    first = time.time()
    step = max(1, min(CHUNK, CHUNK * 64**2 // (images.shape[1] * images.shape[2])))
    # mapped again for each chunk: pages that were read count as this process's memory
    chunks = [predict(read_idx(path)[start : start + step]) for start in range(0, len(images), step)]
    probabilities = np.concatenate(chunks).astype("<f4")
    probabilities.tofile(scored)
    foreign = any(name.partition(".")[0] == "helpers" for name in sys.modules)
    print(
        json.dumps({"first": first, "classes": probabilities.shape[1], "project_code": foreign}), flush=True
    )
    if not wait or sys.stdin.readline():  # nobody asks any more if the input has ended
        print(json.dumps({"latency_ms": latency(predict, images)}))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    main(*sys.argv[1:])
