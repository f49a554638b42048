"""The model of the judge against the contract, and against events that lie."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from eth_abi.abi import encode

from contracts.evm import Contract, Outcome, Struct
from contracts.roots import ANSWER_WINDOW, GROWTH, Forged, honest, proposer
from contracts.world import alice, bob, carol, guardian, mallory
from freehold.audit.report import Differs
from freehold.domain.ids import keccak
from freehold.economics.trees import GRAIN
from freehold.ledger.modeling import CHECKERS
from unit.audit.founded import differs, lied, occasions
from unit.audit.modeled import Modeled

BATCH = keccak(b"Freehold batch of traces")
PREPAID = 250_000 * 10**9
FALSE, TRUE = (2, bytes(32), 0, bytes(32), 0), (1, bytes(32), 1, bytes(32), 0)
"""Batches: one of a version that is none, and one that nobody disputes here."""
EARNED = honest({alice.address: 5, bob.address: 7})


class Tried(Modeled):
    """The model market with the contracts that judge it."""

    def judge(self) -> Contract:
        told = (self.prizes.roots.address, self.subnet.address)
        by = guardian.address
        checkers = [self.chain.deploy(name, *told, sender=by) for name in CHECKERS]
        self.payouts = checkers[CHECKERS.index("payouts")]
        addresses = [each.address for each in checkers]
        return self.chain.deploy("disputes", *told, *addresses, sender=by)

    def propose(self, epoch: int, batch: tuple[Any, ...], tree: Forged = EARNED) -> Struct:
        """A root over a batch, signed by watchers who look at nothing."""
        market = self.prizes
        types = ["bytes32", "uint256", "bytes32", "uint256", "bytes32", "uint256"]
        data = keccak(encode(types, (BATCH, *batch)))
        signed = market.signatures(epoch, tree.root, tree.count, data=data)
        told = (epoch, tree.root, tree.count, data, signed)
        header: Struct = (
            market.roots.send("propose", *told, sender=proposer.address).one("Proposed").header
        )
        return header

    def demand(self, header: Struct, kind: int, *, trace: int = 0) -> int:
        """A piece asked for by Carol."""
        self.chain.give_ether(carol.address, PREPAID)
        told = (header, kind, trace, 0)
        done = self.court.send("demand", *told, sender=carol.address, value=PREPAID, gas_price=0)
        return int(done.value)

    def disprove(self, header: Struct) -> Outcome:
        """Carol shows the version of a batch."""
        proof = self.payouts.data("false_batch", header, FALSE)
        return self.act(self.court, "disprove", 2, proof, by=carol)

    def refute(self, header: Struct) -> None:
        """Carol disproves a root, its bond is lost, and the proposer posts another."""
        self.disprove(header)
        self.prizes.take_bond(header)
        self.prizes.post()


def started() -> Tried:
    """Funds and a bond, and an epoch that has ended."""
    tried = Tried()
    tried.act(tried.world.token, "approve", tried.prizes.roots.address, 10**18, by=mallory)
    tried.act(tried.prizes.roots, "fund", 0, GROWTH * GRAIN, by=mallory)
    tried.prizes.post()
    tried.next()
    return tried


@cache
def history() -> Tried:
    """A batch that is disproved, demands that are answered and not, a root that becomes final."""
    tried = started()
    tried.refute(tried.propose(0, FALSE))
    header = tried.propose(0, FALSE)
    unanswered = tried.demand(header, 1)
    tried.chain.warp(ANSWER_WINDOW + 1)
    tried.act(tried.court, "expire", unanswered, header, by=mallory)
    tried.prizes.take_bond(header)
    tried.prizes.post()
    tried.next()
    header = tried.propose(1, TRUE)
    asked = [tried.demand(header, 0), tried.demand(header, 1, trace=1)]
    for number in asked:
        tried.act(tried.court, "answer", number, header, opening(TRUE), by=mallory)
    tried.prizes.finalize(header)
    tried.prizes.claim(1, EARNED, 0)
    tried.follow()
    return tried


def opening(batch: tuple[Any, ...]) -> tuple[Any, ...]:
    """A batch and nothing else, as an answer."""
    none = bytes(32)
    trace = (none, 0, none, none, 0, none, none, *[0] * 11)
    leaf = (none, none, none, none, 0, none, none, none)
    place: tuple[Any, ...] = (batch, trace, 0, [])
    return place, (leaf, []), [], ("0x" + "00" * 20, 0, 0, 0, 0), []


def test_the_model_follows_the_contract() -> None:
    tried = history()
    names = {event.name for event in tried.events if event.contract == "disputes"}
    assert names == {"Disproved", "Demanded", "Answered", "Expired"}
    assert tried.counts["proofs of fraud"] == 1
    judge = tried.models.modeling.disputes
    assert judge is not None
    assert (judge.demands, judge.demand_count) == ({}, 3)
    assert tried.models.answer(("disputes", "demand_count", ()), tried.chain.now) == [3]
    assert tried.models.answer(("disputes", "prune_list", (1,)), tried.chain.now) == [0, 0]


def test_a_demand_of_a_void_root_does_not_stand_for_another() -> None:
    """Two demands expire in one transaction, of the void root and of the one in its position."""
    tried = started()
    void = tried.propose(0, FALSE)
    old = tried.prizes.demand(void, 0)
    tried.refute(void)
    header = tried.propose(0, TRUE)
    new = tried.demand(header, 1)
    tried.chain.warp(ANSWER_WINDOW + 1)
    tried.follow()
    tried.act(tried.prizes.roots, "expire", old, void, by=mallory)
    tried.act(tried.court, "expire", new, header, by=mallory)
    first, *others = tried.recording.take()
    place = replace(first.place, log=0)
    together = [first, *(replace(each, place=place) for each in others)]
    assert [each.name for each in together] == ["Expired", "Expired", "Released", "Voided"]
    tried.replay(together, tried.models)
    tried.compare(tried.prizes.roots, "prizes", "state")


CHOSEN = {("Demanded", "trace"), ("Demanded", "index"), ("Demanded", "prepaid"),
          ("Demanded", "kind"), ("Answered", "opening")}  # fmt: skip
"""What somebody asked for or showed; the chain has checked it."""


@pytest.mark.parametrize("occasion", occasions(history().events, "disputes"), ids=str)
def test_an_event_that_lies_is_found(occasion: tuple[str, str, int]) -> None:
    name, argument, place = occasion
    events = list(history().events)
    events[place] = lied(events[place], argument)
    assert differs(history(), events) or (name, argument) in CHOSEN


@pytest.mark.parametrize("name", ["Disproved", "Demanded", "Answered", "Expired"])
def test_what_a_judge_does_has_a_cause(name: str) -> None:
    events = history().events
    place = next(i for i, e in enumerate(events) if (e.contract, e.name) == ("disputes", name))
    with pytest.raises(Differs, match=r"demand|disproved"):
        history().replay([*events[:place], *events[place + 1 :]], history().fresh())


@pytest.mark.parametrize(("name", "words"), [
    ("Voided", "not void"), ("Held", "held"), ("Released", "held"), ("JudgeSet", "a judge"),
])  # fmt: skip
def test_what_a_judge_says_is_done(name: str, words: str) -> None:
    events = history().events
    place = next(i for i, e in enumerate(events) if (e.contract, e.name) == ("prizes", name))
    with pytest.raises(Differs, match=words):
        history().replay([*events[:place], *events[place + 1 :]], history().fresh())


@pytest.mark.parametrize(("name", "argument", "value"), [
    ("Voided", "reason", "column"), ("Voided", "winner", alice.address),
])  # fmt: skip
def test_a_verdict_is_the_disputes(name: str, argument: str, value: str) -> None:
    events = list(history().events)
    place = next(i for i, e in enumerate(events) if (e.contract, e.name) == ("prizes", name))
    events[place] = replace(events[place], args={**events[place].args, argument: value})
    assert differs(history(), events)


@pytest.mark.parametrize("name", ["prizes_", "subnets_", *(f"{name}_" for name in CHECKERS)])
def test_a_judge_of_other_roots_is_found(name: str) -> None:
    tried = history()
    made = {**tried.book.made["disputes"], name: alice.address}
    before = tried.book.made["disputes"]
    tried.book.made["disputes"] = made
    try:
        with pytest.raises(Differs, match="of disputes"):
            tried.fresh()
    finally:
        tried.book.made["disputes"] = before
