"""How much accuracy the rule for the champion gives away, in simulation, against the rule before it.

    .venv/bin/python benchmarks/champion_rule.py

Four candidates with a known accuracy, the cheaper the worse: the best, one 0.5 points below, one 2, one 6. In each of 2,000
draws they predict N validation images, and each rule chooses one. The rule before: the cheapest that McNemar's exact test at 5%
does not find worse than the best. Today's: the cheapest that is shown to lose less than one point; otherwise the best.
Writes benchmarks/results/champion_rule.json: mean and 95th percentile of the points given away, and how often each is chosen.
"""

import numpy as np
from scipy import stats

from helpers import paths, scoring
from helpers.export import champion
from helpers.series import manifests
from helpers.series.metrics import Metric

RESULTS = paths.project_root() / "benchmarks" / "results" / "champion_rule.json"
ACCURACIES = {"best": 0.88, "close": 0.875, "worse": 0.86, "worst": 0.82}  # as on photographs of solar cells
LATENCIES = {"best": 8.0, "close": 4.0, "worse": 2.0, "worst": 1.0}
SIZES, DRAWS = (210, 1_000, 6_000), 2_000
SHARED = (
    0.7  # correlation of the candidates' difficulty with an image, as that of networks on the same images
)


def draw(n: int, generator: np.random.Generator) -> tuple[np.ndarray, list[champion.Option]]:
    """Draw labels of two classes and the candidates' predictions."""
    labels = generator.integers(0, 2, n)
    hard = generator.normal(size=n)
    options = []
    for name, accuracy in ACCURACIES.items():
        mixed = SHARED**0.5 * hard + (1 - SHARED) ** 0.5 * generator.normal(size=n)
        right = stats.norm.cdf(mixed) < accuracy
        options.append(champion.Option(name, name, np.where(right, labels, 1 - labels), LATENCIES[name]))
    return labels, options


def before(labels: np.ndarray, options: list[champion.Option]) -> str:
    """Return what the rule before would have chosen."""
    best = max(options, key=lambda option: (np.mean(option.predicted == labels), -option.latency_ms))
    for option in sorted(options, key=lambda option: option.latency_ms):
        if option is best or not scoring.compare(labels, best.predicted, option.predicted).significant:
            return option.name
    raise AssertionError("the best one is always eligible")


def main() -> None:
    """Simulate, print and write."""
    results = {"accuracies": ACCURACIES, "draws": DRAWS, "margin": champion.MARGIN}
    for n in SIZES:
        generator, chosen = np.random.default_rng(n), {"before": [], "today": []}
        for _ in range(DRAWS):
            labels, options = draw(n, generator)
            chosen["before"].append(before(labels, options))
            chosen["today"].append(champion.choose(options, labels, 2, Metric("accuracy")).champion)
        results[str(n)] = {rule: summary(names) for rule, names in chosen.items()}
        print(n, results[str(n)], flush=True)
    manifests.write_json(RESULTS, results)


def summary(names: list[str]) -> dict[str, object]:
    """Return the points given away, and how often each candidate was chosen."""
    lost = 100 * (ACCURACIES["best"] - np.array([ACCURACIES[name] for name in names]))
    return {
        "mean points given away": round(float(lost.mean()), 3),
        "95th percentile": round(float(np.quantile(lost, 0.95)), 2),
        "more than a point given away": round(float((lost > 1.0001).mean()), 4),
        "chosen": {name: round(names.count(name) / len(names), 4) for name in ACCURACIES},
    }


if __name__ == "__main__":
    main()
