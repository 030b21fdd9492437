"""Figures of the exploration: balance, mean images, intensities, likeness, embeddings, duplicates."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from helpers import figures
from helpers.explore.moons import Surface
from helpers.explore.statistics import Embedding

_CHANNELS = {
    1: (("grey", figures.COLORS[0]),),
    3: (("red", "#D55E00"), ("green", "#009E73"), ("blue", "#0072B2")),
}
_MARKERS = "o^sDvP*X<>"


def class_balance(counts: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Return the number of images by class, `[K]`, with a line at equal shares."""
    figure, axes = figures.subplots(width=8.0, height=1.2 + 0.34 * len(counts))
    axis, places = axes[0, 0], np.arange(len(counts))
    axis.barh(places, counts, color=figures.COLORS[0])
    axis.axvline(counts.mean(), color=figures.COLORS[3], linestyle="--", linewidth=2, label="equal shares")
    for place, count in zip(places, counts, strict=True):
        axis.text(count, place, f" {count:,}", va="center", fontsize=10)
    axis.set_yticks(places, class_names)
    axis.invert_yaxis()
    axis.set_xlim(0, counts.max() * 1.14)
    axis.grid(False, axis="y")
    axis.set_xlabel("images")
    figure.legend(loc="outside upper right", frameon=False)
    return figure


