"""Seconds to 88% on the test set: the recipe against a beginner's network.

    .venv/bin/python benchmarks/time_to_88.py

For each seed, one after the other in one process: a 784-128-10 dense network, 20 epochs of Adam with Keras's defaults; then a
small residual CNN by the recipe, on the shortest schedule that was enough on validation images. Seconds count from the
untrained network to the trained one, and include compilation; each network is compiled again. The test set is opened at
the end, once for all networks. Real Fashion-MNIST from the quick run of 01 and 03. Writes
benchmarks/results/time_to_88.json.
"""

import argparse
import os
from time import perf_counter

import helpers  # noqa: F401 - before TensorFlow, which reads once what it asks for

# isort: split
import keras
import numpy as np
import tensorflow as tf

import quick_run
from helpers import paths
from helpers.model import architectures, recipe, training
from helpers.obtain import data, splits
from helpers.series import manifests, runs, seeds

WIDTH, IMAGES = 16, 30_000
SETTINGS = recipe.Recipe(epochs=1, average_decay=0.9)


def beginner(train: data.Dataset, epochs: int) -> keras.Model:
    """Return the dense network after a number of epochs of `fit` with Keras's defaults."""
    model = keras.Sequential(
        [
            keras.Input(train.image_shape),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(train.num_classes, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(train.images, train.labels, epochs=epochs, verbose=0)
    return model


def by_recipe(train: data.Dataset, validation: data.Dataset, seed: int) -> keras.Model:
    """Return a small residual CNN after one short schedule without augmentation."""
    sample = train.subset(splits.stratified_sample(train.labels, IMAGES, seed))
    statistics = quick_run.pixel_statistics(sample)
    model = architectures.residual_cnn(train.image_shape, train.num_classes, **statistics, width=WIDTH)
    settings = recipe.Recipe(**{**vars(SETTINGS), "seed": seed})
    recipe.train(model, sample, validation, settings)
    return model


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--dense-epochs", type=int, default=20)
    parser.add_argument(
        "--validation-only", action="store_true", help="do not open the test set; write nothing"
    )
    given = parser.parse_args()
    seeds.seed_tensorflow(given.seeds[0])
    train, validation, _ = quick_run.parts()
    trials: list[dict[str, float]] = []
    trained: list[dict[str, keras.Model]] = []
    for seed in given.seeds:
        made, seconds = {}, {}
        for name, make in (
            ("dense", lambda: beginner(train, given.dense_epochs)),
            ("recipe", lambda: by_recipe(train, validation, seed)),  # noqa: B023 (called in this round)
        ):
            keras.utils.set_random_seed(seed)
            started = perf_counter()
            made[name] = make()
            seconds[name] = perf_counter() - started
        right = {
            name: float(np.mean(training.predict(model, validation.images).argmax(1) == validation.labels))
            for name, model in made.items()
        }
        trials.append({"seed": seed, "seconds": seconds, "validation_accuracy": right})
        trained.append(made)
        print(f"seed {seed}: {seconds}, on validation {right}", flush=True)
    if given.validation_only:
        return
    test = quick_run.test_part("fashion_mnist")
    for trial, made in zip(trials, trained, strict=True):
        trial["test_accuracy"] = {
            name: float(np.mean(training.predict(model, test.images).argmax(1) == test.labels))
            for name, model in made.items()
        }
    ratios = [trial["seconds"]["recipe"] / trial["seconds"]["dense"] for trial in trials]
    result = {
        "trials": trials,
        "dense_epochs": given.dense_epochs,
        "recipe": {"width": WIDTH, "images": IMAGES, **vars(SETTINGS)},
        "ratio_of_seconds": {"median": float(np.median(ratios)), "largest": max(ratios)},
        "mean_test_accuracy": {
            name: float(np.mean([trial["test_accuracy"][name] for trial in trials])) for name in trained[0]
        },
        "lowest_test_accuracy_of_recipe": min(trial["test_accuracy"]["recipe"] for trial in trials),
        "cpu": runs.cpu_name(),
        "cores": os.cpu_count(),
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
    }
    manifests.write_json(paths.project_root() / "benchmarks" / "results" / "time_to_88.json", result)
    print(
        {
            key: result[key]
            for key in ("ratio_of_seconds", "mean_test_accuracy", "lowest_test_accuracy_of_recipe")
        }
    )


if __name__ == "__main__":
    main()
