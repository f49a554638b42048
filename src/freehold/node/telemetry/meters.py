"""What the telemetry service counts, in the Prometheus text format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Meters:
    """Counters of one service, in a registry that its other parts may use as well."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._counter("requests", "HTTP requests", "route", "status")
        self.batches = self._counter("batches", "Batches by HTTP", "result")
        self.samples = self._counter("samples", "Samples that sources pushed", "result")
        self.missed = self._counter("live_missed", "Findings that slow listeners missed")
        self.failures = self._counter("loop_failures", "Failed steps", "loop")
        self.listeners = Gauge(
            "freehold_telemetry_live_listeners", "Open live streams", registry=self.registry
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"freehold_telemetry_{name}", text, labels, registry=self.registry)

    def render(self) -> bytes:
        """All of it as text."""
        return generate_latest(self.registry)
