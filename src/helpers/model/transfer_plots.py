"""Figures of transfer learning: resized images, the network's layers, accuracy against resolution and cost."""

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, PercentFormatter

from helpers import figures, wording
from helpers.model.plots import EDGE, FROZEN, TRAINED, WIDTH, add_legend, format_count

if TYPE_CHECKING:  # importing it would load TensorFlow
    from helpers.model.backbones.blocks import Block

NEW_HEAD = "#FBE6B8"
_FIRST, _GAP = 1.05, 0.22  # inches: left of the first block, between boxes
_SHAPE = "{} × {} × {:,}"


def resizing(
    images: np.ndarray, resized: Mapping[int, np.ndarray], class_names: Sequence[str], interpolation: str
) -> Figure:
    """Draw the original images beside what the network sees at each resolution, all at the same size.

    Args:
        images: `[N, H, W, C] uint8`, one or three channels.
        resized: by side in pixels, `[N, side, side, C] float32`, 0–255.
        class_names: the class of each image, `[N]`.
        interpolation: the name of the resizing method.

    Example:
        `run.show(transfer_plots.resizing(images, resized, class_names, "bilinear"), "resizing")`
    """
    count, height, width = images.shape[:3]
    columns = [(f"{height} × {width}, original", images)]
    columns += [(f"{side} px, {interpolation}", larger) for side, larger in resized.items()]
    page = {"width": 1.2 + 1.75 * len(columns), "height": 0.7 + 1.75 * count}
    figure, axes = figures.subplots(count, len(columns), **page)
    for axes_column, (title, column) in zip(axes.T, columns, strict=True):
        for axis, image in zip(axes_column, column, strict=True):
            figures.draw_image(axis, np.clip(np.rint(image), 0, 255).astype(np.uint8))
        axes_column[0].set_title(title, fontsize=11)
    for axis, name in zip(axes[:, 0], class_names, strict=True):
        axis.set_ylabel(textwrap.fill(name, 14), rotation=0, ha="right", va="center")
    return figures.with_alt(
        figure,
        f"{count} images of {height} × {width} pixels, original and resized to "
        f"{wording.listing([f'{side} px' for side in resized])}: edges get smoother, no detail is added.",
    )


def architecture(blocks: Sequence["Block"], head: Sequence[tuple[str, str]]) -> Figure:
    """Draw the layers as a chain from raw pixels to probabilities, the head in a row beneath the backbone.

    A block with a larger feature map is taller (on a logarithmic scale); its colour says whether it is trained.

    Args:
        blocks: the backbone's blocks from input to output.
        head: title and detail, which may be empty, of each layer of the classifier.

    Example:
        `run.show(transfer_plots.architecture(blocks.blocks(model), [("softmax", "10 classes")]), "architecture")`
    """
    pitch = min(0.85, (WIDTH - _FIRST - 0.3) / len(blocks))
    size = float(np.clip(18.5 * pitch, 8, 10))
    letter = 0.66 * size / 72  # inches
    low = max(0.75, letter * max(len(block.name) for block in blocks) + 0.2)
    below = 0.95 * low + letter * max(len(_SHAPE.format(*block.output_shape)) for block in blocks) + 0.15
    end, middle = _FIRST + (len(blocks) - 0.22) * pitch, -below - 0.8
    figure, axes = figures.subplots(width=WIDTH, height=0.95 * low + below + 2.1)
    axis = axes[0, 0]
    figures.no_axes(axis)
    axis.set(xlim=(0, WIDTH), ylim=(-below - 1.3, 0.95 * low + 0.35))
    _draw_blocks(axis, blocks, pitch, low, size)
    turns = [(end + 0.25, 0), (end + 0.25, 0.1 - below), (0.06, 0.1 - below), (0.06, middle)]
    _arrow(axis, [(end, 0), *turns, (_GAP, middle)])
    layers = [*head, ("probabilities", "")]
    width = min(1.6, (WIDTH - 0.06) / len(layers) - _GAP)
    for index, (title, detail) in enumerate(layers):
        left, color = _GAP + index * (width + _GAP), NEW_HEAD if index < len(head) else "white"
        lines = [*textwrap.wrap(title, max(8, int(width / letter))), *filter(None, [detail])]
        _box(axis, (left, middle), (width, 0.85), color, "\n".join(lines), size)
        if index:
            _arrow(axis, [(left - _GAP, middle), (left, middle)])
    add_legend(figure, {"frozen": FROZEN, "trained": TRAINED, "new head, trained": NEW_HEAD})
    frozen = sum(not block.trainable for block in blocks)
    return figures.with_alt(
        figure,
        f"The layers from raw pixels to probabilities: {len(blocks)} blocks with "
        f"{sum(block.parameters for block in blocks):,} parameters, {frozen} of them frozen, then the new head: "
        f"{', '.join(f'{title} {detail}'.strip() for title, detail in head)}.",
    )


