"""How close training comes to this machine's speed of convolutions, and whether it ever waits for its input.

    .venv/bin/python benchmarks/throughput.py

In one process, in turns, in float32 and in bfloat16:
- a large convolution, forward and both gradients: the ceiling;
- the network's own convolutions alone, likewise: the part of the ceiling that its widths allow;
- training steps of the residual CNN by the recipe, on one batch that stays in memory;
- the same steps fed by the input pipeline with augmentation;
- the pipeline alone.

Real Fashion-MNIST from the quick run of 01 and 03. Writes benchmarks/results/throughput.json.
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
from helpers import paths
from helpers.model import architectures, cpu_speed, recipe, training
from helpers.obtain import data
from helpers.scrub import augment
from helpers.series import manifests, runs, seeds

BATCH, STEPS = 128, 20
PRECISIONS = {"float32": False, "bfloat16": True}


LARGE = (28, 64, 128)
"""Side, channels in and channels out of the convolution that is the ceiling."""


def convolutions(shapes: list[tuple[int, int, int]]) -> Callable[[], None]:
    """Return 3×3 convolutions, forward and both gradients; a part of every result is used, so that none is optimised away.

    Args:
        shapes: side, channels in and channels out of each.
    """
    given = [
        [tf.random.normal(shape) for shape in ((BATCH, side, side, i), (3, 3, i, o), (BATCH, side, side, o))]
        for side, i, o in shapes
    ]

    @tf.function
    def step(given: list[list[tf.Tensor]]) -> tf.Tensor:
        sums = []
        for images, kernel, upstream in given:
            with tf.GradientTape() as tape:
                tape.watch([images, kernel])
                output = tf.nn.conv2d(images, kernel, 1, "SAME")
            gradients = tape.gradient(output, [images, kernel], output_gradients=upstream)
            sums += [tf.reduce_sum(one[0]) for one in (output, *gradients)]
        return tf.stack(sums)

    return lambda: step(given).numpy()


def operations(shapes: list[tuple[int, int, int]]) -> float:
    """Return the floating-point operations of `convolutions`."""
    return sum(3 * 2.0 * BATCH * side * side * 9 * i * o for side, i, o in shapes)


def shapes_of(model: keras.Model) -> list[tuple[int, int, int]]:
    """Return side, channels in and channels out of a network's convolutions."""
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    return [(layer.output.shape[1], *layer.kernel.shape[2:]) for layer in layers]


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
    """Measure one width with one optimizer in the current precision."""
    statistics = quick_run.pixel_statistics(train)
    model = architectures.residual_cnn(train.image_shape, train.num_classes, **statistics, width=width)
    trainer = cpu_speed.trainer_of(model)
    settings = recipe.Recipe(optimizer=optimizer)
    trainer.compile(recipe.optimizer_for(settings, 10_000), keras.losses.CategoricalCrossentropy())
    rows, _ = training.batches(train, BATCH, seed=0, policy=policy)
    rows = rows.map(training.one_hot(train.num_classes))
    alone = iter(rows)
    seconds = medians(
        {
            "ceiling": convolutions([LARGE]),
            "convolutions": convolutions(shapes_of(model)),
            "fixed": steps_of(trainer, rows.take(1).cache().repeat()),
            "fed": steps_of(trainer, rows),
            "pipeline": lambda: [next(alone) for _ in range(STEPS)],
        },
        rounds,
    )
    cost = 6.0 * architectures.multiply_accumulates(model) * BATCH * STEPS
    rates = {name: cost / seconds[name] / 1e9 for name in ("fixed", "fed")}
    rates["ceiling"] = operations([LARGE]) / seconds["ceiling"] / 1e9
    rates["convolutions"] = operations(shapes_of(model)) / seconds["convolutions"] / 1e9
    return {
        "width": width,
        "optimizer": optimizer,
        "gflops": rates,
        "images_per_second": BATCH * STEPS / seconds["fed"],
        "share_of_ceiling": rates["fed"] / rates["ceiling"],
        "convolutions_alone_against_ceiling": rates["convolutions"] / rates["ceiling"],
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
    seeds.seed_tensorflow(0)
    train, _, policy = quick_run.parts()
    measured = []
    for precision, on in PRECISIONS.items():
        for width in given.widths:
            for optimizer in ("muon", "adamw"):
                with cpu_speed.bfloat16(on):
                    rates = measure(train, policy, width, optimizer, given.rounds)
                measured.append({"precision": precision, **rates})
                print(json.dumps(measured[-1]), flush=True)
    result = {
        "cpu": runs.cpu_name(),
        "cores": os.cpu_count(),
        "tensorflow": tf.__version__,
        "bfloat16_is_native": cpu_speed.bfloat16_is_native(),
        "measured": measured,
    }
    manifests.write_json(paths.project_root() / "benchmarks" / "results" / "throughput.json", result)


if __name__ == "__main__":
    main()
