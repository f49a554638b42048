"""The auction of fees in foreign tokens, for the network's token, which burns."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.domain.ids import Address
from freehold.ledger.contracts.base import Contract
from freehold.ledger.values import Receipt


@dataclass(frozen=True, slots=True)
class Lot:
    """What is on offer of a token (its base units), and what is asked for all of it (the network's
    base units) at the moment ``since``."""

    held: int
    ask: int
    since: int


@dataclass(frozen=True, slots=True)
class Sale:
    """The amount and price by which the next arrivals are priced; zeros before any sale."""

    amount: int
    price: int


class Auction(Contract):
    """One lot for each foreign token; prices in base units of the network's token."""

    name = "auction"

    def take_in(self, token: Address) -> Receipt:
        """Put on offer what has arrived of a token; anyone."""
        return self._send("take_in", token)

    def buy(
        self,
        token: Address,
        amount: int,
        to: Address,
        *,
        max_price: int,
        min_received: int,
        deadline: int,
    ) -> Receipt:
        """Buy a part or all of a lot for at most ``max_price`` approved tokens, which burn."""
        return self._send("buy", token, amount, to, max_price, min_received, deadline)

    def lot(self, token: Address) -> Lot:
        """What is on offer now, with what has arrived."""
        return self._view(Lot, "lot", token)

    def price_of(self, token: Address, amount: int) -> int:
        """What an amount costs now; RefusedError as `buy` would refuse it."""
        return self._view(int, "price_of", token, amount)

    def last_sale(self, token: Address) -> Sale:
        """What the next arrivals are priced by."""
        return self._view(Sale, "last_sale", token)

    def least(self) -> int:
        """The least that a sale costs."""
        return self._view(int, "least")

    def opening(self) -> int:
        """The most that a lot asks."""
        return self._view(int, "opening")

    def half_life(self) -> int:
        """Seconds in which an ask halves."""
        return self._view(int, "half_life")

    def factor_bps(self) -> int:
        """What of the last sale's price new arrivals ask, ten-thousandths."""
        return self._view(int, "factor_bps")
