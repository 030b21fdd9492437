"""From costs to a policy, chosen on validation images and measured on test images."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from helpers import wording
from helpers.report.business import cost_model
from helpers.report.business.cost_model import Amount, Costs, Outcome, Predictions
from helpers.series.conclusions import Conclusion

PERSON, MACHINE, THRESHOLD = "person", "machine", "threshold"
PRICES = ("value_right", "cost_wrong", "cost_check", "cost_prediction")
EXAMPLES = (0.2, 0.5, 0.08, 0.0001)
"""The prices with which 12_report comes: nobody's, so that they are called examples wherever something rests on them."""
PERSON_ERRORS = "person_errors"
NAMES = {
    "value_right": "value of a correct label",
    "cost_wrong": "cost of an incorrect label",
    "cost_check": "cost of a check",
    "cost_prediction": "cost of a prediction",
    PERSON_ERRORS: "errors of a person who checks",
}
"""The costs that `vary_costs` changes, in words."""


@dataclass(frozen=True)
class Plan:
    """The best of three policies, and the result of the threshold.

    The policies are `person` (checks every image, without a model), `machine` (checks none) and `threshold` (a person
    checks below it). Policy and threshold are chosen on validation images; all results are those on test images.

    Attributes:
        costs: in money per image.
        validation_n: number of validation images.
        policy: the one with the highest saving on validation; of equal ones, `person` before `machine` before `threshold`.
        chosen: the result of the chosen threshold, whatever the policy is.
        machine: the result of automating everything.
    """

    costs: Costs
    validation_n: int
    policy: str
    chosen: Outcome
    machine: Outcome

    @property
    def result(self) -> Outcome | None:
        """The result of the policy; None where a person checks every image."""
        return {PERSON: None, MACHINE: self.machine, THRESHOLD: self.chosen}[self.policy]

    @property
    def saving(self) -> Amount:
        """The saving of the policy, compared with a person who checks every image."""
        return self.result.saving if self.result else Amount(0.0, (0.0, 0.0))

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain JSON."""
        return {**asdict(self), "saving": asdict(self.saving)}


def choose_policy(validation: Predictions, test: Predictions, costs: Costs) -> Plan:
    """Choose a policy and its threshold on validation images, and measure them on test images.

    Args:
        validation: predictions for the images on which the threshold is chosen.
        test: predictions for other images.
        costs: in money per image.

    Example:
        `plan = policy.choose_policy(validation, test, cost_model.Costs(0.2, 0.5, 0.08, 0.0001))`
    """
    threshold = cost_model.choose_threshold(validation, costs)
    savings = {PERSON: 0.0}
    for name, end in ((MACHINE, 0.0), (THRESHOLD, threshold)):
        savings[name] = cost_model.apply_threshold(validation, costs, end).saving.value
    best = max(savings, key=lambda name: savings[name])  # the first of equal ones
    results = (cost_model.apply_threshold(test, costs, end) for end in (threshold, 0.0))
    return Plan(costs, len(validation.correct), best, *results)


def vary_costs(
    validation: Predictions, test: Predictions, costs: Costs, factors: Sequence[float] = (0.5, 2.0)
) -> list[dict[str, Any]]:
    """Return a row for each cost and factor: the policy that is best with that cost multiplied by it, and its results.

    The fraction of images that a person labels incorrectly counts as a cost, up to one. A cost of zero is skipped. `threshold` is None where the policy has none.

    Example:
        `others = policy.vary_costs(validation, test, prices)`
    """
    rows = []
    for name, factor in itertools.product((*PRICES, PERSON_ERRORS), factors):
        errors = name == PERSON_ERRORS
        value = factor * (1 - costs.person_accuracy if errors else getattr(costs, name))
        if value and not (errors and value >= 1):
            changed = {"person_accuracy": 1 - value} if errors else {name: value}
            other = choose_policy(validation, test, replace(costs, **changed))
            row = {"cost": name, "factor": factor, "value": value, "policy": other.policy}
            row["threshold"] = other.chosen.threshold if other.policy == THRESHOLD else None
            row["proportion"] = other.result.proportion if other.result else 0.0
            rows.append({**row, "saving": other.saving.value, "saving_ci95": list(other.saving.ci95)})
    return rows


def conclusion(plan: Plan, unit: str) -> Conclusion:
    """Return which policy is best and what it saves.

    Args:
        plan: chosen on validation, measured on test images.
        unit: the unit of money, such as "EUR".

    Example:
        `run.conclude(policy.conclusion(plan, "EUR"))`
    """
    costs = plan.costs
    correct = wording.percent(costs.person_accuracy)
    people = "taken to be correct"
    if costs.person_accuracy != 1:
        people += f" on {correct} of all images, hard ones included"
    example = tuple(getattr(costs, name) for name in PRICES) == EXAMPLES
    prices = (
        f"With {'the example prices of ' if example else ''}{_price(costs.value_right)} {unit} for a correct label, {_price(costs.cost_wrong)} lost by an incorrect one, "
        f"{_price(costs.cost_check)} for a check by a person, who is {people}, and {_price(costs.cost_prediction)} for a prediction, "
    )
    chosen = f"The policy was chosen on {plan.validation_n:,} validation images and measured on {plan.chosen.n:,} test images."
    numbers = {
        "policy": plan.policy,
        "threshold": plan.chosen.threshold,
        "saving": plan.saving.value,
        "saving_ci95": list(plan.saving.ci95),
    }
    return Conclusion(
        "value", f"{prices}{_advice(plan, unit)} {chosen}", numbers, "Bayesian bootstrap, 95% interval"
    )


def _advice(plan: Plan, unit: str) -> str:
    chosen, everything = plan.chosen, "a person who checks every image"
    against = f"compared with {everything}"
    if plan.policy == THRESHOLD:
        return (
            f"a person should check predictions with a calibrated confidence below {shown_threshold(chosen.threshold)}"
            f"{_doubt({everything: chosen.saving, 'automating everything': chosen.saving_over_machine})}. {_automated(chosen)} Per 1,000 images the saving is {_amount(chosen.saving, unit)} {against}, and "
            f"{_amount(chosen.saving_over_machine, unit)} compared with automating everything."
        )
    if plan.policy == MACHINE:
        return (
            f"no check is worth its cost{_doubt({everything: plan.machine.saving})}. {_automated(plan.machine)} Per 1,000 images the saving is "
            f"{_amount(plan.machine.saving, unit)} {against}."
        )
    if chosen.threshold >= cost_model.CHECK_ALL:
        return (
            "a person should check every image: on validation, no threshold saves more than its errors cost."
        )
    return (
        "a person should check every image: on validation, automating does not pay for the predictions. On the test images, "
        f"the saving per 1,000 images would be {_amount(chosen.saving, unit)}."
    )


def _doubt(savings: Mapping[str, Amount]) -> str:
    """Return which savings of a policy the test images do not confirm, as the end of a sentence; empty where they confirm all."""
    open_ones = [other for other, saving in savings.items() if not saving.significant or saving.value <= 0]
    if not open_ones:
        return ""
    return f", but on the test images the saving compared with {' and with '.join(open_ones)} is not significantly above zero"


def _automated(result: Outcome) -> str:
    if result.accuracy is None or result.accuracy_ci95 is None:
        return "No test image is automated."
    accuracy, interval = wording.percent(result.accuracy), wording.interval(*result.accuracy_ci95)
    return f"{wording.percent(result.proportion)} of the images are automated, with an accuracy of {accuracy} ({interval})."


def _amount(amount: Amount, unit: str) -> str:
    verdict = "" if amount.significant else "not significant, "
    return f"{money(amount.value)} {unit} ({verdict}95% interval {money(amount.ci95[0])} to {money(amount.ci95[1])})"


def assumption(costs: Costs) -> str:
    """Return what the cost model assumes of the person who checks."""
    if costs.person_accuracy < 1:
        return (
            f"A person is assumed to label {wording.percent(costs.person_accuracy)} of all images correctly, those with a low confidence "
            "of the model as often as others."
        )
    return (
        "A person who checks an image is assumed to be correct. If people make mistakes, the model saves more than this compared "
        "with a person who checks every image, and a threshold gains less over automating everything."
    )


def sensitivity_sentence(plan: Plan, rows: Sequence[Mapping[str, Any]], unit: str) -> str:
    """Return how far policy, threshold and saving depend on the costs, as a sentence; `rows` are from `vary_costs`."""
    changed = [
        f"the {NAMES[row['cost']]} × {row['factor']:g}" for row in rows if row["policy"] != plan.policy
    ]
    best = f"changes with {wording.listing(changed)}" if changed else "stays the same"
    thresholds = [row["threshold"] for row in rows if row["threshold"] is not None]
    if plan.policy == THRESHOLD:
        thresholds.append(plan.chosen.threshold)
    known = [min(threshold, 1.0) for threshold in thresholds]
    savings = [row["saving"] for row in rows] + [plan.saving.value]
    text = f"When one cost at a time is halved or doubled, the best policy {best}."
    if known:
        text += f" The threshold is {_range(shown_threshold(min(known)), shown_threshold(max(known)))}."
    return f"{text} The saving is {_range(money(min(savings)), money(max(savings)))} {unit} per {cost_model.IMAGES:,} images."


def money(value: float) -> str:
    """Return an amount per 1,000 images: rounded to one from a hundred on, two decimals below, with a true minus sign."""
    text = f"{value:,.0f}" if abs(value) >= 99.995 else f"{value:,.2f}"
    return text.replace("-0.00", "0.00").replace("-", "−")


def shown_threshold(threshold: float) -> str:
    """Return a threshold with two digits of its distance from 1, and at least two decimals."""
    left = 1.0 - threshold
    decimals = 2 if left <= 0 else max(2, 1 - math.floor(math.log10(left)))
    text = f"{threshold:.{decimals}f}"
    return text[:4] + text[4:].rstrip("0")


def _price(value: float) -> str:
    return f"{value:.2f}" if value == round(value, 2) else f"{value:g}"


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"
