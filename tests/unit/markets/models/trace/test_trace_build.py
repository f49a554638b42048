"""A trace says what the reference of Yuma reckons, epoch after epoch."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from freehold.markets.models.trace.build import build
from freehold.markets.models.trace.built import Built
from freehold.markets.models.trace.claims import prune_list
from freehold.markets.models.trace.inputs import inputs_of
from freehold.markets.models.trace.values import OWNER
from freehold.markets.models.yuma import prune, reference
from freehold.markets.models.yuma.dust import paid
from freehold.markets.models.yuma.values import Result
from unit.markets.models.trace.chance import Competition

GENESIS = 1_800_000_000


def epochs(seed: int, count: int) -> list[tuple[Built, Built | None, Result]]:
    """Epochs by chance, each with the one before and what the reference reckons."""
    competition = Competition(Random(seed), 1, GENESIS)
    competition.begin()
    made: list[tuple[Built, Built | None, Result]] = []
    past: Built | None = None
    for epoch in range(count):
        built = build(competition.facts(epoch, epoch), past)
        rules = built.facts.terms.rules
        result = reference.epoch(rules, inputs_of(built, past), built.trace.emission)
        made.append((built, past, result))
        past = built
    return made


@pytest.mark.parametrize("seed", range(40))
def test_every_number_is_that_of_the_reference(seed: int) -> None:
    for built, _, result in epochs(seed, 6):
        n = built.trace.count
        assert [column.consensus for column in built.columns] == result.consensus.tolist()
        assert [column.rank for column in built.columns] == result.rank.tolist()
        assert built.permits == tuple(np.flatnonzero(result.permits).tolist())
        assert built.trace.dividend_total == int(result.raw_dividends.sum())
        assert built.trace.dividend_sum == int(result.dividends.sum())
        assert built.trace.incentives == int(result.incentive.sum())
        assert tuple(cell.server for cell in built.cells) == result.emission.server
        assert tuple(cell.validator for cell in built.cells) == result.emission.validator
        assert tuple(cell.combined for cell in built.cells) == result.emission.combined
        server, validator = paid(result.emission)
        assert [built.grains(uid) for uid in range(n)] == [
            a + b for a, b in zip(server, validator, strict=True)
        ]
        assert stored(built) == {
            (row, target): value for row, target, value in result.stored_bonds.entries()
        }


def stored(built: Built) -> dict[tuple[int, int], int]:
    """Bonds that the next epoch starts from, of those who hold a permit then."""
    return {
        (member.uid, uid): value
        for uid, bond in enumerate(built.bonds)
        for member, value in zip(built.members, bond.stored, strict=True)
        if value and member.uid in built.permits
    }


@pytest.mark.parametrize("seed", range(40, 60))
def test_an_epoch_pays_what_it_has(seed: int) -> None:
    for built, _, _ in epochs(seed, 4):
        trace = built.trace
        earned = sum(built.grains(uid) for uid in range(trace.count))
        # Where nobody has stake there is nobody to pay.
        assert earned == (trace.emission if trace.stake else 0)
        assert trace.emission + built.grains(OWNER) == built.facts.budget


@pytest.mark.parametrize("seed", range(60, 80))
def test_who_has_to_go_is_who_yuma_ranks_last(seed: int) -> None:
    for built, _, result in epochs(seed, 3):
        ended, immunity = built.facts.ended, built.facts.terms.immunity
        registered = [node.registered for node in built.nodes]
        immune = [moment + immunity > ended for moment in registered]
        order = prune.order(result.emission.combined, registered, immune)
        gone = order[:16]
        assert prune_list(built.trace.prune) == [*gone, *[OWNER] * (16 - len(gone))]


def test_chance_brings_everything_about() -> None:
    seen: set[str] = set()
    for seed in range(40):
        for built, past, _ in epochs(seed, 6):
            rules = built.facts.terms.rules
            mode = "liquid" if rules.liquid else "yuma3" if rules.yuma3 else "classic"
            if any(any(bond.stored) for bond in built.bonds):
                seen.add(mode)
            if past and any(any(bond.stored) for bond in past.bonds) and built.members:
                seen.add(f"{mode} after bonds")
            if any(not member.active for member in built.members):
                seen.add("somebody silent")
            if built.trace.consensus and built.trace.dust:
                seen.add("dust")
            known = zip(past.nodes, built.nodes, strict=False) if past else ()
            if any(before.generation < now.generation for before, now in known):
                seen.add("a newcomer")
            if len(built.members) >= 4:
                seen.add("many members")
    assert seen == {
        "liquid", "yuma3", "classic", "liquid after bonds", "yuma3 after bonds",
        "classic after bonds", "somebody silent", "dust", "a newcomer", "many members",
    }  # fmt: skip
