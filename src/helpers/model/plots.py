"""Figures about models: cost against accuracy, learning curves."""

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

from helpers import figures


def return_on_complexity(table: pd.DataFrame) -> Figure:
    """Return accuracy against fit time and against size, with intervals.

    A model far below all others, such as the majority class, would press the rest together; it is named in the
    corner instead of drawn.

    Args:
        table: one row a model; columns `label`, `fit_seconds`, `parameters`, `accuracy`, `low`, `high`.
    """
    spread = table["accuracy"].max() - table["accuracy"].median()
    floor = table["accuracy"].median() - max(4 * spread, 0.1)
    drawn, below = table[table["accuracy"] >= floor], table[table["accuracy"] < floor]
    figure, axes = figures.subplots(1, 2, width=11, height=4.6, sharey=True)
    costs = (("fit_seconds", "seconds to fit (log scale)"), ("parameters", "parameters (log scale)"))
    for axis, (column, title) in zip(axes[0], costs, strict=True):
        looks = itertools.cycle(zip(figures.COLORS, "osD^vPX*ph", strict=True))
        for (color, marker), (_, row) in zip(looks, drawn.iterrows(), strict=False):
            interval = [[row.accuracy - row.low], [row.high - row.accuracy]]
            axis.errorbar(
                row[column],
                row.accuracy,
                yerr=interval,
                fmt=marker,
                ms=9,
                mec="#333333",
                mew=0.6,
                capsize=4,
                color=color,
                label=row.label,
            )
        axis.set_xscale("log")
        decades = np.log10(drawn[column].max() / max(drawn[column].min(), 1e-9))
        axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 1.8 else (1.0,)))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.margins(x=0.15)
        axis.set_xlabel(title)
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes[0, 0].set_ylabel("validation accuracy (95% interval)")
    if len(below):
        note = "\n".join(f"below the picture: {row.label}, {row.accuracy:.1%}" for row in below.itertuples())
        axes[0, 1].text(
            0.98, 0.03, note, transform=axes[0, 1].transAxes, ha="right", va="bottom", color="#555555"
        )
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def learning_curves(histories: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Return loss and accuracy by epoch, training dashed and validation solid.

    Args:
        histories: for each model's label, `loss`, `val_loss`, `accuracy` and `val_accuracy` by epoch.
    """
    figure, axes = figures.subplots(1, 2, width=11, height=4.2)
    for axis, metric in zip(axes[0], ("loss", "accuracy"), strict=True):
        for index, (label, history) in enumerate(histories.items()):
            epochs = np.arange(1, len(history[metric]) + 1)
            color = figures.COLORS[index]
            axis.plot(epochs, history[metric], "--", color=color, label=f"{label}, training")
            axis.plot(epochs, history[f"val_{metric}"], "o-", color=color, label=f"{label}, validation")
        axis.set_xlabel("epoch")
        axis.set_ylabel(metric)
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[0, 1].yaxis.set_major_formatter(PercentFormatter(1.0))
    axes[0, 0].legend(fontsize=9)
    return figure


FROZEN = "#C9D6E3"
TRAINED = figures.COLORS[1]
NEW_HEAD = "#FBE6B8"
_EDGE = "#444444"
_WIDTH, _FIRST, _GAP = 11.0, 1.05, 0.22  # inches: of a page, left of the first block, between boxes
_SHAPE = "{} × {} × {:,}"


class BlockLike(Protocol):
    """A part of a network that is frozen or trained as a whole; `output_shape` is `(h, w, c)`."""

    name: str
    output_shape: tuple[int, int, int]
    parameters: int
    trainable: bool


def architecture(blocks: Sequence[BlockLike], head: Sequence[tuple[str, str]]) -> Figure:
    """Return the layers as a chain from raw pixels to probabilities.

    A block is the taller, the larger its feature map's side is (logarithmic), and coloured by whether it is
    trained. The head follows to the right, or in a row beneath where there is no room.

    Args:
        blocks: the backbone's blocks from input to output.
        head: title and detail, which may be empty, of each layer of the classifier.
    """
    pitch = min(0.85, (_WIDTH - _FIRST - 0.3) / len(blocks))
    size = float(np.clip(18.5 * pitch, 8, 10))
    letter = 0.66 * size / 72  # inches
    low = max(0.75, letter * max(len(block.name) for block in blocks) + 0.2)
    below = 0.95 * low + letter * max(len(_SHAPE.format(*block.output_shape)) for block in blocks) + 0.15
    end = _FIRST + (len(blocks) - 0.22) * pitch
    beside = _WIDTH - end > 1.4 * (len(head) + 1)
    middle, bottom = (0.0, -below) if beside else (-below - 0.8, -below - 1.3)
    figure, axes = figures.subplots(width=_WIDTH, height=0.95 * low + 0.8 - bottom)
    axis = axes[0, 0]
    figures.no_axes(axis)
    axis.set(xlim=(0, _WIDTH), ylim=(bottom, 0.95 * low + 0.35))
    _draw_blocks(axis, blocks, pitch, low, size)
    start = end + _GAP if beside else _GAP
    around = [(end + 0.25, 0), (end + 0.25, 0.1 - below), (0.06, 0.1 - below), (0.06, middle)]
    _arrow(axis, [(end, 0), *([] if beside else around), (start, middle)])
    layers = [*head, ("probabilities", "")]
    width = min(1.6, (_WIDTH - 0.06 - start + _GAP) / len(layers) - _GAP)
    for index, (title, detail) in enumerate(layers):
        left, color = start + index * (width + _GAP), NEW_HEAD if index < len(head) else "white"
        lines = [*textwrap.wrap(title, max(8, int(width / letter))), *filter(None, [detail])]
        _box(axis, (left, middle), (width, 0.85), color, "\n".join(lines), size)
        if index:
            _arrow(axis, [(left - _GAP, middle), (left, middle)])
    legend(figure, {"frozen": FROZEN, "trained": TRAINED, "new head, trained": NEW_HEAD})
    return figure


def unfrozen(variants: Mapping[str, Sequence[BlockLike]]) -> Figure:
    """Return which blocks each variant trains: one row a variant, one column a block, the input at the left.

    Args:
        variants: by title, the same blocks in the same order, which differ in `trainable`.
    """
    blocks = next(iter(variants.values()))
    places, aside, foot = np.arange(len(blocks)) + 0.5, len(blocks) + 0.3, len(variants)
    figure, axes = figures.subplots(width=_WIDTH, height=2.0 + 0.5 * len(variants))
    axis = axes[0, 0]
    axis.set(xlim=(0, len(blocks)), ylim=(len(variants), 0))
    figures.no_axes(axis)
    for row, variant in enumerate(variants.values()):
        for column, (block, _) in enumerate(zip(variant, blocks, strict=True)):
            color = TRAINED if block.trainable else FROZEN
            axis.add_patch(Rectangle((column, row + 0.08), 1, 0.84, facecolor=color, edgecolor="white"))
        trained = sum(block.parameters for block in variant if block.trainable)
        total = sum(block.parameters for block in variant)
        share = "none" if trained == 0 else "all" if trained == total else _count(trained)
        axis.text(aside, row + 0.5, f"{share} of {_count(total)}", va="center", fontsize=11)
    # offsets in points, not in rows, so that the layout finds room for them whatever a row's height is
    small = {"textcoords": "offset points", "va": "top", "fontsize": 10, "annotation_clip": False}
    title = "parameters\nof the backbone\ntrained"
    axis.annotate(title, (aside, 0), (0, 6), **{**small, "va": "bottom"})
    axis.annotate("parameters", (0, foot), (-5, -6), ha="right", **small)
    for place, block in zip(places, blocks, strict=True):
        axis.annotate(_count(block.parameters), (place, foot), (0, -6), ha="center", rotation=90, **small)
    axis.xaxis.tick_top()
    axis.set_xticks(places, [block.name for block in blocks], rotation=90, fontsize=10)
    axis.set_yticks(np.arange(len(variants)) + 0.5, list(variants))
    axis.tick_params(length=0)
    legend(figure, {"frozen": FROZEN, "trained": TRAINED})
    return figure


def _count(parameters: int) -> str:
    """Return a number of parameters in few letters: `896`, `12 k`, `1.2 M`."""
    if parameters < 1_000:
        return str(parameters)
    value, unit = (parameters / 1e3, "k") if parameters < 999_500 else (parameters / 1e6, "M")
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"


def _draw_blocks(axis: Axes, blocks: Sequence[BlockLike], pitch: float, low: float, size: float) -> None:
    """Draw raw pixels and blocks around y = 0, `low` to `1.9 * low` tall, with their numbers above and below."""
    top = 0.95 * low + 0.1
    legend = {"ha": "right", "color": _EDGE, "fontsize": size}
    axis.text(_FIRST - 0.1, top, "parameters", **legend)
    axis.text(_FIRST - 0.1, -top, "side × side\n× channels", va="top", **legend)
    _box(axis, (0.02, 0), (_FIRST - _GAP, low), "white", "raw\npixels", size)
    number = {"ha": "center", "fontsize": size}
    largest = max(2, *(max(block.output_shape[:2]) for block in blocks))
    for index, block in enumerate(blocks):
        left, centre = _FIRST + index * pitch, _FIRST + (index + 0.39) * pitch
        height = low * (1 + 0.9 * np.log(max(block.output_shape[:2])) / np.log(largest))
        color = TRAINED if block.trainable else FROZEN
        _box(axis, (left, 0), (0.78 * pitch, height), color, block.name, size, rotation=90)
        _arrow(axis, [(left - (0.22 * pitch if index else _GAP - 0.02), 0), (left, 0)])
        axis.text(centre, top, _count(block.parameters), **number)
        axis.text(centre, -top, _SHAPE.format(*block.output_shape), rotation=90, va="top", **number)


def _box(axis: Axes, place: tuple, extent: tuple, color: str, words: str, size: float, **text: int) -> None:
    """Draw a box with words; `place` is its left and its middle, `extent` its width and height."""
    corner = (place[0], place[1] - extent[1] / 2)
    axis.add_patch(Rectangle(corner, *extent, facecolor=color, edgecolor=_EDGE, zorder=2))
    look = {"ha": "center", "va": "center", "fontsize": size, "zorder": 3, **text}
    axis.text(place[0] + extent[0] / 2, place[1], words, **look)


def _arrow(axis: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Draw a line through points, with a head at the last."""
    axis.plot(*zip(*points[:-1], strict=True), color=_EDGE, linewidth=1.2, solid_joinstyle="miter")
    tip = {"arrowstyle": "-|>", "color": _EDGE, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8}
    axis.annotate("", points[-1], points[-2], arrowprops=tip)


def legend(figure: Figure, colors: Mapping[str, str]) -> None:
    """Add a legend of filled colours, by label, above the figure."""
    handles = [Patch(facecolor=color, edgecolor=_EDGE, label=label) for label, color in colors.items()]
    if handles:
        figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), frameon=False)
