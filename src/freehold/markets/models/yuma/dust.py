"""Who gets the base units that rounding down left over, so that an epoch pays what it has.

Every uid has two parts, incentive and dividend, each ``share * total >> 32``. All that is left
goes to the part with the largest remainder ``share * total mod 2^32``: lowest uid first, and of
one uid's equal remainders the incentive. Where every share is 0 there is nobody to pay, and the
parts stay 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from freehold.markets.models.yuma.values import ONE, Emission, Fixed


def paid(emission: Emission) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Base units of incentive and of dividends by uid, which add up to the total."""
    server, validator = list(emission.server), list(emission.validator)
    left = emission.total - sum(server) - sum(validator)
    shares = (emission.server_share, emission.validator_share)
    if left and any(share.any() for share in shares):
        uid, part = largest(emission.total, *shares)
        (server, validator)[part][uid] += left
    return tuple(server), tuple(validator)


def largest(total: int, server: Fixed, validator: Fixed) -> tuple[int, int]:
    """(uid, part) of the largest remainder; part 0 is incentive, 1 dividends."""
    remainders = [_remainders(total, share.tolist()) for share in (server, validator)]
    most = max(max(part) for part in remainders)
    uid, part = min((part.index(most), k) for k, part in enumerate(remainders) if most in part)
    return uid, part


def _remainders(total: int, shares: Sequence[int]) -> list[int]:
    return [share * total % ONE if share else -1 for share in shares]
