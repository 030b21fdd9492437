"""Accuracy against seconds and operations: the recipe beside three others, on clean images, seed by seed.

    .venv/bin/python benchmarks/accuracy_for_compute.py train --method recipe --minutes 10 --seeds 0 1 2
    .venv/bin/python benchmarks/accuracy_for_compute.py score --method recipe --minutes 10
    .venv/bin/python benchmarks/accuracy_for_compute.py table

`train` needs the quick run of 01 and 03, uses training and validation images only, and saves each network below runs/.
`score` opens the test set once for each network that has no test accuracy yet, and writes the accuracy and the time into
benchmarks/results/accuracy_for_compute.json. Seeds may be trained in several sessions, but no network is scored a second
time, and none whose settings differ from those of earlier seeds. The settings of each budget are written below; they were
chosen on validation. Add `--dataset mnist` for digits.

Methods:
- `recipe`: this project's.
- `recipe_refit`: the same, trained again on training and validation images together, once its settings were chosen. This
  is the usual last step, and published results rest on all 60,000 images.
- `baseline_cnn`: the three-layer CNN of notebook 04, with the same augmentation.
- `dense`: 784-128-10.
- `public_resnet`: the strongest recipe of this size that we know of, written again for Keras: the residual network of
  fast.ai's course "From Deep Learning Foundations to Stable Diffusion" (J. Howard et al., 2023), lesson 18.
"""

import argparse
import json
import os
import resource
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import helpers  # before TensorFlow, which reads once what it asks for

# isort: split
import keras
import numpy as np
import tensorflow as tf
from keras import layers

import quick_run
from helpers import paths, scoring
from helpers.model import architectures, cpu_speed, recipe, training
from helpers.obtain import data
from helpers.scrub import augment
from helpers.series import manifests, runs
from helpers.series.seeds import seed_tensorflow

RESULTS = paths.project_root() / "benchmarks" / "results" / "accuracy_for_compute.json"
FIT = recipe.Recipe()
PUBLIC = recipe.Recipe(
    batch_size=1024,
    optimizer="adamw",
    learning_rate=1e-2,
    weight_decay=0.01,
    label_smoothing=0.0,
    average_decay=0.0,
)


@dataclass(frozen=True)
class Budget:
    """How a method spends its minutes.

    Attributes:
        epochs: passes over the training part.
        model: arguments of the network.
        recipe: settings of the recipe.
        policy: settings of the augmentation policy.
        views: arguments of `architectures.averaging_views`, besides mirroring.
        refit: whether to train on the validation images too, so that none are left to validate on.
    """

    epochs: int
    model: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    views: dict[str, Any] = field(default_factory=dict)
    refit: bool = False


def public_resnet(shape: tuple[int, int, int], classes: int, mean: float, deviation: float) -> keras.Model:
    """Return a residual network of 16-32-64-128-256-512 channels: 5 × 5 first, then halved in every block."""
    image = keras.Input(shape, name="image")
    x = layers.Normalization(mean=[mean], variance=[deviation**2])(image)
    for number, channels in enumerate((16, 32, 64, 128, 256, 512)):
        size, stride = (5, 1) if number == 0 else (3, 2)
        inner = _convolution(x, channels, size, 1)
        inner = layers.ReLU()(inner)
        inner = _convolution(inner, channels, size, stride)
        skipped = x if stride == 1 else layers.AveragePooling2D(2, padding="same")(x)
        skipped = layers.Conv2D(channels, 1)(skipped)
        x = layers.ReLU()(layers.Add()([inner, skipped]))
    x = layers.Dense(classes, use_bias=False)(layers.Flatten()(x))
    return keras.Model(image, layers.Softmax()(layers.BatchNormalization()(x)), name="public_resnet")


def _convolution(x: keras.KerasTensor, channels: int, size: int, stride: int) -> keras.KerasTensor:
    x = layers.Conv2D(channels, size, stride, padding="same", use_bias=False, kernel_initializer="he_normal")(
        x
    )
    return layers.BatchNormalization()(x)


