"""The model of the issuance against the contract, and against events that lie."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.evm import Reverted
from contracts.market import PERIOD
from contracts.world import alice, bob, carol, guardian, mallory
from freehold.audit.events import Event
from freehold.audit.report import Differs
from freehold.domain.ids import ZERO_ADDRESS
from freehold.economics.schedules.filecoin import BASELINE_INITIAL
from freehold.economics.schedules.plan import EXPONENTIAL, HALVING, Plan
from freehold.economics.schedules.vesting import MONTH_SECONDS
from unit.audit.founded import (
    ALLOCATIONS,
    DEVICES,
    EPOCH,
    PLAN,
    PUBLIC,
    SHARES,
    STORAGE,
    WINDOW,
    Founded,
    differs,
    lied,
    occasions,
)

TOTALS = ("closed", "scheduled_total", "drawn_total", "granted_total", "vested_total", "allotted",
          "split_count", "minted", "power")  # fmt: skip
REASON = b"\x07" * 32
FREE = {("Granted", "reason"), ("AllocatorSet", "cap"), ("DistributorSet", "account"),
        ("DistributorSet", "market"), ("Drawn", "epoch")}  # fmt: skip
"""What the governor, an allocator or a distributor outside the network chooses: only the logs'
place in the block's root binds it."""


def compare(founded: Founded) -> None:
    founded.follow()
    for view in TOTALS:
        founded.agree("issuance", view)
    for epoch in range(int(founded.issuance.call("closed"))):
        founded.agree("issuance", "budget", epoch)
    for number in (0, 1):
        founded.agree("issuance", "claimed", number)
    for account in (bob, carol):
        founded.agree("issuance", "allocators", account.address)
    model = founded.models.economy.issuance
    assert model is not None
    for market, _ in SHARES:
        at = founded.chain.now
        assert model.distributor(market, at).lower() == founded.issuance.call("distributor", market)
        for epoch in range(len(model.epochs)):
            founded.agree("issuance", "drawn", epoch, market)
            left = founded.issuance.call("market_drawable", market, epoch)
            assert model.drawable(market, epoch, at) == left


@cache
def history() -> Founded:
    """Draws, grants, vesting, a new split, and a distributor and an allocator after the setup."""
    founded = Founded(plan=replace(PLAN, amount=10**13, factor=99 * 10**16, steps=1_000))
    chain, world, issuance = founded.chain, founded.world, founded.issuance
    chain.warp(3 * EPOCH)
    issuance.send("advance", 64, sender=mallory.address)
    founded.public.act(issuance, "draw", 1, 7, carol.address)
    founded.public.act(issuance, "draw", 1, 5, carol.address)
    issuance.send("grant", carol.address, 9, REASON, sender=bob.address)
    for number in (0, 1):
        issuance.send("claim", number, sender=mallory.address)
    compare(founded)
    world.setup(issuance, "set_split", [(STORAGE, 5_000), (PUBLIC, 5_000)])
    world.setup(issuance, "set_allocator", bob.address, 100)
    world.governor.send("finish_setup", sender=guardian.address)
    other = world.puppet()
    world.govern(issuance, "set_distributor", PUBLIC, other.address)
    world.govern(issuance, "set_allocator", carol.address, 400)
    chain.warp(90 * EPOCH)
    while issuance.call("closed") < issuance.call("ended"):
        issuance.send("advance", 64, sender=mallory.address)
    other.act(issuance, "draw", int(issuance.call("closed")) - 2, 3, carol.address)
    issuance.send("grant", alice.address, 400, REASON, sender=carol.address)
    chain.warp(2 * MONTH_SECONDS)
    issuance.send("claim", 1, sender=mallory.address)
    compare(founded)
    return founded


def test_the_model_agrees_with_the_contract() -> None:
    founded = history()
    names = {event.name for event in founded.events if event.contract == "issuance"}
    assert names == {"EpochClosed", "Drawn", "SplitSet", "DistributorSet", "AllocatorSet",
                     "Granted", "Vested"}  # fmt: skip
    model = founded.models.economy.issuance
    assert model is not None
    assert model.drawn_total <= model.progress.total <= PLAN.limit


