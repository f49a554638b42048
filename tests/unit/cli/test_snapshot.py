"""A network at a glance, from a ledger that says what it is told to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from freehold.cli.snapshot import REPLACED, NodeView, take
from freehold.domain.ids import checksum
from freehold.ledger.contracts.faults import NodeState
from freehold.ledger.contracts.registry import STORAGE
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import Event, Value

NODE, OWNER = checksum(b"\x01" * 20), checksum(b"\x02" * 20)
SIZE = 1_000


def event(name: str, **args: Value) -> Event:
    return Event("any", name, args, 1, 0, "0x00", "0x00", 1)


class Index:
    """Columns of deals 1 and 2 moved away from the node; that of deal 2 is finished."""

    def sync(self) -> None:
        """Nothing to read."""

    def count(self, contract: str, name: str, *, where: object) -> int:
        return 3

    def events(self, contract: str, name: str, **query: object) -> list[Event]:
        if name != "ColumnEnded":
            return []
        assert query["where"] == {"node": NODE, "reason": REPLACED}
        return [event(name, deal=deal, slot=0, rail=deal, node=NODE) for deal in (2, 1)]

    def last(self, contract: str, name: str, *, where: dict[str, int]) -> Event | None:
        return event(name) if where["deal"] == 2 else None


def seen(state: NodeState, *, owed: int = 0) -> NodeView:
    entry = SimpleNamespace(
        roles=STORAGE, owner=OWNER, payout=OWNER, endpoint="https://n", retired=False
    )
    ledger = SimpleNamespace(
        index=Index(),
        registry=SimpleNamespace(count=lambda: 1, node=lambda node: entry),
        call_many=lambda views: [NODE for _ in views],
        faults=SimpleNamespace(node_state=lambda node: state),
        pdp=SimpleNamespace(owed=lambda number: owed, missed=lambda number: 2),
        storage=SimpleNamespace(deal=lambda deal: SimpleNamespace(size=SIZE), deal_count=lambda: 2),
        staking=SimpleNamespace(active=lambda node: 7),
        payments=SimpleNamespace(status=lambda token, owner: SimpleNamespace(funds=9)),
        beacon=SimpleNamespace(period_of=lambda time: 4, round_count=lambda: 3),
        network=SimpleNamespace(name="local", contracts={"token": OWNER}),
        head=lambda: SimpleNamespace(number=5),
        now=lambda: 6,
    )
    (view,) = take(cast(Ledger, ledger)).nodes
    return view


def standing(*, columns: int = 4, failed: bool = False, notice_at: int = 0) -> NodeState:
    return NodeState(
        set_id=1, bytes=columns * SIZE, columns=columns, notice_at=notice_at, failed_at_round=0,
        failed=failed, misses_charged=0, locked=0,
    )  # fmt: skip


def test_what_moved_away_is_not_held() -> None:
    view = seen(standing())
    assert (view.columns, view.bytes, view.moved, view.lost) == (3, 3 * SIZE, 1, 0)
    assert (view.proven, view.missed, view.stake, view.balance) == (3, 2, 7, 9)


def test_a_failed_node_holds_nothing_and_lost_what_was_not_moved() -> None:
    view = seen(standing(failed=True), owed=3)
    assert (view.columns, view.bytes, view.moved, view.lost) == (0, 0, 1, 3)


@pytest.mark.parametrize(
    ("state", "owed", "told"),
    [
        (standing(), 0, "good"),
        (standing(), 2, "owes 2"),
        (standing(notice_at=1), 0, "leaving"),
        (standing(failed=True), 2, "failed"),
    ],
)
def test_how_a_node_stands(state: NodeState, owed: int, told: str) -> None:
    assert seen(state, owed=owed).state == told


def test_a_node_without_columns_is_not_searched_for_moves() -> None:
    assert seen(standing(columns=0)).moved == 0
