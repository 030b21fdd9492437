"""Facts about the data, as the stages logged them."""

import contextlib
from collections.abc import Mapping
from typing import Any

from helpers import wording

ACQUIRE, EXPLORE, PREPROCESS = "01_acquire", "02_explore", "03_preprocess"
_CORRECTED = (
    "{labels_corrected[PART][relabelled]:,} relabelled, {labels_corrected[PART][dropped]:,} images dropped"
)
# label, stage, and the fact in terms of the stage's metrics
FACTS = (
    ("Source", ACQUIRE, "{source}"),
    ("Training images", ACQUIRE, "{n_train:,}"),
    ("of these for validation", PREPROCESS, "{validation_images:,}"),
    ("Test images, held out", ACQUIRE, "{n_test:,}"),
    ("Test images with a copy or group member in training", ACQUIRE, "{test_images_related_to_training:,}"),
    ("Labels corrected in training", ACQUIRE, _CORRECTED.replace("PART", "train")),
    ("Labels corrected in the test part", ACQUIRE, _CORRECTED.replace("PART", "test")),
    ("Unreadable files", ACQUIRE, "{unreadable_files:,}"),
    ("Classes", ACQUIRE, "{num_classes:,}"),
    ("Image size", ACQUIRE, "{image_height} × {image_width} px, {color}"),
    ("Pixel mean and standard deviation", ACQUIRE, "{pixel_mean:.4f} and {pixel_sd:.4f}"),
    ("Test of equal class sizes", EXPLORE, "{balance}"),
    ("Images with a copy or group member", ACQUIRE, "{images_with_copies:,}"),
    ("of these exact copies", ACQUIRE, "{exact_copies:,}"),
    ("Augmentation", PREPROCESS, "{augmentation_images_per_second:,.0f} images per second"),
)


def metrics_file(stage: str) -> str:
    """Return the name of a stage's metrics file, as sources are written in the report."""
    return f"{stage}/metrics.json"


def list_facts(metrics: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return the facts about the data that the stages logged: label, value, and the file that holds it as `source`.

    Example:
        `pd.DataFrame(data_facts.list_facts(metrics))`
    """
    facts = []
    for label, stage, form in FACTS:
        with contextlib.suppress(KeyError):  # the stage has not run, or does not know this of its data
            value = form.format(**_worded(metrics.get(stage, {})))
            facts.append({"label": label, "value": value, "source": metrics_file(stage)})
    return facts


def _worded(logged: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics that have a value, with those in words that are not printed as they are."""
    values = {name: value for name, value in logged.items() if value is not None}
    if "first_source" in values:
        values["source"] = values["first_source"]
    if "image_channels" in values:
        channels = values["image_channels"]
        values["color"] = {1: "greyscale", 3: "colour"}.get(channels, f"{channels} channels")
    if "balance_p_value" in values:
        p = values["balance_p_value"]
        values["balance"] = "exactly equal" if p == 1 else wording.p_value(p)
    return values


def list_most_alike(metrics: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, float]]:
    """Return the pairs of classes whose mean images are most alike, with the correlation of these images.

    Example:
        `pd.DataFrame(data_facts.list_most_alike(metrics), columns=["class", "looks like", "correlation"])`
    """
    pairs = metrics.get(EXPLORE, {}).get("most_alike") or []
    return [(str(one), str(other), float(correlation)) for one, other, correlation in pairs]
