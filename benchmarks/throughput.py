"""How near training comes to this machine's convolutions, and whether it ever waits for its input.

    .venv/bin/python benchmarks/throughput.py

In one process, in turns: a large convolution, forward and backward (the ceiling); training steps of the residual CNN on
one batch that stays in memory; the same steps fed by the input pipeline with augmentation. Real Fashion-MNIST from the
quick run of 01 and 03. Writes benchmarks/results/throughput.json.
"""

import argparse
import json
import os
from collections.abc import Callable
from time import perf_counter

import keras
import numpy as np
import tensorflow as tf

from feature_cache import quick_split
from helpers import determinism, manifests, models, paths, recipe, runs, training

BATCH = 128


def ceiling() -> tuple[Callable[[], None], float]:
    """Return a large convolution, forward and backward, and its floating-point operations."""
    images = tf.random.normal((BATCH, 28, 28, 64))
    kernel = tf.random.normal((3, 3, 64, 128))

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            loss = tf.reduce_sum(tf.nn.conv2d(images, kernel, 1, "SAME"))
        one, other = tape.gradient(loss, [images, kernel])
        return tf.reduce_sum(one) + tf.reduce_sum(other)

    return lambda: step().numpy(), 6.0 * BATCH * 28 * 28 * 9 * 64 * 128


def steps_of(model: keras.Model, rows: tf.data.Dataset, count: int) -> Callable[[], None]:
    """Return `count` training steps on batches of a pipeline."""
    iterator = iter(rows)

    def run() -> None:
        for _ in range(count):
            model.train_on_batch(*next(iterator))

    return run


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64])
    given = parser.parse_args()
    determinism.seed_tensorflow(0)
    train, _, policy = quick_split()
    convolution, operations = ceiling()
    result = {"cpu": runs.cpu_name(), "cores": os.cpu_count(), "tensorflow": tf.__version__, "widths": {}}
    for width in given.widths:
        statistics = {"mean": [train.images.mean()], "standard_deviation": [train.images.std()]}
        model = models.residual_cnn(train.image_shape, train.num_classes, **statistics, width=width)
        model.compile(
            recipe.optimizer_for(model, recipe.Recipe(), 10_000), keras.losses.CategoricalCrossentropy()
        )
        rows, _ = training.batches(train, BATCH, seed=0, policy=policy)
        rows = rows.map(training.one_hot(train.num_classes))
        fixed = rows.take(1).cache().repeat()
        count = 20
        runs_of = {
            "ceiling": convolution,
            "fixed": steps_of(model, fixed, count),
            "fed": steps_of(model, rows, count),
        }
        seconds: dict[str, list[float]] = {name: [] for name in runs_of}
        for number in range(given.rounds + 1):
            for name, call in runs_of.items():
                started = perf_counter()
                call()
                if number:  # the first round compiles
                    seconds[name].append(perf_counter() - started)
        cost = 6.0 * models.multiply_accumulates(model) * BATCH * count
        rate = {
            name: (operations if name == "ceiling" else cost) / np.array(values) / 1e9
            for name, values in seconds.items()
        }
        result["widths"][width] = {
            "gflops": {name: float(np.median(values)) for name, values in rate.items()},
            "images_per_second": float(np.median(BATCH * count / np.array(seconds["fed"]))),
            "share_of_ceiling": float(np.median(rate["fed"] / rate["ceiling"])),
            "fed_against_fixed": float(np.median(rate["fed"] / rate["fixed"])),
        }
        print(width, json.dumps(result["widths"][width]), flush=True)
    manifests.write_json(paths.project_root() / "benchmarks" / "results" / "throughput.json", result)


if __name__ == "__main__":
    main()
