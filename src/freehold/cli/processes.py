"""Processes that this home started: each has a record, so that only they are ever ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from freehold.cli.home import Home
from freehold.domain.errors import UnavailableError
from freehold.domain.files import write_whole

_POLL = 0.05


@dataclass(frozen=True, slots=True)
class Child:
    """A process by name; ``started`` tells it from a later process with the same id."""

    name: str
    pid: int
    started: str

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return start_mark(self.pid) == self.started


def start_mark(pid: int) -> str | None:
    """A text that differs between processes that had the same id; None when none runs."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _mark_by_ps(pid)
    # While other threads of a killed process still end, it holds its files and their locks.
    return None if fields[0] == "Z" and int(fields[17]) <= 1 else fields[19]


def _mark_by_ps(pid: int) -> str | None:
    shown = subprocess.run(  # noqa: S603
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip() or None


def start(
    home: Home, name: str, arguments: Sequence[str], *, environment: Mapping[str, str] | None = None
) -> Child:
    """Start ``python -m <arguments>`` in a group of its own, so that Ctrl-C here spares it.

    Its output goes to the log of ``name``.
    """
    home.logs.mkdir(parents=True, exist_ok=True)
    home.run.mkdir(parents=True, exist_ok=True)
    log = str(home.logs / f"{name}.log")
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", *arguments],
        {**os.environ, **(environment or {})},
        setpgroup=0,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )
    return keep(home, name, pid)


def keep(home: Home, name: str, pid: int) -> Child:
    """Write down that the running process ``pid`` is this home's ``name``."""
    forget_stop(home, name)
    child = Child(name, pid, start_mark(pid) or "")
    record = {"pid": child.pid, "started": child.started}
    write_whole(home.run / f"{name}.json", json.dumps(record).encode())
    return child


def find(home: Home, name: str) -> Child | None:
    """The running process of that name, if this home started one."""
    try:
        record = json.loads((home.run / f"{name}.json").read_text())
        child = Child(name, int(record["pid"]), str(record["started"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return child if child.alive() else None


def note_stop(home: Home, name: str, why: str) -> None:
    """Write down that ``name`` was stopped on purpose, until it starts again."""
    home.run.mkdir(parents=True, exist_ok=True)
    write_whole(home.run / f"{name}.stopped", why.encode())


def forget_stop(home: Home, name: str) -> None:
    """Strike out that ``name`` was stopped, now that it starts again."""
    (home.run / f"{name}.stopped").unlink(missing_ok=True)


def why_stopped(home: Home, name: str) -> str:
    """Why ``name`` was stopped on purpose; empty when nobody did."""
    return _note(home.run / f"{name}.stopped")


def note_killed(home: Home, name: str, why: str) -> None:
    """Write down that ``name`` was killed on purpose, and may fail for it even if it runs again."""
    note_stop(home, name, why)
    write_whole(home.run / f"{name}.killed", why.encode())


def why_killed(home: Home, name: str) -> str:
    """Why ``name`` was ever killed on purpose; empty when nobody did."""
    return _note(home.run / f"{name}.killed")


def _note(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def running(home: Home) -> list[Child]:
    """All processes that this home started and that still run."""
    names = sorted(path.stem for path in home.run.glob("*.json")) if home.run.is_dir() else []
    return [child for name in names if (child := find(home, name)) is not None]


def stop(child: Child, *, patience: float = 20.0) -> None:
    """End a process: ask first, insist after ``patience`` seconds."""
    stop_all([child], patience=patience)


def stop_all(children: Sequence[Child], *, patience: float = 20.0) -> None:
    """End processes together: all are asked before any is waited for."""
    for child in children:
        _signal(child, signal.SIGTERM)
    for child in children:
        if not _gone(child, patience):
            kill(child)


def kill(child: Child) -> None:
    """End a process at once, as a power cut would."""
    _signal(child, signal.SIGKILL)
    _gone(child, 5.0)


def _signal(child: Child, number: signal.Signals) -> None:
    if child.alive():
        try:
            os.kill(child.pid, number)
        except ProcessLookupError:
            return


def _gone(child: Child, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while child.alive():
        _reap(child.pid)
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def wait_until(
    ready: Callable[[], bool], *, child: Child, home: Home, patience: float = 180.0
) -> None:
    """Wait for ``ready``; UnavailableError with the log's last lines when it never comes."""
    deadline = time.monotonic() + patience
    while not ready():
        if not child.alive():
            raise _failed(home, child, "ended while it started")
        if time.monotonic() > deadline:
            raise _failed(home, child, f"was not ready after {patience:.0f} s")
        time.sleep(_POLL)


def _failed(home: Home, child: Child, what: str) -> UnavailableError:
    log = home.logs / f"{child.name}.log"
    tail = log.read_text(errors="replace").strip().splitlines()[-5:] if log.exists() else []
    return UnavailableError(
        f"{child.name} {what}:\n    " + "\n    ".join(tail),
        remedy=f"Read {log}, mend what it says, and start again.",
    )
