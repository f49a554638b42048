"""``subnet list`` and ``subnet show``: competitions, their rules, and who takes part."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.amounts import brief, moment, span
from freehold.cli.handles import Handles
from freehold.cli.home import find_home
from freehold.cli.options import HomeOption, JsonOption
from freehold.cli.plain import plain
from freehold.cli.screen import Screen, cancellable
from freehold.cli.session import open_ledger
from freehold.cli.subnet.named import Found, NameArgument, find, require_market
from freehold.ledger.contracts.subnet import GRAIN

if TYPE_CHECKING:
    from freehold.client.asking.standing import LedgerRanking
    from freehold.ledger.contracts.subnet import Seat
    from freehold.ledger.ledger import Ledger

PAGE = 100
"""Subnets that one list has."""


@dataclass(frozen=True, slots=True)
class Row:
    """A node of a subnet. ``score`` 0 to 1, None where it does not answer; ``price`` in base
    units for a request; ``immune``: until that moment nobody replaces it; ``serves``: it is
    registered to serve models, others validate."""

    uid: int
    seat: Seat
    score: float | None
    price: int | None
    immune: int
    serves: bool

    def to_json(self) -> dict[str, object]:
        """As programs read it."""
        return {
            "uid": self.uid, "node": self.seat.node, "generation": self.seat.generation,
            "registered_at": self.seat.registered_at, "immune_until": self.immune,
            "serves": self.serves, "answers": self.price is not None, "score": self.score,
            "price": self.price,
        }  # fmt: skip


def register(app: typer.Typer) -> None:
    """Put the commands on the noun."""
    app.command("list")(list_)
    app.command()(show)


def list_(
    *,
    first: Annotated[
        int, typer.Option("--first", help="Number of the first one; 100 are listed.", min=1)
    ] = 1,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the competitions of the network, and what a place costs in each."""
    screen = Screen(as_json)
    with cancellable(), open_ledger(home) as ledger:
        require_market(ledger)
        count = ledger.subnet.count()
        last = min(count, first + PAGE - 1)
        found = [find(ledger, ledger.subnet.name_of(each)) for each in range(first, last + 1)]
        prices = [ledger.subnet.price(each.id) for each in found]
        opening, lock = ledger.subnet.creation_price(), ledger.subnet.terms().lock
    rows = [_summary(each, price) for each, price in zip(found, prices, strict=True)]
    screen.emit({"subnets": rows, "count": count, "creation_price": opening, "lock": lock})
    columns = ("subnet", "name", "nodes", "a place burns", "state")
    screen.table(
        "competitions", columns,
        [
            (row["id"], row["name"], f"{row['nodes']} of {row['max_nodes']}",
             f"{brief(price, up=True)} tokens", _state(each))
            for row, each, price in zip(rows, found, prices, strict=True)
        ],
    )  # fmt: skip
    screen.tell(f"A new one burns {brief(opening, up=True)} tokens and locks {brief(lock)}.")
    if last < count:
        screen.tell(f"More with [bold]freehold subnet list --first {last + 1}[/].")


