"""Feature extraction and the head: images per second, cached features against the frozen base, memory, augmented views.

    .venv/bin/python benchmarks/feature_cache.py

Real Fashion-MNIST from the quick run of 01 and 03, real ImageNet weights. Caches go to a temporary folder. The two ways
of training the head alternate in one process, on the same images with the same epochs. Writes
benchmarks/results/feature_cache.json.
"""

import argparse
import json
import os
import resource
import tempfile
from time import perf_counter

import helpers  # noqa: F401 - before TensorFlow, which reads once what it asks for

# isort: split
import keras
import numpy as np
import tensorflow as tf

import quick_run
from helpers import paths, scoring
from helpers.model import head_results, training, transfer
from helpers.model.backbones import features
from helpers.model.head_choice import DENSE
from helpers.obtain import data, splits
from helpers.scrub import augment
from helpers.series import manifests, runs, seeds

RESOLUTION = 64


def extraction(
    source: features.Extractor, train: data.Dataset, validation: data.Dataset
) -> dict[str, object]:
    """Time the pass over all 60,000 images, and the same call with a warm cache."""
    images = np.concatenate([train.images, validation.images])
    first = features.extract(source, images)
    started = perf_counter()
    second = features.extract(source, images)
    return {
        "images": len(images),
        "seconds": first.seconds,
        "images_per_second": first.images_per_second,
        "warm_seconds": perf_counter() - started,
        "warm_from_cache": second.from_cache,
    }


def through_base(source: features.Extractor, part: data.Dataset, epochs: int, batch_size: int) -> float:
    """Return the seconds of training a head with the frozen base computed in every step, without tracing."""
    model = transfer.join(source.base, transfer.head(source.num_features, part.num_classes), "joined")
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    batches, steps = training.batches(part, batch_size, seed=0)
    model.fit(batches.take(2), verbose=0)
    started = perf_counter()
    model.fit(batches, epochs=epochs, steps_per_epoch=steps, verbose=0)
    return perf_counter() - started


def from_cache(values: np.ndarray, part: data.Dataset, epochs: int, batch_size: int) -> float:
    """Return the seconds of the same training on cached features."""
    top = transfer.head(values.shape[1], part.num_classes)
    top.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    top.fit(
        transfer.FeatureBatches([values[: 2 * batch_size]], part.labels[: 2 * batch_size], batch_size, 0),
        verbose=0,
    )
    batches = transfer.FeatureBatches([values], part.labels, batch_size, seed=0)
    started = perf_counter()
    top.fit(batches, epochs=epochs, verbose=0)
    return perf_counter() - started


def side_by_side(source: features.Extractor, part: data.Dataset, epochs: int = 2) -> dict[str, object]:
    """Train the head both ways in turn, three times, and return the seconds and their ratio."""
    values = features.extract(source, part.images).values
    rounds = [
        {
            "through_base": through_base(source, part, epochs, 256),
            "from_cache": from_cache(values, part, epochs, 256),
        }
        for _ in range(3)
    ]
    ratios = [one["through_base"] / one["from_cache"] for one in rounds]
    return {
        "images": len(part),
        "epochs": epochs,
        "rounds": rounds,
        "ratio_median": float(np.median(ratios)),
        "ratios": ratios,
    }


def views_gain(
    source: features.Extractor,
    part: data.Dataset,
    validation: data.Dataset,
    policy: augment.AugmentationPolicy,
    most: int,
) -> list[dict[str, object]]:
    """Return the accuracy of the head with 0, 1, … augmented views over three seeds, compared with none."""
    rows, plain = [], {}
    for count in range(most + 1):
        for seed in range(3):
            settings = transfer.HeadSettings(256, 0.3, 15, 256, 0.008, seed)
            views = [features.View(policy, 0, number) for number in range(1, count + 1)]
            keras.utils.set_random_seed(seed)
            result = head_results.extract(source, part, validation, settings, views=views).fit(DENSE)
            plain.setdefault(seed, result.predicted)
            against = scoring.compare(validation.labels, result.predicted, plain[seed])
            rows.append(
                {
                    "views": count,
                    "seed": seed,
                    "accuracy": result.score.accuracy,
                    "points_against_none": 100 * against.difference,
                    "ci95": [100 * end for end in against.ci95],
                    "p_value": against.p_value,
                    "head_seconds": result.fit.seconds,
                }
            )
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure all of it and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--views", type=int, default=2, help="augmented views to try, at most")
    most = parser.parse_args().views
    seeds.seed_tensorflow(0)
    train, validation, policy = quick_run.parts()
    part = train.subset(splits.stratified_sample(train.labels, 18_000, 0))
    with tempfile.TemporaryDirectory(prefix="osemn-features-") as folder:
        source = features.extractor("efficientnet_lite0", train.image_shape, RESOLUTION)
        os.environ["OSEMN_CACHE_DIR"] = folder
        result = {
            "backbone": source.backbone,
            "resolution": RESOLUTION,
            "extraction": extraction(source, train, validation),
            "head": side_by_side(source, part),
            "views": views_gain(source, part, validation, policy, most),
        }
    result |= {
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "cpu": runs.cpu_name(),
        "cores": os.cpu_count(),
        "tensorflow": tf.__version__,
    }
    print(json.dumps({name: result[name] for name in ("extraction", "head", "peak_memory_mb")}, indent=1))
    manifests.write_json(paths.project_root() / "benchmarks" / "results" / "feature_cache.json", result)


if __name__ == "__main__":
    main()
