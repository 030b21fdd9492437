"""Where a study is kept, a journal file or a database for many machines, and which of its workers still live."""

import contextlib
import os
import re
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import psutil
import sqlalchemy.exc
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial
from sqlalchemy.engine import URL, make_url

from helpers import paths
from helpers.errors import OsemnError, UsageError

BEAT = "_beat"
_POSTGRESQL = ("postgres", "postgresql")
_EXAMPLE = "postgresql://user:password@host:5432/database"


def open_storage(address: str, folder: Path, study: str) -> BaseStorage:
    """Open what keeps a study, and make it where it does not exist yet.

    A database may be PostgreSQL, or another one that SQLAlchemy has a driver for; SQLite, which cannot lock rows,
    is for one worker at a time.

    Args:
        address: empty for a journal file, which all workers that reach the folder may share; or the address of a
            database, such as `postgresql://user:password@host:5432/database`.
        folder: where the journal file is kept; not used with a database.
        study: the study's name, after which the journal file is named.

    Raises:
        UsageError: the address is none, its driver is not installed, or the folder cannot be written to.
        OsemnError: the database cannot be reached or refuses, or the journal file is damaged.
            No message holds the password.
    """
    if not address:
        return _open_journal(journal_path(folder, study))
    url = _url(address)
    options: dict[str, Any] = {"pool_pre_ping": True}
    if url.get_backend_name() == "postgresql":
        options["connect_args"] = {"connect_timeout": 10}
    if url.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": 60}
    with explained(address):
        return _open_database(url.render_as_string(hide_password=False), options)


def close(storage: BaseStorage) -> None:
    """Close the connections to a database; a journal file has none."""
    if isinstance(storage, RDBStorage):
        storage.engine.dispose()


def journal_path(folder: Path, study: str) -> Path:
    """Return the journal file of a study."""
    return folder / (re.sub(r"[^\w.-]+", "_", study) + ".journal")


def shown(address: str) -> str:
    """Return the address of a database without its password, for messages."""
    return _url(address).render_as_string(hide_password=True) if address else "the journal file"


@contextlib.contextmanager
def explained(address: str) -> Iterator[None]:
    """Turn a database's errors into ones that say what to do and that never hold the password.

    Raises:
        OsemnError: the database cannot be reached, or refuses.
    """
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        problem = f"The study's database {shown(address)} failed: {_reason(error, address)}"
        raise OsemnError(
            problem,
            "See that the server runs and can be reached from here, that user and password are right, and that "
            f"the database exists (createdb). The form is {_EXAMPLE}; an empty storage keeps a file instead.",
        ) from None


def _url(address: str) -> URL:
    """Parse an address; PostgreSQL without a driver gets psycopg 3, which is installed."""
    try:
        url = make_url(address)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # their text may hold the password
        problem = "storage is neither empty nor the address of a database."
        remedy = f"Leave it empty for a journal file, or give an address such as {_EXAMPLE} (quote @ : / as %40 %3A %2F)."
        raise UsageError(problem, remedy) from None
    return url.set(drivername="postgresql+psycopg") if url.drivername in _POSTGRESQL else url


def _reason(error: Exception, address: str) -> str:
    """Return what the driver said, on one line and without the password."""
    if isinstance(error, optuna.exceptions.StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(getattr(error, "orig", None) or error).split())
    password = _url(address).password
    return text.replace(str(password), "***") if password else text


def _open_database(address: str, options: dict[str, Any]) -> BaseStorage:
    """Open a database; again where another worker made its tables in the same moment."""
    for pause in (0.1, 0.2, 0.4, 0.8, 1.6, 0):
        try:
            return RDBStorage(address, engine_kwargs=options)
        except (ImportError, sqlalchemy.exc.NoSuchModuleError):
            problem = f"There is no driver for '{address.split('://', 1)[0]}' here."
            raise UsageError(problem, f"Use PostgreSQL, {_EXAMPLE}, or install the driver.") from None
        except sqlalchemy.exc.SQLAlchemyError as error:
            made_by_another = isinstance(
                error, sqlalchemy.exc.IntegrityError | sqlalchemy.exc.ProgrammingError
            )
            made_by_another |= "already exists" in str(error) or "locked" in str(error)
            if not made_by_another or not pause:
                raise
        except RuntimeError as error:  # Optuna's word on tables of another version
            raise OsemnError(
                f"The database holds studies of another version of Optuna: {error}",
                "Use an empty database, or `optuna storage upgrade`.",
            ) from None
        time.sleep(pause)
    raise AssertionError


def _open_journal(path: Path) -> BaseStorage:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab"):  # Optuna writes only later, in the middle of a trial
            pass
        return JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))
    except OSError as error:
        problem = f"The study's journal {paths.shown(path)} cannot be written: {error.strerror}."
        raise UsageError(
            problem, "Name a folder that you may write to, or give storage a database."
        ) from None
    except (ValueError, KeyError, TypeError, AssertionError):
        problem = f"The study's journal {paths.shown(path)} is damaged, as after a full disk."
        raise OsemnError(problem, "Delete that file: the study starts anew.") from None


def _host() -> str:
    """Return a name for what shares process numbers with this process: machine, start of it, container."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _lives(pid: int, started: float) -> bool:
    """Tell whether the process lives which had this number and start; a zombie does not."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(process.create_time() - started) < 10  # seconds: clocks are corrected while programs run
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


class Heartbeat:
    """Says in a trial, while the context lasts, which process runs it and that it still does.

    Optuna's own heartbeat exists for databases only and belongs to `Study.optimize`; this one is the same for a
    journal file.

    Args:
        storage: what keeps the study.
        trial_id: the trial's number in the storage.
        seconds: time between two beats.
    """

    def __init__(self, storage: BaseStorage, trial_id: int, seconds: float) -> None:
        self._storage, self._trial_id, self._seconds = storage, trial_id, seconds
        self._worker = {
            "host": _host(),
            "pid": os.getpid(),
            "started": psutil.Process().create_time(),
            "count": 0,
        }
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._beat()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        self._worker["count"] += 1
        self._storage.set_trial_user_attr(self._trial_id, BEAT, dict(self._worker))

    def _beat_on(self) -> None:
        while not self._stop.wait(self._seconds):
            try:
                self._beat()
            except optuna.exceptions.UpdateFinishedTrialError:
                return
            except Exception as error:  # the training's next report says it in full
                warnings.warn(
                    f"A worker's sign of life was not written: {type(error).__name__}", stacklevel=2
                )


class Watch:
    """Finds running trials whose worker is dead.

    On the same machine the process is looked up. Elsewhere a worker is dead when its heartbeat stood still for
    `grace` seconds of this process's own clock, so machines' clocks need not agree.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._seen: dict[int, tuple[Any, float]] = {}

    def is_dead(self, trial: FrozenTrial) -> bool:
        """Tell whether the worker of a running trial is dead."""
        beat = trial.user_attrs.get(BEAT)
        if beat and beat["host"] == _host() and not _lives(beat["pid"], beat["started"]):
            return True
        now = time.monotonic()
        known, since = self._seen.get(trial.number, (None, now))
        if trial.number not in self._seen or known != beat:
            self._seen[trial.number] = (beat, now)
            return False
        return now - since > self._grace
