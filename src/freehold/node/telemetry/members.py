"""Who may report here: devices that the chain lists and nodes that said hello.

The list follows the chain's events and answers from memory. The contract cannot check that a
device's key agreed to its owner, so it is checked here, and a device without that counts for
nobody. A key that two name is the first one's.

Threats: hellos of strangers (only a registered node in service is heard, and its signature is
looked at before anything else); a hello that is sent again (an older one changes nothing); a place
that was made up (the chain has its hash). Cells are kept here and shown to nobody.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from freehold.domain import pairing
from freehold.domain.did import Did
from freehold.domain.document import MalformedError, parse_document
from freehold.domain.errors import AccessError, ConflictError, FreeholdError, UsageError
from freehold.domain.ids import Address, address
from freehold.domain.network import Network
from freehold.ledger.values import Event
from freehold.node.files import disk, make_folder, replace_file
from freehold.node.hello import Hello
from freehold.node.logs import fields
from freehold.node.telemetry.access import Want
from freehold.telemetry.members import Member, UnknownError
from freehold.telemetry.sources import Sources

DEVICE, NODE = "device", "node"
HELLO_SECONDS = 600
"""How far the moment of a hello may be from the ledger's."""
CELL_MAX = 1_024
"""Bytes of a cell's file."""
_PAGE = 1_000
_KINDS = (
    ("registry", "NodeRegistered"),
    ("registry", "NodeUpdated"),
    ("registry", "NodeRetired"),
    ("devices", "Enrolled"),
    ("devices", "Updated"),
    ("devices", "Retired"),
)
_log = logging.getLogger(__name__)


class Events(Protocol):
    """The index of a network's events."""

    def sync(self) -> int: ...

    def rollbacks(self) -> int: ...

    def events(
        self, contract: str, name: str, *, until: int | None = None, after: Event | None = None,
        limit: int = _PAGE,
    ) -> list[Event]: ...  # fmt: skip


@dataclass(frozen=True, slots=True)
class Device:
    """A device as the chain lists it; ``did`` is None where its key never agreed to its owner."""

    owner: Address
    did: Did | None
    place: bytes
    active: bool = True


@dataclass(frozen=True, slots=True)
class Node:
    """A node as the chain lists it."""

    owner: Address
    active: bool = True


@dataclass(slots=True, eq=False)
class _Book:
    nodes: dict[Address, Node] = field(default_factory=dict)
    devices: dict[Address, Device] = field(default_factory=dict)
    by_id: dict[str, Member] = field(default_factory=dict)
    by_did: dict[Did, Member] = field(default_factory=dict)
    last: dict[tuple[str, str], Event] = field(default_factory=dict)

    def seat(self, name: str, member: Member | None) -> None:
        """Put ``member`` in the place of ``name``, or nobody; found at every moment."""
        before = self.by_id.get(name)
        if member is not None and self.by_did.get(member.did, member).id != name:
            _log.warning("a key is another's", extra=fields(member=name, did=member.did.text))
            member = None
        if member is None:
            self.by_id.pop(name, None)
        else:
            self.by_did[member.did] = self.by_id[name] = member
        if before is not None and (member is None or before.did != member.did):
            self.by_did.pop(before.did, None)


