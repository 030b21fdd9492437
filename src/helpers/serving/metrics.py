"""The service's counters in Prometheus's text format, summed over the workers."""

import os
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

SHARED = "PROMETHEUS_MULTIPROC_DIR"
# seconds: from half a millisecond, which a small image takes, to twice the default time-out
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The service's counters; `SHARED` names a folder if there are several workers."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        counter = partial(Counter, registry=registry)
        gauge = partial(Gauge, registry=registry, multiprocess_mode="livesum")
        self.latency = Histogram(
            "osemn_request_seconds",
            "Time to respond to a prediction request",
            ("status",),
            buckets=_BUCKETS,
            registry=registry,
        )
        self.in_flight = gauge("osemn_requests_in_flight", "Requests in progress")
        self.workers = gauge("osemn_workers", "Workers that serve a version")
        self.pictures = counter("osemn_pictures", "Images classified", ("predicted",))
        self.refused = counter("osemn_refused", "Requests refused, by reason", ("reason",))
        self.version = gauge(
            "osemn_model_info", "1 for the served version", ("version",), multiprocess_mode="livemax"
        )
        self.versions_refused = counter("osemn_versions_refused", "Promoted versions that failed checks here")
        self.drift_p = gauge(
            "osemn_drift_p_value",
            "p-values of the last window, by test",
            ("test",),
            multiprocess_mode="livemin",
        )
        self.drift_windows = counter("osemn_drift_windows", "Windows examined, by result", ("drifted",))

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        registry = self._registry
        if SHARED in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        return generate_latest(registry)
