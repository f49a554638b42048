"""Which nodes answer with another's model: the same answers where independent models disagree.

Probes are questions that nobody has learnt the answer to: blends, noise, random words. Models
that were trained apart answer them apart, however good they are; whoever relays or has taken
another's model answers alike, probe after probe. On one probe two answers are *near* when they
are closer than ``NEAR`` of how far either node's own answers to different probes lie apart, which
needs no unit and no truth. Under independence a probe comes out near with at most the probability
``agreement``, so that ``hits`` of n probes or more are as likely as a binomial tail, and a pair
is called a copy where that is below ``ALARM`` divided by the number of pairs (Bonferroni): of
rounds in which all models are independent, at most that share accuses anyone.

Of a pair the younger loses, which is not who registered later: an old and worse node that begins to
relay a newcomer, in its first round or later, is the younger of the two, and cannot drive the
newcomer out (``older``). Qualities of one round are compared, for they differ from round to round
with what was asked. Who was called a copy once stays one until its answers speak for it
(``unrefuted``), not merely until a round in which too little was asked, nor until the rounds are
forgotten that told the two apart.

What meets what: relaying and stolen weights (near on every probe, with noise of up to about
``NEAR`` of the answers' spread); groups of any size (pairs are compared, never a consensus that a
majority of copies could shift). What it does not meet: a copy that is trained further until it
answers differently; one that buries its answers in noise, which costs it score on every task that
it cannot tell from a probe; one that can tell probes, and answers them by itself; a node that is as
good by itself and relays a newcomer only to harm it; outputs that the scorer
ignores, in which a copy can hide; outputs of few values, where honest models agree more often than
``agreement`` says: raise it there, and put more probes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import reduce
from math import comb, inf

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int16]

Past = Sequence[tuple[float, float]]
"""When earlier rounds were, and what a node's quality was."""

NEAR = 0.05
RIPE = 0.8
"""A quality below this part of another one is worse, and not only by what was asked."""
ALARM = 1e-4
"""Share of rounds of independent models in which anyone is accused, at most."""
CLEARED = 0.01
"""Odds of independence from which on one who was accused before is believed again."""


@dataclass(frozen=True, slots=True)
class Pair:
    """How two nodes answered: near on ``hits`` of ``probes`` that both answered; ``odds``: how
    likely independent models do that or more."""

    hits: int
    probes: int
    odds: float


@dataclass(frozen=True, slots=True)
class Age:
    """When a node was registered, what its quality is, and what it was in former rounds."""

    registered: float
    quality: float = 0.0
    past: Past = ()


def copies(
    answers: Mapping[int, Floats],
    ages: Mapping[int, Age],
    accused: Mapping[int, int] | None = None,
    *,
    agreement: float = 0.5,
) -> dict[int, int]:
    """Copies by uid, each with the oldest uid that it answers like.

    ``answers``: per uid (probes, width), a row of NaN where there was none. ``ages``: per uid.
    ``accused``: whom the round before called copies, of whom.
    """
    above: dict[int, list[int]] = {}
    for first, second in sorted(alike(answers, agreement=agreement)):
        elder = older(first, second, ages, accused)
        above.setdefault(second if elder == first else first, []).append(elder)
    return {
        uid: reduce(lambda one, other: older(one, other, ages, accused), elders)
        for uid, elders in above.items()
    }


def older(
    first: int, second: int, ages: Mapping[int, Age], accused: Mapping[int, int] | None = None
) -> int:
    """Which of two uids is the older: the better one, in the last round that both were in and one
    was worse; where there is none, the one whose copy the other was called before; else who has
    been as good as now for longer, by the rounds that it was in alone (``matured``); of equals who
    registered first, then the lower uid."""
    one, other = ages[first], ages[second]
    mine, theirs = dict(one.past), dict(other.past)
    both = mine.keys() & theirs.keys()
    for time in sorted(both, reverse=True):
        if min(mine[time], theirs[time]) < RIPE * max(mine[time], theirs[time]):
            return first if mine[time] > theirs[time] else second
    for uid, elder in ((first, second), (second, first)):
        if (accused or {}).get(uid) == elder:
            return elder
    return min((_came(ages[uid], both), ages[uid].registered, uid) for uid in (first, second))[2]


def _came(age: Age, shared: Set[float]) -> float:
    """Since when a node has been as good as now, by its rounds at other times than the shared."""
    alone = [each for each in age.past if each[0] not in shared]
    return matured(age.registered, alone, age.quality)


