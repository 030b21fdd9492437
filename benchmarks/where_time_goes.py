"""Measures where the time of a finished series went: training and scoring models, or the rest; and how busy the cores were.

    .venv/bin/python benchmarks/where_time_goes.py [--dataset fashion_mnist] [--profile quick]

A cell counts as training or scoring if it calls one of the functions below; the seconds are those that papermill stored
with each cell of the executed notebooks. The rest is everything else: starting, loading libraries, plots, files. `start` is the
time before and after a stage's run: its kernel, the libraries, the manifest. `busy` is its processor time divided by its time
on all cores; stages that run beside each other share them. Run `osemn run` first. Writes benchmarks/results/where_time_goes.json.
"""

import argparse
import ast
import sys
from datetime import datetime

import nbformat

from helpers import paths
from helpers.series import manifests, records, stages

# Calls that run a model, by notebook.
MODEL_CALLS = {
    "00_warm_up": {"train", "fit_level"},
    "01_acquire": set(),
    "02_explore": {"similarity.confusion_rates", "statistics.embed"},
    "03_preprocess": set(),
    "04_baseline": {"train_network", "fit_rows", "baselines.measure_network"},
    "05_transfer_learning": {
        "head_results.extract",
        "head_choice.choose",
        "extracted.fit",
        "head_results.mirrored",
        "baselines.measure_network",
    },
    "06_fine_tuning": {"fine_tuning.fine_tune", "baselines.measure_network", "training.predict"},
    "07_evaluation": {"candidates.scorer", "unknown_choice.learn"},
    "08_grad_cam": {
        "gradcam_evidence.explain",
        "gradcam_evidence.perturb",
        "gradcam_evidence.randomise",
    },
    "09_tuning": {"tuning.run", "search.fit_seeds", "baselines.measure_network"},
    "10_export": {"latency.of_one_image", "parity.compare_formats"},
    "11_serving": {
        "load_test.send",
        "load_test.load",
        "load_test.measured",
        "load_test.parts_of_a_request",
        "drift_power.false_alarms",
        "drift_power.measure",
    },
    "12_report": set(),
}


def calls(source: str) -> set[str]:
    """Return the names that a piece of code calls, as written."""
    return {ast.unparse(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)}


def model_seconds(notebook: nbformat.NotebookNode, names: set[str]) -> float:
    """Return the seconds of an executed notebook's cells that call one of the names.

    Raises:
        ValueError: no cell calls one of them.
    """
    seen, seconds = set(), 0.0
    for cell in notebook.cells:
        if cell.cell_type == "code" and (called := calls(cell.source) & names):
            seen |= called
            seconds += cell.metadata.papermill.duration
    if seen != names:
        raise ValueError(f"No cell calls {', '.join(sorted(names - seen))}: update MODEL_CALLS.")
    return seconds


def main() -> None:
    """Add up, print one line per stage, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dataset", default="fashion_mnist")
    parser.add_argument("--profile", default="quick")
    given = parser.parse_args()
    rows, cores, ends = {}, records.usable_cores(), []
    for stage in stages.STAGES:
        folder = paths.stage_folder(given.dataset, given.profile, stage.name)
        manifest = manifests.read(folder)
        if manifest is None:
            sys.exit(f"{stage.name} has not been run: run 'osemn run' first.")
        notebook = nbformat.read(folder / manifests.NOTEBOOK, as_version=4)
        seconds = model_seconds(notebook, MODEL_CALLS[stages.notebook_of(stage.name)])
        row = {"models": seconds, "all": manifest["notebook_seconds"]}
        row |= {"start": row["all"] - manifest["seconds"], "processor": manifest["processor_seconds"]}
        rows[stage.name] = {name: round(value, 1) for name, value in row.items()}
        end = datetime.fromisoformat(manifest["finished"]).timestamp()
        ends += [end - row["all"], end]
        shown = f"{row['models']:7.1f} of {row['all']:6.1f} s; start {row['start']:4.1f} s"
        print(f"{stage.name:28} {shown}; busy {row['processor'] / row['all'] / cores:.2f}")
    models, everything, processor = (
        sum(row[name] for row in rows.values()) for name in ("models", "all", "processor")
    )
    rest, elapsed = 1 - models / everything, max(ends) - min(ends)
    print(f"{'together':28} {models:7.1f} of {everything:6.1f} s; not training or scoring: {rest:.0%}")
    print(f"from start to end {elapsed:.0f} s; busy {processor / elapsed / cores:.2f}")
    result = {
        "dataset": given.dataset,
        "profile": given.profile,
        "cpu": records.cpu_name(),
        "cores": cores,
        "seconds": rows,
        "elapsed": round(elapsed),
        "busy": round(processor / elapsed / cores, 3),
        "share_of_the_rest": round(rest, 3),
    }
    target = paths.project_root() / "benchmarks" / "results" / "where_time_goes.json"
    manifests.write_json(target, result)


if __name__ == "__main__":
    main()
