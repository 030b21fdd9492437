"""Figures of a study, drawn by Optuna's matplotlib back end and brought into this project's style."""

import contextlib
import math
import warnings
from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import optuna
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import matplotlib as drawn

from helpers import figures
from helpers.model.tuning import study as tuning

VALUE = "macro-F1 on validation"
_WIDTH = 11.0  # inches: of a page
_COLUMNS = 4
_NONE = "No trial is complete: there is nothing to draw."
_EDGE = "#444444"


def history(study: optuna.Study, value: str = VALUE) -> Figure:
    """Return the value of each complete trial by its number, the best so far, and where trials were pruned.

    Args:
        study: a finished study, as `tuning.run` returns it.
        value: what is maximised, in words.
    """
    if not _complete(study):
        return _sentence(_NONE)
    with _optuna_style(_WIDTH, 4.2):
        axis = drawn.plot_optimization_history(study, target_name=value)
    axis.get_legend().remove()
    for points in axis.collections:
        points.set(facecolor=figures.COLORS[0], sizes=[45], zorder=3)
    axis.lines[0].set(color=figures.COLORS[1], alpha=1, linewidth=2, drawstyle="steps-post")
    axis.collections[0].set_label("complete trial")
    axis.lines[0].set_label("best so far")
    pruned = [trial.number for trial in study.get_trials(states=(TrialState.PRUNED,))]
    if pruned:
        foot = axis.get_xaxis_transform()
        axis.plot(
            pruned,
            [0.02] * len(pruned),
            "x",
            color=_EDGE,
            transform=foot,
            label="pruned trial (its value is not drawn)",
        )
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(title="", xlabel="trial")
    figure = axis.figure
    figure.set_layout_engine("constrained")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def importances(study: optuna.Study) -> Figure:
    """Return the importance of each parameter as bars, the highest on top; a sentence where trials are too few.

    Args:
        study: a finished study, as `tuning.run` returns it.
    """
    found = tuning.importances(study)
    if not found.shares:
        return _sentence(found.note)
    names = tuning.varied(study)
    with _optuna_style(9.0, 1.4 + 0.42 * len(names)):
        axis = drawn.plot_param_importances(study, params=names)
    axis.get_legend().remove()
    for bar in axis.patches:
        bar.set(color=figures.COLORS[0], height=0.7)
    axis.grid(False, axis="y")
    for words in axis.texts:
        words.set_text(f" {words.get_text()}")
    axis.set_title("", loc="left")
    axis.set(ylabel="", xlabel="importance (shares add up to 1)")
    axis.margins(x=0.1)
    axis.autoscale(axis="x")
    return axis.figure


def parallel_coordinates(study: optuna.Study, value: str = VALUE) -> Figure:
    """Return one line a complete trial through the values of its parameters, coloured by what it reached.

    Args:
        study: a finished study, as `tuning.run` returns it.
        value: what is maximised, in words.
    """
    if not _complete(study):
        return _sentence(_NONE)
    names = sorted(_parameters(study))  # as Optuna draws them, whatever their order is
    with _optuna_style(max(_WIDTH, 2.6 + 1.25 * len(names)), 5.2):
        axis = drawn.plot_parallel_coordinate(study, params=names, target_name=value)
    lines = next(one for one in axis.collections if isinstance(one, LineCollection))
    lines.set(cmap=figures.SEQUENTIAL, linewidth=2)
    axis.grid(False)
    axis.set_title("")
    axis.set_xticks(axis.get_xticks(), [value, *names], rotation=25, ha="right", rotation_mode="anchor")
    twins = [one for one in axis.figure.axes if one is not axis and one is not lines.colorbar.ax]
    for name, twin in zip(names, twins, strict=True):
        twin.grid(False)
        twin.spines["right"].set(visible=True, color="#BBBBBB")
        _set_ticks(twin.yaxis, study.trials[0].distributions[name])
        for label in twin.get_yticklabels():
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6})
    return axis.figure


def slices(study: optuna.Study, value: str = VALUE) -> Figure:
    """Return the value against each parameter, one panel each, later trials darker.

    Args:
        study: a finished study, as `tuning.run` returns it.
        value: what is maximised, in words.
    """
    if not _complete(study):
        return _sentence(_NONE)
    names = _parameters(study)
    rows = math.ceil(len(names) / _COLUMNS)
    with _optuna_style(_WIDTH, 3.2):
        axes = drawn.plot_slice(study, params=names, target_name=value)
    axes = [axes] if isinstance(axes, Axes) else list(axes)
    figure = axes[0].figure
    figure.suptitle("")
    figure.set_size_inches(_WIDTH, 0.6 + 2.7 * rows)
    grid = figure.add_gridspec(rows, min(_COLUMNS, len(axes)))
    axes.sort(key=lambda axis: names.index(axis.get_xlabel()))
    for index, axis in enumerate(axes):
        row, column = divmod(index, _COLUMNS)
        axis.set_subplotspec(grid[row, column])
        axis.tick_params(labelleft=column == 0)
        axis.set(title="", ylabel="")
        points = next(one for one in axis.collections if isinstance(one, PathCollection))
        points.set(cmap=f"{figures.SEQUENTIAL}_r", edgecolor=_EDGE, sizes=[40])
        _set_ticks(axis.xaxis, study.trials[0].distributions[axis.get_xlabel()])
    figure.supylabel(value, fontsize=11)
    return figure


def _complete(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(states=(TrialState.COMPLETE,))


def _sentence(words: str) -> Figure:
    """Return a figure that says why there is nothing to draw."""
    figure, axes = figures.subplots(width=9.0, height=1.0)
    figures.no_axes(axes[0, 0])
    axes[0, 0].text(0.5, 0.5, words, ha="center", va="center")
    return figure


def _parameters(study: optuna.Study) -> list[str]:
    """Return the parameters' names in the order of the search space."""
    return list(study.trials[0].params)


def _set_ticks(axis: Axis, distribution: BaseDistribution) -> None:
    """Give an axis a few ticks, whole ones for whole numbers, and plain numbers on a log scale."""
    if isinstance(distribution, CategoricalDistribution):
        return  # Optuna names the choices
    if distribution.log:
        low, high = axis.get_view_interval()
        subs = (1.0, 2.0, 5.0) if high / low < 30 else (1.0,)
        axis.set_major_locator(LogLocator(subs=subs, numticks=6))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(MaxNLocator(4, integer=isinstance(distribution, IntDistribution)))


@contextlib.contextmanager
def _optuna_style(width: float, height: float) -> Iterator[None]:
    """Have Optuna draw in this project's style and size, in place of the style sheet that it sets for all figures."""
    size = {"figure.figsize": (width, height), "figure.constrained_layout.use": True}
    sheet = plt.style.library["ggplot"]
    with mpl.rc_context(figures.STYLE | size), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", "Attempting to set identical")  # of a parameter that took one value
        plt.style.library["ggplot"] = mpl.RcParams()
        try:
            yield
        finally:
            plt.style.library["ggplot"] = sheet
