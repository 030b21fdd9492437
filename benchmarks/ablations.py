"""One change of the recipe at a time, against the recipe as it is: accuracy and seconds, side by side, seed by seed.

    .venv/bin/python benchmarks/ablations.py --changes adamw whitening --seeds 0 1 2 --epochs 4
    .venv/bin/python benchmarks/ablations.py --table

Real Fashion-MNIST from the quick run of 01 and 03: trained on 54,000 images, scored on the 6,000 validation images, never
on the test set. For each seed, the recipe and all changes are trained one after the other in one process. The recipe is
trained again before every fifth change, so that times can be compared on a machine whose speed varies. A change that makes
a pass faster or slower gets as many epochs as cost the same (at least one).

Results are added to benchmarks/results/ablations.json; `--table` writes benchmarks/ABLATIONS.md from them. Seeds may be
run one at a time: runs of the same recipe on the same kind of machine are counted together. Changes that needed code of
their own and were no better (Nesterov SGD, a triangular schedule, a rate for batch norm's offsets) are in the results, but
no longer in the recipe: commit 365a19a has them.
"""

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import helpers  # noqa: F401 - before TensorFlow, which reads once what it asks for

# isort: split
import keras
import numpy as np
import tensorflow as tf

import quick_run
from helpers import paths, scoring
from helpers.model import architectures, recipe, training
from helpers.obtain import data
from helpers.scrub import augment
from helpers.series import manifests, runs
from helpers.series.seeds import seed_tensorflow

RESULTS = paths.project_root() / "benchmarks" / "results" / "ablations.json"
HEADS = RESULTS.with_name("heads.json")
TABLE = paths.project_root() / "benchmarks" / "ABLATIONS.md"
BASE = "the recipe as it is"
ENOUGH_SEEDS = 3  # with fewer, two lucky seeds would look like a result
STRENGTH = 0.5  # of augmentation; short schedules do not benefit from more
BASE_EVERY = 5  # changes after which the recipe is timed again


@dataclass(frozen=True)
class Change:
    """What differs from the recipe.

    Attributes:
        title: in words.
        recipe: settings of `recipe.Recipe`.
        model: arguments of `architectures.residual_cnn`.
        rewire: changes that network's graph and keeps its weights.
        policy: settings of the augmentation policy.
        prepare: takes the new network and the training part before training, and returns the network.
        change: returns the `change` of `training.batches` for a number of epochs and of steps in an epoch.
        cost: multiplications of an epoch, relative to the same network on full-size images.
    """

    title: str
    recipe: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    rewire: Callable[[keras.Model], keras.Model] | None = None
    policy: dict[str, Any] = field(default_factory=dict)
    prepare: Callable[[keras.Model, data.Dataset], keras.Model] | None = None
    change: Callable[[int, int], Callable[..., tf.Tensor]] | None = None
    cost: float = 1.0


