"""How often do intervals around an out-of-fold accuracy hold the true accuracy? Several methods, sizes and data.

    .venv/bin/python benchmarks/coverage_of_folds.py [--draws 500] [--settings …] [--sizes …]

Each draw takes N images, cross-validates logistic regression with five folds and three repeats, and compares the
intervals with the true accuracy, measured on 6,000 other images: of the heads of the folds (`true_folds`), which is what
they estimate, and of a head trained on all N images (`true_full`). Data: Gaussian classes; the same in groups of four
images that resemble each other; the same with classes of 10 : 5 : 3 : 2; frozen features of Fashion-MNIST (64 principal
components) from the quick run of 01 and 03. `nadeau_bengio_wilson` is the interval of `helpers.model.out_of_fold`. Nested
cross-validation is much slower, so it has five repeats, 100 draws, no groups and N = 60 only. Results are added to those in
benchmarks/results/coverage_of_folds.json.
"""

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from itertools import combinations

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # one thread for each of the processes

import helpers  # noqa: F401 - before TensorFlow, which reads once what it asks for

# isort: split
import numpy as np
import sklearn
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from helpers import paths, scoring
from helpers.model import out_of_fold
from helpers.series import manifests, runs

SIZES, FOLDS, REPEATS, NESTED, HELD_OUT = (60, 200, 1_000), 5, 3, 5, 6_000
CLASSES, GROUP, NESTED_DRAWS = 4, 4, 100
MEANS = ("estimate", "true_full", "true_folds")
Draw = tuple[np.ndarray, np.ndarray, np.ndarray]
Interval = tuple[float, float]


class Gaussians:
    """Classes with the same covariance; optionally in groups whose images share most of their noise, or 10 : 5 : 3 : 2."""

    def __init__(self, grouped: bool = False, unequal: bool = False) -> None:
        self.grouped, self.classes = grouped, np.arange(CLASSES)
        self.nested = not grouped and not unequal
        if unequal:
            self.classes = np.repeat(self.classes, (10, 5, 3, 2))
        self.centres = 0.5 * np.random.default_rng(0).normal(size=(CLASSES, 20))  # about 80% with many images

    def draw(self, n: int, generator: np.random.Generator) -> Draw:
        """Return features, labels and the number of each image's group."""
        together = np.arange(n) // (GROUP if self.grouped else 1)
        labels = self.classes[together % len(self.classes)]
        noise = generator.normal(size=(n, 20))
        if self.grouped:  # 80% of the variance is the group's
            noise = 0.2**0.5 * noise + 0.8**0.5 * generator.normal(size=(together[-1] + 1, 20))[together]
        return self.centres[labels] + noise, labels, together

    def sample(self, n: int, generator: np.random.Generator) -> tuple[Draw, Draw]:
        """Return N images and the others."""
        return self.draw(n, generator), self.draw(HELD_OUT, generator)


class FashionMNIST:
    """Principal components of the frozen features of 05."""

    nested = False

    def __init__(self) -> None:
        import quick_run
        from helpers.model.backbones import features

        train, validation, _ = quick_run.parts()
        source = features.extractor("efficientnet_lite0", train.image_shape, 64)
        rows = train.images[:18_000], validation.images[:6_000]
        values = np.concatenate([features.extract(source, some).values for some in rows])
        self.values = PCA(64, whiten=True, random_state=0).fit_transform(values)
        self.labels = np.concatenate([train.labels[:18_000], validation.labels[:6_000]])

    def sample(self, n: int, generator: np.random.Generator) -> tuple[Draw, Draw]:
        """Return N images and the others."""
        order = generator.permutation(len(self.labels))
        # its number within its class, so that classes are equally frequent
        turn = np.empty(len(order), np.int64)
        for label in range(10):
            mine = self.labels[order] == label
            turn[mine] = np.arange(mine.sum())
        order = order[np.argsort(turn, kind="stable")]
        return tuple(
            (self.values[rows], self.labels[rows], np.arange(len(rows)))
            for rows in (order[:n], order[n : n + HELD_OUT])
        )


def fitted(values: np.ndarray, labels: np.ndarray) -> LogisticRegression:
    """Return logistic regression."""
    return LogisticRegression(max_iter=200).fit(values, labels)


