"""Keeps several workers at work on one socket: one that dies is replaced, and none outlives the supervisor."""

import logging
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from time import monotonic

from prometheus_client.multiprocess import mark_process_dead

from helpers.errors import OsemnError
from helpers.serving.metrics import SHARED
from helpers.serving.settings import Settings

STEADY_SECONDS = 60.0  # one that lived so long is replaced at once
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
PATIENCE = 10.0  # beyond the drain, for one that is to end
log = logging.getLogger("osemn.serving")

Target = Callable[[Settings, socket.socket, Connection], None]


@dataclass
class _Worker:
    """A worker: its process, when it began, where it says that it is ready, and when one in its place may begin."""

    process: BaseProcess
    began: float
    reports: Connection
    pause: float = 0.0
    again_at: float | None = None

    def is_ready(self) -> bool:
        """Tell whether it has reported so by now; one that dies without a word closes its end, and has not."""
        try:
            return self.reports.poll() and bool(self.reports.recv_bytes())
        except (EOFError, OSError):
            return False


class Supervisor:
    """Keeps so many workers at work as the settings say.

    Args:
        settings: of the service.
        listening: the socket that all of them listen on.
        target: what a worker runs: it is given the settings, the socket, and where to report that it is ready.
    """

    def __init__(self, settings: Settings, listening: socket.socket, target: Target) -> None:
        self.settings, self.listening, self.target = settings, listening, target
        self.end, self.at_once = threading.Event(), threading.Event()
        self.ever_ready = False
        self._apart = multiprocessing.get_context("spawn")

    def run(self) -> None:
        """Supervise until the process is told to end; a second Ctrl+C ends the workers at once.

        Raises:
            OsemnError: all workers ended before any was ready, or one did not end well.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told)
        workers = [self._begin(0.0) for _ in range(self.settings.workers)]
        while not self.end.wait(0.2):
            self.ever_ready = self.ever_ready or any(worker.is_ready() for worker in workers)
            if self.ever_ready:
                workers = [self._look_after(worker) for worker in workers]
            elif not any(worker.process.is_alive() for worker in workers):
                break  # what keeps all of the first from starting keeps the next, too
        self._finish([worker.process for worker in workers])

    def _told(self, number: int, _: object) -> None:
        if self.end.is_set() and number == signal.SIGINT:
            self.at_once.set()
        self.end.set()

    def _begin(self, pause: float) -> _Worker:
        """Start a worker that a terminal's Ctrl+C does not reach while it starts: the supervisor alone ends it."""
        reports, report = self._apart.Pipe(duplex=False)
        arguments = (self.settings, self.listening, report)
        process = self._apart.Process(target=self.target, args=arguments, daemon=False)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a new process takes over what is ignored
        try:
            process.start()
        finally:
            signal.signal(signal.SIGINT, before)
            report.close()
        return _Worker(process, monotonic(), reports, pause)

    def _look_after(self, worker: _Worker) -> _Worker:
        """Return the worker, or the one that takes its place after a pause that grows while the next ones die young."""
        if worker.process.is_alive():
            return worker
        if worker.again_at is None:
            mark_process_dead(worker.process.pid, os.environ[SHARED])  # its requests are at work no more
            young = monotonic() - worker.began < STEADY_SECONDS
            worker.pause = min(max(FIRST_PAUSE, 2.0 * worker.pause), LONGEST_PAUSE) if young else 0.0
            worker.again_at = monotonic() + worker.pause
            facts = {"status": worker.process.exitcode, "again_in_seconds": worker.pause}
            log.warning("worker ended", extra={"facts": facts})
        if monotonic() < worker.again_at:
            return worker
        worker.reports.close()
        return self._begin(worker.pause)

    def _finish(self, processes: list[BaseProcess]) -> None:
        """End the workers that are alive, after the requests that they have.

        Raises:
            OsemnError: one of those did not end well; or none was alive, and one had not ended well.
        """
        asked = [process for process in processes if process.is_alive()]
        for process in asked:
            process.terminate()
        deadline = monotonic() + self.settings.drain + PATIENCE
        while any(process.is_alive() for process in asked) and monotonic() < deadline:
            if self.at_once.wait(0.1):
                break
        for process in asked:
            process.kill()
            process.join()
        if self.at_once.is_set():
            return  # as was wished
        # one that had only just been started is ended by the signal itself; it held no request
        statuses = [process.exitcode for process in asked or processes]
        failed = [status for status in statuses if status not in (0, -signal.SIGTERM)]
        if failed:
            raise OsemnError(f"A worker ended with status {failed[0]}.", "the lines above say why")
