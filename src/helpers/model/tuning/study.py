"""The Optuna study: workers share it, may be killed, and it ends the same whoever ran it."""

import contextlib
import copy
import dataclasses
import math
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
import pandas as pd
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from helpers import paths
from helpers.errors import OsemnError, UsageError
from helpers.model.tuning import sampler
from helpers.model.tuning import storage as study_storage
from helpers.model.tuning.sampler import Search

if TYPE_CHECKING:
    import keras

Objective = Callable[[optuna.Trial], float]

_NUMBER, _SETTINGS, _DIVERGED = "_number", "_settings", "_diverged"
_ENOUGH = 5  # complete trials, below which importances are noise
_MANY = 30  # complete trials, below which they are rough


def run(
    objective: Objective,
    search: Search,
    study: str,
    *,
    folder: Path,
    storage: str = "",
    poll: float = 1.0,
    heartbeat: float = 10.0,
    grace: float = 60.0,
    progress: Callable[[int, int, str], None] | None = None,
) -> optuna.Study:
    """Work on a study until all its trials are finished, alone or with other workers started the same way.

    A trial whose worker died is tried again with the same parameters. One whose value is not finite is finished as
    failed. Where the objective raises, the trial is given back and the error comes up.

    Args:
        objective: trains with `trial.params`, reports a value after each epoch, and returns the value to maximise;
            the same parameters must give the same values. It runs once for each trial, wherever.
        search: what is searched, and how.
        study: the study's name; workers of the same name share it.
        folder: where the journal file is kept.
        storage: empty for a journal file, or a database's address (`study_storage.open_storage`).
        poll: seconds between two looks for work.
        heartbeat: seconds between two signs of life.
        grace: seconds without one after which a worker on another machine is taken for dead.
        progress: called with trials finished, by whomever, trials in all, and how many were there at the start, in words.

    Returns:
        The finished study, in memory, its trials numbered 0 to `search.trials` - 1; the same for each worker.

    Raises:
        UsageError: the storage's address or folder is wrong, or a study of this name has other settings.
        OsemnError: the database cannot be reached.
    """
    if not study:
        raise UsageError("The study has no name.", "Give `study` a name, such as 'tuning'.")
    where = (
        study_storage.shown(storage) if storage else paths.shown(study_storage.journal_path(folder, study))
    )
    with quiet(), study_storage.explained(storage):
        store = study_storage.open_storage(storage, folder, study)
        try:
            worker = _Worker(objective, search, store, study, where)
            return worker.work(poll, heartbeat, study_storage.Watch(grace), progress or _silent)
        finally:
            study_storage.close(store)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna's log off the standard error while the context lasts; errors still show."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _silent(done: int, total: int, note: str) -> None:
    """Say nothing of the progress."""


