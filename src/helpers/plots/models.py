"""Figures about models: cost against accuracy, learning curves."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from helpers.plots import style


def return_on_complexity(table: pd.DataFrame) -> Figure:
    """Return accuracy against fit time and against size, with intervals.

    Args:
        table: one row a model; columns `label`, `fit_seconds`, `parameters`, `accuracy`, `low`, `high`.
    """
    figure, axes = style.subplots(1, 2, width=11, height=4.4, sharey=True)
    costs = (("fit_seconds", "seconds to fit (log scale)"), ("parameters", "parameters (log scale)"))
    for axis, (column, title) in zip(axes[0], costs, strict=True):
        cost = table[column].clip(lower=table.loc[table[column] > 0, column].min() / 3)
        for index, (x, row) in enumerate(zip(cost, table.itertuples(), strict=True)):
            spread = [[row.accuracy - row.low], [row.high - row.accuracy]]
            axis.errorbar(
                x,
                row.accuracy,
                yerr=spread,
                fmt="o",
                ms=9,
                capsize=4,
                color=style.COLORS[index],
                label=row.label,
            )
        axis.set_xscale("log")
        axis.set_xlabel(title)
        axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes[0, 0].set_ylabel("validation accuracy (95 % interval)")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def learning_curves(histories: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Return loss and accuracy by epoch, training dashed and validation solid.

    Args:
        histories: for each model's label, `loss`, `val_loss`, `accuracy` and `val_accuracy` by epoch.
    """
    figure, axes = style.subplots(1, 2, width=11, height=4.2)
    for axis, metric in zip(axes[0], ("loss", "accuracy"), strict=True):
        for index, (label, history) in enumerate(histories.items()):
            epochs = np.arange(1, len(history[metric]) + 1)
            color = style.COLORS[index]
            axis.plot(epochs, history[metric], "--", color=color, label=f"{label}, training")
            axis.plot(epochs, history[f"val_{metric}"], "o-", color=color, label=f"{label}, validation")
        axis.set_xlabel("epoch")
        axis.set_ylabel(metric)
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[0, 1].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes[0, 0].legend(fontsize=9)
    return figure
