"""Figures of transfer learning: resized images, the network's layers, accuracy against resolution and cost."""

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from helpers import figures, wording
from helpers.model.data_size import DataSize, predicted
from helpers.model.plots import EDGE, FROZEN, TRAINED, WIDTH, add_legend, format_count

if TYPE_CHECKING:  # importing it would load TensorFlow
    from helpers.model.backbones.blocks import Block

NEW_HEAD = "#FBE6B8"
_SHAPE = "{} × {} × {:,}"
_FLOOR = 0.5  # pixels: where bars begin, so that a side of one pixel is visible on a logarithmic scale


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
        axis.set_ylabel(figures.label(name, wrap=14), rotation=0, ha="right", va="center")
    return figures.with_alt(
        figure,
        f"{count} images of {height} × {width} pixels, original and resized to "
        f"{wording.listing([f'{side} px' for side in resized])}: edges get smoother, no detail is added.",
    )


def architecture(blocks: Sequence["Block"], head: Sequence[tuple[str, str]]) -> Figure:
    """Draw the layers from raw pixels to probabilities: a bar for each block, as tall as its feature map, then the head.

    The colour of a bar says whether its layers are trained; the number above is that of its parameters.

    Args:
        blocks: the backbone's blocks from input to output.
        head: title and detail, which may be empty, of each layer of the classifier.

    Example:
        `run.show(transfer_plots.architecture(blocks.blocks(model), transfer.describe_head(top)), "architecture")`
    """
    names = [f"{block.name}\n{_SHAPE.format(*block.output_shape)}" for block in blocks]
    names += [f"{title}\n{detail}".strip() for title, detail in head]
    sides = [max(block.output_shape[:2]) for block in blocks] + [1] * len(head)
    colors = [TRAINED if block.trainable else FROZEN for block in blocks] + [NEW_HEAD] * len(head)
    counts = [format_count(block.parameters) for block in blocks] + [""] * len(head)
    figure, axes = figures.subplots(width=WIDTH, height=4.6)
    axis = axes[0, 0]
    heights = np.array(sides) - _FLOOR
    bars = axis.bar(range(len(names)), heights, bottom=_FLOOR, color=colors, edgecolor=EDGE)
    axis.bar_label(bars, counts, fontsize=9, padding=2)
    axis.set_yscale("log", base=2)
    axis.set_yticks(sorted(set(sides)), sorted(set(sides)))
    axis.set_ylabel("side of the feature map (px)")
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=9)
    axis.grid(False, axis="x")
    add_legend(figure, {"frozen": FROZEN, "trained": TRAINED, "new head, trained": NEW_HEAD})
    frozen = sum(not block.trainable for block in blocks)
    return figures.with_alt(
        figure,
        f"The layers from raw pixels to probabilities: {len(blocks)} blocks with "
        f"{sum(block.parameters for block in blocks):,} parameters, {frozen} of them frozen, whose feature maps shrink from "
        f"{sides[0]} to {sides[len(blocks) - 1]} pixels a side, then the new head: "
        f"{', '.join(f'{title} {detail}'.strip() for title, detail in head)}.",
    )


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
        figures.log_scale(right.xaxis, text="{x:,.10g}")
        right.set_xlim(min(costs) / 1.6, max(costs) * 1.8)
    right.set_xlabel("extraction, milliseconds per image (log scale)")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    points = "; ".join(
        f"{row.backbone_label} at {row.resolution} px {wording.percent(row.accuracy)}"
        for row in table.itertuples()
    )
    alt = f"Validation accuracy by resolution and against extraction time: {points}."
    return figures.with_alt(figure, alt)


def accuracy_by_size(measured: DataSize) -> Figure:
    """Plot accuracy against the number of training images, with the fitted law and its interval, four times further.

    Example:
        `run.show(transfer_plots.accuracy_by_size(measured), "accuracy_by_size")`
    """
    figure, axes = figures.subplots(width=WIDTH, height=4.2)
    axis, sizes = axes[0, 0], measured.sizes
    axis.plot(sizes, 1 - measured.errors, "o", color=figures.COLORS[0], markersize=8, label="measured")
    if measured.law is not None:
        places = np.geomspace(sizes[0], 4 * sizes[-1], 60)
        band = np.quantile([1 - predicted(law, places) for law in measured.laws], (0.025, 0.975), axis=0)
        color = figures.COLORS[1]
        axis.plot(places, 1 - predicted(measured.law, places), "--", color=color, label="fitted law")
        axis.fill_between(places, *band, color=color, alpha=0.2, linewidth=0, label="95% interval")
    axis.set(xlabel="training images (log scale)", ylabel="validation accuracy")
    figures.log_scale(axis.xaxis, text="{x:,.0f}")
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axis.legend(loc="lower right", frameon=False)
    pairs = [
        f"{size:,} images {wording.percent(1 - error)}"
        for size, error in zip(sizes, measured.errors, strict=True)
    ]
    alt = f"Validation accuracy of a linear head by number of training images: {'; '.join(pairs)}."
    return figures.with_alt(figure, alt)
