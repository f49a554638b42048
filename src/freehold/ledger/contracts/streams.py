"""Payment for readings by the epoch: purchases, what burned of them."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.ids import Address
from freehold.ledger.contracts.base import Contract
from freehold.ledger.values import Receipt


@dataclass(frozen=True, slots=True)
class Purchase:
    """Readings that a query names, for ``count`` epochs from ``epoch`` on; ``amount`` base units
    for each, of which ``burned`` burned."""

    buyer: Address
    query: str
    epoch: int
    count: int
    amount: int
    burned: int


class Streams(Contract):
    """Epochs are those of the roots that the purchases go to; amounts base units."""

    name = "streams"

    def buy(self, query: str, epoch: int, count: int, amount: int) -> Receipt:
        """Pay ``amount`` (approved before) for each of ``count`` epochs; the event Bought tells
        the purchase's number."""
        return self._send("buy", query, epoch, count, amount)

    def purchase(self, number: int) -> Purchase:
        """A purchase, from 1 on; RefusedError where there is none."""
        return self._view(Purchase, "purchase", number)

    def count(self) -> int:
        """How many purchases there are."""
        return self._view(int, "count")

    def bought_of(self, epoch: int) -> int:
        """What was paid for an epoch, the burned part included."""
        return self._view(int, "bought_of", epoch)

    def burned_of(self, epoch: int) -> int:
        """What burned of the payments for an epoch."""
        return self._view(int, "burned_of", epoch)

    def fee_bps(self) -> int:
        """Ten-thousandths of a purchase that burn."""
        return self._view(int, "fee_bps")

    def epoch(self) -> int:
        """The epoch that runs."""
        return self._view(int, "epoch")
