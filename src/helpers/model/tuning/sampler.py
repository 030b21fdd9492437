"""How a study searches: what each trial tries, and which trials are pruned.

Trials come in generations. What a trial tries and when it is pruned depends only on the seed and on the trials of
earlier generations, which are finished by then. So a study does not depend on the number or the speed of its workers.
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

from helpers.obtain import data


@dataclasses.dataclass(frozen=True)
class Search:
    """A search space, and how it is searched.

    Args:
        space: the values that each parameter may have; no parameter is named like a column of `study.summary`.
        trials: number of trials in the study; a larger number later continues the same study.
        seed: of the suggestions.
        first: settings to try first, such as the defaults, so that the best trial is never worse than they are.
        generation: number of trials that learn from the same earlier ones; more workers than that wait for each other.
        startup: number of random trials before the tree-structured Parzen estimator suggests settings.
        rungs: epochs at which a trial is compared and may be pruned (`halving_rungs`); empty for no pruning.
        reduction: one in this many trials continues past a rung.
        fingerprint: everything else that the objective depends on: data (arrays are hashed), code, epochs.
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

    @property
    def digest(self) -> str:
        """A hash of everything but the number of trials."""
        settings = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        settings["trials"] = None
        settings["space"] = {name: distribution_to_json(values) for name, values in self.space.items()}
        text = json.dumps(settings, sort_keys=True, default=_as_json)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def _as_json(value: Any) -> Any:
    """Return an array, or images on disk, as its hash, and a dataclass, a mapping or a NumPy number as plain JSON."""
    if dataclasses.is_dataclass(value):
        return vars(value)
    if isinstance(value, Mapping):
        return dict(value)
    return value.item() if isinstance(value, np.generic) else data.array_sha256(value)


def halving_rungs(epochs: int, first: int = 1, reduction: int = 3) -> tuple[int, ...]:
    """Return the epochs of successive halving: first, first × reduction, …, all before the last epoch.

    Source: L. Li et al. (2020), "A system for massively parallel hyperparameter tuning" (ASHA).
    """
    return (first, *halving_rungs(epochs, first * reduction, reduction)) if first < epochs else ()


class GenerationalHalving(optuna.pruners.BasePruner):
    """Asynchronous successive halving that compares a trial with trials of earlier generations only.

    At a rung a trial continues if it is among the best 1/`reduction` of the values there, its own included, or the
    best. Trials of the first generation always continue, so that there is something to compare with.

    Source: L. Li et al. (2020), "A system for massively parallel hyperparameter tuning", algorithm 2. There, as in
    Optuna's `SuccessiveHalvingPruner`, a trial is compared with all that came before it in time, so that pruning would
    depend on the workers' speed.

    Args:
        earlier: finished trials of earlier generations.
        rungs: epochs at which trials are compared, increasing.
        reduction: one in this many trials continues.
    """

    def __init__(self, earlier: Iterable[FrozenTrial], rungs: tuple[int, ...], reduction: int) -> None:
        self._earlier = [trial.intermediate_values for trial in earlier]
        self._rungs, self._reduction = rungs, reduction

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Return whether the trial ends at the step that it reported last."""
        del study
        if not trial.intermediate_values:
            return False
        *steps, step = sorted(trial.intermediate_values)
        reached = [each for each in self._rungs if max(steps, default=0) < each <= step]
        if not reached:
            return False
        rung = reached[-1]
        others = [_value_at(values, rung) for values in self._earlier if max(values, default=0) >= rung]
        own = _comparable(trial.intermediate_values[step])
        better = sum(other > own for other in others)
        return bool(others) and (own == -math.inf or better >= max(1, (len(others) + 1) // self._reduction))


def _value_at(values: Mapping[int, float], rung: int) -> float:
    """Return the value at a rung, or at the first step past it."""
    return _comparable(values[min(step for step in values if step >= rung)])


def _comparable(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def suggest(search: Search, generation: int, earlier: Iterable[FrozenTrial]) -> list[dict[str, Any]]:
    """Return the parameters of each trial of a generation; they are the same wherever and whenever they are computed.

    Source: S. Watanabe (2023), "Tree-structured Parzen estimator", as in Optuna's `TPESampler`: over all parameters
    jointly, and with the generation's own trials taken as poor ones, which keeps them apart (constant liar).

    Args:
        search: the space and how it is searched.
        generation: its number, from 0.
        earlier: finished trials of earlier generations, by number.
    """
    seed = int(np.random.SeedSequence([search.seed, generation]).generate_state(1)[0])
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=search.startup)
    shadow = optuna.create_study(direction="maximize", sampler=sampler)
    failed = TrialState.FAIL
    shadow.add_trials([_without_value(trial) if trial.state == failed else trial for trial in earlier])
    numbers = range(generation * search.generation, (generation + 1) * search.generation)
    for params in search.first[numbers.start : numbers.stop]:
        shadow.enqueue_trial(dict(params))
    return [dict(shadow.ask(dict(search.space)).params) for _ in numbers]


def _without_value(trial: FrozenTrial) -> FrozenTrial:
    """Return a diverged trial as one pruned at the start, which the sampler treats as the worst."""
    space = trial.distributions
    return optuna.create_trial(state=TrialState.PRUNED, params=trial.params, distributions=space)
