"""Who takes part in a subnet: registration, its price, and whom newcomers replace."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from contracts.evm import Chain, Signer, signer
from contracts.subnets import (
    ENTRY,
    EPOCH,
    GRAIN,
    LOCK,
    MODEL,
    RULES,
    STAKE,
    VALIDATOR,
    Arena,
    deploy_arena,
    deploy_around,
    deploy_subnet,
    founder,
    row_of,
)
from contracts.world import MAX, World, alice, bob, mallory, refused
from freehold.domain.ids import keccak
from freehold.economics.pricing import decayed, raised

STAKE_PURPOSE, UNSTAKE, DEPOSIT, BURN = 11, 12, 1, 6
FIRST = ENTRY.lowest
V: Signer = signer("v")


@pytest.fixture
def arena(chain: Chain) -> Arena:
    return deploy_arena(chain)


@pytest.fixture
def digits(arena: Arena) -> int:
    """A subnet of four uids."""
    return int(arena.create().value)


def test_a_node_gets_the_next_uid_at_the_quoted_price(arena: Arena, digits: int) -> None:
    subnet, price = arena.subnet, FIRST
    for uid in range(3):
        hot = arena.node(f"m{uid}")
        arena.chain.warp(100)
        if uid:
            price = decayed(price, 100, half_life=ENTRY.half_life, lowest=ENTRY.lowest)
        assert subnet.call("price", digits) == price
        with refused("subnet: the price is higher"):
            arena.enter(digits, hot, most=price - 1)
        before = arena.world.balance(alice.address)
        done = arena.enter(digits, hot, most=price)
        assert done.one("Registered").args == {
            "subnet": digits,
            "uid": uid,
            "node": hot.address,
            "generation": 1,
            "epoch": 0,
            "burned": price,
        }
        assert before - arena.world.balance(alice.address) == price
        assert (done.one("Movement").amount, done.one("Movement").purpose) == (price, BURN)
        seat = {"node": hot.address, "registered_at": arena.chain.now, "generation": 1}
        assert subnet.call("seat", digits, uid) == subnet.call("seats", digits, uid)[0] == seat
        assert subnet.call("uid_at", digits, uid, 1) == (hot.address, arena.chain.now)
        assert subnet.call("place_of", digits, hot.address) == uid + 1 == done.value + 1
        price = raised(price, factor_bps=ENTRY.factor_bps, highest=ENTRY.highest)
    assert subnet.call("subnet_of", digits).nodes == 3
    assert subnet.call("generation", digits, 3) == 0
    assert arena.money(subnet) == LOCK


def test_prices_of_subnets_move_apart(arena: Arena, digits: int) -> None:
    other = arena.create("other").value
    arena.enter(digits, arena.node("m"))
    assert arena.subnet.call("price", other) == FIRST < arena.subnet.call("price", digits)


def test_a_changed_entry_bounds_the_price(arena: Arena, digits: int) -> None:
    arena.fill(digits, 3)
    arena.revise(digits, 2, entry={**asdict(ENTRY), "lowest": 1, "highest": 3, "half_life": 10**8})
    arena.revise(digits, 2, entry={**asdict(ENTRY), "lowest": 1, "highest": 3, "half_life": 10**8})
    arena.chain.warp_to(arena.genesis + 2 * EPOCH - 1)
    assert arena.subnet.call("price", digits) > 3
    arena.chain.warp(1)
    assert arena.subnet.call("price", digits) == 3
    assert arena.enter(digits, arena.node("m")).one("Registered").burned == 3


def test_who_may_register(arena: Arena, digits: int) -> None:
    hot = arena.node("m")
    for other in (bob, hot, mallory):
        with refused("subnet: not the owner"):
            arena.subnet.send("register", digits, hot.address, MAX, sender=other.address)
    with refused("subnet: not the owner"):
        arena.subnet.send("register", digits, mallory.address, MAX, sender=alice.address)
    storing = arena.node("s", roles=1 | 2 | 4)
    with refused("subnet: wrong role"):
        arena.enter(digits, storing)
    for number, roles in enumerate((MODEL, VALIDATOR, MODEL | VALIDATOR | 1)):
        assert arena.enter(digits, arena.node(f"r{number}", roles=roles)).value == number
    retired = arena.node("retired")
    arena.world.registry.send("retire", retired.address, sender=alice.address)
    with refused("subnet: wrong role"):
        arena.enter(digits, retired)


def test_a_node_is_in_a_subnet_once(arena: Arena, digits: int) -> None:
    other = arena.create("other").value
    (hot,) = arena.fill(digits, 1)
    with refused("subnet: already in it"):
        arena.enter(digits, hot)
    assert arena.enter(other, hot).value == 0


def test_without_tokens_nothing_is_registered(arena: Arena, digits: int) -> None:
    hot = arena.node("m", owner=mallory)
    with refused("token: allowance too low"):
        arena.enter(digits, hot)
    assert arena.subnet.call("subnet_of", digits).nodes == 0
    assert arena.subnet.call("totals", 0) == (0, 0)


# Replacing


def full(arena: Arena, id: int) -> None:
    """Four nodes, not immune any more, in the middle of a later epoch."""
    arena.fill(id, 4)
    arena.next(3)


def test_a_full_subnet_replaces_whom_the_judge_names(arena: Arena, digits: int) -> None:
    full(arena, digits)
    subnet, old = arena.subnet, arena.subnet.call("seat", digits, 2)
    late = arena.node("late")
    with refused("subnet: full for now"):
        arena.enter(digits, late)
    arena.prune(digits, [2, 0])
    arena.chain.warp(1)
    done = arena.enter(digits, late)
    told = {"subnet": digits, "uid": 2, "node": old.node, "generation": 1}
    assert done.one("Replaced").args == told
    assert (done.value, done.one("Registered").generation) == (2, 2)
    assert subnet.call("uid_at", digits, 2, 1) == (old.node, old.registered_at)
    assert subnet.call("uid_at", digits, 2, 2) == (late.address, arena.chain.now)
    assert subnet.call("generation", digits, 2) == 2
    assert subnet.call("place_of", digits, old.node) == 0
    assert subnet.call("place_of", digits, late.address) == 3
    assert subnet.call("subnet_of", digits).nodes == 4
    for generation in (0, 3):
        with refused("subnet: no such holder"):
            subnet.call("uid_at", digits, 2, generation)
    assert arena.enter(digits, arena.node("later")).value == 0
    with refused("subnet: full for now"):
        arena.enter(digits, arena.node("last"))
    assert [seat.generation for seat in subnet.call("seats", digits, 0)] == [2, 1, 2, 1]


def test_a_replaced_node_may_come_back(arena: Arena, digits: int) -> None:
    full(arena, digits)
    arena.prune(digits, [1, 3])
    arena.chain.warp(1)
    hot = next(each for each in arena.owners if arena.subnet.call("place_of", digits, each) == 2)
    arena.enter(digits, arena.node("late"))
    again = arena.subnet.send("register", digits, hot, MAX, sender=alice.address)
    assert (again.value, again.one("Registered").generation) == (3, 2)


def test_the_immune_and_the_young_are_passed_over(arena: Arena, digits: int) -> None:
    arena.fill(digits, 3)
    arena.chain.warp(700)
    arena.enter(digits, arena.node("fourth"))
    arena.chain.warp_to(arena.genesis + RULES.immunity - 1)
    arena.prune(digits, [3, 0, 9, 1])
    late = arena.node("late")
    with refused("subnet: full for now"):
        arena.enter(digits, late)
    arena.chain.warp(1)
    assert arena.enter(digits, late).value == 0
    later = arena.node("later")
    arena.prune(digits, [1], ended_at=arena.genesis)
    with refused("subnet: full for now"):
        arena.enter(digits, later)
    arena.prune(digits, [1], ended_at=arena.genesis + 1)
    assert arena.enter(digits, later).value == 1


def test_the_whole_list_is_read(arena: Arena) -> None:
    id = arena.create("large", max_nodes=17).value
    arena.fill(id, 17)
    arena.next(2)
    arena.prune(id, range(16))
    order = [arena.enter(id, arena.node(f"late {i}")).value for i in range(16)]
    assert order == list(range(16))
    with refused("subnet: full for now"):
        arena.enter(id, arena.node("late 16"))


def test_without_a_judge_a_full_subnet_is_full(world: World) -> None:
    issuance, prizes = deploy_around(world)
    subnet = deploy_subnet(world, issuance=issuance.address, prizes=prizes.address)
    arena = Arena(world, issuance, prizes, subnet, subnet)
    for each in (founder, alice):
        arena.enrich(each)
    id = arena.create(max_nodes=1).value
    arena.fill(id, 1)
    with refused("subnet: full"):
        arena.enter(id, arena.node("late"))


def test_a_newcomer_inherits_nothing(arena: Arena, digits: int) -> None:
    """What the former holder revealed, had recorded or committed is void for the newcomer."""
    old = arena.validator("old")
    arena.enter(digits, old)
    arena.fill(digits, 3)
    arena.next(2)
    row, subnet = row_of({1: 5}), arena.subnet
    arena.weigh(digits, 0, row, by=old)
    arena.commit(digits, 0, row, by=old)
    epoch = arena.epoch
    assert subnet.call("row", digits, epoch, 0)[0] == keccak(row)
    arena.prune(digits, [0])
    arena.chain.warp(1)
    new = arena.validator("new")
    assert arena.enter(digits, new).value == 0
    assert subnet.call("row", digits, epoch, 0) == (bytes(32), 0)
    assert subnet.call("stake_at", digits, epoch, 0) == 0
    arena.next()
    for by in (old, new):
        reason = "not the node or its owner" if by is old else "of a former holder"
        with refused(f"subnet: {reason}"):
            arena.reveal(digits, 0, row, by=by)
    bob_also_owns_the_old = arena.owners[old.address]
    with refused("subnet: of a former holder"):
        arena.reveal(digits, 0, row, by=bob_also_owns_the_old)


def test_past_epochs_keep_what_a_former_holder_revealed(arena: Arena, digits: int) -> None:
    old = arena.validator("old")
    arena.enter(digits, old)
    arena.fill(digits, 3)
    arena.next(2)
    row = row_of({1: 5})
    arena.weigh(digits, 0, row, by=old)
    epoch = arena.epoch
    arena.next()
    arena.prune(digits, [0])
    arena.enter(digits, arena.validator("new"))
    assert arena.subnet.call("row", digits, epoch, 0)[0] == keccak(row)
    assert arena.subnet.call("stake_at", digits, epoch, 0) == STAKE // GRAIN
