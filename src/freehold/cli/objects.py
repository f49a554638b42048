"""Objects: get, ls, rm, mv, info, share, recover; put is a file of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.home import find_home, read_text
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption
from freehold.cli.plain import plain
from freehold.cli.put import put
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import new_password, open_client
from freehold.domain.errors import ConflictError, NotFoundError, UsageError

if TYPE_CHECKING:
    from freehold.client.catalog import Unread
    from freehold.client.client import Client
    from freehold.client.objects import Delivery
    from freehold.client.results import ColumnInfo, DealInfo
    from freehold.client.sharing import Shared
    from freehold.domain.ids import Address
    from freehold.markets.storage.manifest import Put

NameArgument = Annotated[str, typer.Argument(help="Name on the network, such as docs/plan.pdf.")]

_NAME_MAX = 255
"""Bytes that file systems take as a file's name."""


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    for verb in (put, get, ls, rm, mv, info, share, recover):
        app.command()(verb)


def get(
    name: NameArgument,
    file: Annotated[
        Path | None, typer.Argument(help="Where to write it, or - for standard output.")
    ] = None,
    *,
    token: Annotated[
        str | None, typer.Option("--token", help="Share token, for an object of somebody else.")
    ] = None,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read an object back, from any k of its columns."""
    screen = Screen(as_json)
    piped = str(file) == "-"
    target = file or local_file(name, shared=token is not None)
    sink = sys.stdout.buffer if piped else target
    with cancellable(), open_client(home, password_file) as client:
        if token is None:
            with screen.progress(plain(name), _size(client, name)) as advance:
                delivery = client.get(name, sink, progress=advance)
        else:
            shared = _named_in(client.open_share(token).objects, name)
            with screen.progress(plain(name), shared.put.location.size) as advance:
                delivery = client.get_shared(shared, sink, progress=advance)
    if not piped:
        screen.emit(
            {
                "name": name, "file": str(target), "size": delivery.size,
                "lost": list(delivery.lost), "liars": list(delivery.liars),
            }
        )  # fmt: skip
        screen.say(f"[green]✓[/] {plain(str(target))}  {delivery.size:,} bytes{_trouble(delivery)}")


def local_file(name: str, *, shared: bool) -> Path:
    """Where an object goes when the user names no file: into this folder, under its last part.

    UsageError when that is no proper file name; ConflictError when somebody else's object would
    overwrite a file, since it is they who chose the name.
    """
    last = name.rpartition("/")[2]
    if last in ("", ".", "..") or not last.isprintable() or len(last.encode()) > _NAME_MAX:
        raise UsageError(
            f"{name!r} does not end in a file name", remedy="Say where to write it: get NAME FILE."
        )
    if shared and os.path.lexists(last):
        raise ConflictError(
            f"there is a file {last!r} here already",
            remedy="Say where to write what is shared with you: get NAME FILE --token TOKEN.",
        )
    return Path(last)


def _size(client: Client, name: str) -> int:
    return next((named.size for named in client.ls(name) if named.name == name), 0)


def _named_in(found: Sequence[Shared], name: str) -> Shared:
    for shared in found:
        if shared.put.name == name:
            return shared
    names = ", ".join(repr(shared.put.name) for shared in found[:5]) or "nothing"
    raise NotFoundError(f"the token does not open {name!r}", remedy=f"It opens {names}.")


def _trouble(delivery: Delivery) -> str:
    parts = []
    if delivery.lost:
        parts.append(f"{len(delivery.lost)} columns did not answer")
    if delivery.liars:
        parts.append(f"{len(delivery.liars)} columns lied")
    return f"  [yellow]({'; '.join(parts)})[/]" if parts else ""


def ls(
    prefix: Annotated[str, typer.Argument(help="Only what lies under this prefix.")] = "",
    *,
    token: Annotated[
        str | None, typer.Option("--token", help="List what a share token opens.")
    ] = None,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List objects."""
    screen = Screen(as_json)
    unread: tuple[Unread, ...] = ()
    with cancellable(), open_client(home, password_file) as client:
        if token is None:
            rows = [_row(n.put, pending=n.pending, version=n.sequence) for n in client.ls(prefix)]
        else:
            received = client.open_share(token)
            rows = [_shared_row(shared) for shared in received.objects]
            unread = received.unread
    screen.emit([*rows, *({"deal": u.deal, "unavailable": u.reason} for u in unread)])
    screen.table(
        "1 object" if len(rows) == 1 else f"{len(rows):,} objects",
        ("name", "bytes", "changed", "state"),
        [(plain(str(r["name"])), f"{r['size']:,}", r["modified"], _state(r)) for r in rows],
    )
    for gap in unread:
        screen.say(f"[yellow]deal {gap.deal} is unavailable: {plain(gap.reason)}[/]")


def _state(row: Mapping[str, object]) -> str:
    if not row.get("available", True):
        return "unavailable"
    return "pending" if row["pending"] else "stored"


def _shared_row(shared: Shared) -> dict[str, object]:
    row = _row(shared.put, pending=False, version=0)
    return row | {"available": shared.page is not None}


def _row(put: Put, *, pending: bool, version: int) -> dict[str, object]:
    changed = datetime.fromtimestamp(put.modified / 10**9, UTC)
    return {
        "name": put.name,
        "size": put.location.size,
        "modified": changed.strftime("%Y-%m-%d %H:%M:%S"),
        "version": version,
        "pending": pending,
    }


def rm(
    name: NameArgument,
    *,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete an object; a deal of its own is closed."""
    screen = Screen(as_json)
    with cancellable(), open_client(home, password_file) as client:
        closed = client.rm(name)
        if not closed:
            client.flush()
    screen.emit({"name": name, "closed_deals": closed})
    screen.say(f"[green]✓[/] deleted {plain(name)}")


def mv(
    old: NameArgument,
    new: NameArgument,
    *,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rename an object, without moving its bytes."""
    from freehold.markets.storage import names

    screen = Screen(as_json)
    names.check_new(new)
    with cancellable(), open_client(home, password_file) as client:
        client.mv(old, new)
        client.flush()
    screen.emit({"old": old, "new": new})
    screen.say(f"[green]✓[/] {plain(old)} is now {plain(new)}")


def info(
    name: NameArgument,
    *,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show where an object is: its deal and the node of every column."""
    screen = Screen(as_json)
    with cancellable(), open_client(home, password_file) as client:
        found = client.info(name)
        fates = fates_of(client)
    from freehold.cli.live import names_of

    deal = found.deal
    columns = [] if deal is None else [_column(deal, c, fates) for c in deal.columns]
    screen.emit(
        {
            **_row(found.named.put, pending=found.named.pending, version=found.named.sequence),
            "deal": found.deal.id if found.deal else None,
            "term_end": found.deal.record.term_end if found.deal else None,
            "columns": columns,
        }
    )
    title = f"{plain(name)}  {found.named.size:,} bytes  " + (
        f"deal {found.deal.id}, any {found.deal.record.k} of {found.deal.record.n} columns"
        if found.deal
        else "pending: journaled here, not yet on the ledger"
    )
    names = {str(node): name for node, name in names_of(find_home(home)).items()}
    screen.table(
        title,
        ("column", "node", "piece", "state"),
        [(c["slot"], names.get(str(c["node"]), c["node"]), c["cid"], c["state"]) for c in columns],
    )


def fates_of(client: Client) -> dict[Address, str]:
    """Why nodes may take nothing new, by node; none for those that may."""
    return {record.peer.node: record.barred for record in client.chain.nodes() if record.barred}


def state_of(column: ColumnInfo, fates: Mapping[Address, str]) -> str:
    """One word for where a column stands: the ledger's, and its node's standing."""
    fate = fates.get(column.record.node, "") if column.active else ""
    for sign, state in (("failed", "lost"), ("owes", "late"), ("gave notice", "leaving")):
        if fate.startswith(sign):
            return state
    return ("", "active", "ended", "finished")[column.record.state]


def _column(deal: DealInfo, column: ColumnInfo, fates: Mapping[Address, str]) -> dict[str, object]:
    from freehold.markets.storage.piece import cid_from

    record = column.record
    return {
        "slot": column.slot,
        "node": record.node,
        "cid": cid_from(record.root, deal.record.size, deal.record.height),
        "state": state_of(column, fates),
        "price": record.price,
        "rail": record.rail,
    }


def share(
    name: Annotated[
        str | None, typer.Argument(help="Object, or directory, to share; none: show my card.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="The recipient's card.")] = None,
    *,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let another account read an object: give its card, get a token to send to it."""
    screen = Screen(as_json)
    if (name is None) != (to is None):
        raise UsageError(
            "a share needs the object and the recipient's card",
            remedy="Run `freehold share NAME --to CARD`; `freehold share` alone shows your card.",
        )
    with cancellable(), open_client(home, password_file) as client:
        if name is None or to is None:
            card = client.recipient()
            screen.emit({"card": card})
            screen.say(card)
            return
        given = client.share(name, to)
    screen.emit({"name": name, "token": given})
    screen.say(given)


def recover(
    kit: Annotated[Path, typer.Argument(help="The recovery kit, a text file.")],
    network: Annotated[
        Path | None, typer.Option("--network", help="network.json, when the kit's URLs are gone.")
    ] = None,
    *,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring an account back into an empty home from its recovery kit alone."""
    from freehold.cli.recovery import recover_home

    screen = Screen(as_json)
    target = find_home(home)
    with cancellable():
        page = read_text(kit)
        target.claim()
        password = new_password(target, password_file)
        with screen.step("Reading the ledger, then one node for each object"):
            found = recover_home(target, page, password, network)
    screen.emit(
        {"account": found.account, "objects": found.objects, "unread_deals": list(found.unread)}
    )
    screen.say(f"[green]✓[/] {found.account}: {found.objects} objects are back")
    for deal in found.unread:
        screen.say(f"[yellow]deal {deal}: none of its nodes gave its manifest; try again later[/]")
