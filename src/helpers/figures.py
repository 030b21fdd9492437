"""The one figure style: colour-blind safe, readable at half size, the same in notebooks and reports."""

from collections.abc import Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe & Ito (2008), "Color Universal Design", with two greys so that ten classes have ten colours.
COLORS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
    "#F0E442",
    "#000000",
    "#8C6D31",
    "#999999",
)
SEQUENTIAL = "cividis"
DIVERGING = "PuOr"

STYLE = {
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.labelsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e3e3",
    "legend.frameon": False,
    "image.cmap": "gray",
    "axes.prop_cycle": mpl.cycler(color=COLORS),
}


def subplots(
    rows: int = 1, columns: int = 1, *, width: float = 8.0, height: float = 4.0, **options: object
) -> tuple[Figure, np.ndarray]:
    """Return a figure in the project's style and its axes as an array `[rows, columns]`.

    Args:
        rows: number of rows.
        columns: number of columns.
        width: width in inches.
        height: height in inches.
        **options: passed on to `matplotlib.pyplot.subplots`.
    """
    with mpl.rc_context(STYLE):
        return plt.subplots(
            rows, columns, figsize=(width, height), squeeze=False, layout="constrained", **options
        )


def with_alt(figure: Figure, alt: str) -> Figure:
    """Return a figure that carries its alt text: what it shows, in words, for people who cannot see it."""
    figure.set_label(alt)
    return figure


def alt_text(figure: Figure) -> str:
    """Return the alt text that `with_alt` gave a figure; empty where it has none."""
    return str(figure.get_label())


def no_axes(axes: Axes) -> None:
    """Take ticks, grid and frame away, as for a picture."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def draw_image(axes: Axes, image: np.ndarray) -> None:
    """Draw one image, `[H, W, C] uint8` with one or three channels, with hard pixel edges."""
    picture = image[..., 0] if image.shape[-1] == 1 else image
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    no_axes(axes)


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
    figure, axes = subplots(rows, columns, width=columns * cell, height=rows * (cell + extra))
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
    figure, axes = subplots(
        len(class_names), per_class, width=1.6 + 0.75 * per_class, height=0.8 * len(class_names)
    )
    for label, name in enumerate(class_names):
        chosen = images[labels == label][:per_class]
        for column, axis in enumerate(axes[label]):
            no_axes(axis)
            if column < len(chosen):
                draw_image(axis, chosen[column])
        axes[label, 0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10)
    return figure


def captioned(images: np.ndarray, captions: Sequence[str], *, nothing: str, columns: int = 6) -> Figure:
    """Return images with a caption of a few short lines above each.

    Args:
        images: `[N, H, W, C] uint8`.
        captions: one for each image.
        nothing: what to say where there is no image.
        columns: images in a row.
    """
    if len(images) == 0:
        return sentence(nothing)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    lines = max(caption.count("\n") for caption in captions) + 1
    figure, axes = subplots(rows, columns, width=1.75 * columns, height=rows * (1.45 + 0.17 * lines))
    for index, axis in enumerate(axes.flat):
        if index >= len(images):
            axis.axis("off")
            continue
        draw_image(axis, images[index])
        axis.set_title(captions[index], fontsize=8.5)
    return figure


def sentence(text: str) -> Figure:
    """Return a figure that holds a sentence, where there is nothing to draw."""
    figure, axes = subplots(width=8, height=1.2)
    no_axes(axes[0, 0])
    axes[0, 0].text(0.5, 0.5, text, ha="center", va="center", wrap=True)
    return figure
