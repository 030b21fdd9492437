"""Figures: one style for notebooks and report, colour-blind safe and readable at half size; alt texts; grids of images."""

from collections.abc import Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe & Ito (2008), "Color Universal Design", with a brown and a grey so that ten classes have ten colours.
_OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#000000")
COLORS = (*_OKABE_ITO, "#8C6D31", "#999999")
SEQUENTIAL = "cividis"
DIVERGING = "PuOr"

STYLE = {
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "font.size": 11,
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
        **options: passed to `matplotlib.pyplot.subplots`.
    """
    with mpl.rc_context(STYLE):
        return plt.subplots(
            rows, columns, figsize=(width, height), squeeze=False, layout="constrained", **options
        )


def with_alt(figure: Figure, alt: str) -> Figure:
    """Attach an alt text to a figure and return the figure; the text states the finding for people who cannot see it."""
    figure.set_label(alt)
    return figure


def alt_text(figure: Figure) -> str:
    """Return the alt text of a figure; empty if it has none."""
    return str(figure.get_label())


def no_axes(axes: Axes) -> None:
    """Remove ticks, grid and frame, as for an image."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def draw_image(axes: Axes, image: np.ndarray) -> None:
    """Draw one image, `[H, W, C] uint8` with one or three channels, without smoothing between pixels."""
    pixels = image[..., 0] if image.shape[-1] == 1 else image
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    no_axes(axes)


def draw_interval(
    axes: Axes, value: float, interval: Sequence[float] | None, place: float, **options: object
) -> None:
    """Draw a value with its interval at a place on the vertical axis; `options` go to `Axes.errorbar`."""
    low, high = interval or (value, value)
    ends = [[max(value - low, 0.0)], [max(high - value, 0.0)]]
    axes.errorbar(value, place, xerr=ends, capsize=3, **options)


def label_rows(axes: Axes, names: Sequence[str]) -> None:
    """Name the places 0, 1, … on the vertical axis, from top to bottom."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(max(len(names), 1) - 0.5, -0.5)


def image_grid(
    images: np.ndarray,
    titles: Sequence[str] | None = None,
    *,
    columns: int = 10,
    cell: float = 0.9,
    nothing: str = "No images.",
) -> Figure:
    """Return a grid of images.

    Args:
        images: `[N, H, W, C] uint8`, one or three channels.
        titles: a short text above each image, of one or more lines.
        columns: images per row.
        cell: side of a cell in inches.
        nothing: text of the figure if there are no images.

    Example:
        `figures.image_grid(train.images[:20], titles)`
    """
    if len(images) == 0:
        return sentence(nothing)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    lines = max(title.count("\n") for title in titles) + 1 if titles is not None else 0
    figure, axes = subplots(rows, columns, width=columns * cell, height=rows * (cell + 0.2 * lines))
    for axis in axes.flat[len(images) :]:
        axis.axis("off")
    for index, image in enumerate(images):
        draw_image(axes.flat[index], image)
        if titles is not None:
            axes.flat[index].set_title(titles[index], fontsize=8)
    return figure


def class_rows(images: np.ndarray, labels: np.ndarray, class_names: Sequence[str], per_class: int) -> Figure:
    """Return a figure with one row of images per class, the first `per_class` of each.

    Args:
        images: `[N, H, W, C] uint8`.
        labels: `[N] int64`.
        class_names: names by label.
        per_class: images per row.

    Example:
        `figures.class_rows(sample.images, sample.labels, sample.class_names, 8)`
    """
    figure, axes = subplots(
        len(class_names), per_class, width=1.6 + 0.75 * per_class, height=0.8 * len(class_names)
    )
    for label, name in enumerate(class_names):
        for axis in axes[label]:
            no_axes(axis)
        for axis, image in zip(axes[label], images[labels == label], strict=False):
            draw_image(axis, image)
        axes[label, 0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10)
    return figure


def sentence(text: str) -> Figure:
    """Return a figure that shows only a sentence, for when there is nothing to draw; the sentence is its alt text."""
    figure, axes = subplots(width=8, height=1.2)
    no_axes(axes[0, 0])
    axes[0, 0].text(0.5, 0.5, text, ha="center", va="center", wrap=True)
    return with_alt(figure, text)
