"""The live view: a failed node holds nothing any more."""

from __future__ import annotations

import io

from rich.console import Console

from freehold.cli.live import View, draw
from freehold.cli.objects import state_of
from freehold.cli.snapshot import NodeView, Snapshot
from freehold.client.results import ColumnInfo
from freehold.domain.ids import checksum
from freehold.ledger.contracts.storage import ACTIVE, Column

GOOD, FAILED, PAYEE = (checksum(bytes([i]) * 20) for i in (1, 2, 3))


def node(name: object, **changes: object) -> NodeView:
    fields = {
        "node": name, "owner": PAYEE, "payout": PAYEE, "endpoint": "https://n", "state": "good",
        "bytes": 4_000, "columns": 2, "proven": 3, "missed": 0, "stake": 10**18, "balance": 10**18,
    } | changes  # fmt: skip
    return NodeView(**fields)  # type: ignore[arg-type]


def test_lost_columns_are_told_and_not_counted_as_held() -> None:
    failed = node(FAILED, state="failed", bytes=0, columns=0, lost=5)
    drained = node(PAYEE, state="owes 2", bytes=0, columns=0, moved=4)
    seen = Snapshot("local", 1, 2, 3, 4, (node(GOOD), failed, drained))
    out = io.StringIO()
    Console(file=out, width=120).print(draw(View(seen, [], {}, frozenset())))
    lines = out.getvalue().splitlines()
    assert "4.0 kB under proof" in lines[0]
    assert "balance" in out.getvalue()
    (row,) = (line for line in lines if "failed" in line)
    assert "5 lost" in row
    assert "4 moved" in next(line for line in lines if "owes 2" in line)


def test_a_column_whose_node_failed_is_lost_until_it_moves() -> None:
    def column(state: int) -> ColumnInfo:
        fields = dict.fromkeys(Column.__dataclass_fields__, 0)
        return ColumnInfo(0, Column(**(fields | {"node": FAILED, "state": state})))  # type: ignore[arg-type]

    fates = {FAILED: "failed too many proofs"}
    assert state_of(column(ACTIVE), {}) == "active"
    assert state_of(column(ACTIVE), fates) == "lost"
    assert state_of(column(ACTIVE), {FAILED: "owes proofs"}) == "late"
    assert state_of(column(ACTIVE), {FAILED: "gave notice to leave"}) == "leaving"
    assert state_of(column(2), fates) == "ended"
