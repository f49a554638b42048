"""What the ledger says that watchers agreed on, as placement takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import pytest

from freehold.client.chain import NodeRecord
from freehold.client.connection import Peer
from freehold.client.steering import STALE, Known, steered
from freehold.control.placement import MILLION
from freehold.domain.aspects import REACHABLE, SPEED
from freehold.domain.ids import Address, checksum
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import Value, View

NOW, LENGTH = 1_800_000_000, 100


@dataclass
class Chain:
    """Answers ``value_of``; counts exchanges."""

    values: dict[tuple[Address, bytes], tuple[int, int]] = field(default_factory=dict)
    contracts: tuple[str, ...] = ("status",)
    exchanges: int = 0

    @property
    def network(self) -> SimpleNamespace:
        return SimpleNamespace(contracts=self.contracts)

    @property
    def status(self) -> SimpleNamespace:
        return SimpleNamespace(round_length=lambda: LENGTH)

    def now(self) -> int:
        return NOW

    def call_many(self, views: Sequence[View]) -> list[Value]:
        self.exchanges += 1
        asked = cast("list[tuple[Address, bytes]]", [view.args for view in views])
        return [list(self.values.get(each, (0, 0))) for each in asked]


def record(number: int = 1, barred: str = "") -> NodeRecord:
    name = checksum(number.to_bytes(20, "big"))
    return NodeRecord(Peer(name, "https://x", b"\x01" * 32), name, 0, 0, 0, barred)


def steer(chain: Chain, *records: NodeRecord) -> list[NodeRecord]:
    return steered(cast("Ledger", chain), records)


def told(reachable: int, speed: int | None = None, *, at: int = NOW) -> Chain:
    name = record().peer.node
    found = {(name, REACHABLE): (reachable, at)}
    if speed is not None:
        found[name, SPEED] = (speed, at)
    return Chain(found)


def test_where_nothing_was_agreed_a_node_is_as_good_as_any() -> None:
    (found,) = steer(Chain(), record())
    assert (found.status, found.barred) == (MILLION, "")


def test_a_network_without_watchers_is_not_asked() -> None:
    chain = Chain(contracts=())
    assert steer(chain, record()) == [record()]
    assert chain.exchanges == 0


@pytest.mark.parametrize(
    ("reachable", "speed", "status"),
    [
        (10_000, None, MILLION), (9_000, None, 900_000), (10_000, 13, MILLION),
        (10_000, 12, 937_500), (8_000, 12, 750_000), (10_000, 0, 187_500), (12_000, 99, MILLION),
    ],
)  # fmt: skip
def test_reachability_and_speed_make_the_status(
    reachable: int, speed: int | None, status: int
) -> None:
    (found,) = steer(told(reachable, speed), record())
    assert (found.status, found.barred) == (status, "")


def test_a_node_that_is_hardly_reachable_is_barred_with_the_reason() -> None:
    (found,) = steer(told(4_999), record())
    assert found.barred == "watchers reach it 49 % of the time"
    assert steer(told(5_000), record())[0].barred == ""
    assert Known(-5, None).barred == "watchers reach it 0 % of the time"


def test_another_reason_stays() -> None:
    assert steer(told(0), record(barred="gave notice"))[0].barred == "gave notice"


def test_what_was_agreed_long_ago_does_not_count() -> None:
    edge = NOW - STALE * LENGTH
    assert steer(told(0, at=edge), record())[0].barred
    assert not steer(told(0, at=edge - 1), record())[0].barred


def test_all_nodes_are_asked_for_at_once() -> None:
    chain = Chain()
    assert len(steer(chain, *(record(n) for n in range(1, 301)))) == 300
    assert chain.exchanges == 1