class _Worker:
    """One process's part in a study.

    A trial of the storage carries its number in the study. Two workers may queue one number in the same moment, and
    a number whose worker died is queued again: of all trials of a number, the first that has not failed counts.
    """

    def __init__(
        self, objective: Objective, search: Search, store: optuna.storages.BaseStorage, name: str, where: str
    ) -> None:
        self._objective, self._search, self._store, self._where = objective, search, store, where
        self._study = optuna.create_study(
            storage=store,
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(seed=0),  # never asked: a queued trial has its parameters
        )
        self._agree()

    def _agree(self) -> None:
        """Refuse a study of other settings; write down these where it is new."""
        ours = self._search.agreement
        if not self._study.user_attrs and not self._study.get_trials(deepcopy=False):
            self._study.set_user_attr(_SETTINGS, ours)
        theirs = self._study.user_attrs.get(_SETTINGS, {})
        if theirs != ours:
            self._refuse(_differences(theirs, ours) if theirs else "it was made by another program")

    def _refuse(self, what: str) -> None:
        name = self._study.study_name
        raise UsageError(
            f"The study '{name}' in {self._where} is another one: {what}.",
            f"Give `study` another name to keep both, or delete it: {self._deletion(name)}.",
        )

    def _deletion(self, name: str) -> str:
        if isinstance(self._store, optuna.storages.JournalStorage):
            return f"rm {self._where}"
        return f"optuna delete-study --study-name '{name}' --storage ADDRESS"

    def work(
        self,
        poll: float,
        heartbeat: float,
        watch: study_storage.Watch,
        progress: Callable[[int, int, str], None],
    ) -> optuna.Study:
        """Run trials, and wait for those of other workers, until all are finished."""
        size, total = self._search.generation, self._search.trials
        known = None
        while True:
            trials = self._trials(watch)
            unfinished = [n for n in range(total) if n not in trials or not trials[n].state.is_finished()]
            done = total - len(unfinished)
            known = done if known is None else known
            progress(done, total, f"{known:,} of them from before" if known else "")
            if not unfinished:
                return _finished(self._study.study_name, [trials[n] for n in range(total)])
            start = unfinished[0] // size * size
            earlier = [trials[n] for n in range(start)]
            numbers = range(start, min(start + size, total))
            if any(n not in trials for n in numbers):
                self._queue([n for n in numbers if n not in trials], earlier)
            elif (claimed := self._claim([trials[n] for n in numbers])) is None:
                time.sleep(poll)
            else:
                self._run(claimed, earlier, heartbeat)

    def _trials(self, watch: study_storage.Watch) -> dict[int, FrozenTrial]:
        """Return the trial that counts, by number; give up those of dead workers, and those queued twice."""
        trials: dict[int, FrozenTrial] = {}
        for trial in self._study.get_trials(deepcopy=False):
            number = trial.user_attrs.get(_NUMBER)
            if trial.user_attrs.get(_SETTINGS) != self._search.digest:
                self._refuse("another worker with other settings wrote to it")
            if trial.state == TrialState.FAIL and _DIVERGED not in trial.user_attrs:
                continue
            is_dead = trial.state == TrialState.RUNNING and watch.is_dead(trial)
            if is_dead or (number in trials and trial.state == TrialState.WAITING):
                self._give_back(trial)
            elif number not in trials:
                trials[number] = trial
        return trials

    def _give_back(self, trial: FrozenTrial | optuna.Trial) -> None:
        """Mark a trial as failed, so that its number is queued again."""
        with contextlib.suppress(UpdateFinishedTrialError):  # another worker was faster
            self._store.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)

    def _queue(self, numbers: list[int], earlier: list[FrozenTrial]) -> None:
        size = self._search.generation
        params = sampler.suggestions(self._search, numbers[0] // size, earlier)
        for number in numbers:
            trial = optuna.create_trial(
                state=TrialState.WAITING,
                params=params[number % size],
                distributions=dict(self._search.space),
                user_attrs={_NUMBER: number, _SETTINGS: self._search.digest},
            )
            self._study.add_trial(trial)

    def _claim(self, trials: list[FrozenTrial]) -> FrozenTrial | None:
        """Return a queued trial that is this worker's from now on, or none."""
        for trial in trials:
            if trial.state == TrialState.WAITING:
                with contextlib.suppress(UpdateFinishedTrialError):
                    if self._store.set_trial_state_values(trial._trial_id, state=TrialState.RUNNING):
                        return trial
        return None

    def _run(self, claimed: FrozenTrial, earlier: list[FrozenTrial], heartbeat: float) -> None:
        search = self._search
        self._study.pruner = sampler.GenerationalHalving(earlier, search.rungs, search.reduction)
        trial = optuna.Trial(self._study, claimed._trial_id)
        value = None
        beating = study_storage.Heartbeat(self._store, trial._trial_id, heartbeat)
        try:
            with beating, contextlib.suppress(optuna.TrialPruned):
                value = float(self._objective(trial))
            self._tell(trial, value)
        except UpdateFinishedTrialError:
            pass  # taken for dead, as after a long pause: another worker has it
        except BaseException:
            with contextlib.suppress(Exception):  # the objective's error is the one to show
                self._give_back(trial)
            raise

    def _tell(self, trial: optuna.Trial, value: float | None) -> None:
        if value is None:
            self._study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
        elif math.isfinite(value):
            self._study.tell(trial, value, skip_if_finished=True)
        else:
            trial.set_user_attr(_DIVERGED, True)
            self._study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)


def _differences(theirs: dict[str, object], ours: dict[str, object]) -> str:
    """Name what differs between two agreements, in words."""
    names = [name for name in sorted(theirs | ours) if theirs.get(name) != ours.get(name)]
    parts = [
        f"{name} is {theirs.get(name, 'missing')} there and {ours.get(name, 'missing')} here"
        for name in names
    ]
    return "; ".join(parts)


