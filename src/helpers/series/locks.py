"""Locks on a stage's folder; the system frees those of a process that dies."""

import os
from pathlib import Path

from filelock import FileLock, Timeout

from helpers import paths
from helpers.errors import OsemnError

EXECUTING = ".executing"
"""What the lock of whoever executes a stage's notebook is for; that of the notebook's run lies within it."""
SECONDS = 30.0


def of_run(final: Path, is_executed: bool) -> tuple[FileLock, ...]:
    """Lock a stage for a run of its notebook, and return the locks in the order in which they were taken.

    A run by hand also keeps the executor out, which goes on when the notebook's own run has finished.

    Args:
        final: the stage's folder.
        is_executed: whether `helpers.series.execute` runs the notebook, and holds the other lock already.

    Raises:
        OsemnError: as for `of_stage`; no lock is kept then.
    """
    if is_executed:
        return (of_stage(final),)
    outer = of_stage(final, EXECUTING)
    try:
        return outer, of_stage(final)
    except OsemnError:
        outer.release()
        raise


def of_stage(final: Path, purpose: str = "") -> FileLock:
    """Lock a stage's folder for this process.

    Args:
        final: the stage's folder.
        purpose: empty for its run, or `EXECUTING`.

    Raises:
        OsemnError: another process holds it and did not let go within `OSEMN_LOCK_SECONDS` (30).
    """
    lock = FileLock(final.with_name(f".{final.name}{purpose}.lock"))
    try:
        lock.acquire(timeout=float(os.environ.get("OSEMN_LOCK_SECONDS", SECONDS)))
    except Timeout:
        raise OsemnError(
            f"Another run of {final.name} is at work in {paths.shown(final.parent)}.",
            "wait until it has finished, or shut down the other kernel that runs this notebook",
        ) from None
    return lock
