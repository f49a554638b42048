"""Alerts on the terminal, at once: what the desk lets through, a line each."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from freehold.telemetry.alerts.alert import News
from freehold.telemetry.alerts.desk import Desk

WAIT = 2.0
_WORDS = {
    "open": "", "rise": "worse: ", "again": "again: ", "acknowledged": "acknowledged: ",
    "resolved": "over: ",
}  # fmt: skip


class Terminal:
    """Writes news of ``desk`` that come after its making; texts are printable, the desk sees to
    that."""

    def __init__(self, desk: Desk, *, write: Callable[[str], object] | None = None) -> None:
        self._desk = desk
        self._write = write or _out
        self._last = desk.latest()

    def step(self) -> None:
        """Write what is new, or what comes within two seconds."""
        for news in self._desk.watch(self._last, wait=WAIT):
            self._last = news.id
            self._write(line(news))


def line(news: News) -> str:
    """One line about what happened to an alert."""
    alert = news.alert
    clock = time.strftime("%H:%M:%S", time.localtime(news.at / 1000))
    what = f"{_WORDS[news.event]}{alert.kind} {alert.metric}".strip()
    severity = alert.severity.name.lower()
    return f"{clock} {severity:8} #{alert.id} {alert.subject} {what}: {alert.reason}"


def _out(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
