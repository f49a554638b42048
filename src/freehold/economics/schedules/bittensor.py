"""Bittensor's emission: 21 million, one a block of 12 seconds, halved by issuance.

Source: opentensor/subtensor, pallets/subtensor/src/coinbase/block_emission.rs. Upstream takes a
logarithm in fixed point and can be a few blocks late at a threshold; here the rule is in integers.
"""

from __future__ import annotations

from freehold.domain.errors import UsageError
from freehold.economics.schedules import halving

BLOCK_SECONDS = 12
NATIVE = 10**9
"""Base units (10^-18) of one rao."""
BLOCK_RAO = 10**9
CAP_RAO = 21_000_000 * 10**9


def block_emission(issuance_rao: int) -> int:
    """Rao that the next block emits when ``issuance_rao`` are out; UsageError below 0."""
    if issuance_rao < 0:
        raise UsageError(
            f"an issuance of {issuance_rao} rao",
            remedy="Give what has been issued so far, at least 0.",
        )
    return halving.block(amount=BLOCK_RAO, issuance=issuance_rao, cap=CAP_RAO)


def issued(blocks: int) -> int:
    """Rao that the first ``blocks`` blocks emit together."""
    return halving.issued(amount=BLOCK_RAO, cap=CAP_RAO, blocks=blocks)
