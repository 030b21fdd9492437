"""Figures of transfer learning and fine-tuning: resizing, cost, rates, gradients, gains."""

import itertools
import textwrap
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, PercentFormatter

from helpers import figures, wording
from helpers.model import plots

BROKEN = figures.COLORS[3]
_EMPTY = "#EFEFEF"
_EDGE = "#444444"
_WIDTH = 11.0  # inches: of a page


def resizing(
    images: np.ndarray, resized: Mapping[int, np.ndarray], class_names: Sequence[str], interpolation: str
) -> Figure:
    """Return the originals beside what the network sees at each resolution, all drawn at the same size.

    Args:
        images: `[N, H, W, C] uint8`, one or three channels.
        resized: by side in pixels, `[N, side, side, C] float32`, 0–255.
        class_names: the class of each image, `[N]`.
        interpolation: the method of the resizing, as its name in words.
    """
    count, height, width = images.shape[:3]
    columns = [(f"{height} × {width}, original", images)]
    columns += [(f"{side} px, {interpolation}", pictures) for side, pictures in resized.items()]
    page = {"width": 1.2 + 1.75 * len(columns), "height": 0.7 + 1.75 * count}
    figure, axes = figures.subplots(count, len(columns), **page)
    for axes_column, (title, pictures) in zip(axes.T, columns, strict=True):
        for axis, picture in zip(axes_column, pictures, strict=True):
            figures.draw_image(axis, np.clip(np.rint(picture), 0, 255).astype(np.uint8))
        axes_column[0].set_title(title, fontsize=11)
    for axis, name in zip(axes[:, 0], class_names, strict=True):
        axis.set_ylabel(textwrap.fill(name, 14), rotation=0, ha="right", va="center")
    return figure


def accuracy_by_resolution(table: pd.DataFrame) -> Figure:
    """Return accuracy by resolution with intervals, and accuracy against what an image costs to extract.

    Args:
        table: one row for each backbone and resolution; columns `backbone_label`, `resolution` (pixels),
            `accuracy`, `low`, `high` (95% interval), `extraction_seconds` and `samples` (images extracted).
            Rows without a time (0 or not finite: read from the cache) are left out of the right panel.
    """
    figure, axes = figures.subplots(1, 2, width=_WIDTH, height=4.6, sharey=True)
    left, right = axes[0]
    looks = itertools.cycle(zip(figures.COLORS, "osD^vP*XpH", strict=True))
    span = float(np.ptp(table["resolution"])) or 10.0
    groups = list(table.sort_values("resolution").groupby("backbone_label", sort=False))
    costs = []
    for index, ((label, rows), (color, marker)) in enumerate(zip(groups, looks, strict=False)):
        # side by side, so that intervals at one resolution do not cover one another
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
    return figure


