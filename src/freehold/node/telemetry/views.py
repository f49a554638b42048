"""What stands behind the API, and how rows of readings become JSON or CSV."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Protocol

from freehold.domain.errors import UsageError
from freehold.domain.ids import Address
from freehold.telemetry.alerts.alert import SILENCE_MAX, Alert, News, Silence, State
from freehold.telemetry.metrics import limits
from freehold.telemetry.reading import TIME_MAX
from freehold.telemetry.store.ask import Answer
from freehold.telemetry.store.engine import Value

HOUR, YEAR = 3_600_000, 31_622_400_000
LIMIT, LIMIT_MAX = 10_000, 1_000_000
PAGE, PAGE_MAX = 100, 1_000
METRICS_MAX = 64
SILENCE_SECONDS = SILENCE_MAX // 1000
TEXT_MAX = 200


@dataclass(frozen=True, slots=True)
class Query:
    """Readings of ``device`` from ``since`` to before ``until`` (milliseconds), at most ``limit``
    rows; all metrics when none is named; ``step`` milliseconds, 0 for every reading; those that
    are marked as unsound are left out unless ``unsound``."""

    device: str
    metrics: tuple[str, ...]
    since: int
    until: int
    step: int
    limit: int
    unsound: bool = False

    @property
    def shown(self) -> tuple[int, int]:
        """The span that an answer tells of: the store answers in whole steps."""
        if not self.step:
            return self.since, self.until
        return self.since - self.since % self.step, self.until + -self.until % self.step


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A member of the network that reports here; ``seen`` milliseconds, 0 for never; ``quality``
    0 to 1; ``marked`` says what it was caught at."""

    id: str
    kind: str
    owner: str
    did: str
    seen: int
    quality: float
    metrics: tuple[str, ...] = ()
    marked: str = ""


class Devices(Protocol):
    """Who reports here."""

    def devices(self, account: Address | None, *, after: str, limit: int) -> Sequence[DeviceView]:
        """What ``account`` may read (None: everything), by id, from the one after ``after``."""


class Reads(Protocol):
    """What was measured: the store."""

    def query(
        self,
        devices: Sequence[str],
        metrics: Sequence[str],
        *,
        since: int,
        until: int,
        step: int | None,
        unsound: bool,
        most: int,
    ) -> Iterator[Answer]:
        """The rows, some at a time."""


class Alerts(Protocol):
    """The desk where findings become alerts."""

    def list(
        self, *, state: State | None, subject: str | None, before: int | None, limit: int
    ) -> Sequence[Alert]:
        """Alerts, newest first, with an id below ``before``."""

    def history(self, alert: int) -> Sequence[News]:
        """What happened to an alert; NotFoundError."""

    def acknowledge(self, alert: int, *, by: str) -> Alert:
        """Somebody has seen it; NotFoundError, ConflictError."""

    def silence(
        self, *, until: int, by: str, reason: str, subject: str, kind: str, metric: str
    ) -> Silence:
        """Tell nothing that matches for a while."""


class Letters(Protocol):
    """Takes signed letters of one kind: hellos of nodes, or receipts of agents.

    It checks who signed before it does anything else.
    """

    def take(self, letter: bytes) -> Mapping[str, object]:
        """The answer in JSON; a FreeholdError."""


class Evidence(Protocol):
    """What pay was reckoned from; all but the batches is for everybody."""

    def epochs(self) -> Sequence[int]:
        """The epochs of which there is something, in order."""

    def epoch(self, number: int) -> Mapping[str, object]:
        """The statement of an epoch; NotFoundError."""

    def leaves(self, number: int) -> Iterator[bytes]:
        """The leaves of its root in JSON; NotFoundError."""

    def batches(
        self, number: int, device: str, *, since: int = 0, until: int = TIME_MAX + 1
    ) -> Iterator[bytes]:
        """The batches of a device that counted and were sealed from ``since`` to before ``until``
        (milliseconds), as they came, each after its length (4 bytes, little-endian);
        NotFoundError."""

    def sign(self, number: int, letter: bytes) -> Mapping[str, object]:
        """Take a watcher's signature under the statement of an epoch; the answer in JSON.

        It checks who signed before it keeps anything.
        """


