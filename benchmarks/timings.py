"""Times what a user waits for: the first quick run, the second one, and the commands that should respond at once.

    .venv/bin/python benchmarks/timings.py

Data must be cached. Works in a temporary folder and writes benchmarks/results/timings.json.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

from helpers import paths
from helpers.series import manifests, runs

OSEMN = [sys.executable, "-m", "helpers.cli"]
REPEATS = 5


def seconds(command: list[str]) -> float:
    """Run a command, which must succeed, and return its wall-clock seconds."""
    started = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - started


def main() -> None:
    """Time everything once, the short commands several times (the median counts)."""
    with tempfile.TemporaryDirectory(prefix="osemn-timings-") as folder:
        os.environ["OSEMN_OUTPUT_DIR"] = folder
        subprocess.run(
            [*OSEMN, "run", "--until", "01_acquire"], check=True
        )  # the data is in the cache from here on
        result = {"run_seconds": seconds([*OSEMN, "run", "--from", "01_acquire"])}
        for name, command in {
            "second_run_seconds": [*OSEMN, "run"],
            "status_seconds": [*OSEMN, "status"],
            "help_seconds": [*OSEMN, "--help"],
        }.items():
            result[name] = statistics.median(seconds(command) for _ in range(REPEATS))
    result = {name: round(value, 2) for name, value in result.items()}
    result.update(cpu=runs.cpu_name(), cores=os.cpu_count(), profile="quick", dataset="fashion_mnist")
    target = paths.project_root() / "benchmarks" / "results" / "timings.json"
    target.parent.mkdir(exist_ok=True)
    manifests.write_json(target, result)
    print(result)


if __name__ == "__main__":
    main()
