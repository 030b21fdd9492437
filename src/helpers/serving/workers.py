"""Runs several workers on one socket: one that dies is replaced, and none outlives the supervisor.

When a replacement cannot start, uvicorn's own supervisor (0.54) restarts it without a pause or stops the whole service; here the
others continue.
"""

import logging
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from time import monotonic
from typing import Any

from prometheus_client.multiprocess import mark_process_dead

from helpers.errors import OsemnError
from helpers.serving.metrics import SHARED
from helpers.serving.settings import Settings

STEADY_SECONDS = 60.0  # a worker that lived this long is replaced at once
FIRST_PAUSE = 0.5  # seconds before a worker that died young is replaced; doubled each time …
LONGEST_PAUSE = 30.0  # … up to this
PATIENCE = 10.0  # seconds beyond the drain for a worker that is asked to end
log = logging.getLogger("osemn.serving")

Target = Callable[[Settings, socket.socket, Any], None]


@dataclass
class _Worker:
    """A worker: its process, when it began, and when its replacement may begin."""

    process: BaseProcess
    began: float
    pause: float = 0.0
    again_at: float | None = None


class Supervisor:
    """Keeps the number of workers that the settings ask for running.

    Args:
        settings: of the service.
        listening: the socket that all workers listen on.
        target: what a worker runs: it is given the settings, the socket, and a shared flag to set when it is ready.
    """

    def __init__(self, settings: Settings, listening: socket.socket, target: Target) -> None:
        self.settings, self.listening, self.target = settings, listening, target
        self.end, self.at_once = threading.Event(), threading.Event()
        self._spawn = multiprocessing.get_context("spawn")
        # whether any worker was ever ready; without a lock, which a worker could take with it when it is killed
        self.ever_ready = self._spawn.RawValue("b", 0)

    def run(self) -> None:
        """Supervise until the process is asked to end; a second Ctrl+C ends the workers at once.

        Raises:
            OsemnError: all workers ended before any was ready, or one ended with an error.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle_exit)
        workers = [self._begin(0.0) for _ in range(self.settings.workers)]
        while not self.end.wait(0.2):
            if self.ever_ready.value:
                workers = [self._look_after(worker) for worker in workers]
            elif not any(worker.process.is_alive() for worker in workers):
                break  # their replacements would fail in the same way
        self._finish([worker.process for worker in workers])

    def _handle_exit(self, number: int, _: object) -> None:
        if self.end.is_set() and number == signal.SIGINT:
            self.at_once.set()
        self.end.set()

    def _begin(self, pause: float) -> _Worker:
        """Start a worker that ignores a terminal's Ctrl+C while it starts: only the supervisor ends it."""
        arguments = (self.settings, self.listening, self.ever_ready)
        process = self._spawn.Process(target=self.target, args=arguments, daemon=False)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a new process inherits what is ignored
        try:
            process.start()
        finally:
            signal.signal(signal.SIGINT, before)
        return _Worker(process, monotonic(), pause)

    def _look_after(self, worker: _Worker) -> _Worker:
        """Return the worker, or its replacement after a pause that grows while replacements die young."""
        if worker.process.is_alive():
            return worker
        if worker.again_at is None:
            # its requests are not in progress any more
            mark_process_dead(worker.process.pid, os.environ[SHARED])
            young = monotonic() - worker.began < STEADY_SECONDS
            worker.pause = min(max(FIRST_PAUSE, 2.0 * worker.pause), LONGEST_PAUSE) if young else 0.0
            worker.again_at = monotonic() + worker.pause
            facts = {"status": worker.process.exitcode, "again_in_seconds": worker.pause}
            log.warning("worker ended", extra={"facts": facts})
        return worker if monotonic() < worker.again_at else self._begin(worker.pause)

    def _finish(self, processes: list[BaseProcess]) -> None:
        """End the workers that are alive, after the requests that they have.

        Raises:
            OsemnError: one of them ended with an error; or none was alive, and one had ended with an error.
        """
        alive = [process for process in processes if process.is_alive()]
        for process in alive:
            process.terminate()
        deadline = monotonic() + self.settings.drain + PATIENCE
        while any(process.is_alive() for process in alive) and monotonic() < deadline:
            if self.at_once.wait(0.1):
                break
        for process in alive:
            process.kill()
            process.join()
        if self.at_once.is_set():
            return
        # a worker that had only just started is ended by the signal itself; it held no request
        statuses = [process.exitcode for process in alive or processes]
        failed = [status for status in statuses if status not in (0, -signal.SIGTERM)]
        if failed:
            raise OsemnError(f"A worker ended with status {failed[0]}.", "the lines above say why")
