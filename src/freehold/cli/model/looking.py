"""``model list`` and ``model stop``: the models that this machine serves."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.amounts import brief
from freehold.cli.home import find_home, open_home
from freehold.cli.model.folder import KEY, Running, folder_of, folders, running
from freehold.cli.model.wishes import written
from freehold.cli.options import HomeOption, JsonOption
from freehold.cli.processes import start_mark
from freehold.cli.screen import Screen, cancellable
from freehold.domain import money
from freehold.domain.errors import NotFoundError, UnavailableError

if TYPE_CHECKING:
    from freehold.cli.home import Home

PATIENCE = 25.0
"""Seconds in which a server answers what it was asked, and ends."""


def register(app: typer.Typer) -> None:
    """Put the commands on the noun."""
    app.command("list")(list_)
    app.command()(stop)


def list_(
    subnet: Annotated[
        str | None, typer.Argument(help="A competition, to list all of its nodes.")
    ] = None,
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the models of this machine, or the nodes of a competition."""
    if subnet is not None:
        from freehold.cli.subnet.looking import show

        show(subnet, home=home, as_json=as_json)
        return
    screen, target = Screen(as_json), find_home(home)
    rows = [_json(folder) for folder in folders(target)]
    screen.emit({"models": rows})
    columns = ("model", "subnet", "uid", "price", "process", "answers at")
    screen.table("models of this machine", columns, [_row(row) for row in rows])
    if not rows:
        screen.tell("None yet: [bold]freehold model serve my_model.py:answer[/] serves one.")


def stop(
    name: Annotated[str, typer.Argument(help="Name of the model on this machine.")],
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop serving a model; its node keeps its place, and earns nothing while it is silent."""
    screen, target = Screen(as_json), open_home(home)
    found = running(_known(target, name))
    if found is None:
        raise NotFoundError(
            f"{name} is not served", remedy="`freehold model list` shows what this machine serves."
        )
    with cancellable():
        _end(found, name)
    screen.emit({"name": name, "stopped": True})
    screen.say(f"[green]✓[/] {name} ended")


def _known(target: Home, name: str) -> Path:
    folder = folder_of(target, name)
    if folder not in folders(target):
        raise NotFoundError(
            f"this machine has no model {name!r}",
            remedy="`freehold model list` shows those that it has.",
        )
    return folder


def _end(found: Running, name: str) -> None:
    """End the server that wrote down that it is one, and no process of a later day."""
    os.kill(found.pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    while start_mark(found.pid) == found.started:
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"{name} (process {found.pid}) still answers what it was asked",
                remedy=f"Wait a little, or end it at once with `kill -9 {found.pid}`.",
            )
        time.sleep(0.05)


def _json(folder: Path) -> dict[str, object]:
    from freehold.cli.wallets import keystore_address

    told, runs = written(folder), running(folder)
    key = folder / KEY
    return {
        "name": folder.name,
        "node": keystore_address(key) if key.exists() else "",
        "subnet": told.get("subnet", ""),
        "uid": told.get("uid", ""),
        "price": money.parse(told.get("price", "0")),
        "model": told.get("model", ""),
        "pid": None if runs is None else runs.pid,
        "url": "" if runs is None else runs.url,
    }


def _row(row: dict[str, object]) -> tuple[object, ...]:
    price = row["price"]
    free = not isinstance(price, int) or not price
    process = "stopped" if row["pid"] is None else f"runs ({row['pid']})"
    return (
        row["name"], row["subnet"] or "alone", row["uid"],
        "free" if free else brief(int(str(price))), process, row["url"],
    )  # fmt: skip
