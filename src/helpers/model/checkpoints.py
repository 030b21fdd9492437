"""Checkpoints: a killed training resumes after its last completed epoch and ends as if it had not been killed."""

import hashlib
import json
import math
import shutil
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras

from helpers import paths
from helpers.model.weight_averaging import averages
from helpers.series import disk, manifests

_STATE, _TRAINING, _BEST = "state.json", "training.weights.h5", "best.weights.h5"
_SAVED = ("history", "extra", "best_epoch", "best", "stopped_early", "seconds")  # attributes in the state


def _generators(model: keras.Model) -> list[keras.Variable]:
    """Return the states of dropout's random generators, which Keras does not save with the weights."""
    return [variable for variable in model.variables if variable.path.endswith("seed_generator_state")]


class EpochCheckpoints(keras.callbacks.Callback):
    """Saves the complete state of a training after each epoch and its best weights, and stops it early.

    This is Keras's `BackupAndRestore`, `ModelCheckpoint` and `EarlyStopping` in one. A kill can leave the files of three
    callbacks inconsistent, and those callbacks do not save the history, the patience already spent and the state of
    dropout. The state of an epoch is one folder, which gets its final name once it is complete.

    Args:
        folder: where to save, such as a run's `scratch()`.
        settings: everything that the training depends on, as plain JSON; a state with other settings is not used.
        patience: epochs without a better `val_metric` before the training stops.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], patience: int) -> None:
        super().__init__()
        self.folder, self.patience = folder, patience
        self.fingerprint = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        self.history: dict[str, list[float]] = {}
        self.extra: dict[str, Any] = {}
        self.best_epoch, self.best, self.stopped_early = 0, float("-inf"), False
        self.seconds = 0.0
        self._current: Path | None = None

    @property
    def epochs_done(self) -> int:
        """The number of completed epochs."""
        return len(self.history.get("loss", ()))

    @property
    def saved_epochs(self) -> int:
        """The number of epochs whose state is saved: all completed ones but a diverged one."""
        return 0 if self._current is None else int(self._current.name.removeprefix("epoch-"))

    def restore(self, model: keras.Model) -> int:
        """Restore the newest complete state with these settings, if there is one, into a compiled and built model.

        A damaged state is skipped with a warning.

        Returns:
            The number of completed epochs, which is the number of the epoch to begin with.
        """
        for folder in sorted(self.folder.glob("epoch-*[0-9]"), reverse=True):
            state = self._read(folder)
            if state is None:
                continue
            if not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)
            model.load_weights(folder / _TRAINING)
            for variable, value in zip(_generators(model), state["generators"], strict=True):
                variable.assign(value)
            vars(self).update({name: state[name] for name in _SAVED}, _current=folder)
            return self.epochs_done
        return 0

    def _read(self, folder: Path) -> dict[str, Any] | None:
        state = disk.read_json(folder / _STATE)
        if state.get("fingerprint", self.fingerprint) != self.fingerprint:
            return None
        with suppress(OSError):
            if all(manifests.sha256(folder / name) == state.get(name) for name in (_TRAINING, _BEST)):
                return state
        warnings.warn(f"The checkpoint {paths.shown(folder)} is damaged; it is not used.", stacklevel=3)
        return None

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Save the state, and stop the training once the patience is spent."""
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        if not all(math.isfinite(self.history[name][-1]) for name in ("loss", "val_loss")):
            self.model.stop_training = True
            return  # nobody should resume from a diverged state
        value = self.history["val_metric"][-1]
        is_best = value > self.best
        if is_best:
            self.best, self.best_epoch = value, epoch
        self.stopped_early = epoch - self.best_epoch >= self.patience
        self._save(epoch, is_best)
        if self.stopped_early:
            self.model.stop_training = True

    def _save(self, epoch: int, is_best: bool) -> None:
        folder = self.folder / f"epoch-{epoch + 1:04d}"
        partial = folder.with_suffix(".partial")
        for leftover in (partial, folder):
            shutil.rmtree(leftover, ignore_errors=True)
        partial.mkdir(parents=True)
        self.model.save_weights(partial / _TRAINING)
        if is_best or self._current is None:
            with averages(self.model):
                self.model.save_weights(partial / _BEST)
        else:
            shutil.copyfile(self._current / _BEST, partial / _BEST)
        state = {name: manifests.sha256(partial / name) for name in (_TRAINING, _BEST)} | {
            "fingerprint": self.fingerprint,
            "generators": [variable.numpy().tolist() for variable in _generators(self.model)],
            **{name: getattr(self, name) for name in _SAVED},
        }
        manifests.write_json(partial / _STATE, state)
        partial.rename(folder)
        before, self._current = self._current, folder
        if before is not None and before != folder:
            shutil.rmtree(before, ignore_errors=True)

    def load_best(self, model: keras.Model) -> None:
        """Load the weights of the best epoch into the model."""
        if self._current is not None:
            model.load_weights(self._current / _BEST)
