"""Figures: one style for notebooks and report, colour-blind safe and readable at half size; alt texts; grids of images."""

import textwrap
from collections.abc import Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

# Okabe & Ito (2008), "Color Universal Design", with a brown and a grey so that ten classes have ten colours.
_OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#000000")
COLORS = (*_OKABE_ITO, "#8C6D31", "#999999")
MOST_ROWS = 40  # rows of a figure that can be read on one page
MOST_SQUARE = 30  # rows and columns of a matrix with names on both sides
MOST_IMAGES = 100  # in a figure: more take seconds to draw, and nobody looks at them
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


def label(name: str, most: int = 32, wrap: int = 0) -> str:
    """Return a name as a figure can show it: as text, never as a formula, in one line, shortened in the middle.

    Args:
        name: such as a class name, which may hold anything.
        most: characters at most.
        wrap: characters in a line; 0 for a single line.

    Example:
        `figures.label("a very long name", 10)` is `"a very…ame"`
    """
    text = " ".join(name.encode("utf-8", "replace").decode().split())
    if len(text) > most:
        text = f"{text[: (most - 1) * 2 // 3]}…{text[len(text) - (most - 1) + (most - 1) * 2 // 3 :]}"
    text = textwrap.fill(text, wrap) if wrap else text
    # matplotlib reads dollars as formulas, and leaves names that start with an underscore out of legends
    return f"{' ' if text.startswith('_') else ''}{text}".replace("$", r"\$")


def both_ends(values: np.ndarray, most: int) -> np.ndarray:
    """Return the places of the highest and of the lowest values, `most` together, falling; all in their order if there are no more."""
    if len(values) <= most:
        return np.arange(len(values))
    falling = np.argsort(-np.asarray(values), kind="stable")
    return np.concatenate([falling[: most - most // 2], falling[len(falling) - most // 2 :]])


def selection(shown: int, total: int, which: str) -> str:
    """Return a sentence that says which classes a figure shows, such as `The 40 largest of 200 classes.`; empty if all are shown."""
    return "" if shown == total else f"The {shown} {which} of {total:,} classes."


def log_scale(axis: Axis, steps: Sequence[float] = (1.0, 2.0, 5.0), text: str = "{x:g}") -> None:
    """Give an axis (`axes.xaxis` or `axes.yaxis`) a logarithmic scale, with plain numbers at these steps of each decade."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(text)
    axis.set_minor_formatter("")


def no_axes(axes: Axes) -> None:
    """Remove ticks, grid and frame, as for an image."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def draw_image(axes: Axes, image: np.ndarray, extent: tuple[float, ...] | None = None) -> None:
    """Draw one image, `[H, W, C] uint8` with one or three channels, without smoothing between pixels.

    `extent` places it (left, right, bottom, top); by default it fills the axes.
    """
    pixels = image[..., 0] if image.shape[-1] == 1 else image
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest", extent=extent)
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
        images: `[N, H, W, C] uint8`, one or three channels; the first `MOST_IMAGES` are drawn.
        titles: a short text above each image, of one or more lines.
        columns: images per row.
        cell: side of a cell in inches.
        nothing: text of the figure if there are no images.

    Example:
        `figures.image_grid(train.images[:20], titles)`
    """
    if len(images) == 0:
        return sentence(nothing)
    images, columns = images[:MOST_IMAGES], min(columns, len(images))
    titles = [""] * len(images) if titles is None else titles[: len(images)]
    line = 0.17  # inches, of a title in 8.5 points
    title = line * max(text.count("\n") + bool(text) for text in titles)
    high = cell * min(1.0, images.shape[1] / images.shape[2])
    rows, tall = -(-len(images) // columns), high + title
    figure, [[axes]] = subplots(width=columns * cell, height=rows * tall)
    for index, (image, text) in enumerate(zip(images, titles, strict=True)):
        row, column = divmod(index, columns)
        _draw_tile(axes, image, column * cell, row * tall + title, cell, high)
        axes.text((column + 0.5) * cell, row * tall + title, text, fontsize=8.5, ha="center", va="bottom")
    axes.set(xlim=(0, columns * cell), ylim=(rows * tall, 0), aspect="equal")
    return figure


def _draw_tile(axes: Axes, image: np.ndarray, left: float, top: float, wide: float, high: float) -> None:
    """Draw an image into a rectangle of one axes for all images, with a margin; axes of their own take ten times as long."""
    scale = 0.92 * min(high / image.shape[0], wide / image.shape[1])
    height, width = scale * image.shape[0], scale * image.shape[1]
    left, top = left + (wide - width) / 2, top + (high - height) / 2
    draw_image(axes, image, (left, left + width, top + height, top))


def class_rows(images: np.ndarray, labels: np.ndarray, class_names: Sequence[str], per_class: int) -> Figure:
    """Return a figure with one row of images per class, the first `per_class` of each.

    Args:
        images: `[N, H, W, C] uint8`.
        labels: `[N] int64`.
        class_names: names by label, a few dozen at most.
        per_class: images per row.

    Example:
        `figures.class_rows(sample.images, sample.labels, sample.class_names, 8)`
    """
    figure, [[axes]] = subplots(width=1.6 + 0.75 * per_class, height=0.8 * len(class_names))
    # the usual one lets long names stick out of axes of fixed proportions
    figure.set_layout_engine("compressed")
    for place in range(len(class_names)):
        for column, image in enumerate(images[labels == place][:per_class]):
            _draw_tile(axes, image, column, place, 1, 1)
    axes.set(xlim=(0, per_class), ylim=(len(class_names), 0), aspect="equal")
    axes.set_yticks(np.arange(len(class_names)) + 0.5, class_names, fontsize=10)
    axes.tick_params(length=0)
    return figure


def sentence(text: str) -> Figure:
    """Return a figure that shows only a sentence, for when there is nothing to draw; the sentence is its alt text."""
    figure, axes = subplots(width=8, height=1.2)
    no_axes(axes[0, 0])
    axes[0, 0].text(0.5, 0.5, text, ha="center", va="center", wrap=True)
    return with_alt(figure, text)
