"""One node: all its parts, wired; nothing is served and no loop runs before it is told to."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from freehold.domain.clock import Clock
from freehold.domain.errors import FreeholdError
from freehold.domain.keys import Key
from freehold.domain.network import Network
from freehold.node import logs
from freehold.node.acceptance import Acceptor
from freehold.node.announcer import Announcer
from freehold.node.app import Api, Parts
from freehold.node.collector import Collector
from freehold.node.database import Database
from freehold.node.deals import Deals, Follower
from freehold.node.delegates import Delegates
from freehold.node.files import make_folder
from freehold.node.hashing import PieceHasher, Trees
from freehold.node.health import Health
from freehold.node.keeper import Keeper
from freehold.node.leaving import LEFT, Leaver
from freehold.node.loops import Chore, Crew
from freehold.node.market import Market
from freehold.node.metrics import Metrics
from freehold.node.offers import Offerer
from freehold.node.ports import Chain
from freehold.node.prover import Answerer
from freehold.node.reporter import Reporter
from freehold.node.rewarder import Rewarder
from freehold.node.scrubber import Scrubber
from freehold.node.settings import Settings
from freehold.node.spots import Spots
from freehold.node.standing import Standing
from freehold.node.store import Store
from freehold.node.tokens import Gate, LedgerTime
from freehold.node.treasury import Treasury
from freehold.node.uploads import Uploads
from freehold.node.vouchers import Till

DATABASE = "node.sqlite"
NONCES = "nonces.sqlite"
WORKERS, READERS, WRITERS = 16, 8, 4
STOP_SECONDS = 5.0
PENDING_LOOKS, PENDING_SECONDS = 8, 0.5
"""A round that is about to begin is waited for this long before the node stops."""
START_SECONDS = 60
"""How long the slowest machine takes to start its nodes."""
REWARDING = {"issuance", "rewards"}
"""Contracts that a network needs so that work earns emission."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pools:
    """Threads by what they do, so that slow chain calls never hold up bytes."""

    workers: ThreadPoolExecutor
    readers: ThreadPoolExecutor
    writers: ThreadPoolExecutor

    @classmethod
    def start(cls) -> Pools:
        """The node's thread pools."""
        return cls(
            ThreadPoolExecutor(WORKERS, "work"),
            ThreadPoolExecutor(READERS, "read"),
            ThreadPoolExecutor(WRITERS, "write"),
        )

    def stop(self) -> None:
        """Let what runs come to its end and drop the rest."""
        for pool in (self.workers, self.readers, self.writers):
            pool.shutdown(wait=True, cancel_futures=True)


