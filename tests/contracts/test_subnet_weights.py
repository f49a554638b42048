"""Weights: committed, revealed in the next epoch, and the stake behind them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from contracts.evm import CHAIN_ID, NETWORK_ID, Chain, Signer, signer
from contracts.subnets import (
    EPOCH,
    GRAIN,
    SALT,
    STAKE,
    VALIDATOR,
    Arena,
    deploy_arena,
    founder,
    row_of,
)
from contracts.world import TOKEN, alice, bob, guardian, mallory, refused
from freehold.domain.ids import address, keccak
from freehold.domain.network import Network
from freehold.ledger.contracts.base import Door
from freehold.ledger.contracts.subnet import Subnets

V: Signer = signer("v")


@pytest.fixture
def arena(chain: Chain) -> Arena:
    return deploy_arena(chain)


@pytest.fixture
def digits(arena: Arena) -> int:
    """A subnet of four uids."""
    return int(arena.create().value)


@pytest.fixture
def judged(arena: Arena, digits: int) -> int:
    """The uid of a validator among two models."""
    arena.fill(digits, 2)
    hot = arena.validator("v")
    return int(arena.enter(digits, hot).value)


def test_a_row_is_committed_and_revealed(arena: Arena, digits: int, judged: int) -> None:
    v, row, subnet = V, row_of({0: 1, 1: 65_535}), arena.subnet
    arena.chain.warp(7)
    commitment = arena.commitment(digits, judged, row)
    done = subnet.send("commit", digits, judged, commitment, sender=v.address)
    assert done.one("Committed").args == {
        "subnet": digits,
        "uid": judged,
        "epoch": 0,
        "generation": 1,
        "commitment": commitment,
    }
    at = arena.chain.now
    kept = {"hashed": commitment, "epoch": 0, "committed_at": at, "generation": 1}
    assert subnet.call("committed", digits, judged, 0) == kept
    arena.next()
    assert subnet.call("committed", digits, judged, 0) == kept
    assert subnet.call("committed", digits, judged, 2).hashed == bytes(32)
    done = arena.reveal(digits, judged, row, by=v)
    assert done.one("Revealed").args == {
        "subnet": digits,
        "uid": judged,
        "epoch": 1,
        "generation": 1,
        "committed_at": at,
        "stake": STAKE // GRAIN,
        "row": row,
    }
    assert subnet.call("row", digits, 1, judged) == (keccak(row), at)
    assert subnet.call("stake_at", digits, 1, judged) == STAKE // GRAIN
    record = {"row": keccak(row), "committed_at": at, "stake": STAKE // GRAIN}
    none = {"row": bytes(32), "committed_at": 0, "stake": 0}
    assert subnet.call("records", digits, 1, 0) == [none, none, record]
    assert subnet.call("records", digits, 1, 2) == [record]
    assert subnet.call("records", digits, 1, 3) == []
    with refused("subnet: already revealed"):
        arena.reveal(digits, judged, row, by=v)


def test_owners_may_commit_and_reveal_and_nobody_else(
    arena: Arena, digits: int, judged: int
) -> None:
    row = row_of({0: 1})
    for other in (mallory, alice, founder, guardian):
        with refused("subnet: not the node or its owner"):
            arena.commit(digits, judged, row, by=other)
    arena.commit(digits, judged, row, by=bob)
    arena.next()
    with refused("subnet: not the node or its owner"):
        arena.reveal(digits, judged, row, by=mallory)
    puppet = arena.world.puppet()
    arena.chain.give_ether(alice.address, 0)
    with pytest.raises(Exception, match="not the node or its owner"):
        puppet.act(arena.subnet, "reveal", digits, judged, row, SALT)
    arena.reveal(digits, judged, row, by=bob)


def test_a_commitment_may_be_replaced_until_its_epoch_ends(
    arena: Arena, digits: int, judged: int
) -> None:
    v, first, second = V, row_of({0: 1}), row_of({1: 1})
    arena.commit(digits, judged, first, by=v)
    arena.chain.warp_to(arena.genesis + EPOCH - 1)
    arena.commit(digits, judged, second, by=v)
    arena.chain.warp(1)
    with refused("subnet: not what was committed"):
        arena.reveal(digits, judged, first, by=v)
    arena.reveal(digits, judged, second, by=v)
    assert arena.subnet.call("row", digits, 1, judged)[1] == arena.chain.now - 1


def test_a_reveal_has_one_epoch(arena: Arena, digits: int, judged: int) -> None:
    v, row = V, row_of({0: 1})
    with refused("subnet: nothing committed"):
        arena.reveal(digits, judged, row, by=v)
    arena.commit(digits, judged, row, by=v)
    with refused("subnet: too early to reveal"):
        arena.reveal(digits, judged, row, by=v)
    for _ in range(3):
        arena.next(2)
        with refused("subnet: too late to reveal"):
            arena.reveal(digits, judged, row, by=v)
        arena.next()
        with refused("subnet: too late to reveal"):
            arena.reveal(digits, judged, row, by=v)
    arena.weigh(digits, judged, row, by=v)


def test_a_commitment_does_not_hinder_the_reveal_of_the_last(
    arena: Arena, digits: int, judged: int
) -> None:
    v = V
    rows = [row_of({0: 1 + i}) for i in range(4)]
    arena.commit(digits, judged, rows[0], by=v)
    for i in range(1, 4):
        arena.next()
        arena.commit(digits, judged, rows[i], by=v)
        arena.reveal(digits, judged, rows[i - 1], by=v)
        kept = [arena.subnet.call("committed", digits, judged, epoch) for epoch in (i - 1, i)]
        hashed = [arena.commitment(digits, judged, rows[e], epoch=e) for e in (i - 1, i)]
        assert [each.hashed for each in kept] == hashed
        assert [each.epoch for each in kept] == [i - 1, i]
    found = [arena.subnet.call("row", digits, epoch, judged)[0] for epoch in range(5)]
    assert found == [bytes(32), *(keccak(row) for row in rows[:3]), bytes(32)]


@pytest.mark.parametrize("change", [{"epoch": 1}, {"generation": 2}, {"subnet": 2}, {"uid": 0}])
def test_a_commitment_binds_everything(
    arena: Arena, digits: int, judged: int, change: dict[str, int]
) -> None:
    v, row = V, row_of({0: 1})
    told = {"subnet": digits, "uid": judged, "generation": 1, "epoch": 0, **change}
    hashed = arena.subnet.call("commitment_of", *told.values(), keccak(row), SALT)
    assert hashed != arena.commitment(digits, judged, row)
    arena.subnet.send("commit", digits, judged, hashed, sender=v.address)
    arena.next()
    with refused("subnet: not what was committed"):
        arena.reveal(digits, judged, row, by=v)


def test_the_package_makes_the_same_commitment(arena: Arena, digits: int, judged: int) -> None:
    contracts = {"subnet": address(arena.subnet.address)}
    network = Network("t", CHAIN_ID, NETWORK_ID, contracts, {}, ("http://x",), 0)
    subnets = Subnets(cast("Door", SimpleNamespace(network=network)))
    row = row_of({0: 1, 1: 9})
    made = subnets.commitment(digits, judged, generation=1, epoch=0, row=row, salt=SALT)
    assert made == arena.commitment(digits, judged, row)


def test_a_reveal_needs_the_row_and_the_salt(arena: Arena, digits: int, judged: int) -> None:
    v, row = V, row_of({0: 1, 1: 2})
    with refused("subnet: no commitment"):
        arena.subnet.send("commit", digits, judged, bytes(32), sender=v.address)
    arena.commit(digits, judged, row, by=v)
    arena.next()
    with refused("subnet: not what was committed"):
        arena.reveal(digits, judged, row, by=v, salt=b"\1" * 32)
    with refused("subnet: not what was committed"):
        arena.reveal(digits, judged, row_of({0: 1, 1: 3}), by=v)
    arena.reveal(digits, judged, row, by=v)


def test_a_copied_commitment_opens_nothing(arena: Arena, digits: int, judged: int) -> None:
    v, row = V, row_of({0: 1})
    copier = arena.validator("copier")
    uid = arena.enter(digits, copier).value
    arena.commit(digits, judged, row, by=v)
    copied = arena.subnet.call("committed", digits, judged, 0).hashed
    arena.subnet.send("commit", digits, uid, copied, sender=copier.address)
    arena.next()
    arena.reveal(digits, judged, row, by=v)
    with refused("subnet: not what was committed"):
        arena.reveal(digits, uid, row, by=copier)


def pairs(*entries: tuple[int, int]) -> bytes:
    return b"".join(uid.to_bytes(2, "big") + w.to_bytes(2, "big") for uid, w in entries)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"", "empty row"),
        (b"\0\0\0", "wrong length of row"),
        (pairs((0, 1)) + b"\0", "wrong length of row"),
        (pairs((0, 1)) + b"\0\0", "wrong length of row"),
        (pairs((1, 1), (0, 1)), "uids do not rise"),
        (pairs((1, 1), (1, 1)), "uids do not rise"),
        (pairs((0, 0)), "a weight of zero"),
        (pairs((0, 1), (1, 0)), "a weight of zero"),
        (pairs((3, 1)), "unknown uid in the row"),
        (pairs((65_535, 1)), "unknown uid in the row"),
    ],
)
def test_a_malformed_row_is_refused(
    arena: Arena, digits: int, judged: int, row: bytes, reason: str
) -> None:
    v = V
    arena.commit(digits, judged, row, by=v)
    arena.next()
    with refused(f"subnet: {reason}"):
        arena.reveal(digits, judged, row, by=v)


@pytest.fixture
def wide(arena: Arena) -> tuple[int, int]:
    """A subnet of twenty models, and the uid of its validator."""
    id = int(arena.create("wide", max_nodes=30).value)
    arena.fill(id, 20)
    return id, int(arena.enter(id, arena.validator("v")).value)


@pytest.mark.parametrize("count", [7, 8, 9, 15, 16, 17, 20])
def test_rows_of_any_length_are_read_to_the_end(
    arena: Arena, wide: tuple[int, int], count: int
) -> None:
    (id, uid), v = wide, V
    good = [(place, 1 + place) for place in range(count)]
    zero = [*good[:-1], (count - 1, 0)]
    twice = [*good[:-2], (count - 1, 3), (count - 1, 3)]
    beyond = [*good[:-1], (21, 1)]
    for entries, reason in (
        (zero, "a weight of zero"),
        (twice, "uids do not rise"),
        (beyond, "unknown uid in the row"),
    ):
        with arena.chain.anchor():
            arena.commit(id, uid, pairs(*entries), by=v)
            arena.next()
            with refused(f"subnet: {reason}"):
                arena.reveal(id, uid, pairs(*entries), by=v)
    edge = [*good[:-1], (20, 65_535)]
    for entries in (good, edge):
        with arena.chain.anchor():
            arena.weigh(id, uid, pairs(*entries), by=v)


@pytest.mark.parametrize("place", range(19))
def test_rows_are_read_at_every_place(arena: Arena, wide: tuple[int, int], place: int) -> None:
    id, uid = wide
    good = [(at, 1 + 255 * (at % 2)) for at in range(19)]
    same = [*good[:place], (max(0, place - 1), 5), *good[place + 1 :]] if place else good
    lower = [*good[:place], (max(0, place - 2), 5), *good[place + 1 :]] if place > 1 else good
    higher = [*good[:place], (place + 1, 5), *good[place + 1 :]] if place < 18 else good
    none = [*good[:place], (place, 0), *good[place + 1 :]]
    for entries in (same, lower, higher, none):
        with arena.chain.anchor():
            row = pairs(*entries)
            arena.commit(id, uid, row, by=V)
            arena.next()
            if entries == good:
                arena.reveal(id, uid, row, by=V)
                continue
            reason = "a weight of zero" if entries is none else "uids do not rise"
            with refused(f"subnet: {reason}"):
                arena.reveal(id, uid, row, by=V)


def test_uids_of_any_distance_rise(arena: Arena) -> None:
    id = int(arena.create("full", max_nodes=4_096).value)
    uid = int(arena.enter(id, arena.validator("v")).value)
    spread = [(9_362 * i, 65_535) for i in range(8)]
    for row in (pairs((0, 1), (65_535, 1)), pairs(*spread), pairs(*spread[:7], (65_535, 1))):
        with arena.chain.anchor():
            arena.commit(id, uid, row, by=V)
            arena.next()
            with refused("subnet: unknown uid in the row"):
                arena.reveal(id, uid, row, by=V)


def test_rows_have_no_more_than_all_uids(arena: Arena, digits: int, judged: int) -> None:
    row = pairs(*((uid, 1) for uid in range(4_097)))
    with refused(""):
        arena.reveal(digits, judged, row, by=V)


def test_validators_need_role_stake_and_a_uid(arena: Arena, digits: int, judged: int) -> None:
    row, subnet = row_of({0: 1}), arena.subnet
    model = next(each for each in arena.owners if subnet.call("place_of", digits, each) == 1)
    for call in (
        ("commit", digits, 0, SALT),
        ("record", digits, 0),
        ("reveal", digits, 0, row, SALT),
    ):
        with refused("subnet: not a validator"):
            subnet.send(*call, sender=model)
    for call in (
        ("commit", digits, 3, SALT),
        ("record", digits, 3),
        ("reveal", digits, 3, row, SALT),
    ):
        with refused("subnet: no such uid"):
            subnet.send(*call, sender=bob.address)
    poor = arena.node("poor", roles=VALIDATOR)
    uid = arena.enter(digits, poor).value
    arena.commit(digits, uid, row, by=poor)
    with refused("subnet: no stake"):
        subnet.send("record", digits, uid, sender=alice.address)
    arena.next()
    with refused("subnet: no stake"):
        arena.reveal(digits, uid, row, by=poor)
    arena.world.staking.send("stake", poor.address, GRAIN - 1, sender=alice.address)
    with refused("subnet: no stake"):
        arena.reveal(digits, uid, row, by=poor)
    arena.world.staking.send("stake", poor.address, 1, sender=alice.address)
    assert arena.reveal(digits, uid, row, by=poor).one("Revealed").stake == 1
    arena.world.registry.send("retire", poor.address, sender=alice.address)
    with refused("subnet: not a validator"):
        arena.commit(digits, uid, row, by=poor)


def test_anyone_records_the_stake_of_a_silent_validator(
    arena: Arena, digits: int, judged: int
) -> None:
    subnet = arena.subnet
    done = subnet.send("record", digits, judged, sender=mallory.address)
    told = {"subnet": digits, "uid": judged, "epoch": 0, "generation": 1, "stake": STAKE // GRAIN}
    assert done.one("Recorded").args == told
    assert subnet.call("stake_at", digits, 0, judged) == STAKE // GRAIN
    assert subnet.call("row", digits, 0, judged) == (bytes(32), 0)
    with refused("subnet: already recorded"):
        subnet.send("record", digits, judged, sender=mallory.address)
    arena.next()
    assert subnet.call("stake_at", digits, 1, judged) == 0


def test_a_reveal_tells_the_later_stake(arena: Arena, digits: int, judged: int) -> None:
    v, row, subnet = V, row_of({0: 1}), arena.subnet
    arena.commit(digits, judged, row, by=v)
    arena.next()
    subnet.send("record", digits, judged, sender=mallory.address)
    arena.world.staking.send("stake", v.address, TOKEN, sender=bob.address)
    arena.reveal(digits, judged, row, by=v)
    assert subnet.call("stake_at", digits, 1, judged) == (STAKE + TOKEN) // GRAIN
    with refused("subnet: already recorded"):
        subnet.send("record", digits, judged, sender=mallory.address)
