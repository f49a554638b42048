"""What work earns, and what is to be expected of it: the arithmetic of the contract ``rewards``.

Work is in MiB-seconds, amounts in base units, times in seconds; everything rounds down, as the
contract does (docs/decisions/0011-rewards-by-backed-work.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

UNIT = 10**18
BPS = 10_000
RATE_ONE = 2**96
RATE_UNIT = 2**40 * 2_592_000
"""Scale of a rail's rate: base units a TiB-month, times bytes."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What burned fees allow: units of work that a token backs, and the share of fees that comes
    back at most."""

    work_per_token: int
    share_bps: int

    def ceiling(self, work: int) -> int:
        """The most that work earns, however large the budget."""
        return work * self.share_bps * UNIT // (BPS * self.work_per_token)

    def backing(self, fees: int) -> int:
        """The work that burned fees back."""
        return fees * self.work_per_token // UNIT

    def worth(self, fees: int) -> int:
        """The most that burned fees can bring back, once enough work was done."""
        return self.ceiling(self.backing(fees))

    def reward(self, work: int, *, total: int, drawable: int) -> int:
        """What ``work`` of an epoch's ``total`` gets where ``drawable`` is its budget."""
        if not total:
            return 0
        rate = min(self.ceiling(total), drawable) * RATE_ONE // total
        return work * rate // RATE_ONE


@dataclass(frozen=True, slots=True)
class Taking:
    """An amount that came in at a time."""

    time: int
    amount: int


@dataclass(frozen=True, slots=True)
class Stream:
    """A rail that pays: its scaled rate, until when at the latest, and its fee."""

    rate: int
    until: int
    fee_bps: int


def flow(streams: Iterable[Stream], *, now: int, ahead: int) -> int:
    """What live rails pay in the ``ahead`` seconds from ``now`` on, where every round is proven."""
    return sum(_flow(stream, now=now, ahead=ahead) for stream in streams)


def _flow(stream: Stream, *, now: int, ahead: int) -> int:
    seconds = max(0, min(ahead, stream.until - now))
    return stream.rate * seconds * (BPS - stream.fee_bps) // (RATE_UNIT * BPS)


def forecast(takings: Sequence[Taking], *, since: int, now: int, ahead: int, least: int) -> int:
    """What comes in ``ahead`` seconds if it goes on as from ``since`` until ``now``.

    Who took the first of it later than that is judged from then on, though by no less than
    ``least`` seconds: one early amount makes no rate.
    """
    recent = [each for each in takings if since <= each.time <= now]
    if not recent:
        return 0
    begun = max(since, min(each.time for each in takings))
    return sum(each.amount for each in recent) * ahead // max(now - begun, least, 1)