def fine_tuning_curves(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Return loss and accuracy against passes over the training images.

    Args:
        curves: for each title, `passes` of the windows of steps with the training's `loss` and `accuracy` in them
            (dashed), and `val_passes` with `val_loss` and `val_accuracy` (points; NaN where it is not known).
    """
    figure, axes = figures.subplots(1, 2, width=_WIDTH, height=4.2)
    for axis, metric in zip(axes[0], ("loss", "accuracy"), strict=True):
        for color, (title, curve) in zip(itertools.cycle(figures.COLORS), curves.items(), strict=False):
            axis.plot(curve["passes"], curve[metric], "--", color=color, label=f"{title}, training")
            held_out = curve[f"val_{metric}"]
            axis.plot(curve["val_passes"], held_out, "o-", color=color, label=f"{title}, validation")
        axis.set_xlabel("passes over the training images")
        axis.set_ylabel(metric)
        axis.margins(x=0.03)
    axes[0, 1].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    axes[0, 0].legend(fontsize=9)
    return figure


def gradient_norms(norms: Mapping[str, Mapping[str, object]]) -> Figure:
    """Return a heat map of gradient norms for each variant: blocks by training step, the input at the top.

    Blocks without a gradient (frozen, or zero) are grey; gradients that are no number any more are marked.

    Args:
        norms: by title, `step` (increasing, one for each recorded window) and `blocks` (by name, from input to
            output, the norm in each window; frozen ones may be missing).
    """
    longest_first = sorted((variant["blocks"] for variant in norms.values()), key=len, reverse=True)
    names = list(dict.fromkeys(itertools.chain(*longest_first)))
    tables = [_norm_table(variant, names) for variant in norms.values()]
    levels = np.concatenate([_logarithm(table).compressed() for table in tables])
    low, high = (levels.min(), levels.max()) if len(levels) else (0.0, 0.0)
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    width, height = max(_WIDTH, 3.2 * len(norms)), max(2.7, 1.5 + 0.21 * len(names))
    figure, axes = figures.subplots(1, len(norms), width=width, height=height, sharey=True)
    for axis, (title, variant), table in zip(axes[0], norms.items(), tables, strict=True):
        axis.grid(False)
        axis.set_facecolor(_EMPTY)
        edges = _edges(variant["step"]), np.arange(len(names) + 1)
        broken = np.ma.masked_where(np.isfinite(table), np.ones_like(table))
        axis.pcolormesh(*edges, broken, cmap=ListedColormap([BROKEN]))
        mesh = axis.pcolormesh(*edges, _logarithm(table), cmap=figures.SEQUENTIAL, vmin=low, vmax=high)
        axis.set_title(title, fontsize=11)
        axis.set_xlabel("training step")
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    axes[0, 0].set_yticks(np.arange(len(names)) + 0.5, names, fontsize=10)
    axes[0, 0].set(ylim=(len(names), 0), ylabel="block (input at the top)")
    figure.colorbar(mesh, ax=axes, label="log10 of the gradient's norm")
    none = {"no gradient": _EMPTY} if any((table == 0).any() for table in tables) else {}
    broken = {} if all(np.isfinite(table).all() for table in tables) else {"not finite": BROKEN}
    plots.legend(figure, none | broken)
    return figure


def schedules(rates: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> Figure:
    """Return learning rates by training step, one line each, such as warm-up and cosine, or one by depth.

    Args:
        rates: by title, training steps and the learning rate at each.
    """
    figure, axes = figures.subplots(width=9.0, height=max(3.8, 0.22 * len(rates)))
    axis = axes[0, 0]
    colors = figures.COLORS
    if len(rates) > len(colors):
        colors = mpl.colormaps[figures.SEQUENTIAL](np.linspace(0, 0.92, len(rates)))
    for color, (title, (steps, values)) in zip(colors, rates.items(), strict=False):
        axis.plot(steps, values, color=color, linewidth=2, label=title)
    axis.set(xlabel="training step", ylabel="learning rate")
    axis.set_ylim(0, 1.1 * max(max(values) for _, values in rates.values()) or 1)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.yaxis.set_major_formatter(lambda rate, _: np.format_float_positional(round(rate, 9), trim="-"))
    if len(rates) > 4:
        figure.legend(loc="outside right upper", frameon=False, fontsize=10)
    else:
        axis.legend(loc="upper right", frameon=False)
    return figure


def comparison(table: pd.DataFrame) -> Figure:
    """Return validation accuracies with intervals, one row a variant, and the numbers beside them.

    Args:
        table: columns `label`, `accuracy`, `low`, `high` (95% interval) and `seconds` of training.
    """
    figure, axes = figures.subplots(width=_WIDTH, height=1.5 + 0.5 * len(table))
    axis = axes[0, 0]
    beside = {"transform": axis.get_yaxis_transform(), "fontsize": 11}
    for place, row in enumerate(table.itertuples()):
        interval = [[row.accuracy - row.low], [row.high - row.accuracy]]
        axis.errorbar(row.accuracy, place, xerr=interval, fmt="o", ms=9, capsize=5, color=figures.COLORS[0])
        words = f"{wording.percent(row.accuracy)} ({wording.interval(row.low, row.high)})"
        axis.text(1.02, place, f"{words}, {wording.duration(row.seconds)}", va="center", **beside)
    axis.text(1.02, -0.6, "accuracy (interval), training", va="bottom", color=_EDGE, **beside)
    axis.set_yticks(range(len(table)), table["label"])
    axis.set_ylim(len(table) - 0.4, -0.6)
    axis.grid(False, axis="y")
    axis.margins(x=0.1)
    axis.set_xlabel("validation accuracy (95% interval)")
    axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    return figure


def _norm_table(variant: Mapping[str, object], names: Sequence[str]) -> np.ndarray:
    """Return norms, `[blocks, windows] float64`, 0 where there is no gradient."""
    nothing = np.zeros(len(variant["step"]))
    return np.array([variant["blocks"].get(name, nothing) for name in names], dtype=float)


def _logarithm(norms: np.ndarray) -> np.ma.MaskedArray:
    """Return log10 of the norms, masked where they are zero or no number."""
    usable = np.isfinite(norms) & (norms > 0)
    return np.ma.masked_where(~usable, np.log10(np.where(usable, norms, 1.0)))


def _edges(steps: Sequence[int]) -> np.ndarray:
    """Return the borders of cells around steps, `[windows + 1]`, half way between neighbours."""
    steps = np.asarray(steps, dtype=float)
    half = np.median(np.diff(steps)) / 2 if len(steps) > 1 else 0.5
    between = (steps[1:] + steps[:-1]) / 2
    return np.concatenate([[steps[0] - half], between, [steps[-1] + half]])
