"""Figures of fine-tuning: which blocks are trained, gradient norms, learning rates, and what each variant gains."""

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from helpers import figures, wording
from helpers.model import plots
from helpers.model.plots import EDGE, FROZEN, TRAINED, WIDTH, add_legend, format_count

if TYPE_CHECKING:  # importing it would load TensorFlow
    from helpers.model.backbones.blocks import Block
    from helpers.model.interpolation import Mixture
    from helpers.series.metrics import Metric

BROKEN = figures.COLORS[3]
_EMPTY = "#EFEFEF"


def unfrozen(variants: Mapping[str, Sequence["Block"]]) -> Figure:
    """Draw which blocks each variant trains: one row per variant, one column per block, the input at the left.

    Args:
        variants: by title, the same blocks in the same order, which differ in `trainable`.

    Example:
        `run.show(fine_tuning_plots.unfrozen({"all blocks": blocks.unfreeze(model, None)}), "unfrozen_blocks")`
    """
    blocks = next(iter(variants.values()))
    trained = [[block.trainable for block, _ in zip(row, blocks, strict=True)] for row in variants.values()]
    parameters = {title: _trained_parameters(row) for title, row in variants.items()}
    rows = [f"{title}\n{count}" for title, count in parameters.items()]
    columns = [f"{block.name}\n{format_count(block.parameters)}" for block in blocks]
    figure, axes = figures.subplots(width=WIDTH, height=1.8 + 0.5 * len(variants))
    axis = axes[0, 0]
    look = {"cmap": ListedColormap([FROZEN, TRAINED]), "vmin": 0, "vmax": 1, "cbar": False, "linewidths": 2}
    sns.heatmap(pd.DataFrame(trained, rows, columns), ax=axis, xticklabels=True, **look)
    axis.grid(False)
    axis.set_xlabel("block, parameters")
    axis.set_ylabel("parameters trained")
    axis.tick_params(length=0)
    axis.tick_params(axis="x", rotation=90, labelsize=9)
    axis.tick_params(axis="y", rotation=0)
    add_legend(figure, {"frozen": FROZEN, "trained": TRAINED})
    words = "; ".join(f"{title}: {count} parameters are trained" for title, count in parameters.items())
    alt = f"The blocks of the network from the image to the top, frozen or trained. {words}."
    return figures.with_alt(figure, alt)


def _trained_parameters(blocks: Sequence["Block"]) -> str:
    """Return how many parameters of the backbone are trained, such as `35 k of 171 k`."""
    trained = sum(block.trained for block in blocks)
    total = sum(block.parameters for block in blocks)
    part = "none" if trained == 0 else "all" if trained == total else format_count(trained)
    return f"{part} of {format_count(total)}"


def gradient_norms(norms: Mapping[str, Mapping[str, object]]) -> Figure:
    """Draw a heat map of gradient norms for each variant: blocks by training step, the input at the top.

    Blocks without a gradient (frozen, or zero) are grey; norms that are not finite are marked.

    Args:
        norms: by title, `step` (increasing, one for each recorded window) and `blocks` (by name, from input to
            output, the norm in each window; frozen blocks may be missing).

    Example:
        `run.show(fine_tuning_plots.gradient_norms({"all blocks": result.gradient_norms}), "gradient_norms")`
    """
    longest_first = sorted((variant["blocks"] for variant in norms.values()), key=len, reverse=True)
    names = list(dict.fromkeys(itertools.chain(*longest_first)))
    tables = {
        title: pd.DataFrame(variant["blocks"], variant["step"], dtype=float).T.reindex(names, fill_value=0.0)
        for title, variant in norms.items()
    }
    levels = pd.concat(tables, axis=1)
    finite = np.isfinite(levels).all(axis=None)
    logarithms = np.log10(levels.where(np.isfinite(levels) & (levels > 0)))
    low, high = np.nan_to_num([logarithms.min(axis=None), logarithms.max(axis=None)])
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    width, height = max(WIDTH, 3.2 * len(norms)), max(2.7, 1.5 + 0.21 * len(names))
    figure, axes = figures.subplots(1, len(norms), width=width, height=height, sharey=True)
    for axis, (title, table) in zip(axes[0], tables.items(), strict=True):
        axis.set_facecolor(_EMPTY)
        broken, color = (~np.isfinite(table)).astype(float), ListedColormap([BROKEN])
        sns.heatmap(broken, mask=broken == 0, cmap=color, vmin=0, vmax=1, cbar=False, ax=axis)
        look = {"cmap": figures.SEQUENTIAL, "vmin": low, "vmax": high, "cbar": False, "yticklabels": names}
        sns.heatmap(logarithms[title], ax=axis, **look)
        axis.grid(False)
        axis.set_title(title, fontsize=11)
        axis.set(xlabel="training step", ylabel="")
    axes[0, 0].set_ylabel("block (input at the top)")
    figure.colorbar(axes[0, -1].collections[-1], ax=axes, label="log10 of the gradient norm")
    legend = {"no gradient": _EMPTY} if (levels == 0).any(axis=None) else {}
    add_legend(figure, legend | ({} if finite else {"not finite": BROKEN}))
    return figures.with_alt(figure, f"Gradient norm by block and step. {_last_norms(tables)}")


