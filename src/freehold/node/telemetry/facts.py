"""What the chain says about an epoch's pay: purchases, devices, honesty, emission, roots.

The service that pays and the watchers who co-sign read the same here. Everything is as of the
*cut*, an epoch's end and a grace after it, so that nothing that comes later changes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import merge

from freehold.domain import pairing
from freehold.domain.aspects import HONEST, WHOLE
from freehold.domain.did import Did
from freehold.domain.errors import FreeholdError, IntegrityError
from freehold.domain.ids import Address
from freehold.economics.data_pay import Purchase
from freehold.economics.trees import GRAIN
from freehold.ledger.contracts.base import convert
from freehold.ledger.contracts.roots import Header, State
from freehold.ledger.ledger import Ledger
from freehold.ledger.paging import every
from freehold.ledger.values import Event
from freehold.telemetry.worth import Span

GRACE_PARTS, GRACE_MOST = 8, 3_600
"""The grace is that part of an epoch, and no more than so many seconds."""
TOLD_MAX = 256
"""Settlements of a device's honesty that are looked at, the newest ones."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A device as it was enrolled, by a key that said so."""

    device: Address
    owner: Address
    did: Did


@dataclass(frozen=True, slots=True)
class Calendar:
    """The epochs of pay; seconds, but for ``span``."""

    genesis: int
    length: int

    @property
    def grace(self) -> int:
        """How long after an epoch's end its readings may come."""
        return min(self.length // GRACE_PARTS, GRACE_MOST)

    def at(self, moment: int) -> int:
        """The epoch of a moment."""
        return max(0, moment - self.genesis) // self.length

    def begin(self, epoch: int) -> int:
        """When an epoch begins."""
        return self.genesis + epoch * self.length

    def cut(self, epoch: int) -> int:
        """From when on an epoch can be settled; what the chain says later is too late for it."""
        return self.begin(epoch + 1) + self.grace

    def span(self, epoch: int) -> Span:
        """An epoch in milliseconds."""
        return Span(1_000 * self.begin(epoch), 1_000 * self.begin(epoch + 1))

    def settled(self, moment: int) -> int:
        """How many epochs can be settled at a moment."""
        return max(0, moment - self.genesis - self.grace) // self.length


class Facts:
    """Reads a ledger whose index somebody keeps in step (`sync`)."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.calendar = Calendar(ledger.roots.genesis(), ledger.roots.epoch_length())

    @property
    def share_bps(self) -> int:
        """How much of what burned comes back as emission at most."""
        return self.ledger.network.parameters.get("share_bps", 0)

    def sync(self) -> None:
        """Read what the chain has logged meanwhile."""
        self.ledger.index.sync()

    def bought(self, epoch: int) -> tuple[Purchase, ...]:
        """The purchases for an epoch, by number."""
        return tuple(
            Purchase(
                id=event.number("id"),
                query=event.text("query"),
                net=event.number("amount") - event.number("burned"),
                burned=event.number("burned"),
            )
            for event in self._purchases()
            if 0 <= epoch - event.number("epoch") < event.number("count")
        )

    def next_bought(self, after: int, until: int) -> int | None:
        """The first epoch from ``after`` to before ``until`` for which something was bought."""
        found = None
        for event in self._purchases():
            first = max(after, event.number("epoch"))
            if first < min(until, event.number("epoch") + event.number("count")):
                found = first if found is None else min(found, first)
        return found

    def query(self, number: int) -> str:
        """What a purchase asked for; IntegrityError where there is none such."""
        event = self.ledger.index.last("streams", "Bought", where={"id": number})
        if event is None:
            raise IntegrityError(
                f"nobody ever made purchase {number}", remedy="Report the service that says so."
            )
        return event.text("query")

    def roster(self, epoch: int) -> dict[Address, Enrolled]:
        """Every device that was enrolled by the cut, as it was last. Of several with one key only
        the first until it retires, as the service takes readings: they count once."""
        cut, index = self.calendar.cut(epoch), self.ledger.index
        found, holders, retired = dict[Address, Enrolled](), dict[Did, Address](), set[Address]()
        listed = (every(index, "devices", name) for name in ("Enrolled", "Retired"))
        for event in merge(*listed, key=lambda each: (each.block, each.index)):
            if event.time >= cut:
                break
            device = event.address("device")
            if event.name == "Retired":
                retired.add(device)
                continue
            enrolled = self._enrolled(event)
            if enrolled is None:
                continue
            retired.discard(device)
            found[device] = enrolled
            holder = holders.get(enrolled.did)
            if holder is None or holder in retired or found[holder].did != enrolled.did:
                holders[enrolled.did] = device
        return {name: each for name, each in found.items() if holders[each.did] == name}

    def honesty(self, device: Address, epoch: int) -> int:
        """Of 10^4: the mean of what watchers settled from an epoch's beginning to its cut; what
        they settled last before; all, where they never did."""
        if "status" not in self.ledger.network.contracts:
            return WHOLE
        begin, cut = self.calendar.begin(epoch), self.calendar.cut(epoch)
        settled = self.ledger.index.events(
            "status", "Settled", where={"subject": device, "aspect": HONEST},
            limit=TOLD_MAX, newest_first=True,
        )  # fmt: skip
        before = [event for event in settled if event.time < cut]
        lately = [event for event in before if event.time >= begin] or before[:1]
        told = [min(max(event.number("value"), 0), WHOLE) for event in lately]
        return sum(told) // len(told) if told else WHOLE

    def stood(self, device: Address, cell: str, salt: bytes) -> bool:
        """Whether a device's owner ever committed to that cell."""
        told = pairing.place(salt, cell)
        where = {"device": device}
        return any(
            event.data("place") == told
            for name in ("Enrolled", "Updated")
            for event in every(self.ledger.index, "devices", name, where)
        )

    def drawn(self, epoch: int) -> int:
        """What of an epoch's emission was drawn for the roots, base units."""
        if "issuance" not in self.ledger.network.contracts:
            return 0
        roots = self.ledger.roots.address
        where = {"epoch": epoch, "market": self.ledger.issuance.market_of(roots), "to": roots}
        drawn = every(self.ledger.index, "issuance", "Drawn", where)
        return sum(event.number("amount") for event in drawn)

    def state(self) -> State:
        """Where the roots stand."""
        return self.ledger.roots.state()

    def parent(self, position: int) -> bytes:
        """The hash of the root at a position, 32 bytes."""
        return convert(bytes, self.ledger.call("roots", "headers", [position]))

    def header(self, position: int) -> Header | None:
        """The newest root that was proposed for a position; None for the empty one."""
        for event in self.ledger.index.events(
            "roots", "Proposed", limit=TOLD_MAX, newest_first=True
        ):
            header = convert(Header, event.args["header"])
            if header.position == position:
                return header
        return None

    def most(self) -> int:
        """What a root may add to the final ones by its bond and the growth that is allowed."""
        rules = self.ledger.roots.parameters()
        return min(rules.bond, rules.growth * GRAIN)

    def _purchases(self) -> Iterable[Event]:
        return every(self.ledger.index, "streams", "Bought")

    def _enrolled(self, event: Event) -> Enrolled | None:
        """None where the key never said that it is this device's: the contract cannot tell."""
        device, owner = event.address("device"), event.address("owner")
        try:
            did = Did.read(event.data("key"))
            network = self.ledger.network.network_id
            pairing.check(
                did, event.data("binding"), network_id=network, device=device, owner=owner
            )
        except FreeholdError:
            return None
        return Enrolled(device, owner, did)
