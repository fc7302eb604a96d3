"""What a server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})  # others are counted together


class Metrics:
    """Counters of one app."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        self.requests = Counter(
            "soundgan_requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self.seconds = Histogram("soundgan_request_seconds", "Time to an answer, in s.", ["route"], registry=registry)
        self.sounds = Counter("soundgan_sounds", "Sounds made.", ["model"], registry=registry)
        self.batch = Histogram(
            "soundgan_batch_sounds",
            "Sounds made together.",
            ["model"],
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=registry,
        )
        self.waiting = Gauge("soundgan_waiting_sounds", "Sounds that wait.", ["model"], registry=registry)

    def text(self) -> bytes:
        """All of them in the text format of Prometheus."""
        return generate_latest(self._registry)
