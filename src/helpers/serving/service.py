"""What all requests of a worker share: the served version, the pool, the drift monitor and the counters."""

import asyncio
import logging
import os
import threading
from collections.abc import Collection
from typing import Any

import numpy as np
from PIL import Image

from helpers.obtain.images.pictures import ImageOptions
from helpers.serving import decode
from helpers.serving.drift_monitor import DriftMonitor
from helpers.serving.metrics import Metrics
from helpers.serving.model import Holder, Served
from helpers.serving.pool import Pool
from helpers.serving.settings import API_KEY, Settings

log = logging.getLogger("osemn.serving")

ending = threading.Event()
"""Set when the process is asked to end: from then on it is not ready."""


class Service:
    """What all requests of a worker share.

    Raises:
        OsemnError: there is no version to serve, or it is damaged.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.holder = Holder(settings.dataset, settings.workers)
        self.pool = Pool(settings.threads, settings.queue, settings.timeout)
        self.monitor: DriftMonitor | None = None
        self.key = os.environ.get(API_KEY, "")
        self.tasks: Collection[
            object
        ] = ()  # the server's requests in progress, if a server runs the application
        self.buffered = 0  # bytes of bodies in memory
        self._batches: dict[Served, tuple[list[np.ndarray], asyncio.Task]] = {}
        self._watch_for_drift()
        self.metrics.workers.set(1)

    def _watch_for_drift(self) -> None:
        """Start a monitor for the version that was taken over."""
        served, before = self.holder.served, self.monitor
        # the rate of false alarms is stated for the service, so its workers share the windows of a day
        every = self.settings.drift_every * self.settings.workers
        self.monitor = DriftMonitor(served, self.settings.drift_window, every, self.metrics)
        if before is not None:
            before.close()
            self.metrics.version.labels(before.served.version.name).set(0)
        self.metrics.version.labels(served.version.name).set(1)

    async def watch(self) -> None:
        """Check regularly for a new promotion; load it beside the old one, then swap."""
        while True:
            await asyncio.sleep(self.settings.watch)
            refused = self.holder.refused
            try:
                if await asyncio.to_thread(self.holder.update):
                    await asyncio.to_thread(self._watch_for_drift)
            except Exception:  # the watch survives any failure
                log.exception("watch failed")
            self.metrics.versions_refused.inc(self.holder.refused - refused)

    def predict(self, served: Served, images: np.ndarray) -> list[dict[str, Any]]:
        """Return the predictions for images of the model's shape; runs in the pool."""
        probabilities, embeddings = served.predict(images, alone=self.pool.pending < 2)
        monitor = self.monitor
        if monitor.served is served:  # a swap may have come in between
            monitor.add(images, probabilities, embeddings)
        predictions = served.describe(probabilities, embeddings)
        for prediction in predictions:
            self.metrics.pictures.labels(prediction["class"]).inc()
        self.metrics.unknown.inc(sum(bool(prediction["unknown"]) for prediction in predictions))
        return predictions

    async def predict_together(self, served: Served, pixels: np.ndarray) -> list[dict[str, Any]]:
        """Classify one image in the same call of the model as all others that came in this turn of the event loop.

        Nothing waits for others that may come; one that is alone is classified at once.
        """
        if len(self.tasks) == 1:
            return self.predict(served, pixels[np.newaxis])
        if served not in self._batches:
            self._batches[served] = [], asyncio.ensure_future(self._predict_batch(served))
        images, batch = self._batches[served]
        images.append(pixels)
        place = len(images) - 1
        return [(await asyncio.shield(batch))[place]]  # a request that is cancelled leaves the others theirs

    async def _predict_batch(self, served: Served) -> list[dict[str, Any]]:
        """Classify what was collected; as a new task, this runs after all requests that can be read now."""
        images, _ = self._batches.pop(served)
        return self.predict(served, np.stack(images))

    def predict_file(self, served: Served, content: bytes, options: ImageOptions) -> list[dict[str, Any]]:
        """Open, decode and classify one image file; runs in the pool."""
        image = decode.open_image(content, self.settings)
        pixels = decode.prepare(image, served.shape, options, served.preparation)
        return self.predict(served, pixels[np.newaxis])

    def predict_files(
        self, served: Served, files: list[tuple[str, bytes]], options: ImageOptions
    ) -> list[dict[str, Any]]:
        """Open, decode and classify image files, given by name and content; runs in the pool.

        All headers are checked before anything is decoded. Then one image at a time is held decoded.
        """

        def open_file(number: int, file: tuple[str, bytes]) -> Image.Image:
            with decode.name_file(number, file[0]):
                return decode.open_image(file[1], self.settings)

        decode.check_total_pixels((open_file(*numbered) for numbered in enumerate(files, 1)), self.settings)
        images = []
        for number, file in enumerate(files, 1):
            with decode.name_file(number, file[0]):
                image = decode.open_image(file[1], self.settings)
                images.append(decode.prepare(image, served.shape, options, served.preparation))
                del image
        return self.predict(served, np.stack(images))

    def predict_arrays(self, served: Served, content: bytes, options: ImageOptions) -> list[dict[str, Any]]:
        """Read pixels from JSON and classify them; runs in the pool."""
        images = decode.read_json(content, served.shape, self.settings)
        return self.predict(served, 255.0 - images if options.invert else images)
