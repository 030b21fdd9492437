"""What a study gained: each trial's predictions are kept with it, and the best is compared with the defaults."""

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from helpers import scoring
from helpers.model.tuning import study as tuning

_PREDICTED = "predicted"


def scored(trial: optuna.Trial, labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> float:
    """Keep a trial's predictions with it, and return their macro-F1."""
    packed = zlib.compress(predicted.astype("<u2").tobytes())
    trial.set_user_attr(_PREDICTED, base64.b64encode(packed).decode("ascii"))
    return scoring.score(labels, predicted, num_classes).macro_f1


def predicted(trial: FrozenTrial) -> np.ndarray:
    """Return the labels that a complete trial predicted for the validation images, `[N] int64`."""
    packed = base64.b64decode(trial.user_attrs[_PREDICTED])
    return np.frombuffer(zlib.decompress(packed), "<u2").astype(np.int64)


@dataclass(frozen=True)
class Gain:
    """What the best settings gain over the defaults.

    Attributes:
        points: percentage points of validation accuracy.
        ci95: their 95% interval, in points; over seeds at least an image to each side.
        basis: what the interval rests on: "seeds", or "images" where there are not enough trainings to tell; "defaults"
            where the defaults themselves are best, and there is nothing to compare.
        count: how many seeds, or images.
    """

    points: float
    ci95: tuple[float, float]
    basis: str
    count: int

    @property
    def shown(self) -> bool:
        """Whether full trainings show it: images that picked the winner cannot."""
        return self.basis == "seeds" and self.ci95[0] > 0

    @property
    def lost(self) -> bool:
        """Whether the defaults did better at full length, so that they are kept."""
        return self.basis == "seeds" and self.points < 0

    @property
    def sentence(self) -> str:
        """The gain in words."""
        if self.basis == "defaults":
            return "No other settings beat the defaults, which are the winner."
        ends = f"95% interval {self.ci95[0]:+.2f} to {self.ci95[1]:+.2f}"
        if self.basis == "seeds":
            verdict = (
                "a gain"
                if self.shown
                else "a loss"
                if self.ci95[1] < 0
                else "not shown to be more than noise"
            )
            ends += f": {verdict}"
            misled = "The short trials misled: the" if self.ci95[1] < 0 else "The"
            kept = f" {misled} defaults are kept." if self.lost else ""
            return f"Against the defaults, trained as long from the same {self.count} seeds: {self.points:+.2f} points, {ends}.{kept}"
        return (
            f"Against the defaults, both as short as in the search: {self.points:+.2f} points on {self.count:,} validation images, {ends}. "
            "The winner was picked on these images, which flatters it: no gain is shown by them."
        )


def gain(
    study: optuna.Study,
    labels: np.ndarray,
    winner: Sequence[float] = (),
    defaults: Sequence[float] = (),
) -> Gain:
    """Return what the best trial's settings gain over the first trial's, which are the defaults.

    Args:
        study: finished; its first trial has the defaults.
        labels: of the validation images, `[N] int64`.
        winner: accuracies of full trainings with the best settings, one for each seed.
        defaults: the same with the defaults, from the same seeds. With fewer than two pairs, the two trials are compared
            image by image.
    """
    if tuning.best_trial(study).number == 0:
        return Gain(0.0, (0.0, 0.0), "defaults", len(labels))
    pairs = min(len(winner), len(defaults))
    if pairs >= 2:
        found = scoring.mean_of(100 * (np.array(winner[:pairs]) - np.array(defaults[:pairs])))
        # accuracies move by whole images, so that a few seeds can differ by the same
        image = 100 / len(labels)
        ends = (min(found.ci95[0], found.value - image), max(found.ci95[1], found.value + image))
        ends = (round(ends[0], 9), round(ends[1], 9))  # a difference of one image ends at 0, not beside it
        return Gain(found.value, ends, "seeds", pairs)
    found = scoring.compare(labels, predicted(tuning.best_trial(study)), predicted(study.trials[0]))
    return Gain(100 * found.difference, (100 * found.ci95[0], 100 * found.ci95[1]), "images", len(labels))
