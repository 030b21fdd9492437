"""The data card: origin, content and hashes of a data set, and what 01_acquire concludes from it."""

import hashlib
from typing import Any

import numpy as np

from helpers import wording
from helpers.obtain import data
from helpers.series.conclusions import Conclusion


def build(origin: dict[str, Any], train: data.Dataset, test: data.Dataset) -> dict[str, Any]:
    """Return the data card, as plain JSON types.

    Args:
        origin: title, licence, source and files of the data set.
        train: the training part.
        test: the test part.
    """
    mean, sd = data.pixel_mean_and_sd(train.images)
    parts = {"train": train, "test": test}
    return {
        "unreadable": [],
        "ignored_files": 0,
        "first_source": origin["source"],
        **origin,
        "class_names": list(train.class_names),
        "image_shape": list(train.image_shape),
        "dtype": str(train.images.dtype),
        "counts": {name: len(part) for name, part in parts.items()},
        "class_counts": {
            name: dict(zip(part.class_names, part.class_counts().tolist(), strict=True))
            for name, part in parts.items()
        },
        "sha256": {name: data.array_sha256(part.images, part.labels) for name, part in parts.items()},
        "pixel_mean": mean,
        "pixel_sd": sd,
        "test_images_also_in_training": count_shared(train.images, test.images),
    }


def count_shared(train: np.ndarray, test: np.ndarray) -> int:
    """Return how many test images occur, pixel for pixel, among the training images."""
    known = {hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in train}
    return sum(hashlib.blake2b(image.tobytes(), digest_size=16).digest() in known for image in test)


def rows(card: dict[str, Any]) -> dict[str, str]:
    """Return a data card's main facts as text, by name.

    Example:
        `pd.Series(data_card.rows(card))`
    """
    counts = card["counts"]
    return {
        "data set": card["title"],
        "about": card["about"],
        "licence": card["licence"],
        "first fetched from": card["first_source"],
        "source of this run": card["source"],
        "images": f"{sum(counts.values()):,}: {counts['train']:,} for training, {counts['test']:,} for the test",
        "parts": card["split"],
        "classes": f"{len(card['class_names'])}: {', '.join(card['class_names'])}",
        "an image": f"{_image_size(card)}, {card['dtype']}",
        "pixel mean and deviation": f"{card['pixel_mean']:.5f} and {card['pixel_sd']:.5f} (0–1, training part)",
        "unreadable files": str(len(card["unreadable"])),
        "files skipped because they are not images": str(card["ignored_files"]),
        "test images also in training": str(card["test_images_also_in_training"]),
    }


def hashes(card: dict[str, Any]) -> dict[str, str]:
    """Return the sha256 of each published file and of the arrays of each part, by name.

    Example:
        `pd.Series(data_card.hashes(card))`
    """
    files = {name: facts["sha256"] for name, facts in card["files"].items()}
    return files | {f"{name} arrays": value for name, value in card["sha256"].items()}


def conclude_content(card: dict[str, Any]) -> Conclusion:
    """Conclude what a data set holds, and where it was fetched from.

    Example:
        `run.conclude(data_card.conclude_content(card))`
    """
    counts, classes = card["counts"], card["class_counts"]["train"].values()
    low, high = min(classes), max(classes)
    each = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    unreadable = len(card["unreadable"])
    return Conclusion(
        "content",
        f"{card['title']} (source: {card['source']}) has {counts['train']:,} training images and {counts['test']:,} test images "
        f"of {_image_size(card)}, in {len(classes)} classes with {each} training images each. Unreadable files: {unreadable:,}.",
        {**counts, "classes": len(classes), "smallest": low, "largest": high, "unreadable": unreadable},
    )


def conclude_overlap(card: dict[str, Any]) -> Conclusion:
    """Conclude how many test images are also training images.

    Example:
        `run.conclude(data_card.conclude_overlap(card))`
    """
    shared, total = card["test_images_also_in_training"], card["counts"]["test"]
    if not shared:
        text = f"None of the {total:,} test images is, pixel for pixel, among the training images."
    else:
        text = (
            f"{shared:,} of the {total:,} test images ({wording.percent(shared / total)}) are, pixel for pixel, among "
            "the training images. Test accuracy is too optimistic by up to that percentage."
        )
    return Conclusion("test_in_training", text, {"shared_images": shared, "test_images": total})


def _image_size(card: dict[str, Any]) -> str:
    height, width, channels = card["image_shape"]
    return f"{height} × {width} pixels, {'grey' if channels == 1 else 'colour'}"
