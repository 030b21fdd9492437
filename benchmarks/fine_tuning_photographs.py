"""Fine-tuning on photographs: what each part of the recipe of 06_fine_tuning gains on validation images.

    .venv/bin/python benchmarks/fine_tuning_photographs.py --images elpv --name "what is tried" --set crop_fraction=0.3 --seeds 0 1

A trial per seed: the test part is split off as the series does and not looked at (unless `--test`), a quarter of the rest is
held out for validation. Logistic regression on frozen features first, then `helpers.model.fine_tuning`. A trial that was
killed continues after its last epoch. Results are added to benchmarks/results/fine_tuning_photographs.json.
"""

import argparse
import hashlib
import json
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import log_loss

import own_images
from helpers import paths, scoring
from helpers.model import class_balance, classical_heads, epoch_plan, fine_tuning, training, transfer
from helpers.model.backbones import features, fold_batch_norm
from helpers.model.tuning_batches import FineTuningSettings
from helpers.obtain import sources, splits
from helpers.obtain.data import Dataset
from helpers.obtain.images import formats
from helpers.obtain.options import Options
from helpers.obtain.places import download
from helpers.scrub import augment
from helpers.series import manifests, profiles, records, seeds
from helpers.series.metrics import Metric

if TYPE_CHECKING:
    import keras

RESULTS = paths.project_root() / "benchmarks" / "results" / "fine_tuning_photographs.json"
SETS = {"elpv": "elpv_two", "food": "food"}
REGULARISATION = 0.01  # C of the logistic regression, as measured for solar cells


@dataclass(frozen=True)
class Trial:
    """The settings of a trial; names as in the parameters of notebook 06."""

    images: str = "elpv"
    side: int = 224
    unfrozen: int = 0  # 0 for all
    train_depthwise: bool = False
    fold: bool = True
    epochs: int = 0
    images_seen: int = 4_000
    batch_size: int = 0
    learning_rate: float = 2e-4
    rate_decay: float = 1.0
    label_smoothing: float = 0.0
    weight_decay: float = 0.05
    average_decay: float = 0.0
    light: bool = True  # 03's policy for photographs
    flips: bool = True
    crop_fraction: float = 0.0
    saturation: float = 0.0
    rand_augment: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    class_weights: str = "none"
    validation: float = 0.25  # more than the tenth of the series, for narrower intervals


def prepared(images: str, side: int) -> tuple[Dataset, np.ndarray]:
    """Return all images at a side, and the number of the copies' group of each; cached in the temporary folder."""
    cache = Path(tempfile.gettempdir()) / f"osemn-photographs-{images}-{side}.npz"
    if not cache.is_file():
        with tempfile.TemporaryDirectory() as place:
            path, parameters = own_images.SETS[SETS[images]](Path(place))
            options = Options.of({**parameters, "seed": 0, "image_size": 8}, download.Network(progress=False))
            acquired = sources.acquire(str(path), options)
            root, table = path if path.is_dir() else path.parent, acquired.index
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                decoded = np.stack(
                    list(pool.map(lambda name: formats.decode(root / name, side), table["path"]))
                )
            grey = np.all(decoded == decoded[..., :1])
            names = acquired.train.class_names
            labels = np.array([names.index(name) for name in table["label"]], np.int64)
            np.savez(
                cache,
                images=decoded[..., :1] if grey else decoded,
                labels=labels,
                names=names,
                together=table["together"],
            )
    with np.load(cache) as content:
        names = tuple(str(name) for name in content["names"])
        return Dataset(content["images"], content["labels"], names), content["together"]


def parts(trial: Trial, seed: int) -> tuple[Dataset, Dataset, Dataset]:
    """Return the training, validation and test part; copies stay together."""
    everything, together = prepared(trial.images, trial.side)
    rest, test = splits.hold_out(everything.labels, together, 0.2, seed)
    train, held_out = splits.hold_out(everything.labels[rest], together[rest], trial.validation, seed)
    return everything.subset(rest[train]), everything.subset(rest[held_out]), everything.subset(test)


def frozen(train: Dataset, side: int) -> "keras.Model":
    """Return the frozen backbone with logistic regression on its features, as one model."""
    source = features.extractor("efficientnet_lite0", train.image_shape, side)
    values = training.predict(features.pooled(source.base), train.images, 64)
    top = classical_heads.fit("logistic", REGULARISATION, values, train.labels, train.num_classes)
    return transfer.join(source.base, top, "transfer")


