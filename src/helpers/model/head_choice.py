"""Choose the head on frozen features by cross-validation on the training images, by the metric of the series."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import pandas as pd
from keras import Model

from helpers.errors import DivergedError, OsemnError
from helpers.model import class_balance, classical_heads, out_of_fold, training, transfer
from helpers.series.metrics import Metric

TITLES = {
    "logistic": "logistic regression",
    "dense": "dense layers",
    "lda": "linear discriminant analysis",
}
CLASS_WEIGHTS = ("none", "sqrt", "balanced")
FOLDS = 5  # heads are then fitted on four fifths of the images, nearly as many as the final head


@dataclass(frozen=True)
class Head:
    """A kind of head and how it is fitted.

    Attributes:
        name: a key of `TITLES`.
        strength: its setting in `classical_heads.STRENGTHS`; 0 for the dense head, which has `transfer.HeadSettings`.
        class_weights: one of `CLASS_WEIGHTS`; with `"balanced"` each class counts the same in the fit, `"sqrt"` is halfway.
    """

    name: str = "dense"
    strength: float = 0.0
    class_weights: str = "none"

    @property
    def title(self) -> str:
        """Its name in a sentence."""
        return TITLES[self.name]


DENSE = Head()


@dataclass(frozen=True, eq=False)
class Examples:
    """The images on which heads are fitted, as features.

    Attributes:
        views: one array of features `float32 [N, F]` for each view of the images; the first is of the original images.
        labels: `[N] int64`.
        num_classes: number of classes.
        settings: of the dense head.
        weights: how much each image counts, `[N] float64`; None if all count the same.
    """

    views: Sequence[np.ndarray]
    labels: np.ndarray
    num_classes: int
    settings: transfer.HeadSettings
    weights: np.ndarray | None = None

    def image_weights(self, class_weights: str) -> np.ndarray | None:
        """Return how much each image counts where its class does too, `[N] float64`; None if all count the same."""
        of_image = np.ones(len(self.labels)) if self.weights is None else self.weights
        counts = np.bincount(self.labels, of_image, self.num_classes)
        of_class = class_balance.class_weights(class_weights, counts)
        return self.weights if of_class is None else of_image * of_class[self.labels]

    def trainer(self, head: Head) -> out_of_fold.FitPredict:
        """Return a function that fits a head on some images and predicts the probabilities of others by their first view.

        Example:
            `fit_predict = examples.trainer(Head("logistic", 0.01))`
        """
        weights = self.image_weights(head.class_weights)
        if head.name == "dense":
            return transfer.fold_trainer(self.views, self.labels, self.num_classes, self.settings, weights)

        def fit_predict(train: np.ndarray, test: np.ndarray) -> np.ndarray:
            return transfer.head_probabilities(self._classical(head, train, weights), self.views[0][test])

        return fit_predict

    def _classical(self, head: Head, rows: np.ndarray, weights: np.ndarray | None) -> Model:
        """Fit a classical head on some images, in all their views."""
        values = np.concatenate([view[rows] for view in self.views])
        labels, count = self.labels[rows], len(self.views)
        weights = None if weights is None else np.tile(weights[rows], count)
        labels = np.tile(labels, count)
        return classical_heads.fit(head.name, head.strength, values, labels, self.num_classes, weights)

    def fit(self, head: Head, held_out: tuple[np.ndarray, np.ndarray]) -> tuple[Model, training.Fit]:
        """Fit a head on all images; return it and its training, which is a single step for a classical head.

        The probabilities of a head with class weights are those of the weighted classes: a correction to the true
        proportions would undo what the weights change in the predicted labels.

        Args:
            head: the kind.
            held_out: features and labels of the validation images.

        Raises:
            UsageError: there are fewer than two classes.
            OsemnError: as for `transfer.fit_head`.

        Example:
            `top, fit = examples.fit(choice.head, (held_out.values, validation.labels))`
        """
        weights, num_features = self.image_weights(head.class_weights), self.views[0].shape[1]
        if head.name == "dense":
            of = self.settings
            top = transfer.head(num_features, self.num_classes, of.units, of.dropout, of.seed)
            return top, transfer.fit_head(top, self.views, self.labels, held_out, of, weights)
        transfer.require_classes(self.num_classes)
        started = perf_counter()
        top = self._classical(head, np.arange(len(self.labels)), weights)
        seconds, history = perf_counter() - started, {"converged": [1.0]}
        for prefix, values, labels in (("", self.views[0], self.labels), ("val_", *held_out)):
            probabilities = transfer.head_probabilities(top, values)
            of_label = probabilities[np.arange(len(labels)), labels]
            history[f"{prefix}loss"] = [float(-np.log(np.maximum(of_label, 1e-7)).mean())]
            history[f"{prefix}accuracy"] = [float(np.mean(probabilities.argmax(axis=1) == labels))]
        return top, training.check_fit(history, seconds)


@dataclass(frozen=True)
class Scored:
    """A head with its cross-validated metric.

    Attributes:
        head: the head.
        score: the metric of its out-of-fold predictions; −∞ if its training diverged.
        spread: standard deviation of the metric between folds.
        seconds: of the cross-validation.
    """

    head: Head
    score: float
    spread: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Choice:
    """The chosen head and what it was compared with.

    Attributes:
        head: the best head.
        compared: the cross-validated heads, best first; empty if nothing was compared.
        reason: why nothing was compared; empty if heads were.
        metric: by which they were compared.
        images: number of training images.
    """

    head: Head
    compared: tuple[Scored, ...]
    reason: str
    metric: Metric
    images: int

    def best_of_each(self) -> list[Scored]:
        """Return the best setting of each kind of head, best first."""
        best = {row.head.name: row for row in reversed(self.compared)}
        return [row for row in self.compared if row is best[row.head.name]]

    def table(self) -> pd.DataFrame:
        """Return one row for each kind of head, in its best setting, best first.

        Example:
            `choice.table()`
        """
        return pd.DataFrame(
            {
                "head": row.head.title,
                self.metric.title: f"{row.score:.3f} ± {row.spread:.3f}",
                "setting": f"{row.head.strength:g}" if row.head.strength else "",
                "class weights": row.head.class_weights,
            }
            for row in self.best_of_each()
        )


def choose(
    examples: Examples,
    together: np.ndarray,
    metric: Metric,
    names: Sequence[str],
    class_weights: str = class_balance.AUTO,
    *,
    at_most: int,
    folds: int = FOLDS,
    progress: Callable[..., None] = lambda done, total, note="": None,
) -> Choice:
    """Choose a head by stratified group cross-validation on the training images alone.

    All kinds are compared in their settings without class weights, then, if classes are unequal, the best of all with them.

    Args:
        examples: the training images.
        together: number of each image's group, `[N] int64`; the images of a group are always in the same fold.
        metric: of predicted labels, higher is better.
        names: keys of `TITLES`; the first is preferred among equals, and where nothing can be compared.
        class_weights: one of `CLASS_WEIGHTS`, or `"auto"` to choose one of these too.
        at_most: number of images up to which heads are compared. With more, the dense head is taken if it is named: it reads
            the features batch by batch, while the others need all of them in memory at once.
        folds: number of folds.
        progress: called with the number of cross-validated settings and of all settings.

    Example:
        `choice = head_choice.choose(examples, together, metric, heads, class_weights, at_most=head_images)`
    """
    first, further = _settings(examples, names, class_weights)
    usual = [settings[len(settings) // 2] for settings in first]
    images = len(examples.labels)
    if images > at_most:
        head = next((head for head in usual if head.name == "dense"), usual[0])
        return Choice(head, (), f"there are more than {at_most:,} training images", metric, images)
    total = sum(map(len, first)) + len(further)
    if total == 1:
        return Choice(usual[0], (), "only one is named", metric, images)
    compared: list[Scored] = []

    def compare(heads: Iterable[Head]) -> None:
        for head in heads:
            compared.append(_scored(examples, together, metric, head, folds))
            progress(len(compared), total, head.title)

    try:
        compare(head for settings in first for head in settings)
        best = max(compared, key=lambda row: row.score).head
        compare(replace(best, class_weights=value) for value in further)
    except OsemnError:  # a single group, or each class in one group
        reason = "there are too few images that are not copies of each other"
        return Choice(usual[0], (), reason, metric, images)
    compared.sort(key=lambda row: -row.score)  # stable: equals stay in the order of the names
    return Choice(compared[0].head, tuple(compared), "", metric, images)


def _settings(
    examples: Examples, names: Sequence[str], class_weights: str
) -> tuple[list[list[Head]], tuple[str, ...]]:
    """Return the settings of each kind of head, and the class weights with which the best of them is compared too."""
    fixed = "none" if class_weights == class_balance.AUTO else class_weights
    strengths = {name: classical_heads.STRENGTHS.get(name, (0.0,)) for name in names}
    first = [[Head(name, value, fixed) for value in values] for name, values in strengths.items()]
    unequal = class_balance.unequal(np.bincount(examples.labels, minlength=examples.num_classes))
    return first, CLASS_WEIGHTS[1:] if class_weights == class_balance.AUTO and unequal else ()


def _scored(examples: Examples, together: np.ndarray, metric: Metric, head: Head, folds: int) -> Scored:
    """Cross-validate a head."""
    started = perf_counter()
    try:
        result = out_of_fold.cross_validated(
            examples.trainer(head),
            examples.labels,
            together,
            folds=folds,
            repeats=1,
            seed=examples.settings.seed,
        )
    except DivergedError:
        return Scored(head, -np.inf, 0.0, perf_counter() - started)

    def of_rows(rows: np.ndarray) -> float:
        return metric(result.labels[rows], result.predicted[0, rows], examples.num_classes)

    parts = [result.estimable & (result.fold[0] == number) for number in range(result.folds)]
    spread = np.std([of_rows(part) for part in parts if part.any()], ddof=1)
    return Scored(head, of_rows(result.estimable), float(spread), perf_counter() - started)
