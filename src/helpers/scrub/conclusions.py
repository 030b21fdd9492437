"""Conclusions of the preprocessing (03), each worded once."""

import numpy as np

from helpers.obtain.data import Dataset
from helpers.scoring import wilson_interval
from helpers.scrub.augment import AugmentationPolicy
from helpers.series import metrics
from helpers.series.conclusions import Conclusion
from helpers.wording import class_sizes, count, interval, listing, percent


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
        f"both parts. A validation accuracy near 90% has a 95% interval of about ±{margin:.1f} points.",
        {"train_images": len(train), "validation_images": len(validation), "margin_points": float(margin)},
    )


def unequal_classes(train: Dataset, validation: Dataset) -> Conclusion:
    """Conclude how exactly the recall of the smallest class can be measured, and what accuracy needs no learning.

    Example:
        `run.conclude(conclusions.unequal_classes(train, validation))`
    """
    counts, held_out = train.class_counts() + validation.class_counts(), validation.class_counts()
    smallest, ratio = int(counts.argmin()), float(counts.max() / max(counts.min(), 1))
    n, largest = int(held_out[smallest]), float(held_out.max() / held_out.sum())
    low, high = wilson_interval(round(0.9 * n), n) if n else (0.0, 1.0)
    name, fitted, equal = train.class_names[smallest], int(train.class_counts()[smallest]), ratio == 1
    which = "Each class" if equal else f"The smallest class, {name},"
    text = (
        f"{which} has {count(fitted, 'image')} for training and "
        f"{count(n, 'image')} for validation. A recall near 90% on these would have a 95% interval of {interval(low, high)}. "
        f"Always predicting {'one' if equal else 'the largest'} class would be correct for {percent(largest)} of the validation images."
    )
    numbers = {"smallest": name, "training": fitted, "validation": n, "recall_ci95": [low, high]}
    numbers |= {"ratio": ratio, "largest_class_proportion": largest}
    return Conclusion(
        "unequal_classes", text, numbers, f"Wilson's interval, {n:,} validation images of the class"
    )


def metric(chosen: metrics.Metric, asked: str, train: Dataset) -> Conclusion:
    """Conclude by which metric models are chosen, and why.

    Example:
        `run.conclude(conclusions.metric(chosen, metric, train))`
    """
    counts = train.class_counts()
    ratio = float(counts.max() / max(counts.min(), 1))
    sizes = class_sizes(ratio)
    why = f"as the parameter metric says; {sizes}" if asked != metrics.AUTO else f"because {sizes}"
    return Conclusion(
        "metric",
        f"Models are chosen by their {chosen.title}, {why}.",
        {**chosen.facts(), "asked": asked, "ratio": ratio},
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
