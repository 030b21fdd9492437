"""What 09_tuning searches: the residual CNN with its recipe, and the head on frozen features."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import optuna
import pandas as pd
import tensorflow as tf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from helpers.errors import DivergedError
from helpers.model import architectures, cpu_speed, recipe, training, transfer
from helpers.model.backbones import features
from helpers.model.tuning import gain, sampler, study
from helpers.obtain import data, splits
from helpers.scrub import augment
from helpers.series import manifests, metrics
from helpers.series.metrics import Metric
from helpers.series.progress import Progress
from helpers.series.runs import Run

_OF_RECIPE = (
    "learning_rate",
    "weight_decay",
    "label_smoothing",
)  # parameters that are settings of the recipe


class Space:
    """What a study searches; a subclass is a dataclass with `space`, `defaults`, `seed`, `truth`, `metric` and an `objective`."""

    rungs: tuple[int, ...] = ()

    def value(self, probabilities: np.ndarray) -> float:
        """Return the metric of probabilities of the validation images, `[N, K]`."""
        labels, classes = self.truth
        return self.metric(labels, probabilities.argmax(axis=1), classes)

    def gain(
        self, study: optuna.Study, winner: Sequence[float] = (), defaults: Sequence[float] = ()
    ) -> gain.Gain:
        """Return what a study of this space gained; see `gain.measure_gain`.

        Example:
            `search.gain(study, winner_values, default_values)`
        """
        return gain.measure_gain(study, self.metric, *self.truth, winner, defaults)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Everything else that a trial's value depends on: data and settings, the recipe, the code, the libraries."""
        return {
            **vars(self),
            "recipe": recipe.Recipe(),
            "bfloat16": cpu_speed.bfloat16_is_native(),  # decides the recipe's precision
            "code": manifests.code_sha256("model.tuning.spaces"),
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
        }

    def settings(self, trials: int) -> sampler.Search:
        """Return the settings of a study that tries the defaults first."""
        return sampler.Search(
            self.space,
            trials,
            seed=self.seed,
            first=(self.defaults,),
            rungs=self.rungs,
            fingerprint=self.fingerprint,
        )

    def table(self) -> pd.DataFrame:
        """Return one row per parameter: the values that it may have, in words, and its default.

        Example:
            `search.table()`
        """
        rows = {name: (describe(values), self.defaults[name]) for name, values in self.space.items()}
        table = pd.DataFrame.from_dict(rows, "index", columns=["values", "default"], dtype=object)
        return table.rename_axis("parameter")


