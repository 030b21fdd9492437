"""Test log loss of temperatures that are fitted to small validation sets, by the way they are fitted.

    .venv/bin/python benchmarks/temperature.py

Dense networks and CNNs, trained for a short and a long time on few images of the digits, of Fashion-MNIST, and of
Fashion-MNIST in two classes (footwear or not: hardly an error). Of the other images, one half is for drawing validation sets,
and the other half is the test set. Fashion-MNIST must be cached. Writes benchmarks/results/temperature.json.
"""

import argparse
import math
import os
from collections.abc import Iterator

import numpy as np

import quick_run
from helpers import paths
from helpers.interpret import calibration
from helpers.model import training
from helpers.obtain import data, sources
from helpers.series import manifests, runs, seeds

FITS = {
    "likelihood": {"errors": 0.0, "spread": math.inf},
    "half an error": {"errors": 0.5, "spread": math.inf},
    "prior of 1": {"errors": 0.0, "spread": 1.0},
    "prior of 0.5": {"errors": 0.0, "spread": 0.5},
    "prior of 0.35": {"errors": 0.0, "spread": 0.35},
    "half an error, prior of 1": {},  # the defaults
    "one error, prior of 1": {"errors": 1.0},
    "half an error, prior of 0.5": {"spread": 0.5},
}
SIZES = (30, 100, 300, 1_000)  # images of a validation set
FOOTWEAR = (5, 7, 9)  # sandal, sneaker, ankle boot


def sets() -> Iterator[tuple[str, data.Dataset, int]]:
    """Yield name, shuffled images, and how many of them to train on."""
    for name, size in (("digits", 600), ("fashion_mnist", 2_000)):
        acquired = sources.acquire(name)
        images = np.concatenate([acquired.train.images, acquired.test.images])
        labels = np.concatenate([acquired.train.labels, acquired.test.labels])
        order = np.random.default_rng(0).permutation(len(labels))[:14_000]
        rows = data.Dataset(images[order], labels[order], acquired.train.class_names)
        yield name, rows, size
    of_two = np.isin(rows.labels, FOOTWEAR).astype(np.int64)
    yield "footwear", data.Dataset(rows.images, of_two, ("other", "footwear")), 1_000


def networks() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield name, probabilities of images that were not trained on, and their labels."""
    for name, rows, size in sets():
        train, rest = rows.subset(np.arange(size)), rows.subset(np.arange(size, len(rows)))
        statistics = quick_run.pixel_statistics(train)
        for kind, epochs in (("dense", 5), ("dense", 40), ("cnn", 4), ("cnn", 15)):
            seeds.seed_tensorflow(0)
            shape = (train.image_shape, train.num_classes)
            dense = kind == "dense"
            of_run = {"train": train, "validation": rest.subset(np.arange(100)), "seed": 0}
            code = quick_run.baselines(**of_run, batch_size=128, learning_rate=0.004)
            model = code["dense_network"](*shape) if dense else code["baseline_cnn"](*shape, **statistics)
            code["train_network"](model, epochs)
            yield f"{name}, {kind}, {epochs} epochs", training.predict(model, rest.images), rest.labels


def log_loss(probabilities: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    """Return the mean log loss at a temperature."""
    scaled = calibration.at_temperature(probabilities, temperature)
    return float(-np.log(np.maximum(scaled[np.arange(len(labels)), labels], 1e-300)).mean())


def measure(probabilities: np.ndarray, labels: np.ndarray, draws: int) -> dict[str, object]:
    """Return the excess of the test log loss over that of the best temperature, by size and fit."""
    half = len(labels) // 2
    pool, test = (probabilities[:half], labels[:half]), (probabilities[half:], labels[half:])
    logs = np.linspace(-3, 3, 241)  # steps of 2.5%: between two, the loss is nearly linear
    curve = np.array([log_loss(*test, np.exp(value)) for value in logs])
    on_all = {name: calibration.fit_temperature(*pool, **how) for name, how in FITS.items()}
    result = {
        "accuracy": float(np.mean(test[0].argmax(1) == test[1])),
        "best_temperature": float(np.exp(logs[curve.argmin()])),
        "validation_images": half,
        "temperature_of_all": on_all,
        "excess": {},
    }
    generator = np.random.default_rng(0)
    for size in [size for size in SIZES if size <= half]:
        drawn = [generator.choice(half, size, replace=False) for _ in range(draws)]
        result["excess"][str(size)] = {
            name: [
                float(np.interp(np.log(fitted), logs, curve) - curve.min())
                for fitted in (
                    calibration.fit_temperature(pool[0][rows], pool[1][rows], **how) for rows in drawn
                )
            ]
            for name, how in FITS.items()
        }
    return result


def summary(by_network: dict[str, dict[str, object]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return, by size and fit, the mean excess over all networks, that of the worst network, and the 99th percentile."""
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for size in map(str, SIZES):
        measured = [result["excess"][size] for result in by_network.values() if size in result["excess"]]
        rows[size] = {}
        for name in FITS:
            values = np.array([one[name] for one in measured])
            rows[size][name] = {
                "mean": values.mean(),
                "worst_network": values.mean(axis=1).max(),
                "percentile_99": float(np.quantile(values, 0.99)),
            }
            print(f"{size:>5} {name:<28}", *(f"{1e3 * value:8.2f}" for value in rows[size][name].values()))
    return rows


def main() -> None:
    """Train, draw, and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=100)
    draws = parser.parse_args().draws
    by_network = {name: measure(p, labels, draws) for name, p, labels in networks()}
    result = {"draws": draws, "cpu": runs.cpu_name(), "cores": os.cpu_count(), "fits": summary(by_network)}
    for measured in by_network.values():
        del measured["excess"]
    target = paths.project_root() / "benchmarks" / "results" / "temperature.json"
    manifests.write_json(target, {**result, "networks": by_network})


if __name__ == "__main__":
    main()
