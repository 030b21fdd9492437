"""Renders the report of a finished run by an earlier commit and by this one, in turns: how long does each take?

    git worktree add ../before e7af8ea
    .venv/bin/python benchmarks/report_speed.py ../before OUTPUT_BEFORE OUTPUT [--dataset digits] [--profile smoke]

Each renders a run of its own format, finished by `osemn run` in its own OSEMN_OUTPUT_DIR, in a process of its own, with all
imports. Processor seconds are compared: other programs hardly change them. Writes benchmarks/results/report_speed.json.
"""

import argparse
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

from helpers import paths
from helpers.series import manifests, runs

RENDER = "import sys\nfrom helpers.report import render\ngetattr(render, 'render', render)(*sys.argv[1:])"
WITHOUT = "from helpers.report.html import explorer\nexplorer.sources = lambda series: []\n" + RENDER


def run(code: str, home: Path, output: Path, *arguments: str) -> None:
    """Run code of a commit, checked out in `home`, on the runs below `output`, in a process of its own."""
    places = {"OSEMN_HOME": home, "OSEMN_OUTPUT_DIR": output, "PYTHONPATH": home / "src"}
    subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {name: str(place.resolve()) for name, place in places.items()},
        cwd=home,
        check=True,
    )


def cpu_seconds(code: str, home: Path, output: Path, dataset: str, profile: str) -> float:
    """Return the processor seconds of one rendering."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(code, home, output, dataset, profile)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("before", "output_before", "output"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--profile", default="smoke")
    parser.add_argument("--renderings", type=int, default=5)
    options = parser.parse_args()
    here = paths.project_root()
    kinds = {
        "before": (RENDER, options.before, options.output_before),
        "without_explorer": (WITHOUT, here, options.output),
        "with_explorer": (RENDER, here, options.output),
    }
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(options.renderings):
        for kind, (code, home, output) in kinds.items():
            seconds[kind].append(cpu_seconds(code, home, output, options.dataset, options.profile))
    medians = {kind: float(np.median(values)) for kind, values in seconds.items()}
    result = {
        "cpu": runs.cpu_name(),
        "dataset": options.dataset,
        "profile": options.profile,
        "cpu_seconds": seconds,
        "of_before": {kind: medians[kind] / medians["before"] for kind in list(kinds)[1:]},
    }
    print(medians, result["of_before"])
    manifests.write_json(here / "benchmarks" / "results" / "report_speed.json", result)


if __name__ == "__main__":
    main()
