"""The desk: findings come in, alerts come out, once each.

Telling a finding twice changes nothing, so workers may run their log again after a crash. An
alert is *open*, then perhaps *acknowledged*, and *resolved* when nothing is heard of it for a
while; what comes back within the flapping window is the same alert again. Each change is recorded
and, unless a silence covers it, told: to ``watch`` and, in the same transaction, to the outbox of
each hook.

Threats: a flood of findings (the open ones, incidents, news and messages are bounded, the rest is
counted; information cannot crowd out what is critical); texts from devices that would steer a
terminal (only printable characters are kept); a silence without end (seven days at most).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias, cast

from freehold.domain.closing import Closing
from freehold.domain.errors import CapacityError, ConflictError, NotFoundError, UsageError
from freehold.telemetry.alerts.alert import (
    SILENCE_MAX,
    Alert,
    Event,
    News,
    Rules,
    Silence,
    State,
)
from freehold.telemetry.alerts.book import Book
from freehold.telemetry.alerts.hooks import Hook
from freehold.telemetry.alerts.outbox import Outbox
from freehold.telemetry.findings import Finding, Severity
from freehold.telemetry.records import Cell

Clock = Callable[[], int]
"""Milliseconds since 1970."""
_ALERT = (
    "a.id, a.key, a.kind, a.subject, a.metric, a.severity, a.state, a.since, a.at, a.heard, "
    "a.score, a.reason, a.value, a.low, a.high, a.times, a.told"
)
_BY_ID = f"SELECT {_ALERT} FROM alerts a WHERE a.id = ?"  # noqa: S608 - constant
_BY_WHAT = f"""SELECT {_ALERT} FROM alerts a WHERE subject = ? AND kind = ? AND metric = ?
ORDER BY id DESC LIMIT 1"""  # noqa: S608 - constant
_LIST = f"""SELECT {_ALERT} FROM alerts a WHERE (?1 IS NULL OR state = ?1)
AND (?2 IS NULL OR subject = ?2) AND severity >= ?3 AND (?4 IS NULL OR id < ?4)
ORDER BY id DESC LIMIT ?5"""  # noqa: S608 - constant
_QUIET = f"""SELECT {_ALERT} FROM alerts a WHERE state != 'resolved'
AND heard + ?1 * min(times, ?2) <= ?3 ORDER BY id LIMIT 10000"""  # noqa: S608 - constant
_NEWS = f"""SELECT m.id, m.at, m.event, m.by, m.note, m.silenced, {_ALERT}
FROM moves m JOIN alerts a ON a.id = m.alert WHERE m.id > ? AND m.silenced <= ?
ORDER BY m.id LIMIT ?"""  # noqa: S608 - constant
_UNTOLD = f"""SELECT {_ALERT} FROM alerts a WHERE state != 'resolved' AND told = 0
ORDER BY id LIMIT 10000"""  # noqa: S608 - constant
_SHARE = {Severity.INFO: 2, Severity.WARNING: 3, Severity.CRITICAL: 4}
"""Quarters of the room for open alerts that a severity may fill."""
AlertList: TypeAlias = list[Alert]
NewsList: TypeAlias = list[News]
SilenceList: TypeAlias = list[Silence]
Rows: TypeAlias = list[tuple[Cell, ...]]
TEXT_MAX, NAME_MAX, LIST_MAX = 500, 200, 10_000


class Desk(Closing):
    """The alerts in the file ``path``; every method from any thread, durable on return.

    ``hooks`` says who is told, and ``clock`` what time it is (ms).
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        rules: Rules | None = None,
        hooks: Callable[[], Sequence[Hook]] = tuple,
    ) -> None:
        self._rules = rules or Rules()
        self._clock = clock
        self._hooks = hooks
        self._book = Book(path)
        self._changed = threading.Condition()
        self.outbox = Outbox(self._book, most=self._rules.outbox)

    def close(self) -> None:
        """Close the file and wake who waits."""
        self._book.close()
        self._wake()

    # --- findings ----------------------------------------------------------------------------

    def tell(self, findings: Sequence[Finding]) -> None:
        """Take note of findings; those that are known change nothing."""
        now = self._clock()
        with self._book.write():
            self._resolve_quiet(now)
            opened = self._opened()
            silences = self._silences(now)
            for finding in map(_clean, findings):
                self._take(finding, now, opened, silences)
            self._trim_keys()
        self._wake()

    def _take(
        self, finding: Finding, now: int, opened: Counter[str], silences: Sequence[Silence]
    ) -> None:
        known = self._book.rows("SELECT alert, at FROM keys WHERE key = ?", (finding.key,))
        if known:
            alert = self._alert(_int(known[0][0]))
            if finding.at > _int(known[0][1]) or finding.severity > alert.severity:
                self._book.run("UPDATE keys SET at = ? WHERE key = ?", (finding.at, finding.key))
                self._update(alert, finding, alert.times, now, opened, silences)
            return
        last = self._book.rows(_BY_WHAT, (finding.subject, finding.kind, finding.metric))
        before = _alert(last[0]) if last else None
        if before is not None and (
            before.state != "resolved" or finding.since - before.at <= self._rules.flapping
        ):
            self._update(before, finding, before.times + 1, now, opened, silences)
            self._remember(finding, before.id)
        elif self._room(finding, opened):
            self._open(finding, now, opened, silences)

    def _room(self, finding: Finding, opened: Counter[str]) -> bool:
        share = _SHARE[finding.severity]
        if (
            opened[finding.subject] * 4 < self._rules.each * share
            and opened.total() * 4 < self._rules.open * share
        ):
            return True
        self._book.run(
            "INSERT INTO counts VALUES (?, 1) ON CONFLICT DO UPDATE SET number = number + 1",
            (f"dropped {finding.severity.name.lower()}",),
        )
        return False

    def _open(
        self, finding: Finding, now: int, opened: Counter[str], silences: Sequence[Silence]
    ) -> None:
        silenced = _covered(finding, silences)
        alert = Alert(
            0, finding.key, finding.kind, finding.subject, finding.metric, finding.severity,
            "open", finding.since, finding.at, now, finding.score, finding.reason, finding.value,
            finding.low, finding.high, 1, not silenced,
        )  # fmt: skip
        made = self._book.insert(
            "INSERT INTO alerts VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            _cells(alert)[1:],
        )
        alert = replace(alert, id=made)
        opened[finding.subject] += 1
        self._remember(finding, made)
        self._record(alert, "open", now, note=finding.reason, silenced=silenced)

    def _update(
        self,
        alert: Alert,
        finding: Finding,
        times: int,
        now: int,
        opened: Counter[str],
        silences: Sequence[Silence],
    ) -> None:
        """News of an alert: what it says grows, and it is told where it got worse, or was held
        back before."""
        silenced = _covered(finding, silences)
        rises = finding.severity > alert.severity
        back = alert.state == "resolved"
        opened[alert.subject] += back
        after = replace(
            alert, severity=max(alert.severity, finding.severity), at=max(alert.at, finding.at),
            state="open" if back or rises else alert.state, heard=now, score=finding.score,
            reason=finding.reason, value=finding.value, low=finding.low, high=finding.high,
            times=times, told=not silenced or (alert.told and not rises),
        )  # fmt: skip
        self._save(after)
        if rises or (after.told and not alert.told):
            self._record(after, "rise", now, note=finding.reason, silenced=silenced)
        elif back:
            self._record(after, "again", now, note=_often(times), silenced=silenced)

    def _remember(self, finding: Finding, alert: int) -> None:
        self._book.run("INSERT INTO keys VALUES (NULL, ?, ?, ?)", (finding.key, alert, finding.at))
        self._book.run(
            "DELETE FROM keys WHERE alert = ?1 AND id <= "
            "(SELECT id FROM keys WHERE alert = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
            (alert, self._rules.incidents),
        )

    def _trim_keys(self) -> None:
        self._book.run(
            "DELETE FROM keys WHERE id <= (SELECT id FROM keys ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (self._rules.keys,),
        )

    # --- people ------------------------------------------------------------------------------

    def acknowledge(self, alert: int, *, by: str, note: str = "") -> Alert:
        """Note that ``by`` looks after it; NotFoundError, or ConflictError once resolved."""
        return self._move(alert, "acknowledged", by=by, note=note)

    def resolve(self, alert: int, *, by: str, note: str = "") -> Alert:
        """Note that it is over; NotFoundError, or ConflictError once resolved."""
        return self._move(alert, "resolved", by=by, note=note)

    def _move(self, number: int, state: State, *, by: str, note: str) -> Alert:
        now = self._clock()
        with self._book.write():
            before = self._alert(number)
            if before.state == "resolved":
                raise ConflictError(
                    f"alert {number} is resolved", remedy="Look at the list of open alerts."
                )
            alert = replace(before, state=state)
            self._save(alert)
            self._record(
                alert,
                cast(Event, state),
                now,
                by=_words(by),
                note=_words(note),
                silenced=not alert.told,
            )
        self._wake()
        return alert

    def silence(
        self,
        *,
        until: int,
        by: str,
        reason: str,
        subject: str = "*",
        kind: str = "*",
        metric: str = "*",
    ) -> Silence:
        """Hold back alerts that match all patterns until ``until`` (ms), seven days at most; they
        are recorded all the same. CapacityError when there are too many silences."""
        now = self._clock()
        if not now < until <= now + SILENCE_MAX:
            raise UsageError("a silence ends within 7 days", remedy="Give an earlier end.")
        if not by or not reason or max(map(len, (subject, kind, metric))) > NAME_MAX:
            raise UsageError("a silence says who and why", remedy="Give both, and short patterns.")
        cells = (subject, kind, metric, until, _words(by), _words(reason))
        with self._book.write():
            self._book.run("DELETE FROM silences WHERE until <= ?", (now,))
            if self._book.number("SELECT count(*) FROM silences") >= self._rules.silences:
                raise CapacityError(
                    f"there are {self._rules.silences:,} silences", remedy="Lift some first."
                )
            made = self._book.insert("INSERT INTO silences VALUES (NULL, ?, ?, ?, ?, ?, ?)", cells)
        return Silence(made, *cells)

    def lift(self, silence: int) -> None:
        """End a silence now."""
        self._book.run("DELETE FROM silences WHERE id = ?", (silence,))

    def silences(self) -> SilenceList:
        """Those that hold now."""
        return self._silences(self._clock())

    # --- looking -----------------------------------------------------------------------------

    def list(
        self,
        *,
        state: State | None = None,
        subject: str | None = None,
        minimum: Severity = Severity.INFO,
        before: int | None = None,
        limit: int = 100,
    ) -> AlertList:
        """Alerts, newest first, those with an id below ``before`` where that is given."""
        cells = (state, subject, int(minimum), before, max(0, min(limit, LIST_MAX)))
        return [_alert(row) for row in self._book.rows(_LIST, cells)]

    def history(self, alert: int) -> NewsList:
        """What happened to one alert, the latest ``moves`` of it, oldest first."""
        self._alert(alert)
        rows = self._book.rows(_NEWS.replace("m.id > ?", "m.alert = ?"), (alert, 1, LIST_MAX))
        return [_news(row) for row in rows]

    def watch(
        self, since: int, *, wait: float = 0.0, silenced: bool = False, limit: int = 1000
    ) -> NewsList:
        """News with an id above ``since``, oldest first, at once; where there is none, the first
        that comes within ``wait`` seconds (60 at most). ``latest`` is where to begin."""
        cells = (since, int(silenced), max(1, min(limit, LIST_MAX)))

        def found() -> Rows:
            return self._book.rows(_NEWS, cells)

        with self._changed:
            rows = self._changed.wait_for(found, min(max(wait, 0.0), 60.0)) or []
        return [_news(row) for row in rows]

    def latest(self) -> int:
        """The id of the latest news."""
        return self._book.number("SELECT max(id) FROM moves")

    def dropped(self) -> dict[str, int]:
        """How many findings and messages had no room, by what they were."""
        rows = self._book.rows("SELECT name, number FROM counts ORDER BY name LIMIT 100")
        return {str(name): _int(number) for name, number in rows}

    # --- chores ------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Resolve what is quiet and forget what is old; call it every few seconds."""
        now = self._clock()
        with self._book.write():
            self._resolve_quiet(now)
            self._tell_late(now)
            last = self._book.number(
                "SELECT id FROM alerts WHERE state = 'resolved' ORDER BY id DESC LIMIT 1 OFFSET ?",
                (self._rules.alerts,),
            )
            gone = "SELECT id FROM alerts WHERE state = 'resolved' AND (heard < ? OR id <= ?)"
            values = (now - self._rules.kept, last)
            for table in ("keys", "moves"):
                self._book.run(f"DELETE FROM {table} WHERE alert IN ({gone})", values)  # noqa: S608
            self._book.run(f"DELETE FROM alerts WHERE id IN ({gone})", values)  # noqa: S608
            self._book.run("DELETE FROM silences WHERE until <= ?", (now,))
        self._wake()

    def _resolve_quiet(self, now: int) -> None:
        rules = self._rules
        for row in self._book.rows(_QUIET, (rules.quiet, rules.patience, now)):
            alert = replace(_alert(row), state="resolved")
            self._save(alert)
            self._record(alert, "resolved", now, note="quiet", silenced=not alert.told)

    def _tell_late(self, now: int) -> None:
        """Let through what a silence held back that has ended."""
        silences = self._silences(now)
        for alert in map(_alert, self._book.rows(_UNTOLD)):
            if not any(s.covers(alert.subject, alert.kind, alert.metric) for s in silences):
                self._save(replace(alert, told=True))
                self._record(replace(alert, told=True), "open", now, note=alert.reason)

    def _record(
        self,
        alert: Alert,
        event: Event,
        now: int,
        *,
        by: str = "",
        note: str = "",
        silenced: bool = False,
    ) -> None:
        self._book.run(
            "INSERT INTO moves VALUES (NULL, ?, ?, ?, ?, ?, ?)",
            (alert.id, now, event, by, note, int(silenced)),
        )
        self._book.run(
            "DELETE FROM moves WHERE alert = ?1 AND id <= "
            "(SELECT id FROM moves WHERE alert = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
            (alert.id, self._rules.moves),
        )
        if not silenced and event != "again":
            self.outbox.put(alert, event, now, hooks=self._hooks(), by=by, note=note)

    def _save(self, alert: Alert) -> None:
        self._book.run(
            "UPDATE alerts SET severity = ?, state = ?, at = ?, heard = ?, score = ?, reason = ?, "
            "value = ?, low = ?, high = ?, times = ?, told = ? WHERE id = ?",
            (int(alert.severity), alert.state, *_cells(alert)[8:], alert.id),
        )

    def _alert(self, number: int) -> Alert:
        rows = self._book.rows(_BY_ID, (number,))
        if not rows:
            raise NotFoundError(f"there is no alert {number}", remedy="Look at the list of alerts.")
        return _alert(rows[0])

    def _opened(self) -> Counter[str]:
        rows = self._book.rows(
            "SELECT subject, count(*) FROM alerts WHERE state != 'resolved' GROUP BY subject"
        )
        return Counter({str(subject): _int(count) for subject, count in rows})

    def _silences(self, now: int) -> SilenceList:
        rows = self._book.rows("SELECT * FROM silences WHERE until > ? ORDER BY id", (now,))
        return [Silence(*cast("tuple[int, str, str, str, int, str, str]", row)) for row in rows]

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _covered(finding: Finding, silences: Sequence[Silence]) -> bool:
    return any(each.covers(finding.subject, finding.kind, finding.metric) for each in silences)


