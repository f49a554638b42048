"""The main journey: nodes die, a disk loses what it holds, and the network keeps its word."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from freehold.audit.verify import verify_live
from freehold.cli.local import STAKE
from freehold.client.client import Client
from freehold.domain.errors import NotFoundError
from freehold.domain.ids import Address
from freehold.ledger.contracts.storage import ACTIVE
from freehold.ledger.keystore import load
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import Event
from journeys.town import Town

pytestmark = pytest.mark.journey
NAME = "story/book.bin"
PATIENCE = 200.0


def wait_for(done: Callable[[], bool], town: Town, what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come within {PATIENCE:.0f} s\n{town.tails()}")
        time.sleep(0.2)


def holders(client: Client, deal: int) -> list[Address]:
    return [c.record.node for c in client.deal(deal).columns if c.record.state == ACTIVE]


def names(town: Town) -> dict[Address, str]:
    folders = town.home.nodes()
    return {load(f / "key.json", (f / "password").read_text()).address: f.name for f in folders}


def lose_pieces(folder: Path) -> int:
    """Delete what a node holds behind its back; how many files went."""
    gone = [path for path in (folder / "pieces").rglob("*") if path.is_file()]
    for path in gone:
        path.unlink()
    return len(gone)


def last(ledger: Ledger, contract: str, name: str, **where: object) -> Event | None:
    ledger.index.sync()
    return ledger.index.last(contract, name, where=where)


def test_kill_lose_slash_repair_verify(tmp_path: Path) -> None:
    data = os.urandom(3 * 2**20 + 17)
    town = Town.found(tmp_path / "home", nodes=8)
    try:
        _story(town, data, tmp_path)
    finally:
        town.stop()


def _story(town: Town, data: bytes, scratch: Path) -> None:
    by_node = names(town)
    with town.client() as client:
        deal = client.put(data, NAME, preset=(4, 6)).deal
        before = holders(client, deal)
        roots = [column.record.root for column in client.deal(deal).columns]
        dead, emptied = before[0], before[1]
        town.kill(by_node[dead])
        assert lose_pieces(town.home.node(by_node[emptied])) > 0
        client.get(NAME, scratch / "with-two-lost")
        assert (scratch / "with-two-lost").read_bytes() == data
    with town.ledger() as ledger:
        # From here on the client is offline: nothing below uses its key.
        for node in (dead, emptied):
            _fails_and_is_slashed(town, ledger, node)
        wait_for(lambda: _moved(ledger, deal) == {0, 1}, town, "the repair of both columns")
        _paid_for_nothing(ledger, deal, (dead, emptied))
        wait_for(
            lambda: last(ledger, "storage", "RepairPaid", deal=deal) is not None,
            town,
            "the repairer's pay",
        )
    with town.client() as client:
        columns = client.deal(deal).columns
        assert [column.record.root for column in columns] == roots
        assert all(column.active for column in columns)
        after = holders(client, deal)
        assert not {dead, emptied} & set(after)
        assert len({_owner(client, node) for node in after}) == 6
        client.get(NAME, scratch / "repaired")
        assert (scratch / "repaired").read_bytes() == data
    with town.ledger() as ledger:
        report = verify_live([ledger.rpc], ledger.network)
        assert report.passed, report.difference


def _fails_and_is_slashed(town: Town, ledger: Ledger, node: Address) -> None:
    for name in ("FaultsCharged", "NodeFailed"):
        wait_for(partial(_told, ledger, name, node), town, f"{name} of {node}")
    event = last(ledger, "faults", "NodeFailed", node=node)
    assert event is not None
    assert event.number("slashed") > 0
    assert ledger.staking.active(node) < STAKE


def _told(ledger: Ledger, name: str, node: Address) -> bool:
    return last(ledger, "faults", name, node=node) is not None


def _moved(ledger: Ledger, deal: int) -> set[int]:
    ledger.index.sync()
    events = ledger.index.events("storage", "ColumnReplaced", where={"deal": deal})
    return {event.number("slot") for event in events}


def _paid_for_nothing(ledger: Ledger, deal: int, lost: tuple[Address, ...]) -> None:
    """The rails of the lost columns were paid for no second after the first missed round."""
    for event in ledger.index.events("storage", "ColumnOpened", where={"deal": deal}):
        if event.address("node") not in lost:
            continue
        rail = ledger.payments.rail(event.number("rail"))
        state = ledger.faults.node_state(event.address("node"))
        first = ledger.beacon.round(state.failed_at_round)
        start = ledger.beacon.period_start(first.period)
        assert rail.accepted <= start - rail.opened_at


def _owner(client: Client, node: Address) -> Address:
    for record in client.chain.nodes():
        if record.peer.node == node:
            return record.owner
    raise NotFoundError(f"{node} is not registered", remedy="Look at the test.")
