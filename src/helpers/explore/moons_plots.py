"""Figures of the warm-up: decision boundaries, and accuracy against noise."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from helpers import figures
from helpers.explore.moons import Surface

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
