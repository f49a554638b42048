"""Who watches: asked of the chain, seldom, and never of strangers."""

from __future__ import annotations

from dataclasses import dataclass, field

from freehold.domain.ids import Address, checksum
from freehold.ledger.contracts.registry import OPERATOR, WATCHER
from freehold.node.telemetry.watchers import FRESH_SECONDS, Watchers
from unit.node.world import FakeIndex, HandClock, event

ONE, TWO, STRANGER = (checksum(bytes([n]) * 20) for n in (1, 2, 3))


@dataclass
class Registry:
    roles: dict[Address, int] = field(default_factory=lambda: {ONE: WATCHER, TWO: OPERATOR})
    asked: list[Address] = field(default_factory=list)

    def active(self, node: Address, role: int) -> bool:
        self.asked.append(node)
        return bool(self.roles.get(node, 0) & role)


def test_only_watchers_in_service_are() -> None:
    registry, clock = Registry(), HandClock()
    log = [event("NodeRegistered", contract="registry", node=node) for node in (ONE, TWO)]
    watchers = Watchers(FakeIndex(log), registry, clock=clock)
    found = [[watchers.has(who) for who in (ONE, TWO, STRANGER)] for _ in range(3)]
    assert found == [[True, False, False]] * 3
    assert registry.asked == [ONE, TWO]
    registry.roles[ONE] = 0
    clock.time += FRESH_SECONDS
    assert not watchers.has(ONE)
