"""Errors that say what to do next, shown without a traceback."""

import difflib
from collections.abc import Iterable


class OsemnError(Exception):
    """A run failed for a reason that its user can act on (exit code 1).

    Args:
        problem: what is wrong, and what was expected.
        remedy: what to do about it.
    """

    exit_code = 1

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}\n  → {remedy}" if remedy else problem)
        self.problem = problem
        self.remedy = remedy

    def _render_traceback_(self) -> list[str]:
        """Show only the message in IPython and in executed notebooks (IPython's own hook)."""
        return [f"{type(self).__name__}: {self}"]


class UsageError(OsemnError):
    """The call itself was wrong: an unknown name, a wrong type, a value out of range (exit code 2)."""

    exit_code = 2


class MissingInputError(OsemnError):
    """A stage's input does not exist or is incomplete."""


class SealedTestSetError(OsemnError):
    """A stage that may not see the test set asked for it."""


class DivergedError(OsemnError):
    """The training loss became NaN or infinite."""


class AcquisitionError(OsemnError):
    """A data set or a weight file is unavailable from every source."""


def nearest(wrong: str, known: Iterable[str]) -> str:
    """Return a hint that names the closest known name, or lists all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(wrong, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'? Known: {', '.join(known)}"
    return f"use one of: {', '.join(known)}"
