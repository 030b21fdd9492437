"""Compares this project on photographs with a peer in plain PyTorch, and with the series as it was before.

    .venv/bin/python benchmarks/photographs.py elpv_two --peer-python PATH [--seeds 0 1 2 3 4] [--champion]

The sets are those of own_images.py. For each seed of the split, in turns:

| runner | what it does |
|---|---|
| ours | `osemn run --until 06_fine_tuning`, timed, with empty caches; then 07 scores the models of 05 and 06 |
| peer | peers/efficientnet_pytorch.py, timed, on the same split at 224 px, prepared by this project |
| before | as ours, at the commit `BEFORE`, in a worktree of its own |

Ours is the model of 05 or 06 that is better on validation, by the series' metric; the peer trains on the validation images,
too, and its learning rate is chosen once per set, on images of the first split. With `--champion` the two series run until
10_export, and the champions are compared as well; with `--report` the whole series is run and timed.

Each trial is a file in the folder `--work`; a trial that is there is not run again. The differences have two 95% intervals:
Student's t over the seeds, which holds the randomness of split and training, and a bootstrap of the images (an image that is
in several test parts counts as one). Writes benchmarks/results/photographs.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import own_images
from helpers import paths, scoring
from helpers.obtain import index, sources
from helpers.obtain.options import Options
from helpers.obtain.places import download
from helpers.series import manifests, metrics, records

BENCHMARKS = paths.project_root() / "benchmarks"
RESULTS = BENCHMARKS / "results" / "photographs.json"
PEER = BENCHMARKS / "peers" / "efficientnet_pytorch.py"
BEFORE = "3e5370d"  # the last commit whose models of photographs saw 64 pixels a side
SIDE = 224  # the resolution of EfficientNet-Lite0
RATES = ("3e-4", "1e-3", "3e-3")  # of AdamW, of which the peer takes the best
CANDIDATES = {"transfer": "05_transfer_learning", "fine_tuned": "06_fine_tuning"}
METRICS = ("accuracy", "balanced_accuracy", "macro_f1")
DRAWS = 2_000

Trial = dict[str, Any]


def series(project: Path, dataset: str, given: argparse.Namespace, parameters: dict, seed: int) -> Trial:
    """Run the series of a project's folder until fine-tuning, timed; then score its models on the test part."""
    with tempfile.TemporaryDirectory(prefix="osemn-photographs-") as place:
        weights = paths.cache_root() / "weights"
        weights.mkdir(parents=True, exist_ok=True)
        (Path(place) / "cache").mkdir()
        (Path(place) / "cache" / "weights").symlink_to(weights)  # the peer's are installed, too
        folders = {"OSEMN_HOME": project, "PYTHONPATH": project / "src", "OSEMN_CACHE_DIR": f"{place}/cache"}
        folders["OSEMN_OUTPUT_DIR"] = f"{place}/output"
        environment = {**os.environ, **{name: str(folder) for name, folder in folders.items()}}
        values = {**parameters, "seed": seed}
        settings = [f"--set=01_acquire.{name}={json.dumps(value)}" for name, value in values.items()]
        call = [sys.executable, "-m", "helpers.cli", "run", "--dataset", dataset, "--profile", given.profile]

        def until(stage: str) -> float:  # an empty name stands for the whole series
            started = perf_counter()
            end = [f"--until={stage}"] if stage else []
            subprocess.run([*call, *settings, *end], env=environment, cwd=project, check=True)
            return perf_counter() - started

        seconds, candidates = until("06_fine_tuning"), list(CANDIDATES)
        run = Path(place, "output") / "runs" / paths.dataset_slug(dataset) / given.profile
        finished = {path.parent.name: json.loads(path.read_text()) for path in run.glob("*/manifest.json")}
        trial: Trial = {"seconds": seconds}
        trial["stages"] = {name: round(manifest["seconds"]) for name, manifest in finished.items()}
        trial["chosen"] = better_on_validation(run)
        if given.champion:
            trial["seconds_to_champion"] = seconds + until("10_export")
            trial["champion"] = json.loads((run / "10_export" / "metrics.json").read_text())["candidate"]
            candidates += [name for name in [trial["champion"]] if name not in candidates]
        if given.report:
            trial["seconds_to_report"] = seconds + until("")
        trial["predicted"] = {}
        for name in candidates:
            until(f"07_evaluation/{name}")
            with np.load(run / "07_evaluation" / name / "test_predictions.npz") as saved:
                trial["labels"] = saved["labels"].tolist()
                trial["predicted"][name] = saved["predicted"].tolist()
        table = index.read(run / "01_acquire" / "index.parquet", ["path", "part", "row"])
        trial["images"] = table[table["part"] == "test"].sort_values("row")["path"].tolist()
        return trial