def _draw_blocks(axis: Axes, blocks: Sequence["Block"], pitch: float, low: float, size: float) -> None:
    """Draw raw pixels and blocks around y = 0, `low` to `1.9 * low` tall, with their numbers above and below."""
    top = 0.95 * low + 0.1
    legend = {"ha": "right", "color": EDGE, "fontsize": size}
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
        axis.text(centre, top, format_count(block.parameters), **number)
        axis.text(centre, -top, _SHAPE.format(*block.output_shape), rotation=90, va="top", **number)


def _box(axis: Axes, place: tuple, extent: tuple, color: str, words: str, size: float, **text: int) -> None:
    """Draw a box with words; `place` is its left edge and its middle, `extent` its width and height."""
    corner = (place[0], place[1] - extent[1] / 2)
    axis.add_patch(Rectangle(corner, *extent, facecolor=color, edgecolor=EDGE, zorder=2))
    look = {"ha": "center", "va": "center", "fontsize": size, "zorder": 3, **text}
    axis.text(place[0] + extent[0] / 2, place[1], words, **look)


def _arrow(axis: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Draw a line through points with an arrowhead at the last."""
    axis.plot(*zip(*points[:-1], strict=True), color=EDGE, linewidth=1.2, solid_joinstyle="miter")
    tip = {"arrowstyle": "-|>", "color": EDGE, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8}
    axis.annotate("", points[-1], points[-2], arrowprops=tip)


def accuracy_by_resolution(table: pd.DataFrame) -> Figure:
    """Plot accuracy by resolution with intervals, and accuracy against the extraction time of an image.

    Args:
        table: one row for each backbone and resolution; columns `backbone_label`, `resolution` (pixels),
            `accuracy`, `low`, `high` (95% interval), `extraction_seconds` and `samples` (images extracted).
            Rows without a measured time (0 or not finite) are left out of the right panel.

    Example:
        `run.show(transfer_plots.accuracy_by_resolution(table), "accuracy_by_resolution")`
    """
    figure, axes = figures.subplots(1, 2, width=WIDTH, height=4.6, sharey=True)
    left, right = axes[0]
    looks = itertools.cycle(zip(figures.COLORS, "osD^vP*XpH", strict=True))
    span = float(np.ptp(table["resolution"])) or 10.0
    groups = list(table.sort_values("resolution").groupby("backbone_label", sort=False))
    costs = []
    for index, ((label, rows), (color, marker)) in enumerate(zip(groups, looks, strict=False)):
        # side by side, so that intervals at one resolution do not cover each other
        places = rows["resolution"] + 0.012 * span * (index - (len(groups) - 1) / 2)
        interval = [rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]]
        look = {"color": color, "marker": marker, "markersize": 8}
        left.errorbar(places, rows["accuracy"], yerr=interval, capsize=4, label=label, **look)
        timed = rows[np.isfinite(rows["extraction_seconds"]) & (rows["extraction_seconds"] > 0)]
        cost = 1000 * timed["extraction_seconds"] / timed["samples"]
        costs.extend(cost)
        right.plot(cost, timed["accuracy"], linestyle=":", **look)
        for place, row in zip(cost, timed.itertuples(), strict=True):
            point = (place, row.accuracy)
            right.annotate(f"{row.resolution} px", point, (7, -12), textcoords="offset points", fontsize=10)
    left.set_xticks(sorted(set(table["resolution"])))
    left.margins(x=0.12)
    left.set(xlabel="resolution in pixels", ylabel="validation accuracy (95% interval)")
    left.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    if costs:  # wide enough to hold a tick for a single cost
        right.set(xscale="log", xlim=(min(costs) / 1.6, max(costs) * 1.8))
        right.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        right.xaxis.set_major_formatter("{x:,.10g}")
        right.xaxis.set_minor_formatter("")
    right.set_xlabel("extraction, milliseconds per image (log scale)")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    rows = table.itertuples()
    points = "; ".join(
        f"{row.backbone_label} at {row.resolution} px {wording.percent(row.accuracy)}" for row in rows
    )
    return figures.with_alt(
        figure, f"Validation accuracy by resolution and against extraction time: {points}."
    )
