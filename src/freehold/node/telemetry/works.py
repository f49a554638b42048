"""The works: everything between a signed batch and an alert, on one home.

Members from the chain, sources, partitions, the store, the desk with its hooks. The service puts an
API before it; a worker runs it on a broker alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from freehold.domain.ids import Address
from freehold.domain.network import Network
from freehold.node.files import disk, make_folder
from freehold.node.logs import fields
from freehold.node.telemetry.cohorts import Cohorts
from freehold.node.telemetry.detector import FleetDetector
from freehold.node.telemetry.intake import Everyone
from freehold.node.telemetry.lately import Lately
from freehold.node.telemetry.members import Events, Roll
from freehold.node.telemetry.settings import Settings
from freehold.telemetry.alerts.courier import Courier
from freehold.telemetry.alerts.desk import Desk
from freehold.telemetry.alerts.hooks import Hooks
from freehold.telemetry.findings import Finding
from freehold.telemetry.lies import Watch
from freehold.telemetry.partition import Listener, Partition, Place, Rules
from freehold.telemetry.sources import Sources
from freehold.telemetry.store.limits import StoreLimits
from freehold.telemetry.store.store import Store

OWN_HOOK = "settings"
"""The name of the hook that the settings ask for."""
MEMORY_MB = 256
_DAY = 86_400
_log = logging.getLogger(__name__)


class Works:
    """The parts, open until ``close``; ``now`` gives milliseconds, ``seconds`` the ledger's time,
    ``parts`` the partitions that are worked on here (None: all)."""

    def __init__(
        self, settings: Settings, network: Network, *, index: Events, service: Address,
        random: Callable[[int], bytes], now: Callable[[], int], seconds: Callable[[], int],
        parts: Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        self._settings, self._network, self._now = settings, network, now
        home = settings.home
        self._listeners: list[Listener] = []
        self.roll = Roll(index, network, home / "members", service=service, now=seconds)
        self.sources = Sources(
            home / "sources", network_id=network.network_id, random=random, now=now()
        )
        self.members = Everyone(self.roll, self.sources)
        self.hooks = Hooks(home / "hooks.json")
        self._own_hook()
        self.store = Store(
            home / "store",
            limits=StoreLimits(memory_mb=MEMORY_MB, bytes=settings.store_bytes),
        )
        self.desk = Desk(home / "alerts.sqlite", clock=now, hooks=self.hooks.all)
        self.courier = Courier(self.desk, self.hooks, clock=now)
        self.lately = Lately(self.store, now=now)
        self.cohorts = Cohorts(
            self.lately, member=self.roll.member, listener=self.tell, file=home / "cohorts"
        )
        self._listeners.append(self.desk.tell)
        chosen = range(settings.partitions) if parts is None else parts
        self.partitions = [self._partition(home / "partitions", part) for part in chosen]

    def listen(self, listener: Listener) -> None:
        """Tell ``listener`` of findings as well, after the desk; it must never wait."""
        self._listeners.append(listener)

    def tell(self, findings: Sequence[Finding]) -> None:
        """Tell everybody who listens."""
        for listener in self._listeners:
            listener(findings)

    def tidy(self) -> None:
        """Merge small files of the store and bring its levels up to date."""
        now = self._now()
        self.store.compact(now)
        self.store.downsample(now)

    def retain(self) -> None:
        """Drop readings that are too old."""
        spans = self._settings
        dropped = self.store.retain(
            self._now(), raw_days=spans.raw // _DAY, minute_days=spans.minutes // _DAY,
            hour_days=spans.hours // _DAY,
        )  # fmt: skip
        if dropped:
            _log.info("dropped", extra=fields(files=dropped))

    def compare(self) -> None:
        """Compare the devices of each cohort with each other."""
        self.cohorts.step(self._now())

    def forget(self, seconds: int) -> None:
        """Delete signed batches that are older than ``seconds``."""
        for partition in self.partitions:
            partition.forget(self._now() - seconds * 1_000)

    def close(self) -> None:
        """Close what is not the partitions': they have whoever runs them to close them."""
        self.cohorts.close()
        self.courier.close()
        self.desk.close()
        self.store.close()

    def _partition(self, folder: Path, part: int) -> Partition:
        with disk(folder):
            make_folder(folder)
        count = self._settings.partitions
        place = Place(
            folder / f"{part:04d}.sqlite", self._network.network_id, part=part, partitions=count
        )
        return Partition(
            place, members=self.members, detector=FleetDetector, sink=self.cohorts,
            listener=self.tell, now=self._now(),
            rules=Rules(watch=Watch(every=self._settings.watch * 1_000)),
        )  # fmt: skip

    def _own_hook(self) -> None:
        """Keep the hook of the settings as they say; its secret is in the hooks' file."""
        url, kept = self._settings.webhook, self.hooks.find(OWN_HOOK)
        if kept is not None and kept.url != url:
            self.hooks.remove(OWN_HOOK)
            kept = None
        if url and kept is None:
            self.hooks.add(OWN_HOOK, url, private=True)