def mean_and_variance(means: np.ndarray, variances: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Return mean image and standard deviation of each class, `[K, H, W, C]` each, ten classes in a row.

    The deviation (root of the variance, mean over the channels) is on the same 0–255 scale as the mean.
    """
    deviations = np.sqrt(variances.mean(axis=-1))
    columns = min(5, len(means))
    blocks = -(-len(means) // columns)
    figure, axes = figures.subplots(2 * blocks, columns, width=0.9 + 1.55 * columns, height=3.3 * blocks)
    top = max(1.0, float(deviations.max()))
    picture = None
    for index in range(blocks * columns):
        upper, lower = axes[2 * (index // columns) : 2 * (index // columns) + 2, index % columns]
        figures.no_axes(upper)
        figures.no_axes(lower)
        if index >= len(means):
            continue
        figures.draw_image(upper, np.clip(means[index].round(), 0, 255).astype(np.uint8))
        picture = lower.imshow(
            deviations[index], cmap=figures.SEQUENTIAL, vmin=0, vmax=top, interpolation="nearest"
        )
        upper.set_title(textwrap.fill(class_names[index], 16), fontsize=10, loc="center")
        if index % columns == 0:
            upper.set_ylabel("mean")
            lower.set_ylabel("spread")
    figure.colorbar(picture, ax=axes, shrink=0.6, label="standard deviation")
    return figure


def intensities(histogram: np.ndarray, by_class: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Return the distribution of pixel values, whole (`[C, 256]` counts) and by class (`[K, bins]` shares)."""
    height = max(3.8, 1.2 + 0.32 * len(class_names))
    figure, axes = figures.subplots(1, 2, width=11.0, height=height, width_ratios=(1, 1.15))
    left, right = axes[0]
    shares = 100 * histogram.reshape(len(histogram), 64, 4).sum(axis=2) / histogram.sum(axis=1, keepdims=True)
    for (name, color), share in zip(_CHANNELS[len(histogram)], shares, strict=True):
        left.stairs(share, np.arange(0, 257, 4), color=color, linewidth=2, label=name, fill=len(shares) == 1)
    if len(shares) > 1:
        left.legend()
    left.set_yscale("log")
    left.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    left.yaxis.set_minor_formatter(NullFormatter())
    left.set(xlabel="pixel value", ylabel="share of pixels in % (log scale)", title="All images")
    shown = 100 * by_class
    low, high = max(0.1, float(shown.min())), max(1.0, float(shown.max()))
    mesh = right.imshow(
        shown, aspect="auto", cmap=figures.SEQUENTIAL, norm=LogNorm(low, high, clip=True), extent=(0, 256, len(shown), 0),
        interpolation="nearest",
    )  # fmt: skip
    right.set_yticks(np.arange(len(shown)) + 0.5, class_names)
    right.grid(False)
    right.set(xlabel="pixel value", title="By class")
    bar = figure.colorbar(mesh, ax=right, label="share of the class's pixels in %", format="{x:g}")
    bar.locator = LogLocator(subs=(1.0, 2.0, 5.0))
    bar.minorticks_off()
    return figure


def class_correlation(correlation: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Return a heatmap of the correlation of mean images, `[K, K]`."""
    count = len(correlation)
    side = max(4.5, 0.62 * count)
    figure, axes = figures.subplots(width=side + 2.2, height=side + 0.6)
    axis = axes[0, 0]
    picture = axis.imshow(correlation, cmap=figures.DIVERGING, vmin=-1, vmax=1)
    if count <= 20:
        for row, column in np.ndindex(count, count):
            value = correlation[row, column]
            axis.text(
                column, row, f"{value:.2f}".replace("-", "−"), ha="center", va="center", fontsize=9,
                color="white" if abs(value) > 0.7 else "black",
            )  # fmt: skip
    axis.set_xticks(np.arange(count), class_names, rotation=45, ha="right", rotation_mode="anchor")
    axis.set_yticks(np.arange(count), class_names)
    axis.grid(False)
    figure.colorbar(picture, ax=axis, shrink=0.8, label="correlation of the mean images")
    return figure


def embeddings(
    titles: Sequence[str], parts: Sequence[Embedding], labels: np.ndarray, class_names: Sequence[str]
) -> Figure:
    """Return embeddings side by side, one colour and marker for each class."""
    width = 5.4 * len(parts)
    across = max(1, min(5, len(class_names), int(width / (0.7 + 0.095 * max(map(len, class_names))))))
    rows = -(-len(class_names) // across)
    figure, axes = figures.subplots(1, len(parts), width=width, height=4.8 + 0.28 * rows)
    for axis, title, part in zip(axes.flat, titles, parts, strict=True):
        for label, name in enumerate(class_names):
            color, marker = figures.COLORS[label % 10], _MARKERS[(label + label // 10) % 10]
            axis.scatter(
                *part.points[labels == label].T,
                s=16,
                color=color,
                marker=marker,
                linewidths=0.3,
                edgecolors="#555555",
                alpha=0.75,
                label=name,
            )
        axis.set_title(title)
        figures.no_axes(axis)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles,
        names,
        loc="outside lower center",
        ncols=across,
        markerscale=2.2,
        frameon=False,
    )
    return figure


def duplicate_pairs(
    images: np.ndarray, pairs: pd.DataFrame, class_names: Sequence[str], most: int = 12
) -> Figure:
    """Return the closest pairs of a table of duplicates, side by side with distance and labels.

    Args:
        images: `[N, H, W, C] uint8`.
        pairs: table with `index_a`, `index_b`, `label_a`, `label_b`, `distance`.
        class_names: names by label.
        most: pairs to draw at most.
    """
    chosen = pairs.head(most)
    columns = 4
    rows = max(1, -(-len(chosen) // columns))
    figure, axes = figures.subplots(rows, columns, width=10.0, height=1.75 * rows)
    for axis in axes.flat:
        axis.axis("off")
    for axis, pair in zip(axes.flat, chosen.itertuples(), strict=False):
        a, b = images[pair.index_a], images[pair.index_b]
        gap = np.full((a.shape[0], max(1, a.shape[1] // 14), a.shape[2]), 255, np.uint8)
        figures.draw_image(axis, np.concatenate([a, gap, b], axis=1))
        names = class_names[pair.label_a]
        if pair.label_a != pair.label_b:
            names += f" / {class_names[pair.label_b]}"
        axis.axis("on")
        axis.set_title(
            f"{names}\n{pair.kind}, {pair.distance:.3f}", fontsize=9, fontweight="normal", loc="center"
        )
    if not len(chosen):
        axes[0, 0].text(0, 0.5, "no duplicates found", transform=axes[0, 0].transAxes, fontsize=12)
    return figure


_MARKERS = ("o", "^")
_SHADES = LinearSegmentedColormap.from_list("moons", [figures.COLORS[0], "#ffffff", figures.COLORS[1]])


def _draw(axes: Axes, surface: Surface, points: np.ndarray, labels: np.ndarray, size: float) -> None:
    axes.pcolormesh(
        surface.x, surface.y, surface.probability, cmap=_SHADES, vmin=0, vmax=1, alpha=0.55, rasterized=True
    )
    if surface.probability.min() < 0.5 < surface.probability.max():
        axes.contour(surface.x, surface.y, surface.probability, levels=[0.5], colors="black", linewidths=2)
    for label, marker in enumerate(_MARKERS):
        chosen = points[labels == label]
        axes.scatter(
            *chosen.T, s=size, marker=marker, color=figures.COLORS[label], edgecolors="white", linewidths=0.3,
            label=f"class {label}",
        )  # fmt: skip
    axes.grid(False)
    axes.set_aspect("equal")


def decision_boundaries(
    surfaces: Mapping[str, Surface], points: np.ndarray, labels: np.ndarray, show: int = 600
) -> Figure:
    """Return the classifiers' boundaries side by side, with test points.

    Args:
        surfaces: a probability surface for each title.
        points: `[N, 2] float32`, test points; the first `show` are drawn.
        labels: `[N] int64`, 0 or 1.
        show: most points to draw.
    """
    figure, axes = figures.subplots(1, len(surfaces), width=5.2 * len(surfaces), height=4.4, sharey=True)
    for axis, (title, surface) in zip(axes.flat, surfaces.items(), strict=True):
        _draw(axis, surface, points[:show], labels[:show], 16)
        axis.set_title(title)
        axis.set_xlabel("first coordinate")
    axes[0, 0].set_ylabel("second coordinate")
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, markerscale=1.8
    )
    return figure


def noise_sweep(
    levels: Sequence[float],
    surfaces: Sequence[Surface],
    tests: Sequence[tuple[np.ndarray, np.ndarray]],
    accuracies: Mapping[str, Sequence[tuple[float, float, float]]],
) -> Figure:
    """Return the boundary at each noise level and, below, each classifier's accuracy against noise.

    Args:
        levels: noise, as standard deviations.
        surfaces: the network's surface at each level.
        tests: test points `[N, 2]` and labels `[N]` at each level.
        accuracies: for each classifier, (accuracy, low, high) at each level.
    """
    columns = len(levels)
    figure, axes = figures.subplots(
        2, columns, width=max(7.0, 2.9 * columns), height=6.2, height_ratios=(1, 1.25)
    )
    for axis, level, surface, (points, labels) in zip(axes[0], levels, surfaces, tests, strict=True):
        _draw(axis, surface, points[:300], labels[:300], 9)
        axis.set_aspect("auto")
        axis.set_title(f"noise {level:g}", fontsize=11)
        figures.no_axes(axis)
    grid = axes[1, 0].get_gridspec()
    for axis in axes[1]:
        axis.remove()
    below = figure.add_subplot(grid[1, :])
    for index, (name, values) in enumerate(accuracies.items()):
        middle, low, high = np.array(values).T * 100
        below.errorbar(
            levels, middle, yerr=np.clip([middle - low, high - middle], 0, None), capsize=4, linewidth=2,
            marker="osD^"[index % 4], linestyle=("-", "--", ":", "-.")[index % 4],
            color=figures.COLORS[(0, 3, 7, 2)[index % 4]], label=name,
        )  # fmt: skip
    for side in ("top", "right"):
        below.spines[side].set_visible(False)
    below.grid(True, color="#e3e3e3")
    below.set_axisbelow(True)
    below.set_xticks(list(levels))
    below.set_xlabel("noise (standard deviation of both coordinates)")
    below.set_ylabel("test accuracy in %")
    below.legend(frameon=False, loc="lower left")
    return figure
