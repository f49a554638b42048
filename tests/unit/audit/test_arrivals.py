"""The model of stake that waits: whoever comes earns nothing for the past."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.audit.events import Event
from freehold.audit.pools import INDEX_UNIT, Arrival, Node, Pool
from freehold.audit.report import Differs, Place
from freehold.audit.stakes import Stakes
from freehold.audit.transactions import Transaction
from freehold.domain.ids import ZERO_ADDRESS, Address, checksum

NODE, OWNER, OTHER, PAYER, STRANGER, SECOND = (checksum(bytes([n]) * 20) for n in range(1, 7))
UNBONDING, OWN, PAR = 100, 1_000, 10**6
NOBODY = Transaction(b"", b"", 0, None, b"")
EPOCH = 10
"""The payer of these tests owes from the start of the epoch before, until it gives a reward."""


def event(name: str, time: int, **args: int | str) -> Event:
    return Event("staking", name, args, time, time, Place(), NOBODY)


def at(name: str, time: int, **args: int | str) -> Event:
    return event(name, time, node=NODE, **args)


def staked(time: int, staker: Address, *, waits: bool, node: Address = NODE) -> Event:
    return event(
        "Staked", time, node=node, staker=staker, amount=OWN, shares=OWN * PAR, waits=int(waits)
    )


def rewarded(time: int, active: int, *, commission: int = 0) -> Event:
    return at(
        "Rewarded", time, payer=PAYER, owner=OWNER, amount=100, commission=commission,
        active=active,
    )  # fmt: skip


HONEST = [
    event("DelegationSet", 0, least_own_bps=1_000, exit_term=UNBONDING),
    staked(1, OWNER, waits=False),
    event("RoleSet", 2, role="evaluator", account=PAYER, allowed=1),
    staked(15, OTHER, waits=True),
    staked(25, OTHER, waits=True),
    at("Unbonded", 26, staker=OTHER, entry=0, amount=OWN, shares=OWN * PAR,
       ready_at=26 + UNBONDING),
    rewarded(31, 2 * OWN),
    rewarded(41, 2 * OWN),
    at("Admitted", 41, arrival=0, shares=OWN * PAR),
    rewarded(51, 2 * OWN),
    at("RewardsClaimed", 52, staker=OTHER, amount=50),
    at("RewardsClaimed", 53, staker=OWNER, amount=250),
]  # fmt: skip


class Owed:
    """A payer whose work of each epoch is owed until a reward is given after the next began."""

    def __init__(self) -> None:
        self.since = 0

    def __call__(self, node: Address, moment: int) -> int:
        return moment if node != NODE else min(self.since, moment)

    def see(self, event: Event) -> None:
        """Everything before the epoch of a reward is given with it."""
        if event.name == "Rewarded":
            self.since = event.time - event.time % EPOCH - EPOCH


def run(events: list[Event], payers: dict[Address, Owed] | None = None) -> Stakes:
    stakes = Stakes(contract=ZERO_ADDRESS, unbonding=UNBONDING, counts=Counter())
    given = {PAYER: Owed()} if payers is None else payers
    stakes.payers |= given
    for each in events:
        for payer in given.values():
            payer.see(each)
        stakes.apply(each)
    return stakes


def place_of(name: str, time: int) -> int:
    return next(i for i, each in enumerate(HONEST) if (each.name, each.time) == (name, time))


def test_who_comes_late_earns_from_the_admission_on() -> None:
    stakes = run(HONEST)
    assert (stakes.total, stakes.rewards) == (2 * OWN + OWN, 0)
    assert stakes.answer("arrival", (NODE,)) == [{"number": 1, "shares": 0, "since": 0}]
    assert stakes.answer("waiting_of", (OTHER, NODE)) == [0]


def test_stake_that_waits_is_told_by_the_views() -> None:
    stakes = run(HONEST[:5])
    assert stakes.answer("waiting_of", (OTHER, NODE)) == [2 * OWN]
    assert stakes.answer("waiting_of", (OWNER, NODE)) == [0]
    found = [{"number": 0, "shares": 2 * OWN * PAR, "since": 25}]
    assert stakes.answer("arrival", (NODE,)) == found
    assert stakes.answer("stake_of", (OTHER, NODE)) == [2 * OWN]
    assert run(HONEST[:6]).answer("waiting_of", (OTHER, NODE)) == [OWN]


def test_an_admission_that_comes_too_early_is_found() -> None:
    early = at("Admitted", 32, arrival=0, shares=OWN * PAR)
    for place, moment in ((place_of("Rewarded", 31) + 1, 32), (4, 24)):
        shares = run(HONEST[:place]).node(NODE).arrival.shares
        forged = replace(early, time=moment, args={**early.args, "shares": shares})
        with pytest.raises(Differs, match="due before it came"):
            run([*HONEST[:place], forged])


@pytest.mark.parametrize(("time", "told"), [(1, 1), (15, 0), (25, 0)])
def test_stake_that_lies_about_waiting_is_found(time: int, told: int) -> None:
    place = place_of("Staked", time)
    lie = replace(HONEST[place], args={**HONEST[place].args, "waits": told})
    with pytest.raises(Differs, match="Staked") as caught:
        run([*HONEST[:place], lie])
    assert caught.value.difference.place.field == "Staked.waits"


@pytest.mark.parametrize(
    ("field", "told"), [("arrival", 1), ("shares", OWN * PAR - 1), ("node", STRANGER)]
)
def test_an_admission_that_lies_is_found(field: str, told: int | str) -> None:
    place = place_of("Admitted", 41)
    lie = replace(HONEST[place], args={**HONEST[place].args, field: told})
    with pytest.raises(Differs):
        run([*HONEST[:place], lie])


def test_an_admission_of_nothing_is_found() -> None:
    done = place_of("Admitted", 41) + 1
    again = at("Admitted", 42, arrival=1, shares=0)
    with pytest.raises(Differs, match="stake that waits"):
        run([*HONEST[:done], again])


def test_an_admission_that_a_reward_should_have_brought_is_missed() -> None:
    place = place_of("Admitted", 41)
    movement = event("Movement", 41, token=PAYER, sender=PAYER, recipient=OWNER, amount=100)
    for following in (HONEST[place + 1], movement):
        with pytest.raises(Differs, match="node whose stake is admitted"):
            run([*HONEST[:place], following])


@pytest.mark.parametrize(
    "following",
    [
        staked(42, OTHER, waits=True),
        at("Unbonded", 42, staker=OTHER, entry=0, amount=OWN, shares=OWN * PAR,
           ready_at=42 + UNBONDING),
        at("Withdrawn", 26 + UNBONDING, staker=OTHER, entry=0, amount=OWN),
    ],
    ids=lambda each: each.name,
)  # fmt: skip
def test_stake_comes_and_goes_only_after_what_can_be_admitted(following: Event) -> None:
    """The payer owes nothing any more; without a reward only those who come and go ask it."""
    owed = Owed()
    stakes = run(HONEST[:6], {PAYER: owed})
    owed.since = stakes.node(NODE).arrival.since
    with pytest.raises(Differs, match="waits for nothing"):
        stakes.apply(following)


def test_a_payer_that_is_not_known_may_owe_more() -> None:
    """Its word is taken where it says that stake waits, and where it lets nobody in."""
    events = [
        HONEST[0], HONEST[1],
        event("RoleSet", 2, role="evaluator", account=STRANGER, allowed=1),
        staked(15, OTHER, waits=True), staked(16, SECOND, waits=False),
    ]  # fmt: skip
    stakes = run(events, {})
    assert stakes.answer("waiting_of", (OTHER, NODE)) == [OWN]
    known = event("RoleSet", 3, role="evaluator", account=PAYER, allowed=1)
    with pytest.raises(Differs, match="Staked"):
        run([*events[:3], known, *events[3:]])


def test_a_payer_that_is_no_evaluator_is_not_asked() -> None:
    gone = event("RoleSet", 3, role="evaluator", account=PAYER, allowed=0)
    run([*HONEST[:3], gone, staked(15, OTHER, waits=False)])
    run([*HONEST[:2], staked(15, OTHER, waits=False)])


def test_another_nodes_stake_does_not_wait() -> None:
    stakes = run([*HONEST[:4], staked(16, OWNER, waits=False, node=STRANGER)])
    assert stakes.answer("waiting_of", (OWNER, STRANGER)) == [0]


def test_a_reward_where_nobody_earns_is_the_owners() -> None:
    events = [HONEST[0], HONEST[2], staked(15, OWNER, waits=True)]
    stakes = run([*events, rewarded(31, OWN, commission=100),
                  at("Admitted", 31, arrival=0, shares=OWN * PAR)])  # fmt: skip
    assert stakes.answer("claimable", (OWNER, NODE)) == [100]
    with pytest.raises(Differs, match="Rewarded"):
        run([*events, rewarded(31, OWN)])


# What a position earns


def test_what_leaves_first_is_what_came_last() -> None:
    node = Node()
    node.join("a", 10, 10 * PAR)
    node.join("a", 5, 5 * PAR)
    node.wait("a", 5 * PAR, 7)
    node.leave("a", 3, 3 * PAR)
    assert (node.fresh("a"), node.arrival) == (2 * PAR, Arrival(0, 2 * PAR, 7))
    node.leave("a", 4, 4 * PAR)
    assert (node.fresh("a"), node.arrival, node.shares("a")) == (0, Arrival(0, 0, 7), 8 * PAR)
    assert node.earning == 8 * PAR


def test_old_and_fresh_shares_are_divided_once() -> None:
    """Half a unit of each make one."""
    node = Node()
    node.join("a", 1, 1)
    node.join("a", 1, 1)
    node.wait("a", 1, 7)
    node.rewards.indexes[0] += INDEX_UNIT // 2 - 1
    node.admit(0)
    node.rewards.indexes[0] += 1
    assert node.earned("a") == 0
    node.rewards.indexes[0] += INDEX_UNIT // 4
    assert node.earned("a") == (INDEX_UNIT // 2 + 2 * (INDEX_UNIT // 4) + 1) // INDEX_UNIT == 1


def test_the_arrival_of_a_retired_pool_is_worth_nothing() -> None:
    node = Node()
    node.join("a", 10, 10 * PAR)
    node.wait("a", 10 * PAR, 7)
    node.unbonding = Pool(5, 5 * PAR)
    node.take(15)
    assert (node.arrival, node.active.generation) == (Arrival(1), 1)
    assert (node.fresh("a"), node.shares("a"), node.earned("a")) == (0, 0, 0)
    node.join("b", 10, 10 * PAR)
    node.rewards.share(1, node.earning, 9)
    assert (node.earned("a"), node.earned("b")) == (0, 9)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 10**20), st.booleans(), st.booleans()),
        min_size=1, max_size=12,
    ),
    st.integers(1, 10**20),
)  # fmt: skip
def test_a_reward_is_shared_among_those_who_were_there(
    comings: list[tuple[str, int, bool, bool]], amount: int
) -> None:
    """Who waits earns nothing of it, and all others together never more than there is."""
    node = Node()
    for moment, (staker, brought, waits, opens) in enumerate(comings):
        shares = node.active.shares_for(brought)
        node.join(staker, brought, shares)
        if waits:
            node.wait(staker, shares, moment)
        if opens:
            node.admit(0)
    before = Counter({staker: node.earned(staker) for staker in "abc"})
    waiting = {staker for staker in "abc" if node.fresh(staker) == node.shares(staker)}
    if node.part(amount, 0) == amount:
        return
    node.rewards.share(0, node.earning, amount)
    gained = {staker: node.earned(staker) - before[staker] for staker in "abc"}
    assert all(gained[staker] == 0 for staker in waiting)
    assert amount - 3 <= sum(gained.values()) <= amount
