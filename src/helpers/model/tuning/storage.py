"""Where a study is stored: a journal file, or a database that several machines share."""

import contextlib
import fcntl
import re
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy.exc
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState

from helpers import paths
from helpers.errors import OsemnError, UsageError
from helpers.series import study_address

_CONNECT = {"postgresql": {"connect_timeout": 10}, "sqlite": {"timeout": 60}}  # seconds
_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6, 0)  # seconds between attempts; 0 ends them


class LockedJournal(JournalStorage, BaseHeartbeat):
    """A journal file that notices dead workers, as Optuna's heartbeat does for databases, but at once.

    The worker of a running trial locks one byte of a second file, whose position is the trial's number in the storage.
    The operating system releases the lock when the process ends, even when it is killed.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))
        self._locks = path.with_suffix(".locks").open("ab")

    def _lock(self, trial_id: int) -> bool:
        """Lock a trial for this process, and return whether no other process holds it."""
        with contextlib.suppress(BlockingIOError, PermissionError):  # which of them depends on the system
            fcntl.lockf(self._locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, trial_id)
            return True
        return False

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Any = None) -> bool:
        """Set a trial's state; a trial that starts to run is locked first."""
        if state == TrialState.RUNNING and not self._lock(trial_id):
            return False
        return super().set_trial_state_values(trial_id, state, values)

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        return [trial._trial_id for trial in running if self._lock(trial._trial_id)]

    def record_heartbeat(self, trial_id: int) -> None:
        """Do nothing: the lock lasts without it."""

    def get_heartbeat_interval(self) -> int:
        """Return an interval, by which Optuna sees that dead workers are noticed."""
        return 3600

    def get_heartbeat_stale_trial_callback(self) -> None:
        """Return no callback: a worker queues lost trials again."""

    def close(self) -> None:
        """Release this process's locks."""
        self._locks.close()


def open_storage(address: str, folder: Path, study: str, heartbeat: int = 10, grace: int = 60) -> BaseStorage:
    """Open the storage of a study, and create it if it does not exist yet.

    A database may be PostgreSQL, or another one that SQLAlchemy has a driver for. SQLite cannot lock rows, so it is
    for one worker at a time.

    Args:
        address: empty for a journal file, which all workers that reach the folder may share; or the address of a
            database, such as `postgresql://user:password@host:5432/database`.
        folder: holds the journal file; not used with a database.
        study: the study's name, which also names the journal file.
        heartbeat: seconds between two heartbeats of a trial in a database.
        grace: seconds without a heartbeat after which a trial in a database counts as lost.

    Raises:
        UsageError: the address is malformed, its driver is not installed, or the folder is not writable.
        OsemnError: the database is unreachable or refuses, or the journal file is damaged. No message contains the
            password.
    """
    if not address:
        return _open_journal(journal_path(folder, study))
    url = study_address.parse(study_address.given(address))
    engine = {"pool_pre_ping": True, "connect_args": _CONNECT.get(url.get_backend_name(), {})}
    options = {"engine_kwargs": engine, "heartbeat_interval": heartbeat, "grace_period": grace}
    with explained(address), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of the heartbeat
        return _open_database(url.render_as_string(hide_password=False), **options)


def close(storage: BaseStorage) -> None:
    """Close a database's connections, or release a journal file's locks."""
    storage.engine.dispose() if isinstance(storage, RDBStorage) else storage.close()


def journal_path(folder: Path, study: str) -> Path:
    """Return the path of a study's journal file."""
    return folder / (re.sub(r"[^\w.-]+", "_", study) + ".journal")


@contextlib.contextmanager
def explained(address: str) -> Iterator[None]:
    """Replace a database's errors by ones that say what to do and never contain the password.

    Raises:
        OsemnError: the database is unreachable or refuses.
    """
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else None
        reason = " ".join(str(getattr(cause or error, "orig", None) or cause or error).split())
        url = study_address.parse(study_address.given(address))
        if url.password:
            reason = reason.replace(str(url.password), "***")
        raise OsemnError(
            f"The study's database {url.render_as_string(hide_password=True)} failed: {reason}",
            "Check that the server runs and is reachable from here, that user and password are correct, and that the "
            f"database exists (createdb). The address looks like {study_address.EXAMPLE}; leave storage empty to use a file.",
        ) from None


def _open_database(address: str, **options: Any) -> BaseStorage:
    """Open a database; try again if another worker is creating its tables at the same moment."""
    for pause in _PAUSES:
        try:
            return RDBStorage(address, **options)
        except (ImportError, sqlalchemy.exc.NoSuchModuleError):
            problem = f"The driver for '{address.split('://', 1)[0]}' is not installed."
            raise UsageError(
                problem, f"Use PostgreSQL, {study_address.EXAMPLE}, or install the driver."
            ) from None
        except sqlalchemy.exc.SQLAlchemyError as error:
            race = isinstance(error, sqlalchemy.exc.IntegrityError | sqlalchemy.exc.ProgrammingError)
            if not pause or not (race or re.search("already exists|locked", str(error))):
                raise
        except RuntimeError as error:  # Optuna's error for tables of another version
            raise OsemnError(
                f"The database was created by another version of Optuna: {error}",
                "Use an empty database, or run `optuna storage upgrade`.",
            ) from None
        time.sleep(pause)
    raise AssertionError


def _open_journal(path: Path) -> BaseStorage:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("ab").close()  # Optuna writes only later, in the middle of a trial
        return LockedJournal(path)
    except OSError as error:
        raise UsageError(
            f"The study's journal {paths.shown(path)} is not writable: {error.strerror}.",
            "Use a folder that you may write to, or give storage a database.",
        ) from None
    except (ValueError, KeyError, TypeError, AssertionError):
        raise OsemnError(
            f"The study's journal {paths.shown(path)} is damaged, perhaps because the disk was full.",
            "Delete that file; the study starts again from the beginning.",
        ) from None
