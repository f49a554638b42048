"""The model of stake against events that lie: each wrong number is named."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from freehold.audit.events import Event
from freehold.audit.pools import BPS, Commission, Node, Notice, Terms
from freehold.audit.report import Differs, Place
from freehold.audit.stakes import Stakes
from freehold.audit.transactions import Transaction
from freehold.domain.ids import ZERO_ADDRESS, checksum

NODE, OWNER, OTHER, PAYER, MARKET = (checksum(bytes([n]) * 20) for n in range(1, 6))
UNBONDING, TERM, OWN, PAR = 100, 300, 1_000, 10**6
NOBODY = Transaction(b"", b"", 0, None, b"")


def event(name: str, time: int, **args: int | str) -> Event:
    return Event("staking", name, args, time, time, Place(), NOBODY)


def at(name: str, time: int, **args: int | str) -> Event:
    return event(name, time, node=NODE, **args)


HONEST = [
    event("DelegationSet", 0, least_own_bps=1_000, exit_term=TERM),
    event("RoleSet", 0, role="locker", account=MARKET, allowed=1),
    at("Staked", 1, staker=OWNER, amount=OWN, shares=OWN * PAR, waits=0),
    at("CommissionSet", 2, bps=1_000, raised=0, raised_at=0),
    at("Staked", 3, staker=OTHER, amount=OWN, shares=OWN * PAR, waits=0),
    at("Rewarded", 4, payer=PAYER, owner=OWNER, amount=100, commission=10, active=2 * OWN),
    at("CommissionSet", 5, bps=1_000, raised=2_000, raised_at=5 + TERM + UNBONDING),
    at("Locked", 6, locker=MARKET, amount=2 * OWN, total=2 * OWN),
    at("NoticeSet", 7, staker=OTHER, amount=OWN, shares=OWN * PAR, ready_at=7 + TERM),
    at("Unbonded", 7 + TERM, staker=OTHER, entry=0, amount=OWN, shares=OWN * PAR,
       ready_at=7 + TERM + UNBONDING),
    at("Rewarded", 400, payer=PAYER, owner=OWNER, amount=100, commission=0, active=OWN),
    at("Unlocked", 401, locker=MARKET, amount=OWN, total=OWN),
    at("Rewarded", 406, payer=PAYER, owner=OWNER, amount=100, commission=20, active=OWN),
    at("RewardsClaimed", 407, staker=OTHER, amount=45),
    at("RewardsClaimed", 408, staker=OWNER, amount=255),
    at("Withdrawn", 409, staker=OTHER, entry=0, amount=OWN),
]  # fmt: skip


def run(events: list[Event]) -> Stakes:
    stakes = Stakes(contract=ZERO_ADDRESS, unbonding=UNBONDING, counts=Counter())
    for each in events:
        stakes.apply(each)
    return stakes


def position(name: str, time: int) -> int:
    return next(i for i, each in enumerate(HONEST) if (each.name, each.time) == (name, time))


def test_an_honest_history_passes() -> None:
    stakes = run(HONEST)
    assert (stakes.total, stakes.rewards, stakes.held) == (OWN, 0, OWN)
    assert stakes.answer("own", (NODE,)) == [OWN]
    assert stakes.answer("claimable", (OTHER, NODE)) == [0]
    assert stakes.answer("no such view", (NODE,)) is None


@pytest.mark.parametrize(
    ("name", "time", "field", "told"),
    [
        ("Staked", 3, "shares", OWN * PAR + 1),
        ("Staked", 3, "amount", 9 * OWN + 1),
        ("Rewarded", 4, "commission", 11),
        ("Rewarded", 4, "active", OWN),
        ("Rewarded", 4, "owner", OTHER),
        ("Rewarded", 400, "commission", 10),
        ("Rewarded", 406, "commission", 10),
        ("CommissionSet", 2, "bps", 5_001),
        ("CommissionSet", 5, "raised_at", 5 + TERM),
        ("CommissionSet", 5, "bps", 1_001),
        ("NoticeSet", 7, "shares", OWN * PAR - 1),
        ("NoticeSet", 7, "ready_at", 8),
        ("NoticeSet", 7, "amount", OWN + 1),
        ("NoticeSet", 7, "staker", OWNER),
        ("Locked", 6, "amount", 2 * OWN + 1),
        ("Unbonded", 7 + TERM, "amount", OWN + 1),
        ("RewardsClaimed", 407, "amount", 46),
        ("RewardsClaimed", 408, "staker", OTHER),
        ("Withdrawn", 409, "amount", OWN - 1),
    ],
)
def test_an_event_that_lies_is_found(name: str, time: int, field: str, told: int | str) -> None:
    place = position(name, time)
    lie = replace(HONEST[place], args={**HONEST[place].args, field: told})
    run(HONEST[:place])
    with pytest.raises(Differs):
        run([*HONEST[:place], lie])


@pytest.mark.parametrize("missing", [("NoticeSet", 7), ("Staked", 3), ("CommissionSet", 2)])
def test_a_step_that_was_left_out_is_found(missing: tuple[str, int]) -> None:
    place = position(*missing)
    with pytest.raises(Differs):
        run(HONEST[:place] + HONEST[place + 1 :])


def test_stake_under_notice_does_not_leave_before_the_term() -> None:
    place = position("Unbonded", 7 + TERM)
    args = {**HONEST[place].args, "ready_at": 6 + TERM + UNBONDING}
    early = replace(HONEST[place], time=6 + TERM, args=args)
    with pytest.raises(Differs, match="free"):
        run([*HONEST[:place], early])


def test_a_delegation_beyond_the_owners_share_is_found() -> None:
    more = {"amount": 9 * OWN, "shares": 9 * OWN * PAR}
    most = replace(HONEST[4], args={**HONEST[4].args, **more})
    run([*HONEST[:4], most])
    one = at("Staked", 4, staker=OTHER, amount=1, shares=PAR, waits=0)
    with pytest.raises(Differs, match="own share"):
        run([*HONEST[:4], most, one])


def test_the_owner_is_the_registrys() -> None:
    stakes = Stakes(contract=ZERO_ADDRESS, unbonding=UNBONDING, counts=Counter())
    stakes.owner_of = lambda node: OTHER
    with pytest.raises(Differs, match="owner"):
        stakes.apply(HONEST[2])


def test_an_owner_keeps_the_least_share_of_what_is_locked() -> None:
    stakes = run(HONEST[: position("Locked", 6)])
    node = stakes.nodes[NODE]
    node.locked = 1_001
    assert node.most(OWNER, 1, 6, Terms(5_000, TERM)) == OWN - 501
    assert node.most(OTHER, 1, 6, Terms(5_000, TERM)) == 2 * OWN - 1_001


def test_stake_under_notice_is_nobody_elses_room() -> None:
    stakes = run(HONEST[: position("Locked", 6)])
    node, terms = stakes.nodes[NODE], Terms(1_000, TERM)
    node.locked = 500
    assert (node.free(terms), node.most(OWNER, 1, 6, terms)) == (1_500, 950)
    node.notices[OTHER] = Notice(600 * PAR, 0, 99)
    assert (node.free(terms), node.most(OWNER, 1, 6, terms)) == (900, 900)
    assert node.most(OTHER, 600 * PAR, 98, terms) == 1_500
    assert node.most(OTHER, 600 * PAR + 1, 99, terms) == 900
    node.locked = 2_000
    assert node.most(OTHER, 600 * PAR, 98, terms) == 0
    assert node.most(OTHER, 600 * PAR, 99, terms) == 2_000


def test_rewards_without_active_stake_are_the_owners() -> None:
    node = Node(owner=OWNER, commission=Commission(0))
    assert node.part(7, 0) == 7
    assert Commission(1, 2, 9).at(8) == 1
    assert Commission(1, 2, 9).at(9) == 2
    assert node.backed(Terms(BPS, TERM)) == 0
