"""What a watcher counts, in the Prometheus text format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """Counters of one watcher, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.proofs = self._counter("proofs", "Proofs checked again", "outcome")
        self.probes = self._counter("probes", "Retrievals tried", "outcome")
        self.repairs = self._counter("repairs", "Columns put on another node", "outcome")
        self.failures = self._counter("loop_failures", "Failed steps", "loop")
        self.latency = Histogram(
            "freehold_watcher_probe_seconds", "Time of a probe's read", registry=self.registry
        )
        self.patients = Gauge(
            "freehold_watcher_patients", "Nodes whose columns need repair", registry=self.registry
        )

    def _counter(self, name: str, text: str, label: str) -> Counter:
        return Counter(f"freehold_watcher_{name}", text, (label,), registry=self.registry)

    def failed(self, loop: str) -> None:
        """Count a failed step of a loop."""
        self.failures.labels(loop).inc()
