"""The live view: a failed node holds nothing any more."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from rich.console import Console

from freehold.cli import live
from freehold.cli.home import Home
from freehold.cli.live import View, draw
from freehold.cli.local import LocalNetwork, is_down
from freehold.cli.objects import state_of
from freehold.cli.snapshot import NodeView, Snapshot
from freehold.client.results import ColumnInfo
from freehold.domain.errors import UnavailableError
from freehold.domain.ids import checksum
from freehold.ledger.contracts.storage import ACTIVE, Column

if TYPE_CHECKING:
    from freehold.ledger.ledger import Ledger

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


def test_the_view_ends_when_the_network_was_stopped_and_keeps_what_it_saw_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`down` in another terminal: the ledger falls silent, then a note says that it was meant."""
    home = Home(tmp_path)
    home.devnet.mkdir()
    view = View(Snapshot("local", 1, 2, 3, 4, (node(GOOD),)), [], {}, frozenset())
    looks: list[object] = []

    def look(*seen: object) -> View:
        looks.append(seen)
        if len(looks) == 1:
            return view
        assert len(looks) == 2, "it looks on"
        LocalNetwork(home, lambda _: None).stop()
        raise UnavailableError("no RPC answered", remedy="wait")

    monkeypatch.setattr(live, "look", look)
    monkeypatch.setattr(live, "REFRESH", 0)
    out = io.StringIO()
    ledger = cast("Ledger", None)  # only ``look`` asks it
    screen = Console(file=out, width=120, force_terminal=True)
    live.watch(ledger, home, screen, stop=lambda: is_down(home))
    told = out.getvalue()
    assert told.index("no RPC answered") < told.rindex("under proof")
    assert "Ctrl-C" not in told[told.rindex("under proof") :]


def test_a_network_is_down_from_its_stop_to_its_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home")
    network = LocalNetwork(home, lambda _: None)
    assert network.stop() == []
    assert not is_down(home)  # its ledger is elsewhere: there is none to stop
    home.devnet.mkdir(parents=True)
    assert network.stop() == []
    assert is_down(home)

    def begin(*_: object, **__: object) -> None:
        assert not is_down(home)
        raise InterruptedError

    monkeypatch.setattr("freehold.cli.local.Devnet.attach", begin)
    with pytest.raises(InterruptedError):
        network.start_devnet()
    assert not is_down(home)


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
