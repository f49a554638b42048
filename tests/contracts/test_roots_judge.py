"""A judge: named once before anything can be lost, it voids and holds open roots and no others."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from contracts.evm import Outcome, Reverted, Struct
from contracts.roots import (
    BOND,
    DEAD,
    REWARD_BPS,
    WINDOW,
    Forged,
    Market,
    deploy_market,
    honest,
    proposer,
)
from contracts.world import Puppet, World, alice, bob, carol, guardian, mallory, refused

ONE = honest({alice.address: 70, bob.address: 30})
TWO = honest({alice.address: 100, bob.address: 30, carol.address: 5})
REWARD = BOND * REWARD_BPS // 10_000


@dataclass(frozen=True, slots=True)
class Court:
    """A market whose judge does what a test tells it; every privileged key has been given up."""

    market: Market
    judge: Puppet

    def rule(self, function: str, *arguments: object) -> Outcome:
        """A call by the judge."""
        return self.judge.act(self.market.roots, function, *arguments)

    def void(self, header: Struct, *, reason: str = "median") -> Outcome:
        """What Carol disproved."""
        return self.rule("void", header, carol.address, reason)

    def hashed(self, header: Struct) -> bytes:
        """What the contract remembers of a header."""
        found: bytes = self.market.roots.call("headers", header.position)
        return found


@pytest.fixture
def market(world: World) -> Market:
    return deploy_market(world)


@pytest.fixture
def court(market: Market) -> Court:
    judge = market.world.puppet()
    done = market.world.setup(market.roots, "set_judge", judge.address)
    assert done.one("JudgeSet").judge == judge.address
    market.give_up_keys()
    return Court(market, judge)


# Naming


def test_a_judge_is_named_once_by_the_governor(market: Market) -> None:
    judge, roots = market.world.puppet(), market.roots
    for by in (guardian, proposer, mallory):
        with refused("roots: not the governor"):
            roots.send("set_judge", judge.address, sender=by.address)
    with refused("roots: judge has no code"):
        market.world.setup(roots, "set_judge", mallory.address)
    market.world.setup(roots, "set_judge", judge.address)
    assert roots.call("judge") == judge.address
    with refused("roots: judge is set"):
        market.world.setup(roots, "set_judge", market.world.puppet().address)


def test_no_judge_comes_after_the_first_root(market: Market) -> None:
    """Who put a root down knows by whose code the bond can be lost, a void root or not."""
    forged = Forged([(bob.address, 1), (alice.address, 1)])
    if int(bob.address, 16) < int(alice.address, 16):
        forged = Forged(forged.leaves[::-1])
    header = market.propose(0, forged)
    judge = market.world.puppet()
    with refused("roots: a root was there"):
        market.world.setup(market.roots, "set_judge", judge.address)
    proofs = (forged.proof(0), forged.proof(1))
    market.roots.send("dispute_order", header, *proofs, sender=carol.address)
    assert market.state.tip == 1
    with refused("roots: a root was there"):
        market.world.setup(market.roots, "set_judge", judge.address)


@pytest.mark.parametrize("called", ["void", "hold", "release"])
def test_nobody_else_judges(court: Court, called: str) -> None:
    header = court.market.propose(0, ONE)
    told = (header, mallory.address, "sum") if called == "void" else (court.hashed(header),)
    for by in (guardian, proposer, mallory):
        with refused("roots: not the judge"):
            court.market.roots.send(called, *told, sender=by.address)


def test_without_a_judge_nobody_is_it(market: Market) -> None:
    header = market.propose(0, ONE)
    assert int(market.roots.call("judge"), 16) == 0
    for by in (guardian, mallory):
        with refused("roots: not the judge"):
            market.roots.send("void", header, mallory.address, "sum", sender=by.address)


# Voiding


def test_what_a_judge_voids_ends_as_by_a_dispute(court: Court) -> None:
    market = court.market
    header, later = market.propose(3, ONE), market.propose(4, TWO)
    done = court.void(header)
    void = done.one("Voided")
    assert (void.position, void.winner, void.reason) == (2, carol.address, "median")
    assert (market.bond(), market.state.unsettled) == (BOND, 1)
    done = market.take_bond(header)
    lost = done.one("BondLost")
    assert (lost.proposer, lost.winner) == (proposer.address, carol.address)
    assert (lost.reward, lost.burned) == (REWARD, BOND - REWARD)
    assert market.world.balance(carol.address) == REWARD
    moves = [(move.recipient, move.amount, move.purpose) for move in done.named("Movement")]
    assert (carol.address, REWARD, 15) in moves
    assert ("0x" + "00" * 20, BOND - REWARD, 7) in moves
    assert market.bond() == 0 == market.world.funds(market.roots.address)
    assert (market.state.tip, market.state.next_epoch) == (1, 0)
    for stale in (header, later):
        assert not market.roots.call("pending", stale)
        with refused("roots: no open root"):
            court.void(stale)
        with refused("roots: no open root"):
            market.finalize(stale)
    market.post(by=alice)
    again = market.propose(4, TWO, by=alice)
    assert (again.position, again.since) == (2, 0)
    market.finalize(again)


def test_a_later_root_alone_can_be_void(court: Court) -> None:
    first, second = court.market.propose(0, ONE), court.market.propose(1, TWO)
    court.void(second)
    assert court.market.state.tip == first.position
    court.market.finalize(first)


def test_a_root_can_be_void_until_it_is_final(court: Court) -> None:
    market = court.market
    header = market.propose(0, ONE)
    market.world.chain.warp_to(header.until + 10 * WINDOW)
    assert market.roots.call("pending", header)
    market.finalize(header)
    assert not market.roots.call("pending", header)
    with refused("roots: no open root"):
        court.void(header)
    assert market.claim(0, ONE, 0).value


def test_a_header_that_was_changed_is_not_open(court: Court) -> None:
    header = court.market.propose(0, ONE)
    for name, value in (("epoch", 1), ("count", 3), ("proposer", DEAD), ("bond", 0)):
        other = Struct({**header, name: value})
        assert not court.market.roots.call("pending", other)
        with refused("roots: no open root"):
            court.void(other)


# Holding


def test_what_is_held_is_not_final(court: Court) -> None:
    market = court.market
    header = market.propose(0, ONE)
    hashed = court.hashed(header)
    for _ in range(2):
        assert court.rule("hold", hashed).one("Held").header == hashed
    with refused("roots: a demand is open"):
        market.finalize(header)
    assert court.rule("release", hashed).one("Released").header == hashed
    with refused("roots: a demand is open"):
        market.finalize(header)
    court.rule("release", hashed)
    over = market.world.chain.now + int(market.roots.call("parameters").answer_window)
    market.world.chain.warp_to(over)
    with refused("roots: can be disputed"):
        market.roots.send("finalize", header, sender=mallory.address)
    market.world.chain.warp(1)
    market.roots.send("finalize", header, sender=mallory.address)
    with pytest.raises(Reverted):
        court.rule("release", hashed)


def test_a_root_that_is_held_can_be_void(court: Court) -> None:
    header = court.market.propose(0, ONE)
    hashed = court.hashed(header)
    court.rule("hold", hashed)
    court.rule("release", hashed)
    court.void(header, reason="not served")
    court.market.take_bond(header)
    assert court.market.bond() == 0
