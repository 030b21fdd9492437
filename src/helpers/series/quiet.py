"""Silences libraries whose C++ code prints what nobody can act on: TensorFlow as it starts, and converters of models."""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def discarded_output() -> Iterator[None]:
    """Discard what is printed, and what is logged below errors, from Python and from C++."""
    disabled = logging.root.manager.disable
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.ExitStack() as stack, Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        for stream in (1, 2):
            saved = os.dup(stream)
            stack.callback(os.close, saved)
            stack.callback(os.dup2, saved, stream)
            os.dup2(nowhere.fileno(), stream)
        stack.enter_context(contextlib.redirect_stdout(nowhere))
        stack.enter_context(contextlib.redirect_stderr(nowhere))
        stack.enter_context(warnings.catch_warnings(action="ignore"))
        stack.callback(logging.disable, disabled)
        logging.disable(max(disabled, logging.WARNING))
        yield
