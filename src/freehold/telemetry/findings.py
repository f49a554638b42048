"""What a detector saw: the one value that workers hand to alerts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How urgent it is that somebody looks."""

    INFO = 1
    WARNING = 2
    CRITICAL = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """Something odd about ``subject`` (the id of a device or node).

    ``kind`` is a word such as ``anomaly``, ``copied``, ``replayed``, ``silent``; ``metric`` may be
    empty. ``since`` and ``at`` are milliseconds: when it began, and the reading that told it.
    ``value`` was read where ``low`` to ``high`` was expected (SI; equal bounds say nothing), and
    ``score``, 0 to 1, says how sure the detector is. The same ``key`` is the same incident.
    """

    key: str
    kind: str
    subject: str
    metric: str
    since: int
    at: int
    severity: Severity
    score: float
    reason: str
    value: float = 0.0
    low: float = 0.0
    high: float = 0.0
