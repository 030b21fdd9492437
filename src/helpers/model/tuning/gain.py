"""What a study gained: the best settings compared with the defaults, by full trainings or by stored predictions."""

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from helpers.model.tuning.study import best_trial
from helpers.series import metrics
from helpers.series.metrics import Metric

_PREDICTED = "predicted"
_DRAWS = 1_000  # bootstrap samples of the images: 25 of them lie outside each end of the interval


def score_trial(
    trial: optuna.Trial, metric: Metric, labels: np.ndarray, num_classes: int, predicted: np.ndarray
) -> float:
    """Store a trial's predictions with it, and return their metric."""
    packed = zlib.compress(predicted.astype("<u2").tobytes())
    trial.set_user_attr(_PREDICTED, base64.b64encode(packed).decode("ascii"))
    return metric(labels, predicted, num_classes)


def stored_predictions(trial: FrozenTrial) -> np.ndarray:
    """Return the labels that a complete trial predicted for the validation images, `[N] int64`."""
    packed = base64.b64decode(trial.user_attrs[_PREDICTED])
    return np.frombuffer(zlib.decompress(packed), "<u2").astype(np.int64)


@dataclass(frozen=True)
class Gain:
    """What the best settings gain over the defaults.

    Attributes:
        points: a hundred times the difference of the metric on validation images.
        ci95: their 95% interval, in points.
        basis: what the interval rests on: "seeds" (and images), or "images" if there are too few full trainings; "defaults" if the
            defaults themselves are best, so that there is nothing to compare.
        count: number of seeds, or of images.
        metric: by which they are compared.
    """

    points: float
    ci95: tuple[float, float]
    basis: str
    count: int
    metric: Metric

    @property
    def favours_defaults(self) -> bool:
        """Whether the defaults did better at full length, so that they are used."""
        return self.basis == "seeds" and self.points < 0


def measure_gain(
    study: optuna.Study,
    metric: Metric,
    labels: np.ndarray,
    num_classes: int,
    winner: Sequence[np.ndarray] = (),
    defaults: Sequence[np.ndarray] = (),
) -> Gain:
    """Return what the best trial's settings gain over the first trial's, which are the defaults.

    Args:
        study: finished; its first trial has the defaults.
        metric: of its values.
        labels: of the validation images, `[N] int64`.
        num_classes: number of classes.
        winner: predictions of full trainings with the best settings, `[N] int64` for each seed.
        defaults: the same with the defaults. With fewer than `metrics.SEEDS` of each, the two trials are compared image by image.

    Example:
        `gain.measure_gain(study, metric, validation.labels, validation.num_classes, winner_labels, default_labels)`
    """
    best = best_trial(study)
    if best.number == 0:
        return Gain(0.0, (0.0, 0.0), "defaults", len(labels), metric)
    seeds = min(len(winner), len(defaults))
    if seeds >= metrics.SEEDS:
        pair = metrics.compare_methods(metric, labels, np.array(winner), np.array(defaults), num_classes)
        low, high = pair.ci95
        return Gain(100 * pair.value, (100 * low, 100 * high), "seeds", seeds, metric)
    trials = [stored_predictions(trial) for trial in (best, study.trials[0])]

    def difference(rows: np.ndarray) -> float:
        one, other = (metric(labels[rows], predicted[rows], num_classes) for predicted in trials)
        return 100 * (one - other)

    drawn = np.random.default_rng(0).integers(0, len(labels), (_DRAWS, len(labels)))
    low, high = np.quantile([difference(rows) for rows in drawn], [0.025, 0.975])
    points = difference(np.arange(len(labels)))
    return Gain(points, (float(low), float(high)), "images", len(labels), metric)