def better_on_validation(run: Path) -> str:
    """Return the candidate with the higher metric on validation; the metric of a run that has none is accuracy."""
    chosen = run / "03_preprocess" / "metric.json"
    metric, values = metrics.load(chosen) if chosen.is_file() else metrics.Metric("accuracy"), {}
    for name, stage in CANDIDATES.items():
        with np.load(run / stage / "validation_predictions.npz") as saved:
            labels, predicted = saved["labels"], saved[f"predicted_{name}"]
        values[name] = metric(labels, predicted, int(max(labels.max(), predicted.max())) + 1)
    return max(values, key=values.__getitem__)


def peer(dataset: str, given: argparse.Namespace, parameters: dict, seed: int, rate: float | None) -> Trial:
    """Run the peer on the split of a seed, prepared by this project; without a rate it tunes it first."""
    options = Options.of({**parameters, "image_size": SIDE, "seed": seed}, download.Network(progress=False))
    acquired = sources.acquire(dataset, options)
    with tempfile.TemporaryDirectory(prefix="osemn-peer-") as place:
        split, result = Path(place) / "split.npz", Path(place) / "result.json"
        arrays = {"train": acquired.train, "test": acquired.test}
        np.savez(
            split,
            **{f"{name}_images": part.images[:] for name, part in arrays.items()},
            **{f"{name}_labels": part.labels for name, part in arrays.items()},
        )
        tuning = ["--tune", *RATES] if rate is None else ["--learning-rate", str(rate)]
        more = ["--epochs", str(given.peer_epochs), "--seed", str(seed)]
        subprocess.run([given.peer_python, PEER, split, result, *tuning, *more], check=True)
        trial = json.loads(result.read_text())
    table = acquired.index
    trial["images"] = table[table["part"] == "test"].sort_values("row")["path"].tolist()
    return {**trial, "labels": acquired.test.labels.tolist(), "predicted": {"peer": trial["predicted"]}}


def compared(trials: Sequence[tuple[Trial, str, Trial, str]]) -> dict[str, Any]:
    """Return how two models differ, from pairs of trials on the same test images, one pair per seed."""
    names = sorted({image for one, *_ in trials for image in one["images"]})
    rows = [np.searchsorted(names, one["images"]) for one, *_ in trials]
    labels = [np.array(one["labels"]) for one, *_ in trials]
    sides = [
        [np.array(trial["predicted"][model]) for trial, model in ((one, a), (other, b))]
        for one, a, other, b in trials
    ]
    classes = int(max(part.max() for part in labels)) + 1
    drawn = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), DRAWS)
    result: dict[str, Any] = {"seeds": len(trials)}
    for name in METRICS:
        of_seed, of_draw = [], []
        for where, truth, both in zip(rows, labels, sides, strict=True):
            once = [measured(name, truth, side, classes, np.ones(len(truth))) for side in both]
            of_seed.append(once)
            of_draw.append([measured(name, truth, side, classes, drawn[:, where]) for side in both])
        values = np.array(of_seed)
        differences = np.array(of_draw)[:, 0] - np.array(of_draw)[:, 1]
        over_seeds = scoring.mean_of(values[:, 0] - values[:, 1])
        result[name] = {
            "first": values[:, 0].tolist(),
            "second": values[:, 1].tolist(),
            "difference": over_seeds.value,
            "ci95_over_seeds": over_seeds.ci95,
            "ci95_over_images": np.quantile(np.nanmean(differences, axis=0), [0.025, 0.975]).tolist(),
        }
    errors = 1 - np.array([result["accuracy"]["first"], result["accuracy"]["second"]]).mean(axis=1)
    return {**result, "errors_ratio": float(errors[0] / errors[1]) if errors[1] else None}


def measured(name: str, labels: np.ndarray, predicted: np.ndarray, classes: int, weights: np.ndarray) -> Any:
    """Return a metric of predictions in which each image counts as often as its weight, `[…, N]`."""
    cells = np.eye(classes**2)[labels * classes + predicted]
    counts = (weights @ cells).reshape(*weights.shape[:-1], classes, classes)
    right, true, chosen = np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(-1), counts.sum(-2)
    with np.errstate(invalid="ignore"):
        if name == "accuracy":
            return right.sum(-1) / true.sum(-1)
        if name == "balanced_accuracy":
            return np.nanmean(right / true, axis=-1)
    return (2 * right / np.maximum(true + chosen, 1)).mean(-1)


