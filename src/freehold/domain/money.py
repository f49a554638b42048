"""Money as integers: base units of 10^-18, rates per TiB-month."""

from __future__ import annotations

import re

from freehold.domain.errors import UsageError

UNIT = 10**18
TIB = 2**40
MONTH = 2_592_000
RATE_UNIT = TIB * MONTH
"""Scale of a rail's rate: price per TiB-month times bytes, paid per second."""

_AMOUNT = re.compile(r"(?P<whole>[0-9]{1,30})(?:\.(?P<part>[0-9]{1,18}))?")


def parse(text: str) -> int:
    """Base units of a decimal amount such as ``"2.5"``; UsageError when it is not one."""
    match = _AMOUNT.fullmatch(text.strip().replace("_", ""))
    if match is None:
        raise UsageError(
            f"{text!r} is not an amount",
            remedy="Write a decimal number with at most 18 places, such as 2.5.",
        )
    part = (match["part"] or "").ljust(18, "0")
    return int(match["whole"]) * UNIT + int(part)


def show(amount: int, *, places: int = 6, up: bool = False) -> str:
    """A decimal text of ``amount``, cut to ``places`` places, or away from 0 with ``up``: what
    somebody has to pay must not look less than it is."""
    sign, amount = ("-", -amount) if amount < 0 else ("", amount)
    if up:
        step = 10 ** (18 - places)
        amount = -(-amount // step) * step
    part = f"{amount % UNIT:018d}"[:places].rstrip("0")
    return f"{sign}{amount // UNIT:,}" + (f".{part}" if part else "")


def rate(*, price: int, size: int) -> int:
    """Scaled rate of ``size`` bytes at ``price`` base units per TiB-month."""
    return price * size


def cost(*, price: int, size: int, seconds: int) -> int:
    """Base units for holding ``size`` bytes for ``seconds``; rounded down as the contract does."""
    return rate(price=price, size=size) * seconds // RATE_UNIT
