"""The champion's business value: its predictions, and the cost model's results as the report prints them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.interpret.calibration import Scaling
from helpers.report.business import cost_model, policy
from helpers.report.business.policy import Plan
from helpers.report.models import EVALUATION, MetricsByStage
from helpers.series import stages
from helpers.wording import percent

if TYPE_CHECKING:
    from helpers.series.runs import Run

POLICIES = {
    policy.PERSON: "a person checks every image",
    policy.MACHINE: "nobody checks",
    policy.THRESHOLD: "a person checks below",
}


def person_accuracy(asked: float, card: Mapping[str, Any]) -> float:
    """Return the probability that a person labels an image correctly: as asked, or by the data card; 1 where neither says.

    Args:
        asked: the parameter of 12_report; 0 leaves it to the data card.
        card: of 01_acquire.

    Example:
        `people = value.person_accuracy(person_accuracy, card)`
    """
    return asked or (card["people"][0] if card.get("people") else 1.0)


def load_predictions(
    run: "Run", candidate: str, metrics: MetricsByStage
) -> tuple[cost_model.Predictions, cost_model.Predictions]:
    """Return a candidate's predictions for validation and test images, scaled as 07 fitted.

    Args:
        run: the run of 12_report.
        candidate: its name.
        metrics: metrics by stage.

    Raises:
        MissingInputError: the candidate left no predictions.

    Example:
        `validation, test = value.load_predictions(run, "tuned", metrics)`
    """
    stage = f"{EVALUATION}/{candidate}"
    validation = run.input(stages.CANDIDATES[candidate], "validation_predictions.npz")
    test = run.input(stage, "test_predictions.npz")
    return read_predictions(validation, test, candidate, Scaling.of(metrics[stage]))


def read_predictions(
    validation: Path, test: Path, candidate: str, scaling: Scaling
) -> tuple[cost_model.Predictions, cost_model.Predictions]:
    """Return a candidate's predictions for validation and test images, from the files of its stages."""
    with np.load(validation) as one, np.load(test) as other:
        parts = (one[f"probabilities_{candidate}"], one["labels"]), (other["probabilities"], other["labels"])
        first, second = (cost_model.calibrate(*part, *scaling) for part in parts)
    return first, second


def summarise(plan: Plan, others: Sequence[Mapping[str, Any]], currency: str) -> dict[str, Any]:
    """Return the section of the report on a plan, as plain JSON.

    Args:
        plan: chosen on validation, measured on test images.
        others: rows from `policy.vary_costs`.
        currency: the unit of money.

    Example:
        `pd.DataFrame(value.summarise(plan, others, "EUR")["sensitivity"]["rows"])`
    """
    rows = [_row(row, currency) for row in others]
    checks = plan.policy == policy.THRESHOLD and plan.chosen.threshold <= 1
    return {
        "text": policy.conclusion(plan, currency).text,
        "others": policy.sensitivity_sentence(plan, others, currency),
        "assumptions": policy.assumption(plan.costs),
        "threshold": plan.chosen.threshold if checks else None,
        # the order of the columns: JSON files are written with sorted keys
        "sensitivity": {"head": list(rows[0]), "rows": rows},
    }


def _row(row: Mapping[str, Any], currency: str) -> dict[str, str]:
    saving, low, high = (policy.money(amount) for amount in (row["saving"], *row["saving_ci95"]))
    value = np.format_float_positional(row["value"], precision=6, trim="-")
    return {
        "Cost": policy.NAMES[row["cost"]],
        "Changed to": f"{value} (× {row['factor']:g})",
        "Best policy": POLICIES[row["policy"]],
        "Threshold": "–" if row["threshold"] is None else policy.shown_threshold(min(row["threshold"], 1.0)),
        "Automated": percent(row["proportion"]),
        f"Saving, {currency} per 1,000": f"{saving} ({low} to {high})",
    }
