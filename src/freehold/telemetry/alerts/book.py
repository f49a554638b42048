"""The desk's SQLite file: one transaction holds an alert, its news and the messages about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from freehold.telemetry.records import Cell, Form, Records

VERSION = 1
_SCHEMA = """
CREATE TABLE alerts (
  id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, kind TEXT NOT NULL,
  subject TEXT NOT NULL, metric TEXT NOT NULL, severity INTEGER NOT NULL, state TEXT NOT NULL,
  since INTEGER NOT NULL, at INTEGER NOT NULL, heard INTEGER NOT NULL, score REAL,
  reason TEXT NOT NULL, value REAL, low REAL, high REAL, times INTEGER NOT NULL,
  told INTEGER NOT NULL
) STRICT;
CREATE INDEX alerts_by_what ON alerts (subject, kind, metric, id);
CREATE INDEX alerts_by_state ON alerts (state, heard);
CREATE TABLE keys (
  id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, alert INTEGER NOT NULL,
  at INTEGER NOT NULL
) STRICT;
CREATE INDEX keys_by_alert ON keys (alert, id);
CREATE TABLE moves (
  id INTEGER PRIMARY KEY AUTOINCREMENT, alert INTEGER NOT NULL, at INTEGER NOT NULL,
  event TEXT NOT NULL, by TEXT NOT NULL, note TEXT NOT NULL, silenced INTEGER NOT NULL
) STRICT;
CREATE INDEX moves_by_alert ON moves (alert, id);
CREATE TABLE silences (
  id INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL, kind TEXT NOT NULL,
  metric TEXT NOT NULL, until INTEGER NOT NULL, by TEXT NOT NULL, reason TEXT NOT NULL
) STRICT;
CREATE TABLE outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT, hook TEXT NOT NULL, tag TEXT NOT NULL, body TEXT NOT NULL,
  made INTEGER NOT NULL, due INTEGER NOT NULL, tries INTEGER NOT NULL, failed INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_by_hook ON outbox (hook, failed, tries, id);
CREATE TABLE counts (name TEXT PRIMARY KEY, number INTEGER NOT NULL) STRICT;
"""
_FORM = Form(
    version=VERSION,
    schema=_SCHEMA.split(";"),
    full="Free space on the disk; findings are told again.",
    busy="Check the disk; if another process uses this file, stop it.",
    damaged="Move it away; alerts begin anew.",
    shared=True,
)


class Book(Records):
    """The file ``path``."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _FORM)

    def number(self, query: str, values: Sequence[Cell] = ()) -> int:
        """The first cell of a query; 0 when there is none."""
        found = self.rows(query, values)
        cell = found[0][0] if found else 0
        return cell if isinstance(cell, int) else 0
