"""Messages that wait for their hooks, written in the transaction of what they tell."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from freehold.telemetry.alerts.alert import Alert, Event
from freehold.telemetry.alerts.book import Book
from freehold.telemetry.alerts.hooks import Hook
from freehold.telemetry.records import Cell

UNDELIVERED = "undelivered"
FAILED_KEPT = 1_000


@dataclass(frozen=True, slots=True)
class Message:
    """``body`` for ``hook``, sent ``tries`` times so far; ``tag`` is the same each time."""

    id: int
    hook: str
    tag: str
    body: str
    tries: int


class Outbox:
    """The messages in ``book``, at most ``most`` waiting for a hook; the rest is counted."""

    def __init__(self, book: Book, *, most: int) -> None:
        self._book = book
        self._most = most

    def put(
        self, alert: Alert, event: Event, now: int, *, hooks: Sequence[Hook], by: str, note: str
    ) -> None:
        """A message for each hook that wants to know; part of the caller's transaction."""
        for hook in hooks:
            # that a hook fails is not told to the hook that fails
            own = alert.kind == UNDELIVERED and alert.subject == hook.name
            if alert.severity >= hook.minimum and not own:
                self._add(hook.name, _body(alert, event, now, by=by, note=note), now)

    def _add(self, hook: str, body: str, now: int) -> None:
        waiting = "SELECT count(*) FROM outbox WHERE hook = ? AND failed = 0"
        if self._book.number(waiting, (hook,)) >= self._most:
            self._book.run(
                "INSERT INTO counts VALUES (?, 1) ON CONFLICT DO UPDATE SET number = number + 1",
                ("dropped messages",),
            )
            return
        tag = secrets.token_hex(16)
        self._book.run(
            "INSERT INTO outbox VALUES (NULL, ?, ?, ?, ?, ?, 0, 0)", (hook, tag, body, now, now)
        )

    def due(self, hook: str, now: int, *, limit: int) -> list[Message]:
        """What is to be sent to ``hook`` by ``now``: first what was tried least, then the oldest,
        so that a message which its receiver cannot take holds up no other."""
        rows = self._book.rows(
            "SELECT id, hook, tag, body, tries FROM outbox WHERE hook = ? AND failed = 0 "
            "AND due <= ? ORDER BY tries, id LIMIT ?",
            (hook, now, limit),
        )
        return [
            Message(_int(id), str(hook), str(tag), str(body), _int(tries))
            for id, hook, tag, body, tries in rows
        ]

    def delivered(self, message: Message) -> None:
        """It arrived."""
        self._book.run("DELETE FROM outbox WHERE id = ?", (message.id,))

    def postpone(self, message: Message, due: int) -> None:
        """It did not arrive; it and what else waits for its hook is tried again at ``due``."""
        with self._book.write():
            self._book.run("UPDATE outbox SET tries = tries + 1 WHERE id = ?", (message.id,))
            self._book.run(
                "UPDATE outbox SET due = max(due, ?) WHERE hook = ? AND failed = 0",
                (due, message.hook),
            )

    def give_up(self, hook: str, *, tries: int, before: int) -> int:
        """Try no more what was tried ``tries`` times or written before ``before``, how many these
        are; the last of them are kept to be looked at."""
        where = "hook = ? AND failed = 0 AND (tries >= ? OR made < ?)"
        with self._book.write():
            values = (hook, tries, before)
            count = self._book.number(f"SELECT count(*) FROM outbox WHERE {where}", values)  # noqa: S608
            self._book.run(f"UPDATE outbox SET failed = 1 WHERE {where}", values)  # noqa: S608
            self._book.run(
                "DELETE FROM outbox WHERE failed = 1 AND id <= (SELECT id FROM outbox "
                "WHERE failed = 1 ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (FAILED_KEPT,),
            )
        return count

    def forget(self, hooks: Sequence[str]) -> None:
        """Drop what waits for hooks other than these."""
        marks = ", ".join("?" * len(hooks))
        self._book.run(f"DELETE FROM outbox WHERE hook NOT IN ({marks})", hooks)  # noqa: S608

    def waiting(self) -> tuple[int, int]:
        """How many messages wait, and how many failed."""
        return (
            self._book.number("SELECT count(*) FROM outbox WHERE failed = 0"),
            self._book.number("SELECT count(*) FROM outbox WHERE failed = 1"),
        )


def _body(alert: Alert, event: Event, now: int, *, by: str, note: str) -> str:
    content = {
        "event": event, "told": now, "id": alert.id, "key": alert.key, "kind": alert.kind,
        "subject": alert.subject, "metric": alert.metric,
        "severity": alert.severity.name.lower(), "state": alert.state, "since": alert.since,
        "at": alert.at, "times": alert.times, "score": _finite(alert.score),
        "value": _finite(alert.value), "low": _finite(alert.low), "high": _finite(alert.high),
        "reason": alert.reason, "by": by, "note": note,
    }  # fmt: skip
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _int(cell: Cell) -> int:
    return cell if isinstance(cell, int) else 0
