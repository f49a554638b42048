"""One telemetry service: all its parts, wired; nothing is served and no chore runs before it is
told to.

``chores`` lists all that it does again and again; who adds work adds a line there.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from freehold.domain.clock import SystemClock
from freehold.domain.errors import FreeholdError
from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.domain.network import Network
from freehold.ledger.ledger import Ledger
from freehold.ledger.values import View
from freehold.node.announcer import Announcer
from freehold.node.database import Database
from freehold.node.delegates import Delegates
from freehold.node.files import disk, make_folder
from freehold.node.logs import fields
from freehold.node.loops import Chore, Crew
from freehold.node.settings import NO
from freehold.node.telemetry.access import (
    DEVICE_BURST,
    DEVICE_RATE,
    NAMES_KEPT,
    PEER_BURST,
    PEER_RATE,
    Access,
    Limiter,
    admin_token,
)
from freehold.node.telemetry.app import Api, Parts
from freehold.node.telemetry.buyers import Buyers
from freehold.node.telemetry.directives import Directives
from freehold.node.telemetry.epochs import Books, Epochs
from freehold.node.telemetry.evidence import Kept
from freehold.node.telemetry.facts import Calendar
from freehold.node.telemetry.frames import FrameDoor, Frames
from freehold.node.telemetry.intake import Door
from freehold.node.telemetry.listing import Listing
from freehold.node.telemetry.live import Hub
from freehold.node.telemetry.members import Owners
from freehold.node.telemetry.meters import Meters
from freehold.node.telemetry.office import Desks, Office
from freehold.node.telemetry.pay import Pay
from freehold.node.telemetry.relay import TRIGGER_SECONDS, Relay, Trigger
from freehold.node.telemetry.settings import Settings
from freehold.node.telemetry.watchers import Watchers
from freehold.node.telemetry.works import Works
from freehold.node.tokens import Gate, LedgerTime
from freehold.node.watcher.observe.field import ask, wishes
from freehold.telemetry import jetstream
from freehold.telemetry.embedded import Embedded

WORKERS, READERS = 8, 4
STOP_SECONDS = 5.0
EPOCHS_KEPT = 4
"""Epochs whose evidence is kept whatever the settings say."""
PAYING, PAY_SECONDS = {"streams", "roots", "devices"}, 5.0
"""Contracts that a network needs so that devices are paid."""
BEGAN = "began"
_log = logging.getLogger(__name__)


def millis() -> int:
    """Milliseconds since 1970 by this machine's clock."""
    return time.time_ns() // 1_000_000


