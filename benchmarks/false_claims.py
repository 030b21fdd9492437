"""How often does a sentence about two networks, or two methods, claim what is not true? In made-up runs with a known truth.

    .venv/bin/python benchmarks/false_claims.py [--draws 100]

A made-up run has 2, 10 or 20 classes, of equal size (then the metric is accuracy) or of sizes 4 : 1 (balanced accuracy), 200, 1,000
or 10,000 images, and two networks whose recalls differ by nothing, by one point or by five in every class: 54 kinds. In 18 more, two
methods with 3 or 5 seeds each are compared. Each draw predicts the images, and counts claims that are false: that a difference is
significant where there is none, or that its sign is another ("better", "worse"); that a difference is excluded which is the true
one ("excluded"); that the true difference lies in an interval outside of which it is ("interval"); and, of networks, that the faster one loses less than the margin where it loses more ("within_margin"). Each claim may
be false in 5% of draws; `beyond_chance` counts the kinds in which one is more often than 100 draws at 5% explain (p < 0.001).
Results go to benchmarks/results/false_claims.json, after each kind; a run that was stopped goes on with the next kind. Delete the
file after a change of the claims.
"""

import argparse
import itertools
import json
import os
import time
from collections.abc import Callable
from functools import partial

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import numpy as np
from scipy import stats

from helpers import paths
from helpers.export import champion
from helpers.series import manifests, metrics

CLASSES, IMAGES, POINTS = (2, 10, 20), (200, 1_000, 10_000), (0.0, 0.01, 0.05)
SEEDS, SEED_SPREAD = (3, 5), 0.005  # of each method, and the standard deviation of its recalls between seeds
CLAIMS = ("better", "worse", "excluded", "interval", "within_margin")
COMMON = (
    0.8  # correlation of the difficulty of an image for both networks: they share about half of their errors
)
MARGIN = 0.01  # of the rule for the champion


def draw(generator: np.random.Generator, n: int, sizes: np.ndarray, points: float) -> tuple[np.ndarray, ...]:
    """Return labels and the predictions of both networks, the better one first; the recalls run from 95 to 75%."""
    labels = generator.choice(len(sizes), n, p=sizes)
    common, other = generator.normal(size=n), (labels + generator.integers(1, len(sizes), n)) % len(sizes)
    predicted = []
    for loss in (0.0, points):
        recalls = np.linspace(0.95, 0.75, len(sizes)) - loss
        hard = COMMON * common + (1 - COMMON**2) ** 0.5 * generator.normal(size=n)
        predicted.append(np.where(hard < stats.norm.ppf(recalls)[labels], labels, other))
    return labels, *predicted


def count(false: dict[str, int], row: dict[str, object], points: float) -> None:
    """Count what a comparison of the better one with the other claims, and is false."""
    false["better"] += row["shown"] and row["points"] > 0 and points == 0
    false["worse"] += row["shown"] and row["points"] < 0
    false["excluded"] += not row["shown"] and max(map(abs, row["ci95"])) < 100 * points
    false["interval"] += not row["ci95"][0] <= 100 * points <= row["ci95"][1]


def claims(n: int, classes: int, equal: bool, points: float, draws: int) -> dict[str, object]:
    """Return how often each claim is false in draws of one kind of run."""
    sizes = (
        np.full(classes, 1 / classes)
        if equal
        else np.linspace(4, 1, classes) / np.linspace(4, 1, classes).sum()
    )
    metric, generator = metrics.Metric("accuracy" if equal else "balanced_accuracy"), np.random.default_rng(0)
    false = dict.fromkeys(CLAIMS, 0)
    for _ in range(draws):
        labels, good, poor = draw(generator, n, sizes, points)
        row = metrics.tested(metric, labels, good, poor, classes)
        count(false, row, points)
        options = [champion.Option("good", "good", good, 2.0), champion.Option("poor", "poor", poor, 1.0)]
        chosen = champion.choose(options, labels, classes, metric, margin=MARGIN)
        false["within_margin"] += points >= MARGIN and chosen.best == "good" and chosen.row("poor").eligible
    return {
        "images": n,
        "classes": classes,
        "metric": metric.name,
        "points": 100 * points,
        **{claim: count / draws for claim, count in false.items()},
    }


def method_claims(n: int, seeds: int, points: float, draws: int) -> dict[str, object]:
    """Return how often each claim about two methods is false, by networks of several seeds each, for ten equal classes."""
    classes, generator, metric = 10, np.random.default_rng(0), metrics.Metric("accuracy")
    false = dict.fromkeys(CLAIMS[:4], 0)
    for _ in range(draws):
        labels = generator.choice(classes, n)
        common, other = generator.normal(size=n), (labels + generator.integers(1, classes, n)) % classes
        both = []
        for loss in (0.0, points):
            recalls = (
                np.linspace(0.95, 0.75, classes) - loss + SEED_SPREAD * generator.normal(size=(seeds, 1))
            )
            hard = COMMON * common + (1 - COMMON**2) ** 0.5 * generator.normal(size=(seeds, n))
            both.append(np.where(hard < stats.norm.ppf(recalls)[:, labels], labels, other))
        row = metrics.compare_methods(metric, labels, *both, classes).as_metrics()
        count(false, row, points)
    rates = {claim: count / draws for claim, count in false.items()}
    return {
        "images": n,
        "classes": classes,
        "metric": metric.name,
        "seeds": seeds,
        "points": 100 * points,
        **rates,
    }


def kinds(draws: int) -> dict[str, Callable[[], dict[str, object]]]:
    """Return how to simulate each kind of run, by its name."""
    networks = itertools.product(IMAGES, CLASSES, (True, False), POINTS)
    methods = itertools.product(IMAGES, SEEDS, POINTS)
    return {f"networks {kind}": partial(claims, *kind, draws) for kind in networks} | {
        f"methods {kind}": partial(method_claims, *kind, draws) for kind in methods
    }


def summary(rows: list[dict[str, object]], draws: int) -> dict[str, object]:
    """Return the highest and the mean rate of each false claim, and in how many kinds it is beyond chance."""
    rates = {claim: np.array([row[claim] for row in rows if claim in row]) for claim in CLAIMS}
    limit = stats.binom.ppf(0.999, draws, 0.05) / draws
    return {
        "highest": {claim: float(values.max(initial=0)) for claim, values in rates.items()},
        "mean": {claim: round(float(values.mean()), 4) for claim, values in rates.items() if len(values)},
        "beyond_chance": {claim: int(np.sum(values > limit)) for claim, values in rates.items()},
    }


def main() -> None:
    """Simulate the kinds of run that the results do not hold yet, and write them after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=100)
    draws = parser.parse_args().draws
    path = paths.project_root() / "benchmarks" / "results" / "false_claims.json"
    stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    rows = stored["rows"] if stored.get("draws") == draws else {}
    for kind, simulate in kinds(draws).items():
        if kind not in rows:
            started = time.perf_counter()
            rows[kind] = simulate() | {"seconds": round(time.perf_counter() - started, 1)}
            counted = summary(list(rows.values()), draws)
            manifests.write_json(path, {"draws": draws, "kinds": len(rows), **counted, "rows": rows})
    print(len(rows), summary(list(rows.values()), draws))


if __name__ == "__main__":
    main()
