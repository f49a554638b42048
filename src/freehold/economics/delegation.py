"""What delegating to a node brings: its yearly yield after commission and slashes, and the order.

Rates are in millionths of the stake a year, as integers rounded down; losses are rounded up. A
reward tells the active stake that shared it, so a sum over rewards is what one unit of stake would
have earned that was there all the time, however much others came and went.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from freehold.domain.errors import UsageError
from freehold.domain.ids import Address

YEAR = 31_536_000
MILLION = 10**6
BPS = 10_000
_FINE = 10**18


@dataclass(frozen=True, slots=True)
class Reward:
    """A reward of ``amount`` to ``active`` stake at a time, of which the owner took a part."""

    time: int
    amount: int
    commission: int
    active: int


@dataclass(frozen=True, slots=True)
class Slash:
    """A slash of ``amount`` from a ``whole`` stake, active and unbonding, at a time."""

    time: int
    amount: int
    whole: int


@dataclass(frozen=True, slots=True)
class Yield:
    """Millionths of the stake a year; ``net`` is gross less commission and slashes."""

    gross: int
    commission: int
    slashed: int

    @property
    def net(self) -> int:
        """What is left to a delegator; negative where slashes took more than rewards brought."""
        return self.gross - self.commission - self.slashed


@dataclass(frozen=True, slots=True)
class Operator:
    """A node as a delegator sees it: stakes in base units, commission in basis points.

    ``raised`` is the commission announced for ``raised_at`` (0: none); ``room`` is what can still
    be delegated before the owner's own share is too small, ``shortfall`` what is locked beyond the
    active stake.
    """

    node: Address
    owner: Address
    own: int
    delegated: int
    commission: int
    raised: int
    raised_at: int
    room: int
    shortfall: int
    slashes: Sequence[Slash]
    yearly: Yield

    @property
    def slashed(self) -> int:
        """Everything ever slashed, base units."""
        return sum(slash.amount for slash in self.slashes)


def yearly(rewards: Iterable[Reward], slashes: Iterable[Slash], *, start: int, end: int) -> Yield:
    """The yield of stake that stood from ``start`` to ``end`` (seconds), brought to a year.

    What lies outside is left out, and so are rewards of no active stake, which no delegator
    shares. UsageError where no time passes.
    """
    if end <= start:
        raise UsageError(f"from {start} to {end} no time passes", remedy="Ask for a longer time.")
    shared = [r for r in rewards if start <= r.time < end and r.active > 0]
    gross = sum(r.amount * _FINE // r.active for r in shared)
    commission = sum(-(-r.commission * _FINE // r.active) for r in shared)
    lost = sum(-(-s.amount * _FINE // s.whole) for s in slashes if _counts(s, start, end))
    spent = [-(-part * YEAR * MILLION // (_FINE * (end - start))) for part in (commission, lost)]
    return Yield(gross * YEAR * MILLION // (_FINE * (end - start)), spent[0], spent[1])


def room(*, own: int, active: int, least_own_bps: int) -> int:
    """What may still be delegated to a node: none without stake of its owner's own."""
    return max(0, own * BPS // least_own_bps - active)


def rank(operators: Iterable[Operator]) -> list[Operator]:
    """Best first: those that take delegations and are not short, then by net yield.

    Between equals the one that was slashed less, with the lower commission, with more own stake.
    """
    return sorted(operators, key=_place)


def _place(operator: Operator) -> tuple[bool, int, int, int, int, str]:
    open_ = operator.room > 0 and operator.shortfall == 0
    asked = max(operator.commission, operator.raised)
    return (
        not open_, -operator.yearly.net, operator.slashed, asked, -operator.own, operator.node,
    )  # fmt: skip


def _counts(slash: Slash, start: int, end: int) -> bool:
    return start <= slash.time < end and slash.whole > 0
