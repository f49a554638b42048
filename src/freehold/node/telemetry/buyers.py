"""What accounts bought: readings of the epochs and metrics that their purchases name, no others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from freehold.domain.errors import FreeholdError
from freehold.domain.ids import Address
from freehold.economics.data_pay import Query, matches
from freehold.ledger.values import Event
from freehold.node.telemetry.access import Want
from freehold.node.telemetry.facts import Calendar

PURCHASES_MAX = 256
"""Of one account, the newest, that are looked at."""
_MS = 1_000


class Purchases(Protocol):
    """The index of events."""

    def events(
        self, contract: str, name: str, *, where: Mapping[str, object] | None = None,
        limit: int = 1_000, newest_first: bool = False,
    ) -> list[Event]: ...  # fmt: skip


@dataclass(frozen=True, slots=True)
class Buyers:
    """The purchases that the chain lists; those that ask for a cell give nobody a look, because
    cells are not shown."""

    index: Purchases
    calendar: Calendar

    def bought(self, account: Address, device: str, want: Want) -> bool:
        """Whether ``account`` paid for every metric of ``want`` in all of its span; where it names
        none, for all that there can be, under one query."""
        mine = self.index.events(
            "streams", "Bought", where={"buyer": account}, limit=PURCHASES_MAX, newest_first=True
        )
        running = [query for event in mine if (query := self._query(event, device, want))]
        # A pattern that fits a name without letters has nothing but stars, so it fits every name.
        return all(_named(running, metric) for metric in want.metrics or ("",))

    def _query(self, event: Event, device: str, want: Want) -> Query | None:
        """What a purchase asks for, where that is this device and its epochs span ``want``."""
        first = event.number("epoch")
        begin = self.calendar.begin(first) * _MS
        end = self.calendar.begin(first + event.number("count")) * _MS
        try:
            query = Query.parse(event.text("query"))
        except FreeholdError:
            return None
        spans = begin <= want.since and want.until <= end
        return query if spans and not query.cell and query.device in (None, device) else None


def _named(queries: Iterable[Query], metric: str) -> bool:
    return any(matches(query.metric, metric) for query in queries)
