"""Figures of the service: latency and throughput, what a request's time is spent on, how soon drift is noticed."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

from helpers import figures
from helpers.serving.drift_power import Power


def latency_and_throughput(table: pd.DataFrame) -> Figure:
    """Return latency and throughput against connections, and throughput in pictures against pictures in a request.

    Args:
        table: one row a measurement; columns `workers`, `connections`, `pictures`, `per_second`, `p50`, `p95`, `p99`.
    """
    figure, axes = figures.subplots(1, 3, width=13, height=4.2)
    latency, throughput, batches = axes[0]
    single = table[table["pictures"] == 1]
    for color, (workers, rows) in zip(figures.COLORS, single.groupby("workers"), strict=False):
        name = f"{workers} worker{'s' if workers > 1 else ''}"
        for quantile, line in (("p50", "-"), ("p99", ":")):
            latency.plot(
                rows["connections"],
                rows[quantile],
                line,
                marker="o",
                color=color,
                label=f"{name}, {quantile}",
            )
        throughput.plot(rows["connections"], rows["per_second"], "-o", color=color, label=name)
    latency.set_yscale("log")
    latency.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    latency.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    latency.yaxis.set_minor_formatter(NullFormatter())
    latency.set_ylabel("milliseconds (log scale)")
    throughput.set_ylabel("requests a second")
    throughput.set_ylim(bottom=0)
    for axis in (latency, throughput):
        axis.set_xscale("log", base=2)
        axis.set_xticks(sorted(single["connections"].unique()), sorted(single["connections"].unique()))
        axis.set_xlabel("connections")
        axis.legend(fontsize=9)
    rows = table[(table["workers"] == 1) & (table["connections"] == table["connections"].min())]
    rows = rows.sort_values("pictures")
    batches.plot(rows["pictures"], rows["pictures"] * rows["per_second"], "-o", color=figures.COLORS[2])
    batches.set_xscale("log", base=2)
    batches.set_xticks(rows["pictures"], rows["pictures"])
    batches.set_xlabel("pictures in a request (one connection)")
    batches.set_ylabel("pictures a second")
    batches.set_ylim(bottom=0)
    return figure


def cost(parts: Mapping[str, float]) -> Figure:
    """Return what the time of one request is spent on, stacked; milliseconds by part."""
    figure, axes = figures.subplots(width=9, height=2.2)
    axis, start = axes[0, 0], 0.0
    for color, (name, milliseconds) in zip(figures.COLORS, parts.items(), strict=False):
        axis.barh([""], [milliseconds], left=start, color=color, label=f"{name} {milliseconds:.2f} ms")
        start += milliseconds
    axis.set_xlabel("milliseconds of one request (median)")
    axis.grid(axis="y", visible=False)
    figure.legend(loc="outside upper center", ncols=len(parts), fontsize=10)
    return figure


def drift_power(found: Sequence[Power]) -> Figure:
    """Return the share of windows in which a change is noticed, against the size of the window, by kind and strength."""
    kinds = list(dict.fromkeys(power.kind for power in found))
    if not kinds:
        figure, axes = figures.subplots(width=6, height=1.5)
        figures.no_axes(axes[0, 0])
        axes[0, 0].text(0.5, 0.5, "too few validation images to watch for drift", ha="center", va="center")
        return figure
    columns = min(3, len(kinds))
    rows = -(-len(kinds) // columns)
    figure, axes = figures.subplots(rows, columns, width=4.2 * columns, height=3.2 * rows, sharey=True)
    for axis in axes.flat[len(kinds) :]:
        axis.set_visible(False)
    for axis, kind in zip(axes.flat, kinds, strict=False):
        strengths = dict.fromkeys(power.strength for power in found if power.kind == kind)
        for number, strength in enumerate(strengths):
            mine = [power for power in found if (power.kind, power.strength) == (kind, strength)]
            ends = np.array([power.ci95 for power in mine]).T
            rates = np.array([power.rate for power in mine])
            axis.errorbar(
                [power.window for power in mine],
                rates,
                yerr=[np.maximum(rates - ends[0], 0), np.maximum(ends[1] - rates, 0)],
                fmt=("-o", "--s", ":^")[number % 3],
                capsize=3,
                color=figures.COLORS[number % len(figures.COLORS)],
                label=strength,
            )
        sizes = sorted({power.window for power in found})
        axis.set_xscale("log")
        axis.set_xticks(sizes, sizes)
        axis.minorticks_off()
        axis.set_title(kind, fontsize=11)
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
        axis.set_ylim(-0.05, 1.08)
        axis.set_xlabel("pictures in a window")
        axis.legend(fontsize=9)
    for row in axes:
        row[0].set_ylabel("windows called drifted")
    return figure
