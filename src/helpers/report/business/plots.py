"""The figure of the cost model: saving, proportion automated and accuracy against the threshold."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from helpers import figures, wording
from helpers.report.business.cost_model import IMAGES, Outcome
from helpers.report.business.policy import Plan, money, shown_threshold


def thresholds(plan: Plan, curve: Sequence[Outcome], unit: str) -> Figure:
    """Return a figure of saving, proportion automated and accuracy of the automated against the threshold.

    Args:
        plan: its threshold is marked.
        curve: results of rising thresholds on the plan's test images, from `cost_model.apply_threshold`.
        unit: the unit of money, such as "EUR".

    Example:
        `run.show(plots.thresholds(plan, curve, "EUR"), "business_value")`
    """
    figure, axes = figures.subplots(2, 1, width=8, height=6.6, sharex=True, height_ratios=(1.15, 1))
    upper, lower = axes[:, 0]
    places, marked = np.array([result.threshold for result in curve]), plan.chosen.threshold
    _draw_saving(upper, places, plan, curve)
    upper.set_ylabel(f"saving ({unit} per {IMAGES:,} images)")
    proportions = [result.proportion for result in curve]
    accuracies = [np.nan if result.accuracy is None else result.accuracy for result in curve]
    lower.plot(places, proportions, "--", color=figures.COLORS[1], linewidth=2, label="proportion automated")
    lower.plot(places, accuracies, color=figures.COLORS[2], linewidth=2, label="accuracy of the automated")
    lower.yaxis.set_major_formatter(PercentFormatter(1.0))
    lower.set(ylim=(-0.03, 1.03), ylabel="percentage of images", xlim=(places[0], places[-1]))
    lower.set_xlabel("threshold: a person checks where the confidence is lower")
    lower.legend(fontsize=10)
    if places[0] <= marked <= places[-1]:
        for axis in (upper, lower):
            axis.axvline(marked, color="black", linewidth=1, linestyle=":")
    figure.align_ylabels()
    return figures.with_alt(figure, _alt(plan, curve, unit))


def _draw_saving(axis: Axes, places: np.ndarray, plan: Plan, curve: Sequence[Outcome]) -> None:
    low, high = np.array([result.saving.ci95 for result in curve]).T
    axis.fill_between(places, low, high, color=figures.COLORS[0], alpha=0.25, linewidth=0)
    savings = [result.saving.value for result in curve]
    axis.plot(places, savings, color=figures.COLORS[0], linewidth=2, label="threshold, with 95% interval")
    axis.axhline(0, color="black", linewidth=1.2, label="a person checks every image")
    machine = plan.machine.saving.value
    label = f"everything automated: {money(machine)}"
    axis.axhline(machine, color=figures.COLORS[3], linestyle="--", label=label)
    chosen = plan.chosen
    if places[0] <= chosen.threshold <= places[-1]:
        label = f"chosen on validation: {shown_threshold(chosen.threshold)}"
        axis.plot(chosen.threshold, chosen.saving.value, "ko", clip_on=False, label=label)
    # cut off larger losses than checking everything would cost: they would hide the region of the decision
    worst = -IMAGES * (plan.costs.cost_check + plan.costs.cost_prediction)
    worst = min(worst, 1.1 * chosen.saving.value)
    if axis.get_ylim()[0] < worst:
        axis.set_ylim(worst, max(*high, 0.0) - 0.05 * worst)
    axis.figure.legend(loc="outside upper center", ncols=2, fontsize=10)


def _alt(plan: Plan, curve: Sequence[Outcome], unit: str) -> str:
    """Return the alt text, from the figure's data."""
    best = max(curve, key=lambda result: result.saving.value)
    return (
        f"Two panels over the confidence threshold, {curve[0].threshold:.2f} to {curve[-1].threshold:.2f}. The upper one shows "
        f"the saving per {IMAGES:,} images compared with a person who checks every image: at most {money(best.saving.value)} {unit}, "
        f"at {shown_threshold(best.threshold)}; {money(plan.machine.saving.value)} {unit} with everything automated; "
        f"{_chosen(plan.chosen, unit)}. The lower one shows the proportion automated and the accuracy of the automated predictions."
    )


def _chosen(chosen: Outcome, unit: str) -> str:
    if chosen.threshold > 1:
        return "no threshold pays on validation"
    low, high = (money(end) for end in chosen.saving.ci95)
    text = (
        f"{money(chosen.saving.value)} {unit} ({low} to {high}) at the threshold chosen on validation, "
        f"{shown_threshold(chosen.threshold)}, with {wording.percent(chosen.proportion)} automated"
    )
    return text if chosen.accuracy is None else f"{text} at an accuracy of {wording.percent(chosen.accuracy)}"
