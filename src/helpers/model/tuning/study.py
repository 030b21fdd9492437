"""A study: workers run its trials together until all are finished, and its results are read from here."""

import contextlib
import copy
import math
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
import pandas as pd
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.storages._heartbeat import get_heartbeat_thread
from optuna.trial import FrozenTrial, TrialState

from helpers.errors import OsemnError
from helpers.model.tuning import sampler, storage
from helpers.model.tuning.sampler import Search

if TYPE_CHECKING:
    import keras

Objective = Callable[[optuna.Trial], float]

_NUMBER, _DIVERGED = "_number", "_diverged"
ENOUGH = 20  # complete trials: with fewer, a ranking of eight parameters is chance


def run(
    objective: Objective,
    search: Search,
    study: str,
    *,
    folder: Path,
    address: str = "",
    poll: float = 1.0,
    heartbeat: int = 10,
    grace: int = 60,
    progress: Callable[[int, int, str], None] = lambda done, total, note: None,
) -> optuna.Study:
    """Work on a study until all its trials are finished, alone or with other workers that were started the same way.

    A trial whose worker died is run again with the same parameters. A trial whose value is not finite ends as failed.
    An error in the objective is raised, and the next worker runs the trial again.

    Args:
        objective: trains with `trial.params`, reports a value after each epoch, and returns the value to maximise. The
            same parameters must give the same values.
        search: the search space and how it is searched.
        study: the study's name; workers with the same name and the same search share it.
        folder: holds the journal file.
        address: empty for a journal file, or a database's address (`storage.open_storage`).
        poll: seconds to wait when other workers run all open trials.
        heartbeat: seconds between two heartbeats in a database.
        grace: seconds without a heartbeat after which a worker counts as dead.
        progress: called with the number of finished trials, of all trials, and a note on those of earlier calls.

    Returns:
        The finished study, in memory, its trials numbered 0 to `search.trials` - 1; the same for each worker.

    Raises:
        UsageError: the storage's address or folder is wrong.
        OsemnError: the database is unreachable, or the journal file is damaged.
    """
    name = full_name(study, search)
    with quiet(), storage.explained(address):
        store = storage.open_storage(address, folder, name, heartbeat, grace)
        try:
            return _Worker(objective, search, store, name).work(poll, progress)
        finally:
            storage.close(store)


def full_name(study: str, search: Search) -> str:
    """Return a study's name in the storage: studies that differ in their search are never mixed."""
    return f"{study}-{search.digest}"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's log, except for errors."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


