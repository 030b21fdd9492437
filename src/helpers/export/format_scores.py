"""Score every format of a version in a process of its own, without this project's code."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from helpers.errors import OsemnError
from helpers.export import browser_runtime, score
from helpers.export.formats import Format
from helpers.obtain.places import package_registries
from helpers.series import records

SECONDS = 1_800.0  # for one format, so that a process that hangs ends the export
AT_ONCE = 4  # formats that predict at a time, on a core each; a laptop of 8 GB has memory for them
_QUIET_CPU = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "OMP_NUM_THREADS": "1"}
Progress = Callable[[int, int, str], None]
Scored = tuple[np.ndarray, dict[str, float]]


def score_formats(
    formats: Sequence[Format],
    version: Path,
    images_file: Path,
    progress: Progress = lambda done, total, title: None,
) -> list[Scored]:
    """Return for each format the probabilities, `float32 [N, K]`, and its times.

    These are `seconds_to_first`, from the start of the process to its first prediction, and `latency_ms_1` and `latency_ms_64`, the
    median time of a call with 1 or 64 images. Several formats predict at a time; when all have predicted, the times of calls are
    measured one after the other.

    Args:
        formats: one or more.
        version: the folder that holds their files.
        images_file: an IDX file.
        progress: called with the number of formats that have predicted, their total, and the title of the last.

    Raises:
        OsemnError: a process failed or took too long; the message ends with its last output.
    """
    turns = _Turns(len(formats), progress)
    with ThreadPoolExecutor(len(formats)) as pool:
        futures = [pool.submit(_score, item, version, images_file, turns) for item in formats]
    errors = [error for future in futures if (error := future.exception())]
    # the first failure ends the waiting of the others, whose errors say nothing
    for error in sorted(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
        raise error
    return [future.result() for future in futures]


class _Turns:
    """Lets processes predict side by side, and measure one after the other when all have predicted."""

    def __init__(self, formats: int, progress: Progress) -> None:
        self.predicting = threading.Semaphore(min(AT_ONCE, records.usable_cores()))
        self.all_predicted = threading.Barrier(formats)
        self.alone = threading.Lock()
        self.progress, self.done = progress, 0

    def wait_for_others(self, title: str) -> None:
        """Report that a format has predicted, and wait until all have."""
        with self.alone:
            self.done += 1
            self.progress(self.done, self.all_predicted.parties, title)
        self.all_predicted.wait()


def _score(item: Format, version: Path, images_file: Path, turns: _Turns) -> Scored:
    """Score one format in turns with the others."""
    with tempfile.TemporaryDirectory() as workspace:
        scored, program = Path(workspace) / "scored.bin", Path(score.__file__)
        if item.runtime == "tfjs":
            command = [package_registries.node(), program.with_name("score.js"), browser_runtime.folder()]
        else:
            command = [sys.executable, "-I", shutil.copy(program, workspace), item.runtime]
        try:
            report = _call([*command, version / item.file, images_file, scored, "wait"], item.title, turns)
        except BaseException:
            turns.all_predicted.abort()
            raise
        if report.get("project_code"):
            raise OsemnError(f"Scoring {item.title} loaded this project's code.", "report this as a defect")
        probabilities = np.fromfile(scored, "<f4").reshape(-1, report["classes"])
        latency = {f"latency_ms_{size}": ms for size, ms in report["latency_ms"].items()}
        return probabilities, {"seconds_to_first": report["seconds_to_first"], **latency}


def _call(command: Sequence[str | Path], title: str, turns: _Turns) -> dict[str, Any]:
    """Run a scoring program, which prints JSON after its predictions and, once it is sent a line, after its measurements."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors, ExitStack() as ending:
        with turns.predicting:
            started = time.time()
            process = subprocess.Popen(
                [str(part) for part in command],
                env=os.environ | _QUIET_CPU,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                encoding="utf-8",
            )
            ending.enter_context(process)
            ending.callback(process.kill)
            with _limit(process):
                predicted = next((line for line in process.stdout if line.startswith("{")), "")
        measured = ""
        if predicted:
            turns.wait_for_others(title)
            with turns.alone, _limit(process):
                measured, _ = process.communicate("\n")
        if process.wait() == -signal.SIGKILL:
            raise OsemnError(
                f"Scoring {title} was ended: it took more than {SECONDS:g} s, or there was too little memory.",
                "try again when the machine is less busy",
            )
        if process.returncode:
            errors.seek(0)
            last = " ".join((errors.read() or measured).strip().splitlines()[-3:])[-400:]
            raise OsemnError(f"Scoring {title} in its own process failed: {last}", "fix its export")
    report = json.loads(predicted)
    return {**report, "seconds_to_first": max(0.0, report["first"] - started), **json.loads(measured)}


@contextmanager
def _limit(process: subprocess.Popen) -> Iterator[None]:
    """Kill a process that takes longer than `SECONDS`."""
    watch = threading.Timer(SECONDS, process.kill)
    watch.start()
    try:
        yield
    finally:
        watch.cancel()
