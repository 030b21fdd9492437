"""How often do intervals of a difference between two methods of training hold the true one? In simulation, with a known truth.

    .venv/bin/python benchmarks/method_intervals.py [--draws 1000] [--images 200 1000]

A network classifies an image correctly if the sum of five normal numbers is positive: the method's mean, the image's difficulty,
what the method makes of the image, the seed's luck, and what the seed makes of the image. So the true accuracy of a method, over
seeds and images, is known exactly. Each draw trains S networks of both methods; the intervals are that of
`helpers.series.metrics.compare_methods`; Student's over pairs of seeds, which leaves out the images; and that of two networks
(`scoring.compare` of the first ones), which leaves out the seeds. Results go to benchmarks/results/method_intervals.json.
"""

import argparse
import itertools
import os
from concurrent.futures import ProcessPoolExecutor

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # one thread for each of the processes

import numpy as np
from scipy import stats

from helpers import paths, scoring
from helpers.series import manifests, metrics, runs

IMAGE, METHOD_AND_IMAGE, SEED_AND_IMAGE = (
    2.0,
    0.5,
    0.6,
)  # standard deviations: networks agree on nine errors of ten
SEED = {"few": 0.02, "much": 0.12}  # a spread of the accuracy between seeds of about 0.1 and 0.7 points
MEAN = 3.0  # accuracy 92%
DIFFERENCES = (0.0, 0.1)  # of the means: no difference, or about 0.7 points
CLASSES = 2
METRICS = {"accuracy": 0.5, "balanced_accuracy": 0.9}  # with the fraction of the first class


def truth(mean: float, seed: float) -> float:
    """Return a method's true accuracy."""
    spread = (IMAGE**2 + METHOD_AND_IMAGE**2 + SEED_AND_IMAGE**2 + seed**2) ** 0.5
    return float(stats.norm.cdf(mean / spread))


def draw(
    generator: np.random.Generator, labels: np.ndarray, seeds: int, difference: float, seed: float
) -> list[np.ndarray]:
    """Return the predictions of both methods' networks, `[S, N]` each."""
    n, predicted = len(labels), []
    difficulty = IMAGE * generator.normal(size=n)
    for mean in (MEAN + difference, MEAN):
        of_image = difficulty + METHOD_AND_IMAGE * generator.normal(size=n)
        of_seed = seed * generator.normal(size=(seeds, 1)) + SEED_AND_IMAGE * generator.normal(
            size=(seeds, n)
        )
        predicted.append(np.where(mean + of_image + of_seed > 0, labels, 1 - labels))
    return predicted


def coverage(
    name: str, images: int, seeds: int, spread: str, difference: float, draws: int
) -> dict[str, object]:
    """Return how often each interval holds the true difference, and its mean width, over draws of one setting."""
    metric, generator = metrics.Metric(name), np.random.default_rng(0)
    true = truth(MEAN + difference, SEED[spread]) - truth(MEAN, SEED[spread])
    held: dict[str, list[tuple[float, float]]] = {
        "compare_methods": [],
        "seeds_alone": [],
        "two_networks": [],
    }
    for _ in range(draws):
        labels = (generator.random(images) > METRICS[name]).astype(np.int64)
        ones, others = draw(generator, labels, seeds, difference, SEED[spread])
        held["compare_methods"].append(metrics.compare_methods(metric, labels, ones, others, CLASSES).ci95)
        pairs = [
            metric(labels, one, CLASSES) - metric(labels, other, CLASSES)
            for one, other in zip(ones, others, strict=True)
        ]
        held["seeds_alone"].append(scoring.mean_of(np.array(pairs)).ci95)
        held["two_networks"].append(scoring.compare(labels, ones[0], others[0]).ci95)
    if name != "accuracy":
        del held["two_networks"]  # of accuracy
    row: dict[str, object] = {
        "metric": name,
        "images": images,
        "seeds": seeds,
        "spread": spread,
        "difference": round(true, 5),
    }
    for method, ends in held.items():
        low, high = np.array(ends).T
        row[method] = {
            "coverage": round(float(np.mean((low <= true) & (true <= high))), 4),
            "width": round(float(np.mean(high - low)), 5),
        }
    return row


def main() -> None:
    """Simulate every setting and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1_000)
    parser.add_argument("--images", type=int, nargs="+", default=[200, 1_000])
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    settings = list(itertools.product(METRICS, options.images, (3, 5), SEED, DIFFERENCES))
    with ProcessPoolExecutor(options.workers) as pool:
        rows = list(pool.map(coverage, *zip(*settings, strict=True), [options.draws] * len(settings)))
    result = {"cpu": runs.cpu_name(), "draws": options.draws, "rows": rows}
    manifests.write_json(paths.project_root() / "benchmarks" / "results" / "method_intervals.json", result)


if __name__ == "__main__":
    main()