class _Worker:
    """One process that works on a study.

    Each trial in the storage carries its number in the study. Two workers may queue a number at the same moment, and a
    number whose worker died is queued again: of all trials with one number, the first that was not lost counts.
    """

    def __init__(self, objective: Objective, search: Search, store: BaseStorage, name: str) -> None:
        self._objective, self._search, self._store = objective, search, store
        self._study = optuna.create_study(
            storage=store,
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(seed=0),  # unused: a queued trial has its parameters
        )

    def work(self, poll: float, progress: Callable[[int, int, str], None]) -> optuna.Study:
        """Run trials, and wait for those of other workers, until all are finished."""
        size, total = self._search.generation, self._search.trials
        before = None
        while True:
            trials = self._trials()
            unfinished = [n for n in range(total) if n not in trials or not trials[n].state.is_finished()]
            done = total - len(unfinished)
            before = done if before is None else before
            progress(done, total, f"{before:,} of them from before" if before else "")
            if not unfinished:
                return _in_memory(self._study.study_name, [trials[n] for n in range(total)])
            start = unfinished[0] // size * size
            earlier = [trials[n] for n in range(start)]
            numbers = range(start, min(start + size, total))
            if any(n not in trials for n in numbers):
                self._queue([n for n in numbers if n not in trials], earlier)
            elif (claimed := self._claim([trials[n] for n in numbers])) is None:
                time.sleep(poll)
            else:
                self._run(claimed, earlier)

    def _trials(self) -> dict[int, FrozenTrial]:
        """Return the trial that counts for each number; mark those of dead workers and duplicates as lost."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            optuna.storages.fail_stale_trials(self._study)
        trials: dict[int, FrozenTrial] = {}
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state == TrialState.FAIL and _DIVERGED not in trial.user_attrs:
                continue
            number = trial.user_attrs[_NUMBER]
            if number in trials and trial.state == TrialState.WAITING:
                self._give_up(trial)
            trials.setdefault(number, trial)
        return trials

    def _give_up(self, trial: FrozenTrial | optuna.Trial) -> None:
        """Mark a trial as lost, so that its number is queued again."""
        with contextlib.suppress(UpdateFinishedTrialError):  # another worker was faster
            self._store.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)

    def _queue(self, numbers: list[int], earlier: list[FrozenTrial]) -> None:
        size = self._search.generation
        params = sampler.suggest(self._search, numbers[0] // size, earlier)
        space = dict(self._search.space)
        for number in numbers:
            wanted = {"params": params[number % size], "user_attrs": {_NUMBER: number}}
            trial = optuna.create_trial(state=TrialState.WAITING, distributions=space, **wanted)
            self._study.add_trial(trial)

    def _claim(self, trials: list[FrozenTrial]) -> FrozenTrial | None:
        """Claim a queued trial for this worker and return it; None if there is none."""
        for trial in trials:
            if trial.state == TrialState.WAITING:
                with contextlib.suppress(UpdateFinishedTrialError):
                    self._store.record_heartbeat(trial._trial_id)  # first: from now on, a death is noticed
                    if self._store.set_trial_state_values(trial._trial_id, state=TrialState.RUNNING):
                        return trial
        return None

    def _run(self, claimed: FrozenTrial, earlier: list[FrozenTrial]) -> None:
        search = self._search
        self._study.pruner = sampler.GenerationalHalving(earlier, search.rungs, search.reduction)
        trial = optuna.Trial(self._study, claimed._trial_id)
        value, state = None, TrialState.PRUNED
        try:
            with get_heartbeat_thread(trial._trial_id, self._store), contextlib.suppress(optuna.TrialPruned):
                value, state = float(self._objective(trial)), TrialState.COMPLETE
            if value is not None and not math.isfinite(value):
                trial.set_user_attr(_DIVERGED, True)
                value, state = None, TrialState.FAIL
            self._study.tell(trial, value, state=state, skip_if_finished=True)
        except UpdateFinishedTrialError:
            pass  # counted as dead by mistake, as after a long pause: another worker has the trial
        except BaseException:
            with contextlib.suppress(Exception):  # the objective's error is the one to raise
                self._give_up(trial)
            raise


def _in_memory(name: str, trials: list[FrozenTrial]) -> optuna.Study:
    """Return a study in memory of the trials that count, numbered as in the search."""
    study = optuna.create_study(study_name=name, direction="maximize")
    for trial in copy.deepcopy(trials):
        for key in (_NUMBER, _DIVERGED):
            trial.user_attrs.pop(key, None)
        study.add_trial(trial)
    return study


def pruning_callback(trial: optuna.Trial) -> "keras.callbacks.Callback":
    """Return a Keras callback that reports `val_accuracy` after each epoch, from 1, and stops a trial that is pruned.

    Args:
        trial: the trial whose model is fitted.

    Raises:
        optuna.TrialPruned: from the fit, when the trial is pruned.
    """
    import keras

    def report(epoch: int, logs: dict[str, float]) -> None:
        trial.report(float(logs["val_accuracy"]), step=epoch + 1)
        if trial.should_prune():
            raise optuna.TrialPruned

    return keras.callbacks.LambdaCallback(on_epoch_end=report)


_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


def summary(study: optuna.Study) -> pd.DataFrame:
    """Return one row per trial: `number`, `state` (complete, pruned, failed), `value`, `epochs`, `seconds`, parameters.

    The value of a pruned or failed trial is NaN, because what it reported on the way may be of another kind.

    Example:
        `tuning.summary(study).to_csv(run.path("trials.csv"), index=False)`
    """
    rows = [
        {
            "number": trial.number,
            "state": _STATES[trial.state],
            "value": trial.value if trial.state == TrialState.COMPLETE else math.nan,
            "epochs": trial.last_step or 0,
            "seconds": max(0.0, trial.duration.total_seconds()),
            **trial.params,
        }
        for trial in study.get_trials(deepcopy=False)
    ]
    return pd.DataFrame(rows)


def complete_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that ran to their last epoch with a finite value."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def best_trial(study: optuna.Study) -> FrozenTrial:
    """Return the complete trial with the highest value; of equal ones, the first.

    Raises:
        OsemnError: no trial is complete.

    Example:
        `best = tuning.best_trial(study)`
    """
    complete = complete_trials(study)
    if not complete:
        raise OsemnError(
            f"None of the study's {len(study.trials)} trials is complete: all diverged or were pruned.",
            "Lower the learning rates in the search space, or begin with settings known to work.",
        )
    return max(complete, key=lambda trial: (trial.value, -trial.number))


def fraction_pruned(study: optuna.Study) -> float:
    """Return the fraction of trials that were pruned, 0 to 1."""
    return len(study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))) / len(study.trials)


def importances(study: optuna.Study) -> dict[str, float]:
    """Return the importance of each parameter among the complete trials: fractions that add up to 1, highest first.

    Empty if fewer than `ENOUGH` trials are complete, or if they are too similar.

    Source: S. Watanabe et al. (2023), "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary
    subspaces", which is Optuna's default.

    Example:
        `tuning.importances(study)`
    """
    if len(complete_trials(study)) < ENOUGH:
        return {}
    space = study.trials[0].distributions
    varied = [name for name, values in space.items() if not values.single()]
    with warnings.catch_warnings(record=True) as equal:  # Optuna warns when all trials are equal
        warnings.simplefilter("always")
        fractions = optuna.importance.get_param_importances(study, params=varied)
    return {} if equal else {name: float(part) for name, part in fractions.items()}
