"""Findings to tell in tests, and a clock to turn."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.telemetry.findings import Finding, Severity

T0 = 1_767_225_600_000


@dataclass
class Turned:
    """A clock that stands until it is turned; milliseconds."""

    now: int = T0

    def __call__(self) -> int:
        return self.now


def finding(
    key: str,
    *,
    subject: str = "0x" + "ab" * 20,
    kind: str = "anomaly",
    metric: str = "temperature",
    since: int = T0,
    at: int = T0,
    severity: Severity = Severity.WARNING,
    reason: str = "far from its own level",
) -> Finding:
    """A finding with the fields that matter to a test."""
    return Finding(
        key, kind, subject, metric, since, at, severity, 0.9, reason, value=9.0, low=1.0, high=2.0
    )
