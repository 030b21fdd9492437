"""Grids of images."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers import figures


def draw_image(axes: Axes, image: np.ndarray) -> None:
    """Draw one image, `[H, W, C] uint8` with one or three channels, with hard pixel edges."""
    picture = image[..., 0] if image.shape[-1] == 1 else image
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    figures.no_axes(axes)


def image_grid(
    images: np.ndarray, titles: Sequence[str] | None = None, *, columns: int = 10, cell: float = 0.9
) -> Figure:
    """Return a grid of images.

    Args:
        images: `[N, H, W, C] uint8`, one or three channels.
        titles: one short text above each image.
        columns: images in a row.
        cell: side of a cell in inches.
    """
    rows = -(-len(images) // columns)
    extra = 0.28 if titles is not None else 0.0
    figure, axes = figures.subplots(rows, columns, width=columns * cell, height=rows * (cell + extra))
    for index, axis in enumerate(axes.flat):
        if index >= len(images):
            axis.axis("off")
            continue
        draw_image(axis, images[index])
        if titles is not None:
            axis.set_title(titles[index], fontsize=8, fontweight="normal", loc="center")
    return figure


def class_rows(images: np.ndarray, labels: np.ndarray, class_names: Sequence[str], per_class: int) -> Figure:
    """Return a figure with one row of images for each class, the first `per_class` of each.

    Args:
        images: `[N, H, W, C] uint8`.
        labels: `[N] int64`.
        class_names: names by label.
        per_class: images in a row.
    """
    figure, axes = figures.subplots(
        len(class_names), per_class, width=1.6 + 0.75 * per_class, height=0.8 * len(class_names)
    )
    for label, name in enumerate(class_names):
        chosen = images[labels == label][:per_class]
        for column, axis in enumerate(axes[label]):
            figures.no_axes(axis)
            if column < len(chosen):
                draw_image(axis, chosen[column])
        axes[label, 0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10)
    return figure
