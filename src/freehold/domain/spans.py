"""Spans of time as a person reads them."""

from __future__ import annotations

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def span(seconds: int) -> str:
    """A number of seconds in the largest unit that divides it: ``"30 d"``, ``"90 s"``."""
    for length, unit in _UNITS:
        if seconds and seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def about(seconds: int) -> str:
    """The same cut to two units where it is long: ``"19 d 23 h"``, ``"1 h 5 min"``, ``"90 s"``."""
    days, hours = seconds // 86_400, seconds % 86_400 // 3_600
    if seconds < 3_600 or seconds % 86_400 == 0:
        return span(seconds)
    rest = ((days, "d"), (hours, "h")) if days else ((hours, "h"), (seconds % 3_600 // 60, "min"))
    return " ".join(f"{count} {unit}" for count, unit in rest if count)
