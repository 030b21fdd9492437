"""Watches incoming images for drift, one window at a time, beside the requests."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from time import monotonic
from typing import Any

import numpy as np

from helpers.errors import OsemnError
from helpers.interpret import drift
from helpers.serving.metrics import Metrics
from helpers.serving.model import Served

log = logging.getLogger("osemn.serving")


class DriftMonitor:
    """Collects the predictions of one version in windows and examines each window when it is full.

    The thresholds hold for a stated number of windows a day. Examining more, in one worker or in several, would raise more false
    alarms than stated.

    Args:
        served: the version.
        window: images in a window.
        every: seconds from the beginning of one window to the beginning of the next, at least.
        metrics: where the result is counted.
    """

    def __init__(self, served: Served, window: int, every: float, metrics: Metrics) -> None:
        self.reference = served.drift_reference()
        self.served, self.window, self.every, self.metrics = served, window, every, metrics
        self._begin = self._next = 0.0
        self.last: dict[str, Any] | None = None
        self._rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._count = self._examined = 0
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="drift")

    def add(self, images: np.ndarray, probabilities: np.ndarray, embeddings: np.ndarray) -> None:
        """Add predictions to the window; this is quick, as a full window is examined in a thread."""
        if self.reference is None or monotonic() < self._begin:
            return
        with self._lock:
            if not self._rows:
                self._next = monotonic() + self.every
            self._rows.append((images, probabilities, embeddings))
            self._count += len(images)
            if self._count < self.window:
                return
            rows, self._rows, self._count = self._rows, [], 0
            self._begin = self._next
        self._thread.submit(self._examine, rows)

    def _examine(self, rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
        images, probabilities, embeddings = (np.concatenate(parts) for parts in zip(*rows, strict=True))
        sample = drift.sample(probabilities, embeddings, images)
        try:
            result = self.reference.examine(sample, seed=self._examined)
        except OsemnError as error:
            log.error("drift not examined", extra={"facts": {"why": str(error)}})
            return
        self._examined += 1
        detector = self.served.detector
        unknown = float(detector.rejects(embeddings).mean()) if detector else None
        self.last = {
            **asdict(result),
            "drifted": result.drifted,
            "sentence": result.sentence,
            "unknown": unknown,
        }
        for name, value in result.p_values.items():
            self.metrics.drift_p.labels(name).set(value)
        self.metrics.drift_windows.labels("yes" if result.drifted else "no").inc()
        if result.drifted:
            log.warning("drift", extra={"facts": {"finding": result.sentence}})

    def state(self) -> dict[str, Any]:
        """Return the last result and how full the next window is."""
        return {
            "watched": self.reference is not None,
            "window": self.window,
            "collected": self._count,
            "examined": self._examined,
            "last": self.last,
        }

    def close(self) -> None:
        """Stop examining windows."""
        self._thread.shutdown(wait=False, cancel_futures=True)
