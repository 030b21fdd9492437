"""From costs to a policy: chosen on validation pictures, measured on test pictures, said in words."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from helpers import wording
from helpers.report.business.cost_model import (
    CHECK_ALL,
    PICTURES,
    Amount,
    Answers,
    Costs,
    Outcome,
    best_threshold_in_theory,
    choose,
    difference,
    outcome,
)

PERSON, MACHINE, THRESHOLD = "person", "machine", "threshold"
ASSUMPTION = (
    "A person who looks is taken to be right. Where people err, the model saves more against a person looking at every "
    "picture than is shown here, and a threshold gains less over automating everything."
)


@dataclass(frozen=True)
class Plan:
    """Which of three policies is best, and what a threshold gives.

    The policies are `person` (one looks at every picture, without a model), `machine` (nobody looks) and `threshold` (a
    person looks below it). Policy and threshold are chosen on validation pictures; all the rest is of test pictures.

    Attributes:
        costs: in money per picture.
        validation_n: validation pictures.
        policy: the one with the highest net value on validation; of equal ones, `person` before `machine` before
            `threshold`.
        chosen: what the threshold chosen on validation gives, whatever the policy is.
        theory: what the threshold of `best_threshold_in_theory` gives.
        over_theory: what the chosen threshold brings more than that one, in 1,000 pictures.
        machine: what automating everything gives.
    """

    costs: Costs
    validation_n: int
    policy: str
    chosen: Outcome
    theory: Outcome
    over_theory: Amount
    machine: Outcome

    @property
    def saving(self) -> Amount:
        """Return what the policy saves against a person looking at every picture, in 1,000 test pictures."""
        return self.carried_out.saving if self.carried_out else Amount(0.0, (0.0, 0.0))

    @property
    def carried_out(self) -> Outcome | None:
        """Return what the policy gives; None where a person looks at every picture, without a model."""
        return {PERSON: None, MACHINE: self.machine, THRESHOLD: self.chosen}[self.policy]

    @property
    def nets(self) -> dict[str, Amount]:
        """Return the net value of 1,000 test pictures by policy; that of `person` is certain."""
        person = PICTURES * (self.costs.value_right - self.costs.cost_check)
        return {
            PERSON: Amount(person, (person, person)),
            MACHINE: self.machine.net,
            THRESHOLD: self.chosen.net,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, ready for JSON; tuples as lists."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return _plain(found | {"saving": self.saving, "nets": self.nets})


def _plain(value: Any) -> Any:
    if isinstance(value, Amount):
        return {"value": value.value, "ci95": list(value.ci95), "shown": value.shown}
    if isinstance(value, Costs):
        return asdict(value)
    if isinstance(value, Outcome):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _policy(validation: Answers, costs: Costs, threshold: float) -> str:
    person = PICTURES * (costs.value_right - costs.cost_check)
    machine = outcome(validation, costs, 0.0).net.value
    with_threshold = outcome(validation, costs, threshold).net.value
    if person >= max(machine, with_threshold):
        return PERSON
    return MACHINE if machine >= with_threshold else THRESHOLD


def plan(validation: Answers, test: Answers, costs: Costs) -> Plan:
    """Choose a policy and its threshold on validation pictures and measure them on test pictures.

    Args:
        validation: answers to pictures that the threshold may be fitted to.
        test: answers to other pictures; nothing is chosen on them.
        costs: in money per picture.
    """
    threshold, exact = choose(validation, costs), best_threshold_in_theory(costs)
    return Plan(
        costs,
        len(validation.right),
        _policy(validation, costs, threshold),
        outcome(test, costs, threshold),
        outcome(test, costs, exact),
        difference(test, costs, threshold, exact),
        outcome(test, costs, 0.0),
    )


@dataclass(frozen=True)
class Sensitivity:
    """The plan where one cost is another.

    Attributes:
        cost: name of the field of `Costs`.
        factor: by which it is multiplied.
        plan: with a threshold chosen anew.
    """

    cost: str
    factor: float
    plan: Plan

    def to_dict(self) -> dict[str, Any]:
        """Return a row of a table, ready for JSON: what the policy gives, money in 1,000 pictures.

        `threshold` is None where the policy has none, `accuracy` where nothing is automated.
        """
        given, saving = self.plan.carried_out, self.plan.saving
        return {
            "cost": self.cost,
            "factor": self.factor,
            "value": getattr(self.plan.costs, self.cost),
            "policy": self.plan.policy,
            "threshold": self.plan.chosen.threshold if self.plan.policy == THRESHOLD else None,
            "share": given.share if given else 0.0,
            "accuracy": given.accuracy if given else None,
            "saving": saving.value,
            "saving_ci95": list(saving.ci95),
        }


def sensitivity(
    validation: Answers, test: Answers, costs: Costs, factors: Sequence[float] = (0.5, 2.0)
) -> tuple[Sensitivity, ...]:
    """Return how the plan changes when one cost at a time is halved or doubled; a cost of zero is passed over."""
    return tuple(
        Sensitivity(name, factor, plan(validation, test, replace(costs, **{name: factor * value})))
        for name, value in asdict(costs).items()
        for factor in factors
        if value
    )


def money(value: float) -> str:
    """Return an amount of 1,000 pictures: whole from a hundred on, two decimals below, with a true minus sign."""
    text = f"{value:,.0f}" if abs(value) >= 99.995 else f"{value:,.2f}"
    return text.replace("-0.00", "0.00").replace("-", "−")


def shown_threshold(threshold: float) -> str:
    """Return a threshold with as many decimals, from two on, as tell its distance from 1 with two digits."""
    left = 1.0 - threshold
    decimals = 2 if left <= 0 else max(2, 1 - math.floor(math.log10(left)))
    text = f"{threshold:.{decimals}f}"
    return text[:4] + text[4:].rstrip("0")


def _price(value: float) -> str:
    return f"{value:.2f}" if value == round(value, 2) else f"{value:g}"


def _amount(amount: Amount, unit: str, sign: int = 1) -> str:
    low, high = sorted(sign * end for end in amount.ci95)
    return f"{money(sign * amount.value)} {unit} ({money(low)} to {money(high)})"


def _saves(saving: Amount, unit: str) -> str:
    if not saving.shown:
        return f"no saving is shown, {_amount(saving, unit)},"
    return (
        f"this saves {_amount(saving, unit)}"
        if saving.value > 0
        else f"this loses {_amount(saving, unit, -1)}"
    )


def _automated(found: Outcome) -> str:
    if found.accuracy is None:
        return "none of the test pictures is automated"
    return f"{wording.percent(found.share)} are automated, {_right(found)}"


def _right(found: Outcome) -> str:
    return f"{wording.percent(found.accuracy)} of them right ({wording.interval(*found.accuracy_ci95)})"


def _compared(amount: Amount, unit: str, other: str) -> str:
    if amount.ci95[0] == amount.ci95[1] == 0:
        return f"is the same as {other}"
    if not amount.shown:
        return f"shows no difference from {other}, {_amount(amount, unit)}"
    if amount.value > 0:
        return f"brings {_amount(amount, unit)} more than {other}"
    return f"brings {_amount(amount, unit, -1)} less than {other}"


def sentence(found: Plan, unit: str) -> str:
    """Say which policy is best and what it saves; intervals are of 95%.

    Args:
        found: the plan.
        unit: of money, such as "EUR".
    """
    costs, chosen = found.costs, found.chosen
    given = (
        f"With a right answer worth {_price(costs.value_right)}, a wrong one costing {_price(costs.cost_wrong)}, a look by a "
        f"person {_price(costs.cost_check)} and a prediction {_price(costs.cost_prediction)} ({unit} per picture), "
    )
    against = "against a person looking at every picture"
    if found.policy == THRESHOLD:
        backed = chosen.saving.shown and chosen.saving.value > 0
        said = (
            f"{'a person should look' if backed else 'it pays most on validation that a person looks'} where the calibrated "
            f"confidence is below {shown_threshold(chosen.threshold)}: {_automated(chosen)}; {'' if backed else 'but '}per 1,000 pictures "
            f"{_saves(chosen.saving, unit)} {against}; "
            f"it {_compared(chosen.saving_over_machine, unit, 'automating everything')}."
        )
    elif found.policy == MACHINE:
        said = (
            f"no picture is worth a look: all are automated, {_right(found.machine)}; per 1,000 pictures "
            f"{_saves(found.machine.saving, unit)} {against}."
        )
    else:
        said = f"a person should look at every picture: {_not_worth_it(chosen, unit)}."
    return f"{given}{said} {_origin(found)}"


def _not_worth_it(chosen: Outcome, unit: str) -> str:
    if chosen.threshold >= CHECK_ALL:
        return "on validation, no threshold saves more looks than its wrong answers cost"
    how = "automating everything" if chosen.threshold <= 0 else "the best threshold"
    saving = chosen.saving
    if not saving.shown:
        return f"{how} does not pay for its predictions on validation; per 1,000 test pictures no saving is shown, {_amount(saving, unit)}"
    verb = f"save {_amount(saving, unit)}" if saving.value > 0 else f"lose {_amount(saving, unit, -1)}"
    return f"{how} does not pay for its predictions on validation; per 1,000 test pictures it would {verb}"


def _origin(found: Plan) -> str:
    return f"This was chosen on {found.validation_n:,} validation pictures and measured on {found.chosen.n:,} test pictures."


def theory_sentence(found: Plan, unit: str) -> str:
    """Say which threshold the costs alone would give, and what it does."""
    theory = found.theory
    said = (
        f"Were the confidences exact, the threshold would be {shown_threshold(theory.threshold)} (Chow, 1970): "
        f"{_automated(theory)}; per 1,000 pictures {_saves(theory.saving, unit)} against a person looking at every picture."
    )
    return f"{said} The threshold chosen on validation {_compared(found.over_theory, unit, 'this one')}."


def sensitivity_sentence(found: Plan, rows: Sequence[Sensitivity], unit: str) -> str:
    """Say how far the plan depends on what the costs are taken to be."""
    plans = [row.plan for row in rows] + [found]
    other = [f"{row.cost} × {row.factor:g}" for row in rows if row.plan.policy != found.policy]
    policy = (
        f"the best policy changes with {wording.listing(other)}"
        if other
        else "the best policy stays the same"
    )
    thresholds = [min(one.chosen.threshold, 1.0) for one in plans if one.policy == THRESHOLD]
    savings = [one.saving.value for one in plans]
    places = ""
    if thresholds:
        where = ", where there is one," if len(thresholds) < len(plans) else ""
        ends = _range(shown_threshold(min(thresholds)), shown_threshold(max(thresholds)))
        places = f" the threshold{where} is {ends},"
    amounts = _range(money(min(savings)), money(max(savings)))
    return (
        f"When one cost at a time is changed, {policy};{places}{' and' if places else ''} what the best policy saves is {amounts} "
        f"{unit} per 1,000 pictures."
    )


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"
