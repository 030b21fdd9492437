"""What all requests of a worker share: the served version, the pool, the drift monitor, the counters."""

import asyncio
import logging
import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.obtain.pictures import ImageOptions
from helpers.serving import decode
from helpers.serving.decode import RefusedError
from helpers.serving.drift_monitor import DriftMonitor
from helpers.serving.metrics import Metrics
from helpers.serving.model import Holder, Served
from helpers.serving.pool import Pool
from helpers.serving.settings import API_KEY, Settings

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger("osemn.serving")

ending = threading.Event()
"""Set when the process was told to end: from then on it is not ready."""


class Service:
    """What all requests of a worker share."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.holder = Holder(settings.dataset)
        self.pool = Pool(settings.threads, settings.queue, settings.timeout)
        self.monitor: DriftMonitor | None = None
        self.key = os.environ.get(API_KEY, "")
        self.buffered = 0

    def begin(self) -> None:
        """Load and prove the current version.

        Raises:
            OsemnError: there is none, or it is not whole.
        """
        self.holder.load()
        self._took_over()
        self.metrics.workers.set(1)

    def _took_over(self) -> None:
        served, before = self.holder.served, self.monitor
        # false alarms are stated for the whole service
        every = self.settings.drift_every * self.settings.workers
        self.monitor = DriftMonitor(served, self.settings.drift_window, every, self.metrics)
        if before is not None:
            before.close()
            self.metrics.version.labels(before.served.version.name).set(0)
        self.metrics.version.labels(served.version.name).set(1)

    async def watch(self) -> None:
        """Look for a new promotion from time to time; load it beside the old one, then swap."""
        while True:
            await asyncio.sleep(self.settings.watch)
            refused = self.holder.refused
            try:
                if await asyncio.to_thread(self.holder.look):
                    await asyncio.to_thread(self._took_over)
            except Exception:  # whatever it is, the watch goes on
                log.exception("watch failed")
            self.metrics.versions_refused.inc(self.holder.refused - refused)

    def predict(self, served: Served, images: np.ndarray) -> list[dict[str, Any]]:
        """Return the answers for pictures of the model's shape; runs in the pool."""
        probabilities, embeddings = served.predict(images)
        monitor = self.monitor
        if monitor is not None and monitor.served is served:  # not so for those that a swap overtook
            monitor.add(images, probabilities, embeddings)
        found = served.answers(probabilities)
        for answer in found:
            self.metrics.pictures.labels(answer["class"]).inc()
        return found

    def predict_picture(
        self, served: Served, opened: "Image.Image", wishes: ImageOptions
    ) -> list[dict[str, Any]]:
        """Decode an opened picture and predict it; runs in the pool, or at once for a small one."""
        pixels = decode.prepared(opened, served.shape, wishes, served.framing)
        return self.predict(served, pixels[np.newaxis])

    def predict_file(self, served: Served, content: bytes, wishes: ImageOptions) -> list[dict[str, Any]]:
        """Open, decode and predict one picture file; runs in the pool."""
        return self.predict_picture(served, decode.opened(content, self.settings), wishes)

    def predict_files(
        self, served: Served, files: list[tuple[str, bytes]], wishes: ImageOptions
    ) -> list[dict[str, Any]]:
        """Open, decode and predict picture files, names and contents; runs in the pool.

        All headers are checked before anything is decoded; then one picture at a time is held decoded.
        """
        decode.together((self._opened(*numbered) for numbered in enumerate(files, 1)), self.settings)
        images = []
        for number, (name, content) in enumerate(files, 1):
            with decode.of_file(number, name):
                opened = decode.opened(content, self.settings)
                images.append(decode.prepared(opened, served.shape, wishes, served.framing))
                del opened
        return self.predict(served, np.stack(images))

    def _opened(self, number: int, file: tuple[str, bytes]) -> "Image.Image":
        with decode.of_file(number, file[0]):
            return decode.opened(file[1], self.settings)

    def predict_arrays(self, served: Served, content: bytes, wishes: ImageOptions) -> list[dict[str, Any]]:
        """Read pixels from JSON and predict them; runs in the pool."""
        images = decode.arrays(content, served.shape, self.settings)
        return self.predict(served, 255.0 - images if wishes.invert else images)

    def current(self) -> Served:
        """Return the version that is served.

        Raises:
            RefusedError: 503, it is still being loaded.
        """
        if self.holder.served is None:
            raise RefusedError(503, "loading", "The model is being loaded; come again in a moment.")
        return self.holder.served