Parts = tuple[data.Dataset, data.Dataset, augment.AugmentationPolicy]


def train_recipe(parts: Parts, budget: Budget, seed: int) -> tuple[keras.Model, training.Fit]:
    """Train the residual CNN by the recipe."""
    rows, validation, policy = parts
    model = architectures.residual_cnn(
        rows.image_shape, rows.num_classes, **quick_run.pixel_statistics(rows), **budget.model
    )
    settings = replace(FIT, epochs=budget.epochs, seed=seed, **budget.recipe)
    fit = recipe.train(model, rows, validation, settings, policy=replace(policy, **budget.policy))
    return model, fit


def train_public(parts: Parts, budget: Budget, seed: int) -> tuple[keras.Model, training.Fit]:
    """Train the public network: AdamW, one cycle, batches of 1,024, shifts of one pixel, flips, erasing."""
    rows, validation, policy = parts
    mean, deviation = (values[0] for values in quick_run.pixel_statistics(rows).values())
    model = public_resnet(rows.image_shape, rows.num_classes, mean, deviation)
    settings = replace(PUBLIC, epochs=budget.epochs, seed=seed)
    policy = replace(policy, shift_fraction=1 / rows.image_shape[0], **budget.policy)
    return model, recipe.train(model, rows, validation, settings, policy=policy)


def train_baseline(parts: Parts, budget: Budget, seed: int) -> tuple[keras.Model, training.Fit]:
    """Train the three-layer CNN with augmentation, by Adam on one cycle."""
    rows, validation, policy = parts
    model = quick_run.baselines()["baseline_cnn"](
        rows.image_shape, rows.num_classes, **quick_run.pixel_statistics(rows), **budget.model
    )
    return model, _plain_fit(model, rows, validation, budget, seed, policy)


def train_dense(parts: Parts, budget: Budget, seed: int) -> tuple[keras.Model, training.Fit]:
    """Train the dense network on images as they are, by Adam on one cycle."""
    rows, validation, _ = parts
    model = quick_run.baselines()["dense_network"](rows.image_shape, rows.num_classes)
    return model, _plain_fit(model, rows, validation, budget, seed, None)


