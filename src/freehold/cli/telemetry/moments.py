"""Moments and spans as users write them: ``2h`` ago, or 2026-11-28T10:00."""

from __future__ import annotations

import re
import time
from datetime import datetime

from freehold.domain.errors import UsageError

_SPAN = re.compile(r"(?P<number>\d{1,9})\s*(?P<unit>s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def span(text: str) -> int:
    """Seconds of a text such as ``2h``; UsageError."""
    match = _SPAN.fullmatch(text.strip().lower())
    if match is None:
        raise UsageError(f"{text[:40]!r} is no span", remedy="Write it like 30s, 10m, 2h or 7d.")
    return int(match["number"]) * _SECONDS[match["unit"]]


def moment(text: str, *, now: float | None = None) -> int:
    """Milliseconds since 1970 of ``now``, a span ago, or a date (local time); UsageError."""
    at = time.time() if now is None else now
    if text == "now":
        return int(at * 1_000)
    if _SPAN.fullmatch(text.strip().lower()):
        return int((at - span(text)) * 1_000)
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1_000)
    except ValueError as error:
        raise UsageError(
            f"{text[:40]!r} is no moment", remedy="Write 2h (ago), now, or 2026-11-28T10:00."
        ) from error


def ago(millis: int, *, now: float | None = None) -> str:
    """How long a moment is ago, for people."""
    if not millis:
        return "never"
    seconds = max(0, int((time.time() if now is None else now) - millis / 1_000))
    for name, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{name} ago"
    return f"{seconds}s ago"
