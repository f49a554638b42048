"""Which nodes should hold an object's columns: n nodes of n owners, best first, by a seed.

A node's score is a weighted mean of five parts, each in millionths: how cheap it is beside the
cheapest, how seldom it missed a proof, what watchers agreed on of it, how much free stake it has
beside who has most, and how much room. A newcomer that never missed is the equal of a veteran that
never did, or nobody new would ever hold anything; its stake answers for it. Scores count in
hundredths below the best one, and nodes with the same count are equals: the seed, which is the
object's id, decides between them, so that load spreads and a put that is resumed comes to the same
nodes. Among otherwise fitting nodes, machines that share a place are taken apart as far as
possible.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from freehold.domain.errors import CapacityError, UsageError
from freehold.domain.ids import Address, keccak, raw_address
from freehold.domain.money import show
from freehold.domain.spans import about, span

MILLION = 1_000_000
COLUMNS_MAX = 32
_EQUAL = MILLION // 100
_SHARED_PLACE = MILLION // 5
_TRUST = 2
"""Rounds that a newcomer is taken to have proved: one miss early weighs more than one later."""
_WEIGHT_PRICE, _WEIGHT_HISTORY, _WEIGHT_STATUS, _WEIGHT_STAKE, _WEIGHT_ROOM = 4, 4, 2, 1, 1


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node as placement sees it.

    ``price`` and ``stake_free`` in base units (price per TiB-month), ``capacity_free`` in bytes,
    terms in seconds, ``proven`` and ``missed`` in rounds; ``place`` names what fails together
    (a host, a network), empty when unknown; ``barred`` is a reason to take it for nothing new;
    ``status`` is what watchers agreed on, 0 to a million, all of it where they did not.
    """

    node: Address
    owner: Address
    price: int
    stake_free: int
    capacity_free: int
    proven: int = 0
    missed: int = 0
    min_term: int = 0
    max_term: int = 2**63
    place: str = ""
    barred: str = ""
    status: int = MILLION