def _plain_fit(
    model: keras.Model,
    rows: data.Dataset,
    validation: data.Dataset,
    budget: Budget,
    seed: int,
    policy: augment.AugmentationPolicy | None,
) -> training.Fit:
    trainer = cpu_speed.trainer_of(model)
    schedule = training.one_cycle(0.004, budget.epochs * -(-len(rows) // 128))
    trainer.compile(keras.optimizers.Adam(schedule), "categorical_crossentropy", metrics=["accuracy"])
    return training.fit(
        trainer, rows, validation, epochs=budget.epochs, batch_size=128, seed=seed, policy=policy
    )


METHODS: dict[str, Callable[[Parts, Budget, int], tuple[keras.Model, training.Fit]]] = {
    "recipe": train_recipe,
    "recipe_refit": train_recipe,
    "baseline_cnn": train_baseline,
    "dense": train_dense,
    "public_resnet": train_public,
}
BUDGETS: dict[tuple[str, str, int], Budget] = {
    ("fashion_mnist", "recipe", 1): Budget(4, {"width": 16}),
    ("fashion_mnist", "recipe", 10): Budget(
        20, {"width": 16, "early_pooling": False}, {"average_decay": 0.995, "plain_epochs": 2}
    ),
    ("fashion_mnist", "recipe", 60): Budget(
        21,
        {"width": 32, "early_pooling": False},
        {"average_decay": 0.995, "plain_epochs": 2},
        views={"shift": 1},
    ),
    # as many steps as above, where the validation images were left out
    ("fashion_mnist", "recipe_refit", 60): Budget(
        19,
        {"width": 32, "early_pooling": False},
        {"average_decay": 0.995, "plain_epochs": 2},
        views={"shift": 1},
        refit=True,
    ),
    ("fashion_mnist", "baseline_cnn", 1): Budget(6),
    ("fashion_mnist", "baseline_cnn", 10): Budget(40, {"filters": 32}),
    ("fashion_mnist", "dense", 1): Budget(20),
    ("fashion_mnist", "public_resnet", 1): Budget(1),
    ("fashion_mnist", "public_resnet", 10): Budget(10),
    # chosen by notebook 09 at standard, on validation: half the strength of the usual augmentation
    ("mnist", "recipe", 10): Budget(
        11,
        {"width": 16, "early_pooling": False},
        policy={"rotation_degrees": 5.0, "shift_fraction": 1 / 28, "zoom_fraction": 0.05},
    ),
}


def folder_of(dataset: str, method: str, minutes: int) -> Path:
    """Return the folder of the networks of a method and budget."""
    return paths.run_folder(dataset, "quick").parent / "benchmarks" / f"{method}-{minutes}"


def train(dataset: str, method: str, minutes: int, seeds: list[int]) -> None:
    """Train a network for each seed that has none yet."""
    budget, parts = BUDGETS[dataset, method, minutes], quick_run.parts(dataset)
    if budget.refit:
        parts = (_together(*parts[:2]), *parts[1:])
    folder = folder_of(dataset, method, minutes)
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        if (folder / f"{seed}.json").is_file():
            continue
        keras.utils.set_random_seed(seed)
        model, fit = METHODS[method](parts, budget, seed)
        cost = architectures.multiply_accumulates(model)
        model.save(folder / f"{seed}.keras")
        trial = {
            "seed": seed,
            "epochs": budget.epochs,
            "seconds": fit.seconds,
            "images": len(parts[0]),
            "million_multiply_accumulates": cost / 1e6,
            "training_operations": 6.0 * cost * len(parts[0]) * budget.epochs,
            "parameters": model.count_params(),
            "onednn": os.environ[helpers.ONEDNN] == "1",
            "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        }
        if not budget.refit:  # accuracy on images that it was trained on would mean nothing
            probabilities = training.predict(finished(method, budget, model, parts[2]), parts[1].images)
            trial["validation_accuracy"] = float(np.mean(probabilities.argmax(1) == parts[1].labels))
            trial["validation_accuracy_by_epoch"] = fit.history["val_accuracy"]
        manifests.write_json(folder / f"{seed}.json", trial)
        print(f"{method}, seed {seed}: {_validation_accuracy(trial)} on validation, {fit.seconds:.0f} s")


def _together(train_part: data.Dataset, validation: data.Dataset) -> data.Dataset:
    images, labels = (
        np.concatenate([getattr(part, name) for part in (train_part, validation)])
        for name in ("images", "labels")
    )
    return replace(train_part, images=images, labels=labels)


def finished(
    method: str, budget: Budget, model: keras.Model, policy: augment.AugmentationPolicy
) -> keras.Model:
    """Return the network as it is used: the recipe's averages mirrored views where flips keep labels."""
    return architectures.averaging_views(
        model, flip=METHODS[method] is train_recipe and policy.horizontal_flip, **budget.views
    )


def score(dataset: str, method: str, minutes: int) -> None:
    """Open the test set once for each network without a test accuracy, and write the results.

    Raises:
        SystemExit: every network is scored, or earlier seeds were trained with other settings.
    """
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {"entries": []}
    entry, budget = _entry(results["entries"], dataset, method, minutes), BUDGETS[dataset, method, minutes]
    folder, policy = folder_of(dataset, method, minutes), quick_run.parts(dataset)[2]
    scored = {trial["seed"] for trial in entry["trials"]}
    trained = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    trials = [trial for trial in trained if trial["seed"] not in scored]
    if not trials:
        raise SystemExit(f"Every network in {folder} has a test accuracy already; see {RESULTS.name}.")
    test, together = quick_run.test_part(dataset), []
    for trial in trials:
        model = keras.models.load_model(folder / f"{trial['seed']}.keras")
        as_used = finished(method, budget, model, policy)
        plain, averaged = (training.predict(each, test.images) for each in (model, as_used))
        together.append(averaged)
        correct = int(np.sum(averaged.argmax(1) == test.labels))
        trial["test_opened"] = datetime.now(UTC).isoformat(timespec="seconds")
        trial["test_accuracy_one_view"] = float(np.mean(plain.argmax(1) == test.labels))
        trial["test_accuracy"] = correct / len(test)
        trial["test_accuracy_ci95"] = scoring.wilson_interval(correct, len(test))
        trial["cpu"], trial["cores"] = runs.cpu_name(), os.cpu_count()
        trial["versions"] = {"tensorflow": tf.__version__, "keras": keras.__version__}
    if not scored and len(trials) > 1:  # only networks that were scored together
        ensemble = np.mean(together, axis=0).argmax(1)
        entry["test_accuracy_of_ensemble"] = float(np.mean(ensemble == test.labels))
    entry["trials"] = sorted([*entry["trials"], *trials], key=lambda trial: trial["seed"])
    manifests.write_json(RESULTS, results)


def _entry(entries: list[dict[str, Any]], dataset: str, method: str, minutes: int) -> dict[str, Any]:
    """Return the entry of a method and budget among the results; append a new one if there is none."""
    budget = BUDGETS[dataset, method, minutes]
    settings = {"model": budget.model, "recipe": budget.recipe, "policy": budget.policy}
    settings |= {"epochs": budget.epochs} | ({"views": budget.views} if budget.views else {})
    settings |= {"refit": True} if budget.refit else {}
    same = {"dataset": dataset, "method": method, "minutes": minutes}
    for entry in entries:
        if all(entry[key] == value for key, value in same.items()):
            if entry["settings"] != settings:
                raise SystemExit(f"Seeds of {same} were scored with other settings: {entry['settings']}.")
            return entry
    entries.append({**same, "settings": settings, "trials": []})
    return entries[-1]


def table() -> str:
    """Return all results as a Markdown table: mean over seeds with Student's 95% interval."""
    lines = [
        "| data | method | budget | seeds | seconds | operations | validation | test, mean of seeds | 95% interval over seeds "
        "| ensemble |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in json.loads(RESULTS.read_text(encoding="utf-8"))["entries"]:
        trials = entry["trials"]
        mean = {
            key: np.mean([trial[key] for trial in trials]) for key in trials[0] if _is_number(trials[0][key])
        }
        accuracies = np.array([trial["test_accuracy"] for trial in trials])
        spread = "one seed"
        if len(trials) > 1:
            low, high = scoring.mean_of(accuracies).ci95
            spread = f"{low:.2%} to {high:.2%}"
        together = entry.get("test_accuracy_of_ensemble")
        without = not all(trial["onednn"] for trial in trials)
        lines.append(
            f"| {entry['dataset']} | {entry['method']} | {entry['minutes']} min | {len(trials)} | {mean['seconds']:.0f}{'*' if without else ''} "
            f"| {mean['training_operations']:.1e} | {_validation_accuracy(mean)} | {mean['test_accuracy']:.2%} | {spread} "
            f"| {'–' if together is None else format(together, '.2%')} |"
        )
    if any("*" in line for line in lines):
        lines += [
            "",
            "\\* Without oneDNN on a processor that has no AVX-512, which takes up to twice as long.",
        ]
    return "\n".join(lines)


def _validation_accuracy(trial: dict[str, Any]) -> str:
    """Return the validation accuracy as text, or a dash if there were no validation images."""
    return format(trial["validation_accuracy"], ".2%") if "validation_accuracy" in trial else "–"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def main() -> None:
    """Train or score as the command line says, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["train", "score", "table"])
    parser.add_argument("--dataset", default="fashion_mnist")
    parser.add_argument("--method", choices=sorted(METHODS), default="recipe")
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    given = parser.parse_args()
    seed_tensorflow(given.seeds[0])
    if given.what == "train":
        train(given.dataset, given.method, given.minutes, given.seeds)
    elif given.what == "score":
        score(given.dataset, given.method, given.minutes)
    if RESULTS.is_file():
        print(table())


if __name__ == "__main__":
    main()
