"""``subnet new``, ``create`` and ``set``: a competition is written, opened, and changed."""

from __future__ import annotations

import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.amounts import brief
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption, YesOption
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_account
from freehold.cli.subnet.named import check_held, find, require_market, within
from freehold.domain import money
from freehold.domain.errors import ConflictError, UsageError

if TYPE_CHECKING:
    from freehold.cli.competition import Competition
    from freehold.cli.subnet.named import Found
    from freehold.ledger.ledger import Ledger

AHEAD = 2
"""Epochs from now in which rules can change at the earliest."""
FileArgument = Annotated[
    Path, typer.Argument(help="subnet.toml, or a folder with it, beside scorer.py.")
]
NameOption = Annotated[str, typer.Option("--name", help="A name other than the file's.")]
UriOption = Annotated[
    str | None, typer.Option("--uri", help="Where others find the folder, such as https://….")
]


def register(app: typer.Typer) -> None:
    """Put the commands on the noun."""
    app.command()(new)
    app.command()(create)
    app.command("set")(set_)


def new(
    template: Annotated[str, typer.Argument(help="image, text or forecast.")],
    folder: Annotated[
        Path | None, typer.Argument(help="Where to write it; default: ./TEMPLATE.")
    ] = None,
    *,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a competition that runs as it is: model, training, scorer, subnet.toml."""
    from freehold import templates

    del home
    screen, target = Screen(as_json), folder or Path(template)
    about = templates.describe(template)
    files = templates.write(template, target)
    screen.emit({"template": template, "folder": str(target), "files": [f.name for f in files]})
    screen.say(f"[green]✓[/] {target}: {about}")
    screen.say(
        f"  next: cd {shlex.quote(str(target))} && python train.py; README.md tells the rest"
    )


def create(
    file: FileArgument = Path("subnet.toml"),
    *,
    name: NameOption = "",
    uri: UriOption = None,
    max_price: Annotated[
        str | None,
        typer.Option("--max-price", help="Most tokens to burn; none: the price shown."),
    ] = None,
    yes: YesOption = False,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open a competition: burns a price that moves, and locks tokens until it has ended."""
    screen, told = Screen(as_json), _read(file, name)
    most = None if max_price is None else money.parse(max_price)
    with cancellable(), open_account(home, password_file) as ledger:
        require_market(ledger)
        if ledger.subnet.id_of(told.name):
            raise ConflictError(
                f"there is a subnet {told.name!r} already",
                remedy="Choose another with --name, or change yours with `freehold subnet set`.",
            )
        price, lock = ledger.subnet.creation_price(), ledger.subnet.terms().lock
        limit = within(price, most, "a new subnet")
        check_held(ledger, price + lock, "a new subnet")
        screen.tell(
            f"[dim]·[/] {told.name} burns at most {brief(limit, up=True)} tokens and locks "
            f"{brief(lock)} until it is closed"
        )
        screen.say(f"[dim]· schema 0x{told.task.schema.hex()}\n· scorer 0x{told.scorer.hex()}[/]")
        screen.confirm(f"Open {told.name}?", yes=yes)
        ledger.token.approve(ledger.subnet.address, limit + lock)
        event = ledger.subnet.create(
            told.name, max_nodes=told.max_nodes, rules=told.rules, entry=told.entry,
            task=told.task, uri=_uri(ledger, file, uri), most=limit,
        ).one("Created")  # fmt: skip
    screen.emit(
        {"subnet": event.number("subnet"), "name": told.name, "burned": event.number("burned"),
         "lock": event.number("lock"), "transaction": event.transaction}
    )  # fmt: skip
    screen.say(
        f"[green]✓[/] {told.name} is open: {brief(event.number('burned'))} tokens burned, "
        f"{brief(lock)} locked"
    )
    screen.say(f"  a node joins with: freehold model serve MODEL --subnet {told.name}")


def set_(
    file: FileArgument = Path("subnet.toml"),
    *,
    name: NameOption = "",
    uri: UriOption = None,
    epoch: Annotated[
        int | None, typer.Option("--epoch", help="First epoch of the new rules, two ahead or more.")
    ] = None,
    yes: YesOption = False,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change a competition of yours from a later epoch on, to what its subnet.toml says."""
    screen, told = Screen(as_json), _read(file, name)
    with cancellable(), open_account(home, password_file) as ledger:
        found = find(ledger, told.name)
        start = found.epoch + AHEAD if epoch is None else epoch
        if start < found.epoch + AHEAD:
            raise UsageError(
                f"epoch {start} is too near: {found.epoch} runs",
                remedy=f"Rules change two epochs ahead: --epoch {found.epoch + AHEAD} or later.",
            )
        changes = _changes(found, told)
        for line in changes:
            screen.say(f"[dim]·[/] {line}")
        place = _uri(ledger, file, uri)
        moved = bool(place) and place != ledger.subnet.uri_of(found.id)
        if not changes and not moved:
            raise ConflictError(f"{told.name} has these rules already", remedy=f"Change {file}.")
        screen.confirm(f"Change {told.name} from epoch {start} on?", yes=yes)
        if changes:
            ledger.subnet.set_rules(
                found.id, from_epoch=start, rules=told.rules, entry=told.entry, task=told.task
            )
        if moved:
            ledger.subnet.set_uri(found.id, place)
    screen.emit({"subnet": found.id, "name": told.name, "epoch": start, "changes": changes})
    screen.say(f"[green]✓[/] {told.name} changes with epoch {start}")


def _read(file: Path, name: str) -> Competition:
    from freehold.cli.competition import Competition

    told = Competition.read(file)
    return replace(told, name=name) if name else told


def _uri(ledger: Ledger, file: Path, uri: str | None) -> str:
    """Where the documents are: a folder of this machine is told to nobody beyond it."""
    from freehold.cli.competition import is_local, uri_of

    if uri is not None:
        return uri
    folder = file if file.is_dir() else file.parent
    return uri_of(folder) if is_local(ledger.network) else ""


def _changes(found: Found, told: Competition) -> list[str]:
    """What differs between the rules in force and those of the file."""
    pairs = ((found.rules, told.rules), (found.entry, told.entry))
    lines = [
        f"{key}: {value} becomes {wanted}"
        for before, after in pairs
        for key, value in asdict(before).items()
        if (wanted := getattr(after, key)) != value
    ]
    lines += ["the schema changes"] if found.task.schema != told.task.schema else []
    return lines + (["the scorer changes"] if found.task.scorer != told.task.scorer else [])
