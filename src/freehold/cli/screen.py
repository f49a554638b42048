"""What a command prints: tables and bars for people, one JSON document for programs."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from freehold.domain.errors import CancelledError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Advance = Callable[[int, int], None]
"""Told how many bytes of how many are done."""

_PIPED_WIDTH = 250
_NUMBER = re.compile(r"[0-9][0-9,.]*( [a-z]+)?")


@dataclass(frozen=True, slots=True)
class Screen:
    """Where a command's result goes; ``as_json`` silences everything meant for people."""

    as_json: bool
    _spinners: list[Console] = field(default_factory=list, repr=False, compare=False)

    def console(self, *, stderr: bool = False) -> Console:
        """A rich console on standard output, or on standard error for progress.

        Where nobody looks, as in a pipe, lines are as long as they need to be.
        """
        from rich.console import Console

        seen = (sys.stderr if stderr else sys.stdout).isatty() or "COLUMNS" in os.environ
        # no emoji: rich would draw a key for the middle of did:key:z6Mk…
        return Console(
            stderr=stderr, highlight=False, emoji=False, width=None if seen else _PIPED_WIDTH
        )

    def say(self, text: str) -> None:
        """A line for people, never broken: what it names can be copied."""
        self._print(text, whole=True)

    def tell(self, text: str) -> None:
        """A sentence for people, broken between words where the terminal ends."""
        self._print(text, whole=False)

    def plain(self, text: str) -> None:
        """Lines for people to copy, as they are: brackets in them are no colours."""
        if not self.as_json:
            sys.stdout.write(text + "\n")

    def _print(self, text: str, *, whole: bool) -> None:
        if self.as_json:
            return
        beside = self._spinners and sys.stdout.isatty()
        (self._spinners[-1] if beside else self.console()).print(text, soft_wrap=whole)

    def emit(self, fields: object) -> None:
        """The one JSON document of a command, when programs asked for it."""
        if self.as_json:
            sys.stdout.write(json.dumps(fields, default=str) + "\n")

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table for people."""
        if self.as_json:
            return
        from rich.table import Table

        table = Table(header_style="bold")
        cells = [[str(cell) for cell in row] for row in rows]
        for place, column in enumerate(columns):
            numbers = bool(cells) and all(_NUMBER.fullmatch(row[place]) for row in cells)
            table.add_column(column, justify="right" if numbers else "left", overflow="fold")
        for row in cells:
            table.add_row(*row)
        self._print_under(title, table)

    def facts(self, title: str, fields: Mapping[str, object]) -> None:
        """Names and values, one a line."""
        if self.as_json:
            return
        from rich.table import Table

        table = Table(show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in fields.items():
            table.add_row(name, str(value))
        self._print_under(title, table)

    def _print_under(self, title: str, table: Table) -> None:
        console = self.console()
        console.print(f"[bold]{title}[/]", soft_wrap=True)
        if table.row_count:
            console.print(table)

    def confirm(self, question: str, *, yes: bool) -> None:
        """Go on only if the user agrees; CancelledError otherwise. Programs are not asked."""
        import typer

        try:
            agreed = yes or self.as_json or typer.confirm(question)
        except typer.Abort:
            sys.stderr.write("\n")  # the error has a line of its own
            agreed = False
        if not agreed:
            raise CancelledError(
                "nothing was done", remedy="Run it again and answer y, or give --yes."
            )

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
    def waiting(self, label: str) -> Iterator[Callable[[str], None]]:
        """A spinner beside ``label`` while the body runs; it yields how to change the label."""
        if self.as_json:
            yield lambda _label: None
            return
        console = self.console(stderr=True)
        with console.status(label) as status:
            self._spinners.append(console)
            try:
                yield status.update
            finally:
                self._spinners.remove(console)

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
