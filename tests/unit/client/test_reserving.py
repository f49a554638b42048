"""Puts side by side do not count on the same money."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from pathlib import Path

import pytest

from freehold.client.client import Client
from freehold.client.journal import VERSION, Intent, Journal
from freehold.domain.errors import FreeholdError, InsufficientFundsError
from unit.client.fakes import FakeChain, World

SIZE = 300_000
WAIT = 30


def reserved(client: Client) -> int:
    return len(client._journal.rows("SELECT id FROM reservations"))


def enough_for_one(world: World) -> tuple[Client, Client, FakeChain]:
    """Two processes of one wallet whose money is enough for one object."""
    wallet = world.wallet()
    chain = world.chain(wallet)
    one, two = world.client(wallet, chain=chain), world.client(wallet, chain=chain)
    quote = one.quote(SIZE)
    chain.available = (quote.lockup + quote.reserve) * 3 // 2
    return one, two, chain


def test_of_two_puts_side_by_side_the_second_is_refused_before_it_sends(world: World) -> None:
    one, two, _ = enough_for_one(world)
    reached, go = threading.Event(), threading.Event()

    def hold(method: str, path: str) -> None:
        if method == "PATCH":
            reached.set()
            go.wait(WAIT)

    for node in world.nodes:
        node.before = hold
    deals: list[int] = []
    first = threading.Thread(
        target=lambda: deals.append(one.put(secrets.token_bytes(SIZE), "b/1").deal)
    )
    first.start()
    assert reached.wait(WAIT)
    uploads = sum(path == "/upload" for node in world.nodes for _, path in node.calls)
    with pytest.raises(InsufficientFundsError, match="for puts under way"):
        two.put(secrets.token_bytes(SIZE), "b/2")
    assert sum(path == "/upload" for node in world.nodes for _, path in node.calls) == uploads
    go.set()
    first.join(WAIT)
    assert deals == [1]
    assert reserved(one) == 0


def test_a_put_that_failed_gives_its_money_back(world: World) -> None:
    one, two, _ = enough_for_one(world)
    for node in world.nodes:
        node.refuse = lambda method, path: (507, "full") if path == "/upload" else None
    with pytest.raises(FreeholdError, match="full"):
        one.put(secrets.token_bytes(SIZE), "b/1")
    assert reserved(one) == 0
    for node in world.nodes:
        node.refuse = lambda method, path: None
    assert two.put(secrets.token_bytes(SIZE), "b/2").deal == 1


def test_an_opening_that_the_ledger_refused_holds_no_money(world: World) -> None:
    one, two, _ = enough_for_one(world)
    world.ledger.refuse_open = lambda request: "storage: market is paused"
    with pytest.raises(FreeholdError, match="paused"):
        one.put(secrets.token_bytes(SIZE), "b/1")
    world.ledger.refuse_open = lambda request: None
    assert reserved(one) == 0
    assert two.put(secrets.token_bytes(SIZE), "b/2").deal == 1


def set_aside(client: Client, object_id: bytes, owner: int) -> None:
    client._journal.run(
        "INSERT INTO reservations (object_id, owner, locked, rate, escrow, gas) "
        "VALUES (?, ?, ?, '0', '0', '0')",
        (object_id, owner, str(10**30)),
    )


def test_what_a_dead_process_set_aside_is_free(world: World) -> None:
    one, _, _ = enough_for_one(world)
    set_aside(one, bytes(32), owner=12345)
    assert one.put(secrets.token_bytes(SIZE), "b/1").deal == 1
    assert reserved(one) == 0


def test_an_opening_on_the_chain_is_not_counted_twice(world: World) -> None:
    one, two, chain = enough_for_one(world)
    opened = one.put(secrets.token_bytes(SIZE), "b/1")
    quote = one.quote(SIZE)
    chain.available = quote.lockup + quote.reserve
    set_aside(one, opened.object_id, owner=one._liveness.id)
    assert two.put(secrets.token_bytes(SIZE), "b/2").deal == 2
    set_aside(one, bytes(32), owner=one._liveness.id)
    with pytest.raises(InsufficientFundsError):
        two.put(secrets.token_bytes(SIZE), "b/3")


def test_a_journal_of_the_version_before_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    journal.save_cheque("node", 3, 7)
    journal.close()
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE reservations")
        db.execute("DROP TABLE spoken")
        db.execute("PRAGMA user_version = 1")
    db.close()
    again = Journal(path)
    assert again.rows("PRAGMA user_version") == [(VERSION,)]
    assert again.rows("SELECT * FROM reservations") == []
    assert again.cheque("node") == (3, 7)
    again.close()


def test_packs_under_way_of_an_older_journal_are_known_by_their_names(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    intent = Intent(b"p" * 32, "pack", "pack", b"", b"", 0, 1)
    with journal.write():
        journal.save_intent(intent, [])
        journal.assign(intent.object_id, [journal.add_entry("b/x", "put", b"", 1)])
    journal.close()
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE spoken")
        db.execute("PRAGMA user_version = 2")
    db.close()
    again = Journal(path)
    assert again.packing("b/x")
    again.drop_intent(intent.object_id)
    assert not again.packing("b/x")
    again.close()
