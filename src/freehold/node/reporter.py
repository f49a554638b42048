"""A node's reports: what its machine and its work measure, signed, to the telemetry service.

It does as a device's agent does, with the agent's own parts: sensors, a key for readings, sealed
batches that wait in a bounded file while nobody takes them. The service is an operator of the
registry; it gets a hello that the node's hot key signed, so that it knows whose key that is.
Nothing here is in the way of the node's work: both chores have threads of their own.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from freehold.domain.did import Did
from freehold.domain.errors import AccessError, FreeholdError, UnavailableError
from freehold.domain.ids import ZERO_ADDRESS, Address
from freehold.domain.keys import Key
from freehold.domain.network import Network
from freehold.ledger.contracts.registry import OPERATOR, Node
from freehold.ledger.values import Event
from freehold.node.agent.buffer import FILE, Buffer, Sealed
from freehold.node.agent.door import Door
from freehold.node.agent.keys import next_boot
from freehold.node.agent.rounds import Rounds
from freehold.node.agent.sensors import Collector, Sensor, build
from freehold.node.agent.transports import Http, refusal
from freehold.node.files import disk, make_folder, replace_file
from freehold.node.hello import Hello
from freehold.node.logs import fields
from freehold.node.loops import Chore
from freehold.node.settings import AUTO, OFF

FOLDER, KEY = "report", "reading.key"
INTERVAL, SEND = 10.0, 2.0
"""Seconds between two readings, and between two looks at what waits."""
LOOK_SECONDS, LOOK_FIRST = 60, 5
"""Seconds between two looks for a service in the registry, and while none was found."""
ROOM = 16 * 2**20
"""Bytes of batches that wait."""
DOOR_SECONDS = 10.0
_log = logging.getLogger(__name__)


class Registry(Protocol):
    """Who is registered."""

    def node(self, node: Address) -> Node: ...


class Events(Protocol):
    """The index, followed by somebody else."""

    def events(self, contract: str, name: str, *, after: Event | None = None) -> list[Event]: ...


class Chain(Protocol):
    """What of the ledger is used."""

    @property
    def registry(self) -> Registry: ...

    @property
    def index(self) -> Events: ...

    def now(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Found:
    """A service: where it answers, and the SHA-256 of its certificate in hex."""

    service: Address
    url: str
    fingerprint: str


class Finder:
    """Finds the service to report to: ``wanted`` is auto, or an operator's address.

    Of several the one that was registered first is taken. UnavailableError while there is none.
    """

    def __init__(self, chain: Chain, wanted: str) -> None:
        self._chain, self._wanted = chain, wanted
        self._operators: dict[Address, None] = {}
        self._last: dict[str, Event] = {}

    def find(self) -> Found | None:
        """The service as the chain has it now, None where there is none."""
        for name in ("NodeRegistered", "NodeUpdated"):
            self._read(name)
        for operator in self._operators:
            if self._wanted not in (AUTO, operator):
                continue
            entry = self._chain.registry.node(operator)
            if entry.roles & OPERATOR and not entry.retired and _url(entry.endpoint):
                pin = entry.tls.hex() if any(entry.tls) else ""
                return Found(operator, entry.endpoint, pin)
        return None

    def _read(self, name: str) -> None:
        while page := self._chain.index.events("registry", name, after=self._last.get(name)):
            self._last[name] = page[-1]
            for event in page:
                if event.number("roles") & OPERATOR:
                    self._operators.setdefault(event.address("node"))


class Reporter:
    """The two chores of a node that reports; ``chores`` is empty where the settings say off."""

    def __init__(
        self, home: Path, network: Network, key: Key, *, chain: Chain, sensors: Sequence[Sensor],
        report: str, random: Callable[[int], bytes], millis: Callable[[], int],
    ) -> None:  # fmt: skip
        """``sensors`` come beside the machine's own; ``millis`` gives milliseconds since 1970."""
        self._folder, self._network, self._key, self._chain = home / FOLDER, network, key, chain
        self._report, self._millis, self._random = report, millis, random
        self._sensors = list(sensors)
        self._finder = Finder(chain, report)
        self._parts: _Parts | None = None
        self._found: Found | None = None
        self._door: Door | None = None
        self._greeted, self._looked = False, -LOOK_SECONDS * 1_000

    def chores(self) -> list[Chore]:
        """What the node does again and again."""
        if self._report == OFF:
            return []
        return [Chore("readings", self.sense, INTERVAL), Chore("reports", self.send, SEND)]

    def sense(self) -> None:
        """Read every sensor and keep what they say, once there is a service to tell it to."""
        parts = self._parts
        if parts is None:
            return
        now = self._millis()
        readings = parts.collector.read(now, metrics={})
        for batch in parts.rounds.take(readings, now=now, batch=1):
            parts.buffer.put(batch)

    def send(self) -> None:
        """Look for the service now and then, say hello, and send what waits, oldest first."""
        self._look()
        if self._found is None or self._door is None:
            return
        parts = self._parts = self._parts or self._open()
        if not self._greeted:
            self._greet(self._found, self._door, parts)
        transport = Http(self._door)
        while batches := parts.buffer.oldest(transport.window):
            self._send(transport, batches, parts)

    def close(self) -> None:
        """Close the connection and the file."""
        if self._door is not None:
            self._door.close()
        if self._parts is not None:
            self._parts.buffer.close()

    def _look(self) -> None:
        """Ask the registry for the service now and then; a moved one is greeted anew."""
        wait = LOOK_FIRST if self._found is None else LOOK_SECONDS
        if self._millis() - self._looked < wait * 1_000:
            return
        self._looked = self._millis()
        found = self._finder.find()
        if found == self._found:
            return
        if self._door is not None:
            self._door.close()
        self._found, self._greeted = found, False
        self._door = None
        if found is not None:
            self._door = Door(found.url, fingerprint=found.fingerprint, seconds=DOOR_SECONDS)
            _log.info("reporting", extra=fields(service=found.service, url=found.url))

    def _send(self, transport: Http, batches: Sequence[Sealed], parts: _Parts) -> None:
        taken: list[Sealed] = []

        def settle(batch: Sealed, why: str) -> None:
            if why:
                _log.warning("a report was refused", extra=fields(reason=why))
                parts.buffer.refuse(batch, why)
            else:
                taken.append(batch)

        try:
            transport.send(batches, settle)
        except FreeholdError:
            # It may have forgotten the node, or moved: look and greet before the next try.
            self._greeted, self._looked = False, -LOOK_SECONDS * 1_000
            raise
        finally:
            if taken:
                parts.buffer.delivered(taken)

    def _greet(self, found: Found, door: Door, parts: _Parts) -> None:
        owner = self._chain.registry.node(self._key.address).owner
        if owner == ZERO_ADDRESS:
            raise AccessError(
                f"node {self._key.address} is not registered",
                remedy="Run `freehold node join` as its owner.",
            )
        hello = Hello.sign(
            self._key, did=parts.did, bind=parts.sign, owner=owner, service=found.service,
            domain=self._network.domain("registry"), at=self._chain.now(),
        )  # fmt: skip
        json = {"Content-Type": "application/json"}
        answer = door.ask("POST", "/hello", hello.render(), headers=json)
        if answer.status != 200:
            raise UnavailableError(
                f"{found.url} does not know this node: {refusal(answer)[1] or answer.status}",
                remedy="It is asked again; see that the node is registered.",
            )
        self._greeted = True

    def _open(self) -> _Parts:
        with disk(self._folder):
            make_folder(self._folder)
        key = _reading_key(self._folder / KEY, self._random)
        did = Did.of(key.public_key())
        rounds = Rounds(
            network_id=self._network.network_id, did=did, boot=next_boot(self._folder),
            sign=key.sign,
        )  # fmt: skip
        sensors = [*build(_here(), folder=self._folder), *self._sensors]
        collector = Collector(
            sensors, tell=lambda text: _log.info("a sensor", extra=fields(reason=text))
        )
        return _Parts(did, key.sign, rounds, collector, Buffer(self._folder / FILE, room=ROOM))


@dataclass(frozen=True, slots=True)
class _Parts:
    did: Did
    sign: Callable[[bytes], bytes]
    rounds: Rounds
    collector: Collector
    buffer: Buffer


def _here() -> list[str]:
    """The sensors that this machine has."""
    disks = ["disk"] if shutil.which("smartctl") else []
    return ["host", *disks, *(["gpu"] if find_spec("pynvml") else [])]


def _reading_key(file: Path, random: Callable[[int], bytes]) -> Ed25519PrivateKey:
    """The key that signs the node's readings, drawn once (mode 0600)."""
    with disk(file):
        if not file.exists():
            replace_file(file, random(32).hex().encode())
        raw = file.read_text().strip()
    try:
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(raw))
    except ValueError as error:
        raise AccessError(
            f"{file} is no key", remedy="Remove it; the node draws another and says hello again."
        ) from error


def _url(endpoint: str) -> bool:
    return endpoint.startswith(("http://", "https://"))
