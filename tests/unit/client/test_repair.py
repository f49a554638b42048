"""A column made anew elsewhere: bit for bit, within the mandate, in spite of nodes that lie."""

from __future__ import annotations

import io
import secrets
from dataclasses import replace

import pytest

from freehold.client.client import Client
from freehold.domain.errors import CapacityError, ConflictError, NotEnoughShardsError
from unit.client.fakes import FakeNode, World

SIZE = 700_000


@pytest.fixture
def client(world: World) -> Client:
    made = world.client(world.wallet())
    made.put(secrets.token_bytes(SIZE), "b/x")
    return made


def holder(world: World, slot: int) -> str:
    return world.ledger.columns[1, slot].node


@pytest.mark.parametrize("slot", [0, 3, 5])
def test_a_lost_column_comes_back_bit_for_bit_on_a_new_owner_s_node(
    world: World, client: Client, slot: int
) -> None:
    spare = world.add_node(6)
    lost = world.by_address(world.ledger.columns[1, slot].node)
    [(cid, piece)] = lost.pieces.items()
    lost.stop()
    repaired = client.repair(1, slot)
    assert repaired.node == spare.key.address == holder(world, slot)
    assert spare.pieces == {cid: piece}


def test_a_repairer_needs_no_key_of_the_client(world: World, client: Client) -> None:
    world.add_node(6)
    stranger = world.client(world.wallet(9), home="stranger")
    stranger.repair(1, 2)
    world.by_address(world.ledger.columns[1, 0].node).stop()
    client.get("b/x", io.BytesIO())


def test_repair_again_finds_the_piece_in_place(world: World, client: Client) -> None:
    spare = world.add_node(6)
    old = world.ledger.columns[1, 1]
    client.repair(1, 1)
    world.ledger.columns[1, 1] = old
    spare.calls.clear()
    client.repair(1, 1)
    assert ("POST", "/upload") not in spare.calls


def altered(piece: bytes) -> bytes:
    """With one byte that is another one."""
    return piece[:50_000] + bytes([piece[50_000] ^ 1]) + piece[50_001:]


def test_a_source_that_lies_is_found_by_its_root(world: World, client: Client) -> None:
    world.add_node(6)
    liar = world.by_address(world.ledger.columns[1, 0].node)
    liar.pieces = {cid: altered(piece) for cid, piece in liar.pieces.items()}
    repaired = client.repair(1, 4)
    assert repaired.liars == (0,)


def test_a_source_that_fails_is_replaced(world: World, client: Client) -> None:
    world.add_node(6)
    failing = world.by_address(world.ledger.columns[1, 0].node)
    failing.refuse = lambda method, path: (
        (410, "quarantined") if method == "GET" and path != "/offer" else None
    )
    assert client.repair(1, 4).liars == ()


def test_below_k_columns_there_is_nothing_to_do(world: World, client: Client) -> None:
    world.add_node(6)
    for slot in (0, 1, 2):
        world.by_address(world.ledger.columns[1, slot].node).stop()
    with pytest.raises(NotEnoughShardsError, match="of the 4 columns"):
        client.repair(1, 0)


def moved_to_liar(world: World, slot: int, number: int) -> FakeNode:
    """A stranger moves a column to a node that has signed for bytes that it does not have."""
    liar = world.add_node(number)
    ledger = world.ledger
    ledger.moves.append((1, slot, ledger.columns[1, slot].node))
    ledger.columns[1, slot] = replace(ledger.columns[1, slot], node=liar.key.address)
    return liar


def test_former_nodes_stand_in_for_new_ones_that_have_nothing(world: World, client: Client) -> None:
    """Two of six columns moved to liars and one node lost: three are left, and three former."""
    for slot in (0, 1):
        moved_to_liar(world, slot, 6 + slot)
    lost = world.by_address(world.ledger.columns[1, 2].node)
    [piece] = lost.pieces.items()
    lost.stop()
    spare = world.add_node(8)
    assert client.repair(1, 2, target=spare.key.address).liars == ()
    assert dict([piece]) == spare.pieces


def test_a_former_node_is_no_help_where_it_lies_too(world: World, client: Client) -> None:
    for slot in (0, 1):
        former = world.by_address(world.ledger.columns[1, slot].node)
        moved_to_liar(world, slot, 6 + slot)
        former.pieces = {cid: b"x" * len(piece) for cid, piece in former.pieces.items()}
    world.by_address(world.ledger.columns[1, 2].node).stop()
    world.add_node(8)
    with pytest.raises(NotEnoughShardsError):
        client.repair(1, 2)


def test_former_nodes_are_asked_when_a_present_one_turns_out_to_lie(
    world: World, client: Client
) -> None:
    liar = moved_to_liar(world, 0, 6)
    for slot in (1, 2):
        world.by_address(world.ledger.columns[1, slot].node).stop()
    [(cid, piece)] = world.by_address(world.ledger.moves[0][2]).pieces.items()
    liar.pieces = {cid: altered(piece)}
    world.add_node(7)
    assert client.repair(1, 1).liars == (0,)


def test_owners_of_other_columns_are_no_target(world: World, client: Client) -> None:
    world.add_node(6, owner=world.by_address(world.ledger.columns[1, 1].node).owner)
    with pytest.raises(CapacityError, match="already holds a column"):
        client.repair(1, 0)


def test_the_mandate_bounds_the_price(world: World, client: Client) -> None:
    world.add_node(6, price=10**19)
    with pytest.raises(CapacityError, match="asks 10 per TiB-month"):
        client.repair(1, 0)


def test_a_named_target_is_used_or_refused(world: World, client: Client) -> None:
    world.add_node(6)
    chosen = world.add_node(7)
    assert client.repair(1, 0, target=chosen.key.address).node == chosen.key.address
    with pytest.raises(CapacityError):
        client.repair(1, 1, target=chosen.key.address)


def test_a_target_that_refuses_is_passed_over(world: World, client: Client) -> None:
    full, free = world.add_node(6), world.add_node(7)
    full.refuse = lambda method, path: (507, "full") if method == "POST" else None
    assert client.repair(1, 0).node == free.key.address


def test_a_finished_column_is_not_repaired(world: World, client: Client) -> None:
    world.add_node(6)
    world.ledger.columns[1, 0] = replace(world.ledger.columns[1, 0], state=3)
    with pytest.raises(ConflictError, match="no live column 0"):
        client.repair(1, 0)