def _clean(finding: Finding) -> Finding:
    """The finding with short printable texts."""
    key = finding.key
    if len(key) > NAME_MAX:
        key = sha256(key.encode(errors="replace")).hexdigest()
    return replace(
        finding, key=key, kind=_words(finding.kind)[:NAME_MAX], reason=_words(finding.reason),
        subject=_words(finding.subject)[:NAME_MAX], metric=_words(finding.metric)[:NAME_MAX],
        severity=Severity(finding.severity),
    )  # fmt: skip


def _words(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text[:TEXT_MAX])


def _often(times: int) -> str:
    return f"{times} times so far"


def _int(cell: Cell) -> int:
    return cell if isinstance(cell, int) else 0


def _float(cell: Cell) -> float:
    return cell if isinstance(cell, float) else float("nan")


def _cells(alert: Alert) -> tuple[Cell, ...]:
    return (
        alert.id, alert.key, alert.kind, alert.subject, alert.metric, int(alert.severity),
        alert.state, alert.since, alert.at, alert.heard, float(alert.score), alert.reason,
        float(alert.value), float(alert.low), float(alert.high), alert.times, int(alert.told),
    )  # fmt: skip


def _alert(row: Sequence[Cell]) -> Alert:
    id, key, kind, subject, metric, severity, state, since, at, heard = row[:10]
    score, reason, value, low, high, times, told = row[10:]
    return Alert(
        _int(id), str(key), str(kind), str(subject), str(metric), Severity(_int(severity)),
        cast(State, state), _int(since), _int(at), _int(heard), _float(score), str(reason),
        _float(value), _float(low), _float(high), _int(times), bool(told),
    )  # fmt: skip


def _news(row: Sequence[Cell]) -> News:
    id, at, event, by, note, silenced = row[:6]
    return News(
        _int(id), _int(at), cast(Event, event), str(by), str(note), bool(silenced), _alert(row[6:])
    )
