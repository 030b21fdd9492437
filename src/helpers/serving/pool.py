"""Threads that decode and predict, behind a bounded queue."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from helpers.serving.decode import RefusedError

LAST_SECONDS = 1.0  # how long `close` waits for running threads; by then nobody waits for their results


class Pool:
    """Runs work off the event loop and refuses at once what does not fit into the queue.

    The threads are daemons, unlike those of `concurrent.futures`: the process can exit while one still decodes.

    Args:
        threads: jobs that run at a time.
        queue: jobs that may wait.
        timeout: seconds after which a caller is asked to try again.
    """

    def __init__(self, threads: int, queue: int, timeout: float) -> None:
        self.limit, self.timeout = threads + queue, timeout
        self.pending = 0
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[tuple[Future, Callable[..., Any], tuple[Any, ...]] | None] = SimpleQueue()
        names = [f"predict_{number}" for number in range(threads)]
        self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for name in names]
        for thread in self._threads:
            thread.start()

    def demand_room(self) -> None:
        """Refuse if the queue is full.

        Raises:
            RefusedError: 503.
        """
        if self.pending >= self.limit:
            raise RefusedError(503, "queue", "Too many requests are waiting; try again in a moment.")

    async def run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Return what `work` returns.

        Raises:
            RefusedError: 503, the queue is full, or the work took longer than the time-out.
        """
        self.demand_room()
        future: Future = Future()
        with self._lock:
            self.pending += 1
        future.add_done_callback(self._done)
        self._jobs.put((future, work, arguments))
        try:
            async with asyncio.timeout(self.timeout):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            late = f"No prediction within {self.timeout:g} s; try again in a moment."
            raise RefusedError(503, "timeout", late) from None

    def _done(self, future: Future) -> None:
        with self._lock:
            self.pending -= 1

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, work, arguments = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work(*arguments))
                except BaseException as error:  # the caller handles it
                    future.set_exception(error)
            del job, future, work, arguments  # so that no image stays in memory until the next job

    def close(self) -> None:
        """Drop what waits, and give running work `LAST_SECONDS` to end."""
        with contextlib.suppress(Empty):
            while job := self._jobs.get_nowait():
                job[0].cancel()
        for _ in self._threads:
            self._jobs.put(None)
        deadline = monotonic() + LAST_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - monotonic()))