def scores(part: Dataset, probabilities: np.ndarray) -> dict[str, float]:
    """Return accuracy, balanced accuracy, macro-F1 and the log loss."""
    predicted, classes = probabilities.argmax(axis=1), part.num_classes
    named = {
        name: Metric(name)(part.labels, predicted, classes)
        for name in ("accuracy", "balanced_accuracy", "macro_f1")
    }
    loss = log_loss(part.labels, np.clip(probabilities, 1e-6, 1.0).astype(float), labels=range(classes))
    return {name: round(value, 4) for name, value in {**named, "log_loss": loss}.items()}


def measure(trial: Trial, seed: int, metric: str, test: bool) -> dict[str, object]:
    """Train one trial and return its scores and seconds."""
    seeds.seed_tensorflow(seed)
    train, validation, sealed = parts(trial, seed)
    started = perf_counter()
    model = frozen(train, trial.side)
    head_seconds = perf_counter() - started
    before = scores(validation, training.predict(model, validation.images, 64))
    base = augment.policy_for("photographs") if trial.light else augment.AugmentationPolicy(fill="reflect")
    own = {name: getattr(trial, name) for name in ("crop_fraction", "saturation", "rand_augment")}
    policy = replace(base, horizontal_flip=trial.flips, **own)
    common = {field.name for field in fields(Trial)} & {field.name for field in fields(FineTuningSettings)}
    settings = FineTuningSettings(**{name: getattr(trial, name) for name in common}, patience=99, seed=seed)
    settings = replace(
        settings,
        epochs=epoch_plan.epochs_for(len(train), trial.epochs, trial.images_seen),
        batch_size=epoch_plan.batch_size_for(len(train), trial.batch_size),
    )
    key = hashlib.sha256(json.dumps([asdict(trial), seed]).encode()).hexdigest()[:12]
    model = fold_batch_norm.fold(model) if trial.fold else model
    tuned = fine_tuning.fine_tune(
        model,
        train,
        validation,
        settings,
        unfrozen=trial.unfrozen or None,
        train_depthwise=trial.train_depthwise,
        policy=policy,
        metric=Metric(metric),
        folder=Path(tempfile.gettempdir()) / f"osemn-photographs-{key}",
        progress=lambda done, total, note="": (
            print(done, "of", total, flush=True) if done % 20 == 0 else None
        ),
    )
    after = training.predict(model, validation.images, 64)
    strategy = class_balance.AUTO if trial.class_weights == "none" else trial.class_weights
    adjustment = class_balance.choose(
        strategy, Metric(metric), validation.labels, after, train.class_counts()
    )
    result = {
        "seed": seed,
        "frozen": before,
        "fine_tuned": scores(validation, after),
        "adjusted": {"exponent": adjustment.exponent, **scores(validation, adjustment.adjusted(after))},
        "val_metric": tuned.fit.history["val_metric"],
        "epochs": len(tuned.fit.history["loss"]),
        "train": len(train),
        "validation": len(validation),
        "head_seconds": round(head_seconds),
        "seconds": round(tuned.fit.seconds),
        "resumed_after": tuned.resumed_after,
    }
    if test:
        adjustment.apply(model)
        predicted = training.predict(model, sealed.images, 64)
        score = scoring.score(sealed.labels, predicted.argmax(axis=1), train.num_classes)
        result["test"] = {**scores(sealed, predicted), "n": len(sealed), "ci95": score.accuracy_ci95}
    return result


def main() -> None:
    """Run a trial for each seed and add it to the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--name", required=True, help="what is tried, in words")
    parser.add_argument("--images", choices=SETS, default="elpv")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--metric", default="balanced_accuracy")
    parser.add_argument("--note", default="", help="such as what else the machine was doing")
    parser.add_argument("--test", action="store_true", help="open the test part: once, for the chosen recipe")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings")
    given = parser.parse_args()
    chosen = profiles.parse_overrides([f"06_fine_tuning.{setting}" for setting in given.settings])
    trial = replace(Trial(images=given.images), **chosen.get("06_fine_tuning", {}))
    for seed in given.seeds:
        result = measure(trial, seed, given.metric, given.test)
        row = {"name": given.name, "note": given.note, "cpu": records.cpu_name(), "settings": asdict(trial)}
        earlier = json.loads(RESULTS.read_text(encoding="utf-8"))["trials"] if RESULTS.is_file() else []
        manifests.write_json(RESULTS, {"trials": [*earlier, {**row, **result}]})
        print(json.dumps({"name": given.name, **result}), flush=True)


if __name__ == "__main__":
    main()