@dataclass(frozen=True, eq=False)
class CnnSearch(Space):
    """The residual CNN: its size, its recipe and the strength of its augmentation.

    Attributes:
        train: training images of a trial.
        validation: images on which trials are scored.
        policy: of augmentation, at strength 1.
        statistics: `{"mean": […], "standard_deviation": […]}` of the channels, 0–255.
        widths, depths: to choose from; the first is the default.
        early_pooling: as for `architectures.residual_cnn`.
        epochs: of a trial.
        batch_size: images in a step.
        seed: of weights, order and augmentation.
        metric: of the value of a trial.
    """

    train: data.Dataset
    validation: data.Dataset
    policy: augment.AugmentationPolicy
    statistics: Mapping[str, list[float]]
    widths: Sequence[int]
    depths: Sequence[int]
    early_pooling: bool
    epochs: int
    batch_size: int
    seed: int
    metric: Metric

    @property
    def space(self) -> dict[str, BaseDistribution]:
        """The values that each parameter may have."""
        return {
            "learning_rate": FloatDistribution(2e-3, 0.1, log=True),
            "weight_decay": FloatDistribution(1e-3, 0.5, log=True),
            "label_smoothing": FloatDistribution(0.0, 0.2),
            "dropout": FloatDistribution(0.0, 0.5),
            "augmentation_strength": FloatDistribution(0.0, 1.5),
            "width": CategoricalDistribution(list(self.widths)),
            "depth": CategoricalDistribution(list(self.depths)),
            "dense_units": CategoricalDistribution([0, 64, 128]),
        }

    @property
    def defaults(self) -> dict[str, Any]:
        """The settings without a search, which the study tries first."""
        return {
            **{name: getattr(recipe.Recipe(), name) for name in _OF_RECIPE},
            "dropout": 0.0,
            "augmentation_strength": 0.5,  # short schedules do not benefit from more
            "width": self.widths[0],
            "depth": self.depths[0],
            "dense_units": 0,
        }

    def fit(
        self, params: Mapping[str, Any], train: data.Dataset, *, epochs: int, seed: int, **options: Any
    ) -> tuple[keras.Model, training.Fit]:
        """Train a network with these settings; return it and its training.

        Args:
            params: a value for each name of `space`.
            train: the training images.
            epochs: passes over them.
            seed: of weights, order and augmentation.
            **options: passed on to `recipe.train`, such as `callbacks` and `progress`.

        Raises:
            DivergedError: the loss became NaN or infinite.
        """
        keras.utils.set_random_seed(seed)
        model = architectures.residual_cnn(
            self.train.image_shape,
            self.train.num_classes,
            **self.statistics,
            **{name: params[name] for name in ("width", "depth", "dropout", "dense_units")},
            early_pooling=self.early_pooling,
        )
        of_recipe = {name: params[name] for name in _OF_RECIPE}
        settings = recipe.Recipe(epochs=epochs, batch_size=self.batch_size, seed=seed, **of_recipe)
        policy = augment.scaled(self.policy, params["augmentation_strength"])
        return model, recipe.train(model, train, self.validation, settings, policy=policy, **options)

    def fit_seeds(
        self, params: Mapping[str, Any], train: data.Dataset, *, epochs: int, count: int, title: str
    ) -> list[tuple[keras.Model, training.Fit]]:
        """Train `count` networks with these settings from consecutive seeds, beginning with the search's own.

        `title` names the progress bars; the other arguments are those of `fit`.

        Example:
            `winners = search.fit_seeds(best.params, train, epochs=epochs, count=seeds, title="winner")`
        """
        fits = []
        for seed in range(self.seed, self.seed + count):
            progress = Progress(f"{title}, seed {seed}", "steps")
            fits.append(self.fit(params, train, epochs=epochs, seed=seed, progress=progress))
        return fits

    def objective(self, trial: optuna.Trial) -> float:
        """Train with a trial's settings, report validation accuracy by epoch, and return the metric on validation."""
        keras.backend.clear_session(free_memory=False)
        options = {"epochs": self.epochs, "seed": self.seed, "callbacks": [study.pruning_callback(trial)]}
        try:
            model, fit = self.fit(trial.params, self.train, **options)
        except DivergedError:
            return float("nan")
        trial.set_user_attr("parameters", model.count_params())
        predicted = fit.probabilities.argmax(axis=1)
        return gain.score_trial(trial, self.metric, *self.truth, predicted)

    @property
    def truth(self) -> tuple[np.ndarray, int]:
        """The labels of the validation images, and the number of classes."""
        return self.validation.labels, self.train.num_classes

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs after which poor trials end: one, three, nine …"""
        return sampler.halving_rungs(self.epochs)


@dataclass(frozen=True, eq=False)
class HeadSearch(Space):
    """The head of 05_transfer_learning on cached features of a frozen backbone; a trial takes seconds, so none is pruned.

    Attributes:
        features: of the training images, `float32 [N, F]`.
        labels: of these, `[N] int64`.
        held_out: features and labels of the validation images.
        num_classes: number of classes.
        usual: the settings of 05, which the study tries first, with the seed of this search.
        metric: of the value of a trial.
    """

    features: np.ndarray
    labels: np.ndarray
    held_out: tuple[np.ndarray, np.ndarray]
    num_classes: int
    usual: transfer.HeadSettings
    metric: Metric

    @property
    def truth(self) -> tuple[np.ndarray, int]:
        """The labels of the validation images, and the number of classes."""
        return self.held_out[1], self.num_classes

    @property
    def seed(self) -> int:
        """The seed of suggestions, weights and order."""
        return self.usual.seed

    @property
    def defaults(self) -> dict[str, Any]:
        """The settings without a search, which the study tries first."""
        return {name: getattr(self.usual, name) for name in ("learning_rate", "dropout", "units")}

    @property
    def space(self) -> dict[str, BaseDistribution]:
        """The values that each parameter may have; they include the defaults."""
        rate, dropout, units = self.defaults.values()
        return {
            "learning_rate": FloatDistribution(min(5e-4, rate), max(3e-2, rate), log=True),
            "dropout": FloatDistribution(0.0, max(0.6, dropout)),
            "units": CategoricalDistribution(sorted({64, 128, 256, 512, units})),
        }

    def objective(self, trial: optuna.Trial) -> float:
        """Train a head with a trial's settings and return its metric on validation."""
        settings, num_features = replace(self.usual, **trial.params), self.features.shape[1]
        head = transfer.head(num_features, self.num_classes, settings.units, settings.dropout, self.seed)
        try:
            fit = transfer.fit_head(head, [self.features], self.labels, self.held_out, settings)
        except DivergedError:
            return float("nan")
        for epoch, accuracy in enumerate(fit.history["val_accuracy"], start=1):
            trial.report(accuracy, step=epoch)
        predicted = transfer.head_labels(head, self.held_out[0])
        return gain.score_trial(trial, self.metric, *self.truth, predicted)


