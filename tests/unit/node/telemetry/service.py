"""The telemetry API over parts in memory: callers of every kind, devices, and a hand-set clock."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import FastAPI

from freehold.domain.did import Did
from freehold.domain.errors import FreeholdError, NotFoundError
from freehold.domain.ids import Address, checksum
from freehold.domain.keys import Key
from freehold.domain.typed import Domain
from freehold.node.database import Database
from freehold.node.delegates import Delegates
from freehold.node.telemetry import views
from freehold.node.telemetry.access import Access, Limiter, Want
from freehold.node.telemetry.app import Api, Parts
from freehold.node.telemetry.directives import Directives
from freehold.node.telemetry.facts import Calendar
from freehold.node.telemetry.intake import Door, Everyone, Intake
from freehold.node.telemetry.live import Hub
from freehold.node.telemetry.meters import Meters
from freehold.node.tokens import Gate, LedgerTime
from freehold.telemetry.alerts.alert import Alert, News, Silence, State
from freehold.telemetry.findings import Finding, Severity
from freehold.telemetry.members import Member, Members
from freehold.telemetry.partition import Outcome
from freehold.telemetry.sources import Sources
from freehold.telemetry.store.ask import Answer
from freehold.telemetry.store.engine import Row
from unit.node.world import NODE, NOW, FakeChain, HandClock, network, sign_request
from unit.telemetry.devices import KEYS, NETWORK

ADMIN = "ad" * 32
OWNER, BUYER = Key.from_secret(b"\x22" * 32), Key.from_secret(b"\x33" * 32)
STRANGER, WATCHER = Key.from_secret(b"\x44" * 32), Key.from_secret(b"\x66" * 32)
CALENDAR = Calendar(1_000, 100)
DEVICE, OTHER = checksum(b"\x0a" * 20), checksum(b"\x0b" * 20)
NET = network()
DOMAIN = Domain("Freehold devices", 31337, checksum(b"\2" * 20), NET.network_id)
ALERT = Alert(
    7, "k", "anomaly", DEVICE, "roof.temperature", Severity.WARNING, "open", 1, 2, 3, 0.99, "odd",
    1.0, 0.0, 0.5, 1, True,
)  # fmt: skip
FINDING = Finding("k", "anomaly", DEVICE, "roof.temperature", 1, 2, Severity.WARNING, 0.99, "odd")


@dataclass
class FakeIntake:
    answer: Outcome = field(default_factory=lambda: Outcome(new=True))
    raised: FreeholdError | None = None
    taken: list[bytes] = field(default_factory=list)

    def submit(self, batch: bytes) -> Future[Outcome]:
        if self.raised is not None:
            raise self.raised
        self.taken.append(batch)
        future: Future[Outcome] = Future()
        future.set_result(self.answer)
        return future


@dataclass
class FakeMembers:
    known: dict[Did, Member] = field(default_factory=dict)

    def find(self, did: Did) -> Member | None:
        return self.known.get(did)


class FakeRights:
    def owner_of(self, device: str) -> Address | None:
        return OWNER.address if device == DEVICE else None

    def may_read(self, account: Address, device: str, want: Want) -> bool:
        return device == DEVICE and account in (OWNER.address, BUYER.address)


class FakeDevices:
    def devices(
        self, account: Address | None, *, after: str, limit: int
    ) -> Sequence[views.DeviceView]:
        return [views.DeviceView(DEVICE, "device", OWNER.address, "did:key:z", 5, 0.5, ("a",))]


Asked = tuple[tuple[str, ...], tuple[str, ...], int, int, int | None, bool, int]


@dataclass
class FakeReads:
    rows: list[Row] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    fails_after: int | None = None
    closed: threading.Event = field(default_factory=threading.Event)

    def query(
        self,
        devices: Sequence[str],
        metrics: Sequence[str],
        *,
        since: int,
        until: int,
        step: int | None,
        unsound: bool,
        most: int,
    ) -> Iterator[Answer]:
        self.asked.append((tuple(devices), tuple(metrics), since, until, step, unsound, most))
        return self._answers(most)

    def _answers(self, most: int) -> Iterator[Answer]:
        try:
            for count, row in enumerate(self.rows):
                if count == self.fails_after:
                    raise NotFoundError("a file is gone", remedy="-")
                yield Answer(("time", "value"), [row], more=count + 1 == most)
        finally:
            self.closed.set()


@dataclass
class FakeAlerts:
    acknowledged: list[tuple[int, str]] = field(default_factory=list)
    silences: list[Silence] = field(default_factory=list)
    listed: list[tuple[str | None, str | None]] = field(default_factory=list)

    def list(
        self, *, state: State | None, subject: str | None, before: int | None, limit: int
    ) -> Sequence[Alert]:
        self.listed.append((state, subject))
        return [ALERT][:limit]

    def history(self, alert: int) -> Sequence[News]:
        if alert != ALERT.id:
            raise NotFoundError(f"there is no alert {alert}", remedy="-")
        return [News(1, 2, "open", "", "", False, ALERT)]

    def acknowledge(self, alert: int, *, by: str) -> Alert:
        self.acknowledged.append((alert, by))
        return ALERT

    def silence(
        self, *, until: int, by: str, reason: str, subject: str, kind: str, metric: str
    ) -> Silence:
        self.silences.append(Silence(1, subject, kind, metric, until, by, reason))
        return self.silences[-1]


@dataclass
class FakeLetters:
    taken: list[bytes] = field(default_factory=list)

    def take(self, letter: bytes) -> Mapping[str, object]:
        self.taken.append(letter)
        return {"ok": True}


class FakeEvidence:
    def epochs(self) -> Sequence[int]:
        return [3]

    def epoch(self, number: int) -> Mapping[str, object]:
        self._check(number)
        return {"epoch": number}

    def leaves(self, number: int) -> Iterator[bytes]:
        self._check(number)
        yield b"[]"

    def batches(
        self, number: int, device: str, *, since: int = 0, until: int = 2**48
    ) -> Iterator[bytes]:
        self._check(number)
        yield b"\1\0\0\0x" if since == 0 else b"%d-%d" % (since, until)

    def sign(self, number: int, letter: bytes) -> Mapping[str, object]:
        self._check(number)
        return {"epoch": number, "signatures": len(letter)}

    def _check(self, number: int) -> None:
        if number != 3:
            raise NotFoundError(f"there is no epoch {number}", remedy="-")


@dataclass
class Clockwork:
    time: float = 0.0

    def __call__(self) -> float:
        return self.time


@dataclass
class World:
    app: FastAPI
    parts: Parts
    hub: Hub
    door: Door
    intake: FakeIntake
    members: FakeMembers
    sources: Sources
    reads: FakeReads
    alerts: FakeAlerts
    letters: FakeLetters
    meters: Meters
    clock: Clockwork
    source_token: str

    def credential(self, kind: str, method: str, path: str, body: bytes = b"") -> str | None:
        """The Authorization header of a kind of caller."""
        keys = {"owner": OWNER, "buyer": BUYER, "stranger": STRANGER, "watcher": WATCHER}
        if kind in keys:
            return sign_request(NET, keys[kind], method, path, body)
        tokens = {"admin": ADMIN, "source": self.source_token, "wrong": "00" * 32}
        return f"Bearer {tokens[kind]}" if kind in tokens else None


@dataclass
class Backs:
    """What is real behind an API; the rest is made up."""

    intake: Intake
    reads: views.Reads
    alerts: views.Alerts


def world(
    home: Path,
    loop: asyncio.AbstractEventLoop,
    *,
    rate: float = 1e6,
    backs: Callable[[Members], Backs] | None = None,
) -> Iterator[World]:
    """An API whose devices and addresses may ask ``rate`` times at once."""
    clock, ticks = HandClock(), Clockwork()
    ledger_time = LedgerTime(clock, clock)
    chain = FakeChain(NET, clock)
    nonces = Database(home / "nonces.sqlite", durable=False)
    known = Database(home / "node.sqlite", durable=False)
    delegates = Delegates(chain, database=known, clock=ledger_time)
    gate = Gate(NET, NODE.address, nonces=nonces, clock=ledger_time, delegates=delegates)
    rights, meters, intake, reads = FakeRights(), Meters(), FakeIntake(), FakeReads()
    alerts, letters = FakeAlerts(), FakeLetters()
    did = Did.of(KEYS[0].public_key())
    members = FakeMembers({did: Member(DEVICE, did, OWNER.address, "device")})
    sources = Sources(
        home / "sources", network_id=NETWORK, random=lambda size: b"\x05" * size, now=1
    )
    _, token = sources.add("prom", owner=OWNER.address)
    hub = Hub(loop, meters=meters)
    everyone = Everyone(members, sources)
    behind = Backs(intake, reads, alerts) if backs is None else backs(everyone)
    with ThreadPoolExecutor(2) as workers, ThreadPoolExecutor(2) as readers:
        door = Door(
            behind.intake, members=everyone, sources=sources, workers=workers, meters=meters,
            devices=Limiter(rate=rate, burst=rate, kept=100, clock=ticks),
            now=lambda: NOW * 1000,
        )  # fmt: skip
        access = Access(
            admin=ADMIN, gate=gate, rights=rights, watches=lambda who: who == WATCHER.address
        )
        parts = Parts(
            door=door, access=access, reads=behind.reads, devices=FakeDevices(),
            calendar=CALENDAR,
            peers=Limiter(rate=rate, burst=rate, kept=100, clock=ticks), alerts=behind.alerts,
            hub=hub,
            hellos=letters, receipts=letters, evidence=FakeEvidence(), meters=meters,
            directives=Directives(
                home / "directives", domain=DOMAIN, rights=rights, now=lambda: NOW
            ),
            health=lambda: {"status": "ok"}, workers=workers, readers=readers,
            now=lambda: NOW * 1000,
        )  # fmt: skip
        yield World(
            Api(parts).build(), parts, hub, door, intake, members, sources, reads, alerts, letters,
            meters, ticks, token,
        )  # fmt: skip
    nonces.close()
    known.close()
