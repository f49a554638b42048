"""What a validator counts, in the Prometheus text format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class Metrics:
    """Counters and gauges of one validator, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.rounds = self._counter("rounds", "Rounds of questions", "outcome")
        self.questions = self._counter("questions", "Questions that were put")
        self.rows = self._counter("rows", "Rows of weights", "step")
        self.recorded = self._counter("recorded", "Stakes put down for others")
        self.failures = self._counter("loop_failures", "Failed steps", "loop")
        self.nodes = self._gauge("nodes", "Nodes that have a score above 0")
        self.epoch = self._gauge("scored_epoch", "The last epoch that was scored")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"freehold_validator_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"freehold_validator_{name}", text, registry=self.registry)

    def failed(self, loop: str) -> None:
        """Count a failed step of a loop."""
        self.failures.labels(loop).inc()

    def render(self) -> bytes:
        """All of it as text."""
        return generate_latest(self.registry)
