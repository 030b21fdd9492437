"""Which images have a wrong label? cleanlab on out-of-sample probabilities against agreement among nearest neighbours.

    .venv/bin/python benchmarks/label_errors.py [--seeds 0 1 2]

5% of the labels of Fashion-MNIST are flipped, evenly to any other class or to the class that is most often confused with
theirs. The features are those of 05 (frozen EfficientNet-Lite0 at 64 px) with its head. Two cases: `out_of_fold` judges
images by heads trained on the other folds of the same images, at 1,000 (four draws for each seed) and 10,000 images.
`held_out` judges 10,000 images by a head trained on 10,000 others, as 07 does, whose labels are flipped at the same rate.
`product` is what 05 and 07 report: cleanlab's normalised margin of at most 0.1, a threshold that was chosen from six on
these data. `neighbours` is the rule that 07 had before. Labels that are wrong in Fashion-MNIST itself count as false
alarms of every method. Needs the quick run of 01 and 03. What was trained is stored in the cache, so that other methods
can be compared later. Writes benchmarks/results/label_errors.json.
"""

import argparse
from pathlib import Path

import helpers  # noqa: F401 - before TensorFlow, which reads once what it asks for

# isort: split
import keras
import numpy as np
from cleanlab import filter as cleanlab_filter
from cleanlab import rank
from sklearn.metrics import average_precision_score, confusion_matrix
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

import quick_run
from helpers import paths
from helpers.model import label_errors, out_of_fold, transfer
from helpers.model.backbones import features
from helpers.series import manifests, runs, seeds

RATE, IMAGES, SMALL, SMALL_DRAWS, CLASSES = 0.05, 10_000, 1_000, 4, 10
SETTINGS = transfer.HeadSettings(256, 0.3, 5, 256, 0.008, 0)  # the defaults of 05
FILTERS = ("prune_by_noise_rate", "prune_by_class", "both", "confident_learning", "predicted_neq_given")
SCORES = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
NEIGHBOURS, AGREEMENT, NEIGHBOUR_SAMPLES = 10, 0.9, 6_000  # the rule of 07 before cleanlab


def flipped(
    labels: np.ndarray, most_confused: np.ndarray | None, generator: np.random.Generator
) -> np.ndarray:
    """Return the labels with 5% of them changed."""
    rows = generator.choice(len(labels), round(RATE * len(labels)), replace=False)
    noisy = labels.copy()
    others = (labels[rows] + generator.integers(1, CLASSES, len(rows))) % CLASSES
    noisy[rows] = others if most_confused is None else most_confused[labels[rows]]
    return noisy


def neighbour_agreement(values: np.ndarray, labels: np.ndarray, known: np.ndarray, known_labels: np.ndarray):
    """Return for each image the fraction of its nearest neighbours with the same other label; 0 if most have its own."""
    index = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(normalize(known))
    near = known_labels[index.kneighbors(normalize(values), return_distance=False)]
    votes = np.stack([(near == label).sum(axis=1) for label in range(CLASSES)], axis=1)
    return np.where(votes.argmax(axis=1) != labels, votes.max(axis=1) / NEIGHBOURS, 0.0)


def rated(flags: np.ndarray, wrong: np.ndarray) -> dict[str, float]:
    """Return precision, recall and F1 of flagged images."""
    hits = int((flags & wrong).sum())
    precision, recall = hits / max(int(flags.sum()), 1), hits / int(wrong.sum())
    return {
        "flagged": int(flags.sum()),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / max(precision + recall, 1e-9),
    }


def compared(agreement: np.ndarray, probabilities: np.ndarray, noisy: np.ndarray, labels: np.ndarray):
    """Return the quality of the neighbour rule and of cleanlab's filters and scores."""
    wrong = noisy != labels
    result = {"neighbours": rated(agreement >= AGREEMENT, wrong)}
    result["neighbours"]["average_precision"] = float(average_precision_score(wrong, agreement))
    margin = rank.get_label_quality_scores(noisy, probabilities, method="normalized_margin")
    result["product"] = rated(margin <= label_errors.QUALITY, wrong)
    for name in FILTERS:
        flags = cleanlab_filter.find_label_issues(noisy, probabilities, filter_by=name, n_jobs=1)
        result[name] = rated(flags, wrong)
    for name in SCORES:
        score = rank.get_label_quality_scores(noisy, probabilities, method=name)
        result[name] = {"average_precision": float(average_precision_score(wrong, -score))}
    return result


def folds_of(values: np.ndarray, labels: np.ndarray, seed: int, repeats: int = 1):
    """Return the out-of-fold result of the head, and of the neighbour rule by the same folds of the first repeat."""
    train = transfer.fold_trainer([values], labels, CLASSES, SETTINGS)
    agreement = np.zeros((repeats, len(labels)))
    turn = iter(range(10**6))

    def both(rows: np.ndarray, test: np.ndarray) -> np.ndarray:
        repeat = next(turn) // 5
        agreement[repeat, test] = neighbour_agreement(values[test], labels[test], values[rows], labels[rows])
        return train(rows, test)

    apart = np.arange(len(labels))
    result = out_of_fold.cross_validated(both, labels, apart, folds=5, repeats=repeats, seed=seed)
    return result.probabilities, agreement.mean(axis=0)


