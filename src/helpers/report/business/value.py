"""The champion's business value for the report: its answers, and the cost model's findings as sentences and a table."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.report.business import cost_model, policy
from helpers.report.business.policy import Plan, Sensitivity
from helpers.report.first_screen import EVALUATION
from helpers.report.models import MetricsByStage
from helpers.series import stages
from helpers.wording import percent

if TYPE_CHECKING:
    from helpers.series.runs import Run

NAMES = {
    "value_right": "value of a right answer",
    "cost_wrong": "cost of a wrong answer",
    "cost_check": "cost of a look",
    "cost_prediction": "cost of a prediction",
}
POLICIES = {
    policy.PERSON: "a person looks at every picture",
    policy.MACHINE: "nobody looks",
    policy.THRESHOLD: "a person looks below",
}


def answers(
    run: "Run", candidate: str, metrics: MetricsByStage
) -> tuple[cost_model.Answers, cost_model.Answers]:
    """Return a candidate's answers to the validation and to the test images, at the temperature that 07 fitted.

    Args:
        run: of 12_report.
        candidate: its name.
        metrics: every stage's metrics.

    Raises:
        MissingInputError: the candidate's predictions are not there.
    """
    stage, temperature = f"{EVALUATION}/{candidate}", metrics[f"{EVALUATION}/{candidate}"]["temperature"]
    with np.load(run.input(stages.CANDIDATES[candidate], "validation_predictions.npz")) as kept:
        validation = kept[f"probabilities_{candidate}"], kept["labels"]
    with np.load(run.input(stage, "test_predictions.npz")) as kept:
        test = kept["probabilities"], kept["labels"]
    return cost_model.answers(*validation, temperature), cost_model.answers(*test, temperature)


def summary(plan: Plan, others: Sequence[Sensitivity], currency: str) -> dict[str, Any]:
    """Return what the report shows of a plan, ready for JSON.

    Args:
        plan: chosen on validation, measured on test images.
        others: the plan at other prices.
        currency: the unit of money.
    """
    looks = plan.policy == policy.THRESHOLD and plan.chosen.threshold <= 1
    return {
        "text": policy.sentence(plan, currency),
        "theory": policy.theory_sentence(plan, currency),
        "others": policy.sensitivity_sentence(plan, others, currency),
        "assumptions": policy.ASSUMPTION,
        "threshold": plan.chosen.threshold if looks else None,
        "sensitivity": {
            "head": [
                "Price",
                "Changed to",
                "Best policy",
                "Threshold",
                "Automated",
                f"Saving, {currency} per 1,000",
            ],
            "rows": [_row(one.to_dict()) for one in others],
        },
    }


def _row(found: Mapping[str, Any]) -> list[str]:
    low, high = found["saving_ci95"]
    return [
        NAMES[found["cost"]],
        f"{np.format_float_positional(found['value'], precision=6, trim='-')} (× {found['factor']:g})",
        POLICIES[found["policy"]],
        "–" if found["threshold"] is None else policy.shown_threshold(min(found["threshold"], 1.0)),
        percent(found["share"]),
        f"{policy.money(found['saving'])} ({policy.money(low)} to {policy.money(high)})",
    ]
