"""What the service counts, as Prometheus reads it; several workers are added up."""

import os

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

SHARED = "PROMETHEUS_MULTIPROC_DIR"
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The service's counters; `SHARED` names a folder where there are several workers."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self.latency = Histogram(
            "osemn_request_seconds",
            "Time to answer a prediction request",
            ("status",),
            buckets=_BUCKETS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "osemn_requests_in_flight", "Requests at work", multiprocess_mode="livesum", registry=registry
        )
        self.workers = Gauge(
            "osemn_workers", "Workers that serve a version", multiprocess_mode="livesum", registry=registry
        )
        self.pictures = Counter("osemn_pictures", "Pictures predicted", ("predicted",), registry=registry)
        self.refused = Counter("osemn_refused", "Requests refused, by reason", ("reason",), registry=registry)
        self.version = Gauge(
            "osemn_model_info",
            "1 for the version that is served",
            ("version",),
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.versions_refused = Counter(
            "osemn_versions_refused", "Promoted versions that failed their checks here", registry=registry
        )
        self.drift_p = Gauge(
            "osemn_drift_p_value",
            "p-values of the last window, by test",
            ("test",),
            multiprocess_mode="livemin",
            registry=registry,
        )
        self.drift_windows = Counter(
            "osemn_drift_windows", "Windows examined, by result", ("drifted",), registry=registry
        )

    def text(self) -> bytes:
        """Return all of it in Prometheus's text format."""
        if SHARED not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)
        return generate_latest(together)


CONTENT_TYPE = CONTENT_TYPE_LATEST
