"""Threads that decode and predict, with a bounded queue before them."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from helpers.serving.reading import RefusedError


class Pool:
    """Runs work off the event loop; what does not fit into the queue is refused at once.

    Args:
        threads: how much runs at a time.
        queue: how much may wait.
        timeout: seconds after which a caller is told to come again.
    """

    def __init__(self, threads: int, queue: int, timeout: float) -> None:
        self.limit, self.timeout = threads + queue, timeout
        self.pending = 0
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="predict")

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
        with self._lock:
            self.pending += 1
        future = self._threads.submit(work, *arguments)
        future.add_done_callback(self._done)
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

    def close(self) -> None:
        """Let what is running end."""
        self._threads.shutdown(wait=True)
