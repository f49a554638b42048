"""The node's own work as a sensor: bytes held, proofs, misses, earnings, gas, how far it lags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from freehold.domain.money import UNIT
from freehold.node.agent.sensors import Value

_STEM = "freehold_node_"
_TOLD = (
    ("node.held.used", "held_bytes", "B", 1.0),
    ("node.disk.free", "disk_free_bytes", "B", 1.0),
    ("node.capacity", "capacity_bytes", "B", 1.0),
    ("node.pieces.count", "pieces", "1", 1.0),
    ("node.columns.count", "columns", "1", 1.0),
    ("node.proofs.count", "proofs_total", "1", 1.0),
    ("node.missed.count", "misses", "1", 1.0),
    ("node.rot.count", "rot_total", "1", 1.0),
    ("node.received.used", "received_bytes_total", "B", 1.0),
    ("node.served.used", "served_bytes_total", "B", 1.0),
    ("node.failures.count", "loop_failures_total", "1", 1.0),
    ("node.earned", "earned_units_total", "1", 1.0 / UNIT),
    ("node.gas", "gas_units", "1", 1.0 / UNIT),
)
"""Metric, the node's counter (summed over its labels), unit and scale: money in whole tokens."""


@dataclass(frozen=True, slots=True)
class Market:
    """A ``Sensor`` over a node's counters; ``lag`` gives the seconds by which what the node knows
    of the chain is behind the chain's time."""

    registry: CollectorRegistry
    lag: Callable[[], float]
    name: str = "market"

    def read(self) -> Sequence[Value]:
        """What the counters say now."""
        sums: dict[str, float] = {}
        for family in self.registry.collect():
            for sample in family.samples:
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
        values = [
            Value(metric, unit, sums[_STEM + name] * scale)
            for metric, name, unit, scale in _TOLD
            if _STEM + name in sums
        ]
        return [*values, Value("node.chain.lag", "s", max(0.0, self.lag()))]