def truth_of(head: LogisticRegression, values: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return accuracy and balanced accuracy on other images."""
    correct = head.classes_[(values @ head.coef_.T + head.intercept_).argmax(axis=1)] == labels
    return float(correct.mean()), float((np.bincount(labels, correct) / np.bincount(labels)).mean())


def bootstrap(correct: np.ndarray, together: np.ndarray, generator: np.random.Generator) -> Interval:
    """Return the percentile interval of a bootstrap over groups."""
    groups = np.unique(together, return_inverse=True)[1]
    sums, sizes = np.bincount(groups, correct), np.bincount(groups)
    drawn = generator.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=1_000)
    return tuple(np.quantile(drawn @ sums / (drawn @ sizes), [0.025, 0.975]))


def clustered_wilson(correct: np.ndarray, together: np.ndarray) -> Interval:
    """Return Wilson's interval for an effective number of images, at most N, by the variance between groups.

    Source: N. Dean and M. Pagano (2015), "Evaluating confidence interval methods for binomial proportions in clustered
    surveys".
    """
    n, p = len(correct), float(correct.mean())
    residuals = np.bincount(np.unique(together, return_inverse=True)[1], correct - p)
    count = len(residuals)
    variance = count / (count - 1) * float(residuals @ residuals) / n**2
    effective = n if variance == 0 else min(n, p * (1 - p) / variance)
    return out_of_fold.wilson(p, effective, float(stats.t.ppf(0.975, count - 1)))


def nadeau_bengio(accuracies: np.ndarray) -> Interval:
    """Return the corrected resampled t interval of the accuracies of all folds of all repeats (2003)."""
    half = stats.t.ppf(0.975, len(accuracies) - 1) * accuracies.std(ddof=1)
    half *= (1 / len(accuracies) + 1 / (FOLDS - 1)) ** 0.5
    return accuracies.mean() - half, accuracies.mean() + half


def nested(values: np.ndarray, labels: np.ndarray, naive: float) -> Interval:
    """Return the interval of nested cross-validation (Bates, Hastie and Tibshirani 2021, algorithm 1).

    Args:
        values: `[N, D]`.
        labels: `[N] int64`.
        naive: standard error of the plain cross-validation, which bounds that of the nested one.
    """
    squares, variances, inner_errors, outer_errors = [], [], [], []
    for repeat in range(NESTED):
        splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=repeat)
        tests = [test for _, test in splitter.split(values, labels)]

        def errors(left_out: tuple[int, ...], test: np.ndarray, tests: list = tests) -> np.ndarray:
            rest = np.concatenate([rows for fold, rows in enumerate(tests) if fold not in left_out])
            return [
                fitted(values[rest], labels[rest]).predict(values[tests[fold]]) != labels[tests[fold]]
                for fold in test
            ]

        inner = {fold: [] for fold in range(FOLDS)}
        for pair in combinations(range(FOLDS), 2):
            first, second = errors(pair, pair)
            inner[pair[1]].append(first)
            inner[pair[0]].append(second)
        for fold in range(FOLDS):
            [outer] = errors((fold,), (fold,))
            within = np.concatenate(inner[fold])
            squares.append((within.mean() - outer.mean()) ** 2)
            variances.append(outer.var(ddof=1) / len(outer))
            inner_errors.append(within.mean())
            outer_errors.append(outer)
    error, plain = np.mean(inner_errors), np.concatenate(outer_errors).mean()
    spread = max(np.mean(squares) - np.mean(variances), 0.0) ** 0.5
    spread = np.clip(spread, naive, FOLDS**0.5 * naive) * ((FOLDS - 1) / FOLDS) ** 0.5
    centre = 1 - error + (1 + (FOLDS - 2) / FOLDS) * (error - plain)
    return centre - 1.96 * spread, centre + 1.96 * spread


def one_draw(setting: "Gaussians | FashionMNIST", n: int, seed: int) -> dict[str, object]:
    """Return the intervals of one draw and the two true accuracies."""
    generator = np.random.default_rng(seed)
    (values, labels, together), (others, truth, _) = setting.sample(n, generator)
    of_folds: list[float] = []
    true_folds: list[tuple[float, float]] = []
    classes = int(truth.max()) + 1

    def fit_predict(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        head = fitted(values[train], labels[train])
        of_folds.append(np.mean(head.predict(values[test]) == labels[test]))
        if len(of_folds) <= FOLDS:  # the first repeat is enough
            true_folds.append(truth_of(head, others, truth))
        probabilities = np.zeros((len(test), classes), np.float32)
        probabilities[:, head.classes_] = head.predict_proba(values[test])
        return probabilities

    result = out_of_fold.cross_validated(
        fit_predict, labels, together, folds=FOLDS, repeats=REPEATS, seed=seed
    )
    kept = result.estimable
    each, together = (result.predicted == labels)[:, kept], together[kept]
    correct, first, total = each.mean(axis=0), int(each[0].sum()), int(each.sum())
    p, corrected = result.accuracy
    intervals = {
        "wilson": out_of_fold.wilson(p, len(correct), 1.96),
        "clustered_wilson": clustered_wilson(correct, together),
        "wilson_of_one_repeat": scoring.wilson_interval(first, len(correct)),
        "all_repeats_as_images": scoring.wilson_interval(total, each.size),
        "bootstrap": bootstrap(correct, together, generator),
        "nadeau_bengio": nadeau_bengio(np.array(of_folds)),
        "nadeau_bengio_wilson": corrected,
    }
    if n == min(SIZES) and seed < NESTED_DRAWS and setting.nested:
        intervals["nested"] = nested(values, labels, (p * (1 - p) / len(correct)) ** 0.5)
    full, of_fold = truth_of(fitted(values, labels), others, truth), np.mean(true_folds, axis=0)
    balanced, ends = result.balanced_accuracy
    return {
        "accuracy": {"estimate": p, "true_full": full[0], "true_folds": of_fold[0], "intervals": intervals},
        "balanced_accuracy": {
            "estimate": balanced,
            "true_full": full[1],
            "true_folds": of_fold[1],
            "intervals": {"nadeau_bengio_wilson": ends},
        },
    }


def summary(draws: list[dict]) -> dict[str, object]:
    """Return coverage of both true accuracies, misses on each side and mean width, by method."""
    result = {}
    for name in draws[0]["intervals"]:
        having = [draw for draw in draws if name in draw["intervals"]]
        low, high = np.array([draw["intervals"][name] for draw in having]).T
        rows = {"draws": len(having), "width": float(np.mean(high - low))}
        for target in ("true_full", "true_folds"):
            truth = np.array([draw[target] for draw in having])
            rows[target] = float(np.mean((low <= truth) & (truth <= high)))
            rows[f"{target}_above"] = float(np.mean(truth > high))
        result[name] = rows
    means = {key: float(np.mean([draw[key] for draw in draws])) for key in MEANS}
    return {"draws": len(draws), **means, "methods": result}


SETTINGS = {
    "gaussians": Gaussians,
    "groups": partial(Gaussians, grouped=True),
    "unequal": partial(Gaussians, unequal=True),
    "fashion_mnist": FashionMNIST,
}
setting_of = cache(lambda name: SETTINGS[name]())


def in_worker(task: tuple[str, int, int]) -> dict[str, dict]:
    """Return one draw of a setting by its name."""
    name, n, seed = task
    with sklearn.config_context(skip_parameter_validation=True, assume_finite=True):
        return one_draw(setting_of(name), n, seed)


def main() -> None:
    """Simulate all settings and sizes, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS))
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    path = paths.project_root() / "benchmarks" / "results" / "coverage_of_folds.json"
    facts = {"folds": FOLDS, "repeats": REPEATS, "cpu": runs.cpu_name()}
    with ProcessPoolExecutor(options.processes) as pool:
        for name in options.settings:
            for n in options.sizes:
                tasks = [(name, n, seed) for seed in range(options.draws)]
                draws = list(pool.map(in_worker, tasks, chunksize=10))
                scores = {score: summary([draw[score] for draw in draws]) for score in draws[0]}
                result = json.loads(path.read_text("utf-8")) if path.is_file() else {"settings": {}}
                result["settings"].setdefault(name, {})[str(n)] = scores
                result |= facts
                manifests.write_json(path, result)
                for score, row in scores.items():
                    print(name, n, score, {key: round(row[key], 3) for key in MEANS})
                    for method, of in row["methods"].items():
                        print(
                            f"  {method:24}", {key: round(value, 3) for key, value in of.items()}, flush=True
                        )


if __name__ == "__main__":
    main()
