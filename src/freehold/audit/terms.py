"""Deals and columns as values, and what a client and the nodes signed for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from freehold.audit import inputs
from freehold.audit.events import Event
from freehold.domain.errors import AccessError, IntegrityError
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.keys import recover
from freehold.domain.network import Network
from freehold.domain.typed import ACCEPTANCE
from freehold.ledger.values import Value

ACTIVE, ENDED, FINISHED = 1, 2, 3
FOR_EVER = 2**64 - 1
"""The latest moment that a mandate can name."""


@dataclass(slots=True)
class Column:
    """One column of a deal on one node, with its rail."""

    deal: int
    slot: int
    node: Address
    set_id: int
    piece_id: int
    root: bytes
    rail: int
    price: int
    opened_period: int
    locked: int
    state: int = ACTIVE
    ended_at: int = 0
    replacer: Address = ZERO_ADDRESS
    claimed: bool = False
    movable: bool = True
    moved: bool = False
    abandoned: bool = False


@dataclass(slots=True)
class Deal:
    """An object's deal; ``request`` is what the client asked for, None where no input shows it."""

    number: int
    client: Address
    token: Address
    object_id: bytes
    k: int
    n: int
    size: int
    height: int
    opened_at: int
    term_end: int
    request: Mapping[str, Value] | None
    closed_at: int = 0
    repairs_done: int = 0
    claims: int = 0
    refunded: bool = False
    unfinished: int = 0
    present: dict[int, Column] = field(default_factory=dict)

    def mandate(self, name: str) -> int | None:
        """A limit of the client's mandate; None where no input shows it."""
        given = None if self.request is None else self.request["mandate"]
        value = given[name] if isinstance(given, dict) else None
        return value if isinstance(value, int) else None

    def prolong(self, term_end: int) -> None:
        """A later end of the term; the mandate lasts as much longer."""
        expiry = self.mandate("expiry")
        if self.request is not None and expiry is not None:
            later = min(expiry + term_end - self.term_end, FOR_EVER)
            mandate = {**cast(Mapping[str, Value], self.request["mandate"]), "expiry": later}
            self.request = {**self.request, "mandate": mandate}
        self.term_end = term_end

    def reserve(self) -> int | None:
        """What is left for repairs, base units."""
        fee, repairs = self.mandate("repair_fee"), self.mandate("repairs")
        if fee is None or repairs is None:
            return None
        return 0 if self.refunded else fee * (repairs - self.claims)

    def shown(self) -> dict[str, object] | None:
        """The fields as the contract's view names them; None where the request is not known."""
        if self.request is None:
            return None
        names = (
            "client", "token", "object_id", "k", "n", "size", "height", "opened_at", "term_end",
            "closed_at", "repairs_done",
        )  # fmt: skip
        told = {name: getattr(self, name) for name in names}
        request = {name: self.request[name] for name in ("mandate", "locator")}
        return {**told, **request, "reserve": self.reserve()}


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A node's signed consent to hold a column."""

    node: Address
    signature: bytes
    price: int
    term_end: int
    deadline: int
    nonce: int

    @classmethod
    def parse(cls, fields: Value) -> Acceptance:
        """Read the struct of a call; IntegrityError where it is none."""
        if isinstance(fields, dict):
            node, signature = fields.get("node"), fields.get("signature")
            names = ("price", "term_end", "deadline", "nonce")
            numbers = [n for n in (fields.get(name) for name in names) if isinstance(n, int)]
            if isinstance(node, str) and isinstance(signature, bytes) and len(numbers) == 4:
                return cls(Address(node), signature, *numbers)
        raise IntegrityError("an acceptance is malformed", remedy="Export the chain again.")

    def signer(self, network: Network, deal: Deal, root: bytes, *, mover: Address) -> Address:
        """Who signed it for a column of a deal, to be submitted by ``mover``; the zero address
        where nobody did.
        """
        digest = ACCEPTANCE.digest(
            network.domain("storage"),
            [self.node, deal.client, mover, deal.token, root, deal.size, deal.height, self.price,
             self.term_end, self.deadline, self.nonce],
        )  # fmt: skip
        try:
            return recover(digest, self.signature)
        except AccessError:
            return ZERO_ADDRESS


def calls(event: Event, function: str, count: int) -> Iterator[Mapping[str, Value]]:
    """Arguments of every call of a storage function that stands in the transaction's input."""
    return inputs.calls(event.transaction, "storage", function, count)


def request_of(event: Event) -> Mapping[str, Value] | None:
    """What the client asked for at a `DealOpened`; None where no input shows it."""
    for call in calls(event, "open", 2):
        request = call["request"]
        if isinstance(request, dict) and request.get("object_id") == event.args["object_id"]:
            return request
    return None


def acceptances_of(event: Event, node: Address) -> list[Acceptance]:
    """A node's acceptances in the input of a transaction; none where no input shows any."""
    listed: list[Value] = []
    for call in calls(event, "open", 2):
        given = call["acceptances"]
        listed += given if isinstance(given, list) else []
    listed += [call["acceptance"] for call in calls(event, "replace", 3)]
    return [found for each in listed if (found := Acceptance.parse(each)).node == node]