class Roll:
    """The members of ``network`` that report to ``service``; every method from any thread.

    ``folder`` keeps hellos and cells; ``now`` gives the ledger's seconds.
    """

    def __init__(
        self, index: Events, network: Network, folder: Path, *, service: Address,
        now: Callable[[], int],
    ) -> None:  # fmt: skip
        self._index, self._network, self._folder = index, network, folder
        self._service, self._now = service, now
        self._domain = network.domain("registry")
        self._lock = threading.RLock()
        self._undone = index.rollbacks()
        with disk(folder):
            make_folder(folder)
        self._hellos = {each.node: each for each in self._kept_hellos()}
        self._cells = dict(self._kept_cells())
        self._book = _Book()

    # --- looking ---------------------------------------------------------------------------------

    def find(self, did: Did) -> Member | None:
        """The member with this key."""
        return self._book.by_did.get(did)

    def member(self, name: str) -> Member | None:
        """The member with this id."""
        return self._book.by_id.get(name)

    def all(self) -> list[Member]:
        """Everybody, by id."""
        with self._lock:
            return [self._book.by_id[name] for name in sorted(self._book.by_id)]

    def device(self, name: Address) -> Device | None:
        """What the chain says of a device."""
        return self._book.devices.get(name)

    # --- following the chain ---------------------------------------------------------------------

    def refresh(self) -> None:
        """Take in what the chain logged since; UnavailableError."""
        reached = self._index.sync()
        with self._lock:
            undone = self._index.rollbacks()
            book = self._book if undone == self._undone else _Book()
            fresh = [event for kind in self._kinds() for event in self._fresh(book, kind, reached)]
            for event in sorted(fresh, key=lambda each: (each.block, each.index)):
                self._apply(book, event)
            self._book, self._undone = book, undone

    def _kinds(self) -> Iterator[tuple[str, str]]:
        return (kind for kind in _KINDS if kind[0] in self._network.contracts)

    def _fresh(self, book: _Book, kind: tuple[str, str], reached: int) -> Iterator[Event]:
        while True:
            page = self._index.events(*kind, until=reached, after=book.last.get(kind), limit=_PAGE)
            if page:
                book.last[kind] = page[-1]
            yield from page
            if len(page) < _PAGE:
                return

    def _apply(self, book: _Book, event: Event) -> None:
        if event.contract == "registry":
            node, owner = event.address("node"), event.address("owner")
            book.nodes[node] = Node(owner, active=event.name != "NodeRetired")
            self._seat_node(book, node)
            return
        device = event.address("device")
        if event.name == "Enrolled":
            book.devices[device] = self._enrolled(device, event)
        elif event.name == "Updated":
            book.devices[device] = replace(book.devices[device], place=event.data("place"))
        else:
            book.devices[device] = replace(book.devices[device], active=False)
        self._seat_device(book, device)

    def _enrolled(self, device: Address, event: Event) -> Device:
        owner, place = event.address("owner"), event.data("place")
        network_id, binding = self._network.network_id, event.data("binding")
        try:
            did = Did.read(event.data("key"))
            pairing.check(did, binding, network_id=network_id, device=device, owner=owner)
        except FreeholdError as error:
            _log.info("no device", extra=fields(device=device, reason=error.message))
            return Device(owner, None, place)
        return Device(owner, did, place)

    def _seat_device(self, book: _Book, device: Address) -> None:
        entry = book.devices[device]
        if not entry.active or entry.did is None:
            book.seat(device, None)
            return
        salt, cell = self._cells.get(device, (b"", ""))
        cell = cell if cell and pairing.place(salt, cell) == entry.place else ""
        book.seat(device, Member(device, entry.did, entry.owner, DEVICE, cell))

    def _seat_node(self, book: _Book, node: Address) -> None:
        entry, hello = book.nodes.get(node), self._hellos.get(node)
        if entry is None or hello is None or not entry.active:
            book.seat(node, None)
            return
        try:
            hello.check_owner(self._domain, entry.owner)
        except FreeholdError:  # of an owner before this one
            book.seat(node, None)
            return
        book.seat(node, Member(node, hello.did, entry.owner, NODE))

    # --- what members say ------------------------------------------------------------------------

    def take(self, letter: bytes) -> Mapping[str, object]:
        """A node's hello: its signature first, then whether the chain knows the node.

        UsageError, AccessError, UnknownError; ConflictError for one that is older than the last.
        """
        hello = Hello.parse(letter)
        hello.check(self._domain)
        with self._lock:
            self._check(hello)
            replace_file(self._folder / f"hello-{hello.node.lower()}.json", hello.render())
            self._hellos[hello.node] = hello
            self._seat_node(self._book, hello.node)
        return {"node": hello.node, "did": hello.did.text}

    def _check(self, hello: Hello) -> None:
        if hello.service != self._service:
            raise AccessError(
                f"the hello is for {hello.service}, this is {self._service}",
                remedy="Say hello to this service.",
            )
        entry = self._book.nodes.get(hello.node)
        if entry is None or not entry.active:
            raise UnknownError(
                f"no node {hello.node} is registered and in service",
                remedy="Register it, then wait for a block.",
            )
        hello.check_owner(self._domain, entry.owner)
        if abs(hello.at - self._now()) > HELLO_SECONDS:
            raise ConflictError(
                "the hello was not signed in these minutes", remedy="Check the clock; sign it anew."
            )
        kept = self._hellos.get(hello.node)
        if kept is not None and hello.at < kept.at:
            raise ConflictError("there is a later hello", remedy="Sign it anew.")
        taken = self._book.by_did.get(hello.did)
        if taken is not None and taken.id != hello.node:
            raise ConflictError(
                f"the key {hello.did.text} is another's", remedy="Draw a new key for the node."
            )

    def place(self, device: Address, *, salt: bytes, cell: str) -> None:
        """Where a device stands, told by its owner: the cell must be the one of which the chain
        has the hash. UnknownError, AccessError."""
        with self._lock:
            entry = self._book.devices.get(device)
            if entry is None or not entry.active:
                raise UnknownError(
                    f"no device {device} is in service", remedy="Enrol it, then wait for a block."
                )
            if pairing.place(salt, cell) != entry.place:
                raise AccessError(
                    f"this is not the cell that {device} was enrolled with",
                    remedy="Give the salt and the cell of its enrolment.",
                )
            content = json.dumps({"salt": salt.hex(), "cell": cell}).encode()
            replace_file(self._folder / f"cell-{device.lower()}.json", content)
            self._cells[device] = salt, cell
            self._seat_device(self._book, device)

    def _kept_hellos(self) -> Iterator[Hello]:
        for file in sorted(self._folder.glob("hello-*.json")):
            try:
                hello = Hello.parse(file.read_bytes())
                hello.check(self._domain)
            except (FreeholdError, OSError) as error:
                _log.warning("a hello is damaged", extra=fields(file=file.name, reason=str(error)))
                continue
            yield hello

    def _kept_cells(self) -> Iterator[tuple[Address, tuple[bytes, str]]]:
        for file in sorted(self._folder.glob("cell-*.json")):
            try:
                found = parse_document(file.read_bytes(), size=CELL_MAX)
                if not isinstance(found, dict):
                    raise ValueError("it is no object")
                salt, cell = bytes.fromhex(str(found["salt"])), str(found["cell"])
                pairing.place(salt, cell)
                yield _address_of(file), (salt, cell)
            except (MalformedError, UsageError, ValueError, KeyError, OSError) as error:
                _log.warning("a cell is damaged", extra=fields(file=file.name, reason=str(error)))


class Owners:
    """Whose devices, nodes and sources are whose: what the API asks (``access.Rights``)."""

    def __init__(
        self, roll: Roll, sources: Sources, *, bought: Callable[[Address, str, Want], bool]
    ) -> None:
        """``bought`` says whether an account paid for what it wants of a device."""
        self._roll, self._sources, self._bought = roll, sources, bought

    def owner_of(self, device: str) -> Address | None:
        """The owner of the device, node or source with this id, or of the one whose meter it is."""
        member = self._roll.member(device)
        if member is not None:
            return Address(member.owner)
        name = device.partition("/")[0]
        owners: Iterable[str] = (each.owner for each in self._sources.all() if each.id == name)
        return next((Address(owner) for owner in owners), None)

    def may_read(self, account: Address, device: str, want: Want) -> bool:
        """Whether ``account`` owns it, or bought all that it wants of a device."""
        if self.owner_of(device) == account:
            return True
        member = self._roll.member(device)
        sold = member is not None and member.kind == DEVICE
        return sold and self._bought(account, device, want)


def _address_of(file: Path) -> Address:
    return address(file.stem.partition("-")[2])
