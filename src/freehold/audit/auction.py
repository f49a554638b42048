"""The auction of foreign fees run again: every lot, every price, every sale and what it burned.

The rules are those of docs/decisions/0012-auctions-and-moving-prices.md. A foreign token's own logs
are not read: what arrived and what a buyer received is told by the auction alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from freehold.audit import abi, inputs
from freehold.audit.burns import Burns
from freehold.audit.events import Event
from freehold.audit.inputs import Fields
from freehold.audit.report import Spot
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.economics.pricing import PRICE_MAX, WHOLE_BPS, Terms, decayed, raised

CHECK = "auction"
FEE = 5
MOST_HELD = 2**120 - 1


def share(whole: int, part: int, total: int) -> int:
    """A part of something, rounded up."""
    return -(-whole * part // total)


@dataclass(slots=True)
class Lot:
    """One token's goods, base units; ``ask`` for all of them at ``since``, of the network's.

    ``sold`` for ``price`` is what the next arrivals are priced by.
    """

    terms: Terms
    held: int = 0
    ask: int = 0
    since: int = 0
    sold: int = 0
    price: int = 0

    def fall(self, now: int) -> None:
        """Let the ask fall up to now; a rest may be worth less than the least sale."""
        elapsed = now - self.since
        self.ask = decayed(self.ask, elapsed, half_life=self.terms.half_life, lowest=0)
        self.since = now

    def arrive(self, amount: int, now: int) -> None:
        """Take goods in."""
        self.fall(now)
        self.held += amount
        self.ask = min(self.ask + self._entry(amount), self.terms.highest)

    def vanish(self, amount: int, now: int) -> None:
        """Let goods go that nobody bought."""
        self.fall(now)
        self.ask = share(self.ask, self.held - amount, self.held)
        self.held -= amount

    def price_of(self, amount: int) -> int:
        """What a part costs, the ask having fallen up to now."""
        return share(max(self.ask, self.terms.lowest), amount, self.held)

    def sell(self, amount: int, paid: int) -> None:
        """Let a part go for its price, which makes the rest dearer."""
        told = min(paid, max(share(self.ask, amount, self.held), self._entry(amount)))
        asked, left = max(self.ask, self.terms.lowest), self.held - amount
        rest = share(asked, left, self.held)
        more = rest * (self.terms.factor_bps - WHOLE_BPS)
        rest += share(more, amount, self.held * WHOLE_BPS)
        self.held, self.ask = left, min(rest, self.terms.highest)
        self.sold, self.price = amount, told

    def _entry(self, amount: int) -> int:
        """What is asked for goods that arrive, as a part of what is held then."""
        opening = share(self.terms.highest, amount, self.held)
        if not self.sold:
            return opening
        dearer = raised(self.price, factor_bps=self.terms.factor_bps, highest=PRICE_MAX)
        return min(opening, share(dearer, amount, self.sold))


class Auction:
    """The auction contract's state, recomputed."""

    def __init__(
        self, made: Fields, *, contract: Address, token: Address, burns: Burns,
        counts: Counter[str],
    ) -> None:  # fmt: skip
        lowest, highest, half_life, factor = (
            inputs.number(made, name)
            for name in ("least_", "opening_", "half_life_", "factor_bps_")
        )
        self.terms = Terms(lowest, highest, half_life, factor)
        self.contract, self._token, self._counts = contract, token, counts
        self.lots: dict[str, Lot] = {}
        self.burned = 0
        self._burns = burns
        self._leaving: tuple[str, int, str] | None = None
        self._routes: dict[str, Callable[[Event], None]] = {
            "Arrived": self._arrived, "Missing": self._missing, "Sold": self._sold,
            "Movement": self._moved,
        }  # fmt: skip
        burnt = inputs.account(made, "network_token_")
        Spot(CHECK).same("the token that the auction burns", expected=token, found=burnt)

    def apply(self, event: Event) -> None:
        """Re-run an event of the contract."""
        self._routes[event.name](event)
        self._counts[CHECK] += 1

    def finish(self, spot: Spot) -> None:
        """Differs where goods left that were not sold."""
        spot.same("goods that left without a sale", expected=None, found=self._leaving)

    def answer(self, view: str, arguments: tuple[int | str, ...]) -> list[object] | None:
        """What a view must say now; None for views that are not modelled."""
        if view != "last_sale":
            return None
        lot = self.lots.get(str(arguments[0]), Lot(self.terms))
        return [{"amount": lot.sold, "price": lot.price}]

    # Lots

    def _lot(self, event: Event) -> Lot:
        token, spot = event.text("token"), event.spot(CHECK)
        spot.same("goods in the network's own token", expected=False, found=token == self._token)
        return self.lots.setdefault(token, Lot(self.terms))

    def _arrived(self, event: Event) -> None:
        lot, amount = self._lot(event), event.number("amount")
        event.spot(CHECK).same("something that arrived", expected=True, found=amount > 0)
        lot.arrive(amount, event.time)
        bounded = lot.held <= MOST_HELD
        event.spot(CHECK).same("a lot that can be held", expected=True, found=bounded)
        self._check(event, lot)

    def _missing(self, event: Event) -> None:
        lot, amount = self._lot(event), event.number("amount")
        held = 0 < amount <= lot.held
        event.spot(CHECK).same("missing goods that were held", expected=True, found=held)
        lot.vanish(amount, event.time)
        self._check(event, lot)

    def _check(self, event: Event, lot: Lot) -> None:
        """Differs unless the event tells the goods and the ask that are left."""
        event.same(CHECK, "held", lot.held)
        event.same(CHECK, "ask", lot.ask)

    # Sales

    def _moved(self, event: Event) -> None:
        spot = event.spot(CHECK)
        spot.field("Movement.purpose").same(
            "the purpose", expected=FEE, found=event.number("purpose")
        )
        event.same(CHECK, "sender", self.contract)
        spot.same("a sale inside a sale", expected=None, found=self._leaving)
        self._leaving = (event.text("token"), event.number("amount"), event.text("recipient"))

    def _sold(self, event: Event) -> None:
        lot, amount, paid = self._lot(event), event.number("amount"), event.number("paid")
        spot, buyer = event.spot(CHECK), event.text("buyer")
        held = 0 < amount <= lot.held
        spot.same("sold goods that were held", expected=True, found=held)
        lot.fall(event.time)
        event.same(CHECK, "paid", lot.price_of(amount))
        spot.same("the least sale or more", expected=True, found=paid >= self.terms.lowest)
        left = (event.text("token"), amount, event.text("to"))
        spot.same("the goods that left", expected=left, found=self._leaving)
        self._burns.pay(buyer, paid, what="a burn by the buyer of what was paid", spot=spot)
        self._check_order(event)
        lot.sell(amount, paid)
        self._check(event, lot)
        self._leaving = None
        self.burned += paid
        self._counts["sales"] += 1

    def _check_order(self, event: Event) -> None:
        """Differs where the buyer wanted something else; known where he called the auction."""
        wrong = event.text("to") in (ZERO_ADDRESS, self.contract)
        event.spot(CHECK).same("goods for nobody", expected=False, found=wrong)
        if event.transaction.to != self.contract:
            return
        event.same(CHECK, "buyer", event.transaction.sender())
        call = abi.interface("auction").read_call(event.transaction.data)
        order = {} if call is None else call[1]
        for name in ("token", "amount", "to"):
            event.same(CHECK, name, order.get(name))
        agreed = (
            event.number("paid") <= inputs.number(order, "max_price")
            and event.number("received") >= inputs.number(order, "min_received")
            and event.time <= inputs.number(order, "deadline")
        )
        event.spot(CHECK).same("the buyer's bounds", expected=True, found=agreed)