def cnn_search(
    run: Run,
    parts: tuple[data.Dataset, data.Dataset],
    *,
    trial_samples: int,
    trial_epochs: int,
    **settings: Any,
) -> CnnSearch:
    """Return the search of the residual CNN on the inputs of a run of 09_tuning.

    Args:
        run: of 09_tuning.
        parts: the training and the validation part.
        trial_samples: stratified training images of a trial.
        trial_epochs: passes over them.
        **settings: `widths`, `depths`, `early_pooling` and `batch_size` of `CnnSearch`.

    Example:
        `search = spaces.cnn_search(run, (train, validation), trial_samples=trial_samples, …)`
    """
    train, validation = parts
    size = min(trial_samples, len(train))
    policy, statistics = (
        json.loads(run.input("03_preprocess", name).read_text(encoding="utf-8"))
        for name in ("augmentation.json", "normalisation.json")
    )
    part = train.subset(splits.stratified_sample(train.labels, size, run.seed))
    policy = augment.AugmentationPolicy.from_dict(policy)
    metric = metrics.load(run.input("03_preprocess", "metric.json"))
    settings |= {"epochs": trial_epochs, "seed": run.seed, "metric": metric}
    return CnnSearch(part, validation, policy, statistics, **settings)


def head_search(run: Run, progress: Callable[..., None] = lambda done, total, note="": None) -> HeadSearch:
    """Return the search of the dense head of 05_transfer_learning, with that stage's parameters and its cached features.

    `progress` is that of `features.extract`, if features have to be extracted again.

    Example:
        `head = spaces.head_search(run, progress=Progress("features"))`
    """
    found = json.loads(run.input("05_transfer_learning", "metrics.json").read_text(encoding="utf-8"))
    of_05 = run.upstream["05_transfer_learning"]["parameters"]
    train, validation = data.load_split(run, side=found["resolution"])
    fraction = min(1.0, of_05["samples"] / (len(train) + len(validation)))
    subset = train.subset(splits.stratified_sample(train.labels, round(fraction * len(train)), of_05["seed"]))
    how = (found["resolution"], of_05["interpolation"])
    source = features.extractor(found["backbone"], train.image_shape, *how)
    mine = features.extract(source, subset.images, progress=progress)
    held_out = features.extract(source, validation.images, progress=progress)
    same = ("dropout", "epochs", "batch_size", "learning_rate")
    return HeadSearch(
        mine.values,
        subset.labels,
        (held_out.values, validation.labels),
        train.num_classes,
        transfer.HeadSettings(of_05["head_units"], **{name: of_05[name] for name in same}, seed=run.seed),
        metrics.load(run.input("03_preprocess", "metric.json")),
    )


def describe(values: BaseDistribution) -> str:
    """Return the values that a parameter may have, in words."""
    if isinstance(values, CategoricalDistribution):
        return ", ".join(str(choice) for choice in values.choices)
    return f"{values.low:g} to {values.high:g}{', on a log scale' if values.log else ''}"
