"""What the desk keeps and shows: alerts, what happened to them, silences, and the rules."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from freehold.telemetry.findings import Severity

State = Literal["open", "acknowledged", "resolved"]
Event = Literal["open", "rise", "again", "acknowledged", "resolved"]
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
SILENCE_MAX = 7 * DAY


@dataclass(frozen=True, slots=True)
class Rules:
    """How alerts live; times in milliseconds.

    An alert that hears nothing for ``quiet`` is resolved, one that comes again and again up to
    ``patience`` times later. Incidents of the same subject, kind and metric within ``flapping`` of
    the last are one alert. ``each`` and ``open`` alerts may be open for one subject and in all;
    the last quarter is for critical ones, and information has half. ``kept``: how long resolved
    ones stay, ``alerts`` and ``keys`` how many alerts and incidents are remembered, ``moves`` and
    ``incidents`` of one alert. ``silences`` at once; ``outbox`` messages wait for one hook.
    """

    quiet: int = 15 * MINUTE
    patience: int = 8
    flapping: int = HOUR
    each: int = 32
    open: int = 10_000
    kept: int = 90 * DAY
    alerts: int = 50_000
    keys: int = 200_000
    moves: int = 200
    incidents: int = 256
    silences: int = 1_000
    outbox: int = 10_000


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing to look at; fields as in ``Finding``. ``heard`` is when the desk last heard news of
    it, ``times`` how many incidents it stands for, ``told`` whether it was let through to people
    (a silence holds it back)."""

    id: int
    key: str
    kind: str
    subject: str
    metric: str
    severity: Severity
    state: State
    since: int
    at: int
    heard: int
    score: float
    reason: str
    value: float
    low: float
    high: float
    times: int
    told: bool


@dataclass(frozen=True, slots=True)
class News:
    """What happened to ``alert`` at ``at`` (ms): ``by`` whom and why; ``id`` grows."""

    id: int
    at: int
    event: Event
    by: str
    note: str
    silenced: bool
    alert: Alert


@dataclass(frozen=True, slots=True)
class Silence:
    """Until ``until`` (ms) alerts that match all three patterns (* and ?) are kept, not told."""

    id: int
    subject: str
    kind: str
    metric: str
    until: int
    by: str
    reason: str

    def covers(self, subject: str, kind: str, metric: str) -> bool:
        """Whether such an alert is held back."""
        return (
            fnmatchcase(subject, self.subject)
            and fnmatchcase(kind, self.kind)
            and fnmatchcase(metric, self.metric)
        )
