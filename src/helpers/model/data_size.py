"""How much more would more images help? Accuracy against the number of training images, and the law that it follows.

A linear head is fitted on frozen features of a half, a quarter, … of the training images. Its error on the validation images falls
as a power of their number towards a floor: error = floor + scale · images^−rate (C. Cortes et al. 1994, "Learning curves:
asymptotic values and rate of convergence"; for networks J. Hestness et al. 2017, "Deep learning scaling is predictable,
empirically"). What lies beyond the measured numbers is extrapolated, so its interval is part of the statement.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from helpers.obtain.splits import stratified_sample
from helpers.series.conclusions import Conclusion
from helpers.wording import percent

HALVINGS = 5  # down to 1/32 of the images, over which a power differs from a straight line
DRAWS = 3  # subsets of each size: the spread between them is part of the interval
POINT = 0.01  # the gain that is asked for
_FEWEST_PER_CLASS = 2  # with one image of each class there is no variance within classes
_FEWEST_SIZES = 4  # a law with three numbers has to leave something to check it by
_RESAMPLES = 200  # for an interval whose ends are known to a few per cent
_FURTHEST = 100.0  # times the images at hand: no law holds further than that
_UNKNOWN = 100.0  # times the lower end of the interval: from a day's work to more than anybody has

FitPredict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class DataSize:
    """Accuracy against the number of training images.

    Attributes:
        sizes: numbers of training images, rising, `[S] int64`.
        errors: error on the validation images, mean over the draws, `[S]`.
        law: floor, scale and rate; None if there are too few sizes.
        laws: the same of resampled draws and validation images, `[R, 3]`.
    """

    sizes: np.ndarray
    errors: np.ndarray
    law: np.ndarray | None
    laws: np.ndarray

    def further(self, law: np.ndarray) -> float:
        """Return how many times the images at hand are needed for one point more; infinite if the law never gets there."""
        floor, _, rate = law
        now = float(predicted(law, self.sizes[-1:])[0])
        left = now - POINT - floor
        if left <= 0 or rate <= 0:
            return np.inf
        times = ((now - floor) / left) ** (1 / rate)
        return times if times <= _FURTHEST else np.inf

    def interval(self) -> tuple[float, float]:
        """Return the 95% interval of `further` over the resampled laws."""
        low, high = np.quantile([self.further(law) for law in self.laws], (0.025, 0.975), method="nearest")
        return float(low), float(high)


def predicted(law: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the errors that a law predicts, `[S]`."""
    floor, scale, rate = law
    return floor + scale * np.asarray(sizes, np.float64) ** -rate


def measure(fit_predict: FitPredict, train_labels: np.ndarray, labels: np.ndarray, seed: int) -> DataSize:
    """Fit the head on subsets of the training images, and a law to its errors.

    Args:
        fit_predict: from rows of training images, `[M] int64`, to predicted labels of the validation images, `[V] int64`.
        train_labels: `[N] int64`.
        labels: of the validation images, `[V] int64`.
        seed: selects the subsets and resamples.

    Example:
        `data_size.measure(fit_predict, subset.labels, validation.labels, seed)`
    """
    classes = len(np.unique(train_labels))
    fractions = [len(train_labels) // 2**halving for halving in range(HALVINGS, -1, -1)]
    sizes = np.array([size for size in fractions if size >= _FEWEST_PER_CLASS * classes] or fractions[-1:])
    wrong = []  # [sizes][draws, V]; all images can be drawn in one way only
    for size in sizes:
        draws = 1 if size == len(train_labels) else DRAWS
        rows = [stratified_sample(train_labels, int(size), seed + draw) for draw in range(draws)]
        wrong.append(np.stack([fit_predict(one) != labels for one in rows]))
    errors = np.array([each.mean() for each in wrong])
    if len(sizes) < _FEWEST_SIZES:
        return DataSize(sizes, errors, None, np.empty((0, 3)))
    generator, laws = np.random.default_rng(seed), []
    for _ in range(_RESAMPLES):
        images = generator.integers(0, len(labels), len(labels))
        drawn = [each[generator.integers(0, len(each), len(each))][:, images].mean() for each in wrong]
        laws.append(fit_law(sizes, np.array(drawn)))
    return DataSize(sizes, errors, fit_law(sizes, errors), np.array(laws))


def fit_law(sizes: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return floor, scale and rate of the law that fits the errors best, `[3] float64`, by relative least squares."""
    first, last = float(max(errors[0], 1e-6)), float(max(errors[-1], 1e-6))

    def residuals(law: np.ndarray) -> np.ndarray:
        # in units of the smallest size
        return predicted(law, sizes / sizes[0]) / np.maximum(errors, 1e-6) - 1

    start = (last / 2, first - last / 2, 0.5)
    fitted = optimize.least_squares(residuals, np.maximum(start, 1e-6), bounds=([0, 0, 0], [1, 1, 2]))
    floor, scale, rate = fitted.x
    return np.array([floor, scale * float(sizes[0]) ** rate, rate])


def conclusion(measured: DataSize, what: str) -> Conclusion:
    """Return how the accuracy depends on the number of training images, and what one point more would take.

    Args:
        measured: from `measure`.
        what: the features, such as `EfficientNet-Lite0 at 64 px`.

    Example:
        `run.conclude(data_size.conclusion(measured, result.title))`
    """
    sizes, accuracy = measured.sizes.tolist(), (1 - measured.errors).tolist()
    numbers = {"sizes": sizes, "accuracy": accuracy, "law": None}
    text = f"A linear head on the features of {what} reaches {percent(accuracy[-1])} with {sizes[-1]:,} training images"
    if measured.law is None:
        text += "; these are too few to say how much more of them would help."
        return Conclusion("data_size", text, numbers)
    ends = [measured.further(measured.law), *measured.interval()]
    more = [None if np.isinf(times) else (times - 1) * sizes[-1] for times in ends]
    best, low, high = (_further(images, sizes[-1]) for images in more)
    text += f", and {percent(accuracy[-2])} with {sizes[-2]:,}. "
    if more[1] is None:
        text += f"By the law that fits its errors, one point more takes {best} further images like these, if it can be reached at all."
    elif ends[2] - 1 > _UNKNOWN * (ends[1] - 1):
        text += f"How many further images like these one point more takes is unknown: {low} to {high} (95% interval)."
    else:
        text += (
            f"By the law that fits its errors, one point more takes {best} further images like these (95% interval {low} to "
            f"{high})."
        )
    numbers |= {"law": dict(zip(("floor", "scale", "rate"), measured.law.tolist(), strict=True))}
    numbers |= {"images_for_one_point": more[0], "images_ci95": more[1:]}
    return Conclusion("data_size", text, numbers, f"{len(measured.laws)} resamples of images and draws")


def _further(images: float | None, at_hand: int) -> str:
    """Return a number of images with two digits, as an extrapolation has no more."""
    return f"more than {_FURTHEST * at_hand:,.0f}" if images is None else f"{float(f'{images:.2g}'):,.0f}"
