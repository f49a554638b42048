"""``device run``: this machine's device in the foreground, as a service manager wants it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from freehold.cli.device.folder import NameArgument, folder_of
from freehold.cli.device.service import UNHEARD, with_service
from freehold.cli.home import open_home
from freehold.cli.options import HomeOption, JsonOption
from freehold.cli.screen import Screen
from freehold.node.agent.settings import load

if TYPE_CHECKING:
    from freehold.node.agent.agent import Progress


def register(app: typer.Typer) -> None:
    """Put the command on the noun."""
    app.command()(run)


def run(name: NameArgument, *, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Run a device of this machine until it is told to end: read, sign, send, obey.

    It also ends, with an error, once its owner has retired it.
    """
    from freehold.node.agent.__main__ import Teller, serve

    screen, folder = Screen(as_json), folder_of(open_home(home), name)
    if not with_service(home, folder, load(folder)).services:
        screen.tell(f"[yellow]{UNHEARD}[/]")
    last: list[Progress] = []
    plain, shown = Teller(), sys.stderr.isatty() and not as_json

    def report(progress: Progress) -> None:
        last[:] = [progress]
        if shown:
            sys.stderr.write(f"\r\x1b[K{name}: {progress.line()}")
            sys.stderr.flush()
        else:
            plain.tell(progress)

    try:
        serve(folder, report=report)
    finally:
        if shown:
            sys.stderr.write("\n")
    for progress in last:
        screen.emit(
            {"device": name, "boot": progress.boot, "sent": progress.sent,
             "buffered": progress.buffered, "lost": progress.lost, "refused": progress.refused,
             "error": progress.error}
        )  # fmt: skip
        screen.say(f"[green]✓[/] {name} ended: {progress.line()}")