class Node:
    """All parts of one node on one home; ``chain`` and ``clock`` are handed in."""

    def __init__(
        self, settings: Settings, network: Network, key: Key, *, chain: Chain, clock: Clock
    ) -> None:
        self.settings = settings
        self.key = key
        self.chain = chain
        self.clock = clock
        self.metrics = Metrics()
        self.pools = Pools.start()
        make_folder(settings.home)
        self.database = Database(settings.home / DATABASE)
        # Nonces outlive the process; that a power cut may lose the last of them is accepted,
        # for it saves a sync on every request and tokens live five minutes.
        self.nonces = Database(settings.home / NONCES, durable=False)
        self.store = Store(settings.home, self.database, capacity=settings.capacity, clock=clock)
        self.uploads = Uploads(
            self.store,
            self.database,
            settings,
            clock=clock,
            hasher=PieceHasher,
        )
        self._wire(network)
        self.crew = Crew(failed=self.metrics.failed)

    def _wire(self, network: Network) -> None:
        node, chain, clock, settings = self.key.address, self.chain, self.clock, self.settings
        database, store, metrics = self.database, self.store, self.metrics
        self.deals = Deals(database)
        self.follower = Follower(chain, node, database, self.deals)
        self.standing = Standing(chain, node, database, price=settings.price, clock=clock)
        self.ledger_time = LedgerTime(clock, chain)
        self.delegates = Delegates(chain, database=database, clock=self.ledger_time)
        self.gate = Gate(
            network,
            node,
            nonces=self.nonces,
            clock=self.ledger_time,
            delegates=self.delegates,
        )
        self.acceptor = Acceptor(
            network,
            self.key,
            chain=chain,
            store=store,
            database=database,
            standing=self.standing,
            settings=settings,
        )
        self.offerer = Offerer(
            network, self.key, clock=self.ledger_time, store=store, settings=settings
        )
        self.till = Till(
            network,
            node,
            chain=chain,
            database=database,
            standing=self.standing,
            delegates=self.delegates,
            settings=settings,
            clock=clock,
        )
        self.treasury = Treasury(
            chain,
            node,
            deals=self.deals,
            till=self.till,
            settings=settings,
            metrics=metrics,
            clock=clock,
        )
        self.leaver = Leaver(
            chain, node, database=database, deals=self.deals, treasury=self.treasury
        )
        self.answerer = Answerer(
            chain,
            node,
            store=store,
            prover=Trees(store),
            metrics=metrics,
            rotten=store.quarantine,
        )
        self.spots = Spots(chain, self.deals, self.answerer)
        self.keeper = Keeper(chain, node, rest=START_SECONDS)
        self.rewarder: Rewarder | None = None
        if set(network.contracts) >= REWARDING:
            self.rewarder = Rewarder(chain, node, settings=settings, metrics=metrics)
        self.reporter = Reporter(
            settings.home, network, self.key, chain=chain, report=settings.report,
            sensors=[Market(metrics.registry, self._lag)], random=secrets.token_bytes,
            millis=lambda: time.time_ns() // 1_000_000,
        )  # fmt: skip

    def api(self) -> Api:
        """The HTTP API over these parts."""
        return Api(
            Parts(
                gate=self.gate,
                store=self.store,
                uploads=self.uploads,
                acceptor=self.acceptor,
                offerer=self.offerer,
                till=self.till,
                standing=self.standing,
                metrics=self.metrics,
                settings=self.settings,
                workers=self.pools.workers,
                readers=self.pools.readers,
                writers=self.pools.writers,
                health=self._health().report,
            )
        )

    def _health(self) -> Health:
        return Health(
            self.key.address,
            store=self.store,
            database=self.database,
            deals=self.deals,
            follower=self.follower,
            treasury=self.treasury,
            leaver=self.leaver,
            metrics=self.metrics,
            failing=self.crew.failing,
        )

    def recover(self) -> None:
        """Put the disk in order after whatever ended the last process."""
        found = self.store.recover()
        if found.leftovers or found.lost:
            _log.warning("recovered", extra=logs.fields(leftovers=found.leftovers, lost=found.lost))

    def work(self, *, announce: Announcer, left: threading.Event) -> None:
        """Start every loop; ``left`` is set once the node has left the market."""
        scrubber = Scrubber(
            self.store,
            self.database,
            self.settings,
            metrics=self.metrics,
            clock=self.clock,
            wait=self.crew.stopping.wait,
        )
        collector = Collector(
            self.store,
            self.uploads,
            self.acceptor,
            gate=self.gate,
            till=self.till,
            metrics=self.metrics,
            clock=self.clock,
            seen_until=lambda: self.follower.seen_until,
        )
        grace = max(self.chain.beacon.grace(), 1)
        quick = min(max(grace / 10, 0.25), 15.0)
        settle = min(max(self.settings.settle_every / 2, 1.0), 300.0)
        for name, step, seconds in (
            ("announcer", announce.step, 30.0),
            ("keeper", self.keeper.step, quick),
            ("prover", self.answerer.step, quick),
            ("follower", self._follow, quick),
            ("treasury", self.treasury.step, min(settle, 20 * quick)),
            ("leaver", lambda: self._leave(left), quick),
            ("scrubber", scrubber.step, 2.0),
            ("collector", collector.step, 30.0),
            ("gauges", self._health().measure, 5.0),
        ):
            self.crew.add(Chore(name, step, seconds))
        if self.rewarder is not None:
            self.crew.add(Chore("rewarder", self.rewarder.step, quick))
        for chore in self.reporter.chores():
            self.crew.add(chore)
        self.crew.start()

    def _lag(self) -> float:
        """Seconds by which what the node knows of the chain is behind."""
        return float(self.ledger_time.now() - self.follower.seen_until)

    def _follow(self) -> None:
        self.ledger_time.learn()
        self.follower.step()
        self.spots.step(self.follower.reached)

    def _leave(self, left: threading.Event) -> None:
        self.leaver.step()
        if self.leaver.state == LEFT:
            left.set()

    def close(self) -> None:
        """Stop the loops, finish what is being written, close the files."""
        busy = self.crew.stop(STOP_SECONDS)
        if busy:
            _log.warning("stopped while busy", extra=logs.fields(loops=busy))
        self._last_round()
        self.reporter.close()
        self.pools.stop()
        self.uploads.close()
        self.nonces.close()
        self.database.close()

    def _last_round(self) -> None:
        """Leave no round open behind: what is asked before the stop is answered before it."""
        try:
            for _ in range(PENDING_LOOKS):
                if not self.keeper.pending():
                    break
                time.sleep(PENDING_SECONDS)
            self.answerer.step()
        except FreeholdError as error:
            _log.warning(
                "stopped with a round open",
                extra=logs.fields(reason=error.message, remedy=error.remedy),
            )
