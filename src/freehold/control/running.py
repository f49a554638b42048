"""What a node's proofs cost it, and the least set of data at which they are worth it."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.errors import UsageError
from freehold.domain.money import MONTH, TIB, UNIT

SHARE_BPS = 500
"""Of pay: what proving may cost. Opening, settling and repair come on top, by the column."""
PROOF_GAS = 52_000
"""Gas of a proof for each of its challenges: 248,109 for five in a set of 1,000 pieces of 64 MiB,
271,950 in one of 1 GiB pieces, hardly more in a larger set; the reference page of gas."""
_BPS = 10_000


@dataclass(frozen=True, slots=True)
class Conditions:
    """What decides: ``period`` in seconds, ``challenges`` a proof, the network's fee in basis
    points, ``gas_price`` in wei, and base units of the network's token that a coin is worth."""

    period: int
    challenges: int
    fee_bps: int
    gas_price: int
    coin: int = UNIT

    @property
    def monthly(self) -> int:
        """Base units that proofs cost in 30 days, whatever the set holds."""
        proofs = -(-MONTH // self.period)
        return proofs * PROOF_GAS * self.challenges * self.gas_price * self.coin // UNIT


def least_bytes(monthly: int, *, price: int, fee_bps: int) -> int:
    """Bytes at which ``monthly`` is at most ``SHARE_BPS`` of pay, rounded up; 0 when it is nothing.

    ``price`` in the unit of ``monthly`` per TiB-month; UsageError when nothing is paid at all.
    """
    if monthly <= 0:
        return 0
    paid = SHARE_BPS * price * (_BPS - fee_bps)
    if paid <= 0:
        raise UsageError(
            "storage for nothing never pays for its proofs", remedy="Ask a price above zero."
        )
    return -(-monthly * TIB * _BPS * _BPS // paid)
