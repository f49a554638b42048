"""What a node counts, in the Prometheus text format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters and gauges of one node, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.proofs = self._counter("proofs", "Rounds answered on the chain", "when")
        self.spots = self._counter("spot_answers", "Spot challenges answered")
        self.unprovable = self._counter("unprovable_rounds", "Rounds that could not be answered")
        self.requests = self._counter("requests", "HTTP requests", "method", "status")
        self.received = self._counter("received_bytes", "Bytes uploaded")
        self.served = self._counter("served_bytes", "Bytes of pieces sent")
        self.earned = self._counter("earned_units", "Base units paid to the node", "source")
        self.rot = self._counter("rot", "Pieces found rotten")
        self.scrubbed = self._counter("scrubbed_bytes", "Bytes read again and found sound")
        self.collected = self._counter("collected_pieces", "Pieces deleted")
        self.failures = self._counter("loop_failures", "Failed steps", "loop")
        self.misses = self._gauge("misses", "Rounds missed or owed, as the chain counts")
        self.pieces = self._gauge("pieces", "Pieces held")
        self.held = self._gauge("held_bytes", "Bytes of pieces and trees")
        self.reserved = self._gauge("reserved_bytes", "Bytes promised to uploads")
        self.capacity = self._gauge("capacity_bytes", "Bytes offered")
        self.disk_free = self._gauge("disk_free_bytes", "Bytes free on the disk")
        self.columns = self._gauge("columns", "Columns of deals", "state")
        self.gas = self._gauge("gas_units", "Native base units for gas")
        self.reward_waiting = self._gauge(
            "reward_waiting_units", "Base units of rewards to claim, at most"
        )
        self.dry_clients = self._gauge("dry_clients", "Clients whose deposit runs out soon")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"freehold_node_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"freehold_node_{name}", text, labels, registry=self.registry)

    def failed(self, loop: str) -> None:
        """Count a failed step of a loop."""
        self.failures.labels(loop).inc()

    def render(self) -> bytes:
        """All of it as text."""
        return generate_latest(self.registry)
