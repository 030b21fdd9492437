"""The cost of an epoch as the data grow: seconds and peak memory for 6,000, 60,000 and 600,000 images.

    .venv/bin/python benchmarks/growth.py

Real Fashion-MNIST; the largest set repeats the 60,000 images. Each size trains one epoch of the recipe in its own process,
with augmentation, on at most `--steps` steps (memory does not depend on them; seconds are scaled up). Writes
benchmarks/results/growth.json.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from time import perf_counter

SIZES = (6_000, 60_000, 600_000)


def one(size: int, steps: int) -> dict[str, float]:
    """Train on `size` images in this process and return its cost."""
    import numpy as np

    import quick_run
    from helpers.model import architectures, cpu_speed, recipe, training
    from helpers.series import seeds

    seeds.seed_tensorflow(0)
    train, _, policy = quick_run.parts()
    whole = train.subset(np.arange(len(train)))
    rows = np.resize(np.arange(len(whole)), size)
    train = type(whole)(whole.images[rows], whole.labels[rows], whole.class_names)
    del whole
    statistics = {"mean": [70.0], "standard_deviation": [90.0]}
    model = architectures.residual_cnn(train.image_shape, train.num_classes, **statistics, width=16)
    trainer = cpu_speed.trainer_of(model)
    trainer.compile(recipe.optimizer_for(recipe.Recipe(), 1_000), "categorical_crossentropy")
    batches, in_epoch = training.batches(train, 128, seed=0, policy=policy)
    batches = batches.map(training.one_hot(train.num_classes))
    count = min(steps, in_epoch)
    with cpu_speed.bfloat16(cpu_speed.bfloat16_is_native()):
        trainer.fit(batches, steps_per_epoch=5, verbose=0)
        started = perf_counter()
        trainer.fit(batches, steps_per_epoch=count, verbose=0)
    return {
        "images": size,
        "data_mb": train.images.nbytes / 2**20,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "seconds_an_epoch": (perf_counter() - started) * in_epoch / count,
        "steps_timed": count,
    }


def main() -> None:
    """Measure each size in its own process, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=500, help="steps to time, at most")
    parser.add_argument("--one", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(given.one, given.steps)))
        return
    from helpers import paths
    from helpers.series import manifests, runs

    sizes = []
    for size in SIZES:
        command = [sys.executable, __file__, "--one", str(size), "--steps", str(given.steps)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        sizes.append(json.loads(done.stdout.splitlines()[-1]))
        print(json.dumps(sizes[-1]), flush=True)
    result = {"cpu": runs.cpu_name(), "cores": os.cpu_count(), "sizes": sizes}
    manifests.write_json(paths.project_root() / "benchmarks" / "results" / "growth.json", result)


if __name__ == "__main__":
    main()
