"""Alerts on the terminal, at once: what the desk lets through, a line each."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

from freehold.node.telemetry.views import alert_fields
from freehold.telemetry.alerts.alert import News
from freehold.telemetry.alerts.desk import Desk

WAIT = 2.0
_WORDS = {
    "open": "", "rise": "worse: ", "again": "again: ", "acknowledged": "acknowledged: ",
    "resolved": "over: ",
}  # fmt: skip


class Terminal:
    """Writes news of ``desk`` that come after its making, in words or as JSON; texts are printable,
    the desk sees to that."""

    def __init__(
        self, desk: Desk, *, as_json: bool = False, write: Callable[[str], object] | None = None
    ) -> None:
        self._desk = desk
        self._line = line_of_json if as_json else line
        self._write = write or _out
        self._last = desk.latest()

    def step(self) -> None:
        """Write what is new, or what comes within two seconds."""
        for news in self._desk.watch(self._last, wait=WAIT):
            self._last = news.id
            self._write(self._line(news))


def line(news: News) -> str:
    """One line about what happened to an alert."""
    alert = news.alert
    clock = time.strftime("%H:%M:%S", time.localtime(news.at / 1000))
    what = f"{_WORDS[news.event]}{alert.kind} {alert.metric}".strip()
    severity = alert.severity.name.lower()
    return f"{clock} {severity:8} #{alert.id} {alert.subject} {what}: {alert.reason}"


def line_of_json(news: News) -> str:
    """The same for programs."""
    return json.dumps({"event": news.event, "at": news.at, "alert": alert_fields(news.alert)})


def _out(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
