"""What an epoch pays to whom: incentive and dividends out of one sum."""

from __future__ import annotations

from freehold.markets.models.yuma.fixed import div
from freehold.markets.models.yuma.refusals import RulesError
from freehold.markets.models.yuma.values import EMISSION_MAX, Emission, Fixed


def split(total: int, incentive: Fixed, dividends: Fixed, active: Fixed, stake: Fixed) -> Emission:
    """``total`` base units by the shares of incentive and dividends in their common sum.

    Where both are 0, because nobody set weights that count, all of it goes to validators by
    active stake, or by stake where none is active. RulesError unless 0 <= total < 2^128.
    """
    if not 0 <= total < EMISSION_MAX:
        raise RulesError(
            f"an epoch's emission is 0 to 2^128 base units, not {total}",
            remedy="Take the budget that the subnet's contract holds.",
        )
    both = incentive + dividends
    common = int(both.sum())
    server, validator, combined = (div(part, common) for part in (incentive, dividends, both))
    if common == 0:
        validator = combined = active if active.any() else stake
    return Emission(
        total,
        floors(server, total),
        floors(validator, total),
        floors(combined, total),
        server,
        validator,
        combined,
    )


def floors(shares: Fixed, total: int) -> tuple[int, ...]:
    """Base units of each share, rounded down."""
    return tuple(share * total >> 32 if share else 0 for share in shares.tolist())
