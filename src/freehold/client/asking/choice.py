"""Which node is asked first, and which next.

Of the nodes that the caller admits and that do not rest, one is drawn with a probability in
proportion to its weight,

    score^8 * speed * cheapness * trust^4 / (1 + flying / 8)

    speed      0.1 s / (0.1 s + expected latency), at least 1/8
    cheapness  (least price + 1) / (price + 1), at least 1/8
    trust      exponential share of successes

so load spreads over what is about equally good. Speed and cheapness change a weight by at most 64,
which a score ratio of 1.69 outweighs: **scores dominate**. Raising a price, a latency or the
requests under way never raises a weight; raising a score never lowers one.

One request in twenty begins with a node of which fewer than 20 answers were seen, or with one
whose rest is over, drawn evenly: newcomers are tried and the dead are noticed to live again. The
others follow in drawn order, then those whose rest is over, and those that rest come last: they
are asked only when nothing else is left, so one good node is always found.

Of more than 64 nodes, 48 with the best score and price that do not rest are looked at, and 16
others drawn evenly: a subnet of thousands costs no more to choose from.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import islice

from freehold.client.asking.candidate import Candidate
from freehold.client.asking.measured import NEW, Measure, Measures

STEEPNESS = 8
FAST = 0.1
"""Seconds: a node that takes as long has half the weight of one that takes none."""
LEAST = 1 / 8
CROWD = 8
EXPLORED = 0.05
"""Share of requests that begin with a node that is little known or was rested."""
FIELD, HEAD = 64, 48
"""Nodes that are looked at for one request, and how many of them are the best ones."""
LEAST_SCORE = 1 / 64
"""What a node without a score counts as, so that a subnet's first nodes are asked at all."""


def merit(candidate: Candidate, *, cheapest: int) -> float:
    """The part of a weight that the ranking alone decides; above 0."""
    score: float = max(candidate.score, LEAST_SCORE) ** STEEPNESS
    return score * max(LEAST, (cheapest + 1) / (candidate.price + 1))


def weight(candidate: Candidate, measure: Measure, *, cheapest: int) -> float:
    """The relative probability with which a node is drawn; above 0."""
    speed: float = max(LEAST, FAST / (FAST + measure.expected))
    trust: float = max(measure.trust, 1e-3) ** 4
    return merit(candidate, cheapest=cheapest) * speed * trust / (1 + measure.flying / CROWD)


def by_merit(candidates: Sequence[Candidate]) -> list[Candidate]:
    """``candidates``, the best by score and price first."""
    cheapest = min((candidate.price for candidate in candidates), default=0)
    return sorted(
        candidates, key=lambda each: (-merit(each, cheapest=cheapest), each.uid, each.node)
    )


def field(
    ranked: Sequence[Candidate], measures: Measures, *, chance: random.Random, now: float
) -> list[Candidate]:
    """Those of ``by_merit`` that are looked at for one request."""
    if len(ranked) <= FIELD:
        return list(ranked)
    awake = (each for each in ranked if measures.of(each.node).state(now) < 2)
    head = list(islice(awake, HEAD))
    chosen = {each.node for each in head}
    # Of as many places as are looked at, those of the head are at most as many as it has.
    drawn = (ranked[place] for place in chance.sample(range(len(ranked)), FIELD))
    return head + [each for each in drawn if each.node not in chosen][: FIELD - len(head)]


def order(
    candidates: Sequence[Candidate], measures: Measures, *, chance: random.Random, now: float
) -> list[Candidate]:
    """All of ``candidates`` in the order in which to ask them; the same for the same ``chance``."""
    known = [(candidate, measures.of(candidate.node)) for candidate in candidates]
    states = [measure.state(now) for _, measure in known]
    cheapest = min((candidate.price for candidate in candidates), default=0)
    ready = [each for each, state in zip(known, states, strict=True) if state == 0]
    rested = [each for each, state in zip(known, states, strict=True) if state == 1]
    resting = [each for each, state in zip(known, states, strict=True) if state == 2]
    found = [candidate for candidate, _ in _drawn(ready, cheapest, chance)]
    chance.shuffle(rested)
    found += [candidate for candidate, _ in rested]
    found += [candidate for candidate, _ in sorted(resting, key=lambda each: each[1].until)]
    return _explore(found, ready, rested, chance)


def _drawn(
    known: Sequence[tuple[Candidate, Measure]], cheapest: int, chance: random.Random
) -> list[tuple[Candidate, Measure]]:
    """Drawn one after the other without putting back: by the keys ``log(u) / w`` (Efraimidis and
    Spirakis 2006), in logarithms, since the weights of bad nodes come near 0."""
    keyed = []
    for candidate, measure in known:
        drawn = -math.log(-math.log(1 - chance.random()) or 5e-324)
        keyed.append((drawn + math.log(weight(candidate, measure, cheapest=cheapest)), candidate))
    places = sorted(range(len(keyed)), key=lambda i: -keyed[i][0])
    return [known[i] for i in places]


def _explore(
    found: list[Candidate],
    ready: Sequence[tuple[Candidate, Measure]],
    rested: Sequence[tuple[Candidate, Measure]],
    chance: random.Random,
) -> list[Candidate]:
    """``found``, in one case of twenty with a node in front that should become known."""
    drawn, place = chance.random(), chance.random()
    unknown = [candidate for candidate, measure in ready if measure.answers < NEW]
    unknown += [candidate for candidate, measure in rested if not measure.flying]
    if drawn >= EXPLORED or not unknown:
        return found
    first = unknown[int(place * len(unknown))]
    return [first, *(candidate for candidate in found if candidate is not first)]
