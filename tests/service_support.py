"""A service for tests: the real application with a small real model, and images to send."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

import registry_versions
from helpers.export.registry import Registry
from helpers.serving.settings import Settings


def publish(
    folder: Path,
    seed: int = 0,
    *,
    promote: bool = True,
    drift: bool = False,
    unknown_above: float | None = None,
) -> str:
    """Publish a version of digits from a new folder and promote it; return its name."""
    content = registry_versions.content(folder, seed)
    if drift:
        registry_versions.write_drift_reference(content)
    if unknown_above is not None:
        registry_versions.write_detector(content, unknown_above)
    registry = Registry("digits")
    name = registry.publish(content, registry_versions.facts()).name
    return registry.promote(name).name if promote else name


def settings(**changes) -> Settings:
    """Return settings for tests: digits, frequent checks for promotions."""
    return Settings(
        **{"dataset": "digits", "watch": 0.05, "drift_every": 0.0, "log_requests": False, **changes}
    )


def png(pixels: np.ndarray, kind: str = "PNG", **options) -> bytes:
    """Return pixels, `uint8 [H, W]` or `[H, W, C]`, as an image file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def pixels(seed: int = 0, side: int = 8) -> np.ndarray:
    """Return random grey pixels, `uint8 [side, side]`."""
    return np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)
