"""Facts about the data, as the stages logged them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from helpers import wording

ACQUIRE, EXPLORE, PREPROCESS = "01_acquire", "02_explore", "03_preprocess"


@dataclass(frozen=True)
class Fact:
    """A value with its label and the file that holds it."""

    label: str
    value: str
    source: str


def metrics_file(stage: str) -> str:
    """Return the name of a stage's metrics file, as sources are written in the report."""
    return f"{stage}/metrics.json"


def list_facts(metrics: Mapping[str, Mapping[str, Any]]) -> list[Fact]:
    """Return the facts about the data that the stages logged.

    Example:
        `pd.DataFrame([vars(fact) for fact in data_facts.list_facts(metrics)])`
    """
    data, explored, split = (metrics.get(stage, {}) for stage in (ACQUIRE, EXPLORE, PREPROCESS))
    values = [
        ("Source", data.get("first_source", data.get("source")), ACQUIRE),
        ("Training images", _count(data.get("n_train")), ACQUIRE),
        ("of these for validation", _count(split.get("validation_images")), PREPROCESS),
        ("Test images, held out", _count(data.get("n_test")), ACQUIRE),
        ("Test images also in training", _count(data.get("test_images_also_in_training")), ACQUIRE),
        ("Unreadable files", _count(data.get("unreadable_files")), ACQUIRE),
        ("Classes", _count(data.get("num_classes")), ACQUIRE),
        ("Image size", _size(data), ACQUIRE),
        ("Pixel mean and standard deviation", _pixels(data), ACQUIRE),
        ("Test of equal class sizes", _p_value(explored.get("balance_p_value")), EXPLORE),
        ("Exact duplicates", _count(explored.get("exact_duplicates")), EXPLORE),
        ("Pairs of near duplicates", _count(explored.get("near_duplicates")), EXPLORE),
        ("Augmentation", _throughput(split.get("augmentation_images_per_second")), PREPROCESS),
    ]
    return [
        Fact(label, str(value), metrics_file(stage)) for label, value, stage in values if value is not None
    ]


def list_most_alike(metrics: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, float]]:
    """Return the pairs of classes whose mean images are most alike, with the correlation of these images.

    Example:
        `pd.DataFrame(data_facts.list_most_alike(metrics), columns=["class", "looks like", "correlation"])`
    """
    pairs = metrics.get(EXPLORE, {}).get("most_alike") or []
    return [(str(one), str(other), float(correlation)) for one, other, correlation in pairs]


def _count(number: Any) -> str | None:
    return f"{number:,}" if isinstance(number, int | float) else None


def _size(data: Mapping[str, Any]) -> str | None:
    if not {"image_height", "image_width", "image_channels"} <= set(data):
        return None
    channels = data["image_channels"]
    color = {1: "greyscale", 3: "colour"}.get(channels, f"{channels} channels")
    return f"{data['image_height']} × {data['image_width']} px, {color}"


def _pixels(data: Mapping[str, Any]) -> str | None:
    if not {"pixel_mean", "pixel_sd"} <= set(data):
        return None
    return f"{data['pixel_mean']:.4f} and {data['pixel_sd']:.4f}"


def _p_value(value: float | None) -> str | None:
    return None if value is None else wording.p_value(value)


def _throughput(rate: float | None) -> str | None:
    return None if rate is None else f"{rate:,.0f} images per second"
