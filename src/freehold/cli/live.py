"""The live view of `up`: nodes, proofs and payments as they happen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freehold.cli import feed, processes, snapshot
from freehold.cli.amounts import brief, size
from freehold.cli.home import Home
from freehold.cli.snapshot import NodeView, Snapshot
from freehold.domain.errors import UnavailableError
from freehold.domain.ids import Address
from freehold.ledger.ledger import Ledger

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

LINES = 12
REFRESH = 2.0
_COLOURS = {"good": "green", "failed": "red", "leaving": "yellow", "retired": "dim"}
_FOOTER = "[dim]Ctrl-C stops everything and keeps all state; `freehold up` goes on.[/]"
_HOLDING = frozenset({"good", "leaving"})


def names_of(home: Home) -> dict[Address, str]:
    """Short names of this machine's nodes by id."""
    from freehold.cli.wallets import keystore_address

    keys = {folder.name: folder / "key.json" for folder in home.nodes()}
    return {keystore_address(key): name for name, key in keys.items() if key.exists()}


def watch(
    ledger: Ledger, home: Home, console: Console, *, stop: Callable[[], bool] = lambda: False
) -> None:
    """Redraw the view every two seconds until ``stop``, or Ctrl-C; the last good one stays."""
    from rich.live import Live

    last: RenderableType = ""
    with Live(console=console, auto_refresh=False) as live:
        while not stop():
            try:
                view = look(ledger, home)
            except UnavailableError as error:
                live.update(f"[red]{error.message}[/]\n  {error.remedy}", refresh=True)
            else:
                last = draw(view)
                live.update(draw(view, footer=_FOOTER), refresh=True)
            time.sleep(REFRESH)
        live.update(last, refresh=True)


def running(home: Home) -> frozenset[str]:
    """Names of the processes of this home that run."""
    return frozenset(child.name for child in processes.running(home))


@dataclass(frozen=True, slots=True)
class View:
    """What is drawn: the ledger's word, the latest lines, and this machine's nodes."""

    seen: Snapshot
    lines: Sequence[str]
    names: Mapping[Address, str]
    alive: frozenset[str]


def look(ledger: Ledger, home: Home) -> View:
    """The network as it is now."""
    names, seen = names_of(home), snapshot.take(ledger)
    events = feed.recent(ledger, count=LINES)
    payouts = {node.payout: node.node for node in seen.nodes}
    cast = feed.cast(ledger, events, names=names, payouts=payouts)
    return View(seen, feed.tell(events, cast, count=LINES), names, running(home))


def draw(view: View, *, footer: str = "") -> RenderableType:
    """The view as something that rich can print."""
    from rich.console import Group

    seen = view.seen
    held = sum(node.bytes for node in seen.nodes if node.state in _HOLDING)
    title = (
        f"[bold]{seen.name}[/]  block {seen.block:,}  period {seen.period:,}  "
        f"rounds {seen.rounds:,}  deals {seen.deals:,}  {size(held)} under proof"
    )
    lines = "\n".join(view.lines) or "nothing yet"
    told = f"[bold]what happened[/]\n{lines}"
    others = sorted(view.alive - set(view.names.values()))
    beside = [f"[dim]also running: {', '.join(others)}[/]"] if others else []
    return Group(title, "", _table(view), *beside, "", told, *(["", footer] if footer else []))


def _table(view: View) -> RenderableType:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(header_style="bold", box=SIMPLE_HEAD, padding=0, show_edge=False)
    for column in ("node", "process", "market"):
        table.add_column(column, no_wrap=True)
    for column in ("cols", "holds", "proved", "missed", "stake", "balance"):
        table.add_column(column, justify="right", no_wrap=True)
    for node in view.seen.nodes:
        table.add_row(
            view.names.get(node.node) or feed.shorten(node.node),
            _process(view, node),
            f"[{_COLOURS.get(node.state, 'yellow')}]{node.state}[/]",
            str(node.columns),
            _holds(node),
            str(node.proven),
            str(node.missed),
            brief(node.stake),
            brief(node.balance),
        )
    return table


def _holds(node: NodeView) -> str:
    if node.lost:
        return f"[red]{node.lost} lost[/]"
    return f"{node.moved} moved" if node.moved and not node.columns else size(node.bytes)


def _process(view: View, node: NodeView) -> str:
    name = view.names.get(node.node)
    if name is None:
        return "[dim]elsewhere[/]"
    return "[green]runs[/]" if name in view.alive else "[red]stopped[/]"