def _finished(name: str, trials: list[FrozenTrial]) -> optuna.Study:
    """Return a study in memory of the trials that count, numbered as in the search."""
    study = optuna.create_study(study_name=name, direction="maximize")
    for trial in trials:
        trial = copy.deepcopy(trial)
        private = (_NUMBER, _SETTINGS, _DIVERGED, study_storage.BEAT)
        trial.user_attrs = {key: value for key, value in trial.user_attrs.items() if key not in private}
        study.add_trial(trial)
    return study


def pruning_callback(trial: optuna.Trial, monitor: str = "val_accuracy") -> "keras.callbacks.Callback":
    """Return a Keras callback that reports a metric after each epoch, from 1, and ends a trial that is pruned.

    Args:
        trial: the trial whose model is fitted.
        monitor: the metric to report; more is better.

    Raises:
        UsageError: from the fit, when the model has no such metric.
        optuna.TrialPruned: from the fit, when the trial is pruned.
    """
    import keras

    def report(epoch: int, logs: dict[str, float] | None) -> None:
        if monitor not in (logs or {}):
            problem = f"The training has no metric '{monitor}' to report."
            raise UsageError(problem, f"Monitor one of: {', '.join(sorted(logs or {}))}.")
        trial.report(float(logs[monitor]), step=epoch + 1)
        if trial.should_prune():
            raise optuna.TrialPruned

    return keras.callbacks.LambdaCallback(on_epoch_end=report)


_STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


def summary(study: optuna.Study) -> pd.DataFrame:
    """Return one row a trial: `number`, `state` (complete, pruned, failed), `value`, `epochs` reported, `seconds`, parameters.

    The value of a pruned or failed trial is NaN: what it reported on the way need not be of the same kind.
    """
    rows = [
        {
            "number": trial.number,
            "state": _STATES[trial.state],
            "value": trial.value if trial.state == TrialState.COMPLETE else math.nan,
            "epochs": trial.last_step or 0,
            "seconds": trial.duration.total_seconds(),
            **trial.params,
        }
        for trial in study.get_trials(deepcopy=False)
    ]
    return pd.DataFrame(rows)


def best_trial(study: optuna.Study) -> FrozenTrial:
    """Return the complete trial with the highest value, of equal ones the first.

    Raises:
        OsemnError: no trial is complete.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not complete:
        raise OsemnError(
            f"None of the study's {len(study.trials)} trials is complete: all diverged or were pruned.",
            "Lower the learning rates in the search space, or begin with settings known to work.",
        )
    return max(complete, key=lambda trial: (trial.value, -trial.number))


def complete(study: optuna.Study) -> int:
    """Return how many trials are complete."""
    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def share_pruned(study: optuna.Study) -> float:
    """Return the share of trials that were pruned, 0 to 1."""
    return float((summary(study)["state"] == "pruned").mean())


def varied(study: optuna.Study) -> list[str]:
    """Return the parameters that may have more than one value, in the order of the search space."""
    return [name for name, values in study.trials[0].distributions.items() if not values.single()]


@dataclasses.dataclass(frozen=True)
class Importances:
    """How much each parameter matters: shares that add up to 1, highest first; empty where trials are too few.

    `note` is a sentence: how many trials the shares rest on, or why there are none.
    """

    shares: dict[str, float]
    note: str


def importances(study: optuna.Study) -> Importances:
    """Return the importance of each parameter among the complete trials.

    Source: S. Watanabe et al. (2023), "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary
    subspaces", which is Optuna's default.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < _ENOUGH:
        note = f"{len(complete)} complete trials are too few to rank parameters; it takes at least {_ENOUGH}."
        return Importances({}, note)
    with warnings.catch_warnings(record=True) as equal:  # what Optuna warns of when there is nothing to rank
        warnings.simplefilter("always")
        shares = optuna.importance.get_param_importances(study, params=varied(study))
    if equal:
        return Importances({}, f"The {len(complete)} complete trials are too alike to rank parameters.")
    note = f"Importances rest on {len(complete)} complete trials; pruned ones are left out."
    if len(complete) < _MANY:
        note += " So few rank the parameters roughly at best."
    return Importances({name: float(share) for name, share in shares.items()}, note)
