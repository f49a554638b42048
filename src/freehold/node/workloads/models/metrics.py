"""What a model server counts, in the Prometheus text format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters, gauges and histograms of one model, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "freehold_model_requests",
            "Requests to infer, by HTTP status",
            ["status"],
            registry=self.registry,
        )
        self.refusals = Counter(
            "freehold_model_refusals",
            "Requests to infer that were refused, by kind",
            ["kind"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "freehold_model_seconds",
            "From a whole request to its answer",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch = Histogram(
            "freehold_model_batch_rows", "Rows asked at once", buckets=_ROWS, registry=self.registry
        )
        self.restarts = Counter(
            "freehold_model_restarts", "Processes that ended", registry=self.registry
        )
        self.waiting = self._gauge("waiting", "Requests that wait for a process")
        self.processes = self._gauge("processes", "Processes that are warm")

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"freehold_model_{name}", text, registry=self.registry)

    def render(self) -> bytes:
        """All of it as text."""
        return generate_latest(self.registry)