def show(name: NameArgument, *, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show a competition: rules, prices, budget, and its nodes with score and price."""
    from freehold.cli.competition import is_local
    from freehold.client.asking.scores import FinalScores
    from freehold.client.asking.standing import LedgerRanking

    screen = Screen(as_json)
    with cancellable(), open_ledger(home) as ledger:
        found = find(ledger, name)
        price, uri = ledger.subnet.price(found.id), ledger.subnet.uri_of(found.id)
        money = _money(ledger, found)
        here = is_local(ledger.network)
        with screen.waiting(f"asking the nodes of {name}"):
            ranking = LedgerRanking(ledger, FinalScores(ledger, plain=here), plain=here)
            rows = _rows(ledger, found, ranking)
    screen.emit(
        {**_summary(found, price), "uri": uri, "epoch": found.epoch,
         "schema": "0x" + found.task.schema.hex(), "scorer": "0x" + found.task.scorer.hex(),
         "rules": asdict(found.rules), "entry": asdict(found.entry), **money,
         "members": [row.to_json() for row in rows]}
    )  # fmt: skip
    _tell(screen, found, price=price, uri=uri, money=money)
    _tell_rows(screen, home, found, rows)


def _rows(ledger: Ledger, found: Found, ranking: LedgerRanking) -> list[Row]:
    from freehold.client.asking.standing import seats_of
    from freehold.ledger.contracts.base import convert
    from freehold.ledger.contracts.registry import MODEL, Node
    from freehold.ledger.values import View

    candidates = {each.node: each for each in ranking.load(found.name).candidates}
    seats, rows = seats_of(ledger, found.id), []
    entries = ledger.call_many([View("registry", "node", (seat.node,)) for seat in seats])
    for uid, (seat, entry) in enumerate(zip(seats, entries, strict=True)):
        told = candidates.get(seat.node)
        immune = seat.registered_at + found.rules.immunity
        score, price = (None, None) if told is None else (told.score, told.price)
        serves = bool(convert(Node, entry).roles & MODEL)
        rows.append(Row(uid, seat, score, price, immune, serves))
    return sorted(rows, key=lambda row: (-(row.score or 0.0), row.uid))


def _money(ledger: Ledger, found: Found) -> dict[str, int | None]:
    """What came into the running epoch, and what the last one pays (None until it is closed)."""
    burned, granted = ledger.subnet.money(found.id, found.epoch)
    last = found.epoch - 1
    closed = last >= 0 and ledger.subnet.closed(last)
    paid = ledger.subnet.budget(found.id, last, last) if closed else None
    return {"burned": burned, "granted": granted, "last_epoch_pays": paid}


def _summary(found: Found, price: int) -> dict[str, object]:
    state = found.state
    return {
        "id": found.id, "name": found.name, "owner": state.owner, "created_at": state.created_at,
        "closing": state.closing, "nodes": state.nodes, "max_nodes": state.max_nodes,
        "lock": state.lock, "price": price,
    }  # fmt: skip


def _least(grains: int) -> str:
    return f"{brief(grains * GRAIN, up=True)} tokens or more" if grains else "any amount"


def _state(found: Found) -> str:
    closing = found.state.closing
    if not closing:
        return "open"
    return "ended" if found.epoch >= closing else f"ends with epoch {closing}"


def _tell(
    screen: Screen, found: Found, *, price: int, uri: str, money: dict[str, int | None]
) -> None:
    rules, paid = found.rules, money["last_epoch_pays"]
    screen.facts(
        f"{found.name}  subnet {found.id}, epoch {found.epoch}",
        {
            "owner": found.state.owner, "since": moment(found.state.created_at),
            "state": _state(found), "documents": plain(uri) or "told by nobody",
            "a place burns": f"{brief(price, up=True)} tokens",
            "nodes": f"{found.state.nodes} of {found.state.max_nodes}",
            "validators": f"{rules.max_validators} at most, with {_least(rules.min_stake)} staked",
            "newcomers": f"are immune for {span(rules.immunity)}",
            "owner's part": f"{rules.owner_bps / 100:g} %",
            "in this epoch": f"{brief(money['burned'] or 0)} tokens burned, "
            f"{brief(money['granted'] or 0)} granted",
            "last epoch pays": "not fixed yet" if paid is None else f"{brief(paid)} tokens",
            "schema": "0x" + found.task.schema.hex(), "scorer": "0x" + found.task.scorer.hex(),
        },
    )  # fmt: skip


def _tell_rows(screen: Screen, root: Path | None, found: Found, rows: list[Row]) -> None:
    from freehold.cli.model.folder import names

    handles = Handles.of(root)
    handles = Handles({**handles.names, **names(find_home(root))})
    columns = ("uid", "node", "score", "a request", "since")
    screen.table(f"nodes of {found.name}", columns, [_cells(row, handles) for row in rows])
    if not rows:
        screen.tell(f"None yet: [bold]freehold model serve MODEL --subnet {found.name}[/].")
    handles.tell(screen)


def _cells(row: Row, handles: Handles) -> tuple[object, ...]:
    if row.price is None:
        price = "silent" if row.serves else "validates"
    else:
        price = f"{brief(row.price, up=True)} tokens" if row.price else "free"
    score = "" if row.score is None else f"{row.score:.3f}"
    return row.uid, handles(row.seat.node), score, price, moment(row.seat.registered_at)[:16]
