"""How well are images of none of the classes recognised? Five scores, for MNIST's digits and for classes left out.

    .venv/bin/python benchmarks/unknown_images.py

Fashion-MNIST from the quick run: each candidate's score is chosen as 07 does, on validation images, and then measured on 1,000
test images against 500 of MNIST's digits and 500 handwritten digits of scikit-learn, which took no part in the choice. `would_have_been_chosen`
says what a choice by left-out classes alone, or by made-up images alone, would have taken. In `class_left_out`, the network never saw the
class: frozen features of EfficientNet-Lite0 at 64 px and a linear head, both of which know nine classes; the mean of ten such. `intervals`
has the coverage of Newcombe's interval of the AUROC. Writes benchmarks/results/unknown_images.json.
"""

import itertools
from time import perf_counter

import helpers  # noqa: F401 - before TensorFlow, which reads once what it asks for

# isort: split
import numpy as np
from scipy import stats
from sklearn.decomposition import PCA

import quick_run
from helpers import paths, scoring
from helpers.interpret import candidates, unknown, unknown_choice
from helpers.model import classical_heads, loading
from helpers.model.backbones import features
from helpers.obtain import data, sources, splits
from helpers.series import manifests, runs, stages

TEST, MNIST, DIGITS, TRAIN = 1_000, 500, 500, 2_000
DRAWS = 500  # of the simulation of intervals: coverage is then known to one point


def of_candidate(
    name: str,
    everything: data.Dataset,
    parts: tuple[np.ndarray, np.ndarray],
    test: np.ndarray,
    others: dict[str, np.ndarray],
) -> dict[str, object]:
    """Return what 07 would choose for a candidate, and the AUROC of every score against each other data set."""
    folder = paths.stage_folder("fashion_mnist", "quick", stages.CANDIDATES[name])
    model = loading.load(folder / "models" / f"{name}.keras")
    scorer, started = candidates.scorer(model), perf_counter()
    learnt = unknown_choice.learn(
        scorer, candidates.last_layer(model), everything, parts, known_rejected=0.05, seed=0
    )
    seconds, known = perf_counter() - started, scorer(test)[1]
    table = {kind: learnt.table()[title] for kind, title in unknown.TITLES.items()}
    rows: dict[str, object] = {
        "chosen": learnt.detector.kind,
        "would_have_been_chosen": {
            column: max(table, key=lambda kind, column=column: table[kind][column])
            for column in ("a class left out", "made-up images")
        },
        "seconds_of_choice": seconds,
        "test_rejected": float(learnt.detector.rejects(known).mean()),
        "on_validation": table,
    }
    for title, images in others.items():
        strange = scorer(images)[1]
        areas = {
            kind: scoring.auroc(learnt.detector.score(known, kind), learnt.detector.score(strange, kind))
            for kind in unknown.TITLES
        }
        rows[title] = {
            "auroc": areas[learnt.detector.kind].value,
            "auroc_ci95": areas[learnt.detector.kind].ci95,
            "rejected": float(learnt.detector.rejects(strange).mean()),
            "by_score": {kind: area.value for kind, area in areas.items()},
        }
    return rows


def never_seen(train: data.Dataset, test: data.Dataset) -> dict[str, object]:
    """Return for each score the AUROC of each class that neither head nor score has seen, and their mean."""
    source = features.extractor("efficientnet_lite0", train.image_shape, 64)
    values, held_out = (features.extract(source, part.images).values for part in (train, test))
    # as 07 does
    pca = PCA(unknown_choice.AXES, svd_solver="randomized", random_state=0).fit(np.float64(values))
    areas: dict[str, list[float]] = {kind: [] for kind in unknown.TITLES}
    for label in range(train.num_classes):
        rows, others = train.labels != label, np.delete(np.arange(train.num_classes), label)
        top = classical_heads.fit("lda", 0.6, values[rows], train.labels[rows], train.num_classes)
        last_layer = tuple(map(np.float64, top.get_layer("probabilities").get_weights()))
        learner = unknown_choice.Learner(np.float64(values), train.labels, last_layer, pca)
        unseen = test.labels == label
        detector = learner.fit(others, np.float64(held_out[~unseen]))
        for kind in unknown.TITLES:
            score = detector.score(held_out, kind)
            areas[kind].append(scoring.auroc(score[~unseen], score[unseen]).value)
    return {kind: {"mean": float(np.mean(one)), "by_class": one} for kind, one in areas.items()}


def intervals() -> list[dict[str, float]]:
    """Return how often the interval of an AUROC covers the true one, for normal scores."""
    rows = []
    for (m, n), area in itertools.product(((1_000, 200), (200, 200), (50, 50)), (0.7, 0.9, 0.99)):
        generator, shift = np.random.default_rng(0), 2**0.5 * stats.norm.ppf(area)
        covered = 0
        for _ in range(DRAWS):
            low, high = scoring.auroc(generator.normal(size=m), generator.normal(shift, 1, n)).ci95
            covered += low <= area <= high
        rows.append({"known": m, "unknown": n, "auroc": area, "coverage": covered / DRAWS})
    return rows


def main() -> None:
    """Measure all candidates and write the results."""
    train, validation, _ = quick_run.parts()
    test = quick_run.test_part("fashion_mnist")
    test = test.subset(splits.stratified_sample(test.labels, TEST, 0))
    digits, _ = unknown_choice.foreign("fashion_mnist", test.image_shape, DIGITS)
    others = {"mnist": sources.acquire("mnist").test.images[:MNIST], "digits": digits}
    both = zip((train.images, train.labels), (validation.images, validation.labels), strict=True)
    everything = data.Dataset(*map(np.concatenate, both), train.class_names)
    parts = tuple(np.split(np.arange(len(everything)), [len(train)]))
    by_candidate = {
        name: of_candidate(name, everything, parts, test.images, others) for name in stages.CANDIDATES
    }
    small = train.subset(splits.stratified_sample(train.labels, TRAIN, 0))
    results = {
        "cpu": runs.cpu_name(),
        "candidates": by_candidate,
        "class_left_out": never_seen(small, test),
        "intervals": intervals(),
    }
    manifests.write_json(paths.project_root() / "benchmarks" / "results" / "unknown_images.json", results)
    for name, rows in by_candidate.items():
        print(name, rows["chosen"], rows["would_have_been_chosen"], rows["mnist"], rows["digits"]["auroc"])
    print({kind: round(one["mean"], 3) for kind, one in results["class_left_out"].items()})
    print(results["intervals"])


if __name__ == "__main__":
    main()
