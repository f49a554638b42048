"""How an epoch's budget is split among markets, and what nobody gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from freehold.domain.errors import UsageError

WHOLE_BPS = 10_000
MARKETS_MAX = 8


@dataclass(frozen=True, slots=True)
class Share:
    """``bps`` ten-thousandths of every budget for the market of that name, in ASCII."""

    market: str
    bps: int

    @property
    def id(self) -> bytes:
        """The market's name as the contract has it: 32 bytes, filled up with zeros."""
        return self.market.encode("ascii").ljust(32, b"\x00")

    def of(self, budget: int) -> int:
        """This market's part of a budget, rounded down."""
        return budget * self.bps // WHOLE_BPS


def check(shares: Sequence[Share]) -> None:
    """UsageError unless the contract would take these shares."""
    names = [share.market for share in shares]
    fault = ""
    if len(names) > MARKETS_MAX or len(set(names)) < len(names):
        fault = f"there are at most {MARKETS_MAX} markets, each once"
    elif not all(name.isascii() and 0 < len(name) <= 32 for name in names):
        fault = "a market's name has 1 to 32 ASCII characters"
    elif not all(share.bps > 0 for share in shares) or sum(s.bps for s in shares) > WHOLE_BPS:
        fault = f"shares are above 0 and at most {WHOLE_BPS} together"
    if fault:
        raise UsageError(f"the split is not possible: {fault}", remedy="Change the shares.")


def dust(budget: int, shares: Sequence[Share]) -> int:
    """What of a budget belongs to no market, and so is never minted."""
    return budget - sum(share.of(budget) for share in shares)
