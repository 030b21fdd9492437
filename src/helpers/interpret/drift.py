"""Drift: test whether incoming images still resemble those on which the model was validated. No labels are needed.

Six tests compare a window of predictions with a reference from validation images: the softmax outputs class by class
(black-box shift detection, Z. Lipton et al. 2018; tests as compared by S. Rabanser et al. 2019, "Failing Loudly"), predicted
classes, confidence, brightness, contrast, and the maximum mean discrepancy of embeddings (A. Gretton et al. 2012). The
smallest p-value decides. Its threshold is calibrated on windows drawn from held-out images, so that false alarms stay at the
stated rate per day rather than per window.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from scipy import special, stats
from threadpoolctl import ThreadpoolController

from helpers.errors import OsemnError
from helpers.obtain import data

WINDOWS = (30, 200, 500)  # images; a window uses the threshold of the largest size that it reaches
FALSE_ALARMS_PER_DAY = 0.05  # one in 20 days
WINDOWS_PER_DAY = 24  # one an hour
RESAMPLES = 800  # 32 of them in the tail below
LARGEST_REFERENCE = 4_000  # images; bounds the file and the time of a test
_TAIL = 0.04  # fraction of the drawn windows from which the threshold is extrapolated
_MMD_REFERENCE, _PERMUTATIONS, _MMD_WINDOW = 200, 100, 200  # its cost grows with the square of the images
# matrices here are so small that more threads would only wait for each other
_LIBRARIES = ThreadpoolController()


@dataclass(frozen=True, eq=False)
class Sample:
    """The statistics of predictions that the tests use; one row per image.

    Attributes:
        probabilities: `float32 [N, K]`, the model's outputs.
        embeddings: `float32 [N, D]`, the input of its last layer.
        brightness: `float32 [N]`, mean pixel value, 0–255.
        contrast: `float32 [N]`, standard deviation of the pixel values.
    """

    probabilities: np.ndarray
    embeddings: np.ndarray
    brightness: np.ndarray
    contrast: np.ndarray

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.probabilities)

    @property
    def scalars(self) -> dict[str, np.ndarray]:
        """The numbers that each have one value per image, by name."""
        confidence = self.probabilities.max(axis=1)
        return {"confidence": confidence, "brightness": self.brightness, "contrast": self.contrast}

    def rows(self, chosen: np.ndarray) -> "Sample":
        """Return the rows with the given indices."""
        return Sample(*(values[chosen] for values in vars(self).values()))


def sample(probabilities: np.ndarray, embeddings: np.ndarray, images: np.ndarray) -> Sample:
    """Return the statistics of predictions for `uint8 [N, H, W, C]` images."""
    outputs = (np.asarray(values, np.float32) for values in (probabilities, embeddings))
    return Sample(*outputs, *data.brightness_and_contrast(images))


@dataclass(frozen=True)
class DriftResult:
    """The tests' result for one window.

    Attributes:
        n: number of images in it.
        p_values: by test; that of the softmax outputs is corrected for their number (Bonferroni).
        smallest: the smallest of them times the number of tests.
        threshold: if `smallest` is below, the window counts as drifted.
    """

    n: int
    p_values: dict[str, float]
    smallest: float
    threshold: float

    @property
    def drifted(self) -> bool:
        """Whether the window raises an alarm."""
        return self.smallest < self.threshold

    @property
    def sentence(self) -> str:
        """The result as a sentence, which names the significant tests."""
        if not self.drifted:
            return f"No significant drift in {self.n:,} images."
        limit = self.threshold / len(self.p_values)
        named = [name for name in sorted(self.p_values, key=self.p_values.get) if self.p_values[name] < limit]
        return f"Drift in {self.n:,} images: {', '.join(named)}."


class DriftReference:
    """The reference with which windows are compared, and its thresholds.

    Args:
        known: predictions for the reference images.
        thresholds: smallest p-value without an alarm, by number of images in a window.
    """

    def __init__(self, known: Sample, thresholds: dict[int, float] | None = None) -> None:
        self.known, self.thresholds = known, thresholds or {}
        self._sorted = {name: np.sort(values) for name, values in known.scalars.items()}
        self._sorted_outputs = np.sort(known.probabilities, axis=0)
        self._counts = np.bincount(known.probabilities.argmax(axis=1), minlength=known.probabilities.shape[1])
        step = max(len(known) // _MMD_REFERENCE, 1)
        self._embeddings = known.embeddings[::step][:_MMD_REFERENCE].astype(np.float64)
        squared = _squared_distances(self._embeddings, self._embeddings)
        self._bandwidth = float(np.median(squared[squared > 0])) if (squared > 0).any() else 1.0
        self._within = np.exp(-squared / self._bandwidth)

    @classmethod
    def made_from(
        cls, known: Sample, seed: int, windows: Sequence[int] = WINDOWS, resamples: int = RESAMPLES
    ) -> "DriftReference":
        """Return a reference from half of the predictions, with thresholds calibrated on windows drawn from the other half.

        Args:
            known: predictions for validation images, in any order.
            seed: of the halves and windows.
            windows: window sizes to calibrate; those above half of the held-out images are left out.
            resamples: number of windows drawn for each size.

        Raises:
            OsemnError: there are too few predictions for the smallest window.
        """
        generator = np.random.default_rng(seed)
        order = generator.permutation(len(known))[: 2 * LARGEST_REFERENCE]
        half = len(order) // 2
        held_out = known.rows(order[half:])
        usable = [size for size in windows if size <= len(held_out) // 2]
        if not usable:
            raise OsemnError(
                f"{len(known)} predictions are too few to monitor drift; at least {4 * min(windows)} are needed.",
                "hold out more validation images (03_preprocess.validation_fraction)",
            )
        reference = cls(known.rows(order[:half]))
        rate = 1.0 - (1.0 - FALSE_ALARMS_PER_DAY) ** (1.0 / WINDOWS_PER_DAY)
        for size in usable:
            draws = (generator.choice(len(held_out), size, replace=False) for _ in range(resamples))
            turns = enumerate(draws)
            smallest = [_smallest(reference.p_values(held_out.rows(rows), turn)) for turn, rows in turns]
            # the chance of a smallest p-value below t is proportional to t where both are small
            reference.thresholds[size] = float(np.quantile(smallest, _TAIL)) * rate / _TAIL
        return reference

    def p_values(self, window: Sample, seed: int = 0) -> dict[str, float]:
        """Return each test's p-value of no difference between window and reference.

        Args:
            window: predictions for its images.
            seed: of the permutations.
        """
        classes = window.probabilities.shape[1]
        pairs = zip(self._sorted_outputs.T, window.probabilities.T, strict=True)
        outputs = min(_kolmogorov_smirnov(known, values) for known, values in pairs)
        columns = window.scalars.items()
        scalars = {name: _kolmogorov_smirnov(self._sorted[name], values) for name, values in columns}
        return {
            "softmax outputs": min(outputs * classes, 1.0),
            "predicted classes": self._classes(window),
            **scalars,
            "embeddings": self._discrepancy(window.embeddings, seed),
        }

    def examine(self, window: Sample, seed: int = 0) -> DriftResult:
        """Test a window against the threshold of the largest calibrated size that does not exceed its own.

        Raises:
            OsemnError: the window is smaller than the smallest calibrated size.
        """
        known = [size for size in sorted(self.thresholds) if size <= len(window)]
        if not known:
            raise OsemnError(
                f"{len(window)} images are too few to test for drift.",
                f"collect at least {min(self.thresholds, default=WINDOWS[0])}",
            )
        p_values = self.p_values(window, seed)
        return DriftResult(len(window), p_values, _smallest(p_values), self.thresholds[known[-1]])

    def _classes(self, window: Sample) -> float:
        counts = np.bincount(window.probabilities.argmax(axis=1), minlength=len(self._counts))
        table = np.stack([self._counts, counts])[:, self._counts + counts > 0]
        if table.shape[1] < 2:
            return 1.0
        expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
        return float(special.chdtrc(table.shape[1] - 1, ((table - expected) ** 2 / expected).sum()))

    @_LIBRARIES.wrap(limits=1, user_api="blas")
    def _discrepancy(self, embeddings: np.ndarray, seed: int) -> float:
        """Return the p-value of the maximum mean discrepancy: a gamma distribution fitted to permutations."""
        window = embeddings[:_MMD_WINDOW].astype(np.float64)
        across = np.exp(-_squared_distances(self._embeddings, window) / self._bandwidth)
        within = np.exp(-_squared_distances(window, window) / self._bandwidth)
        m, n = len(self._embeddings), len(window)
        kernel = np.empty((m + n, m + n))
        kernel[:m, :m], kernel[:m, m:] = self._within, across
        kernel[m:, :m], kernel[m:, m:] = across.T, within
        weights = np.concatenate([np.full(m, 1.0 / m), np.full(n, -1.0 / n)])
        generator = np.random.default_rng(seed)
        permuted = generator.permuted(np.tile(weights, (_PERMUTATIONS, 1)), axis=1)
        drawn = ((permuted @ kernel) * permuted).sum(axis=1)
        mean, variance = drawn.mean(), drawn.var()
        if mean < 1e-12 or variance == 0:  # all embeddings are the same
            return 1.0
        return float(stats.gamma.sf(weights @ kernel @ weights, mean**2 / variance, scale=variance / mean))

    def save(self, path: Path) -> None:
        """Write the reference to an `.npz` file."""
        windows, thresholds = list(self.thresholds), list(self.thresholds.values())
        np.savez(path, **vars(self.known), windows=windows, thresholds=thresholds)

    @classmethod
    def load(cls, path: Path) -> "DriftReference":
        """Read a reference written by `save`.

        Raises:
            OsemnError: the file is not a drift reference.
        """
        try:
            with np.load(path, allow_pickle=False) as content:
                known = Sample(*(content[field.name] for field in fields(Sample)))
                pairs = zip(content["windows"].tolist(), content["thresholds"].tolist(), strict=True)
                return cls(known, dict(pairs))
        except (OSError, ValueError, KeyError) as error:
            problem = f"{path.name} is not a drift reference ({error})."
            raise OsemnError(problem, "export the model again (10_export)") from None


def _smallest(p_values: dict[str, float]) -> float:
    return min(p_values.values()) * len(p_values)


def _kolmogorov_smirnov(ordered: np.ndarray, values: np.ndarray) -> float:
    """Return the asymptotic two-sided p-value of the two-sample test; the first sample is sorted."""
    values = np.sort(values)
    n, m = len(ordered), len(values)
    # the distribution functions are furthest apart at a value of the second sample, or just before it
    distance = max(
        np.abs(np.searchsorted(ordered, values, side) / n - np.searchsorted(values, values, side) / m).max()
        for side in ("left", "right")
    )
    return float(special.kolmogorov(distance * np.sqrt(n * m / (n + m))))


def _squared_distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    squared = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2.0 * one @ other.T
    return np.maximum(squared, 0.0)