def ask(reads: Reads, query: Query) -> Iterator[Answer]:
    """The answer of the store."""
    return reads.query(
        (query.device,), query.metrics, since=query.since, until=query.until,
        step=query.step or None, unsound=query.unsound, most=query.limit,
    )  # fmt: skip


def query_of(device: str, given: Mapping[str, str], *, now: int) -> Query:
    """The query in the parameters of a request; UsageError or MalformedError."""
    until = number(given, "until", now + 1, TIME_MAX)
    since = number(given, "since", max(0, until - HOUR), TIME_MAX)
    _check_span(since, until)
    metrics = tuple(name for name in given.get("metrics", "").split(",") if name)
    if len(metrics) > METRICS_MAX:
        raise UsageError(f"{len(metrics)} metrics", remedy=f"Name at most {METRICS_MAX}.")
    for name in metrics:
        limits(name)
    step = number(given, "step", 0, YEAR)
    limit = number(given, "limit", LIMIT, LIMIT_MAX)
    unsound = given.get("unsound") == "1"
    return Query(device, metrics, since, until, step, limit, unsound)


def number(given: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A whole number from 0 to ``most`` of a request; UsageError."""
    text = given.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and int(text) <= most):
        raise UsageError(
            f"{name} is no whole number from 0 to {most:,}", remedy=f"Correct {name}, or leave it."
        )
    return int(text)


def span(given: Mapping[str, str]) -> tuple[int, int]:
    """``since`` and ``until`` of a request, all time where it names none; UsageError."""
    since = number(given, "since", 0, TIME_MAX)
    until = number(given, "until", TIME_MAX + 1, TIME_MAX)
    _check_span(since, until)
    return since, until


def _check_span(since: int, until: int) -> None:
    if since >= until:
        raise UsageError("since is not before until", remedy="Give milliseconds since 1970.")


def csv(answers: Iterator[Answer]) -> Iterator[bytes]:
    """The rows as CSV (RFC 4180), with the names of the columns first; empty where nothing is
    known. No id of a device and no name of a metric needs quotes."""
    columns: tuple[str, ...] = ()
    for answer in answers:
        if not columns:
            columns = answer.columns
            yield ",".join(columns).encode() + b"\r\n"
        yield "".join(",".join(map(_cell, row)) + "\r\n" for row in answer.rows).encode()


def as_json(query: Query, answers: Iterator[Answer]) -> Iterator[bytes]:
    """The rows as one JSON object, a list for each; ``complete`` is False where the limit cut."""
    head = {"device": query.device, "since": query.since, "until": query.until}
    columns: tuple[str, ...] = ()
    more = False
    for answer in answers:
        text = ",".join(json.dumps([_plain(cell) for cell in row]) for row in answer.rows)
        if not columns:
            columns = answer.columns
            yield json.dumps(head | {"columns": columns})[:-1].encode() + b', "rows": ['
            yield text.encode()
        elif text:
            yield b"," + text.encode()
        more = answer.more
    if not columns:
        yield json.dumps(head | {"columns": []})[:-1].encode() + b', "rows": ['
    yield f'], "complete": {json.dumps(not more)}}}'.encode()


def _plain(cell: Value) -> Value:
    """What JSON can say."""
    return None if isinstance(cell, float) and not isfinite(cell) else cell


def _cell(cell: Value) -> str:
    return "" if _plain(cell) is None else str(cell)


def alert_fields(alert: Alert) -> dict[str, object]:
    """An alert as JSON shows it."""
    return asdict(alert) | {"severity": alert.severity.name.lower()}
