"""The live view of `up`: nodes, proofs and payments as they happen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from freehold.cli import processes, snapshot
from freehold.cli.home import Home
from freehold.cli.snapshot import NodeView, Snapshot
from freehold.domain.errors import UnavailableError
from freehold.domain.ids import Address
from freehold.domain.money import show
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import Event

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

LINES = 12
REFRESH = 2.0
_COLOURS = {"good": "green", "failed": "red", "leaving": "yellow", "retired": "dim"}


def names_of(home: Home) -> dict[Address, str]:
    """Short names of this machine's nodes by id."""
    from freehold.cli.wallets import keystore_address

    return {keystore_address(folder / "key.json"): folder.name for folder in home.nodes()}


def watch(
    ledger: Ledger, home: Home, console: Console, *, stop: Callable[[], bool] = lambda: False
) -> None:
    """Redraw the view every two seconds until ``stop``, or Ctrl-C."""
    from rich.live import Live

    names = names_of(home)
    with Live(console=console, auto_refresh=False) as live:
        while not stop():
            try:
                seen, events = snapshot.take(ledger), snapshot.feed(ledger, count=LINES)
            except UnavailableError as error:
                live.update(f"[red]{error.message}[/]\n  {error.remedy}", refresh=True)
            else:
                live.update(draw(seen, events, names, running(home)), refresh=True)
            time.sleep(REFRESH)


def running(home: Home) -> frozenset[str]:
    """Names of the processes of this home that run."""
    return frozenset(child.name for child in processes.running(home))


def draw(
    seen: Snapshot, events: list[Event], names: Mapping[Address, str], alive: frozenset[str]
) -> RenderableType:
    """The view as something that rich can print."""
    from rich.console import Group
    from rich.panel import Panel

    held = sum(node.bytes for node in seen.nodes)
    title = (
        f"[bold]{seen.name}[/]  block {seen.block}  period {seen.period}  "
        f"rounds {seen.rounds}  deals {seen.deals}  {held:,} bytes proven"
    )
    lines = "\n".join(snapshot.tell(event, names) for event in events) or "nothing yet"
    return Group(
        title,
        _table(seen.nodes, names, alive),
        Panel(lines, title="what happened", title_align="left"),
        "[dim]Ctrl-C stops everything and keeps all state; `freehold up` goes on from there.[/]",
    )


def _table(
    nodes: tuple[NodeView, ...], names: Mapping[Address, str], alive: frozenset[str]
) -> RenderableType:
    from rich.table import Table

    table = Table(header_style="bold")
    for column in ("node", "process", "market", "columns", "bytes", "proved", "missed"):
        table.add_column(column)
    for column in ("stake", "earned"):
        table.add_column(column, justify="right")
    for node in nodes:
        name = names.get(node.node, node.node[:8] + "…")
        colour = _COLOURS.get(node.state, "yellow")
        table.add_row(
            name,
            "[green]runs[/]"
            if name in alive
            else "[red]stopped[/]"
            if name in names.values()
            else "elsewhere",
            f"[{colour}]{node.state}[/]",
            str(node.columns),
            f"{node.bytes:,}",
            str(node.proven),
            str(node.missed),
            show(node.stake, places=4),
            show(node.earned, places=12),
        )
    return table
