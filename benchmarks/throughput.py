"""How near training comes to this machine's convolutions, and whether it ever waits for its input.

    .venv/bin/python benchmarks/throughput.py

In one process, in turns, in float32 and in bfloat16: a large convolution, forward and both gradients (the ceiling);
training steps of the residual CNN, as the recipe takes them, on one batch that stays in memory; the same steps fed by the
input pipeline with augmentation; the pipeline alone. Real Fashion-MNIST from the quick run of 01 and 03. Writes
benchmarks/results/throughput.json.
"""

import argparse
import json
import os
from collections.abc import Callable
from time import perf_counter

import helpers  # noqa: F401 - before TensorFlow, which reads once what it asks for

# isort: split
import keras
import numpy as np
import tensorflow as tf

import quick_run
from helpers import (
    augment,
    data,
    determinism,
    fast_training,
    manifests,
    models,
    paths,
    recipe,
    runs,
    training,
)

BATCH, STEPS = 128, 20
PRECISIONS = {"float32": False, "bfloat16": True}


def ceiling() -> Callable[[], None]:
    """Return a large convolution, forward and both gradients; every result is used, so that none is left out."""
    images, kernel = tf.random.normal((BATCH, 28, 28, 64)), tf.random.normal((3, 3, 64, 128))
    upstream = tf.random.normal((BATCH, 28, 28, 128))

    @tf.function
    def step(images: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            found = tf.nn.conv2d(images, kernel, 1, "SAME")
        one, other = tape.gradient(found, [images, kernel], output_gradients=upstream)
        return tf.stack([tf.reduce_sum(found), tf.reduce_sum(one), tf.reduce_sum(other)])

    return lambda: step(images, kernel, upstream).numpy()


CEILING_OPERATIONS = 3 * 2.0 * BATCH * 28 * 28 * 9 * 64 * 128


def steps_of(trainer: keras.Model, rows: tf.data.Dataset) -> Callable[[], None]:
    """Return training steps on the batches of a pipeline."""
    endless = iter(rows)

    def run() -> None:
        for _ in range(STEPS):
            trainer.train_on_batch(*next(endless))

    return run


def medians(calls: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each call, made in turns; the first round, which compiles, is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            started = perf_counter()
            call()
            if number:
                seconds[name].append(perf_counter() - started)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def measure(
    train: data.Dataset, policy: augment.AugmentationPolicy, width: int, optimizer: str, rounds: int
) -> dict[str, object]:
    """Measure one width with one optimizer in the precision that is on."""
    statistics = quick_run.pixel_statistics(train)
    model = models.residual_cnn(train.image_shape, train.num_classes, **statistics, width=width)
    trainer = fast_training.trainer_of(model)
    settings = recipe.Recipe(optimizer=optimizer)
    trainer.compile(recipe.optimizer_for(trainer, settings, 10_000), keras.losses.CategoricalCrossentropy())
    rows, _ = training.batches(train, BATCH, seed=0, policy=policy)
    rows = rows.map(training.one_hot(train.num_classes))
    alone = iter(rows)
    seconds = medians(
        {
            "ceiling": ceiling(),
            "fixed": steps_of(trainer, rows.take(1).cache().repeat()),
            "fed": steps_of(trainer, rows),
            "pipeline": lambda: [next(alone) for _ in range(STEPS)],
        },
        rounds,
    )
    cost = 6.0 * models.multiply_accumulates(model) * BATCH * STEPS
    rates = {name: cost / seconds[name] / 1e9 for name in ("fixed", "fed")}
    rates["ceiling"] = CEILING_OPERATIONS / seconds["ceiling"] / 1e9
    return {
        "width": width,
        "optimizer": optimizer,
        "gflops": rates,
        "images_per_second": BATCH * STEPS / seconds["fed"],
        "share_of_ceiling": rates["fed"] / rates["ceiling"],
        "fed_against_fixed": rates["fed"] / rates["fixed"],
        "pipeline_alone_against_fed": seconds["fed"] / seconds["pipeline"],
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64])
    given = parser.parse_args()
    determinism.seed_tensorflow(0)
    train, _, policy = quick_run.parts()
    measured = []
    for precision, on in PRECISIONS.items():
        for width in given.widths:
            for optimizer in ("muon", "adamw"):
                with fast_training.bfloat16(on):
                    found = measure(train, policy, width, optimizer, given.rounds)
                measured.append({"precision": precision, **found})
                print(json.dumps(measured[-1]), flush=True)
    result = {
        "cpu": runs.cpu_name(),
        "cores": os.cpu_count(),
        "tensorflow": tf.__version__,
        "bfloat16_is_native": fast_training.bfloat16_is_native(),
        "measured": measured,
    }
    manifests.write_json(paths.project_root() / "benchmarks" / "results" / "throughput.json", result)


if __name__ == "__main__":
    main()
