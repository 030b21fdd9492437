"""Times TensorFlow with oneDNN, which `helpers` turns on, and without it, side by side.

    .venv/bin/python benchmarks/onednn.py

By default, TensorFlow turns oneDNN on only if the processor has AVX-512. Measured in fresh processes, in turns: training steps
of 04's CNN and of 09's residual network, and frozen features at 64 px, on random pixels. Writes
benchmarks/results/onednn.json.
"""

import json
import os
import statistics
import subprocess
import sys
from time import perf_counter

VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
ROUNDS, STEPS = 3, 30


def milliseconds() -> dict[str, float]:
    """Return the median milliseconds of one step of each kind of work, in this process."""
    from helpers.series import seeds

    seeds.seed_tensorflow(0)
    import keras
    import numpy as np
    import tensorflow as tf

    import quick_run
    from helpers.model import architectures
    from helpers.model.backbones import features

    pixels = {"mean": [72.0], "standard_deviation": [90.0]}
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (128, 28, 28, 1)).astype(np.float32))
    labels = tf.zeros((128,), tf.int64)

    def training(network: keras.Model) -> tf.types.experimental.PolymorphicFunction:
        network.compile("adam", keras.losses.SparseCategoricalCrossentropy())
        network.optimizer.build(network.trainable_variables)
        return tf.function(lambda: network.train_step((images, labels)))

    base = features.extractor("efficientnet_lite0", (28, 28, 1), 64, "bilinear").base
    work = {
        "training, three-layer CNN": training(
            quick_run.baselines()["baseline_cnn"]((28, 28, 1), 10, **pixels)
        ),
        "training, residual CNN": training(architectures.residual_cnn((28, 28, 1), 10, width=16, **pixels)),
        "frozen features, 64 px": tf.function(lambda: base(images, training=False)),
    }
    medians = {}
    for name, step in work.items():
        step()
        took = []
        for _ in range(STEPS):
            started = perf_counter()
            step()
            took.append(1_000 * (perf_counter() - started))
        medians[name] = statistics.median(took)
    return medians


def measured(value: str) -> dict[str, float]:
    """Return `milliseconds()` of a fresh process in which the variable has this value."""
    command = [sys.executable, __file__, "--here"]
    done = subprocess.run(
        command, env={**os.environ, VARIABLE: value}, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure in turns, and print and write the ratios."""
    from helpers import paths
    from helpers.series import manifests, runs

    rounds = [(measured("0"), measured("1")) for _ in range(ROUNDS)]
    result = {
        "cpu": runs.cpu_name(),
        "cores": os.cpu_count(),
        "rounds": ROUNDS,
        "milliseconds": {
            name: {
                "without": round(statistics.median(without[name] for without, _ in rounds), 2),
                "with": round(statistics.median(with_it[name] for _, with_it in rounds), 2),
                "ratios": [round(without[name] / with_it[name], 2) for without, with_it in rounds],
            }
            for name in rounds[0][0]
        },
    }
    manifests.write_json(paths.project_root() / "benchmarks" / "results" / "onednn.json", result)
    for name, row in result["milliseconds"].items():
        print(f"{name}: {row['without']:.1f} ms without, {row['with']:.1f} ms with; ratios {row['ratios']}")


if __name__ == "__main__":
    if "--here" in sys.argv:
        print(json.dumps(milliseconds()))
    else:
        main()
