"""Spans of time and presets as a person writes them."""

from __future__ import annotations

from freehold.domain.errors import UsageError

PRESETS = {"4/6": (4, 6), "10/14": (10, 14), "20/30": (20, 30)}
_SPANS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse_preset(text: str | None) -> tuple[int, int] | None:
    """The (k, n) of a preset; UsageError for anything else."""
    if text is None:
        return None
    if text not in PRESETS:
        raise UsageError(f"{text!r} is not a preset", remedy=f"Choose one of {', '.join(PRESETS)}.")
    return PRESETS[text]


def parse_span(text: str | None) -> int | None:
    """Seconds of a span such as 90d; UsageError for anything else."""
    if text is None:
        return None
    number, unit = text[:-1], text[-1:]
    if unit not in _SPANS or not number.isascii() or not number.isdigit() or not int(number):
        raise UsageError(f"{text!r} is not a span of time", remedy="Write it like 90d or 12h.")
    return int(number) * _SPANS[unit]
