"""What 09_tuning searches: the residual CNN and its recipe."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import optuna
import pandas as pd
import tensorflow as tf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from helpers.errors import DivergedError
from helpers.model import architectures, cpu_speed, recipe, training
from helpers.model.tuning import gain, sampler, study
from helpers.obtain import data, splits
from helpers.scrub import augment
from helpers.series import manifests, metrics
from helpers.series.metrics import Metric
from helpers.series.progress import Progress
from helpers.series.runs import Run

# parameters that are settings of the recipe
_OF_RECIPE = ("learning_rate", "weight_decay", "label_smoothing")


@dataclass(frozen=True, eq=False)
class CnnSearch:
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

    def gain(
        self, study: optuna.Study, winner: Sequence[np.ndarray] = (), defaults: Sequence[np.ndarray] = ()
    ) -> gain.Gain:
        """Return what a study of this space gained; see `gain.measure_gain`.

        Example:
            `search.gain(study, winner_labels, default_labels)`
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
        rungs = sampler.halving_rungs(self.epochs)  # poor trials end after one, three, nine … epochs
        options = {"rungs": rungs, "seed": self.seed, "fingerprint": self.fingerprint}
        return sampler.Search(self.space, trials, first=(self.defaults,), **options)

    def table(self) -> pd.DataFrame:
        """Return one row per parameter: the values that it may have, in words, and its default.

        Example:
            `search.table()`
        """
        rows = {name: (describe(values), self.defaults[name]) for name, values in self.space.items()}
        table = pd.DataFrame.from_dict(rows, "index", columns=["values", "default"], dtype=object)
        return table.rename_axis("parameter")

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
        policy = self.policy_of(params)
        return model, recipe.train(model, train, self.validation, settings, policy=policy, **options)

    def policy_of(self, params: Mapping[str, Any]) -> augment.AugmentationPolicy:
        """Return how much of the augmentation some settings use.

        Example:
            `search.policy_of(best.params)`
        """
        return augment.scaled(self.policy, params["augmentation_strength"])

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


def describe(values: BaseDistribution) -> str:
    """Return the values that a parameter may have, in words."""
    if isinstance(values, CategoricalDistribution):
        return ", ".join(str(choice) for choice in values.choices)
    return f"{values.low:g} to {values.high:g}{', on a log scale' if values.log else ''}"
