"""Conclusions of the preprocessing (03), each worded once."""

from collections.abc import Sequence

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


def normalisation(
    mean: Sequence[float], deviation: Sequence[float], shifted: Sequence[float], scaled: Sequence[float]
) -> Conclusion:
    """Conclude how the pixels are scaled, and how well that fits images that had no part in it.

    Args:
        mean: of the training pixels, by channel, 0–255.
        deviation: standard deviation of the training pixels, by channel, 0–255.
        shifted: mean of the validation pixels after scaling, by channel.
        scaled: standard deviation of the validation pixels after scaling, by channel.

    Example:
        `run.conclude(conclusions.normalisation(mean, deviation, shifted, scaled))`
    """
    texts = [listing([f"{value:.{digits}f}".replace("-", "−") for value in values])
             for values, digits in ((mean, 1), (deviation, 1), (shifted, 3), (scaled, 3))]  # fmt: skip
    return Conclusion(
        "normalisation",
        f"Models subtract the mean {texts[0]} and divide by the standard deviation {texts[1]} (0–255), computed from training "
        f"images alone. Scaled in that way, the validation images have mean {texts[2]} and standard deviation {texts[3]}.",
        {"mean": list(mean), "standard_deviation": list(deviation)}
        | {"validation_mean": list(shifted), "validation_standard_deviation": list(scaled)},
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


def throughput(images_per_second: float, train: Dataset) -> Conclusion:
    """Conclude how long augmentation takes.

    Example:
        `run.conclude(conclusions.throughput(speed, train))`
    """
    height, width, _ = train.image_shape
    return Conclusion(
        "throughput",
        f"Augmentation processes {images_per_second:,.0f} images of {height} × {width} pixels per second: one pass over the "
        f"{len(train):,} training images takes {len(train) / images_per_second:.2g} s.",
        {"images_per_second": images_per_second},
    )
