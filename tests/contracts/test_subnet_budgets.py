"""What a subnet's epochs pay: a share of what burned, grants, and their bounds."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from contracts.evm import Chain, Struct
from contracts.roots import Market, honest, watchers
from contracts.subnets import (
    BOND,
    ENTRY,
    EPOCH,
    GRAIN,
    GROWTH,
    LOCK,
    MODELS,
    MOST,
    PER_EPOCH,
    PRIZE_RULES,
    RULES,
    TERMS,
    WINDOW,
    Arena,
    deploy_arena,
    founder,
)
from contracts.world import TOKEN, alice, bob, mallory, refused
from freehold.economics.pricing import raised

STAKE_PURPOSE, UNSTAKE, DEPOSIT, BURN = 11, 12, 1, 6
FIRST = ENTRY.lowest
HALF_MODELS = PER_EPOCH // 2


@pytest.fixture
def arena(chain: Chain) -> Arena:
    return deploy_arena(chain)


@pytest.fixture
def digits(arena: Arena) -> int:
    """A subnet of four uids."""
    return int(arena.create().value)


def test_an_epoch_draws_a_share_of_what_burned(arena: Arena, digits: int) -> None:
    subnet = arena.subnet
    arena.fill(digits, 2)
    burned = FIRST + raised(FIRST, factor_bps=ENTRY.factor_bps, highest=ENTRY.highest)
    assert subnet.call("money", digits, 0) == subnet.call("totals", 0) == (burned, 0)
    with refused("subnet: the epoch has not ended"):
        arena.close(0)
    with refused("subnet: an epoch is not closed"):
        subnet.call("budget", digits, 0, 0)
    arena.next()
    assert not subnet.call("closed", 0)
    with refused("subnet: an epoch is not closed"):
        subnet.call("budget", digits, 0, 0)
    done = arena.close(0)
    amount = burned * 9 // 10
    told = {"epoch": 0, "burned": burned, "emitted": amount, "granted": 0}
    closed = [event for event in done.named("EpochClosed") if event.address == subnet.address]
    assert [event.args for event in closed] == [told]
    assert done.value == subnet.call("emitted", 0) == amount
    assert subnet.call("budget", digits, 0, 0) == amount
    assert subnet.call("closed", 0)
    assert arena.money(arena.prizes) == arena.prizes.call("funded") == amount
    assert done.one("Funded").args == {
        "epoch": 0, "sender": subnet.address, "amount": amount, "total": amount
    }  # fmt: skip
    assert arena.money(subnet) == LOCK
    with refused("subnet: closed already"):
        arena.close(0)


def test_an_epoch_in_which_nothing_happened_needs_no_closing(arena: Arena, digits: int) -> None:
    arena.next(3)
    with refused("subnet: nothing to close"):
        arena.close(1)
    assert [arena.subnet.call("closed", epoch) for epoch in range(5)] == [True] * 3 + [False] * 2
    assert arena.subnet.call("budget", digits, 0, 2) == 0
    with refused("subnet: an epoch is not closed"):
        arena.subnet.call("budget", digits, 0, 3)


def test_an_epoch_never_draws_more_than_the_issuance_gives(arena: Arena, digits: int) -> None:
    other = arena.create("other", max_nodes=30).value
    first = arena.create("first", max_nodes=30, entry={**asdict(ENTRY), "lowest": 64 * TOKEN}).value
    arena.fill(other, 3, prefix="other")
    arena.fill(first, 2, prefix="first")
    arena.next()
    burned = [arena.subnet.call("money", id, 0)[0] for id in (digits, other, first)]
    assert burned[0] == 0
    assert burned[2] == 128 * TOKEN
    assert sum(burned) * 9 // 10 > HALF_MODELS
    assert arena.close(0).value == HALF_MODELS
    budgets = [arena.subnet.call("budget", id, 0, 0) for id in (digits, other, first)]
    whole = [HALF_MODELS * part // sum(burned) // GRAIN * GRAIN for part in burned]
    assert budgets == whole
    assert HALF_MODELS - 3 * GRAIN < sum(budgets) <= HALF_MODELS


def test_an_epoch_never_draws_more_than_the_roots_can_pay(arena: Arena, digits: int) -> None:
    arena.fill(digits, 3)
    rules = (WINDOW, 300, 10 * TOKEN, GROWTH, 3_000)
    arena.world.setup(arena.prizes, "set_parameters", rules)
    arena.next()
    assert arena.subnet.call("most") == 5 * TOKEN
    assert arena.close(0).value == 5 * TOKEN // 2


@pytest.mark.parametrize(
    ("rules", "most"),
    [
        (PRIZE_RULES, BOND // 2),
        ((EPOCH - 1, 300, BOND, GROWTH, 0), BOND // 2),
        ((EPOCH, 300, BOND, GROWTH, 0), BOND // 3),
        ((5 * EPOCH + 3, 300, BOND, GROWTH, 0), BOND // 7),
        ((WINDOW, 300, BOND, 50, 0), 25 * GRAIN),
    ],
)
def test_the_bond_covers_what_can_be_open_at_once(
    arena: Arena, rules: tuple[int, ...], most: int
) -> None:
    arena.world.setup(arena.prizes, "set_parameters", rules)
    assert arena.subnet.call("most") == most


def test_roots_keep_up_with_the_most_that_epochs_pay(arena: Arena) -> None:
    """Each epoch pays all it may; its root is proposed at once while older ones are open."""
    bond, window, world = 60 * TOKEN, 2 * EPOCH + 500, arena.world
    world.setup(arena.prizes, "set_parameters", (window, 300, bond, GROWTH, 0))
    world.setup(arena.prizes, "set_watchers", [each.address for each in watchers], 3)
    market, entry = Market(world, arena.prizes), {**asdict(ENTRY), "lowest": 64 * TOKEN}
    market.post(bond)
    id, most = arena.create("rich", entry=entry, max_nodes=20).value, bond // 4
    assert arena.subnet.call("most") == most
    earned = 0
    pending: list[Struct] = []
    for epoch in range(8):
        arena.enter(id, arena.node(f"m{epoch}"))
        arena.subnet.send("grant", id, most // 2, 1, sender=alice.address)
        arena.next()
        arena.close(epoch)
        earned += arena.subnet.call("budget", id, epoch, epoch)
        assert earned == most * (epoch + 1)
        while pending and arena.chain.now > pending[0].until:
            arena.prizes.send("finalize", pending.pop(0), sender=mallory.address)
        pending.append(market.propose(epoch, honest({alice.address: earned // GRAIN})))
    assert len(pending) == 3


def test_epochs_are_closed_in_any_order_and_added_up(arena: Arena, digits: int) -> None:
    for number in range(3):
        arena.enter(digits, arena.node(f"m{number}"))
        arena.next(2)
    emitted = {epoch: arena.close(epoch).value for epoch in (4, 0, 2)}
    budget = arena.subnet.call
    assert budget("budget", digits, 0, 5) == sum(emitted.values())
    assert budget("budget", digits, 1, 3) == emitted[2]
    assert budget("budget", digits, 2, 2) == emitted[2]
    with refused("subnet: span out of bounds"):
        budget("budget", digits, 2, 1)
    arena.next(1_100)
    assert budget("budget", digits, 5, 1_028) == 0
    with refused("subnet: span out of bounds"):
        budget("budget", digits, 4, 1_028)


def test_a_late_closing_draws_what_the_issuance_still_gives(arena: Arena, digits: int) -> None:
    arena.fill(digits, 1)
    arena.subnet.send("grant", digits, GRAIN, 1, sender=alice.address)
    arena.next(20)
    done = arena.close(0)
    assert done.value == 0
    assert arena.subnet.call("budget", digits, 0, 0) == GRAIN
    assert arena.money(arena.prizes) == GRAIN


def test_an_issuance_that_is_far_behind_is_advanced(arena: Arena, digits: int) -> None:
    arena.next(70)
    arena.fill(digits, 1)
    arena.next()
    with refused("issuance: epoch is not closed"):
        arena.close(70)
    arena.issuance.send("advance", 64, sender=mallory.address)
    assert arena.close(70).value == FIRST * 9 // 10
    assert arena.issuance.call("closed") == 71


def test_where_another_draws_grants_alone_are_paid(arena: Arena, digits: int) -> None:
    arena.fill(digits, 1)
    arena.subnet.send("grant", digits, 2 * GRAIN, 1, sender=alice.address)
    other = arena.world.puppet()
    arena.world.setup(arena.issuance, "set_distributor", MODELS, other.address)
    arena.next()
    assert arena.close(0).value == 0
    assert arena.subnet.call("budget", digits, 0, 0) == 2 * GRAIN


def test_where_the_issuance_may_not_mint_epochs_are_closed_all_the_same(
    arena: Arena, digits: int
) -> None:
    """Else no root over such an epoch could be told from a false one."""
    arena.fill(digits, 1)
    arena.subnet.send("grant", digits, 2 * GRAIN, 1, sender=alice.address)
    arena.world.setup(arena.world.token, "set_minter", arena.issuance.address, False)
    arena.next()
    assert arena.close(0).value == 0
    assert arena.subnet.call("budget", digits, 0, 0) == 2 * GRAIN


def test_budgets_are_whole_grains(arena: Arena) -> None:
    entry = {"lowest": GRAIN + 7, "highest": 10**12, "half_life": 10, "factor_bps": 10_001}
    ids = [arena.create(name, entry=entry).value for name in ("a", "b")]
    for number, id in enumerate(ids):
        arena.enter(id, arena.node(f"m{number}"))
    arena.next()
    # 18/10 of a grain and some: what both need, and one of each at most.
    assert arena.close(0).value == GRAIN
    assert [arena.subnet.call("budget", id, 0, 0) for id in ids] == [0, 0]


def test_grants_come_epoch_by_epoch(arena: Arena, digits: int) -> None:
    subnet, amount = arena.subnet, 3 * GRAIN
    before = arena.world.balance(bob.address)
    arena.next()
    done = subnet.send("grant", digits, amount, 3, sender=bob.address)
    assert done.one("Granted").args == {
        "subnet": digits,
        "sender": bob.address,
        "first": 1,
        "epochs": 3,
        "amount": amount,
    }
    moved = done.one("Movement")
    assert (moved.sender, moved.recipient) == (bob.address, subnet.address)
    assert (moved.amount, moved.purpose) == (3 * amount, DEPOSIT)
    assert before - arena.world.balance(bob.address) == 3 * amount
    assert subnet.call("waiting") == 3 * amount
    assert arena.money(subnet) == LOCK + 3 * amount
    assert [subnet.call("money", digits, epoch) for epoch in range(5)] == [
        (0, 0), (0, amount), (0, amount), (0, amount), (0, 0)
    ]  # fmt: skip
    arena.next()
    assert arena.close(1).value == 0
    assert subnet.call("waiting") == 2 * amount
    assert arena.money(arena.prizes) == amount
    assert subnet.call("budget", digits, 0, 1) == amount
    assert arena.issuance.call("closed") == 0


def test_what_grants_are_refused(arena: Arena, digits: int) -> None:
    def grant(amount: int, epochs: int = 1) -> None:
        arena.subnet.send("grant", digits, amount, epochs, sender=bob.address)

    for amount in (0, 1, GRAIN - 1, GRAIN + 1):
        with refused("subnet: not whole grains"):
            grant(amount)
    for epochs in (0, TERMS.notice + 1):
        with refused("subnet: epochs out of bounds"):
            grant(GRAIN, epochs)
    with refused("subnet: more than roots can pay"):
        grant(MOST // 2 + GRAIN)
    for amount in (2**127 // GRAIN * GRAIN, 2**128 * GRAIN):
        with refused("subnet: more than roots can pay"):
            grant(amount)
    grant(MOST // 2, TERMS.notice)
    with refused("subnet: more than roots can pay"):
        grant(GRAIN)
    arena.subnet.send("close", digits, sender=founder.address)
    arena.next(TERMS.notice - 1)
    with refused("subnet: ends before"):
        grant(GRAIN, 3)
    arena.next()
    with refused("subnet: ends before"):
        grant(GRAIN, 2)
    grant(GRAIN, 1)


def test_trading_with_oneself_loses(arena: Arena) -> None:
    """One owner holds the subnet, its nodes and its validators: he burns more than he gets."""
    id = arena.create("mine", by=alice, max_nodes=4_096).value
    burned = 0
    for number in range(10):
        for each in range(3):
            done = arena.enter(id, arena.node(f"m{number} {each}"))
            burned += done.one("Registered").burned
        arena.next()
        arena.close(number)
    got = arena.subnet.call("budget", id, 0, 9)
    assert got <= burned * 9 // 10
    assert arena.money(arena.prizes) == got


@pytest.mark.parametrize("others", [0, 1, 5])
def test_trading_with_oneself_beside_others_loses(arena: Arena, others: int) -> None:
    """All that the owner's subnet is paid, his own part included, is less than he burned, in each
    of ten epochs: whatever others burn is for their subnets."""
    rules = asdict(replace(RULES, owner_bps=1_800))
    mine = arena.create("mine", by=alice, max_nodes=4_096, rules=rules).value
    theirs = arena.create("theirs", max_nodes=4_096, rules=rules).value
    for number in range(10):
        burned = 0
        for each in range(1 + number % 3):
            done = arena.enter(mine, arena.node(f"m{number} {each}"))
            burned += done.one("Registered").burned
        for each in range(others):
            arena.enter(theirs, arena.node(f"t{number} {each}"))
        arena.next()
        arena.close(number)
        got = arena.subnet.call("budget", mine, number, number)
        assert 0 < got <= burned * TERMS.share_bps // 10_000
    spent = arena.subnet.call("budget", mine, 0, 9) + arena.subnet.call("budget", theirs, 0, 9)
    assert spent <= arena.money(arena.prizes)
