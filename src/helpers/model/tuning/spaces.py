"""What the studies of 09_tuning search: the residual CNN with its recipe, and the head on frozen features."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import optuna
import tensorflow as tf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from helpers.errors import DivergedError
from helpers.model import architectures, cpu_speed, recipe, training, transfer
from helpers.model.backbones import features
from helpers.model.tuning import gain, sampler
from helpers.model.tuning import study as tuning
from helpers.obtain import data
from helpers.scrub import augment
from helpers.series import manifests
from helpers.series.runs import Run


@dataclass(frozen=True, eq=False)
class CnnSearch:
    """The residual CNN: its size, its recipe and the strength of its augmentation.

    Attributes:
        train: training images of a trial.
        validation: images by which trials are judged.
        policy: of augmentation, at strength 1.
        statistics: `{"mean": […], "standard_deviation": […]}` of the channels, 0–255.
        widths: to choose from; the first is the default.
        depths: to choose from; the first is the default.
        early_pooling: as for `models.residual_cnn`.
        epochs: of a trial.
        batch_size: images in a step.
        seed: of weights, order and augmentation.
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

    @property
    def space(self) -> dict[str, BaseDistribution]:
        """What each parameter may be."""
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
        usual = recipe.Recipe()
        return {
            "learning_rate": usual.learning_rate,
            "weight_decay": usual.weight_decay,
            "label_smoothing": usual.label_smoothing,
            "dropout": 0.0,
            "augmentation_strength": 0.5,  # short schedules have no use for more
            "width": self.widths[0],
            "depth": self.depths[0],
            "dense_units": 0,
        }

    @property
    def fingerprint(self) -> dict[str, Any]:
        """All else that a trial's value depends on."""
        return {
            "train": data.array_sha256(self.train.images, self.train.labels),
            "validation": data.array_sha256(self.validation.images, self.validation.labels),
            "policy": self.policy.settings(),
            "early_pooling": self.early_pooling,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "recipe": asdict(recipe.Recipe()),
            "bfloat16": cpu_speed.bfloat16_is_native(),  # by which the recipe's precision goes
            **_programs(),
        }

    def model(self, params: Mapping[str, Any], seed: int) -> keras.Model:
        """Return the untrained network of some settings."""
        keras.utils.set_random_seed(seed)
        return architectures.residual_cnn(
            self.train.image_shape,
            self.train.num_classes,
            **self.statistics,
            **{name: params[name] for name in ("width", "depth", "dropout", "dense_units")},
            early_pooling=self.early_pooling,
        )

    def fit(
        self,
        params: Mapping[str, Any],
        train: data.Dataset,
        *,
        epochs: int,
        seed: int,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        progress: Callable[..., None] | None = None,
    ) -> tuple[keras.Model, training.Fit]:
        """Return the trained network of some settings, and its training.

        Args:
            params: a value for each name of `space`.
            train: the training images.
            epochs: passes over them.
            seed: of weights, order and augmentation.
            callbacks: Keras's.
            progress: called with steps done and steps in all.

        Raises:
            DivergedError: the loss became NaN or infinite.
        """
        model = self.model(params, seed)
        settings = recipe.Recipe(
            epochs=epochs,
            batch_size=self.batch_size,
            seed=seed,
            **{name: params[name] for name in ("learning_rate", "weight_decay", "label_smoothing")},
        )
        fit = recipe.train(
            model,
            train,
            self.validation,
            settings,
            policy=augment.scaled(self.policy, params["augmentation_strength"]),
            callbacks=callbacks,
            progress=progress,
        )
        return model, fit

    def objective(self, trial: optuna.Trial) -> float:
        """Train with a trial's settings, report validation accuracy by epoch, and return the macro-F1 on validation."""
        keras.backend.clear_session(free_memory=False)
        callbacks = [tuning.pruning_callback(trial)]
        try:
            model, fit = self.fit(
                trial.params, self.train, epochs=self.epochs, seed=self.seed, callbacks=callbacks
            )
        except DivergedError:
            return float("nan")
        predicted = fit.probabilities.argmax(axis=1)
        trial.set_user_attr("parameters", model.count_params())
        return gain.scored(trial, self.validation.labels, predicted, self.train.num_classes)

    def settings(self, trials: int) -> tuning.Search:
        """Return the study's settings: bad trials end after an epoch, then after three, after nine …"""
        return tuning.Search(
            self.space,
            trials,
            seed=self.seed,
            first=(self.defaults,),
            rungs=sampler.halving_rungs(self.epochs),
            fingerprint=self.fingerprint,
        )


def _programs() -> dict[str, str]:
    """Return what computes a trial: its code, and the versions of the libraries."""
    code = manifests.code_sha256("model.tuning.spaces")
    return {"code": code, "keras": keras.__version__, "tensorflow": tf.__version__}


