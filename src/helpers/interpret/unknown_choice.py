"""Choose how unknown images are recognised: a score among five, and its threshold, on validation images alone.

No other data set takes part in the choice, so that another one can measure what was chosen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA

from helpers.interpret import unknown
from helpers.interpret.unknown import TITLES, Detector
from helpers.obtain.data import Dataset
from helpers.obtain.splits import stratified_sample
from helpers.scoring import auroc

# images: with them, evaluating a candidate on 10,000 test images takes no more than a fifth longer
MOST_LEARNT, MOST_KNOWN, MOST_MADE_UP = 1_000, 1_000, 200
AXES = 64  # principal components: those of a network for ten classes hold nearly all of the variance in fewer
_FOLDS = 10  # left-out groups of classes: each class alone, if there are no more than ten
_PER_CLASS = 5  # training images at least, for a mean that says where the class lies
_RIDGE = 1e-6  # of the embeddings' variance: far below what training images vary by
_TYPICAL = 0.95  # quantile of known images that counts as a score's spread

Scorer = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Learner:
    """Fits detectors to training images of all classes or of some, in one space.

    Attributes:
        embeddings: of training images, `[M, D] float64`.
        labels: of these, `[M] int64`.
        last_layer: weights, `[D, K]`, and bias, `[K]`.
        pca: of the embeddings.
    """

    embeddings: np.ndarray
    labels: np.ndarray
    last_layer: tuple[np.ndarray, np.ndarray]
    pca: PCA

    def fit(self, classes: np.ndarray, known: np.ndarray) -> Detector:
        """Return a detector that knows only some classes, without kind and threshold.

        Args:
            classes: the labels that it knows.
            known: embeddings of validation images of these classes.
        """
        rows = np.isin(self.labels, classes)
        embeddings, labels = self.embeddings[rows], self.labels[rows]
        centre, axes = self.pca.mean_, self.pca.components_.T
        places = unknown.with_residual(embeddings - centre, axes)
        present, of_class = np.unique(labels, return_inverse=True)
        means = np.stack([places[of_class == number].mean(axis=0) for number in range(len(present))])
        within = places - means[of_class]
        covariance = LedoitWolf(assume_centered=True).fit(within).covariance_
        # with one image of each class, or embeddings that are all alike, nothing varies within classes
        ridge = max(_RIDGE * float(places.var(axis=0).mean()), np.finfo(float).tiny ** 0.5)
        whiten = np.linalg.cholesky(np.linalg.inv(covariance + ridge * np.eye(len(covariance))))
        weights, bias = self.last_layer
        arrays = (weights[:, classes], bias[classes], centre, axes, whiten, means @ whiten)
        fitted = Detector("", np.inf, *arrays, unknown.unit(embeddings), np.array([[0.0], [1.0]]))
        scores = np.stack([fitted.score(known, kind) for kind in ("energy", "mahalanobis")], axis=1)
        middle = np.median(scores, axis=0)
        spread = np.quantile(scores, _TYPICAL, axis=0) - middle
        return replace(fitted, typical=np.stack([middle, np.maximum(spread, 1e-12)]))


@dataclass(frozen=True, eq=False)
class Learnt:
    """A detector, and why its score was chosen.

    Attributes:
        detector: with the chosen score and its threshold.
        known: number of validation images on which score and threshold were chosen.
        known_rejected: proportion of these above the threshold that was asked for.
        left_out: for each score and each left-out group of classes its AUROC, by name of the (first) class.
        made_up: for each score its AUROC for images that were made unlike the validation images.
        rows: of the training and validation images that were scored for it, `[M] int64`.
        embeddings: of these, `float32 [M, D]`.
    """

    detector: Detector
    known: int
    known_rejected: float
    left_out: dict[str, dict[str, float]]
    made_up: dict[str, float]
    rows: np.ndarray
    embeddings: np.ndarray

    def table(self) -> dict[str, dict[str, float]]:
        """Return the two AUROCs by title of the score, for a data frame.

        Example:
            `pd.DataFrame(learnt.table()).T`
        """
        return {
            TITLES[kind]: {
                "a class left out": _mean(self.left_out[kind]),
                "made-up images": self.made_up[kind],
            }
            for kind in TITLES
        }


def learn(
    scorer: Scorer,
    last_layer: tuple[np.ndarray, np.ndarray],
    everything: Dataset,
    parts: tuple[np.ndarray, np.ndarray],
    *,
    known_rejected: float,
    seed: int,
) -> Learnt:
    """Choose a score for unknown images on validation images, and its threshold, without any other data set.

    Two kinds of unknown images stand in for those to come, because one kind alone misleads: scores that recognise a class
    left out can fail on images unlike any class, and the other way round (`benchmarks/unknown_images.py`). First, each class in turn
    is left out: the score is fitted without it, and has to tell its validation images from the others. The network itself
    has learned the class, so this flatters all scores, in the same way. Second, validation images are made unlike
    themselves. The score whose lower one of the two AUROCs is the highest is taken.

    Args:
        scorer: from images, `uint8 [N, H, W, C]`, to probabilities and embeddings, as from `candidates.scorer`.
        last_layer: weights, `[D, K]`, and bias, `[K]`, as from `candidates.last_layer`.
        everything: training and validation images.
        parts: rows of the training images, of which at most 1,000 are used, or five of each class, and of the validation
            images, of which at most 1,000 are used.
        known_rejected: proportion of known images that may count as unknown; sets the threshold.
        seed: selects the images.

    Example:
        `unknown_choice.learn(scorer, last_layer, everything, data.split_rows(run), known_rejected=0.05, seed=seed)`
    """
    most = max(MOST_LEARNT, _PER_CLASS * everything.num_classes), MOST_KNOWN
    used = [
        part[stratified_sample(everything.labels[part], size, seed)]
        for part, size in zip(parts, most, strict=True)
    ]
    train, validation = map(everything.subset, used)
    scored = [scorer(part.images)[1] for part in (train, validation)]
    embeddings, known = map(np.float64, scored)
    # 1,000 embeddings have at most as many components, and some networks have fewer values
    axes = min(AXES, *(size - 1 for size in embeddings.shape)) or 1
    pca = PCA(axes, svd_solver="randomized", random_state=seed).fit(embeddings)
    learner = Learner(embeddings, train.labels, tuple(map(np.float64, last_layer)), pca)
    detector = learner.fit(np.arange(train.num_classes), known)
    rows = stratified_sample(validation.labels, MOST_MADE_UP, seed)
    strange = scorer(made_up(validation.images[rows], seed))[1]
    made = {kind: auroc(detector.score(known, kind), detector.score(strange, kind)).value for kind in TITLES}
    left_out = _left_out(learner, known, validation, seed)
    kind = max(TITLES, key=lambda kind: min(made[kind], _mean(left_out[kind])))
    threshold = float(np.quantile(detector.score(known, kind), 1.0 - known_rejected))
    return Learnt(
        replace(detector, kind=kind, threshold=threshold),
        len(known),
        known_rejected,
        left_out,
        made,
        np.concatenate(used),
        np.concatenate(scored),
    )


def _left_out(
    learner: Learner, known: np.ndarray, validation: Dataset, seed: int
) -> dict[str, dict[str, float]]:
    """Return for each score the AUROC by left-out class, or by the first class of a group where there are many."""
    areas: dict[str, dict[str, float]] = {kind: {} for kind in TITLES}
    shuffled = np.random.default_rng(seed).permutation(validation.num_classes)
    for group in np.array_split(shuffled, min(_FOLDS, validation.num_classes)):
        others, unseen = np.setdiff1d(shuffled, group), np.isin(validation.labels, group)
        if not len(others) or unseen.all() or not unseen.any():
            continue
        detector = learner.fit(others, known[~unseen])
        for kind in TITLES:
            values = detector.score(known, kind)
            areas[kind][validation.class_names[group[0]]] = auroc(values[~unseen], values[unseen]).value
    return areas


def _mean(by_class: dict[str, float]) -> float:
    return float(np.mean(list(by_class.values()))) if by_class else 0.5  # one class: nothing to leave out


def made_up(images: np.ndarray, seed: int) -> np.ndarray:
    """Return images unlike the given ones, `uint8 [N, H, W, C]`: taking turns, a negative, shuffled pieces, and edges alone.

    Example:
        `unknown_choice.made_up(validation.images[:6], seed)`
    """
    generator, changed = np.random.default_rng(seed), images.copy()
    changed[::3] = 255 - images[::3]
    for row in range(1, len(images), 3):
        changed[row] = _shuffled(images[row], generator)
    for row in range(2, len(images), 3):
        slopes = np.gradient(images[row].astype(np.float32), axis=(0, 1))
        changed[row] = np.clip(np.hypot(*slopes), 0, 255)
    return changed


def _shuffled(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return an image whose sixteen pieces have changed places; what does not divide by four stays."""
    height, width, shuffled = image.shape[0] // 4, image.shape[1] // 4, image.copy()
    places = [
        np.s_[y * height : (y + 1) * height, x * width : (x + 1) * width] for y in range(4) for x in range(4)
    ]
    for place, other in zip(places, generator.permutation(16), strict=True):
        shuffled[place] = image[places[other]]
    return shuffled


