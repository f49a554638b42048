"""Who stakes behind a node late earns from what it does from then on, and from nothing before."""

from __future__ import annotations

from pathlib import Path

import pytest

from freehold.audit.verify import verify_live
from freehold.domain.keys import Key
from freehold.domain.money import UNIT
from freehold.ledger.ledger import Ledger
from journeys.books import books_of
from journeys.seasons import Member, Season, pass_time, season

pytestmark = pytest.mark.journey
STAKED, ENDED = 9, 3
"""Times the owner's stake, the most that counts; epochs that end before anybody joins."""


def test_a_late_staker_earns_nothing_for_the_past(tmp_path: Path) -> None:
    with season(tmp_path / "home", "ionet", nodes=2) as lived:
        try:
            tell(lived, tmp_path)
        except BaseException:
            print(lived.town.tails())
            raise


def tell(lived: Season, scratch: Path) -> None:
    with lived.town.client() as client:
        client.put(bytes(300_000), "late/object", preset=(1, 2))
    member = lived.members[1]
    for _ in range(ENDED):
        lived.live()
    # Who comes in the very second in which an epoch begins has come before it.
    pass_time(lived.ledger, lived.ledger.head().time + 5)
    with newcomer(lived, member, scratch) as late:
        assert isinstance(late.key, Key)
        me = late.key.address
        joined = late.rewards.epoch()
        assert late.rewards.account(member.account).weight > 0, "work of the epoch before he came"
        assert late.staking.waiting_of(me, member.node) == late.staking.stake_of(me, member.node)
        for _ in range(2):
            lived.live()
            lived.close()
            lived.claim()
            if late.rewards.epoch() == joined + 1:
                assert late.staking.claimable(me, member.node) == 0
        assert late.staking.waiting_of(me, member.node) == 0
        check(lived, member, late, joined)


def newcomer(lived: Season, member: Member, scratch: Path) -> Ledger:
    """The ledger of somebody who has just delegated as much as counts."""
    key = Key.from_secret(b"late staker".rjust(32, b"\1"))
    amount = STAKED * lived.ledger.staking.active(member.node)
    lived.ledger.transfer(key.address, 10 * UNIT)
    lived.ledger.token.transfer(key.address, amount)
    late = Ledger.open(lived.town.network, state=scratch / "late", key=key)
    late.token.approve(late.network.contracts["staking"], amount)
    late.staking.delegate(member.node, amount, most_bps=0)
    return late


def check(lived: Season, member: Member, late: Ledger, joined: int) -> None:
    """His part is that of the epochs after the one in which he came, to rounding."""
    books, ended = books_of(lived.ledger), late.rewards.epoch()
    earned = books.due(member.account, ended) - books.due(member.account, joined + 1)
    assert earned > 0
    assert isinstance(late.key, Key)
    due = late.staking.claimable(late.key.address, member.node)
    assert 0 <= earned * STAKED // (STAKED + 1) - due <= ended - joined
    assert due > 0
    before = books.due(member.account, joined + 1)
    owner = member.owner.key
    assert isinstance(owner, Key)
    paid = late.token.balance_of(owner.address)
    kept = late.staking.claimable(owner.address, member.node)
    assert abs(paid + kept - before - earned // (STAKED + 1)) <= ended + 1
    report = verify_live([lived.ledger.rpc], lived.ledger.network)
    assert report.passed, report.difference
