"""By chance, on the real bytecode: nothing true is ever disproved, and every single lie is.

FREEHOLD_TRACES=N runs N histories in place of the usual few.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from random import Random

import pytest

from contracts.cheating import LIES, Lie, growth_lies, pay_lies, recounted
from contracts.disputed import Court, History, deploy_court, start, tree_of
from contracts.evm import Chain, Reverted
from contracts.roots import BOND, proposer
from freehold.domain.ids import Address
from freehold.markets.models.trace.batch import Bundle, bundle, grown
from freehold.markets.models.trace.built import Built
from freehold.markets.models.trace.claims import Claim, first_difference, growth
from freehold.markets.models.trace.proofs import Case
from freehold.markets.models.trace.values import Facts

HISTORIES = int(os.environ.get("FREEHOLD_TRACES", "6"))
EPOCHS = 3
OF_TRACES = ("count", "totals", "dividend_totals", "emission", "table", "permits", "members")
THIEF = Address("0x00000000000000000000000000000000000000Ff")


def every_claim(case: Case) -> Iterator[Claim]:
    """A claim of every kind about everything in a root."""
    yield Claim("batch")
    for at, built in enumerate(case.own.traces):
        for kind in (
            "count",
            "totals",
            "dividend_totals",
            "emission",
            "table",
            "permits",
            "members",
        ):
            yield Claim(kind, at)
        yield from of_uids(at, built)
        yield from of_lists(at, built)
    for at, pay in enumerate(case.own.pays):
        yield Claim("order", index=at)
        yield Claim("pay", pay.subnet - 1, at)
    for account in sorted(set(grown({}, case.own.pays)) | {THIEF}):
        yield Claim("growth", account=account)


def of_uids(at: int, built: Built) -> Iterator[Claim]:
    for uid in range(built.trace.count):
        for kind in ("node", "member", "column", "bond", "cell"):
            yield Claim(kind, at, uid)
        for index in range(len(built.members)):
            yield Claim("weight", at, uid, index)
    for uid in range(built.trace.count + 1):
        for kind in ("rows", "dividends"):
            yield Claim(kind, at, uid)
        for which in range(4):
            yield Claim("sums", at, uid, which)


def of_lists(at: int, built: Built) -> Iterator[Claim]:
    others = [uid for uid in range(built.trace.count) if uid not in built.permits]
    for seated in [-1, *built.permits]:
        for other in [-1, *others]:
            yield Claim("permit", at, seated, other)
    for place in range(16):
        for uid in range(-1, built.trace.count):
            yield Claim("prune", at, place, uid)


def stands(court: Court, case: Case) -> None:
    """Nothing about a true root can be shown to be false."""
    for claim in every_claim(case):
        assert not court.tells(case, claim), claim
    for at, built in enumerate(case.own.traces):
        for uid in range(built.trace.count):
            other_holders(court, case, Claim("node", at, uid))


def other_holders(court: Court, case: Case, claim: Claim) -> None:
    """Nobody who held the uid before or after the epoch's end passes for its holder."""
    proof = case.proof(claim)
    *told, generation = proof.arguments
    for other in range(6):
        if other != generation:
            with pytest.raises(Reverted):
                court.checkers[proof.checker].call(proof.function, *told, other)


def falls(court: Court, case: Case, claim: Claim) -> None:
    """A claim makes the root void, and the proposer loses the bond."""
    assert court.tells(case, claim), claim
    done = court.disprove(case, claim)
    assert done.one("Voided").position == case.header.position
    assert court.take_bond(case).one("BondLost").proposer == proposer.address
    assert court.market.bond() == 0


def lied(history: History, facts: list[Facts], lie: Lie, at: int, pick: Random) -> list[Built]:
    """Traces with one lie in subnet ``at``."""
    return history.traces(facts, {at: lambda f, past: lie.told(pick, f, past)})


def shown(history: History, epoch: int, own: Bundle, told: Bundle, kinds: tuple[str, ...]) -> bool:
    """Propose, find, disprove; False where there is no lie, or no root can tell it."""
    if told.batch == own.batch or not grown(history.before, told.pays):
        return False
    court = history.court
    with court.chain.anchor():
        try:
            case = history.propose(epoch, told, own)
        except Reverted as error:
            # What grows too fast, or sinks, is no root to begin with.
            if not error.reason.startswith("roots: "):
                raise
            return False
        claim = first_difference(own, case.served)
        assert claim is not None
        assert claim.kind in kinds, (claim, kinds)
        falls(court, case, claim)
    return True


def try_lies(history: History, epoch: int, facts: list[Facts], own: Bundle, pick: Random) -> int:
    """Every lie once; gives how many there were."""
    count = 0
    for lie in LIES:
        at = pick.randrange(len(facts))
        told = bundle(lied(history, facts, lie, at, pick))
        count += shown(history, epoch, own, told, lie.kinds)
    for kind, told in pay_lies(own, pick, THIEF):
        count += shown(history, epoch, own, told, (kind,))
    traces = list(own.traces)
    for told in (recounted(own, traces[:-1]), recounted(own, [*traces, traces[0]])):
        count += shown(history, epoch, own, told, ("batch",))
    for turned in (traces[::-1], [traces[0]] * len(traces)):
        shown_wrongly(history, epoch, own, recounted(own, turned))
    return count


def shown_wrongly(history: History, epoch: int, own: Bundle, told: Bundle) -> None:
    """Whatever it is that a subnet in another one's place is found by."""
    kinds = {"count", "node", "sums", "totals", "permit", "permits", "weight", "emission", "prune"}
    shown(history, epoch, own, told, tuple(kinds | {"member", "members", "cell", "bond", "rows"}))


def try_growths(history: History, epoch: int, own: Bundle, pick: Random) -> int:
    """Trees of rewards that pay something else than a true batch."""
    court, count = history.court, 0
    for grains in growth_lies(history.before, own, pick, THIEF):
        with court.chain.anchor():
            try:
                case = history.propose(epoch, own, own, tree_of(grains))
            except Reverted:
                continue
            claim = growth(history.before, own, grains)
            assert claim is not None
            falls(court, case, claim)
            count += 1
    return count


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_no_true_leaf_can_be_disproved_and_every_lie_can(seed: int) -> None:
    history, pick = start(deploy_court(Chain()), seed, 1 + seed % 2), Random(seed)
    for _ in range(EPOCHS):
        epoch, facts = history.facts(skipped=pick.choice([0, 0, 1]))
        own = bundle(history.traces(facts, {}))
        if not own.pays and not history.before:
            continue
        if own.pays:
            assert try_lies(history, epoch, facts, own, pick) > len(LIES) // 3
            assert try_growths(history, epoch, own, pick) > 0
        case = history.propose(epoch, own, own)
        assert first_difference(own, case.served) is None
        stands(history.court, case)
        history.accept(case)
    assert history.court.market.bond() == BOND
