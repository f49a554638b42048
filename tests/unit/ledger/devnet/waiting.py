"""Waiting for a condition, bounded."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(condition: Callable[[], bool], complaint: str, *, seconds: float = 60.0) -> None:
    """Return once the condition holds; AssertionError with the complaint when it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.02)
