"""What there is to know of the data, as the stages logged it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from helpers import wording

ACQUIRE, EXPLORE, PREPROCESS = "01_acquire", "02_explore", "03_preprocess"


@dataclass(frozen=True)
class Fact:
    """One value, what it is, and the file that it comes from."""

    label: str
    value: str
    source: str


def metrics_file(stage: str) -> str:
    """Return how a stage's metrics are named as the source of a number."""
    return f"{stage}/metrics.json"


def data_facts(metrics: Mapping[str, Mapping[str, Any]]) -> list[Fact]:
    """Return what there is to know of the data, as far as the stages logged it."""
    data, look, split = (metrics.get(stage, {}) for stage in (ACQUIRE, EXPLORE, PREPROCESS))
    size = [data.get(f"image_{side}") for side in ("height", "width", "channels")]
    shares = [data.get("pixel_mean"), data.get("pixel_sd")]
    found = [
        ("Source", data.get("first_source", data.get("source")), ACQUIRE),
        ("Training images", _count(data.get("n_train")), ACQUIRE),
        ("of these for validation", _count(split.get("validation_images")), PREPROCESS),
        ("Test images, kept apart", _count(data.get("n_test")), ACQUIRE),
        ("Test images also in training", _count(data.get("test_images_also_in_training")), ACQUIRE),
        ("Unreadable files", _count(data.get("unreadable_files")), ACQUIRE),
        ("Classes", _count(data.get("num_classes")), ACQUIRE),
        ("Image size", _size(*size) if None not in size else None, ACQUIRE),
        ("Pixel mean and standard deviation", _pair(*shares) if None not in shares else None, ACQUIRE),
        ("Class balance", _balance(look.get("balance_p_value")), EXPLORE),
        ("Exact duplicates", _count(look.get("exact_duplicates")), EXPLORE),
        ("Pairs of near duplicates", _count(look.get("near_duplicates")), EXPLORE),
        ("Augmentation", _throughput(split.get("augmentation_images_per_second")), PREPROCESS),
    ]
    return [
        Fact(label, str(value), metrics_file(stage)) for label, value, stage in found if value is not None
    ]


def _count(number: Any) -> str | None:
    return f"{number:,}" if isinstance(number, int | float) else None


def _size(height: int, width: int, channels: int) -> str:
    color = {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
    return f"{height} × {width} pixels, {color}"


def _pair(mean: float, deviation: float) -> str:
    return f"{mean:.4f} and {deviation:.4f}"


def _balance(p_value: float | None) -> str | None:
    if p_value is None:
        return None
    shown = "not balanced" if p_value < 0.05 else "no imbalance shown"
    return f"{shown} (test of uniformity, {wording.p_value(p_value)})"


def _throughput(rate: float | None) -> str | None:
    return None if rate is None else f"{rate:,.0f} images a second"
