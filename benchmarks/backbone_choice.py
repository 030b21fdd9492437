"""Does a sample of 500 images choose the backbone that all images would?

    .venv/bin/python benchmarks/backbone_choice.py elpv_two food

For each set of own_images.py it extracts the features of all images with EfficientNet-Lite0 to 2 at their own resolutions, and
scores a linear head on all of them, as `backbones.choice` does. Then it repeats the choice on samples of several sizes, with ten seeds
each, and counts what was chosen, and how much of the metric on all images the choice loses against the best backbone. Writes
benchmarks/results/backbone_choice.json.
"""

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import helpers  # noqa: F401 - before TensorFlow, which reads once what it asks for

# isort: split
import numpy as np
import pandas as pd

import own_images
from helpers import paths
from helpers.model.backbones import choice, features
from helpers.obtain import splits
from helpers.series import backbone_names, manifests, metrics, records

RESULTS = paths.project_root() / "benchmarks" / "results" / "backbone_choice.json"
BACKBONES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
SIZES, SEEDS = (250, 500, 1_000), range(10)


def measure(place: Path, parameters: dict[str, Any], most: int) -> dict[str, Any]:
    """Return the scores of the backbones on all images, at most `most` of them, and what samples choose."""
    values, seconds = {}, {}
    for name in BACKBONES:
        side = backbone_names.find(name).native_resolution
        images, labels, together, classes = own_images.everything(place, parameters, side)
        rows = splits.stratified_sample(labels, most, 0)
        images, labels, together = images[rows], labels[rows], together[rows]
        extracted = features.extract(features.extractor(name, images.shape[1:], side), images)
        values[name], seconds[name] = np.array(extracted.values), extracted.seconds
    metric = metrics.choose("auto", [], np.bincount(labels, minlength=classes))

    def table(rows: np.ndarray, seed: int) -> pd.DataFrame:
        scores = [
            choice.score(values[name][rows], labels[rows], together[rows], classes, metric, seed)
            for name in BACKBONES
        ]
        return pd.DataFrame(scores, columns=["value", "standard_error"], index=BACKBONES).reset_index(
            names="backbone"
        )

    complete = table(np.arange(len(labels)), 0)
    by_size = {}
    for size in SIZES:
        if size < len(labels):
            picked = [
                choice.smallest_near_best(table(splits.stratified_sample(labels, size, seed), seed))
                for seed in SEEDS
            ]
            lost = complete["value"].max() - complete["value"][picked]
            chosen = Counter(BACKBONES[place] for place in picked)
            by_size[size] = {
                "chosen": dict(chosen),
                "mean_loss": float(lost.mean()),
                "largest_loss": float(lost.max()),
            }
    return {
        "metric": metric.title,
        "images": len(labels),
        "all_images": complete.set_index("backbone").to_dict("index"),
        "chosen_on_all_images": BACKBONES[choice.smallest_near_best(complete)],
        "seconds_of_extraction": seconds,
        "samples": by_size,
    }


def main() -> None:
    """Measure each set, and write and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000, help="stratified images that count as all")
    parser.add_argument("sets", nargs="+", choices=["elpv_two", "elpv_four", "food", "stamps"])
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    given = parser.parse_args()
    for name in given.sets:
        with tempfile.TemporaryDirectory(prefix="osemn-images-") as folder:
            results[name] = {
                "cpu": records.cpu_name(),
                **measure(*own_images.SETS[name](Path(folder)), given.images),
            }
        manifests.write_json(RESULTS, results)
        print(json.dumps(results[name], indent=2))


if __name__ == "__main__":
    main()
