"""Grad-CAM of a batch against one image at a time, side by side, for every candidate of the quick run.

    .venv/bin/python benchmarks/grad_cam.py

One image at a time calls the same compiled code with single images, so the ratio shows the effect of batching and not of
compiling. Real validation images of Fashion-MNIST. Writes benchmarks/results/grad_cam.json.
"""

import argparse
import os
from time import perf_counter

import helpers  # noqa: F401 - before TensorFlow, which reads once what it asks for

# isort: split
import keras
import numpy as np
import tensorflow as tf

import quick_run
from helpers import paths
from helpers.interpret import gradcam
from helpers.series import manifests, runs, seeds, stages

BATCH = 256


def seconds(cam: gradcam.GradCam, images: np.ndarray, classes: np.ndarray, batch_size: int) -> float:
    """Return the seconds that the maps of the images take."""
    started = perf_counter()
    cam(images, classes, batch_size=batch_size)
    return perf_counter() - started


def main() -> None:
    """Measure in turns, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    seeds.seed_tensorflow(0)
    images = quick_run.parts()[1].images[:BATCH]
    result = {"cpu": runs.cpu_name(), "cores": os.cpu_count(), "tensorflow": tf.__version__, "batch": BATCH}
    result["candidates"] = {}
    for candidate, stage in stages.CANDIDATES.items():
        path = paths.stage_folder("fashion_mnist", "quick", stage) / "models" / f"{candidate}.keras"
        cam = gradcam.GradCam(keras.models.load_model(path))
        classes = cam(images).classes
        timings = [[seconds(cam, images, classes, size) for size in (BATCH, 1)] for _ in range(rounds)]
        together, alone = np.median(timings, axis=0)
        largest = float(np.abs(cam(images, classes).maps - cam(images, classes, batch_size=1).maps).max())
        result["candidates"][candidate] = {
            "milliseconds_an_image": {
                "in_a_batch": 1e3 * together / BATCH,
                "one_at_a_time": 1e3 * alone / BATCH,
            },
            "ratio": float(np.median([one / batch for batch, one in timings])),
            "largest_difference": largest,
        }
        print(candidate, result["candidates"][candidate], flush=True)
    manifests.write_json(paths.project_root() / "benchmarks" / "results" / "grad_cam.json", result)


if __name__ == "__main__":
    main()
