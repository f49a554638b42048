"""Objects: get, ls, rm, mv, info, share, recover; put is a file of its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.amounts import minute
from freehold.cli.home import find_home, read_text
from freehold.cli.names import check_new, choose_file, find_object
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption
from freehold.cli.plain import plain
from freehold.cli.put import put
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import new_password, open_client
from freehold.cli.terms import ends_of_deals, ends_of_objects, kept
from freehold.domain.errors import NotFoundError, UnavailableError, UsageError

if TYPE_CHECKING:
    from freehold.client.catalog import Unread
    from freehold.client.client import Client
    from freehold.client.objects import Delivery
    from freehold.client.results import ColumnInfo, DealInfo
    from freehold.client.sharing import Shared
    from freehold.domain.ids import Address
    from freehold.markets.storage.manifest import Put

NameArgument = Annotated[str, typer.Argument(help="Name on the network, such as docs/plan.pdf.")]


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
    force: Annotated[
        bool,
        typer.Option("--force", help="Without FILE, overwrite a file that has the object's name."),
    ] = False,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read an object back, from any k of its columns."""
    screen = Screen(as_json)
    piped = str(file) == "-"
    with cancellable(), open_client(home, password_file) as client:
        if token is None:
            named = find_object(client, name)
            target = choose_file(file, name, force=force)
            sink = sys.stdout.buffer if piped else target
            with screen.progress(plain(name), named.size) as advance:
                delivery = client.get(name, sink, progress=advance)
        else:
            shared = _named_in(client.open_share(token).objects, name)
            target = choose_file(file, name, force=force)
            sink = sys.stdout.buffer if piped else target
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
            rows = _own_rows(client, prefix, home)
        else:
            received = client.open_share(token)
            rows = _shared_rows(client, received.objects)
            unread = received.unread
    screen.emit([*rows, *({"deal": u.deal, "unavailable": u.reason} for u in unread)])
    screen.table(
        "1 object" if len(rows) == 1 else f"{len(rows):,} objects",
        ("name", "bytes", "changed", "until", "state"),
        [
            (
                plain(str(r["name"])), f"{r['size']:,}", _changed(r), _until(r), _state(r),
            )
            for r in rows
        ],
    )  # fmt: skip
    for gap in unread:
        screen.say(f"[yellow]deal {gap.deal} is unavailable: {plain(gap.reason)}[/]")


def _state(row: Mapping[str, object]) -> str:
    if not row.get("available", True):
        return "unavailable"
    return "pending" if row["pending"] else "stored"


def _changed(row: Mapping[str, object]) -> str:
    return minute(int(datetime.fromisoformat(f"{row['modified']}+00:00").timestamp()))


def _until(row: Mapping[str, object]) -> str:
    end = row["term_end"]
    return kept(end if isinstance(end, int) else None)


def _own_rows(client: Client, prefix: str, home: Path | None) -> list[dict[str, object]]:
    found = client.ls(prefix)
    stored = any(not named.pending for named in found)
    ends = ends_of_objects(home, client.wallet.account) if stored else {}
    return [
        _row(n.put, pending=n.pending, version=n.sequence)
        | {"term_end": None if n.pending else ends.get(n.put.location.object_id)}
        for n in found
    ]


def _shared_rows(client: Client, found: Sequence[Shared]) -> list[dict[str, object]]:
    ends = ends_of_deals(client, (shared.page.deal for shared in found if shared.page))
    return [
        _row(shared.put, pending=False, version=0)
        | {
            "term_end": ends.get(shared.page.deal) if shared.page else None,
            "available": shared.page is not None,
        }
        for shared in found
    ]


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
        find_object(client, name)
        closed = client.rm(name)
        if not closed and client.versions(name):
            client.flush(names=(name,))
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
    """Rename an object, without moving its bytes; what waits goes on waiting."""
    from freehold.markets.storage import names

    screen = Screen(as_json)
    check_new(new)
    names.check_new(new)
    with cancellable(), open_client(home, password_file) as client:
        waits = find_object(client, old).pending
        client.mv(old, new)
        if not waits:
            client.flush(names=(old, new))
    screen.emit({"old": old, "new": new, "pending": waits})
    screen.say(f"[green]✓[/] {plain(old)} is now {plain(new)}")
    if waits:
        screen.say("  it waits here as before; `freehold put --flush` sends it")


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
        find_object(client, name)
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
        f"deal {found.deal.id}, any {found.deal.record.k} of {found.deal.record.n} columns, until "
        f"{kept(found.deal.record.term_end)} (renew with `freehold deal renew {found.deal.id}`)"
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
    """Bring an account back into an empty home from its recovery kit alone.

    Exit code 6 when some of its deals could not be read yet: run it again later.
    """
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
        {
            "account": found.account,
            "objects": found.objects,
            "unread_deals": [unread.deal for unread in found.unread],
            "reasons": {unread.deal: unread.reason for unread in found.unread},
        }
    )
    screen.say(f"[green]✓[/] {found.account}: {found.objects} objects are back")
    for unread in found.unread:
        screen.say(f"[yellow]deal {unread.deal} is not back: {plain(unread.reason)}[/]")
    if found.unread:
        raise typer.Exit(UnavailableError.exit_code)