def held_out(values: np.ndarray, noisy: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities and the agreement of the second half's images, by a head trained on the first half's."""
    half = len(noisy) // 2
    top = transfer.head(values.shape[1], CLASSES, SETTINGS.units, SETTINGS.dropout, seed)
    transfer.fit_head(top, [values[:half]], noisy[:half], (values[half:], noisy[half:]), SETTINGS)
    embed = keras.Model(top.input, top.layers[-1].input)
    embeddings = embed.predict(values, verbose=0)
    known = np.random.default_rng(seed).permutation(half)[:NEIGHBOUR_SAMPLES]
    agreement = neighbour_agreement(embeddings[half:], noisy[half:], embeddings[known], noisy[known])
    return transfer.head_probabilities(top, values[half:]), agreement


def mean_of(trials: list[dict]) -> dict[str, object]:
    """Return the means over trials, and the trials' spread of the F1 and average precision."""
    names = {method: list(rows) for method, rows in trials[0].items()}
    return {
        method: {key: float(np.mean([trial[method][key] for trial in trials])) for key in keys}
        | {
            f"{key}_by_trial": [round(trial[method][key], 4) for trial in trials]
            for key in keys
            if key in ("f1", "average_precision")
        }
        for method, keys in names.items()
    }


def judged(folder: Path, seed: int) -> dict[str, dict[str, np.ndarray]]:
    """Return probabilities, agreement of neighbours, labels and noisy labels of each case; read if they were stored."""
    path = folder / f"{seed}.npz"
    if path.is_file():
        with np.load(path) as saved:
            cases: dict[str, dict[str, np.ndarray]] = {}
            for name in saved:
                case, _, array = name.partition("/")
                cases.setdefault(case, {})[array] = saved[name]
            return cases
    seeds.seed_tensorflow(seed)
    train, _, _ = quick_run.parts()
    source = features.extractor("efficientnet_lite0", train.image_shape, 64)
    part = train.subset(np.random.default_rng(0).permutation(len(train))[: 2 * IMAGES])
    values, labels = np.array(features.extract(source, part.images).values), part.labels
    train_clean = transfer.fold_trainer([values[:IMAGES]], labels[:IMAGES], CLASSES, SETTINGS)
    apart = np.arange(IMAGES)
    clean = out_of_fold.cross_validated(train_clean, labels[:IMAGES], apart, folds=5, repeats=1, seed=0)
    confusions = confusion_matrix(labels[:IMAGES], clean.predicted[0])
    np.fill_diagonal(confusions, 0)
    cases = {}

    def add(name: str, rows: np.ndarray, by: tuple[np.ndarray, np.ndarray], noisy: np.ndarray) -> None:
        arrays = {"probabilities": by[0], "agreement": by[1], "labels": labels[rows], "noisy": noisy[rows]}
        cases[name] = arrays

    for kind, target in {"uniform": None, "most_confused": confusions.argmax(axis=1)}.items():
        noisy = flipped(labels, target, np.random.default_rng(seed))
        for draw in range(SMALL_DRAWS):
            rows = np.arange(SMALL) + SMALL * draw
            add(
                f"out_of_fold_{SMALL}_{kind}#{draw}",
                rows,
                folds_of(values[rows], noisy[rows], seed, 3),
                noisy,
            )
        rows = np.arange(IMAGES)
        add(f"out_of_fold_{IMAGES}_{kind}", rows, folds_of(values[rows], noisy[rows], seed), noisy)
        add(f"held_out_{kind}", rows + IMAGES, held_out(values, noisy, seed), noisy)
    folder.mkdir(parents=True, exist_ok=True)
    named = {f"{case}/{name}": array for case, arrays in cases.items() for name, array in arrays.items()}
    np.savez(path, **named)
    return cases


def main() -> None:
    """Compare both in all cases, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--stored", type=Path, default=paths.cache_root() / "label_errors")
    options = parser.parse_args()
    trials: dict[str, list] = {}
    for seed in options.seeds:
        for name, arrays in judged(options.stored, seed).items():
            trials.setdefault(name.partition("#")[0], []).append(compared(**arrays))
    cases = {name: mean_of(rows) for name, rows in trials.items()}
    for name, methods in cases.items():
        print(name)
        for method, row in methods.items():
            print(
                f"  {method:28}",
                {key: round(value, 3) for key, value in row.items() if not isinstance(value, list)},
            )
    result = {"rate": RATE, "seeds": options.seeds, "cpu": runs.cpu_name(), "cases": cases}
    manifests.write_json(paths.project_root() / "benchmarks" / "results" / "label_errors.json", result)


if __name__ == "__main__":
    main()
