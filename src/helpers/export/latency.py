"""Measure the time of a prediction on this machine, for several models side by side, as a busy service would run them."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

import keras
import numpy as np

from helpers.export import formats, versions
from helpers.series import quiet

BLOCK = 20  # calls of a model in a row: a single call would find the caches full of the other models
WARM_UP = 5  # calls before each block that are not timed, so that the caches hold this model


def of_one_image(models: Mapping[str, keras.Model], image: np.ndarray, calls: int) -> dict[str, float]:
    """Return the median time of a prediction with ONNX Runtime in milliseconds, by model name.

    It runs on one thread, as in a busy service. The models take turns, `BLOCK` calls each, so that other load on the
    machine affects all of them.

    Args:
        models: from raw pixels to probabilities.
        image: `uint8 [H, W, C]`; its pixels are repeated where a model takes larger images.
        calls: number of timed calls per model.

    Example:
        `latency.of_one_image({"tuned": model}, validation.images[0], calls=200)`
    """
    seconds: dict[str, list[float]] = {name: [] for name in models}
    with tempfile.TemporaryDirectory() as folder:
        sessions, batches = {}, {}
        for name, model in models.items():
            path = Path(folder) / f"{name}.onnx"
            with quiet.discarded_output():
                formats.write_onnx(model, path)
            sessions[name] = versions.session(path)
            batches[name] = np.resize(image, (1, *model.inputs[0].shape[1:])).astype(np.float32)
        for first in range(0, calls, BLOCK):
            for name, session in sessions.items():
                for turn in range(-WARM_UP, min(BLOCK, calls - first)):
                    started = perf_counter()
                    session.run(["probabilities"], {"image": batches[name]})
                    if turn >= 0:
                        seconds[name].append(perf_counter() - started)
    return {name: float(np.median(values)) * 1e3 for name, values in seconds.items()}
