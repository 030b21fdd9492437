"""Fine-tuning on all training images: the effect of resolution, depth, rate, epochs, augmentation and backbone.

    .venv/bin/python benchmarks/fine_tuning.py --name "what is tried" --set resolution=64 --set epochs=13

One trial per call, because a trial takes up to half an hour: a head on frozen features first, then fine-tuning by
`helpers.model.fine_tuning`, as in notebooks 05 and 06. Real Fashion-MNIST from the quick run of 01 and 03 (54,000 training and
6,000 validation images), real ImageNet weights. A trial that was killed continues after its last epoch. The result is
added to benchmarks/results/fine_tuning.json.
"""

import argparse
import hashlib
import json
import os
import resource
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np

import quick_run
from helpers import paths, scoring
from helpers.model import fine_tuning, head_choice, head_results, training, transfer
from helpers.model.backbones import blocks, features, fold_batch_norm
from helpers.obtain import splits
from helpers.series import manifests, profiles, runs, seeds

RESULTS = paths.project_root() / "benchmarks" / "results" / "fine_tuning.json"


@dataclass(frozen=True)
class Trial:
    """The settings of one trial; names as in the parameters of notebooks 05 and 06."""

    backbone: str = "efficientnet_lite0"
    resolution: int = 64
    interpolation: str = "bilinear"
    samples: int = 54_000
    fold: bool = True
    unfrozen: int = 14
    train_depthwise: bool = False
    epochs: int = 13
    batch_size: int = 64
    learning_rate: float = 8e-4
    warmup_fraction: float = 0.1
    rate_decay: float = 1.0
    label_smoothing: float = 0.1
    weight_decay: float = 0.05
    augmented: bool = True
    seed: int = 0


def measure(trial: Trial, folder: Path) -> dict[str, object]:
    """Train one trial and return its settings, accuracies by epoch and costs."""
    seeds.seed_tensorflow(trial.seed)
    train, validation, policy = quick_run.parts()
    train = train.subset(splits.stratified_sample(train.labels, trial.samples, trial.seed))
    source = features.extractor(trial.backbone, train.image_shape, trial.resolution, trial.interpolation)
    head = transfer.HeadSettings(256, 0.3, 4, 256, 0.008, trial.seed)
    frozen = head_results.extract(source, train, validation, head).fit(head_choice.DENSE)
    model = transfer.join(source.base, frozen.top, "transfer")
    model = fold_batch_norm.fold(model) if trial.fold else model
    names = (
        "epochs",
        "batch_size",
        "learning_rate",
        "warmup_fraction",
        "rate_decay",
        "label_smoothing",
        "weight_decay",
        "seed",
    )
    settings = fine_tuning.FineTuningSettings(
        **{name: getattr(trial, name) for name in names}, patience=trial.epochs
    )
    started = perf_counter()
    tuned = fine_tuning.fine_tune(
        model,
        train,
        validation,
        settings,
        unfrozen=trial.unfrozen or None,
        train_depthwise=trial.train_depthwise,
        policy=policy if trial.augmented else None,
        folder=folder,
        progress=_line(started),
    )
    plain = training.predict(model, validation.images)
    mirrored = training.predict(model, validation.images[:, :, ::-1])
    score = scoring.score(validation.labels, plain.argmax(1), train.num_classes)
    pair = scoring.compare(validation.labels, plain.argmax(1), frozen.predicted)
    return {
        "settings": asdict(trial),
        "frozen_accuracy": frozen.score.accuracy,
        "accuracy": score.accuracy,
        "accuracy_ci95": score.accuracy_ci95,
        "macro_f1": score.macro_f1,
        "accuracy_with_mirrored": float(np.mean((plain + mirrored).argmax(1) == validation.labels)),
        "points_against_frozen": 100 * pair.difference,
        "p_value": pair.p_value,
        "val_accuracy": tuned.fit.history["val_accuracy"],
        "seconds": tuned.fit.seconds,
        "resumed_after": tuned.resumed_after,
        "trained_parameters": sum(v.shape.num_elements() for v in model.trainable_variables),
        "blocks": len(blocks.blocks(model)),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "cpu": runs.cpu_name(),
        "cores": os.cpu_count(),
    }


def _line(started: float):
    def tell(done: int, total: int, note: str = "") -> None:
        if done % 200 == 0 or done == total:
            print(f"{done} of {total} steps, {perf_counter() - started:.0f} s {note}", flush=True)

    return tell


def main() -> None:
    """Run one trial and add it to the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--name", required=True, help="what is tried, in words")
    parser.add_argument("--note", default="", help="such as what else the machine was doing")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings")
    given = parser.parse_args()
    chosen = profiles.parse_overrides([f"06_fine_tuning.{setting}" for setting in given.settings])
    trial = replace(Trial(), **chosen.get("06_fine_tuning", {}))
    key = hashlib.sha256(json.dumps(asdict(trial), sort_keys=True).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"osemn-fine-tuning-{key}"
    result = {"name": given.name, "note": given.note, **measure(trial, folder)}
    earlier = json.loads(RESULTS.read_text(encoding="utf-8"))["trials"] if RESULTS.is_file() else []
    manifests.write_json(RESULTS, {"trials": [*earlier, json.loads(json.dumps(result))]})
    print(json.dumps({name: result[name] for name in ("name", "accuracy", "accuracy_ci95", "seconds")}))


if __name__ == "__main__":
    main()