def foreign(dataset: str, shape: Sequence[int], count: int) -> tuple[np.ndarray, str]:
    """Return images of another data set, which comes with scikit-learn, `uint8 [N, H, W, C]`, and what they are.

    Args:
        dataset: the name of the run's data set; if it holds digits itself, crops of two photographs are returned.
        shape: `(H, W, C)` of an image.
        count: number of images.

    Example:
        `images, title = unknown.foreign(dataset, test.image_shape, 200)`
    """
    from PIL import Image
    from sklearn import datasets

    height, width, channels = shape
    if dataset in ("digits", "mnist"):
        generator, photographs = np.random.default_rng(0), datasets.load_sample_images().images
        corners = generator.integers(
            0, (427 - 64, 640 - 64), (count, 2)
        )  # the photographs have 427 x 640 pixels
        pieces = [photographs[i % 2][y : y + 64, x : x + 64] for i, (y, x) in enumerate(corners)]
        title = "crops of two photographs"
    else:
        pieces = [np.uint8(image * 15.9375) for image in datasets.load_digits().images[:count]]  # 16 is white
        title = "handwritten digits"
    mode = "L" if channels == 1 else "RGB"
    resized = [
        Image.fromarray(one).convert(mode).resize((width, height), Image.Resampling.BILINEAR)
        for one in pieces
    ]
    return np.stack([np.asarray(one).reshape(height, width, channels) for one in resized]), title
