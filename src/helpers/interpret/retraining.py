"""When to retrain: how many new images to label, and how few correct predictions show a loss of accuracy."""

import numpy as np
from scipy import stats

from helpers.series.conclusions import Conclusion
from helpers.wording import percent

LOSS_POINTS = 3.0  # percentage points: a loss that users notice
LEVEL, POWER = 0.05, 0.8  # the usual error rates of a test
LARGEST_SAMPLE = 3_000  # images that one person can label in a few days


def retraining(label: str, accuracy: float, n: int) -> Conclusion:
    """Return the number of images to label, and how many correct predictions are too few.

    Args:
        label: the candidate's label.
        accuracy: on the test images.
        n: number of test images.

    Example:
        `run.conclude(retraining.retraining(chosen.label, scores.accuracy, scores.n))`
    """
    needed = labelled_sample(accuracy, n, LOSS_POINTS / 100)
    start = f"Only labelled images show a loss of accuracy of the {label}: label a new random sample of"
    if needed is None:
        text = (
            f"{start} images from time to time. With {n:,} test images, of which {percent(accuracy)} are classified correctly, no "
            f"sample can distinguish a loss of {LOSS_POINTS:.0f} percentage points from chance: test on more images first."
        )
        return Conclusion("retraining", text)
    images, limit = needed
    text = (
        f"{start} {images:,} images from time to time, and retrain when fewer than {limit:,} of them "
        f"({percent(limit / images)}) are classified correctly. Without any change, at most one sample in twenty falls below "
        f"that limit; after a loss of {LOSS_POINTS:.0f} percentage points, at least four in five do. The uncertainty of the "
        f"accuracy on {n:,} test images is included."
    )
    return Conclusion(
        "retraining",
        text,
        {"images": images, "fewest_correct": limit},
        "beta-binomial test, level 5%, power 80%",
    )


def labelled_sample(accuracy: float, n: int, loss: float) -> tuple[int, int] | None:
    """Return the size of a sample that detects a loss of accuracy, and the count of correct predictions below which it does.

    The count follows a beta-binomial distribution (Jeffreys' prior), as the accuracy is only known from test images. The
    test is one-sided at level 5% with power 80%. The size is the smallest multiple of ten; None where none is large enough.

    Args:
        accuracy: on the test images, between 0 and 1.
        n: number of test images.
        loss: decrease in accuracy to detect, above 0.
    """
    correct, incorrect = accuracy * n + 0.5, (1 - accuracy) * n + 0.5
    if correct / (n + 1) <= loss:
        return None
    for images in range(10, LARGEST_SAMPLE + 1, 10):
        limit = int(np.searchsorted(_cumulative(images, correct, incorrect), LEVEL, side="right"))
        lost = loss * (correct + incorrect)
        if limit > 0 and _cumulative(images, correct - lost, incorrect + lost)[limit - 1] >= POWER:
            return images, limit
    return None


def _cumulative(images: int, correct: float, incorrect: float) -> np.ndarray:
    return np.cumsum(stats.betabinom.pmf(np.arange(images + 1), images, correct, incorrect))
