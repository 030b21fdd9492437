"""Validation accuracy of the quick profile's three-layer CNN and dense network over several seeds.

    .venv/bin/python benchmarks/baseline_seeds.py --seeds 3

Each seed draws its own split, order and weights. Data must be cached. Works in a temporary folder and writes
benchmarks/results/baseline_seeds.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

from helpers import paths
from helpers.series import manifests, runs, stages

OSEMN = [sys.executable, "-m", "helpers.cli", "run", "--until", "04_baseline"]
MODELS = ("baseline_cnn", "dense")


def accuracies(seed: int) -> dict[str, dict[str, object]]:
    """Run the series up to the baselines with one seed everywhere; return what 04 logged about the networks."""
    needed = [stage.name for stage in stages.until("04_baseline")]
    settings = [part for stage in needed for part in ("--set", f"{stage}.seed={seed}")]
    subprocess.run([*OSEMN, *settings], check=True, stderr=subprocess.DEVNULL)
    folder = paths.stage_folder("fashion_mnist", "quick", "04_baseline")
    logged = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["models"]
    wanted = ("accuracy", "accuracy_ci95", "macro_f1", "fit_seconds", "n")
    return {name: {key: logged[name][key] for key in wanted} for name in MODELS}


def main() -> None:
    """Run every seed and write the spread."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    count = parser.parse_args().seeds
    with tempfile.TemporaryDirectory(prefix="osemn-seeds-") as folder:
        os.environ["OSEMN_OUTPUT_DIR"] = folder
        by_seed = {str(seed): accuracies(seed) for seed in range(count)}
    result = {"seeds": by_seed, "cpu": runs.cpu_name(), "cores": os.cpu_count(), "profile": "quick"}
    for name in MODELS:
        values = np.array([by_seed[seed][name]["accuracy"] for seed in by_seed])
        result[name] = {
            "mean": values.mean(),
            "lowest": values.min(),
            "sd": values.std(ddof=1) if count > 1 else None,
        }
        print(f"{name}: mean {values.mean():.4f}, lowest {values.min():.4f}, seeds {count}")
    target = paths.project_root() / "benchmarks" / "results" / "baseline_seeds.json"
    target.parent.mkdir(exist_ok=True)
    manifests.write_json(target, json.loads(json.dumps(result, default=float)))


if __name__ == "__main__":
    main()