PLANS = {
    "blocks": Plan(kind=HALVING, limit=10**6, amount=4_000, step=13),
    "time": Plan(kind=EXPONENTIAL, limit=10**26, amount=10**26),
    "storage": Plan(kind=EXPONENTIAL, limit=10**26, amount=3 * 10**25, storage=7 * 10**25,
                    initial=BASELINE_INITIAL),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PLANS))
def test_every_kind_of_schedule_is_recomputed(name: str) -> None:
    founded = Founded(plan=PLANS[name])
    nodes, deals = founded.begin((200_000,))
    for period in range(11):
        founded.live(nodes, deals, ())
        if period % 4 == 3:
            founded.close()
        compare(founded)
    told = [e.number("backed") for e in founded.events if (e.contract, e.name) == (
        "issuance", "EpochClosed")]  # fmt: skip
    assert any(told) == (name == "storage")


steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(1, 2 * EPOCH)),
        st.tuples(st.just("advance"), st.integers(0, 3)),
        st.tuples(st.just("draw"), st.integers(0, 10**15)),
        st.tuples(st.just("grant"), st.integers(0, 10**6)),
        st.tuples(st.just("claim"), st.integers(0, 1)),
        st.tuples(st.just("split"), st.integers(0, 5_000)),
        st.tuples(st.just("allow"), st.integers(0, 10**6)),
    ),
    max_size=14,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps)
def test_it_agrees_on_any_history(found: list[tuple[str, int]]) -> None:
    founded = Founded()
    world, issuance = founded.world, founded.issuance
    for kind, amount in found:
        try:
            if kind == "wait":
                founded.chain.warp(amount)
            elif kind == "advance":
                issuance.send("advance", amount, sender=mallory.address)
            elif kind == "draw":
                epoch = amount % max(1, int(issuance.call("closed")))
                founded.public.act(issuance, "draw", epoch, amount, carol.address)
            elif kind == "grant":
                issuance.send("grant", carol.address, amount, REASON, sender=bob.address)
            elif kind == "claim":
                issuance.send("claim", amount, sender=mallory.address)
            elif kind == "split":
                world.setup(issuance, "set_split", [(PUBLIC, amount), (DEVICES, 9)])
            else:
                world.setup(issuance, "set_allocator", bob.address, amount)
        except Reverted:
            continue
    compare(founded)


@pytest.mark.parametrize("occasion", occasions(history().events, "issuance"), ids=str)
def test_an_event_that_lies_is_found(occasion: tuple[str, str, int]) -> None:
    name, argument, place = occasion
    events = list(history().events)
    events[place] = lied(events[place], argument)
    assert differs(history(), events) == ((name, argument) not in FREE)


def place_of(name: str) -> int:
    """Where the last such event stands."""
    events = history().events
    return max(i for i, e in enumerate(events) if (e.contract, e.name) == ("issuance", name))


@pytest.mark.parametrize(("name", "what"), [("EpochClosed", "epoch"), ("SplitSet", "split")])
def test_a_missing_event_is_found(name: str, what: str) -> None:
    events = history().events
    place = next(i for i, e in enumerate(events) if (e.contract, e.name) == ("issuance", name))
    with pytest.raises(Differs, match=what):
        history().replay([*events[:place], *events[place + 1 :]], history().fresh())


def test_a_draw_that_nobody_minted_is_found() -> None:
    events = history().events
    place = place_of("Drawn")
    mint = next(i for i in range(place, len(events)) if events[i].name == "Movement")
    with pytest.raises(Differs, match="not minted"):
        history().replay([*events[:mint], *events[mint + 1 :]], history().fresh())


