"""Alerts on the terminal: a line each, for people or for programs."""

from __future__ import annotations

import json
from pathlib import Path

from freehold.node.telemetry.terminal import Terminal
from freehold.telemetry.alerts.desk import Desk
from freehold.telemetry.findings import Finding, Severity

NOW = 1_800_000_000_000
FINDING = Finding("k", "stuck", "0xA", "roof.temperature", NOW, NOW, Severity.WARNING, 0.9, "why")


def told(folder: Path, *, as_json: bool) -> list[str]:
    """The lines that one finding makes."""
    desk = Desk(folder / "alerts.sqlite", clock=lambda: NOW)
    lines: list[str] = []
    try:
        terminal = Terminal(desk, as_json=as_json, write=lines.append)
        desk.tell([FINDING])
        terminal.step()
    finally:
        desk.close()
    return lines


def test_people_read_a_line(tmp_path: Path) -> None:
    (line,) = told(tmp_path, as_json=False)
    assert "warning" in line
    assert "0xA stuck roof.temperature: why" in line


def test_programs_read_an_object(tmp_path: Path) -> None:
    (line,) = told(tmp_path, as_json=True)
    found = json.loads(line)
    assert (found["event"], found["at"]) == ("open", NOW)
    assert (found["alert"]["kind"], found["alert"]["severity"]) == ("stuck", "warning")
