"""A deal renewed: whole or not at all, and with the names of those that stood in its way."""

from __future__ import annotations

import pickle
import secrets

import pytest

from freehold.client.client import Client
from freehold.client.renewing import NotRenewedError
from freehold.domain.errors import ConflictError
from unit.client.fakes import World

SIZE = 700_000
TERM = 90 * 86_400


@pytest.fixture
def client(world: World) -> Client:
    made = world.client(world.wallet())
    made.put(secrets.token_bytes(SIZE), "b/x")
    return made


def test_all_nodes_sign_the_new_term(world: World, client: Client) -> None:
    assert client.objections(1, TERM) == ()
    client.renew(1, TERM)
    assert world.ledger.opened[1].term_end == world.ledger.time + TERM


def test_every_node_that_does_not_sign_is_named_with_its_reason(
    world: World, client: Client
) -> None:
    before = world.ledger.opened[1].term_end
    holders = [world.ledger.columns[1, slot].node for slot in range(6)]
    world.by_address(holders[1]).stop()
    world.by_address(holders[3]).price *= 2
    world.by_address(holders[4]).refuse = lambda method, path: (
        (409, "terms of at most 30 d") if path == "/deals/accept" else None
    )
    with pytest.raises(NotRenewedError, match="3 of the 6 nodes") as caught:
        client.renew(1, TERM)
    told = [(each.slot, each.node) for each in caught.value.objections]
    assert told == [(slot, holders[slot]) for slot in (1, 3, 4)]
    assert "a deal is renewed at its own price" in caught.value.message
    assert "terms of at most 30 d" in caught.value.message
    assert "nothing was renewed" in caught.value.message
    assert "--move" in caught.value.remedy
    assert world.ledger.opened[1].term_end == before
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message


def test_columns_that_moved_let_the_deal_be_renewed(world: World, client: Client) -> None:
    world.add_node(6)
    world.by_address(world.ledger.columns[1, 2].node).stop()
    for objection in client.objections(1, TERM):
        client.repair(1, objection.slot)
    client.renew(1, TERM)
    assert world.ledger.opened[1].term_end == world.ledger.time + TERM


def test_a_term_that_does_not_grow_is_told_so(world: World, client: Client) -> None:
    ends = world.ledger.opened[1].term_end
    with pytest.raises(ConflictError, match="lasts 19 d 23 h longer than that already"):
        client.renew(1, ends - world.ledger.time - 1_727_999)
