"""Amounts, sizes and moments as a person reads them; programs get exact integers instead."""

from __future__ import annotations

from datetime import datetime

from freehold.domain.money import UNIT, show
from freehold.domain.spans import span

__all__ = ["brief", "moment", "size", "span"]

_PREFIXES = ((10**12, "micro"), (10**9, "nano"), (10**6, "pico"), (10**3, "femto"), (1, "atto"))
_DIGITS = 3


def brief(amount: int, *, up: bool = False) -> str:
    """Base units as tokens: ``"1,000"``, ``"0.25"``, and ``"55.5 pico"`` for tiny ones.

    Cut to three digits below a thousandth of a token, to four places above it; with ``up``, for
    what somebody has to pay, away from 0 instead.
    """
    if amount < 0:
        return f"-{brief(-amount, up=up)}"
    if up:
        return brief(_raised(amount))
    if not 0 < amount < UNIT // 1_000:
        return show(amount, places=4)
    scale, prefix = next((s, p) for s, p in _PREFIXES if amount >= s)
    places = _DIGITS - len(str(amount // scale))
    return f"{show(amount * (UNIT // scale), places=places)} {prefix}"


def _raised(amount: int) -> int:
    tiny = amount < UNIT // 1_000
    step = 10 ** max(0, len(str(amount)) - _DIGITS) if tiny else UNIT // 10_000
    return -(-amount // step) * step


def size(count: int) -> str:
    """A number of bytes: ``"2,084 bytes"``, ``"4.2 MB"``."""
    from rich.filesize import decimal

    return decimal(count)


def moment(time: int) -> str:
    """Block time as this machine's date and hour."""
    return datetime.fromtimestamp(time).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def minute(time: int) -> str:
    """The same to the minute."""
    return moment(time)[:16]
