"""Chooses a backbone by a quick measure: a cross-validated linear head on the frozen features of a sample."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from helpers.model import classical_heads, out_of_fold, transfer
from helpers.model.backbones import features
from helpers.obtain import splits
from helpers.series import backbone_names
from helpers.series.metrics import Metric

SAMPLE = 500  # images: a few seconds per backbone; see benchmarks/backbone_choice.py
FOLDS = 5
# C of the logistic regression: weak fits do best on thousands of features of few hundred images
_PENALTY = 0.01
_DRAWS = 200  # bootstrap samples, enough for a standard error


@dataclass(frozen=True, eq=False)
class Choice:
    """The backbone chosen for a data set.

    Attributes:
        winner: its name.
        table: a row for each backbone, smallest first: `backbone`, `resolution`, `parameters`, `value` (the metric),
            `standard_error`, `seconds` (of the pass through it).
        metric: the metric of `value`.
        images: number of images in the sample.
    """

    winner: str
    table: pd.DataFrame
    metric: Metric
    images: int

    def rule(self) -> str:
        """Return how the winner was chosen, in a sentence."""
        best = self.table.loc[self.table["value"].idxmax(), "backbone"]
        text = (
            f"{backbone_names.find(best).title} has the best {self.metric.title}, by a linear head on frozen features, "
            f"cross-validated on {self.images:,} training images"
        )
        if self.winner == best:
            return f"{text}."
        return f"{text}. {backbone_names.find(self.winner).title} is smaller and within one standard error of it."


def choose(
    names: Sequence[str],
    images: Callable[[int], np.ndarray],
    labels: np.ndarray,
    together: np.ndarray,
    *,
    metric: Metric,
    resolution: int = 0,
    interpolation: str = "bilinear",
    sample: int = SAMPLE,
    seed: int = 0,
    progress: features.Tell = lambda done, total, note="": None,
) -> Choice:
    """Return the smallest backbone whose metric is within one standard error of the best one's.

    The metric is that of a logistic regression on pooled features, in stratified folds that keep groups together. The
    standard error is a bootstrap's over the images.

    Args:
        names: of the backbones, in any order.
        images: returns the training images `[N, H, W, C] uint8` for a side in pixels, such as
            `lambda side: data.load_split(run, side)[0].images`. Only those of the sample are read.
        labels: `[N] int64`.
        together: number of each image's group, `[N] int64`.
        metric: the series' metric.
        resolution: side in pixels for all backbones; 0 for the native one of each.
        interpolation: as for `features.extractor`.
        sample: stratified images that are used.
        seed: of the sample and the folds.
        progress: called with the number of images done, the number of all images and a note.

    Raises:
        UsageError: a name is unknown.
        OsemnError: as for `features.extract` and `out_of_fold.cross_validated`.

    Source: L. Breiman et al. (1984), "Classification and Regression Trees", for the rule of one standard error.

    Example:
        `chosen = choice.choose(compared_backbones, images, train.labels, together, metric=metric)`
    """
    rows, classes = splits.stratified_sample(labels, min(sample, len(labels)), seed), int(labels.max()) + 1
    table = []
    for backbone in sorted(map(backbone_names.find, names), key=lambda backbone: backbone.parameters):
        side = resolution or backbone.native_resolution
        part = images(side)[rows]
        source = features.extractor(backbone.name, part.shape[1:], side, interpolation)
        extracted = features.extract(source, part, progress=progress)
        value, error = score(extracted.values, labels[rows], together[rows], classes, metric, seed)
        row = {"backbone": backbone.name, "resolution": side, "value": value, "standard_error": error}
        table.append(row | {"parameters": source.base.count_params(), "seconds": extracted.seconds})
    frame = pd.DataFrame(table)
    return Choice(frame["backbone"][smallest_near_best(frame)], frame, metric, len(rows))


def smallest_near_best(table: pd.DataFrame) -> int:
    """Return the first row, smallest first, whose `value` is at most the best row's `standard_error` below the best."""
    best = table.loc[table["value"].idxmax()]
    return int((table["value"] >= best["value"] - best["standard_error"]).idxmax())


def score(
    values: np.ndarray, labels: np.ndarray, together: np.ndarray, classes: int, metric: Metric, seed: int
) -> tuple[float, float]:
    """Return the cross-validated metric of a linear head on features, and its standard error.

    Args:
        values: the features, `float32 [N, F]`.
        labels: `[N] int64`.
        together: number of each image's group, `[N] int64`.
        classes: number of classes.
        metric: of the predictions.
        seed: of the folds and of the bootstrap.
    """

    def fit_predict(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        top = classical_heads.fit("logistic", _PENALTY, values[train], labels[train], classes)
        return transfer.head_probabilities(top, values[test])

    out = out_of_fold.cross_validated(fit_predict, labels, together, folds=FOLDS, repeats=1, seed=seed)
    drawn = np.random.default_rng(seed).integers(0, len(labels), (_DRAWS, len(labels)))
    sampled = [metric(labels[rows], out.predicted[0][rows], classes) for rows in drawn]
    return metric(labels, out.predicted[0], classes), float(np.std(sampled, ddof=1))