class Service:
    """All parts of a service on one home, until ``close``."""

    def __init__(
        self, settings: Settings, network: Network, key: Key, *, ledger: Ledger,
        loop: asyncio.AbstractEventLoop, nats: str = "",
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:  # fmt: skip
        """``loop`` will serve; ``nats`` is the URL of a broker whose stream is worked on too."""
        self.settings, self.network, self.key = settings, network, key
        self.ledger, self.nats = ledger, nats
        self.low_gas, self.store_bytes = False, 0
        self.meters = Meters()
        self.crew = Crew(failed=lambda name: self.meters.failures.labels(name).inc())
        self.workers = ThreadPoolExecutor(WORKERS, "work")
        self.readers = ThreadPoolExecutor(READERS, "read")
        self.time = LedgerTime(SystemClock(), ledger)
        home = settings.home
        self.database = Database(home / "service.sqlite")
        self.nonces = Database(home / "nonces.sqlite", durable=False)
        self.works = Works(
            settings, network, index=ledger.index, service=key.address, random=random, now=millis,
            seconds=self.time.now,
        )  # fmt: skip
        self.works.roll.refresh()
        self.engine = Embedded(self.works.partitions, members=self.works.members, clock=millis)
        self.owner = ledger.registry.owner_of(key.address)
        self.calendar = Calendar(ledger.roots.genesis(), ledger.roots.epoch_length())
        self._wire(loop, random)

    def _wire(self, loop: asyncio.AbstractEventLoop, random: Callable[[int], bytes]) -> None:
        settings, network, works, home = self.settings, self.network, self.works, self.settings.home
        self.hub = Hub(loop, meters=self.meters)
        works.listen(self.hub.tell)
        buyers = Buyers(self.ledger.index, self.calendar)
        self.rights = Owners(works.roll, works.sources, bought=buyers.bought)
        delegates = Delegates(self.ledger, database=self.database, clock=self.time)
        self.gate = Gate(
            network, self.key.address, nonces=self.nonces, clock=self.time, delegates=delegates
        )
        watchers = Watchers(self.ledger.index, self.ledger.registry, clock=self.time)
        self.access = Access(
            admin=admin_token(home, random), gate=self.gate, rights=self.rights,
            watches=watchers.has,
        )  # fmt: skip
        automated = "automation" in network.contracts
        self.relay = Relay(
            self.ledger.automation if automated else None,
            network.domain("automation") if automated else None,
            known=self._in_service, low=lambda: self.low_gas,
        )  # fmt: skip
        self.listing = Listing(
            works.roll, works.sources, self.rights, works.lately, self.engine.partition, millis
        )
        kept = Kept(
            self.calendar, self.engine.partitions, kept=self.kept_seconds, began=self._began(),
            now=self.time.now,
        )  # fmt: skip
        self.epochs = Epochs(
            self.ledger, self.calendar, Books(home / "epochs"), of=self.engine.partition, kept=kept
        )
        self.door = Door(
            self.engine, members=works.members, sources=works.sources,
            devices=_limiter(DEVICE_RATE, DEVICE_BURST), workers=self.workers, meters=self.meters,
            now=millis,
        )  # fmt: skip
        self.frames = Frames(
            home / "frames", sources=works.sources, sink=works.store, listener=works.tell,
            now=millis,
        )  # fmt: skip
        self.exports = settings.home / "exports"
        with disk(self.exports):
            make_folder(self.exports)
            for left in self.exports.iterdir():
                left.unlink()

    def api(self) -> Api:
        """The HTTP API over these parts; ``office`` has the rest of its routes."""
        works = self.works
        directives = Directives(
            self.settings.home / "directives", domain=self.network.domain("devices"),
            rights=self.rights, now=self.time.now,
        )  # fmt: skip
        return Api(
            Parts(
                door=self.door, access=self.access, peers=_limiter(PEER_RATE, PEER_BURST),
                devices=self.listing, reads=works.store, alerts=works.desk, hub=self.hub,
                hellos=works.roll, receipts=self.relay, directives=directives,
                evidence=self.epochs, calendar=self.calendar, health=self.health,
                meters=self.meters,
                workers=self.workers, readers=self.readers, now=millis,
            )
        )  # fmt: skip

    def office(self, random: Callable[[int], bytes] = os.urandom) -> Office:
        """What the administrator asks for."""
        works = self.works
        return Office(
            Desks(
                access=self.access, roll=works.roll, sources=works.sources, hooks=works.hooks,
                alerts=works.desk, store=works.store, exports=self.exports, owner=self.owner,
                random=random, now=millis, pool=self.readers,
            )
        )  # fmt: skip

    def frame_door(self) -> FrameDoor:
        """The way in for dense sources."""
        return FrameDoor(self.frames, door=self.door, workers=self.workers, meters=self.meters)

    # --- chores ----------------------------------------------------------------------------------

    def chores(self, announcer: Announcer) -> Iterator[Chore]:
        """All that is done again and again, each in a thread of its own."""
        works = self.works
        yield Chore("members", self._follow, 2.0)
        yield Chore("announcer", announcer.step, 30.0)
        yield Chore("cohorts", works.compare, 1.0)
        yield Chore("alerts", works.desk.sweep, 5.0)
        yield Chore("courier", self._deliver, 2.0)
        yield Chore("tidy", works.tidy, 30.0)
        yield Chore("retain", works.retain, 3_600.0)
        yield Chore("evidence", lambda: works.forget(self.kept_seconds), 600.0)
        yield Chore("frames", self.frames.keep, 600.0)
        yield Chore("nonces", self._forget_nonces, 60.0)
        yield Chore("gauges", self._measure, 15.0)
        yield Chore("relay", self.relay.step, 1.0)
        if self.settings.trigger != NO and "automation" in self.network.contracts:
            trigger = Trigger(self.ledger.automation, due=self._due, low=lambda: self.low_gas)
            yield Chore("trigger", trigger.step, TRIGGER_SECONDS)
        if set(self.network.contracts) >= PAYING:
            yield Chore("pay", Pay(self.ledger, self.epochs, now=millis).step, PAY_SECONDS)
        if self.nats:
            yield Chore("broker", self._take_from_broker, 1.0)

    def work(self, announcer: Announcer) -> None:
        """Start every chore."""
        for chore in self.chores(announcer):
            self.crew.add(chore)
        self.crew.start()

    def close(self) -> None:
        """Stop the chores, work on what was taken, keep the states and close the files."""
        busy = self.crew.stop(STOP_SECONDS)
        if busy:
            _log.warning("stopped while busy", extra=fields(loops=busy))
        for pool in (self.workers, self.readers):
            pool.shutdown(wait=True, cancel_futures=True)
        self.frames.save()
        self.engine.close()
        self.works.close()
        self.nonces.close()
        self.database.close()

    def _follow(self) -> None:
        self.time.learn()
        self.works.roll.refresh()

    def _deliver(self) -> None:
        self.works.courier.deliver()

    def _forget_nonces(self) -> None:
        self.gate.forget_expired()

    def _measure(self) -> None:
        self.low_gas = self.ledger.balance(self.key.address) < self.settings.gas_reserve
        self.store_bytes = _size(self.settings.home / "store")

    def _take_from_broker(self) -> None:
        """Work on what the broker holds until the service stops."""
        done = jetstream.work(
            self.nats, self.engine.partitions, owner=self.key.address, clock=millis,
            stop=self.crew.stopping,
        )  # fmt: skip
        _log.info("left the broker", extra=fields(new=done.new, refused=done.refused))

    def _due(self) -> Sequence[int]:
        """Rules of devices that report here and can be triggered now."""
        mine = [
            wish.rule
            for wish in wishes(self.ledger, now=self.time.now())
            if self._in_service(wish.terms.device)
        ]
        asked = ask(self.ledger, bool, [View("automation", "due", (rule,)) for rule in mine])
        return [rule for rule, due in zip(mine, asked, strict=True) if due]

    # --- what others ask -------------------------------------------------------------------------

    @property
    def kept_seconds(self) -> int:
        """How long signed batches are kept."""
        return max(self.settings.evidence, EPOCHS_KEPT * self.calendar.length)

    def health(self) -> dict[str, object]:
        """The JSON of ``GET /health``; ``status`` is ok, or degraded with the reasons."""
        problems = [f"{name}: {reason}" for name, reason in sorted(self.crew.failing().items())]
        trouble: FreeholdError | None = self.engine.trouble
        if trouble is not None:
            problems.append(f"nothing is taken: {trouble.message}")
        if self.low_gas:
            problems.append("gas runs low")
        return {
            "service": self.key.address,
            "network": "0x" + self.network.network_id.hex(),
            "status": "degraded" if problems else "ok",
            "problems": problems,
            "members": self.listing.counts(),
            "partitions": len(self.engine.partitions),
            "store_bytes": self.store_bytes,
            "receipts_waiting": self.relay.waiting,
            "dropped": self.works.desk.dropped(),
            "broker": bool(self.nats),
            **self.works.lately.rates(),
        }

    def _in_service(self, device: str) -> bool:
        entry = self.works.roll.device(Address(device))
        return entry is not None and entry.active

    def _began(self) -> int:
        """When this home began to take batches, by the ledger's seconds."""
        if not self.database.mark(BEGAN):
            self.database.remember(BEGAN, str(self.time.now()))
        return int(self.database.mark(BEGAN))


def _limiter(rate: float, burst: float) -> Limiter:
    return Limiter(rate=rate, burst=burst, kept=NAMES_KEPT, clock=time.monotonic)


def _size(folder: Path) -> int:
    """Bytes of the files below ``folder``; what goes meanwhile does not count."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(path) / name).stat().st_size
            except OSError:
                continue
    return total
