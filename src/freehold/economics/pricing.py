"""A price that use raises by a factor and time lowers by a half-life, between two bounds.

The integers of ``contracts/modules/pricing.vy``. Everything rounds up, never to whoever pays. Two
waits in a row give what one wait of both gives, to within two base units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from freehold.domain.errors import UsageError
from freehold.economics.schedules.fixed import PLACES, exp_negative

WHOLE_BPS = 10_000
LN_2 = 235865763225513294137944142764154484399
"""ln 2, Q.128."""
PRICE_MAX = 2**96 - 1
FACTOR_BPS_MAX = 100 * WHOLE_BPS
HALF_LIFE_MAX = 10 * 366 * 86_400


def decayed(price: int, seconds: int, *, half_life: int, lowest: int) -> int:
    """Base units that ``price`` has come down to after ``seconds`` without use."""
    if price <= lowest:
        return lowest
    part = exp_negative(seconds % half_life * LN_2 // half_life)
    halvings = min(seconds // half_life, 128)
    return max(((price * part - 1) >> (PLACES + halvings)) + 1, lowest)


def raised(price: int, *, factor_bps: int, highest: int) -> int:
    """Base units that ``price`` becomes once it was paid."""
    return min(-(-price * factor_bps // WHOLE_BPS), highest)


@dataclass(frozen=True, slots=True)
class Terms:
    """``lowest`` and ``highest`` in base units, ``half_life`` in seconds, ``factor_bps`` above one.

    UsageError where the contract would refuse them.
    """

    lowest: int
    highest: int
    half_life: int
    factor_bps: int

    def __post_init__(self) -> None:
        fault = self._fault()
        if fault:
            raise UsageError(
                f"the moving price is not possible: {fault}",
                remedy="Start from BITTENSOR and change one figure at a time.",
            )

    def _fault(self) -> str:
        if not 0 < self.lowest <= self.highest <= PRICE_MAX:
            return "0 < lowest <= highest < 2^96 does not hold"
        if not 0 < self.half_life <= HALF_LIFE_MAX:
            return f"a half-life has 1 to {HALF_LIFE_MAX} seconds"
        if not WHOLE_BPS < self.factor_bps <= FACTOR_BPS_MAX:
            return f"a factor is above {WHOLE_BPS} and at most {FACTOR_BPS_MAX} ten-thousandths"
        return ""


@dataclass(frozen=True, slots=True)
class Price:
    """The price after its last use, base units, and the moment of that, seconds."""

    terms: Terms
    last: int
    moment: int

    def at(self, now: int) -> int:
        """Base units that a use costs at ``now``."""
        terms = self.terms
        return decayed(self.last, now - self.moment, half_life=terms.half_life, lowest=terms.lowest)

    def used(self, now: int) -> Price:
        """The price once somebody has paid it at ``now``."""
        terms = self.terms
        last = raised(self.at(now), factor_bps=terms.factor_bps, highest=terms.highest)
        return replace(self, last=last, moment=now)


BITTENSOR = Terms(lowest=5 * 10**14, highest=100 * 10**18, half_life=360 * 12, factor_bps=12_600)
"""That network's registration: x 1.26 a use, half in 360 blocks, 0.0005 to 100 tokens."""
