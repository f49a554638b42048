"""The search for the false piece of a root whose proposer shows what it must, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from random import Random

import pytest

from freehold.audit.competing_openings import BATCH, LEAF, TRACE, WEIGHTS
from freehold.audit.competing_pieces import Pieces, Wanted
from freehold.ledger.values import Value
from freehold.markets.models.trace.batch import Bundle, bundle
from freehold.markets.models.trace.build import build
from freehold.markets.models.trace.built import Built
from freehold.markets.models.trace.claims import first_difference
from freehold.markets.models.trace.merkle import EMPTY, Merkle
from freehold.markets.models.trace.values import Batch, Trace
from unit.markets.models.trace.chance import Competition

GENESIS = 1_800_000_000
DEMANDS = 80
JUNK = b"\x01" * 32


@pytest.fixture(scope="module")
def built() -> Built:
    competition = Competition(Random(7), 1, GENESIS)
    competition.begin()
    return build(competition.facts(0, 0), None)


def many(built: Built, count: int) -> Bundle:
    """A batch of so many traces, none of which is another's."""
    traces = [replace(built, trace=replace(built.trace, prune=at)) for at in range(count)]
    one = bundle([built])
    tree = Merkle.of([each.trace.hash() for each in traces])
    batch = replace(one.batch, subnets=tree.root, subnet_count=count)
    return Bundle(batch, tuple(traces), one.pays, tree, one.pay_tree)


class Liar:
    """Who shows what the contract takes as an answer."""

    def __init__(self, traces: Sequence[Trace], *, behind: Mapping[int, bytes] | None = None):
        hashes, behind = [each.hash() for each in traces], behind or {}
        size = max([len(hashes), *(place + 1 for place in behind)])
        hashes += [behind.get(place, EMPTY) for place in range(len(hashes), size)]
        self.traces, self.tree = traces, Merkle.of(hashes)

    def batch(self, own: Bundle) -> Batch:
        return replace(own.batch, subnets=self.tree.root)

    def answer(self, own: Bundle, wanted: Wanted) -> dict[str, Value] | None:
        kind, at, _ = wanted
        assert kind in (BATCH, TRACE)
        place: dict[str, Value] = {"batch": dict(asdict(self.batch(own)))}
        if kind == TRACE:
            path = self.tree.path(at)
            rest = [beside for level, beside in enumerate(path) if not at >> level & 1]
            if at == len(self.traces) - 1 and any(map(any, rest)):
                return None
            place |= {"trace": dict(asdict(self.traces[at])), "index": at, "path": list(path)}
        return {"place": place}


def search(own: Bundle, liar: Liar) -> tuple[Pieces, int]:
    """What is known once an answer is lacking, or nothing more of the traces is wanted; and after
    how many rounds."""
    pieces = Pieces(own)
    for rounds in range(1, 100):
        wanted = [each for each in pieces.wanted(DEMANDS) if each[0] in (BATCH, TRACE)]
        assert len(set(wanted)) == len(wanted) <= DEMANDS
        if not wanted:
            return pieces, rounds - 1
        found = [(each, liar.answer(own, each)) for each in wanted]
        if any(answer is None for _, answer in found):
            return pieces, rounds
        for each, answer in found:
            assert answer is not None
            pieces.add(each, answer)
    pytest.fail("there is no end to it")


@pytest.mark.parametrize("count", [1, 2, 17, 100, 1_000])
@pytest.mark.parametrize("part", [0.0, 0.37, 0.99])
def test_a_false_trace_among_many_is_found_in_few_rounds(
    built: Built, count: int, part: float
) -> None:
    own, false = many(built, count), int(part * count)
    told = [each.trace for each in own.traces]
    told[false] = replace(told[false], emission=told[false].emission + 1)
    liar = Liar(told)
    pieces, rounds = search(own, liar)
    assert rounds <= 3
    served = pieces.served()
    claim = first_difference(own, served)
    assert claim is not None
    assert claim.trace == false
    assert served.trace_tree.path(false) == liar.tree.path(false)


@pytest.mark.parametrize("every", [1, 2, 7])
def test_of_many_false_traces_one_is_found_at_once(built: Built, every: int) -> None:
    own = many(built, 500)
    told = [
        replace(each.trace, emission=each.trace.emission + 1) if at % every == 0 else each.trace
        for at, each in enumerate(own.traces)
    ]
    pieces, rounds = search(own, Liar(told))
    assert rounds <= 2
    assert first_difference(own, pieces.served()) is not None


@pytest.mark.parametrize("count", [*range(1, 20), 33, 90])
def test_something_behind_the_last_trace_cannot_be_shown(built: Built, count: int) -> None:
    """Whatever place it has: the last trace is asked for, and its path would tell."""
    own = many(built, count)
    size = 1 << (count - 1).bit_length()
    for place in range(count, min(size, count + 40)):
        liar = Liar([each.trace for each in own.traces], behind={place: JUNK})
        pieces, rounds = search(own, liar)
        assert (TRACE, count - 1, 0) in pieces.wanted(DEMANDS)
        assert rounds <= 2


@pytest.mark.parametrize("most", [1, DEMANDS])
def test_what_stands_behind_the_last_leaf_is_asked_for(built: Built, most: int) -> None:
    """Even where all other leaves are one's own, and pieces are asked for one at a time."""
    own = bundle([built])
    trace = replace(built.trace, nodes=JUNK)
    tree = Merkle.of([trace.hash()])
    batch = replace(own.batch, subnets=tree.root)
    pieces = Pieces(own)
    place: dict[str, Value] = {
        "batch": dict(asdict(batch)), "trace": dict(asdict(trace)), "index": 0, "path": [],
    }  # fmt: skip
    pieces.add((TRACE, 0, 0), {"place": place})
    for uid in range(trace.count):
        shown: dict[str, Value] = {
            "leaf": dict(asdict(built.leaves[uid])), "path": list(built.tree.path(uid)),
        }  # fmt: skip
        words: list[Value] = [*built.weight_words(uid)]
        told: dict[str, Value] = {"place": place, "shown": shown, "words": words}
        pieces.add((WEIGHTS, 0, uid), told)
    assert pieces.wanted(most)[0] in {(WEIGHTS, 0, trace.count), (LEAF, 0, trace.count)}