def test_a_mint_that_nothing_explains_is_found_once_nobody_else_may() -> None:
    founded = Founded()
    founded.world.fund(alice.address, 5)
    founded.world.setup(founded.world.token, "set_minter", guardian.address, False)
    founded.chain.warp(EPOCH)
    founded.issuance.send("advance", 1, sender=mallory.address)
    founded.public.act(founded.issuance, "draw", 0, 7, carol.address)
    founded.follow()
    place = max(i for i, e in enumerate(founded.events) if e.name == "Drawn")
    with pytest.raises(Differs, match="a mint"):
        founded.replay([*founded.events[:place], *founded.events[place + 1 :]], founded.fresh())


def test_what_was_not_drawn_in_time_is_lost() -> None:
    founded = Founded()
    founded.chain.warp(EPOCH)
    founded.issuance.send("advance", 1, sender=mallory.address)
    founded.chain.warp(WINDOW * EPOCH)
    founded.public.act(founded.issuance, "draw", 0, 7, carol.address)
    founded.follow()
    late = [replace(e, time=e.time + EPOCH) if e.name == "Drawn" else e for e in founded.events]
    with pytest.raises(Differs, match="within the share"):
        founded.replay(late, founded.fresh())


def test_the_place_of_a_wrong_budget_is_named() -> None:
    events = list(history().events)
    place = place_of("EpochClosed")
    events[place] = lied(events[place], "budget")
    with pytest.raises(Differs) as caught:
        history().replay(events, history().fresh())
    found = caught.value.difference
    assert (found.check, found.place.field) == ("issuance", "EpochClosed.budget")
    assert found.place.transaction == events[place].place.transaction
    assert int(found.found) == int(found.expected) + 1


def test_a_reserve_beyond_the_cap_is_found() -> None:
    """What was minted before counts as well, as it does for the contract."""
    founded = history()
    plan = founded.book.made["issuance"]["plan_"]
    reserve = plan["limit"] + plan["budget"] + sum(amount for _, amount, *_ in ALLOCATIONS)
    first = next(i for i, e in enumerate(founded.events) if e.name == "SplitSet")
    made = founded.book.made["token"]
    try:
        for cap, minted in ((reserve, 0), (reserve - 1, 0), (reserve + 7, 7), (reserve + 7, 8)):
            founded.book.made["token"] = {**made, "cap_": cap}
            models = founded.fresh()
            models.balances.minted = minted
            fits = nullcontext() if cap - minted >= reserve else pytest.raises(
                Differs, match="what the cap leaves"
            )  # fmt: skip
            with fits:
                founded.replay(founded.events[: first + 1], models)
    finally:
        founded.book.made["token"] = made


def test_a_network_without_an_economy_is_recomputed_as_before() -> None:
    founded = history()
    names = ("issuance", "rewards", "roots", "auction")
    contracts = {k: v for k, v in founded.network.contracts.items() if k not in names}
    before, founded.network = founded.network, replace(founded.network, contracts=contracts)
    try:
        models = founded.fresh()
        founded.replay([e for e in founded.events if e.contract not in names], models)
    finally:
        founded.network = before
    assert models.economy.figures() == {}
    assert models.answer(("issuance", "closed", ()), 0) is None


def test_a_mint_by_another_minter_is_allowed_as_before() -> None:
    founded = history()
    event = Event("token", "Movement", {"recipient": ZERO_ADDRESS, "sender": ZERO_ADDRESS,
                  "amount": 5, "purpose": 4, "token": ZERO_ADDRESS}, 0, 0,
                  founded.events[0].place, founded.events[0].transaction)  # fmt: skip
    models = founded.fresh()
    founded.replay(founded.events, models)
    assert models.economy.issuance is not None
    models.economy.issuance.see_mint(event)
    assert PERIOD < EPOCH


def test_a_grant_beyond_the_budget_is_found() -> None:
    founded = history()
    place = next(i for i, e in enumerate(founded.events) if e.name == "AllocatorSet")
    events = list(founded.events)
    events[place] = replace(events[place], args={**events[place].args, "cap": 8})
    with pytest.raises(Differs, match="a grant within the budget"):
        founded.replay(events, founded.fresh())
