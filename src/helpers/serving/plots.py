"""Figures of the service: latency and throughput, what a request's time is spent on, how often drift is detected."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from helpers import figures, wording
from helpers.scoring import wilson_interval


def latency_and_throughput(table: pd.DataFrame) -> Figure:
    """Return latency and throughput against connections, and throughput in images against images per request.

    Args:
        table: rows of `load_test.measured`.

    Example:
        `run.show(plots.latency_and_throughput(load), "latency_and_throughput")`
    """
    figure, axes = figures.subplots(1, 3, width=13, height=4.2)
    latency, throughput, batches = axes[0]
    single = table[table["pictures"] == 1]
    colors = dict(zip(sorted(single["workers"].unique()), figures.COLORS, strict=False))
    long = single.melt(["workers", "connections"], ["p50", "p99"], "percentile", "ms")
    style = {"hue": "workers", "palette": colors, "marker": "o", "x": "connections"}
    sns.lineplot(long, **style, y="ms", style="percentile", ax=latency)
    sns.lineplot(single, **style, y="per_second", ax=throughput)
    batch = table[(table["workers"] == 1) & (table["connections"] == table["connections"].min())]
    batch = batch.assign(images=batch["pictures"] * batch["per_second"])
    sns.lineplot(batch, x="pictures", y="images", marker="o", color=figures.COLORS[2], ax=batches)
    figures.log_scale(latency.yaxis)
    latency.set_ylabel("milliseconds (log scale)")
    for axis, column in ((latency, "connections"), (throughput, "connections"), (batches, "pictures")):
        rows = batch if axis is batches else single
        axis.set_xscale("log", base=2)
        axis.set_xticks(sorted(rows[column].unique()), sorted(rows[column].unique()))
    throughput.set(ylabel="requests per second", ylim=(0, None))
    batches.set(xlabel="images per request (one connection)", ylabel="images per second", ylim=(0, None))
    best = table.loc[table["per_second"].idxmax()]
    return figures.with_alt(
        figure,
        "Latency and throughput against the number of connections, by number of workers, and images per second against images "
        f"per request. At best {best['per_second']:,.0f} requests per second, with {best['connections']:.0f} connections.",
    )


def cost(parts: Mapping[str, float]) -> Figure:
    """Return what the time of one request is spent on as one stacked bar.

    Args:
        parts: milliseconds by part.

    Example:
        `run.show(plots.cost(parts), "cost")`
    """
    figure, axes = figures.subplots(width=9, height=2.2)
    axis = axes[0, 0]
    bar = pd.DataFrame([{f"{name} {value:.2f} ms": value for name, value in parts.items()}], index=[""])
    bar.plot.barh(stacked=True, ax=axis, color=figures.COLORS[: len(parts)], legend=False)
    axis.set_xlabel("milliseconds of one request (median)")
    axis.grid(axis="y", visible=False)
    figure.legend(loc="outside upper center", ncols=len(parts), fontsize=10)
    listed = ", ".join(f"{name} {value:.2f}" for name, value in parts.items())
    return figures.with_alt(figure, f"Milliseconds of one request by part: {listed}.")


def drift_power(power: pd.DataFrame) -> Figure:
    """Return the proportion of windows in which a change is detected, by size of window, kind and strength.

    Args:
        power: from `drift_power.measure`.

    Example:
        `run.show(plots.drift_power(power), "drift_power")`
    """
    if power.empty:
        few = "There are too few validation images to watch for drift."
        return figures.with_alt(figures.sentence(few), few)
    kinds = power.groupby("kind", sort=False)
    columns = min(3, len(kinds))
    rows = -(-len(kinds) // columns)
    figure, axes = figures.subplots(rows, columns, width=4.2 * columns, height=3.2 * rows, sharey=True)
    for axis in axes.flat[len(kinds) :]:
        axis.set_visible(False)
    for axis, (kind, rows_of_kind) in zip(axes.flat, kinds, strict=False):
        _draw_power(axis, rows_of_kind)
        axis.set_title(kind, fontsize=11)
    for row in axes:
        row[0].set_ylabel("windows with an alarm")
    largest = power["window"].max()
    longest = power[power["window"] == largest].itertuples()
    listed = ", ".join(f"{row.kind} {row.strength} {wording.percent(row.rate, 0)}" for row in longest)
    return figures.with_alt(
        figure,
        "Proportion of windows in which a change is detected, against the size of the window, by kind and strength. In windows of "
        f"{largest} images: {listed}.",
    )


def _draw_power(axis: Axes, power: pd.DataFrame) -> None:
    """Draw one line with Wilson's intervals for each strength."""
    styles = zip(figures.COLORS, ("-o", "--s", ":^"), strict=False)
    for (color, line), (strength, rows) in zip(styles, power.groupby("strength", sort=False), strict=False):
        counts = zip(rows["detected"], rows["windows"], strict=True)
        ends = np.transpose([wilson_interval(*both) for both in counts])
        errors = np.abs(ends - rows["rate"].to_numpy())
        axis.errorbar(rows["window"], rows["rate"], errors, fmt=line, capsize=3, color=color, label=strength)
    sizes = sorted(power["window"].unique())
    axis.set_xscale("log")
    axis.set_xticks(sizes, sizes)
    axis.minorticks_off()
    axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    axis.set_ylim(-0.05, 1.08)
    axis.set_xlabel("images in a window")
    axis.legend(fontsize=9)