@dataclass(frozen=True, slots=True)
class Need:
    """What is asked: ``columns`` of ``size`` bytes each for ``term`` seconds.

    ``stake`` is what one column locks, ``max_price`` per TiB-month. ``taken`` counts the columns
    of the same object that owners already hold, ``excluded`` names nodes that must not be chosen.
    """

    columns: int
    size: int
    term: int
    max_price: int
    stake: int
    seed: bytes
    per_owner: int = 1
    excluded: frozenset[Address] = frozenset()
    taken: Mapping[Address, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A node that was not chosen from, and why."""

    node: Address
    reason: str


@dataclass(frozen=True, slots=True)
class Placement:
    """``chosen`` in the order of the columns; ``spares`` may step in, best first."""

    chosen: tuple[Candidate, ...]
    spares: tuple[Candidate, ...]
    refused: tuple[Refusal, ...]


class UnwantedTermError(CapacityError):
    """Enough nodes have room, and too few of them take the term: waiting brings no more."""


def place(candidates: Sequence[Candidate], need: Need) -> Placement:
    """Choose nodes for ``need``; CapacityError explains who was refused when too few fit."""
    _check(need)
    unique = {candidate.node: candidate for candidate in candidates}
    reasons = {node: unfit(candidate, need) for node, candidate in unique.items()}
    refused = tuple(Refusal(node, reason) for node, reason in sorted(reasons.items()) if reason)
    ranked = rank([unique[node] for node in unique if not reasons[node]], seed=need.seed)
    chosen = _spread(ranked, need)
    if len(chosen) < need.columns:
        kind = UnwantedTermError if _lacks_term(unique.values(), need) else CapacityError
        raise _too_few(kind, need, ranked, refused)
    names = {candidate.node for candidate in chosen}
    spares = tuple(candidate for candidate in ranked if candidate.node not in names)
    return Placement(tuple(chosen), spares, refused)


def rank(candidates: Sequence[Candidate], *, seed: bytes) -> list[Candidate]:
    """All ``candidates``, best first; the same seed gives the same order."""
    scores = _scores(candidates)
    best = max(scores.values(), default=0)
    return sorted(
        candidates,
        key=lambda c: (
            (best - scores[c.node]) // _EQUAL,
            keccak(seed + raw_address(c.node)),
            c.node,
        ),
    )


def unfit(candidate: Candidate, need: Need) -> str:
    """Why ``candidate`` cannot serve ``need``; empty when it can."""
    return next((reason for failed, reason in _checks(candidate, need) if failed), "")


def _checks(c: Candidate, need: Need) -> Iterator[tuple[bool, str]]:
    yield c.node in need.excluded, "excluded by the request"
    yield bool(c.barred), c.barred
    yield (
        c.price > need.max_price,
        f"asks {show(c.price)} per TiB-month, above {show(need.max_price)}",
    )
    yield c.stake_free < need.stake, f"free stake {show(c.stake_free)}, {show(need.stake)} needed"
    yield c.capacity_free < need.size, f"{c.capacity_free:,} bytes free, {need.size:,} needed"
    yield (
        not c.min_term <= need.term <= c.max_term,
        f"accepts terms of {span(c.min_term)} to {span(c.max_term)}, not {about(need.term)}",
    )
    yield (
        need.taken.get(c.owner, 0) >= need.per_owner,
        "its owner already holds a column of this object",
    )


def _check(need: Need) -> None:
    if not 0 < need.columns <= COLUMNS_MAX or need.per_owner < 1 or need.size < 1:
        raise UsageError(
            f"{need.columns} columns of {need.size} bytes cannot be placed",
            remedy=f"Ask for 1 to {COLUMNS_MAX} columns of at least one byte.",
        )


def _scores(candidates: Sequence[Candidate]) -> dict[Address, int]:
    cheapest = min((c.price for c in candidates), default=0)
    stake = max((c.stake_free for c in candidates), default=0)
    room = max((c.capacity_free for c in candidates), default=0)
    total = _WEIGHT_PRICE + _WEIGHT_HISTORY + _WEIGHT_STATUS + _WEIGHT_STAKE + _WEIGHT_ROOM
    return {
        c.node: (
            _WEIGHT_PRICE * _share(cheapest + 1, c.price + 1)
            + _WEIGHT_HISTORY * _share(c.proven + _TRUST, c.proven + c.missed + _TRUST)
            + _WEIGHT_STATUS * max(0, min(c.status, MILLION))
            + _WEIGHT_STAKE * _share(c.stake_free, stake)
            + _WEIGHT_ROOM * _share(c.capacity_free, room)
        )
        // total
        for c in candidates
    }


def _share(part: int, whole: int) -> int:
    return MILLION * part // whole if whole > 0 else 0


def _spread(ranked: Sequence[Candidate], need: Need) -> list[Candidate]:
    """Greedy: the best by rank, less a penalty for every chosen node in the same place."""
    owners = Counter(need.taken)
    places: Counter[str] = Counter()
    steps = MILLION // max(1, len(ranked))
    left = list(enumerate(ranked))
    chosen: list[Candidate] = []
    while left and len(chosen) < need.columns:
        open_ = [item for item in left if owners[item[1].owner] < need.per_owner]
        if not open_:
            break
        best = min(open_, key=lambda it: it[0] * steps + places[it[1].place] * _SHARED_PLACE)
        left.remove(best)
        chosen.append(best[1])
        owners[best[1].owner] += 1
        places.update([best[1].place] if best[1].place else [])
    return chosen


def _lacks_term(candidates: Iterable[Candidate], need: Need) -> bool:
    """Whether there would be enough nodes if all took any term."""
    patient = [replace(each, min_term=need.term, max_term=need.term) for each in candidates]
    fitting = [each for each in patient if not unfit(each, need)]
    return len(_spread(fitting, need)) >= need.columns


def _too_few(
    kind: type[CapacityError],
    need: Need,
    fitting: Sequence[Candidate],
    refused: Sequence[Refusal],
) -> CapacityError:
    owners = Counter(candidate.owner for candidate in fitting)
    room = sum(min(count, need.per_owner) for count in owners.values())
    who = "1 owner offers" if len(owners) == 1 else f"{len(owners)} owners offer"
    reasons = Counter(refusal.reason for refusal in refused).most_common(4)
    told = "; ".join(f"{count} node{'s' if count > 1 else ''}: {why}" for why, count in reasons)
    limit = "" if need.per_owner == 1 else f" (room for {room} columns)"
    return kind(
        f"only {who} space{limit}, {need.columns} needed" + (f"; {told}" if told else ""),
        remedy="Choose a smaller preset, a higher price or another term, or wait for more nodes.",
    )
