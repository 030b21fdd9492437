"""The seal on the test images: while a stage is at work that may not see them, no Python code of its process opens them.

The loader refuses by itself (`runs.Run.input`); this is for all other ways to the file, such as NumPy with a path, and
for asking the data set's source again. It guards against mistakes, not against somebody who is set on looking.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from helpers.errors import SealedTestSetError

TEST_STAGE = "07_evaluation"
# After the champion is chosen, what was exported and what is served are compared on the same images with what 07 found.
TEST_STAGES = (TEST_STAGE, "10_export", "11_serving")
SOURCE_STAGE = "01_acquire"
FILE = (SOURCE_STAGE, "test.npz")

_at_work: list[str] = []
_verifying: ContextVar[bool] = ContextVar("verifying", default=False)
_installed: list[bool] = []


def begin(notebook: str) -> None:
    """Note that a stage of this notebook is at work in this process."""
    if not _installed:
        sys.addaudithook(_on_event)
        _installed.append(True)
    _at_work.append(notebook)


def end(notebook: str) -> None:
    """Note that it has ended."""
    if notebook in _at_work:
        _at_work.remove(notebook)


@contextlib.contextmanager
def verifying() -> Iterator[None]:
    """Let files be read in order to hash them."""
    token = _verifying.set(True)
    try:
        yield
    finally:
        _verifying.reset(token)


def refuse_source() -> None:
    """Refuse to make the test images anew while a stage that may not see them is at work.

    Raises:
        SealedTestSetError: only such stages are at work in this process.
    """
    stage = _blocking()
    if stage:
        raise SealedTestSetError(
            f"{stage} asked the data set's source, which holds the test images too.",
            "read what 01_acquire left: data.load_split(run)",
        )


def _blocking() -> str:
    """Return the stage on whose account the test images are shut; empty where they are not."""
    shut = bool(_at_work) and not {SOURCE_STAGE, *TEST_STAGES}.intersection(_at_work)
    return _at_work[-1] if shut and not _verifying.get() else ""


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _at_work:
        return
    path = arguments[0]
    if not isinstance(path, str | bytes) or not os.fsdecode(path).endswith(FILE[1]):
        return
    parts = os.fsdecode(path).replace("\\", "/").split("/")
    stage = _blocking() if tuple(parts[-2:]) == FILE else ""
    if stage:
        raise SealedTestSetError(
            f"{stage} opened {'/'.join(FILE)}, which is sealed until {TEST_STAGE}.",
            "choose models on the validation images: data.load_split(run)",
        )
