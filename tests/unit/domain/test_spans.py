"""Spans of time in words."""

from __future__ import annotations

import pytest

from freehold.domain.spans import about, span


@pytest.mark.parametrize(
    ("seconds", "exact", "short"),
    [
        (0, "0 s", "0 s"), (5, "5 s", "5 s"), (90, "90 s", "90 s"), (3_540, "59 min", "59 min"),
        (3_600, "1 h", "1 h"), (3_905, "3905 s", "1 h 5 min"), (86_400, "1 d", "1 d"),
        (86_401, "86401 s", "1 d"), (1_727_999, "1727999 s", "19 d 23 h"),
        (46_656_000, "540 d", "540 d"), (7_199, "7199 s", "1 h 59 min"),
    ],
)  # fmt: skip
def test_spans_are_told_exactly_or_in_short(seconds: int, exact: str, short: str) -> None:
    assert (span(seconds), about(seconds)) == (exact, short)
