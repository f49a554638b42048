"""What is false in a served batch: the first thing that does not follow from what comes before.

A claim names a function of the contracts ``columns``, ``standings`` or ``payouts``. Everything
that it starts from is the same in the served batch and in one's own, so it can be shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from freehold.domain.ids import Address
from freehold.markets.models.trace.batch import Bundle, holders
from freehold.markets.models.trace.built import Built
from freehold.markets.models.trace.served import Served, ServedTrace
from freehold.markets.models.trace.values import EMPTY, OWNER, PRUNED, VERSION, Leaf, pack, unpack


@dataclass(frozen=True, slots=True)
class Claim:
    """``kind`` is false. ``trace`` is an index among the subnets, ``index`` a uid or a place,
    ``other`` what else has to be named (-1 for nothing), ``account`` whose sum is wrong."""

    kind: str
    trace: int = 0
    index: int = 0
    other: int = -1
    account: Address | None = None


Claims: TypeAlias = Iterator[Claim]
GRAINS_MAX, CELLS_MAX = (1 << 64) - 1, 1 << 32
"""What a root can pay in all, and how many cells its list may have."""
STAKE, RANKS, INCENTIVES, PAID = range(4)
_LANES = (
    (192, (1 << 64) - 1),
    (152, (1 << 40) - 1),
    (113, (1 << 39) - 1),
    (0, (1 << 113) - 1),
)  # fmt: skip


def first_difference(own: Bundle, served: Served) -> Claim | None:
    """The first false thing in a served batch, None where it is one's own.

    What a root pays to accounts is compared by ``growth``, as it is not part of a batch.
    """
    return next(differences(own, served), None)


def differences(own: Bundle, served: Served) -> Claims:
    """As ``first_difference``; only the first one is sure to be provable."""
    if _misformed(own, served):
        yield Claim("batch")
    for at, (mine, theirs) in enumerate(zip(own.traces, served.traces, strict=False)):
        yield from _trace(at, mine, theirs)
    yield from _pays(own, served)


def _misformed(own: Bundle, served: Served) -> bool:
    batch = served.batch
    if (batch.version, batch.subnet_count) != (VERSION, own.batch.subnet_count):
        return True
    if batch.cell_count > CELLS_MAX:
        return True
    told = ((batch.subnet_count, batch.subnets), (batch.cell_count, batch.cells))
    return any(count == 0 and root != EMPTY for count, root in told)


def growth(before: dict[Address, int], own: Bundle, after: dict[Address, int]) -> Claim | None:
    """The first account whose grains in a root are not those before and its cells."""
    due = dict(before)
    for pay in own.pays:
        due[pay.account] = due.get(pay.account, 0) + pay.grains
    # Who never earned has no leaf, not even one of nothing.
    wrong = (each for each in sorted(due | after) if due.get(each) != after.get(each))
    return next((Claim("growth", account=each) for each in wrong), None)


def _trace(at: int, own: Built, served: ServedTrace) -> Claims:
    if served.trace.count != own.trace.count:
        yield Claim("count", at)
        return
    yield from _standing(at, own, served)
    yield from _columns(at, own, served)
    yield from _earnings(at, own, served)


def _standing(at: int, own: Built, served: ServedTrace) -> Claims:
    yield from _leaves("node", at, own, served, lambda leaf: leaf.node)
    if _unused(served.leaves[-1]) != _unused(own.leaves[-1]):
        yield Claim("totals", at)
    yield from _sums(at, own, served, STAKE)
    if served.trace.stake != own.trace.stake:
        yield Claim("totals", at)
    if served.permits != own.permit_words():
        yield _permit(at, own, served)
    if (served.members, served.trace.size) != (own.member_words(), own.trace.size):
        yield _member(at, own, served)


def _columns(at: int, own: Built, served: ServedTrace) -> Claims:
    for uid, words in enumerate(served.weights):
        if words != own.weight_words(uid):
            yield _weight(at, own, uid, words)
    yield from _leaves("rows", at, own, served, lambda leaf: leaf.rows)
    if served.trace.table != own.trace.table:
        yield Claim("table", at)
    yield from _leaves("column", at, own, served, lambda leaf: leaf.column)
    yield from _sums(at, own, served, RANKS)
    if (served.trace.consensus, served.trace.ranks) != (own.trace.consensus, own.trace.ranks):
        yield Claim("totals", at)
    yield from _sums(at, own, served, INCENTIVES)
    if served.trace.incentives != own.trace.incentives:
        yield Claim("totals", at)
    yield from _leaves("bond", at, own, served, lambda leaf: leaf.bond)
    yield from _leaves("dividends", at, own, served, lambda leaf: leaf.dividends)


def _earnings(at: int, own: Built, served: ServedTrace) -> Claims:
    mine, theirs = own.trace, served.trace
    if theirs.dividends != mine.dividends:
        yield Claim("totals", at)
    if (theirs.dividend_total, theirs.dividend_sum) != (mine.dividend_total, mine.dividend_sum):
        yield Claim("dividend_totals", at)
    if (theirs.emission, theirs.owner_part) != (mine.emission, mine.owner_part):
        yield Claim("emission", at)
    yield from _leaves("cell", at, own, served, lambda leaf: leaf.cell)
    yield from _sums(at, own, served, PAID)
    if (theirs.dust, theirs.dust_uid) != (mine.dust, mine.dust_uid):
        yield Claim("totals", at)
    if theirs.prune != mine.prune:
        yield _pruned(at, own, theirs.prune)


def _leaves(
    kind: str, at: int, own: Built, served: ServedTrace, part: Callable[..., bytes]
) -> Claims:
    for uid, (mine, theirs) in enumerate(zip(own.leaves, served.leaves, strict=True)):
        # Behind the last uid only what ran up there is a leaf that follows from anything.
        runs = kind in ("rows", "dividends")
        if part(mine) != part(theirs) and (uid < own.trace.count or runs):
            yield Claim(kind, at, uid)


def _unused(last: Leaf) -> tuple[bytes, ...]:
    """What is empty in the leaf behind the last uid."""
    return last.node, last.raw, last.column, last.bond, last.cell


def _sums(at: int, own: Built, served: ServedTrace, which: int) -> Claims:
    shift, mask = _LANES[which]
    for uid, (mine, theirs) in enumerate(zip(own.leaves, served.leaves, strict=True)):
        if (mine.sums ^ theirs.sums) >> shift & mask:
            yield Claim("sums", at, uid, which)


def _permit(at: int, own: Built, served: ServedTrace) -> Claim:
    told = [uid - 1 for uid in unpack(served.permits, 16) if uid]
    formed = pack([uid + 1 for uid in told], 16) == served.permits and told == sorted(set(told))
    if not formed or len(told) > own.facts.terms.rules.max_validators:
        return Claim("permits", at)
    if told and told[-1] >= own.trace.count:
        return Claim("permits", at)
    standing = {uid: (_share(own, uid), uid) for uid in range(own.trace.count)}
    extra = sorted(standing[uid] for uid in told if uid not in own.permits)
    lacking = sorted(standing[uid] for uid in own.permits if uid not in told)
    return Claim("permit", at, extra[0][1] if extra else -1, lacking[-1][1] if lacking else -1)


def _share(own: Built, uid: int) -> int:
    stake = own.nodes[uid].stake
    return (stake << 32) // own.trace.stake if stake else 0


def _member(at: int, own: Built, served: ServedTrace) -> Claim:
    size, lanes = served.trace.size, unpack(served.members, 64)
    uids = [lane >> 48 for lane in lanes[:size]]
    formed = len(served.members) == (size + 3) // 4 and not any(lanes[size:])
    if not formed or uids != sorted(set(uids)) or (uids and uids[-1] >= own.trace.count):
        return Claim("members", at)
    theirs = dict(zip(uids, lanes, strict=False))
    mine = {member.uid: member.lane() for member in own.members}
    wrong = (uid for uid in sorted(theirs | mine) if theirs.get(uid) != mine.get(uid))
    return Claim("member", at, next(wrong))


def _weight(at: int, own: Built, uid: int, words: tuple[int, ...]) -> Claim:
    mine, theirs = own.weight_words(uid), words
    if len(mine) != len(theirs):
        return Claim("weight", at, uid, 0)
    pairs = zip(unpack(mine, 16), unpack(theirs, 16), strict=True)
    return Claim("weight", at, uid, next(k for k, (a, b) in enumerate(pairs) if a != b))


def _pruned(at: int, own: Built, told: int) -> Claim:
    mine, theirs = prune_list(own.trace.prune), prune_list(told)
    place = next(k for k in range(PRUNED) if mine[k] != theirs[k])
    return Claim("prune", at, place, mine[place] if mine[place] != OWNER else -1)


def prune_list(word: int) -> list[int]:
    """The uids of a prune word, ``OWNER`` where there are fewer than 16."""
    return [word >> (240 - 16 * k) & OWNER for k in range(PRUNED)]


def _pays(own: Bundle, served: Served) -> Claims:
    for at, pay in enumerate(served.pays):
        if not 0 < pay.subnet <= len(own.traces) or pay.uid > OWNER:
            yield Claim("pay", pay.subnet - 1, at)
    for at, pay in enumerate(served.pays):
        last = served.pays[at - 1] if at else None
        before = last.before + last.grains if last and last.account == pay.account else 0
        rises = last is None or last.rank() < pay.rank()
        if not rises or pay.before != before or not 0 < pay.grains <= GRAINS_MAX:
            yield Claim("order", index=at)
    told = {(pay.subnet, pay.uid) for pay in served.pays}
    mine = {(pay.subnet, pay.uid): pay for pay in own.pays}
    for at, pay in enumerate(served.pays):
        found = mine.get((pay.subnet, pay.uid))
        if found is None or (found.account, found.grains) != (pay.account, pay.grains):
            yield Claim("pay", pay.subnet - 1, at)
    for subnet, uid in sorted(set(mine) - told):
        yield Claim("lack", subnet - 1, uid)


__all__ = ["Claim", "differences", "first_difference", "growth", "holders", "prune_list"]
