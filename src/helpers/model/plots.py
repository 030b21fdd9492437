"""Figures about any model: cost against accuracy, and learning curves."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from helpers import figures, wording

FROZEN = "#C9D6E3"
TRAINED = figures.COLORS[1]
EDGE = "#444444"
WIDTH = 11.0  # inches: the width of a page


def return_on_complexity(table: pd.DataFrame, champion: str = "") -> Figure:
    """Plot accuracy against fit time and against the number of parameters, with intervals and names at the points.

    A model far below all others, such as the majority class, would squeeze the others together, so it is named in the
    corner instead of drawn.

    Args:
        table: one row per model; columns `label`, `fit_seconds`, `parameters`, `accuracy`, `low`, `high`.
        champion: the label of the model to mark; empty for none.

    Example:
        `run.show(plots.return_on_complexity(table), "return_on_complexity")`
    """
    spread = table["accuracy"].max() - table["accuracy"].median()
    floor = table["accuracy"].median() - max(4 * spread, 0.1)
    drawn, below = table[table["accuracy"] >= floor], table[table["accuracy"] < floor]
    figure, axes = figures.subplots(1, 2, width=WIDTH, height=4.6, sharey=True)
    costs = (("fit_seconds", "seconds to fit (log scale)"), ("parameters", "parameters (log scale)"))
    for axis, (column, title) in zip(axes[0], costs, strict=True):
        looks = itertools.cycle(zip(figures.COLORS, "osD^vPX*ph", strict=True))
        for (color, marker), (_, row) in zip(looks, drawn.iterrows(), strict=False):
            interval = [[row.accuracy - row.low], [row.high - row.accuracy]]
            look = {"color": color, "fmt": marker, "ms": 9, "mec": "#333333", "mew": 0.6, "capsize": 4}
            axis.errorbar(row[column], row.accuracy, yerr=interval, **look)
        decades = np.log10(drawn[column].max() / max(drawn[column].min(), 1e-9))
        figures.log_scale(axis.xaxis, (1.0, 2.0, 5.0) if decades < 1.8 else (1.0,), "{x:,.10g}")
        axis.margins(x=0.15)
        axis.set_xlabel(title)
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    for axis, (column, _) in zip(axes[0], costs, strict=True):
        _name_points(axis, drawn, column, champion)
    axes[0, 0].set_ylabel("validation accuracy (95% interval)")
    note = "\n".join(f"not drawn: {row.label}, {wording.percent(row.accuracy)}" for row in below.itertuples())
    corner = {"transform": axes[0, 1].transAxes, "ha": "right", "va": "bottom", "color": "#555555"}
    axes[0, 1].text(0.98, 0.03, note, **corner)
    best_first = describe_accuracies(table.sort_values("accuracy", ascending=False))
    alt = f"Validation accuracy against seconds to fit and against parameters, best first: {best_first}."
    return figures.with_alt(figure, alt)


def _name_points(axis: Axes, table: pd.DataFrame, column: str, champion: str) -> None:
    """Write the models' names beside their points, on the side and the line where they overlap no other name or point."""
    axis.set(xlim=axis.get_xlim(), ylim=axis.get_ylim())  # names must not move the limits
    to_axes = axis.transScale + axis.transLimits
    points = to_axes.transform(table[[column, "accuracy"]].to_numpy(float)).tolist()
    wide, high, gap = 0.0155, 0.055, 0.02  # of a letter, a line and a marker, as fractions of a panel
    taken = [(x - gap, x + gap, y) for x, y in points]

    def overlap(left: float, right: float, middle: float) -> int:
        outside = 2 * (left < 0 or right > 1 or not 0 < middle < 1)  # a cut name is worst
        return outside + sum(
            left < end and start < right and abs(y - middle) < high for start, end, y in taken
        )

    for (x, y), (_, row) in sorted(zip(points, table.iterrows(), strict=True), key=lambda one: -one[0][1]):
        text = f"★ {row.label}" if row.label == champion else row.label
        length = wide * len(text)
        ends = {1: (x + gap, x + gap + length), -1: (x - gap - length, x - gap)}
        places = [(side, line) for line in (0, 1, -1, 2, -2) for side in ends]
        side, line = min(places, key=lambda place: overlap(*ends[place[0]], y + high * place[1]))
        taken.append((*ends[side], y + high * line))
        look = {"va": "center", "fontsize": 10, "fontweight": "bold" if row.label == champion else "normal"}
        look |= {"ha": "left" if side > 0 else "right", "textcoords": "offset points"}
        place = (9 * side, 14 * line)  # points: beside the marker, and a line
        axis.annotate(text, (row[column], row.accuracy), place, **look).set_in_layout(False)


def describe_accuracies(table: pd.DataFrame) -> str:
    """Return the accuracy and interval of each row as words; columns `label`, `accuracy`, `low`, `high`."""
    return "; ".join(
        f"{row.label} {wording.percent(row.accuracy)} ({wording.interval(row.low, row.high)})"
        for row in table.itertuples()
    )


def learning_curves(histories: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Plot loss and accuracy by epoch, training dashed and validation solid.

    Args:
        histories: by the label of each model, `loss`, `val_loss`, `accuracy` and `val_accuracy` by epoch. Curves with a
            finer grid also have `passes` and `val_passes`: the passes over the training images at each value.

    Example:
        `run.show(plots.learning_curves({"three-layer CNN": fit.history}), "learning_curves")`
    """
    figure, axes = figures.subplots(1, 2, width=WIDTH, height=4.2)
    in_passes = any("passes" in history for history in histories.values())
    for axis, metric in zip(axes[0], ("loss", "accuracy"), strict=True):
        for color, (label, history) in zip(itertools.cycle(figures.COLORS), histories.items(), strict=False):
            epochs = range(1, len(history[metric]) + 1)
            fitted, held_out = history.get("passes", epochs), history.get("val_passes", epochs)
            axis.plot(fitted, history[metric], "--", color=color, label=f"{label}, training")
            axis.plot(held_out, history[f"val_{metric}"], "o-", color=color, label=f"{label}, validation")
        axis.set(xlabel="passes over the training images" if in_passes else "epoch", ylabel=metric)
        axis.xaxis.get_major_locator().set_params(integer=not in_passes)
    axes[0, 1].yaxis.set_major_formatter(PercentFormatter(1.0))
    axes[0, 0].legend(fontsize=9)
    ends = "; ".join(
        f"{label} {wording.percent(history['accuracy'][-1])} and {wording.percent(history['val_accuracy'][-1])}"
        for label, history in histories.items()
    )
    alt = f"Loss and accuracy by epoch. Training and validation accuracy at the end: {ends}."
    return figures.with_alt(figure, alt)


def add_legend(figure: Figure, colors: Mapping[str, str]) -> None:
    """Add a legend of filled colours, by label, above the figure."""
    handles = [Patch(facecolor=color, edgecolor=EDGE, label=label) for label, color in colors.items()]
    if handles:
        figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), frameon=False)


def format_count(parameters: int) -> str:
    """Return a number of parameters in a few characters: `896`, `12 k`, `1.2 M`."""
    if parameters < 1_000:
        return str(parameters)
    value, unit = (parameters / 1e3, "k") if parameters < 999_500 else (parameters / 1e6, "M")
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"
