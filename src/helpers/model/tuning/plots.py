"""Figures of a study: its history, and what each parameter has to do with the value."""

import contextlib
import warnings
from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import optuna
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.visualization import matplotlib as drawn

from helpers import figures, wording
from helpers.model.plots import WIDTH
from helpers.model.tuning import study as studies

_COLUMNS = 4  # panels in a row
_NONE = "No trial is complete, so there is nothing to draw."


def history(study: optuna.Study, value: str) -> Figure:
    """Return the value of each complete trial by its number, the best so far, and which trials were pruned.

    `value` names it, as in "accuracy on validation".

    Example:
        `run.show(plots.history(study, "accuracy on validation"), "optimization_history")`
    """
    table = studies.summary(study)
    complete, pruned = (table[table["state"] == state] for state in ("complete", "pruned"))
    if complete.empty:
        return figures.with_alt(figures.sentence(_NONE), _NONE)
    figure, axes = figures.subplots(width=WIDTH, height=4.2)
    axis = axes[0, 0]
    axis.scatter(complete["number"], complete["value"], zorder=3, label="complete trial")
    best = complete["value"].cummax()
    axis.step(complete["number"], best, where="post", color=figures.COLORS[1], label="best so far")
    foot = {"transform": axis.get_xaxis_transform(), "color": "#444444"}
    if len(pruned):
        axis.plot(pruned["number"], [0.02] * len(pruned), "x", label="pruned trial (without a value)", **foot)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(xlabel="trial", ylabel=value)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    best_trial, first = studies.best_trial(study), table.iloc[0]
    reached = "diverged" if first["state"] == "failed" else f"reach {first['value']:.3f}"
    alt = (
        f"{value} by trial: {len(table)} trials, {len(pruned)} of them pruned. The defaults {reached}; the best, "
        f"trial {best_trial.number}, reaches {best_trial.value:.3f}."
    )
    return figures.with_alt(figure, alt)


def parameter_figures(study: optuna.Study, value: str) -> dict[str, Figure]:
    """Return figures of the parameters by name: `importances`, `slices` and `parallel_coordinates`.

    `value` is as for `history`.

    None if fewer than `studies.ENOUGH` trials are complete, and no importances if all trials are too similar; then
    `conclusions.importances` says so.

    Example:
        `for name, figure in plots.parameter_figures(study, "accuracy on validation").items(): …`
    """
    if len(studies.complete_trials(study)) < studies.ENOUGH:
        return {}
    ranked = {"importances": _importances(study)} if studies.importances(study) else {}
    return {
        **ranked,
        "slices": _slices(study, value),
        "parallel_coordinates": _parallel_coordinates(study, value),
    }


def _importances(study: optuna.Study) -> Figure:
    """Return the importance of each parameter as bars, the highest on top."""
    fractions = studies.importances(study)
    figure, axes = figures.subplots(width=9.0, height=1.4 + 0.42 * len(fractions))
    axis = axes[0, 0]
    bars = axis.barh(list(fractions), list(fractions.values()))
    axis.bar_label(bars, fmt="{:.0%}", padding=4)
    axis.invert_yaxis()
    axis.grid(False, axis="y")
    axis.set_xlabel("importance (fractions of 1)")
    named = ", ".join(f"{name} {wording.percent(part, 0)}" for name, part in fractions.items())
    return figures.with_alt(figure, f"Importance of each parameter: {named}.")


def _slices(study: optuna.Study, value: str) -> Figure:
    """Return the value against each parameter, one panel per parameter; later trials are darker."""
    space = study.trials[0].distributions
    table = studies.summary(study).query("state == 'complete'")
    rows = -(-len(space) // _COLUMNS)
    figure, axes = figures.subplots(rows, _COLUMNS, width=WIDTH, height=0.6 + 2.7 * rows, sharey=True)
    for axis, (name, values) in zip(axes.flat, space.items(), strict=False):
        later_darker = {"c": table["number"], "cmap": f"{figures.SEQUENTIAL}_r"}
        axis.scatter(table[name], table["value"], s=40, edgecolor="#444444", **later_darker)
        axis.set_xlabel(name)
        if getattr(values, "log", False):
            axis.set_xscale("log")
            axis.set_xlim(values.low, values.high)
            axis.minorticks_off()  # their labels would overlap
    for axis in axes.flat[len(space) :]:
        axis.axis("off")
    figure.supylabel(value, fontsize=11)
    best = studies.best_trial(study)
    settings = ", ".join(f"{name} {value:.3g}" for name, value in best.params.items())
    return figures.with_alt(figure, f"{value} against each parameter. The best trial has {settings}.")


def _parallel_coordinates(study: optuna.Study, value: str) -> Figure:
    """Return one line per complete trial through the values of its parameters, coloured by its value."""
    names = sorted(study.trials[0].params)  # Optuna's order
    with _project_style(max(WIDTH, 2.6 + 1.25 * len(names)), 5.2):
        axis = drawn.plot_parallel_coordinate(study, params=names, target_name=value)
        lines = next(part for part in axis.collections if isinstance(part, LineCollection))
        lines.set(cmap=figures.SEQUENTIAL, linewidth=2)
        axis.set_title("")
        axis.set_xticks(axis.get_xticks(), [value, *names], rotation=25, ha="right")
        for twin in axis.figure.axes:
            twin.grid(False)
    count = len(studies.complete_trials(study))
    alt = f"A line for each of {count} complete trials through the values of its {len(names)} parameters, coloured by {value}."
    return figures.with_alt(axis.figure, alt)


@contextlib.contextmanager
def _project_style(width: float, height: float) -> Iterator[None]:
    """Let Optuna draw in this project's style instead of its own style sheet, which it sets for all figures."""
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