def dirac(model: keras.Model, train: data.Dataset) -> keras.Model:
    """Initialise the first channels of every convolution as the identity (airbench, K. Jordan, 2024)."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel = layer.kernel.numpy()
            for channel in range(min(kernel.shape[2:])):
                kernel[:, :, :, channel] = 0.0
                kernel[1, 1, channel, channel] = 1.0
            layer.kernel.assign(kernel)
    return model


def pooling_before(later: str) -> Callable[[keras.Model], keras.Model]:
    """Move the pooling of the stem before one of its layers, which then sees a smaller map (airbench, K. Jordan, 2024)."""

    def rewire(model: keras.Model) -> keras.Model:
        pool = keras.layers.MaxPooling2D(padding="same", name="stem_pool")

        def call(layer: keras.layers.Layer, *given: Any, **options: Any) -> keras.KerasTensor:
            if layer.name == "stem_pool":
                return given[0]
            return layer(pool(given[0])) if layer.name == later else layer(*given, **options)

        rewired = keras.models.clone_model(model, call_function=call)
        rewired.set_weights(model.get_weights())
        return rewired

    return rewire


def whitening_layer(x: keras.KerasTensor) -> keras.KerasTensor:
    """Return a frozen 3×3 convolution with two outputs for each value of a patch; `whiten` gives it its weights."""
    outputs = 2 * 9 * x.shape[-1]
    layer = keras.layers.Conv2D(outputs, 3, padding="same", use_bias=False, trainable=False, name="whiten")
    return layer(x)


def whiten(model: keras.Model, train: data.Dataset) -> keras.Model:
    """Make the outputs of the first layer uncorrelated, each beside its negative (D. Page, 2018)."""
    normalised = keras.Model(model.input, model.get_layer("normalise").output)
    images = np.asarray(normalised(train.images[:5_000].astype(np.float32)))
    patches = tf.image.extract_patches(images, [1, 3, 3, 1], [1, 1, 1, 1], [1, 1, 1, 1], "VALID")
    rows = np.asarray(patches, np.float64).reshape(-1, patches.shape[-1])
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    filters = (vectors / np.sqrt(values + 1e-2)).reshape(3, 3, images.shape[-1], -1)
    model.get_layer("whiten").kernel.assign(np.concatenate([filters, -filters], axis=-1))
    return model


def alternating_flip(epochs: int, steps: int) -> Callable[..., tf.Tensor]:
    """Mirror each image in every other epoch, half of them in the even ones (airbench, K. Jordan, 2024)."""

    def change(images: tf.Tensor, rows: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        parity = tf.cast(tf.bitwise.right_shift(rows * 40_503, 8) % 2, tf.int64) + step // steps
        return tf.where((parity % 2 == 0)[:, None, None, None], images[:, :, ::-1], images)

    return change


def growing_images(epochs: int, steps: int) -> Callable[..., tf.Tensor]:
    """Train on 20 × 20 pixels for the first half, on 24 × 24 for the next quarter, then on full-size images."""

    def change(images: tf.Tensor, rows: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        done = tf.cast(step, tf.float32) / (epochs * steps)
        whole = tf.shape(images)[1]
        side = tf.where(done < 0.5, 20, tf.where(done < 0.75, 24, whole))
        resized = tf.cond(side == whole, lambda: images, lambda: tf.image.resize(images, [side, side]))
        return tf.ensure_shape(resized, [None, None, None, images.shape[-1]])

    return change


ADAMW = {"optimizer": "adamw", "learning_rate": 1e-2}
CHANGES: dict[str, Change] = {
    "no_average": Change("no average of the weights", recipe={"average_decay": 0.0}),
    "no_smoothing": Change("no label smoothing", recipe={"label_smoothing": 0.0}),
    "no_erasing": Change("no random erasing", policy={"erase_probability": 0.0}),
    "plain_end": Change("no erasing in the last epoch", recipe={"plain_epochs": 1}),
    "shift_2": Change("shifts of two pixels, not one", policy={"shift_fraction": 2 / 28}),
    "adamw": Change("AdamW on kernels, too", recipe=ADAMW),
    "rate_half": Change("half the rate", recipe={"learning_rate": 1e-2}),
    "rate_double": Change("twice the rate", recipe={"learning_rate": 4e-2}),
    "decay_quarter": Change("a quarter of the weight decay", recipe={"weight_decay": 0.0125}),
    "decay_4": Change("four times the weight decay", recipe={"weight_decay": 0.2}),
    "batch_64": Change("batches of 64, rate × 0.7", recipe={"batch_size": 64, "learning_rate": 1.4e-2}),
    "batch_256": Change("batches of 256, rate × 1.4", recipe={"batch_size": 256, "learning_rate": 2.8e-2}),
    "late_pooling": Change("no early pooling, 8 channels", model={"early_pooling": False, "width": 8}),
    "relu_after_pool": Change("the stem's ReLU after its pooling", rewire=pooling_before("stem_relu")),
    "norm_after_pool": Change(
        "the stem's batch norm and ReLU after its pooling", rewire=pooling_before("stem_norm")
    ),
    "width_20": Change("20 channels, no multiple of 16", model={"width": 20}),
    "width_24": Change("24 channels, no multiple of 16", model={"width": 24}),
    "width_32": Change("32 channels", model={"width": 32}),
    "depth_2": Change("two blocks in each stage", model={"depth": 2}),
    "dropout": Change("dropout 0.3 before the classifier", model={"dropout": 0.3}),
    "whitening": Change(
        "a frozen whitening layer in front", model={"front": whitening_layer}, prepare=whiten
    ),
    "dirac": Change("Dirac initialisation", prepare=dirac),
    "alternating_flip": Change(
        "flips that alternate by epoch", policy={"horizontal_flip": False}, change=alternating_flip
    ),
    "growing_images": Change("images that grow from 20 to 28 pixels", change=growing_images, cost=0.69),
    "float32": Change("convolutions in float32, not in bfloat16", recipe={"precision": "float32"}),
}


def network(change: Change, shape: tuple[int | None, ...], train: data.Dataset) -> keras.Model:
    """Return the residual network of a change, freshly initialised, for images of a shape."""
    statistics = quick_run.pixel_statistics(train)
    made = architectures.residual_cnn(shape, train.num_classes, **statistics, **{"width": 16, **change.model})
    return made if change.rewire is None else change.rewire(made)


def measure(
    change: Change, base: recipe.Recipe, parts: tuple[data.Dataset, data.Dataset, augment.AugmentationPolicy]
) -> dict[str, object]:
    """Train once and return accuracy, cost and seconds."""
    train, validation, policy = parts
    plain = network(Change(""), train.image_shape, train)
    fixed = network(change, train.image_shape, train)
    ratio = (
        change.cost * architectures.multiply_accumulates(fixed) / architectures.multiply_accumulates(plain)
    )
    settings = replace(base, **change.recipe, epochs=max(1, round(base.epochs / ratio)))
    keras.utils.set_random_seed(base.seed)
    model = network(change, (None, None, train.image_shape[-1]), train)
    model = model if change.prepare is None else change.prepare(model, train)
    steps = -(-len(train) // settings.batch_size)
    fit = recipe.train(
        model,
        train,
        validation,
        settings,
        policy=replace(policy, **change.policy),
        change=None if change.change is None else change.change(settings.epochs, steps),
    )
    fixed.set_weights(model.get_weights())
    plain_view = training.predict(fixed, validation.images)
    mirrored = training.predict(architectures.averaging_views(fixed, flip=True), validation.images)
    return {
        "seed": base.seed,
        "epochs": settings.epochs,
        "accuracy": float(np.mean(plain_view.argmax(1) == validation.labels)),
        "accuracy_mirrored": float(np.mean(mirrored.argmax(1) == validation.labels)),
        "training_accuracy": fit.history["accuracy"][-1],
        "val_accuracy": fit.history["val_accuracy"],
        "seconds": fit.seconds,
        "million_multiply_accumulates": architectures.multiply_accumulates(fixed) / 1e6,
        "parameters": fixed.count_params(),
    }


def run(names: list[str], seeds: list[int], base: recipe.Recipe) -> None:
    """Train the recipe and the changes for each seed; write the results after each training."""
    seed_tensorflow(seeds[0])
    train, validation, policy = quick_run.parts()
    parts = train, validation, augment.scaled(policy, STRENGTH)
    earlier = json.loads(RESULTS.read_text(encoding="utf-8"))["runs"] if RESULTS.is_file() else []
    this = {
        "recipe": asdict(base),
        "bfloat16": recipe.PRECISIONS[base.precision](),
        "policy": parts[2].settings(),
        "cpu": runs.cpu_name(),
        "cores": os.cpu_count(),
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
        "trials": [],
    }
    for seed in seeds:
        for name in with_base(names):
            change = Change(BASE) if name == "base" else CHANGES[name]
            result = measure(change, replace(base, seed=seed), parts)
            this["trials"].append({"change": name, "title": change.title, **result})
            print(f"{name:18} seed {seed}: {result['accuracy']:.2%}, {result['seconds']:.0f} s", flush=True)
            manifests.write_json(RESULTS, {"runs": [*earlier, this]})


def with_base(names: list[str]) -> list[str]:
    """Return the trainings for one seed in order: the recipe as it is comes before every few changes."""
    ordered = [
        name for first in range(0, len(names), BASE_EVERY) for name in ("base", *names[first:][:BASE_EVERY])
    ]
    return ordered or ["base"]


@dataclass(frozen=True)
class Pair:
    """One training with a change, and the last one before it without, in the same run from the same seed."""

    trial: dict[str, Any]
    base: dict[str, Any]

    def points(self, key: str) -> float:
        """Return what the change adds to an accuracy, in percentage points."""
        return 100 * (self.trial[key] - self.base[key])


def settings_of(this: dict[str, Any]) -> str:
    """Return the settings that runs must share to be counted together."""
    return json.dumps(
        {key: value for key, value in this.items() if key not in ("trials", "note")}, sort_keys=True
    )


def pairs_of(runs: list[dict[str, Any]]) -> dict[str, dict[int, Pair]]:
    """Return the pairs of runs with the same settings, by change and seed; a later one replaces an earlier one."""
    pairs: dict[str, dict[int, Pair]] = {}
    for this in runs:
        base: dict[int, dict[str, Any]] = {}
        for trial in this["trials"]:
            if trial["change"] == "base":
                base[trial["seed"]] = trial
            elif trial["seed"] in base:
                pair = Pair(trial, base[trial["seed"]])
                pairs.setdefault(trial["change"], {})[trial["seed"]] = pair
    return pairs


def groups(runs: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, dict[int, Pair]]]]:
    """Return settings and pairs of runs that belong together, the latest first; each change only in the group with most seeds."""
    same: dict[str, list[dict[str, Any]]] = {}
    for this in runs:
        same.setdefault(settings_of(this), []).append(this)
    notes = {
        key: dict.fromkeys(this["note"] for this in runs if "note" in this) for key, runs in same.items()
    }
    ordered = [
        ({**together[-1], "notes": [*notes[key]]}, pairs_of(together))
        for key, together in reversed(same.items())
    ]
    most: dict[str, int] = {}  # by change: the place of the group that lists it
    for place, (_, pairs) in enumerate(ordered):
        for name, by_seed in pairs.items():
            if name not in most or len(by_seed) > len(ordered[most[name]][1][name]):
                most[name] = place
    listed = [
        (this, {name: by_seed for name, by_seed in pairs.items() if most[name] == place})
        for place, (this, pairs) in enumerate(ordered)
    ]
    return [group for group in listed if group[1]]


def table() -> str:
    """Return the results as Markdown: difference with its interval over seeds, and ratio of seconds."""
    lines = [
        "# What was tried on the recipe",
        "",
        "Generated by `benchmarks/ablations.py --table` from `results/ablations.json`; do not edit it by hand. Points are the",
        "difference in validation accuracy from the unchanged recipe of the same run, paired by seed, with Student's 95%",
        "interval. With three seeds the interval is wide, and most differences are not significant. A change that was run",
        "under several conditions is listed where it has the most seeds. The test set was not used.",
        "",
    ]
    for number, (this, pairs) in enumerate(groups(json.loads(RESULTS.read_text("utf-8"))["runs"]), start=1):
        bases = [pair.base for by_seed in pairs.values() for pair in by_seed.values()]
        seconds = [trial["seconds"] for trial in bases]
        recipe_text = ", ".join(f"{k} {v}" for k, v in this["recipe"].items() if k != "seed")
        lines += [
            f"## Conditions {number}: {np.mean([t['accuracy'] for t in bases]):.2%} in {min(seconds):.0f} to {max(seconds):.0f} s",
            "",
            f"{this['cpu']}, {this['cores']} cores{_precision(this)}. {bases[0]['million_multiply_accumulates']:.1f} million "
            f"multiplications an image; {recipe_text}.",
            "",
            *(line for note in this["notes"] for line in (note, "")),
            "| change | seeds | epochs | points | 95% interval | points, mirrored views averaged | time × | verdict |",
            "|---|---|---|---|---|---|---|---|",
            *(_row(list(by_seed.values())) for by_seed in pairs.values()),
            "",
        ]
    return "\n".join([*lines, *(_heads() if HEADS.is_file() else ())])


def _heads() -> list[str]:
    """Return what was tried on frozen features, from `benchmarks/heads.py`."""
    lines = [
        "## Frozen features and heads",
        "",
        "Measured by `benchmarks/heads.py`: EfficientNet-Lite0 at 224 pixels, means over splits that keep copies together. Left",
        "out, though tried: batch-norm statistics of the new images, which are worse; averaged mirrored views, which cost every",
        "later prediction twice its time; and nearest neighbours, which need a row of weights for each training image in the",
        "exported model.",
        "",
    ]
    for name, result in json.loads(HEADS.read_text("utf-8")).items():
        lines += [f"| {name} | accuracy | balanced accuracy | macro-F1 |", "|---|---|---|---|"]
        for title, values in result["metrics"].items():
            means = [f"{np.mean(values[key]):.3f}" for key in ("accuracy", "balanced_accuracy", "macro_f1")]
            lines.append(f"| {title} | {' | '.join(means)} |")
        lines.append("")
    return lines


def _precision(this: dict[str, Any]) -> str:
    if "bfloat16" not in this:
        return ""
    return f", convolutions in {'bfloat16' if this['bfloat16'] else 'float32'}"


def _row(pairs: list[Pair]) -> str:
    points = np.array([pair.points("accuracy") for pair in pairs])
    mirrored = np.mean([pair.points("accuracy_mirrored") for pair in pairs])
    ratio = np.median([pair.trial["seconds"] / pair.base["seconds"] for pair in pairs])
    interval, verdict = "too few seeds", "not judged"
    if len(pairs) >= ENOUGH_SEEDS:
        low, high = scoring.mean_of(points).ci95
        interval = f"{low:+.2f} to {high:+.2f}"
        verdict = "better" if low > 0 else "worse" if high < 0 else "not significant"
    seeds = ", ".join(str(pair.trial["seed"]) for pair in pairs)
    title, epochs = pairs[0].trial["title"], pairs[0].trial["epochs"]
    return f"| {title} | {seeds} | {epochs} | {points.mean():+.2f} | {interval} | {mirrored:+.2f} | {ratio:.2f} | {verdict} |"


def main() -> None:
    """Train the changes that the command line names, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--changes", nargs="+", choices=sorted(CHANGES), default=[])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--table", action="store_true", help="only write benchmarks/ABLATIONS.md")
    given = parser.parse_args()
    if not given.table:
        run(given.changes, given.seeds, recipe.Recipe(epochs=given.epochs))
    Path(TABLE).write_text(table(), encoding="utf-8")


if __name__ == "__main__":
    main()
