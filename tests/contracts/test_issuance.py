"""The issuance: epochs, the split, draws, grants, vesting, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from contracts.evm import ZERO, Chain, Contract
from contracts.world import (
    CAP,
    DELAY,
    TOKEN,
    UNBONDING,
    Puppet,
    World,
    alice,
    bob,
    carol,
    fake,
    guardian,
    mallory,
    refused,
)
from freehold.economics.schedules import Allocation, Plan, Progress, Share, ionet
from freehold.economics.schedules.plan import EXPONENTIAL, GEOMETRIC, HALVING
from freehold.economics.schedules.split import dust
from freehold.economics.schedules.vesting import MONTH_SECONDS

EPOCH = 3_600
WINDOW = 3
REWARD, VESTING = 4, 10
FLAT = Plan(kind=GEOMETRIC, limit=10**9, amount=1_000, step=EPOCH, factor=10**18, steps=10**6 - 1)
STORAGE = Share("storage", 6_001)
COMPUTE = Share("compute", 1_999)
TREASURY = Share("treasury", 1_000)
SHARES = (STORAGE, COMPUTE, TREASURY)


@dataclass(frozen=True, slots=True)
class Mint:
    """An issuance in a world, one puppet the distributor of storage."""

    world: World
    issuance: Contract
    storage: Puppet

    def close(self, count: int = 1) -> None:
        """Let epochs pass, and close them."""
        self.world.chain.warp(EPOCH * count)
        self.issuance.send("advance", count, sender=mallory.address)

    def drawable(self, epoch: int, share: Share = STORAGE) -> int:
        """What a market may still draw."""
        return int(self.issuance.call("market_drawable", share.id, epoch))


def split_of(*shares: Share) -> list[tuple[bytes, int]]:
    """Shares as the contract takes them."""
    return [(share.id, share.bps) for share in shares]


def place(
    world: World,
    plan: Plan = FLAT,
    *,
    budget: int = 0,
    shares: tuple[Share, ...] = SHARES,
    allocations: list[tuple[Any, ...]] | None = None,
    epoch: int = EPOCH,
    genesis: int | None = None,
    window: int = WINDOW,
) -> Contract:
    """Deploy an issuance that the token lets mint; its genesis is now unless said otherwise."""
    terms = plan.terms(budget=budget, window=window)
    start = world.chain.now if genesis is None else genesis
    found = world.chain.deploy(
        "issuance",
        world.token.address,
        world.governor.address,
        start,
        epoch,
        terms,
        split_of(*shares),
        allocations or [],
        sender=guardian.address,
    )
    world.setup(world.token, "set_minter", found.address, True)
    return found


def put(world: World, **options: Any) -> Mint:
    """An issuance with a distributor of storage."""
    issuance = place(world, **options)
    storage = world.puppet()
    world.setup(issuance, "set_distributor", STORAGE.id, storage.address)
    return Mint(world, issuance, storage)


@pytest.fixture
def mint(world: World) -> Mint:
    return put(world)


# Epochs


def test_describes_itself(mint: Mint) -> None:
    issuance = mint.issuance
    assert issuance.call("token") == mint.world.token.address
    assert issuance.call("governor") == mint.world.governor.address
    assert issuance.call("genesis") == mint.world.chain.now
    assert issuance.call("epoch_seconds") == EPOCH
    assert dict(issuance.call("plan")) == FLAT.terms(budget=0, window=WINDOW)
    assert issuance.call("reserved") == FLAT.limit
    assert issuance.call("split_count") == 1
    listed = [(share.market, share.bps) for share in issuance.call("split", 1)]
    assert listed == split_of(*SHARES)


def test_an_epoch_is_closed_once_it_has_ended(mint: Mint) -> None:
    issuance = mint.issuance
    mint.world.chain.warp(EPOCH - 1)
    assert issuance.send("advance", 64, sender=mallory.address).value == 0
    with refused("issuance: epoch is not closed"):
        issuance.call("budget", 0)
    mint.world.chain.warp(1)
    assert issuance.call("ended") == 1
    done = issuance.send("advance", 64, sender=mallory.address)
    event = done.one("EpochClosed")
    assert (done.value, event.epoch, event.budget, event.scheduled) == (1, 0, 1_000, 1_000)
    assert (event.split, event.backed) == (1, 0)
    assert issuance.call("budget", 0) == (1_000, 1)


def test_an_epoch_is_never_closed_twice(mint: Mint) -> None:
    mint.close()
    again = mint.issuance.send("advance", 64, sender=mallory.address)
    assert (again.value, again.events) == (1, ())
    assert mint.issuance.call("scheduled_total") == 1_000


def test_nothing_ends_before_genesis(world: World) -> None:
    issuance = place(world, genesis=world.chain.now + 10 * EPOCH)
    world.chain.warp(10 * EPOCH)
    assert issuance.send("advance", 9, sender=alice.address).value == 0
    world.chain.warp(EPOCH)
    assert issuance.send("advance", 9, sender=alice.address).value == 1


def test_epochs_end_at_a_number_that_fits_its_place(world: World) -> None:
    issuance = place(world)
    world.chain.warp_to(issuance.call("genesis") + 2**32 * EPOCH - 1)
    assert issuance.call("ended") == 2**32 - 1
    for seconds in (1, 3 * EPOCH):
        world.chain.warp(seconds)
        assert issuance.call("ended") == 2**32


def test_one_call_closes_no_more_than_it_may(mint: Mint) -> None:
    mint.world.chain.warp(EPOCH * 100)
    assert mint.issuance.send("advance", 0, sender=alice.address).value == 0
    assert mint.issuance.send("advance", 5, sender=alice.address).value == 5
    assert mint.issuance.send("advance", 1_000, sender=alice.address).value == 69


PLANS = {
    "time": Plan(kind=EXPONENTIAL, limit=10**26, amount=10**26),
    "months": Plan(
        kind=GEOMETRIC,
        limit=10**26,
        amount=10**24,
        step=ionet.STEP_SECONDS,
        factor=ionet.FACTOR,
        steps=240,
        grain=10**18,
    ),
    "uneven": Plan(
        kind=GEOMETRIC, limit=10**9, amount=9_999, step=7_001, factor=98 * 10**16, steps=40
    ),
    "blocks": Plan(kind=HALVING, limit=10**6, amount=4_000, step=13, grain=1),
}


@pytest.mark.parametrize("name", sorted(PLANS))
def test_no_grouping_changes_a_budget(world: World, name: str) -> None:
    plan, count = PLANS[name], 48
    expected, progress = [], Progress.start(plan, epoch_seconds=EPOCH)
    for _ in range(count):
        progress = progress.after()
        expected.append((progress.budget, 1))
    for grouping in ([48], [1] * 48, [7, 1, 40], [3] * 16):
        with world.chain.anchor():
            issuance = place(world, plan)
            for size in grouping:
                world.chain.warp(EPOCH * size)
                issuance.send("advance", 64, sender=alice.address)
            assert [issuance.call("budget", epoch) for epoch in range(count)] == expected
            assert issuance.call("scheduled_total") == plan.scheduled(EPOCH * count)


def test_a_limit_that_is_reached_inside_an_epoch_cuts_its_budget(world: World) -> None:
    issuance = place(world, replace(FLAT, limit=2_500))
    world.chain.warp(EPOCH * 5)
    issuance.send("advance", 5, sender=alice.address)
    budgets = [issuance.call("budget", epoch)[0] for epoch in range(5)]
    assert budgets == [1_000, 1_000, 500, 0, 0]


def test_a_halving_inside_an_epoch_counts_block_by_block(world: World) -> None:
    plan = Plan(kind=HALVING, limit=100, amount=10, step=600)
    issuance = place(world, plan)
    world.chain.warp(EPOCH * 6)
    issuance.send("advance", 6, sender=alice.address)
    # Five blocks of ten, one of five; four more of five, ...; the last unit is never halved.
    budgets = [issuance.call("budget", epoch)[0] for epoch in range(6)]
    assert budgets[:2] == [55, 24]
    assert sum(budgets) <= 100


def test_a_token_that_is_full_refuses_the_draw(mint: Mint) -> None:
    mint.close()
    mint.world.fund(bob.address, CAP - 599)
    with refused("token: over the cap"):
        mint.storage.act(mint.issuance, "draw", 0, 600, alice.address)
    mint.storage.act(mint.issuance, "draw", 0, 599, alice.address)
    assert mint.issuance.call("drawn_total") == 599


def test_a_schedule_is_asked_for_possible_times(mint: Mint) -> None:
    assert mint.issuance.call("scheduled", 2**64 - 1) == FLAT.scheduled(2**64 - 1)
    with refused("issuance: too late"):
        mint.issuance.call("scheduled", 2**64)


# Split and draws


def test_a_budget_is_split_and_its_dust_belongs_to_nobody(world: World) -> None:
    mint = put(world, plan=replace(FLAT, amount=999))
    mint.close()
    parts = [mint.drawable(0, share) for share in SHARES]
    assert parts == [599, 199, 99]
    assert parts == [share.of(999) for share in SHARES]
    assert 999 - sum(parts) == dust(999, SHARES) == 102


def test_a_draw_mints_for_the_receiver(mint: Mint) -> None:
    mint.close()
    done = mint.storage.act(mint.issuance, "draw", 0, 100, alice.address)
    event = done.one("Drawn")
    assert (event.market, event.epoch, event.to, event.amount) == (
        STORAGE.id,
        0,
        alice.address,
        100,
    )
    assert done.one("Movement").purpose == REWARD
    assert mint.world.balance(alice.address) == 100
    assert mint.drawable(0) == 500
    assert mint.issuance.call("drawn", 0, STORAGE.id) == 100
    assert mint.storage.act(mint.issuance, "drawable", 0).value == 500


def test_a_draw_never_passes_the_share_in_all(mint: Mint) -> None:
    mint.close()
    with refused("issuance: over the share"):
        mint.storage.act(mint.issuance, "draw", 0, 601, alice.address)
    mint.storage.act(mint.issuance, "draw", 0, 599, alice.address)
    with refused("issuance: over the share"):
        mint.storage.act(mint.issuance, "draw", 0, 2, alice.address)
    mint.storage.act(mint.issuance, "draw", 0, 1, alice.address)
    assert mint.world.balance(alice.address) == 600


def test_strangers_draw_nothing(mint: Mint) -> None:
    mint.close()
    for caller in (mallory.address, guardian.address):
        with refused("issuance: not a distributor"):
            mint.issuance.send("draw", 0, 1, caller, sender=caller)
    with refused("issuance: not a distributor"):
        mint.issuance.call("drawable", 0, sender=mallory.address)


def test_an_open_epoch_cannot_be_drawn(mint: Mint) -> None:
    mint.world.chain.warp(EPOCH)
    with refused("issuance: epoch is not closed"):
        mint.storage.act(mint.issuance, "draw", 0, 1, alice.address)
    with refused("issuance: epoch is not closed"):
        mint.storage.act(mint.issuance, "drawable", 0)


def test_an_empty_epoch_gives_nothing(world: World) -> None:
    mint = put(world, plan=replace(FLAT, steps=1))
    mint.close(2)
    assert mint.issuance.call("budget", 1) == (0, 1)
    with refused("issuance: over the share"):
        mint.storage.act(mint.issuance, "draw", 1, 1, alice.address)


def test_what_is_not_drawn_in_time_is_lost(mint: Mint) -> None:
    mint.close()
    mint.world.chain.warp(EPOCH * WINDOW)
    assert mint.drawable(0) == 600
    mint.world.chain.warp(EPOCH)
    assert mint.drawable(0) == 0
    with refused("issuance: over the share"):
        mint.storage.act(mint.issuance, "draw", 0, 1, alice.address)


def test_a_new_split_is_for_epochs_to_come(mint: Mint) -> None:
    mint.world.chain.warp(EPOCH)
    world, issuance = mint.world, mint.issuance
    with refused("issuance: ended epochs are not closed"):
        world.setup(issuance, "set_split", split_of(COMPUTE))
    issuance.send("advance", 1, sender=alice.address)
    event = world.setup(issuance, "set_split", split_of(replace(STORAGE, bps=1))).one("SplitSet")
    assert (event.split, event.from_epoch) == (2, 1)
    assert [(s.market, s.bps) for s in event.shares] == [(STORAGE.id, 1)]
    mint.close()
    assert issuance.call("budget", 0) == (1_000, 1)
    assert issuance.call("budget", 1) == (1_000, 2)
    assert [mint.drawable(0), mint.drawable(1), mint.drawable(1, COMPUTE)] == [600, 0, 0]


@pytest.mark.parametrize(
    ("shares", "reason"),
    [
        ([(b"\x00" * 32, 1)], "issuance: no market"),
        ([(STORAGE.id, 0)], "issuance: share out of bounds"),
        ([(STORAGE.id, 10_001)], "issuance: share out of bounds"),
        ([(STORAGE.id, 1), (STORAGE.id, 1)], "issuance: a market twice"),
        ([(STORAGE.id, 5_000), (COMPUTE.id, 5_001)], "issuance: shares over the whole"),
    ],
)
def test_a_wrong_split_is_refused(mint: Mint, shares: list[tuple[bytes, int]], reason: str) -> None:
    with refused(reason):
        mint.world.setup(mint.issuance, "set_split", shares)


# Roles


def test_only_the_governor_names_anybody(mint: Mint) -> None:
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("set_split", (split_of(COMPUTE),)),
        ("set_distributor", (STORAGE.id, mallory.address)),
        ("set_allocator", (mallory.address, 0)),
        ("set_power", (mallory.address,)),
    ]
    for function, arguments in calls:
        for caller in (mallory.address, guardian.address):
            with refused("issuance: not the governor"):
                mint.issuance.send(function, *arguments, sender=caller)


def test_a_later_distributor_waits_for_the_delay_of_roles(mint: Mint) -> None:
    world, issuance = mint.world, mint.issuance
    other = world.puppet()
    world.governor.send("finish_setup", sender=guardian.address)
    event = world.govern(issuance, "set_distributor", STORAGE.id, other.address).one(
        "DistributorSet"
    )
    assert event.since == world.chain.now + DELAY + UNBONDING
    world.chain.warp_to(event.since - 1)
    assert issuance.call("distributor", STORAGE.id) == mint.storage.address
    issuance.send("advance", 64, sender=alice.address)
    last = issuance.call("closed") - 1
    mint.storage.act(issuance, "draw", last, 1, alice.address)
    with refused("issuance: not a distributor"):
        other.act(issuance, "draw", last, 1, alice.address)
    world.chain.warp(1)
    assert issuance.call("distributor", STORAGE.id) == other.address
    other.act(issuance, "draw", last, 1, alice.address)
    with refused("issuance: not a distributor"):
        mint.storage.act(issuance, "draw", last, 1, alice.address)


def test_a_distributor_serves_one_market(mint: Mint) -> None:
    world, issuance = mint.world, mint.issuance
    with refused("issuance: has a market"):
        world.setup(issuance, "set_distributor", COMPUTE.id, mint.storage.address)
    with refused("issuance: no market"):
        world.setup(issuance, "set_distributor", b"\x00" * 32, mallory.address)
    world.setup(issuance, "set_distributor", STORAGE.id, mint.storage.address)
    world.setup(issuance, "set_distributor", STORAGE.id, ZERO)
    mint.close()
    with refused("issuance: not a distributor"):
        mint.storage.act(issuance, "draw", 0, 1, alice.address)


def test_the_power_source_is_named_once(mint: Mint) -> None:
    world, issuance = mint.world, mint.issuance
    with refused("issuance: source has no code"):
        world.setup(issuance, "set_power", mallory.address)
    event = world.setup(issuance, "set_power", mint.storage.address).one("PowerSet")
    assert event.source == issuance.call("power") == mint.storage.address
    with refused("issuance: power is set"):
        world.setup(issuance, "set_power", world.puppet().address)


def test_storage_emits_only_for_backed_bytes(world: World) -> None:
    plan = Plan(kind=EXPONENTIAL, limit=10**26, amount=0, storage=10**26, initial=2**50)
    issuance = place(world, plan)
    power = world.chain.deploy_artifact(fake("power"), sender=guardian.address)
    world.chain.warp(EPOCH)
    issuance.send("advance", 1, sender=alice.address)
    world.setup(issuance, "set_power", power.address)
    for epoch, amount in ((1, 0), (2, 2**49), (3, 2**50), (4, 2**60)):
        power.send("set_backed", epoch, amount, sender=alice.address)
    world.chain.warp(EPOCH * 4)
    done = issuance.send("advance", 9, sender=alice.address)
    assert [event.backed for event in done.named("EpochClosed")] == [0, 2**49, 2**50, 2**60]
    none, zero, half, whole, more = [issuance.call("budget", epoch)[0] for epoch in range(5)]
    assert none == zero == 0
    assert 0 < half < whole * 51 // 100
    assert more <= whole * 10_010 // 10_000


# Allocators


@pytest.fixture
def granting(world: World) -> Mint:
    mint = put(world, budget=1_000)
    world.setup(mint.issuance, "set_allocator", bob.address, 600)
    return mint


def test_a_grant_is_public_and_counted(granting: Mint) -> None:
    reason = b"r" * 32
    done = granting.issuance.send("grant", carol.address, 500, reason, sender=bob.address)
    event = done.one("Granted")
    assert (event.allocator, event.to, event.reason, event.amount) == (
        bob.address,
        carol.address,
        reason,
        500,
    )
    assert done.one("Movement").purpose == REWARD
    assert granting.world.balance(carol.address) == 500
    assert granting.issuance.call("granted_total") == granting.issuance.call("minted") == 500
    with refused("issuance: over the budget"):
        granting.issuance.send("grant", carol.address, 101, reason, sender=bob.address)
    with refused("issuance: nothing to grant"):
        granting.issuance.send("grant", carol.address, 0, reason, sender=bob.address)
    granting.issuance.send("grant", carol.address, 100, reason, sender=bob.address)


def test_strangers_grant_nothing(granting: Mint) -> None:
    for caller in (mallory.address, guardian.address):
        with refused("issuance: not an allocator"):
            granting.issuance.send("grant", caller, 1, b"r" * 32, sender=caller)


def test_budgets_never_pass_the_reserve(granting: Mint) -> None:
    world, issuance = granting.world, granting.issuance
    with refused("issuance: over the reserve"):
        world.setup(issuance, "set_allocator", carol.address, 401)
    with refused("issuance: zero address"):
        world.setup(issuance, "set_allocator", ZERO, 1)
    event = world.setup(issuance, "set_allocator", carol.address, 400).one("AllocatorSet")
    assert (event.account, event.cap, event.since) == (carol.address, 400, world.chain.now)
    assert issuance.call("allotted") == 1_000


def test_a_budget_can_be_taken_back_but_not_what_is_spent(granting: Mint) -> None:
    world, issuance = granting.world, granting.issuance
    issuance.send("grant", carol.address, 200, b"r" * 32, sender=bob.address)
    with refused("issuance: more is spent"):
        world.setup(issuance, "set_allocator", bob.address, 199)
    world.setup(issuance, "set_allocator", bob.address, 200)
    with refused("issuance: over the budget"):
        issuance.send("grant", carol.address, 1, b"r" * 32, sender=bob.address)
    world.setup(issuance, "set_allocator", carol.address, 800)


def test_a_later_allocator_waits_for_the_delay_of_roles(granting: Mint) -> None:
    world, issuance = granting.world, granting.issuance
    world.governor.send("finish_setup", sender=guardian.address)
    event = world.govern(issuance, "set_allocator", carol.address, 400).one("AllocatorSet")
    assert event.since == world.chain.now + DELAY + UNBONDING
    world.chain.warp_to(event.since - 1)
    with refused("issuance: not an allocator"):
        issuance.send("grant", carol.address, 1, b"r" * 32, sender=carol.address)
    world.chain.warp(1)
    issuance.send("grant", carol.address, 1, b"r" * 32, sender=carol.address)


def test_a_lower_budget_holds_at_once_and_leaves_the_grants(granting: Mint) -> None:
    world, issuance = granting.world, granting.issuance
    world.governor.send("finish_setup", sender=guardian.address)
    world.govern(issuance, "set_allocator", bob.address, 10)
    issuance.send("grant", carol.address, 9, b"r" * 32, sender=bob.address)
    world.govern(issuance, "set_allocator", bob.address, 10)
    issuance.send("grant", carol.address, 1, b"r" * 32, sender=bob.address)


def test_an_allocator_may_be_a_contract(granting: Mint) -> None:
    world, issuance = granting.world, granting.issuance
    committee = world.puppet()
    world.setup(issuance, "set_allocator", committee.address, 1)
    committee.act(issuance, "grant", carol.address, 1, b"r" * 32)
    assert issuance.call("allocators", committee.address).spent == 1


# Vesting


def vesting(world: World, amount: int, *, cliff: int, parts: int) -> Contract:
    """An issuance with one genesis allocation for carol that starts now."""
    found = (carol.address, amount, world.chain.now, cliff, parts)
    return place(world, allocations=[found])


def test_nothing_is_due_before_the_cliff(world: World) -> None:
    cliff = 12 * MONTH_SECONDS
    issuance = vesting(world, 24_007, cliff=cliff, parts=24)
    world.chain.warp(cliff + MONTH_SECONDS - 1)
    with refused("issuance: nothing is due"):
        issuance.send("claim", 0, sender=carol.address)


def test_parts_fall_due_month_by_month_and_the_last_brings_the_dust(world: World) -> None:
    cliff, start = 12 * MONTH_SECONDS, world.chain.now
    issuance = vesting(world, 24_007, cliff=cliff, parts=24)
    expected = Allocation(amount=24_007, start=start, cliff=cliff, parts=24)
    world.chain.warp(cliff + 5 * MONTH_SECONDS)
    done = issuance.send("claim", 0, sender=mallory.address)
    event = done.one("Vested")
    assert (event.allocation, event.beneficiary, event.amount) == (0, carol.address, 5_001)
    assert done.value == expected.vested(world.chain.now) == 5_001
    assert done.one("Movement").purpose == VESTING
    assert world.balance(carol.address) == 5_001
    with refused("issuance: nothing is due"):
        issuance.send("claim", 0, sender=carol.address)
    world.chain.warp(100 * MONTH_SECONDS)
    issuance.send("claim", 0, sender=carol.address)
    assert world.balance(carol.address) == issuance.call("vested_total") == 24_007
    with refused("issuance: nothing is due"):
        issuance.send("claim", 0, sender=carol.address)


def test_without_parts_everything_is_due_at_the_cliff(world: World) -> None:
    issuance = vesting(world, 1, cliff=10, parts=0)
    world.chain.warp(9)
    with refused("issuance: nothing is due"):
        issuance.send("claim", 0, sender=carol.address)
    world.chain.warp(1)
    assert issuance.send("claim", 0, sender=carol.address).value == 1
    with refused("issuance: no such allocation"):
        issuance.send("claim", 1, sender=carol.address)


def test_no_more_allocations_than_fit(world: World) -> None:
    each = (carol.address, 1, world.chain.now, 10, 0)
    assert place(world, allocations=[each] * 32).call("allocation_count") == 32
    with refused(""):
        place(world, allocations=[each] * 33)


def test_ionets_allocations_vest_as_in_python(world: World) -> None:
    start = world.chain.now
    total = ionet.CAP_IO * TOKEN
    parts = [
        part.allocation(total=total, start=start)
        for part in ionet.ALLOCATION
        if part.name != "community"
    ]
    listed = [(carol.address, a.amount, a.start, a.cliff, a.parts) for a in parts]
    issuance = place(world, allocations=listed)
    assert issuance.call("allocation_count") == len(parts)
    for months in (0, 11, 12, 13, 24, 35, 36, 47, 48, 200):
        moment = start + months * MONTH_SECONDS
        for number, each in enumerate(parts):
            assert issuance.call("vested", number, moment) == each.vested(moment)
    assert issuance.call("allocation", 0).amount == total // 8


# Deployment


def test_a_plan_over_the_cap_is_refused(world: World) -> None:
    plan = replace(FLAT, limit=CAP - 100)
    found = [(carol.address, 41, 0, 0, 0)]
    with refused("issuance: over the cap"):
        place(world, plan, budget=60, allocations=found)
    world.fund(alice.address, 10)
    with refused("issuance: over the cap"):
        place(world, plan, budget=50, allocations=found)
    assert place(world, plan, budget=49, allocations=found).call("reserved") == CAP - 10


SOMEBODY = "0x" + "11" * 20
TERMS = FLAT.terms(budget=0, window=WINDOW)
TIME = Plan(kind=EXPONENTIAL, limit=100, amount=100).terms(budget=0, window=WINDOW)
BLOCKS = Plan(kind=HALVING, limit=100, amount=10, grain=10).terms(budget=0, window=WINDOW)


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        (TERMS | {"kind": 0}, "issuance: unknown kind"),
        (TERMS | {"kind": 4}, "issuance: unknown kind"),
        (TERMS | {"limit": 0}, "issuance: limit out of bounds"),
        (TERMS | {"limit": 2**96}, "issuance: limit out of bounds"),
        (TERMS | {"amount": 2**96}, "issuance: amount out of bounds"),
        (TERMS | {"storage": 1}, "issuance: storage in another kind"),
        (TERMS | {"storage": 2**96}, "issuance: amount out of bounds"),
        (TERMS | {"budget": 2**96}, "issuance: budget out of bounds"),
        (TERMS | {"window": 0}, "issuance: window out of bounds"),
        (TERMS | {"window": 10_001}, "issuance: window out of bounds"),
        (TERMS | {"step": 0}, "issuance: step out of bounds"),
        (TERMS | {"step": 100 * 366 * 86_400 + 1}, "issuance: step out of bounds"),
        (TERMS | {"grain": 0}, "issuance: grain out of bounds"),
        (TERMS | {"grain": 10**9 + 1}, "issuance: grain out of bounds"),
        (TERMS | {"factor": 0}, "issuance: factor out of bounds"),
        (TERMS | {"factor": 10**18 + 1}, "issuance: factor out of bounds"),
        (TERMS | {"steps": 0}, "issuance: steps out of bounds"),
        (TERMS | {"steps": 2**20}, "issuance: steps out of bounds"),
        (TIME | {"storage": 1, "initial": 1}, "issuance: parts over the limit"),
        (TIME | {"storage": 1, "amount": 99}, "issuance: no baseline"),
        (TIME | {"initial": 2**96}, "issuance: baseline out of bounds"),
        (BLOCKS | {"limit": 101}, "issuance: not whole grains"),
        (BLOCKS | {"amount": 9}, "issuance: not whole grains"),
    ],
)
def test_an_impossible_plan_is_refused(world: World, terms: dict[str, int], reason: str) -> None:
    with refused(reason):
        deploy_raw(world, terms=terms)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"token": ZERO}, "issuance: zero address"),
        ({"governor": ZERO}, "issuance: zero address"),
        ({"genesis": 0}, "issuance: genesis out of bounds"),
        ({"genesis": 2**40}, "issuance: genesis out of bounds"),
        ({"epoch": 0}, "issuance: epoch too short"),
        ({"epoch": 366 * 86_400 + 1}, "issuance: epoch too long"),
        ({"epoch": 31, "terms": TIME}, "issuance: epoch is no multiple of 30 s"),
        ({"shares": [(STORAGE.id, 10_001)]}, "issuance: share out of bounds"),
        ({"allocations": [(ZERO, 1, 0, 0, 0)]}, "issuance: no beneficiary"),
        ({"allocations": [(SOMEBODY, 0, 0, 0, 0)]}, "issuance: allocation out of bounds"),
        (
            {"allocations": [(SOMEBODY, 2**96, 0, 0, 0)]},
            "issuance: allocation out of bounds",
        ),
        ({"allocations": [(SOMEBODY, 1, 2**40, 0, 0)]}, "issuance: cliff out of bounds"),
        (
            {"allocations": [(SOMEBODY, 1, 0, 20 * 366 * 86_400 + 1, 0)]},
            "issuance: cliff out of bounds",
        ),
        ({"allocations": [(SOMEBODY, 1, 0, 0, 241)]}, "issuance: too many parts"),
    ],
)
def test_an_impossible_deployment_is_refused(
    world: World, changed: dict[str, Any], reason: str
) -> None:
    with refused(reason):
        deploy_raw(world, **changed)


LARGEST = {"window": 10_000, "step": 100 * 366 * 86_400}


@pytest.mark.parametrize(
    "changed",
    [
        {"genesis": 1},
        {"genesis": 2**40 - 1, "epoch": 366 * 86_400},
        {"epoch": 1, "terms": TERMS | {"factor": 1, "steps": 1, "grain": 10**9, "window": 1}},
        {"terms": TERMS | {"factor": 10**18, "steps": 2**20 - 1, "step": 1, "limit": 1}},
        {"terms": TERMS | LARGEST | {"limit": CAP, "amount": 2**96 - 1}},
        {"epoch": 30, "terms": TIME | {"initial": 2**96 - 1, "amount": 0, "storage": 100}},
        {"terms": TIME | {"initial": 1, "amount": 99, "storage": 1}},
        {"terms": BLOCKS | {"limit": 10, "amount": 0}},
        {"shares": [(bytes([n + 1]) * 32, 1_250) for n in range(8)]},
        {"allocations": [(SOMEBODY, 1, 2**40 - 1, 20 * 366 * 86_400, 240)] * 32},
    ],
)
def test_a_deployment_at_its_bounds(world: World, changed: dict[str, Any]) -> None:
    issuance = deploy_raw(world, **changed)
    assert dict(issuance.call("plan")) == changed.get("terms", TERMS)
    assert issuance.call("allocation_count") == len(changed.get("allocations", []))
    assert len(issuance.call("split", 1)) == len(changed.get("shares", []))


def test_the_largest_amounts_are_still_below_their_bounds(chain: Chain) -> None:
    by = guardian.address
    token = chain.deploy("token", "F", "F", 2**100, bytes(32), by, sender=by)
    terms = TERMS | {"limit": 2**96 - 1, "amount": 2**96 - 1, "budget": 2**96 - 1}
    found = [(SOMEBODY, 2**96 - 1, 0, 0, 0)]
    issuance = chain.deploy("issuance", token.address, by, 1, 2**20, terms, [], found, sender=by)
    assert issuance.call("reserved") == 3 * (2**96 - 1)
    issuance.send("advance", 64, sender=by)
    assert issuance.call("scheduled_total") == 2**96 - 1


def deploy_raw(world: World, **changed: Any) -> Contract:
    """Deploy with any arguments, possible or not."""
    arguments: dict[str, Any] = {
        "token": world.token.address,
        "governor": world.governor.address,
        "genesis": 1,
        "epoch": EPOCH,
        "terms": TERMS,
        "shares": [],
        "allocations": [],
    }
    arguments |= changed
    return world.chain.deploy("issuance", *arguments.values(), sender=guardian.address)


def test_a_view_of_another_kind_is_refused(mint: Mint) -> None:
    for function, arguments in (
        ("simple_reward", ([0],)),
        ("baseline_reward", ([0], [1])),
        ("block_emission", ([0],)),
    ):
        with refused("issuance: another kind"):
            mint.issuance.call(function, *arguments)
    with refused("issuance: another kind"):
        place(mint.world, PLANS["time"]).call("step_emission", [0])
    with refused("issuance: time runs backwards"):
        place(mint.world, PLANS["time"]).call("baseline_reward", [1], [0])
    with refused("issuance: lengths differ"):
        place(mint.world, PLANS["time"]).call("baseline_reward", [1], [])


def test_no_more_is_asked_at_once_than_fits(world: World) -> None:
    issuance = place(world, PLANS["time"])
    assert len(issuance.call("simple_reward", [0] * 256)) == 256
    with refused(""):
        issuance.call("simple_reward", [0] * 257)


def test_a_full_call_fits_a_transaction(world: World) -> None:
    # The most work: after years without storage, epochs make up as many as they may.
    month = 30 * 86_400
    plan = Plan(kind=EXPONENTIAL, limit=10**27, amount=10**26, storage=10**26, initial=2**40)
    issuance = place(world, plan, epoch=month)
    power = world.chain.deploy_artifact(fake("power"), sender=guardian.address)
    world.setup(issuance, "set_power", power.address)
    world.chain.warp(month * 128)
    issuance.send("advance", 64, sender=alice.address)
    for epoch in range(64, 128):
        power.send("set_backed", epoch, 2**255, sender=alice.address)
    done = issuance.send("advance", 64, sender=alice.address)
    assert done.value == 128
    assert issuance.call("baseline").time == 127
    assert done.gas_used < 12_000_000
