"""Splits that keep groups together: how far class proportions deviate, beside scikit-learn's StratifiedGroupKFold.

    .venv/bin/python benchmarks/group_splits.py [FOLDER …]

Each folder of images is one set; the label is the first letter of the file name if the images lie directly in it, else the
first sub-folder; exact and near copies are groups. Made sets: a class of 3 beside one of 10,000, and 200 classes with groups
of a few. A fifth is held out, five seeds each: the part held out, the largest deviation of a class in percentage points
(mean over seeds), classes missing on a side, and test images with a copy in training, for the split by label alone too.
Writes benchmarks/results/group_splits.json.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

import near_copies
from helpers import paths
from helpers.errors import OsemnError
from helpers.obtain import copies, image_facts, splits
from helpers.series import manifests

FRACTION, SEEDS = 0.2, 5


def of_folder(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels and the groups of a folder's images; classes of one group are left out."""
    files = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in (".jpg", ".jpeg", ".png")]
    parts = [file.relative_to(folder).parts for file in files]
    names = pd.Series([part[0] if len(part) > 1 else part[0][0] for part in parts])
    exact = pd.Series([hashlib.sha256(file.read_bytes()).hexdigest() for file in files])
    thumbnails = [image_facts.thumbnail_of(file, "auto") for file in files]
    together = copies.together(pd.Series([""] * len(files)), exact, near_copies.search(thumbnails))
    enough = (pd.Series(together).groupby(names).transform("nunique") > 1).to_numpy()
    return pd.factorize(names[enough])[0], together[enough]


def made() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the made sets."""
    generator = np.random.default_rng(0)
    rare = np.repeat([0, 1], [10_000, 3]), np.r_[np.arange(10_000) // 7, 9_000, 9_001, 9_002]
    sizes = generator.geometric(0.4, 8_000)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    labels = np.where(
        generator.random(len(groups)) < 0.02, generator.integers(0, 200, len(groups)), groups % 200
    )
    return {"3 beside 10,000": rare, "200 classes": (labels, groups)}


def by_scikit_learn(labels: np.ndarray, groups: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first fold of StratifiedGroupKFold."""
    folds = StratifiedGroupKFold(round(1 / FRACTION), shuffle=True, random_state=seed)
    return next(folds.split(labels, labels, groups))


def main() -> None:
    """Compare, print and write."""
    sets = {Path(folder).name: of_folder(Path(folder)) for folder in sys.argv[1:]} | made()
    ways = {
        "hold_out": lambda labels, groups, seed: splits.hold_out(labels, groups, FRACTION, seed),
        "StratifiedGroupKFold": by_scikit_learn,
        "labels alone": lambda labels, groups, seed: splits.stratified_split(labels, FRACTION, seed),
    }
    rows = []
    for name, (labels, groups) in sets.items():
        for way, split in ways.items():
            numbers = []
            for seed in range(SEEDS):
                try:
                    rest, held = split(labels, groups, seed)
                except (OsemnError, ValueError) as error:
                    print(name, way, error)
                    continue
                fraction, points = len(held) / len(labels), splits.class_deviation(labels, held)
                missing = sum(len(np.unique(labels)) - len(np.unique(labels[part])) for part in (rest, held))
                numbers.append(
                    [fraction, points, missing, np.isin(groups[held], groups[rest]).sum()]
                )
            if numbers:
                mean = np.mean(numbers, axis=0)
                values = dict(
                    zip(("fraction", "points", "classes_missing", "leaked"), mean.tolist(), strict=True)
                )
                rows.append({"set": name, "images": len(labels), "way": way, **values})
                print(rows[-1], flush=True)
    manifests.write_json(
        paths.project_root() / "benchmarks" / "results" / "group_splits.json", {"rows": rows}
    )


if __name__ == "__main__":
    main()