@dataclass(frozen=True, eq=False)
class HeadSearch:
    """The head of 05_transfer_learning on cached features of a frozen backbone.

    Attributes:
        features: of the training images, `float32 [N, F]`.
        labels: of these, `[N] int64`.
        held_out: features and labels of the validation images.
        num_classes: number of classes.
        defaults: learning rate, dropout and units of 05, which the study tries first.
        epochs: of a trial.
        batch_size: rows in a step.
        seed: of weights and order.
    """

    features: np.ndarray
    labels: np.ndarray
    held_out: tuple[np.ndarray, np.ndarray]
    num_classes: int
    defaults: Mapping[str, Any]
    epochs: int
    batch_size: int
    seed: int

    @property
    def space(self) -> dict[str, BaseDistribution]:
        """What each parameter may be; the defaults are always among it."""
        return {
            "learning_rate": FloatDistribution(
                min(5e-4, self.defaults["learning_rate"]), max(3e-2, self.defaults["learning_rate"]), log=True
            ),
            "dropout": FloatDistribution(0.0, max(0.6, self.defaults["dropout"])),
            "units": CategoricalDistribution(sorted({64, 128, 256, 512, self.defaults["units"]})),
        }

    @property
    def fingerprint(self) -> dict[str, Any]:
        """All else that a trial's value depends on."""
        return {
            "features": data.array_sha256(self.features, self.labels),
            "held_out": data.array_sha256(*self.held_out),
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "seed": self.seed,
            **_programs(),
        }

    def objective(self, trial: optuna.Trial) -> float:
        """Train a head with a trial's settings and return its macro-F1 on validation."""
        params = trial.params
        top = transfer.head(
            self.features.shape[1], self.num_classes, params["units"], params["dropout"], self.seed
        )
        try:
            fit = transfer.fit_head(
                top,
                [self.features],
                self.labels,
                self.held_out,
                epochs=self.epochs,
                batch_size=self.batch_size,
                learning_rate=params["learning_rate"],
                seed=self.seed,
            )
        except DivergedError:
            return float("nan")
        for epoch, accuracy in enumerate(fit.history["val_accuracy"], start=1):
            trial.report(accuracy, step=epoch)
        predicted = transfer.head_labels(top, self.held_out[0])
        return gain.scored(trial, self.held_out[1], predicted, self.num_classes)

    def settings(self, trials: int) -> tuning.Search:
        """Return the study's settings; a trial takes seconds, so none is pruned."""
        return tuning.Search(
            self.space, trials, seed=self.seed, first=(self.defaults,), fingerprint=self.fingerprint
        )


def cnn_search(
    run: Run,
    *,
    trial_samples: int,
    trial_epochs: int,
    widths: Sequence[int],
    depths: Sequence[int],
    early_pooling: bool,
    batch_size: int,
) -> CnnSearch:
    """Return the search on the inputs of a run of 09_tuning; the arguments are parameters of that notebook."""
    train, validation = data.load_split(run)
    size = min(trial_samples, len(train))
    policy = json.loads(run.input("03_preprocess", "augmentation.json").read_text(encoding="utf-8"))
    statistics = json.loads(run.input("03_preprocess", "normalisation.json").read_text(encoding="utf-8"))
    return CnnSearch(
        train.subset(data.stratified_sample(train.labels, size, run.seed)),
        validation,
        augment.AugmentationPolicy.from_dict(policy),
        statistics,
        tuple(widths),
        tuple(depths),
        early_pooling,
        trial_epochs,
        batch_size,
        run.seed,
    )


def head_search(run: Run, progress: Callable[..., None] | None = None) -> HeadSearch:
    """Return the search of the head of 05_transfer_learning, as that stage was run; its features are cached.

    Args:
        run: of 09_tuning.
        progress: as for `features.extract`, where features have to be extracted again.
    """
    run.input("05_transfer_learning", "metrics.json")  # so that another run of 05 makes this stage outdated
    of_05 = run.upstream["05_transfer_learning"]["parameters"]
    train, validation = data.load_split(run)
    share = min(1.0, of_05["samples"] / (len(train) + len(validation)))
    subset = train.subset(data.stratified_sample(train.labels, round(share * len(train)), of_05["seed"]))
    source = features.extractor(
        of_05["backbone"], train.image_shape, of_05["resolution"], of_05["interpolation"]
    )
    options = {} if progress is None else {"progress": progress}
    mine, held_out = (features.extract(source, part.images, **options) for part in (subset, validation))
    return HeadSearch(
        mine.values,
        subset.labels,
        (held_out.values, validation.labels),
        train.num_classes,
        {"learning_rate": of_05["learning_rate"], "dropout": of_05["dropout"], "units": of_05["head_units"]},
        of_05["epochs"],
        of_05["batch_size"],
        run.seed,
    )


def work_on(
    search: CnnSearch | HeadSearch,
    study: str,
    trials: int,
    *,
    folder: Path,
    storage: str,
    progress: Callable[[int, int, str], None] | None = None,
) -> optuna.Study:
    """Work on a study until it is finished, alone or beside other workers, and return it.

    Args:
        search: what is searched.
        study: its name; to it is added a part that changes with the settings, so that studies are never mixed.
        trials: how many make the study.
        folder: as for `tuning.run`.
        storage: as for `tuning.run`.
        progress: called with trials finished and trials in all.

    Raises:
        UsageError: as for `tuning.run`.
        OsemnError: as for `tuning.run`.
    """
    settings = search.settings(trials)
    name = f"{study}-{settings.digest[:8]}"
    return tuning.run(search.objective, settings, name, folder=folder, storage=storage, progress=progress)


def describe(distribution: BaseDistribution) -> str:
    """Return what a parameter may be, in words."""
    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(str(choice) for choice in distribution.choices)
    scale = ", on a log scale" if distribution.log else ""
    return f"{distribution.low:g} to {distribution.high:g}{scale}"
