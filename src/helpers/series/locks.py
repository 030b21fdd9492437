"""Locks on a stage's folder, and what to clean up after a process that was killed.

The operating system releases the locks of a process that dies.
"""

import os
import shutil
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from helpers import paths
from helpers.errors import OsemnError
from helpers.series import disk, manifests

EXECUTING = ".executing"
"""Purpose of the lock of a process that executes a stage's notebook; the notebook's run takes the other lock."""
SECONDS = 30.0  # to wait for a lock: longer than a kernel takes to notice that its executor was killed


def of_run(final: Path, is_executed: bool) -> ExitStack:
    """Lock a stage for a run of its notebook; `close` of the returned stack releases the locks.

    A run by hand takes both locks, to keep out an executor, which still writes when the notebook's run has finished.

    Args:
        final: the stage's folder.
        is_executed: whether `helpers.series.execute` runs the notebook, and already holds the other lock.

    Raises:
        OsemnError: as for `of_stage`; no lock remains taken.
    """
    with ExitStack() as stack:
        if not is_executed:
            stack.enter_context(of_stage(final, EXECUTING))
        stack.enter_context(of_stage(final))
        return stack.pop_all()


def of_stage(final: Path, purpose: str = "") -> AbstractContextManager[FileLock]:
    """Lock a stage's folder for this process, until the end of a `with` block.

    Args:
        final: the stage's folder.
        purpose: empty for its run, or `EXECUTING`.

    Raises:
        OsemnError: another process holds the lock and did not release it within `OSEMN_LOCK_SECONDS` (30).
    """
    busy = OsemnError(
        f"Another run of {final.name} is in progress in {paths.shown(final.parent)}.",
        "wait until it has finished, or shut down the other kernel that runs this notebook",
    )
    return disk.locked(_file(final, purpose), float(os.environ.get("OSEMN_LOCK_SECONDS", SECONDS)), busy)


def is_executing(final: Path) -> bool:
    """Return True if a process is running a stage's notebook now."""
    file = _file(final, EXECUTING)
    if not file.is_file():
        return False
    try:
        with FileLock(file, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a folder that may only be read
        return False


def recover(final: Path) -> None:
    """Undo a publish that was killed, unless it is still in progress: then its process holds the lock."""
    if final.with_name(f"{final.name}.old").exists():
        with suppress(Timeout), FileLock(_file(final), timeout=0):
            manifests.recover(final)


def sweep(final: Path) -> None:
    """Remove the partial files of a killed run, but not those of a run in progress."""
    recover(final)
    partial = final.with_name(f"{final.name}.partial")
    working = final.with_name(f".{final.name}.executing.ipynb")
    if partial.exists() or working.exists():
        # A kernel whose executor was killed notices within a second or two, and holds its lock until then.
        with suppress(Timeout), FileLock(_file(final), timeout=5):
            shutil.rmtree(partial, ignore_errors=True)
            working.unlink(missing_ok=True)


def _file(final: Path, purpose: str = "") -> Path:
    return final.with_name(f".{final.name}{purpose}.lock")
