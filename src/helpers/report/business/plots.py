"""The figure of the cost model: what a threshold saves, and what it leaves to a person."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from helpers import figures, wording
from helpers.report.business import policy
from helpers.report.business.cost_model import PICTURES, Outcome
from helpers.report.business.policy import Plan


def thresholds(plan: Plan, curve: Sequence[Outcome], unit: str) -> tuple[Figure, str]:
    """Return saving, share automated and accuracy of the automated against the threshold, and the alt text.

    Args:
        plan: whose threshold is marked.
        curve: what thresholds in rising order give on the plan's test pictures, as by `cost_model.curve`.
        unit: of money, such as "EUR".
    """
    figure, axes = figures.subplots(2, 1, width=8, height=6.6, sharex=True, height_ratios=(1.15, 1))
    money, shares = axes[0, 0], axes[1, 0]
    places = np.array([found.threshold for found in curve])
    _money(money, places, plan, curve, unit)
    _shares(shares, places, curve)
    marked = plan.chosen.threshold
    for axis in (money, shares):
        if places[0] <= marked <= places[-1]:
            axis.axvline(marked, color="black", linewidth=1, linestyle=":")
    shares.set_xlim(places[0], places[-1])
    figure.align_ylabels()
    shares.set_xlabel("threshold: a person looks where the confidence is lower")
    return figure, alt_text(plan, curve, unit)


def _band(
    axis: Axes, places: np.ndarray, values: list[float], ends: list, color: str, line: str, label: str
) -> None:
    low, high = np.array(ends).T
    axis.fill_between(places, low, high, color=color, alpha=0.25, linewidth=0)
    axis.plot(places, values, line, color=color, linewidth=2, label=label)


def _money(axis: Axes, places: np.ndarray, plan: Plan, curve: Sequence[Outcome], unit: str) -> None:
    savings = [found.saving for found in curve]
    _band(
        axis,
        places,
        [saving.value for saving in savings],
        [saving.ci95 for saving in savings],
        figures.COLORS[0],
        "-",
        "threshold, with 95% interval",
    )
    axis.axhline(0, color="black", linewidth=1.2, label="a person looks at every picture")
    machine = plan.machine.saving.value
    axis.axhline(
        machine,
        color=figures.COLORS[3],
        linestyle="--",
        label=f"everything automated: {policy.money(machine)}",
    )
    marks = (
        (plan.theory, "white", "if confidences were exact"),
        (plan.chosen, "black", "chosen on validation"),
    )
    for found, color, name in marks:
        if places[0] <= found.threshold <= places[-1]:
            label = f"{name}: {policy.shown_threshold(found.threshold)}"
            axis.plot(
                found.threshold, found.saving.value, "o", mfc=color, mec="black", clip_on=False, label=label
            )
    _limit(axis, plan, max(saving.ci95[1] for saving in savings))
    axis.set_ylabel(f"saving ({unit} per {PICTURES:,} pictures)")
    axis.figure.legend(loc="outside upper center", ncols=2, fontsize=10)


def _limit(axis: Axes, plan: Plan, highest: float) -> None:
    """Cut off what loses more than a person and the predictions cost: it would hide where the decision is."""
    worst = -PICTURES * (plan.costs.cost_check + plan.costs.cost_prediction)
    worst = min(worst, *(1.1 * found.saving.value for found in (plan.chosen, plan.theory)))
    if axis.get_ylim()[0] < worst:
        axis.set_ylim(worst, max(highest, 0.0) - 0.05 * worst)


def _shares(axis: Axes, places: np.ndarray, curve: Sequence[Outcome]) -> None:
    _band(
        axis,
        places,
        [found.share for found in curve],
        [found.share_ci95 for found in curve],
        figures.COLORS[1],
        "--",
        "automated",
    )
    some = np.array([found.accuracy is not None for found in curve])
    kept = [found for found in curve if found.accuracy is not None]
    if kept:
        _band(
            axis,
            places[some],
            [found.accuracy for found in kept],
            [found.accuracy_ci95 for found in kept],
            figures.COLORS[2],
            "-",
            "right, of the automated",
        )
    axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    axis.set_ylim(-0.03, 1.03)
    axis.set_ylabel("share of pictures")
    axis.legend(fontsize=10)


def alt_text(plan: Plan, curve: Sequence[Outcome], unit: str) -> str:
    """Say what the figure shows, from its data."""
    best = max(curve, key=lambda found: found.saving.value)
    return (
        f"Two panels over the confidence threshold, from {curve[0].threshold:.2f} to {curve[-1].threshold:.2f}. Above, the "
        f"saving per {PICTURES:,} pictures against a person looking at every picture: highest, {policy.money(best.saving.value)} {unit}, "
        f"at {policy.shown_threshold(best.threshold)}; everything automated, "
        f"{policy.money(plan.machine.saving.value)} {unit}; {_chosen(plan.chosen, unit)}. "
        "Below, the share automated and the share of it that is right."
    )


def _chosen(chosen: Outcome, unit: str) -> str:
    if chosen.threshold > 1:
        return "on validation, no threshold pays"
    low, high = (policy.money(end) for end in chosen.saving.ci95)
    said = (
        f"at the threshold chosen on validation, {policy.shown_threshold(chosen.threshold)}, "
        f"{policy.money(chosen.saving.value)} {unit} ({low} to {high}), with {wording.percent(chosen.share)} automated"
    )
    return (
        said if chosen.accuracy is None else f"{said} and {wording.percent(chosen.accuracy)} of these right"
    )
