"""What a command prints: tables and bars for people, one JSON document for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freehold.domain.errors import CancelledError

if TYPE_CHECKING:
    from rich.console import Console

Advance = Callable[[int, int], None]
"""Told how many bytes of how many are done."""


@dataclass(frozen=True, slots=True)
class Screen:
    """Where a command's result goes; ``as_json`` silences everything meant for people."""

    as_json: bool

    def console(self, *, stderr: bool = False) -> Console:
        """A rich console on standard output, or on standard error for progress."""
        from rich.console import Console

        return Console(stderr=stderr, highlight=False, soft_wrap=not stderr)

    def say(self, text: str) -> None:
        """A line for people."""
        if not self.as_json:
            self.console().print(text)

    def emit(self, fields: object) -> None:
        """The one JSON document of a command, when programs asked for it."""
        if self.as_json:
            sys.stdout.write(json.dumps(fields, default=str) + "\n")

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table for people."""
        if self.as_json:
            return
        from rich.table import Table

        table = Table(title=title, title_justify="left", header_style="bold")
        for column in columns:
            table.add_column(column)
        for row in rows:
            table.add_row(*(str(cell) for cell in row))
        self.console().print(table)

    def facts(self, title: str, fields: Mapping[str, object]) -> None:
        """Names and values, one a line."""
        if self.as_json:
            return
        from rich.table import Table

        table = Table(title=title, title_justify="left", show_header=False)
        for name, value in fields.items():
            table.add_row(name, str(value))
        self.console().print(table)

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Advance]:
        """A progress bar in bytes on standard error; it yields how to move it."""
        if self.as_json or not sys.stderr.isatty():
            yield lambda _done, _total: None
            return
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        columns = (
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(),
            TransferSpeedColumn(), TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=self.console(stderr=True), transient=True) as bar:
            task = bar.add_task(label, total=total)
            yield lambda done, whole: bar.update(task, completed=done, total=whole)

    @contextmanager
    def waiting(self, label: str) -> Iterator[None]:
        """A spinner beside ``label`` while the body runs."""
        if self.as_json:
            yield
            return
        with self.console(stderr=True).status(label):
            yield

    @contextmanager
    def step(self, label: str) -> Iterator[None]:
        """A spinner beside ``label`` while the body runs, and a tick after it."""
        with self.waiting(label):
            yield
        self.say(f"[green]✓[/] {label}")


@contextmanager
def cancellable() -> Iterator[None]:
    """Turn Ctrl-C into a CancelledError, so that it exits with code 3."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise CancelledError(
            "stopped by you", remedy="Run the command again; what was begun is resumed."
        ) from stop
