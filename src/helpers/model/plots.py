"""Figures about models: cost against accuracy, learning curves."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
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
    axes[0, 0].set_ylabel("validation accuracy (95 % interval)")
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
