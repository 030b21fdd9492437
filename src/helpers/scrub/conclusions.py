"""Conclusions of the preprocessing (03), each worded once."""

import numpy as np

from helpers.obtain.data import Dataset
from helpers.scrub.augment import AugmentationPolicy
from helpers.series.conclusions import Conclusion
from helpers.wording import listing, percent, points


def split(train: Dataset, validation: Dataset) -> Conclusion:
    """Conclude how the images are split, and how exact a validation accuracy will be.

    Example:
        `run.conclude(conclusions.split(train, validation))`
    """
    held_out = validation.class_counts() / (train.class_counts() + validation.class_counts())
    low, high = percent(held_out.min()), percent(held_out.max())
    each = low if low == high else f"{low} to {high}"
    margin = 196 * np.sqrt(0.09 / len(validation))  # 1.96 standard errors of a proportion of 0.9, in points
    return Conclusion(
        "split",
        f"{len(train):,} images are for training and {len(validation):,} for validation, {each} of each class; no image is in "
        f"both parts. A validation accuracy near 90% has a 95% interval of about ±{points(margin)} points.",
        {"train_images": len(train), "validation_images": len(validation), "margin_points": float(margin)},
    )


def normalisation(mean: np.ndarray, deviation: np.ndarray) -> Conclusion:
    """Conclude how pixels are scaled, by mean and standard deviation of each channel (0–255).

    Example:
        `run.conclude(conclusions.normalisation(mean, deviation))`
    """
    means, deviations = (listing([f"{value:.1f}" for value in values]) for values in (mean, deviation))
    return Conclusion(
        "normalisation",
        f"Models subtract the mean {means} and divide by the standard deviation {deviations} (of pixel values 0–255), "
        "both computed from training images alone.",
        {"mean": mean.tolist(), "standard_deviation": deviation.tolist()},
    )


def augmentation(policy: AugmentationPolicy) -> Conclusion:
    """Conclude which kinds of augmentation training uses.

    Example:
        `run.conclude(conclusions.augmentation(policy))`
    """
    active = policy.active()
    used, unused = ([kind for kind in active if active[kind] is on] for on in (True, False))
    return Conclusion(
        "augmentation",
        f"Training augments images by {listing(used) if used else 'nothing'}, and not by "
        f"{listing(unused) if unused else 'anything else'}; augmentation.json gives the reasons.",
        {"used": used, "unused": unused},
    )
