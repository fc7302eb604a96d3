"""Prometheus metrics of the server."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})  # others share the label "other"


class Metrics:
    """Metrics of one app, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter("soundgan_requests", "Requests.", ["method", "route", "status"], registry=registry)
        self._seconds = Histogram(
            "soundgan_request_duration_seconds", "Time to the response, in s.", ["route"], registry=registry
        )
        self._sounds = Counter("soundgan_sounds", "Generated sounds.", ["model"], registry=registry)
        sizes = (1, 2, 4, 8, 16, 32, 64)
        self._batch = Histogram("soundgan_batch_size", "Sounds per batch.", ["model"], buckets=sizes, registry=registry)
        self.queued = Gauge("soundgan_queued_sounds", "Sounds in the queue.", ["model"], registry=registry)

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a response; unknown methods share a label, so that clients cannot create series."""
        self._requests.labels(method if method in METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_batch(self, model: str, size: int) -> None:
        """Count a generated batch."""
        self._sounds.labels(model).inc(size)
        self._batch.labels(model).observe(size)

    def text(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self._registry)