def pairs(
    some: dict[int, Trial], one: str, others: dict[int, Trial], other: str
) -> list[tuple[Trial, str, Trial, str]]:
    """Return the trials of two runners by seed, with the models to compare: a name, or the key of a name."""
    both = [(some[seed], others[seed]) for seed in sorted(set(some) & set(others))]
    named = [(a, a.get(one, one), b, b.get(other, other)) for a, b in both]
    return [row for row in named if row[1] in row[0]["predicted"] and row[3] in row[2]["predicted"]]


def summary(folder: Path, dataset: str, seeds: Sequence[int]) -> dict[str, Any]:
    """Return the comparisons of a set from the trials in a folder."""

    def stored(runner: str) -> dict[int, Trial]:
        files = {seed: folder / f"{dataset}-{runner}-{seed}.json" for seed in seeds}
        return {seed: json.loads(path.read_text()) for seed, path in files.items() if path.is_file()}

    ours, peers, before = stored("ours"), stored("peer"), stored("before")
    for seed in ours:
        for others in (peers, before):
            if seed in others and others[seed]["images"] != ours[seed]["images"]:
                raise SystemExit(f"Seed {seed} of {dataset}: the test images differ; delete its trials.")

    wanted = {
        "ours against peer": pairs(ours, "chosen", peers, "peer"),
        **{f"{name} against peer": pairs(ours, name, peers, "peer") for name in CANDIDATES},
        "ours against before": pairs(ours, "chosen", before, "chosen"),
        "champion against before": pairs(ours, "champion", before, "champion"),
    }
    kept = ("seconds", "seconds_from_start", "seconds_to_champion", "seconds_to_report")
    kept += ("stages", "chosen", "champion")
    kept += ("learning_rate", "rates", "epochs", "torch", "threads", "cpu", "commit")
    runs = {"ours": ours, "peer": peers, "before": before}
    return {
        "test images": {seed: len(trial["images"]) for seed, trial in ours.items()},
        "runs": {
            name: {seed: {key: trial[key] for key in kept if key in trial} for seed, trial in trials.items()}
            for name, trials in runs.items()
        },
        "seconds ours / peer": [
            ours[seed]["seconds"] / peers[seed]["seconds"] for seed in ours if seed in peers
        ],
        **{name: compared(rows) for name, rows in wanted.items() if rows},
    }


def run_trial(
    dataset: str, place: str, runner: str, seed: int, given: argparse.Namespace, parameters: dict
) -> None:
    """Run one trial and write its file, unless it is there."""
    path = given.work / f"{dataset}-{runner}-{seed}.json"
    if path.is_file():
        return
    project, facts = paths.project_root(), {"cpu": records.cpu_name()}
    if runner == "peer":
        rate_file = given.work / f"{dataset}-peer_rate.json"
        rate = json.loads(rate_file.read_text()) if rate_file.is_file() else None
        trial = peer(place, given, parameters, seed, rate)
        manifests.write_json(rate_file, trial["learning_rate"])
    elif runner == "ours":
        trial = series(project, place, given, parameters, seed)
    else:
        tree = Path(tempfile.mkdtemp(prefix="osemn-before-")) / "tree"
        git = ["git", "-C", str(project), "worktree"]
        subprocess.run([*git, "add", "--detach", str(tree), BEFORE], check=True)
        try:
            trial = series(tree, place, given, parameters, seed)
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)
    manifests.write_json(path, {**trial, **facts})


def main() -> None:
    """Run the trials of each set, and write the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sets", nargs="+", choices=["elpv_two", "elpv_four", "food", "few"])
    parser.add_argument("--runners", nargs="+", default=["ours", "peer", "before"])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(own_images.SEEDS))
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--champion", action="store_true", help="run the two series until 10_export")
    parser.add_argument("--report", action="store_true", help="run the whole series")
    parser.add_argument("--peer-python", default="", help="the interpreter of the peer's environment")
    parser.add_argument("--peer-epochs", type=int, default=4)
    parser.add_argument("--work", type=Path, default=paths.output_root() / "runs" / "photographs")
    given = parser.parse_args()
    if "peer" in given.runners and not given.peer_python:
        parser.error("name the interpreter of the peer's environment, --peer-python (benchmarks/README.md)")
    given.work.mkdir(parents=True, exist_ok=True)
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    for name in given.sets:
        with tempfile.TemporaryDirectory(prefix="osemn-images-") as folder:
            place, parameters = own_images.SETS[name](Path(folder))
            for seed in given.seeds:
                turn = seed % len(given.runners)  # who is first changes, as machines slow down or speed up
                for runner in (*given.runners[turn:], *given.runners[:turn]):
                    run_trial(name, str(place), runner, seed, given, parameters)
        results[name] = {"profile": given.profile, **summary(given.work, name, given.seeds)}
        manifests.write_json(RESULTS, results)
        print(json.dumps(results[name], indent=2))


if __name__ == "__main__":
    main()
