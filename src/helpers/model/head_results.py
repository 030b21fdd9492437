"""Heads on the frozen features of a backbone: extracted once, fitted, scored, and put into a row of the comparison."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from keras import Model

from helpers import scoring
from helpers.model import classical_heads, data_size, training, transfer
from helpers.model.backbones import features
from helpers.model.head_choice import Examples, Head
from helpers.obtain import data, splits
from helpers.series import backbone_names
from helpers.series.metrics import Metric

MIRRORED = 1_000  # validation images: a fall by 0.02 is then beyond chance
FALL = 0.02  # a network loses about half of this on mirrored photographs that it has not been trained on


@dataclass(frozen=True, eq=False)
class HeadResult:
    """A head trained on the features of one backbone at one resolution.

    Attributes:
        source: the backbone.
        head: the kind of head.
        train: features of the training images.
        held_out: features of the validation images.
        extraction_seconds: time to extract the training features, including those of further views.
        top: the trained head.
        fit: its training.
        predicted: predicted labels of the validation images, `[N] int64`.
        score: of these predictions.
    """

    source: features.Extractor
    head: Head
    train: features.Features
    held_out: features.Features
    extraction_seconds: float
    top: Model
    fit: training.Fit
    predicted: np.ndarray
    score: scoring.Score

    @property
    def title(self) -> str:
        """The backbone and its resolution in a sentence, such as `EfficientNet-Lite0 at 64 px`."""
        return f"{backbone_names.find(self.source.backbone).title} at {self.source.resolution} px"

    def rescore(self, rows: np.ndarray, labels: np.ndarray, num_classes: int) -> "HeadResult":
        """Return the result scored on a subset of its validation images.

        Args:
            rows: the rows of the subset, `[M] int64`.
            labels: their labels, `[M] int64`.
            num_classes: number of classes.
        """
        predicted = self.predicted[rows]
        return replace(self, predicted=predicted, score=scoring.score(labels, predicted, num_classes))

    def as_row(self) -> dict[str, object]:
        """Return cost and score as plain values, for a row of the comparison."""
        seconds = self.train.seconds + self.held_out.seconds
        images = len(self.train.values) + len(self.held_out.values)
        return {
            "backbone": self.source.backbone,
            "backbone_label": backbone_names.find(self.source.backbone).title,
            "resolution": self.source.resolution,
            "extraction_seconds": self.train.seconds,
            "images_per_second": images / max(seconds, 1e-9),
            "from_cache": self.train.from_cache and self.held_out.from_cache,
            "head_seconds": self.fit.seconds,
            "parameters": self.source.base.count_params() + self.top.count_params(),
            "samples": len(self.train.values),
            **asdict(self.score),
        }


@dataclass(frozen=True, eq=False)
class Extracted:
    """The features of one backbone at one resolution, on which heads are fitted.

    Attributes:
        source: the backbone.
        train: features of the training images.
        held_out: features of the validation images.
        extraction_seconds: time to extract the training features, including those of further views.
        examples: the training images as features.
        labels: of the validation images, `[N] int64`.
    """

    source: features.Extractor
    train: features.Features
    held_out: features.Features
    extraction_seconds: float
    examples: Examples
    labels: np.ndarray

    def by_size(self, seed: int) -> data_size.DataSize:
        """Measure a linear head on a half, a quarter, … of the training images, and on all.

        The head is linear discriminant analysis, which is fitted in seconds also on all of many images.

        Example:
            `sized = extracted.by_size(seed)`
        """

        def fit_predict(rows: np.ndarray) -> np.ndarray:
            chosen = self.train.values[rows], self.examples.labels[rows], self.examples.num_classes
            return transfer.head_labels(classical_heads.fit("lda", 0.6, *chosen), self.held_out.values)

        return data_size.measure(fit_predict, self.examples.labels, self.labels, seed)

    def other_seeds(self, head: Head, seeds: int) -> dict[int, Model]:
        """Train a dense head again with the next seeds, so that its method can be compared; return the heads by seed.

        A classical head has a single solution, whatever the seed, so there are none.

        Args:
            head: its kind.
            seeds: how many in all, with the one of the settings.

        Example:
            `extracted.other_seeds(choice.head, seeds=3)`
        """
        of, heads = self.examples.settings, {}
        for seed in range(of.seed + 1, of.seed + seeds) if head.name == "dense" else ():
            examples = replace(self.examples, settings=replace(of, seed=seed))
            heads[seed] = replace(self, examples=examples).fit(head).top
        return heads

    def fit(self, head: Head) -> HeadResult:
        """Fit a head on the training images and score it on the validation images.

        Raises:
            DivergedError: as for `Examples.fit`.

        Example:
            `result = extracted.fit(choice.head)`
        """
        return self.result(head, *self.examples.fit(head, (self.held_out.values, self.labels)))

    def result(self, head: Head, top: Model, fit: training.Fit) -> HeadResult:
        """Score a trained head on the validation images.

        Args:
            head: its kind.
            top: the head, from features to probabilities.
            fit: its training.

        Example:
            `dense = extracted.result(head_choice.DENSE, top, train_head(top))`
        """
        predicted = transfer.head_labels(top, self.held_out.values)
        score = scoring.score(self.labels, predicted, self.examples.num_classes)
        seconds = self.extraction_seconds
        return HeadResult(self.source, head, self.train, self.held_out, seconds, top, fit, predicted, score)


def extract(
    source: features.Extractor,
    train: data.Dataset,
    held_out: data.Dataset,
    settings: transfer.HeadSettings,
    *,
    views: Sequence[features.View] = (),
    progress: Callable[..., None] = lambda done, total, note="": None,
) -> Extracted:
    """Extract the features of a backbone, or read them from the cache.

    Args:
        source: the backbone, from `features.extractor`.
        train: the training images.
        held_out: the validation images.
        settings: of the dense head.
        views: mirrored or augmented views of the training images, in addition to the original images.
        progress: called with the number of images done, the number of all images and a note.

    Raises:
        OsemnError: as for `features.extract`.

    Example:
        `extracted = head_results.extract(source, train, validation, settings)`
    """
    seen = [features.extract(source, train.images, view=view, progress=progress) for view in (None, *views)]
    unseen = features.extract(source, held_out.images, progress=progress)
    values = [view.values for view in seen]
    examples = Examples(values, train.labels, train.num_classes, settings, train.weights)
    seconds = sum(view.seconds for view in seen)
    return Extracted(source, seen[0], unseen, seconds, examples, held_out.labels)


def mirrored(
    model: Model, validation: data.Dataset, predicted: np.ndarray, metric: Metric, seed: int
) -> dict[str, float | bool]:
    """Score a model on mirrored validation images, to find out whether mirroring keeps the labels.

    Args:
        model: from raw pixels to probabilities, trained without mirrored images.
        validation: the validation part, of which a stratified sample is mirrored.
        predicted: its predicted labels of the original images, `[N] int64`.
        metric: of the series.
        seed: draws the sample.

    Returns:
        `original` and `mirrored`, the metric on the sample, and `keeps_labels`: whether it falls by at most 0.02.

    Example:
        `evidence = head_results.mirrored(model, validation, probabilities.argmax(axis=1), metric, seed)`
    """
    rows = splits.stratified_sample(validation.labels, min(len(validation), MIRRORED), seed)
    predict, step = training.predictor(model), 64  # photographs at a time, which bounds the memory
    flipped = [
        predict(validation.images[rows[start : start + step]][:, :, ::-1]).argmax(axis=1)
        for start in range(0, len(rows), step)
    ]
    labels, classes = validation.labels[rows], validation.num_classes
    scores = [metric(labels, of, classes) for of in (predicted[rows], np.concatenate(flipped))]
    keeps = scores[0] - scores[1] <= FALL
    return {"original": scores[0], "mirrored": scores[1], "keeps_labels": bool(keeps)}
