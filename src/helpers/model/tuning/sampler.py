"""How a study searches: its space, what each trial tries, and which trials are pruned.

Trials come in generations. What a trial tries and when it is pruned depends only on the seed and on trials of earlier
generations, which are whole by then: never on how fast another worker is.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import FrozenTrial, TrialState

from helpers.errors import UsageError

RESERVED = {"number", "state", "value", "epochs", "seconds"}


@dataclasses.dataclass(frozen=True)
class Search:
    """What a study searches, and how. Workers of one study agree on all of it but `trials`.

    Args:
        space: by name, what a parameter may be.
        trials: how many trials make the study; a larger number later goes on with the same study.
        seed: of the suggestions.
        first: settings to try first, such as the defaults: then the best trial is never worse than they are.
        generation: how many trials learn from the same earlier ones; more workers than that wait for one another.
        startup: how many trials are random, before the tree-structured Parzen estimator suggests.
        rungs: epochs at which a trial is compared and may be pruned (`halving_rungs`); empty prunes none.
        reduction: one in so many trials goes on past a rung.
        fingerprint: all else that the objective depends on, as plain JSON: data, code, epochs.

    Raises:
        UsageError: a number is out of range, or `first` does not fit the space.
    """

    space: Mapping[str, BaseDistribution]
    trials: int
    seed: int = 0
    first: tuple[Mapping[str, Any], ...] = ()
    generation: int = 4
    startup: int = 4
    rungs: tuple[int, ...] = ()
    reduction: int = 3
    fingerprint: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        least = {"trials": 1, "seed": 0, "generation": 1, "startup": 0, "reduction": 2}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise UsageError(f"{name} = {getattr(self, name)} is too small.", f"Use {low} or more.")
        if not self.space:
            raise UsageError("The search space is empty.", "Name at least one parameter to tune.")
        if taken := RESERVED & set(self.space):
            problem = f"Parameters cannot be named {', '.join(sorted(taken))}: so are columns of the summary."
            raise UsageError(problem, "Give them other names.")
        if any(rung < 1 for rung in self.rungs) or sorted(set(self.rungs)) != list(self.rungs):
            raise UsageError(f"rungs = {self.rungs} are not increasing epochs.", "Use halving_rungs(epochs).")
        for params in self.first:
            self._check(params)

    def _check(self, params: Mapping[str, Any]) -> None:
        try:
            optuna.create_trial(state=TrialState.RUNNING, params=dict(params), distributions=dict(self.space))
        except (ValueError, TypeError, KeyError) as error:
            problem = f"Settings to try first do not fit the search space: {error}"
            raise UsageError(
                problem, f"Give a value in range for each of: {', '.join(self.space)}."
            ) from None

    @property
    def agreement(self) -> dict[str, Any]:
        """All that workers must agree on, flat and as plain JSON."""
        settings = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("space", "trials", "fingerprint")
        }
        space = {f"space {name}": json.loads(distribution_to_json(d)) for name, d in self.space.items()}
        parts = settings | space | {f"fingerprint {name}": value for name, value in self.fingerprint.items()}
        return json.loads(json.dumps(parts, sort_keys=True, default=_plain))

    @property
    def digest(self) -> str:
        """A hash of the agreement, which each trial carries."""
        return hashlib.sha256(json.dumps(self.agreement, sort_keys=True).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """Return a NumPy number or a mapping as plain JSON."""
    return dict(value) if isinstance(value, Mapping) else value.item()


def halving_rungs(epochs: int, first: int = 1, reduction: int = 3) -> tuple[int, ...]:
    """Return the epochs of successive halving: first, first × reduction, …, all before the last epoch.

    Source: L. Li et al. (2020), "A system for massively parallel hyperparameter tuning" (ASHA).
    """
    count = max(0, math.ceil(math.log(epochs / first, reduction) + 1)) if epochs > first else 0
    rungs = (first * reduction**index for index in range(count))
    return tuple(rung for rung in rungs if rung < epochs)


class GenerationalHalving(optuna.pruners.BasePruner):
    """Asynchronous successive halving that compares a trial with trials of earlier generations only.

    At a rung a trial goes on if it is among the best 1/`reduction` of the values seen there, its own with them,
    or the best. Trials of the first generation always go on, so there is something to compare with.

    Source: L. Li et al. (2020), "A system for massively parallel hyperparameter tuning", algorithm 2. There a
    trial is compared with all that came before it in time; that would make the study depend on the workers' speed.

    Args:
        earlier: finished trials of earlier generations.
        rungs: epochs at which trials are compared, increasing.
        reduction: one in so many goes on.
    """

    def __init__(self, earlier: Iterable[FrozenTrial], rungs: tuple[int, ...], reduction: int) -> None:
        values = [trial.intermediate_values for trial in earlier]
        self._reduction = reduction
        self._at = {
            rung: [v for v in (_value_at(one, rung) for one in values) if v is not None] for rung in rungs
        }

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Tell whether the trial ends at the step it reported last."""
        del study
        step = trial.last_step
        before = max((other for other in trial.intermediate_values if other != step), default=0)
        reached = [rung for rung in self._at if step is not None and before < rung <= step]
        if not reached or not self._at[reached[-1]]:
            return False
        others = self._at[reached[-1]]
        own = _comparable(trial.intermediate_values[step])
        better = sum(other > own for other in others)
        return own == -math.inf or better >= max(1, (len(others) + 1) // self._reduction)


def _value_at(values: Mapping[int, float], rung: int) -> float | None:
    """Return the value at a rung, or at the first step past it; none for a trial that did not come so far."""
    step = min((step for step in values if step >= rung), default=None)
    return None if step is None else _comparable(values[step])


def _comparable(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def suggestions(search: Search, generation: int, earlier: Iterable[FrozenTrial]) -> list[dict[str, Any]]:
    """Return the parameters of each trial of a generation: the same wherever and whenever it is asked.

    Source: S. Watanabe (2023), "Tree-structured Parzen estimator", as Optuna's `TPESampler` has it, over all
    parameters jointly and with the generation's own trials taken as poor ones, which keeps them apart.

    Args:
        search: the space and how it is searched.
        generation: its number, from 0.
        earlier: finished trials of earlier generations, by number.
    """
    seed = int(np.random.SeedSequence([search.seed, generation]).generate_state(1)[0])
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=search.startup)
    shadow = optuna.create_study(direction="maximize", sampler=sampler)
    shadow.add_trials([_lesson(trial) for trial in earlier])
    numbers = range(generation * search.generation, (generation + 1) * search.generation)
    for params in search.first[numbers.start : numbers.stop]:
        shadow.enqueue_trial(dict(params))
    return [dict(shadow.ask(dict(search.space)).params) for _ in numbers]


def _lesson(trial: FrozenTrial) -> FrozenTrial:
    """Return what the sampler learns of a trial; one without a value counts as the poorest."""
    diverged = trial.state == TrialState.FAIL
    return optuna.create_trial(
        state=TrialState.PRUNED if diverged else trial.state,
        value=None if diverged else trial.value,
        params=trial.params,
        distributions=trial.distributions,
        intermediate_values={} if diverged else trial.intermediate_values,
    )