def _last_norms(tables: Mapping[str, pd.DataFrame]) -> str:
    """Return the smallest and the largest norm of each variant at the end, in words."""
    ends = {title: table.iloc[:, -1].loc[lambda values: values > 0] for title, table in tables.items()}
    return " ".join(
        f"At the end of {title}, norms lie between {last.min():.3g} ({last.idxmin()}) and {last.max():.3g} "
        f"({last.idxmax()})."
        for title, last in ends.items()
        if len(last)
    )


def schedules(rates: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> Figure:
    """Plot learning rates by training step, one line per variant.

    Args:
        rates: by title, training steps and the learning rate at each.

    Example:
        `run.show(fine_tuning_plots.schedules({"all blocks": (steps, values)}), "learning_rates")`
    """
    figure, axes = figures.subplots(width=9.0, height=3.8)
    axis = axes[0, 0]
    for title, (steps, values) in rates.items():
        axis.plot(steps, values, linewidth=2, label=title)
    axis.set(xlabel="training step", ylabel="learning rate")
    axis.set_ylim(0, 1.1 * max(max(values) for _, values in rates.values()) or 1)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.yaxis.set_major_formatter(lambda rate, _: np.format_float_positional(round(rate, 9), trim="-"))
    axis.legend(loc="upper right", frameon=False)
    words = "; ".join(
        f"{title} peaks at {max(values):g} at step {steps[int(np.argmax(values))]} and ends at {values[-1]:.1g}"
        for title, (steps, values) in rates.items()
    )
    return figures.with_alt(figure, f"Learning rate by training step: {words}.")


def mixtures(mixed: Mapping[str, "Mixture"], metric: "Metric") -> Figure:
    """Plot the metric on the way from the weights before fine-tuning to those after it; a ring marks the mixture taken.

    Args:
        mixed: by the title of each variant, from `interpolation.choose`.
        metric: of the series.

    Example:
        `run.show(fine_tuning_plots.mixtures({"all blocks": mixture}, metric), "mixtures")`
    """
    figure, [[axis]] = figures.subplots(width=WIDTH, height=3.6)
    for number, (title, mixture) in enumerate(mixed.items()):
        color, best = figures.COLORS[number], mixture.fraction
        axis.plot(list(mixture.scores), list(mixture.scores.values()), "o-", color=color, label=title)
        axis.plot(best, mixture.scores[best], "o", markersize=16, markerfacecolor="none", color=color)
    axis.set(xlabel="fraction of the way from the old to the new weights", ylabel=metric.title)
    axis.set_xticks(list(mixture.scores))
    axis.margins(y=0.2)
    axis.legend()
    taken = "; ".join(
        f"{title}: {wording.percent(one.fraction, 0)} of the way, {one.scores[one.fraction]:.3f}"
        for title, one in mixed.items()
    )
    alt = (
        f"{metric.title} on validation images by the fraction of the way to the fine-tuned weights. {taken}."
    )
    return figures.with_alt(figure, wording.capital(alt))


def comparison(table: pd.DataFrame) -> Figure:
    """Plot validation accuracies with intervals, one row per variant, and the numbers beside them.

    Args:
        table: columns `label`, `accuracy`, `low`, `high` (95% interval) and `seconds` of training.

    Example:
        `run.show(fine_tuning_plots.comparison(table), "comparison")`
    """
    figure, axes = figures.subplots(width=WIDTH, height=1.5 + 0.5 * len(table))
    axis = axes[0, 0]
    beside = {"transform": axis.get_yaxis_transform(), "fontsize": 11}
    for place, row in enumerate(table.itertuples()):
        look = {"fmt": "o", "ms": 9, "color": figures.COLORS[0]}
        figures.draw_interval(axis, row.accuracy, (row.low, row.high), place, **look)
        words = f"{wording.percent(row.accuracy)} ({wording.interval(row.low, row.high)})"
        axis.text(1.02, place, f"{words}, {wording.duration(row.seconds)}", va="center", **beside)
    axis.text(1.02, -0.6, "accuracy (interval), training", va="bottom", color=EDGE, **beside)
    figures.label_rows(axis, table["label"])
    axis.grid(False, axis="y")
    axis.margins(x=0.1)
    axis.set_xlabel("validation accuracy (95% interval)")
    axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    alt = f"Validation accuracy with 95% intervals: {plots.describe_accuracies(table)}."
    return figures.with_alt(figure, alt)
