"""Until when objects are kept: the ends of their deals' terms, in block time.

A term changes only where the ledger tells it, so the events that are kept here anyway know all of
them: no deal is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from freehold.cli.amounts import moment
from freehold.cli.home import open_home

if TYPE_CHECKING:
    from freehold.client.client import Client
    from freehold.domain.ids import Address
    from freehold.ledger.ledger import Ledger
    from freehold.ledger.values import Event


def ends_of_objects(root: Path | None, account: Address) -> dict[bytes, int]:
    """When the deal of each object of ``account`` ends, by object id."""
    from freehold.ledger.ledger import Ledger

    home = open_home(root)
    # The client's own events: it has just read up to the head or will need them there.
    state = home.wallet / "state" / "ledger"
    with Ledger.open(home.network(), state=state, key=None) as ledger:
        ledger.index.sync()
        return told(
            _events(ledger, "DealOpened", {"client": account}), _events(ledger, "DealRenewed", {})
        )


def told(opened: Iterable[Event], renewed: Iterable[Event]) -> dict[bytes, int]:
    """Ends by object id, from all deals of an account and renewals of anybody, oldest first."""
    objects: dict[int, bytes] = {}
    ends: dict[int, int] = {}
    for event in opened:
        objects[event.number("deal")] = event.data("object_id")
        ends[event.number("deal")] = event.number("term_end")
    for event in renewed:
        if event.number("deal") in ends:
            ends[event.number("deal")] = event.number("term_end")
    return {objects[deal]: end for deal, end in ends.items()}


def ends_of_deals(client: Client, deals: Iterable[int]) -> dict[int, int]:
    """When each of a few deals ends, one call each; zero, which is no deal, is left out."""
    return {deal: client.chain.deal(deal).term_end for deal in set(deals) if deal}


def kept(end: int | None) -> str:
    """An end as people read it, to the minute; empty where there is none yet."""
    return moment(end)[:16] if end else ""


def hint(ends: Mapping[int, int]) -> str:
    """How to keep what ends longer."""
    deal = str(next(iter(ends))) if len(ends) == 1 else "DEAL"
    return f"kept until {kept(min(ends.values()))}; renew with `freehold deal renew {deal}`"


def _events(ledger: Ledger, name: str, where: dict[str, object]) -> Iterator[Event]:
    from freehold.ledger.paging import every

    return every(ledger.index, "storage", name, where)
