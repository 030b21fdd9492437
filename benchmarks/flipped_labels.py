"""How many of the training images that the explorer shows as possible label errors have a label that was flipped?

    .venv/bin/python benchmarks/flipped_labels.py [--seeds 0 1] [--images 20000]

5% of the labels of a sample of Fashion-MNIST's training images are flipped to any other class. The heads of 05 on frozen
features (EfficientNet-Lite0 at 64 px) are cross-validated, as 05 and 07 do where there are few images, and the images are
ordered as the explorer shows them. Labels that are wrong in Fashion-MNIST itself count as false alarms. Needs the quick
run of 01 and 03. Writes benchmarks/results/flipped_labels.json.
"""

import argparse

import helpers  # noqa: F401 - before TensorFlow, which reads once what it asks for

# isort: split
import numpy as np
import pandas as pd

import quick_run
from helpers import paths
from helpers.interpret.explored import MOST_DOUBTFUL
from helpers.model import out_of_fold, transfer
from helpers.model.backbones import features
from helpers.model.label_errors import possible_label_errors
from helpers.scoring import wilson_interval
from helpers.series import manifests, runs, seeds
from label_errors import CLASSES, RATE, SETTINGS, flipped

FOLDS, REPEATS = 5, 3  # as in 05


def measured(values: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, object]:
    """Return how many of the images that are shown have a flipped label, for one draw of the flips."""
    noisy = flipped(labels, None, np.random.default_rng(seed))
    train = transfer.fold_trainer([values], noisy, CLASSES, SETTINGS)
    apart = np.arange(len(labels))
    judged = out_of_fold.cross_validated(train, noisy, apart, folds=FOLDS, repeats=REPEATS, seed=seed)
    files = pd.DataFrame({"part": "train", "row": apart, "path": ""})
    errors = possible_label_errors(judged.probabilities, noisy, files)
    wrong = (noisy != labels)[errors["index"]]
    shown = wrong[:MOST_DOUBTFUL]
    return {
        "seed": seed,
        "flipped": int((noisy != labels).sum()),
        "possible_label_errors": len(wrong),
        "of_them_flipped": int(wrong.sum()),
        "shown": len(shown),
        "shown_and_flipped": int(shown.sum()),
        "precision_of_the_shown": float(shown.mean()),
        "precision_ci95": list(wilson_interval(int(shown.sum()), len(shown))),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--images", type=int, default=20_000)
    options = parser.parse_args()
    seeds.seed_tensorflow(options.seeds[0])
    train, _, _ = quick_run.parts()
    part = train.subset(np.random.default_rng(0).permutation(len(train))[: options.images])
    source = features.extractor("efficientnet_lite0", part.image_shape, 64)
    values = np.array(features.extract(source, part.images).values)
    trials = [measured(values, part.labels, seed) for seed in options.seeds]
    for trial in trials:
        print(trial)
    result = {
        "rate": RATE,
        "images": options.images,
        "folds": FOLDS,
        "repeats": REPEATS,
        "cpu": runs.cpu_name(),
        "trials": trials,
    }
    manifests.write_json(paths.project_root() / "benchmarks" / "results" / "flipped_labels.json", result)


if __name__ == "__main__":
    main()
