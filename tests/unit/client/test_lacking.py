"""A reader without money is told that, and not that nodes are silent."""

from __future__ import annotations

import io
import secrets
import threading
from dataclasses import dataclass
from typing import BinaryIO, cast

import pytest

from freehold.client.client import Client
from freehold.client.sharing import Shared
from freehold.domain.errors import InsufficientFundsError
from freehold.domain.ids import Address
from unit.client.fakes import FakeChain, World

SIZE = 300_000


@dataclass
class PurseChain(FakeChain):
    """The account can open so many rails, then its deposit is used up."""

    rails: int = 0

    def open_cheque(self, node: Address, collateral: int) -> int:
        with self.ledger.lock:
            if self.rails < 1:
                raise InsufficientFundsError("too little free funds", remedy="deposit")
            self.rails -= 1
            return super().open_cheque(node, collateral)


def couple(world: World, *, rails: int) -> tuple[Client, Client, PurseChain]:
    wallet = world.wallet(2)
    purse = PurseChain(world.ledger, wallet.account, rails=rails)
    alice = world.client(world.wallet(1), home="a")
    return alice, world.client(wallet, home="b", chain=purse), purse


def priced(world: World, count: int = 6) -> None:
    for node in world.nodes[:count]:
        node.retrieval_price = 3


def fetched(client: Client, shared: Shared) -> bytes:
    out = io.BytesIO()
    client.get_shared(shared, cast(BinaryIO, out))
    return out.getvalue()


@pytest.mark.parametrize("name", ["b/d/x", "b/d"])
def test_what_a_token_opens_is_not_told_without_money(world: World, name: str) -> None:
    alice, bob, _ = couple(world, rails=0)
    alice.put(secrets.token_bytes(SIZE), "b/d/x")
    priced(world)
    token = alice.share(name, bob.recipient())
    with pytest.raises(InsufficientFundsError, match="too little free funds"):
        bob.open_share(token)


def test_money_that_gives_out_under_way_ends_the_read_and_its_threads(world: World) -> None:
    alice, bob, purse = couple(world, rails=3)
    data = secrets.token_bytes(SIZE)
    alice.put(data, "b/x")
    priced(world)
    [shared] = bob.open_share(alice.share("b/x", bob.recipient())).objects
    with pytest.raises(InsufficientFundsError):
        fetched(bob, shared)
    assert not [t for t in threading.enumerate() if t.name.startswith("column")]
    purse.rails = 3
    assert fetched(bob, shared) == data


def test_nodes_that_want_no_money_are_read_by_the_poor(world: World) -> None:
    alice, bob, _ = couple(world, rails=0)
    data = secrets.token_bytes(SIZE)
    alice.put(data, "b/x")
    priced(world, 2)
    [shared] = bob.open_share(alice.share("b/x", bob.recipient())).objects
    assert fetched(bob, shared) == data


def test_what_cannot_be_paid_hides_nothing_that_can_be_read(world: World) -> None:
    alice, bob, _ = couple(world, rails=0)
    alice.put(secrets.token_bytes(SIZE), "b/d/dear")
    alice.put(secrets.token_bytes(SIZE), "b/d/free")
    alice.mv("b/d/dear", "b/d/moved")
    alice.flush()
    for deal in (2, 3):
        for slot in range(6):
            column = bob.library.columns(deal)[slot]
            world.by_address(column.record.node).clients[column.cid].add(bob.wallet.account)
    priced(world)
    received = bob.open_share(alice.share("b/d", bob.recipient()))
    assert [(gap.deal, gap.reason) for gap in received.unread] == [(1, "too little free funds")]
    free, moved = received.objects
    assert len(fetched(bob, free)) == SIZE
    with pytest.raises(InsufficientFundsError):
        fetched(bob, moved)


def test_an_audit_that_cannot_be_paid_blames_no_node(world: World) -> None:
    alice, bob, _ = couple(world, rails=0)
    alice.put(secrets.token_bytes(SIZE), "b/x")
    priced(world)
    with pytest.raises(InsufficientFundsError):
        bob.library.columns(1)[0].audit()
