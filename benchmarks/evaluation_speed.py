"""Evaluates a candidate by an earlier commit and by this one, in turns: how long does each take?

    git worktree add ../before e7af8ea
    .venv/bin/python benchmarks/evaluation_speed.py ../before OUTPUT_BEFORE OUTPUT [--candidates baseline_cnn fine_tuned]

Each runs 07_evaluation again, kernel and imports included, in a series that its own commit has run in its own OSEMN_OUTPUT_DIR.
Writes benchmarks/results/evaluation_speed.json.
"""

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np

import report_speed
from helpers import paths
from helpers.series import manifests, records


def seconds(home: Path, output: Path, options: argparse.Namespace, candidate: str) -> float:
    """Return the seconds of one evaluation."""
    code = "import sys\nfrom helpers{} import execute\nexecute.execute(*sys.argv[1:], progress=False)"
    room = ".series" if (home / "src" / "helpers" / "series").is_dir() else ""
    started = perf_counter()
    report_speed.run(
        code.format(room), home, output, f"07_evaluation/{candidate}", options.dataset, options.profile
    )
    return perf_counter() - started


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("before", "output_before", "output"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--dataset", default="fashion_mnist")
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--candidates", nargs="+", default=["baseline_cnn", "fine_tuned"])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    here = paths.project_root()
    result = {
        "cpu": records.cpu_name(),
        "dataset": options.dataset,
        "profile": options.profile,
        "candidates": {},
    }
    for candidate in options.candidates:
        rounds = [
            [
                seconds(options.before, options.output_before, options, candidate),
                seconds(here, options.output, options, candidate),
            ]
            for _ in range(options.rounds)
        ]
        before, now = np.median(rounds, axis=0)
        measured = {"before": before, "now": now, "ratio": now / before, "seconds": rounds}
        print(candidate, measured, flush=True)
        result["candidates"][candidate] = measured
        manifests.write_json(here / "benchmarks" / "results" / "evaluation_speed.json", result)


if __name__ == "__main__":
    main()
