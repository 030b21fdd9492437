"""Reads the quick run's inputs for the benchmarks: real images, split as in the notebooks."""

import json
import sys
from typing import Any

import numpy as np

from helpers import paths
from helpers.obtain import data
from helpers.scrub import augment

sys.path.insert(0, str(paths.project_root() / "tools"))
import notebook_code


def parts(dataset: str = "fashion_mnist") -> tuple[data.Dataset, data.Dataset, augment.AugmentationPolicy]:
    """Return training part, validation part and the augmentation policy of a quick run."""
    folder = paths.run_folder(dataset, "quick")
    whole = data.load(folder / "01_acquire" / "train.npz")
    with np.load(folder / "03_preprocess" / "split.npz") as split:
        chosen = whole.subset(split["train_index"]), whole.subset(split["validation_index"])
    policy = json.loads((folder / "03_preprocess" / "augmentation.json").read_text(encoding="utf-8"))
    return *chosen, augment.AugmentationPolicy.from_dict(policy)


def test_part(dataset: str) -> data.Dataset:
    """Return the sealed test part, for results that are reported on it when nothing is left to choose."""
    return data.load(paths.run_folder(dataset, "quick") / "01_acquire" / "test.npz")


def pixel_statistics(rows: data.Dataset) -> dict[str, list[float]]:
    """Return mean and standard deviation of all pixels, 0–255, as networks expect them."""
    pixels = rows.images.astype(np.float64)
    return {"mean": [pixels.mean()], "standard_deviation": [pixels.std()]}


def baselines(**values: Any) -> dict[str, Any]:
    """Return the functions of notebook 04 by name: `dense_network`, `baseline_cnn`, and `train_network`.

    Args:
        **values: what `train_network` reads: `train`, `validation`, `batch_size`, `learning_rate` and `seed`.
    """
    return notebook_code.functions("04_baseline", **values)
