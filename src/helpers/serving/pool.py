"""Threads that decode and predict, with a bounded queue before them."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from helpers.serving.decode import RefusedError

LAST_SECONDS = 1.0
"""So long `close` waits for threads at work; by then, nobody waits for what they find."""


class Pool:
    """Runs work off the event loop; what does not fit into the queue is refused at once.

    The threads are daemons, unlike those of `concurrent.futures`: Python does not wait for them at its end, however long a picture
    takes to decode.

    Args:
        threads: how much runs at a time.
        queue: how much may wait.
        timeout: seconds after which a caller is told to come again.
    """

    def __init__(self, threads: int, queue: int, timeout: float) -> None:
        self.limit, self.timeout = threads + queue, timeout
        self.pending = 0
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[tuple[Future, Callable[..., Any], tuple[Any, ...]] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._most = threads

    def demand_room(self) -> None:
        """Refuse where the queue is full.

        Raises:
            RefusedError: 503.
        """
        if self.pending >= self.limit:
            raise RefusedError(503, "queue", "Too many requests are waiting; come again in a moment.")

    async def run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Return what `work` returns.

        Raises:
            RefusedError: 503, the queue is full, or the answer took longer than the time-out.
        """
        self.demand_room()
        future: Future = Future()
        with self._lock:
            self.pending += 1
            self._add_thread()
        future.add_done_callback(self._done)
        self._jobs.put((future, work, arguments))
        try:
            async with asyncio.timeout(self.timeout):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise RefusedError(
                503, "timeout", f"No answer within {self.timeout:g} s; come again in a moment."
            ) from None

    def _done(self, future: Future) -> None:
        with self._lock:
            self.pending -= 1

    def _add_thread(self) -> None:
        if len(self._threads) < self._most:
            name = f"predict_{len(self._threads)}"
            self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
            self._threads[-1].start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, work, arguments = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work(*arguments))
                except BaseException as error:  # the caller's, whatever it is
                    future.set_exception(error)
            del job, future, work, arguments  # no picture is held until the next one comes

    def close(self) -> None:
        """Drop what waits, and give what is running `LAST_SECONDS` to end."""
        while True:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
            if job is not None:
                job[0].cancel()
        for _ in self._threads:
            self._jobs.put(None)
        deadline = monotonic() + LAST_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - monotonic()))
