"""Purchases of readings run again: what each pays, what of it burned, that the rest funds roots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass

from freehold.audit import inputs
from freehold.audit.events import Event
from freehold.audit.inputs import Fields
from freehold.audit.report import Spot
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.network import Network
from freehold.ledger.sensing import FEE_BPS_MAX, FEE_BPS_MIN

CHECK = "streams"
BPS = 10_000
EPOCHS_MAX, AHEAD_MAX, AMOUNT_MAX = 52, 520, 2**96
PAYMENT, BURN = 3, 6

_Move = tuple[str, Address, Address, int]


@dataclass(frozen=True, slots=True)
class Purchase:
    """Readings paid for; ``amount`` and ``burned`` are base units of each of ``count`` epochs."""

    buyer: str
    query: str
    epoch: int
    count: int
    amount: int
    burned: int


class Streams:
    """The streams contract's state, recomputed; ``bought`` and ``burned`` are by epoch."""

    def __init__(self, network: Network, made: Fields, *, counts: Counter[str]) -> None:
        for name in ("token", "roots"):
            expected, found = network.contracts[name], inputs.account(made, f"{name}_")
            Spot(CHECK).same(f"the {name} of streams", expected=expected, found=found)
        self._at, self._me, self._counts = network.contracts, network.contracts[CHECK], counts
        self.genesis, self.epoch_length = 0, 1
        self.fee_bps = inputs.number(made, "fee_bps_")
        self.purchases: list[Purchase] = []
        self.bought: Counter[int] = Counter()
        self.burned: Counter[int] = Counter()
        self._due: Counter[_Move] = Counter()
        self._funds: Counter[tuple[int, int]] = Counter()
        self._routes: dict[str, Callable[[Event], None]] = {
            "Bought": self._buy, "Movement": self._moved, "FeeSet": self._fee_set,
        }  # fmt: skip

    def apply(self, event: Event) -> None:
        """Re-run an event of the contract."""
        self._routes[event.name](event)
        self._counts[CHECK] += 1

    def see_burn(self, event: Event) -> None:
        """Note a burn by this contract, by the token's movement."""
        self._explain(event, "token")
        event.same(CHECK, "purpose", BURN)

    def see_funding(self, event: Event) -> None:
        """Note what this contract brought to the roots."""
        key, spot = (event.number("epoch"), event.number("amount")), event.spot(CHECK)
        spot.same("a funding that was bought", expected=True, found=self._funds[key] > 0)
        self._funds[key] -= 1

    def finish(self, spot: Spot) -> None:
        """Differs where a purchase of a transaction did not move what it promised."""
        spot.same("what is due and was not moved", expected={}, found=dict(+self._due))
        spot.same("epochs that were not funded", expected={}, found=dict(+self._funds))
        self._due.clear()
        self._funds.clear()

    def answer(self, view: str, arguments: tuple[int | str, ...]) -> list[object] | None:
        """What a view must say now; None for views that are not modelled."""
        totals = {"count": len(self.purchases), "fee_bps": self.fee_bps}
        if view in totals:
            return [totals[view]]
        key = arguments[0] if arguments else None
        if not isinstance(key, int):
            return None
        if view == "purchase":
            return [asdict(self.purchases[key - 1])]
        epochs = {"bought_of": self.bought, "burned_of": self.burned}
        return [epochs[view][key]] if view in epochs else None

    def _buy(self, event: Event) -> None:
        names = ("epoch", "count", "amount")
        epoch, count, amount = (event.number(name) for name in names)
        now = (event.time - self.genesis) // self.epoch_length
        for what, holds in (
            ("a query", event.text("query") != ""),
            ("a count of epochs within bounds", 0 < count <= EPOCHS_MAX),
            ("an amount within bounds", 0 < amount <= AMOUNT_MAX),
            ("epochs that are not over, nor too far ahead", now <= epoch <= now + AHEAD_MAX),
        ):
            event.spot(CHECK).same(what, expected=True, found=holds)
        burned = -(-amount * self.fee_bps // BPS)
        event.same(CHECK, "id", len(self.purchases) + 1)
        event.same(CHECK, "burned", burned)
        event.spot(CHECK).same("something left to pay", expected=True, found=burned < amount)
        self._check_input(event)
        bought = Purchase(event.text("buyer"), event.text("query"), epoch, count, amount, burned)
        self.purchases.append(bought)
        self._owe(bought)

    def _check_input(self, event: Event) -> None:
        """Differs where the input says something else; it does where nobody stood between."""
        caller = event.transaction.caller(self._me)
        if caller is None:
            return
        event.same(CHECK, "buyer", caller)
        told = {name: event.args[name] for name in ("query", "epoch", "count", "amount")}
        shown = inputs.shown(event.transaction, CHECK, "buy", told)
        event.spot(CHECK).same("the call of buy", expected=True, found=shown)

    def _owe(self, bought: Purchase) -> None:
        """What must move in this transaction."""
        me, buyer = self._me, Address(bought.buyer)
        self._due[CHECK, buyer, me, bought.amount * bought.count] += 1
        self._due["token", me, ZERO_ADDRESS, bought.burned * bought.count] += 1
        for epoch in range(bought.epoch, bought.epoch + bought.count):
            self._funds[epoch, bought.amount - bought.burned] += 1
            self.bought[epoch] += bought.amount
            self.burned[epoch] += bought.burned

    def _moved(self, event: Event) -> None:
        event.same(CHECK, "token", self._at["token"])
        event.same(CHECK, "purpose", PAYMENT)
        self._explain(event, CHECK)

    def _explain(self, event: Event, by: str) -> None:
        names = event.address("sender"), event.address("recipient")
        key, spot = (by, *names, event.number("amount")), event.spot(CHECK)
        spot.same("a movement that is due", expected=True, found=self._due[key] > 0)
        self._due[key] -= 1

    def _fee_set(self, event: Event) -> None:
        within = FEE_BPS_MIN <= event.number("fee_bps") <= FEE_BPS_MAX
        event.spot(CHECK).same("a fee within bounds", expected=True, found=within)
        self.fee_bps = event.number("fee_bps")
