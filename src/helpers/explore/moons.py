"""Make Moons: two half circles with noise, the best possible classifier, and the conclusions of the warm-up."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from sklearn.datasets import make_moons
from sklearn.model_selection import train_test_split

from helpers import scoring

_ARC_POINTS = 500  # points that stand for a half circle

Score = tuple[float, float, float]
"""An accuracy with the ends of its 95% interval."""


@dataclass(frozen=True)
class Moons:
    """Points of two classes, split into a training and a test part.

    Attributes:
        train_points: `[N, 2] float32`.
        train_labels: `[N] int64`, 0 or 1.
        test_points: `[M, 2] float32`.
        test_labels: `[M] int64`.
        noise: standard deviation of the Gaussian noise on both coordinates.
    """

    train_points: np.ndarray
    train_labels: np.ndarray
    test_points: np.ndarray
    test_labels: np.ndarray
    noise: float


def make(samples: int, noise: float, seed: int) -> Moons:
    """Return two moons, a quarter of the points held out as the test part, stratified.

    Source: `sklearn.datasets.make_moons`.

    Example:
        `moons.make(samples=8000, noise=0.2, seed=0)`
    """
    points, labels = make_moons(samples, noise=noise or None, random_state=seed)
    how = {"test_size": 0.25, "random_state": seed, "stratify": labels}
    train, test, train_labels, test_labels = train_test_split(points.astype(np.float32), labels, **how)
    return Moons(train, train_labels, test, test_labels, noise)


def best_labels(points: np.ndarray, noise: float) -> np.ndarray:
    """Return the label that Bayes's rule gives each point `[N, 2]`, as `[N] int64`; no classifier is better on average.

    The distribution of the points is known: uniform on a half circle, plus Gaussian noise. Without noise the nearest
    half circle decides.

    Example:
        `moons.best_labels(points.test_points, points.noise)`
    """
    angle = np.linspace(0.0, np.pi, _ARC_POINTS)
    arcs = (
        np.stack([np.cos(angle), np.sin(angle)], axis=1),
        np.stack([1.0 - np.cos(angle), 0.5 - np.sin(angle)], axis=1),
    )
    spread = 2.0 * max(noise, 1e-3) ** 2
    upper, lower = (logsumexp(-cdist(points, arc, "sqeuclidean") / spread, axis=1) for arc in arcs)
    return (lower > upper).astype(np.int64)


def score(predicted: np.ndarray, points: Moons) -> Score:
    """Return the accuracy of predicted test labels, `[M]`, with Wilson's 95% interval.

    Example:
        `moons.score(probability > 0.5, points)`
    """
    correct = int(np.sum(predicted == points.test_labels))
    return correct / len(predicted), *scoring.wilson_interval(correct, len(predicted))


@dataclass(frozen=True)
class Surface:
    """A classifier's probability of class 1 on a grid.

    Attributes:
        x: `[columns] float32`, horizontal coordinates of the grid.
        y: `[rows] float32`, vertical coordinates.
        probability: `[rows, columns] float32`.
    """

    x: np.ndarray
    y: np.ndarray
    probability: np.ndarray


def surface(predict: Callable[[np.ndarray], np.ndarray], points: np.ndarray, steps: int = 150) -> Surface:
    """Return a classifier's probabilities on a grid over the area of `points`.

    Args:
        predict: takes `[N, 2] float32`, returns the probability of class 1, `[N]`.
        points: `[N, 2] float32`.
        steps: grid points on each side.

    Example:
        `moons.surface(predict, points.test_points)`
    """
    low, high = points.min(axis=0) - 0.25, points.max(axis=0) + 0.25
    x, y = (np.linspace(low[axis], high[axis], steps, dtype=np.float32) for axis in (0, 1))
    grid = np.stack([part.ravel() for part in np.meshgrid(x, y)], axis=1)
    return Surface(x, y, np.asarray(predict(grid), np.float32).reshape(steps, steps))
