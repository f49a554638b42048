"""Deals: list, renew, close."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.amounts import brief, moment
from freehold.cli.objects import fates_of, state_of
from freehold.cli.options import HomeOption, JsonOption, PasswordFileOption
from freehold.cli.plain import plain
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_client
from freehold.cli.spans import parse_span
from freehold.cli.terms import kept
from freehold.domain.errors import NotFoundError

if TYPE_CHECKING:
    from freehold.client.client import Client
    from freehold.client.results import DealInfo
    from freehold.domain.ids import Address

_GONE = frozenset({"lost", "ended", "finished"})

app = typer.Typer(name="deal", help="Deals with nodes.", no_args_is_help=True)
DealArgument = Annotated[int, typer.Argument(help="Deal number.", min=1)]


@app.command("list")
def list_deals(
    *,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the account's deals."""
    screen = Screen(as_json)
    with cancellable(), open_client(home, password_file) as client:
        deals, fates = client.deals(), fates_of(client)
    rows = [_row(deal, fates) for deal in deals]
    screen.emit(rows)
    screen.table(
        "1 deal" if len(rows) == 1 else f"{len(rows):,} deals",
        ("deal", "columns", "alive", "bytes each", "ends", "repairs", "reserve", "state"),
        [
            (
                deal.id, f"{deal.record.k}/{deal.record.n}", r["alive"], f"{deal.record.size:,}",
                moment(deal.record.term_end), deal.record.repairs_done,
                brief(deal.record.reserve), r["state"],
            )
            for deal, r in zip(deals, rows, strict=True)
        ],
    )  # fmt: skip


def _row(deal: DealInfo, fates: Mapping[Address, str]) -> dict[str, object]:
    record = deal.record
    return {
        "deal": deal.id,
        "object_id": "0x" + record.object_id.hex(),
        "k": record.k,
        "n": record.n,
        "alive": sum(state_of(c, fates) not in _GONE for c in deal.columns),
        "lost": sum(state_of(c, fates) == "lost" for c in deal.columns),
        "size": record.size,
        "term_end": record.term_end,
        "repairs_done": record.repairs_done,
        "reserve": record.reserve,
        "state": "closed" if record.closed_at else "open",
        "nodes": [column.record.node for column in deal.columns],
    }


def _require_open(client: Client, deal: int) -> None:
    if deal not in client.chain.deals(client.wallet.account):
        raise NotFoundError(
            f"this account has no open deal {deal}", remedy="List them with `freehold deal list`."
        )


@app.command()
def renew(
    deal: DealArgument,
    term: Annotated[str, typer.Option("--term", help="New term from now: 90d, 12h.")] = "30d",
    *,
    move: Annotated[
        bool,
        typer.Option("--move", help="First move the columns whose nodes do not sign to others."),
    ] = False,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Extend a deal; every node signs the new term."""
    screen = Screen(as_json)
    with cancellable(), open_client(home, password_file) as client:
        _require_open(client, deal)
        moved = _move_unwilling(client, screen, deal, parse_span(term) or 0) if move else {}
        transaction = client.renew(deal, parse_span(term) or 0)
        end = client.chain.deal(deal).term_end
    screen.emit({"deal": deal, "transaction": transaction, "moved": moved})
    screen.say(f"[green]✓[/] deal {deal} goes on for {term}, until {kept(end)}")


def _move_unwilling(client: Client, screen: Screen, deal: int, term: int) -> dict[str, str]:
    """Move columns whose nodes object to a new term; nodes by column. A refused move is raised:
    what moved before it stays moved."""
    moved: dict[str, str] = {}
    for objection in client.objections(deal, term):
        with screen.waiting(f"moving column {objection.slot}: {plain(objection.reason)}"):
            done = client.repair(deal, objection.slot)
        moved[str(objection.slot)] = done.node
        screen.say(f"[dim]·[/] column {objection.slot} moved to {done.node}")
    return moved


@app.command()
def close(
    deal: DealArgument,
    *,
    home: HomeOption = None,
    password_file: PasswordFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a deal: its nodes may delete what they hold."""
    screen = Screen(as_json)
    with cancellable(), open_client(home, password_file) as client:
        _require_open(client, deal)
        transaction = client.close_deal(deal)
    screen.emit({"deal": deal, "transaction": transaction})
    screen.say(f"[green]✓[/] deal {deal} is closed")
