"""Draw the figures of the export: the champion among the candidates, and the cost of each format."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from helpers import figures, wording
from helpers.export.champion import Choice


def accuracy_and_latency(choice: Choice) -> Figure:
    """Return validation accuracy against the time for one image; candidates not within the margin are hollow.

    Example:
        `run.show(plots.accuracy_and_latency(choice), "accuracy_and_latency")`
    """
    figure, axes = figures.subplots(width=8.5, height=4.8)
    axis = axes[0, 0]
    for row in choice.rows:
        color = figures.COLORS[0] if row.eligible else figures.COLORS[9]
        chosen = row.option.name == choice.champion
        low, high = row.score.accuracy_ci95
        axis.errorbar(
            row.option.latency_ms,
            row.score.accuracy,
            yerr=[[row.score.accuracy - low], [high - row.score.accuracy]],
            fmt="*" if chosen else "o",
            ms=19 if chosen else 9,
            capsize=4,
            color=color,
            markerfacecolor=color if row.eligible else "white",
        )
        name = f"   {row.option.name}{' (champion)' if chosen else ''}"
        axis.text(row.option.latency_ms, row.score.accuracy, name, va="bottom")
    figures.log_scale(axis.xaxis, text="{x:,.10g}")
    axis.margins(x=0.3)  # room for the names
    axis.set_xlabel("milliseconds for one image (ONNX Runtime, one thread, log scale)")
    axis.set_ylabel("validation accuracy (95% interval)")
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    values = "; ".join(
        f"{row.option.name} {wording.percent(row.score.accuracy)} at {row.option.latency_ms:.2f} ms"
        for row in choice.rows
    )
    return figures.with_alt(
        figure,
        f"Validation accuracy against milliseconds for one image: {values}. The champion is {choice.champion}.",
    )


def formats(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Return size, time to the first prediction and time per image of each format.

    Args:
        rows: from `parity.compare_formats`.

    Example:
        `run.show(plots.formats(rows), "formats")`
    """
    panels = (
        ("bytes", 1e-6, "megabytes"),
        ("seconds_to_first", 1.0, "seconds from start to first prediction"),
        ("latency_ms_1", 1.0, "ms for one image alone"),
        ("latency_ms_64", 1 / 64, "ms for an image in a batch of 64"),
    )
    figure, axes = figures.subplots(1, 4, width=13, height=1.2 + 0.42 * len(rows), sharey=True)
    titles = [row["title"] for row in rows]
    for place, (axis, (key, factor, title)) in enumerate(zip(axes[0], panels, strict=True)):
        values = [row[key] * factor for row in rows]
        bars = axis.barh(titles, values, color=figures.COLORS[place])
        axis.bar_label(bars, fmt=wording.two_digits, padding=4, fontsize=9)
        axis.set_xlabel(title, fontsize=10)
        axis.set_xlim(0, max(values) * 1.3)  # room for the numbers
        axis.grid(axis="y", visible=False)
    axes[0, 0].invert_yaxis()
    values = "; ".join(
        f"{row['title']} {wording.two_digits(row['bytes'] / 1e6)} MB, {wording.milliseconds(row['latency_ms_1'])}"
        for row in rows
    )
    return figures.with_alt(figure, f"Size, start-up time and time per image of each format: {values}.")
