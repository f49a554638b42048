"""Alerts as lines of plain text for a terminal or a log."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from freehold.telemetry.alerts.alert import Alert
from freehold.telemetry.findings import Severity

MARKS = {Severity.INFO: "i", Severity.WARNING: "!", Severity.CRITICAL: "!!"}
REASON_MAX = 120


def line(alert: Alert) -> str:
    """One alert: severity, number, subject, what, since when, what was expected."""
    metric = f" {alert.metric}" if alert.metric else ""
    parts = [
        f"{MARKS[alert.severity]:<2} #{alert.id} {short(alert.subject)} {alert.kind}{metric}",
        f"since {moment(alert.since)}",
        *_expected(alert),
        *([f"{alert.times} times"] if alert.times > 1 else []),
        *([alert.state] if alert.state != "open" else []),
        *([alert.reason[:REASON_MAX]] if alert.reason else []),
    ]
    return ", ".join(parts)


def short(subject: str) -> str:
    """An address by its ends, another name cut."""
    if subject.startswith("0x") and len(subject) == 42:
        return f"{subject[:6]}..{subject[-4:]}"
    return subject if len(subject) <= 24 else f"{subject[:22]}.."


def moment(time: int) -> str:
    """Milliseconds as a time of day in UTC; a number that is none, as it is."""
    try:
        return datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return str(time)


def _expected(alert: Alert) -> list[str]:
    if math.isnan(alert.value) or math.isnan(alert.low) or not alert.low < alert.high:
        return []
    return [f"{alert.value:.6g} where {alert.low:.6g} to {alert.high:.6g} was expected"]
