"""Images per second of training steps: the residual network here and in plain PyTorch, in turns, on one batch in memory.

    .venv/bin/python benchmarks/training_step.py --peer /path/to/peer/bin/python [--widths 16 32] [--threads 1 2] [--rounds 7]

Each runs in a process of its own, which waits while the other one works. Both use AdamW and batches of 128. PyTorch runs with
and without `torch.compile`, both in float32 and in bfloat16 (autocast); the ratio is against its fastest in the same
precision. Adds to benchmarks/results/training_step.json.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from helpers import paths
from helpers.series import disk, manifests, records

BATCH, STEPS = 128, 20
PEER = Path(__file__).with_name("peers") / "residual_pytorch.py"


def work(width: int, precision: str) -> None:
    """Answer each line of the input with the seconds and processor seconds of some steps."""
    import helpers  # noqa: F401 - before TensorFlow, which reads once what it asks for

    # isort: split
    import keras

    from helpers.model import architectures, cpu_speed, recipe
    from helpers.series import seeds

    seeds.seed_tensorflow(0)
    model = architectures.residual_cnn((28, 28, 1), 10, mean=[73.0], standard_deviation=[90.0], width=width)
    trainer = cpu_speed.trainer_of(model)
    optimizer = recipe.optimizer_for(recipe.Recipe(optimizer="adamw"), 10_000)
    trainer.compile(optimizer, keras.losses.CategoricalCrossentropy())
    generator = np.random.default_rng(0)
    images = keras.ops.convert_to_tensor(255 * generator.random((BATCH, 28, 28, 1), np.float32))
    labels = keras.ops.one_hot(generator.integers(10, size=BATCH), 10)
    with cpu_speed.bfloat16(precision == "bfloat16"):
        for _ in sys.stdin:
            started, used = perf_counter(), process_time()
            for _ in range(STEPS):
                trainer.train_on_batch(images, labels)
            print(json.dumps([perf_counter() - started, process_time() - used]), flush=True)


def compare(given: argparse.Namespace, width: int, threads: int, precision: str) -> dict[str, object]:
    """Return the median images per second of each, and the ratio of ours to PyTorch's fastest."""
    same = ["--width", str(width), "--precision", precision]
    peer = [given.peer, str(PEER), *same, "--threads", str(threads)]
    commands = {"here": [sys.executable, __file__, *same], "pytorch": peer, "compiled": [*peer, "--compile"]}
    environment = os.environ | {"TF_NUM_INTRAOP_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    workers = {
        name: subprocess.Popen(command, env=environment, text=True, **pipes)
        for name, command in commands.items()
    }
    times: dict[str, list[list[float]]] = {name: [] for name in workers}
    for number in range(given.rounds + 2):
        for name, worker in workers.items():
            worker.stdin.write("\n")
            worker.stdin.flush()
            line = worker.stdout.readline()
            if not line:
                sys.exit(f"This failed; run it alone to see why: echo | {' '.join(map(str, commands[name]))}")
            answer = json.loads(line)
            if number > 1:  # the first round compiles, and the second warms up
                times[name].append(answer)
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    medians = {name: np.median(values, axis=0) for name, values in times.items()}
    rates = {name: BATCH * STEPS / seconds for name, (seconds, _) in medians.items()}
    fastest = max(rates["pytorch"], rates["compiled"])
    return {
        "width": width,
        "threads": threads,
        "precision": precision,
        "images_per_second": {name: round(rate) for name, rate in rates.items()},
        "processor_ms_per_step": {name: round(1e3 * used / STEPS, 2) for name, (_, used) in medians.items()},
        "ratio": round(rates["here"] / fastest, 2),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peer", help="the Python of the peers' environment")
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--width", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--precision", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.width:
        work(given.width, given.precision)
        return
    measured = []
    for precision in given.precisions:
        for width in given.widths:
            for threads in given.threads:
                measured.append(compare(given, width, threads, precision))
                print(json.dumps(measured[-1]), flush=True)
    target = paths.project_root() / "benchmarks" / "results" / "training_step.json"
    rows = [*disk.read_json(target).get("measured", []), *measured]
    kept = {
        (row["precision"], row["width"], row["threads"]): row for row in rows
    }  # later calls replace earlier ones
    result = {"cpu": records.cpu_name(), "cores": records.usable_cores(), "measured": list(kept.values())}
    manifests.write_json(target, result)


if __name__ == "__main__":
    main()
