"""What is sensed, run again: devices, the status that watchers agree on, automation, streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from freehold.audit.automation import Automation
from freehold.audit.beacon import Beacon
from freehold.audit.burns import Burns
from freehold.audit.claims import Question
from freehold.audit.deployment import integer
from freehold.audit.devices import Devices
from freehold.audit.economy import Economy, Made
from freehold.audit.events import Event
from freehold.audit.registry import Registry
from freehold.audit.report import Spot
from freehold.audit.stakes import Stakes
from freehold.audit.status import Status
from freehold.audit.streams import Streams
from freehold.domain.ids import Address
from freehold.domain.network import Network

WATCHER = 2
NAMES_SHOWN = 3


class _Model(Protocol):
    """One of the four contracts, recomputed."""

    def apply(self, event: Event) -> None: ...

    def answer(self, view: str, arguments: tuple[int | str, ...]) -> list[object] | None: ...


class Sensing:
    """Devices, status, automation and streams of a network, None where there is none."""

    def __init__(
        self, network: Network, made: Made, *, beacon: Beacon, registry: Registry,
        stakes: Stakes, economy: Economy, burns: Burns, counts: Counter[str],
    ) -> None:  # fmt: skip
        at = network.contracts
        self._network, self._made, self._counts, self._at = network, made, counts, at
        self._registry, self._stakes = registry, stakes
        self.devices = (
            Devices(network, made("devices"), burns=burns, counts=counts)
            if "devices" in at
            else None
        )
        self.status = self._status(beacon) if "status" in at else None
        self.automation = self._automation() if "automation" in at else None
        self.streams = self._streams(economy) if "streams" in at else None
        found: Mapping[str, _Model | None] = {
            "devices": self.devices, "status": self.status, "automation": self.automation,
            "streams": self.streams,
        }  # fmt: skip
        self._models = {name: model for name, model in found.items() if model is not None}

    def apply(self, event: Event) -> None:
        """Re-run an event of any contract that these hear of."""
        model = self._models.get(event.contract)
        if model is not None:
            model.apply(event)
        elif self.streams is not None:
            self._move(event, self.streams)

    def _move(self, event: Event, streams: Streams) -> None:
        me = self._at["streams"]
        burned = (event.contract, event.name) == ("token", "Movement")
        if burned and event.address("sender") == me:
            streams.see_burn(event)
        funded = (event.contract, event.name) == ("roots", "Funded")
        if funded and event.address("sender") == me:
            streams.see_funding(event)

    def finish(self, event: Event) -> None:
        """Differs where a transaction promised what it did not do."""
        if self.status is not None:
            self.status.finish(event.spot("status"))
        if self.automation is not None:
            self.automation.finish(event.spot("automation"))
        if self.streams is not None:
            self.streams.finish(event.spot("streams"))

    def answer(self, question: Question) -> list[object] | None:
        """What a view must say now; None for views that are not modelled."""
        contract, view, arguments = question
        found = self._models.get(contract)
        return None if found is None else found.answer(view, arguments)

    def figures(self) -> dict[str, int]:
        """Sums that people ask for, base units and counts."""
        found: dict[str, int] = {}
        if self.devices is not None:
            found |= {"devices": len(self.devices.known), "burned by devices": self.devices.burned}
        if self.status is not None:
            found["values agreed on"] = len(self.status.values)
        if self.streams is not None:
            found["paid for readings"] = sum(self.streams.bought.values())
            found["burned by streams"] = sum(self.streams.burned.values())
        return found

    def hidden(self) -> dict[str, int]:
        """How much of what could not be checked, since no log and no input tells it."""
        found: Counter[str] = Counter()
        if self.devices is not None:
            found["consents of devices"] += self.devices.hidden
        if self.status is not None:
            found["reveals of watchers"] += self.status.hidden
        if self.automation is not None:
            found["receipts of devices"] += self.automation.hidden
        return dict(found)

    def notes(self) -> list[str]:
        """What the chain took and nobody counts, by the network's own rules."""
        wrong = sorted(self.devices.wrong) if self.devices is not None else []
        if not wrong:
            return []
        named = ", ".join(wrong[:NAMES_SHOWN]) + (", ..." if len(wrong) > NAMES_SHOWN else "")
        words = "devices whose key did not sign for device and owner, so that they count not"
        return [f"{words}: {len(wrong)} ({named})"]

    # Building

    def _status(self, beacon: Beacon) -> Status:
        return Status(
            self._network, self._made("status"), beacon=beacon, stake_of=self._stake_of,
            life=integer(self._made("staking"), "unbonding_period"), counts=self._counts,
        )  # fmt: skip

    def _automation(self) -> Automation:
        devices, status = self.devices, self.status
        if devices is None or status is None:
            wanted = "devices and status in the descriptor"
            raise Spot("automation").differs("its neighbours", expected=wanted, found="not there")
        return Automation(
            self._network, self._made("automation"), devices=devices, agreed=status.value_of,
            counts=self._counts,
        )  # fmt: skip

    def _streams(self, economy: Economy) -> Streams:
        streams = Streams(self._network, self._made("streams"), counts=self._counts)
        if economy.roots is not None:
            streams.genesis = economy.roots.genesis
            streams.epoch_length = economy.roots.epoch_length
        return streams

    def _stake_of(self, watcher: Address) -> int | None:
        """A watcher's own stake, None where it is not one in service."""
        entry = self._registry.nodes.get(watcher, {})
        roles = entry.get("roles")
        if not isinstance(roles, int) or not roles & WATCHER or entry["retired"]:
            return None
        node = self._stakes.node(watcher)
        return node.active.worth(node.shares(node.owner))