def unrefuted(
    answers: Mapping[int, Floats], accused: Mapping[int, int], *, agreement: float = 0.5
) -> dict[int, int]:
    """Of those whom an earlier round called copies, by uid with the older one, the ones whom these
    answers do not clear: too few probes that both answered, or still more near than ``CLEARED``.

    A round that was cut short, or in which a relay stumbled, is no proof of innocence. Where the
    older one is silent nothing is left to be held against the younger.
    """
    known = {uid: older for uid, older in accused.items() if uid in answers and older in answers}
    if not known:
        return {}
    uids = {uid: place for place, uid in enumerate(sorted(answers))}
    _, both, odds = _measured(answers, agreement)
    needed = probes_needed(len(uids), agreement=agreement)
    return {
        uid: older
        for uid, older in known.items()
        if both[uids[uid], uids[older]] < needed or odds[uids[uid], uids[older]] < CLEARED
    }


def alike(answers: Mapping[int, Floats], *, agreement: float = 0.5) -> dict[tuple[int, int], Pair]:
    """Pairs of uids (lower first) that no independent models would make."""
    uids = sorted(answers)
    every = len(uids) * (len(uids) - 1) // 2
    if not every:
        return {}
    hits, both, odds = _measured(answers, agreement)
    ones, others = np.nonzero(np.triu(odds < ALARM / every, k=1))
    return {
        (uids[one], uids[other]): Pair(
            int(hits[one, other]), int(both[one, other]), float(odds[one, other])
        )
        for one, other in zip(ones, others, strict=True)
    }


def matured(registered: float, past: Past, quality: float) -> float:
    """Since when a node has been as good as it is now: the last time at which its quality was below
    ``RIPE`` of today's, or its registration; since this round, infinity, where it was in rounds and
    never as good. ``past``: times and qualities of earlier rounds."""
    worse = [time for time, was in past if was < RIPE * quality]
    if past and len(worse) == len(past):
        return inf
    return max(registered, max(worse, default=registered))


def probes_needed(nodes: int, *, agreement: float = 0.5) -> int:
    """The fewest probes that can accuse a copy among ``nodes``, all of them near."""
    every, odds, count = max(1, nodes * (nodes - 1) // 2), 1.0, 0
    while odds >= ALARM / every:
        odds, count = odds * agreement, count + 1
    return count


def _measured(answers: Mapping[int, Floats], agreement: float) -> tuple[Counts, Counts, Floats]:
    """Of all pairs, by uids in order: probes on which both are near, that both answered, and how
    likely independent models do that or more."""
    hits, both = _compare([answers[uid] for uid in sorted(answers)])
    return hits, both, _tails(int(both.max(initial=0)), agreement)[both, hits]


def _compare(answers: Sequence[Floats]) -> tuple[Counts, Counts]:
    """Counts (nodes, nodes) of probes on which both are near, and that both answered."""
    table = np.stack(answers)
    there: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(table), axis=2)
    spread = np.stack([_spread(own, here) for own, here in zip(table, there, strict=True)])
    hits = np.zeros((len(table), len(table)), dtype=np.int16)
    for probe in range(table.shape[1]):
        reach = NEAR * np.minimum.outer(spread[:, probe], spread[:, probe])
        hits += (_distances(table[:, probe]) <= reach) & (reach > 0)
    whole = there.astype(np.int16)
    return hits, whole @ whole.T


def _spread(own: Floats, here: NDArray[np.bool_]) -> Floats:
    """How far each answer (probes,) typically is from the node's other answers; 0 where it has
    none, or all are one, which is no sign of copying."""
    found = np.zeros(len(own))
    if here.sum() > 1:
        apart = _distances(own[here])
        np.fill_diagonal(apart, np.nan)
        found[here] = np.nanmedian(apart, axis=1)
    return found


def _distances(points: Floats) -> Floats:
    """Euclidean distances (n, n) between rows (n, width); infinite where a row holds NaN.

    From differences, not from products: one node far out must not cost the others their digits.
    """
    apart = np.stack([np.linalg.norm(points - point, axis=1) for point in points])
    return np.where(np.isnan(apart), np.inf, apart)


def _tails(most: int, probability: float) -> Floats:
    """P(at least hits of count), binomial, for all counts up to ``most``: (counts, hits)."""
    found = np.ones((most + 1, most + 1))
    for count in range(1, most + 1):
        n = np.arange(count + 1)
        terms = [comb(count, k) * probability**k * (1 - probability) ** (count - k) for k in n]
        found[count, : count + 1] = np.cumsum(terms[::-1])[::-1]
    return found
