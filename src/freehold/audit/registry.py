"""Who takes part, as the registry's events tell it: owners, payouts, generations."""

from __future__ import annotations

from collections import Counter

from freehold.audit.events import Event
from freehold.domain.ids import ZERO_ADDRESS

CHECK = "registry"
_TOLD = ("owner", "payout", "roles", "generation", "endpoint", "tls", "info")


class Registry:
    """The nodes of the network."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self.nodes: dict[str, dict[str, object]] = {}

    def apply(self, event: Event) -> None:
        """Re-run an event of the registry."""
        if event.name == "NodeRegistered":
            self._registered(event)
        elif event.name == "NodeUpdated":
            self._updated(event)
        elif event.name == "NodeRetired":
            self._known(event)["retired"] = True

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
        fields = {name: event.args[name] for name in _TOLD}
        told = {"registered_at": event.time, "retired": False}
        self.nodes[event.address("node")] = {**fields, **told}
        self._counts["registrations"] += 1

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


def event_generation(node: dict[str, object]) -> int:
    """A node's generation as a number."""
    value = node["generation"]
    return value if isinstance(value, int) else 0
