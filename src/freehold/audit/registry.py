"""Who takes part, as the registry's events tell it: owners, payouts, generations, what it cost.

The price of registering is that of docs/decisions/0012-auctions-and-moving-prices.md.
"""

from __future__ import annotations

from collections import Counter

from freehold.audit import abi, inputs
from freehold.audit.burns import Burns
from freehold.audit.events import Event
from freehold.audit.inputs import Fields
from freehold.audit.report import Spot
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.economics.pricing import Price, Terms

CHECK = "registry"
_TOLD = ("owner", "payout", "roles", "generation", "endpoint", "tls", "info")


class Registry:
    """The nodes of the network."""

    def __init__(
        self, made: Fields, *, contract: Address, token: Address, burns: Burns,
        counts: Counter[str],
    ) -> None:  # fmt: skip
        self._contract, self._burns, self._counts = contract, burns, counts
        self._price = _price(made, token)
        self.burned = 0
        self.nodes: dict[str, dict[str, object]] = {}

    def apply(self, event: Event) -> None:
        """Re-run an event of the registry."""
        if event.name == "NodeRegistered":
            self._registered(event)
        elif event.name == "NodeUpdated":
            self._updated(event)
        elif event.name == "NodeRetired":
            self._known(event)["retired"] = True

    def price_at(self, moment: int) -> int:
        """What registering a new node burns, base units; 0 where it is free."""
        return 0 if self._price is None else self._price.at(moment)

    def payout(self, node: str) -> object:
        """Where a node is paid now."""
        return self.nodes.get(node, {}).get("payout", ZERO_ADDRESS)

    def owner(self, node: str) -> object:
        """Who owns a node."""
        return self.nodes.get(node, {}).get("owner", ZERO_ADDRESS)

    def answer(self, view: str, arguments: tuple[int | str, ...]) -> list[object] | None:
        """What a view must say now; None for views that are not modelled."""
        if view == "count":
            return [len(self.nodes)]
        if view == "node":
            return [self.nodes.get(str(arguments[0]))]
        return None

    def _registered(self, event: Event) -> None:
        before = self.nodes.get(event.address("node"))
        spot = event.spot(CHECK)
        generation = 1
        if before is not None:
            spot.same("a node that retired", expected=True, found=before["retired"])
            event.same(CHECK, "owner", before["owner"])
            generation = event_generation(before) + 1
        event.same(CHECK, "generation", generation)
        self._check_burn(event, due=self.price_at(event.time) if before is None else 0)
        fields = {name: event.args[name] for name in _TOLD}
        told = {"registered_at": event.time, "retired": False}
        self.nodes[event.address("node")] = {**fields, **told}
        self._counts["registrations"] += 1

    def _check_burn(self, event: Event, *, due: int) -> None:
        """Differs unless the owner burned the price, which then rises."""
        event.same(CHECK, "burned", due)
        if self._price is None or not due:
            return
        self._check_bound(event, due)
        words = "a burn by the owner of the price of registering"
        self._burns.pay(event.text("owner"), due, what=words, spot=event.spot(CHECK))
        self._price = self._price.used(event.time)
        self.burned += due

    def _check_bound(self, event: Event, due: int) -> None:
        """Differs where the owner allowed less; known where he called the registry."""
        if event.transaction.to != self._contract:
            return
        call = abi.interface("registry").read_call(event.transaction.data)
        most = None if call is None else call[1].get("most")
        within = not isinstance(most, int) or due <= most
        event.spot(CHECK).same("the owner's bound", expected=True, found=within)

    def _updated(self, event: Event) -> None:
        node = self._known(event)
        event.same(CHECK, "owner", node["owner"])
        event.same(CHECK, "generation", node["generation"])
        node.update({name: event.args[name] for name in _TOLD})

    def _known(self, event: Event) -> dict[str, object]:
        found = self.nodes.get(event.address("node"))
        if found is None or found["retired"]:
            name = event.address("node")
            raise event.spot(CHECK).differs("the node", expected="one in service", found=name)
        return found


def _price(made: Fields, token: Address) -> Price | None:
    """The price before anybody registered; None where it is free."""
    names = ("lowest_", "highest_", "half_life_", "factor_bps_")
    lowest, *others = (inputs.number(made, name) for name in names)
    if not lowest:
        return None
    burnt = inputs.account(made, "token_")
    Spot(CHECK).same("the token that registering burns", expected=token, found=burnt)
    return Price(Terms(lowest, *others), last=lowest, moment=0)


def event_generation(node: dict[str, object]) -> int:
    """A node's generation as a number."""
    value = node["generation"]
    return value if isinstance(value, int) else 0
