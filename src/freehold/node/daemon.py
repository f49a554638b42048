"""One node process: all parts wired, served over HTTPS, supervised, and shut down in order."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from freehold.domain.clock import Clock, SystemClock
from freehold.domain.errors import AccessError, ConflictError, NotFoundError
from freehold.domain.ids import ZERO_ADDRESS
from freehold.domain.keys import Key
from freehold.domain.network import Network
from freehold.ledger import keystore
from freehold.ledger.ledger import Ledger
from freehold.markets.storage import commp
from freehold.node import logs
from freehold.node.acceptance import Acceptor
from freehold.node.app import Api, Parts
from freehold.node.collector import Collector
from freehold.node.database import Database
from freehold.node.deals import Deals, Follower
from freehold.node.files import disk, make_folder, remove_file, replace_file
from freehold.node.hashing import PieceHasher, Trees
from freehold.node.health import Health
from freehold.node.keeper import Keeper
from freehold.node.leaving import ASKED, LEFT, MARK, Leaver
from freehold.node.loops import Chore, Crew
from freehold.node.metrics import Metrics
from freehold.node.offers import Offerer
from freehold.node.ports import Chain
from freehold.node.prover import Answerer
from freehold.node.scrubber import Scrubber
from freehold.node.server import NodeServer, listen, make_server
from freehold.node.settings import Settings
from freehold.node.spots import Spots
from freehold.node.standing import Standing
from freehold.node.store import Store
from freehold.node.tls import Certificate, ensure_certificate, server_context
from freehold.node.tokens import Gate, LedgerTime
from freehold.node.treasury import Treasury
from freehold.node.uploads import Uploads
from freehold.node.vouchers import Till

READY = "ready.json"
LOCK = "lock"
DATABASE = "node.sqlite"
NONCES = "nonces.sqlite"
WORKERS, WRITERS, SYNCERS = 16, 4, 2
STOP_SECONDS = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pools:
    """Threads by what they do, so that slow chain calls never hold up bytes."""

    workers: ThreadPoolExecutor
    writers: ThreadPoolExecutor
    syncers: ThreadPoolExecutor

    @classmethod
    def start(cls) -> Pools:
        """The node's thread pools."""
        return cls(
            ThreadPoolExecutor(WORKERS, "work"),
            ThreadPoolExecutor(WRITERS, "write"),
            ThreadPoolExecutor(SYNCERS, "sync"),
        )

    def stop(self) -> None:
        """Let what runs come to its end and drop the rest."""
        for pool in (self.workers, self.writers, self.syncers):
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
        # A replay is only worth guarding against while the process can have died, not the
        # machine: tokens live five minutes, a reboot with a lost journal tail takes about that.
        self.nonces = Database(settings.home / NONCES, durable=False)
        self.store = Store(settings.home, self.database, capacity=settings.capacity, clock=clock)
        self.uploads = Uploads(
            self.store,
            self.database,
            settings,
            clock=clock,
            hasher=PieceHasher,
            syncer=self.pools.syncers,
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
        self.gate = Gate(network, node, nonces=self.nonces, clock=self.ledger_time)
        self.acceptor = Acceptor(
            network,
            self.key,
            chain=chain,
            store=store,
            database=database,
            standing=self.standing,
            settings=settings,
        )
        self.offerer = Offerer(network, self.key, chain=chain, store=store, settings=settings)
        self.till = Till(
            network,
            node,
            chain=chain,
            database=database,
            standing=self.standing,
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
        self.keeper = Keeper(chain, node)

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
        self.crew.start()

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
        self.pools.stop()
        self.uploads.close()
        self.nonces.close()
        self.database.close()


class Announcer:
    """Keeps the node's entry in the registry true to where it really listens."""

    def __init__(self, chain: Chain, key: Key, *, endpoint: str, certificate: Certificate) -> None:
        self._chain = chain
        self._key = key
        self._endpoint = endpoint
        self._certificate = certificate
        self._warned = False

    def step(self) -> None:
        """Announce a changed endpoint or certificate; warn once while unregistered."""
        entry = self._chain.registry.node(self._key.address)
        if entry.owner == ZERO_ADDRESS:
            if not self._warned:
                _log.warning(
                    "not registered",
                    extra=logs.fields(
                        node=self._key.address, remedy="Run `freehold node join` as its owner."
                    ),
                )
            self._warned = True
        elif not entry.retired and (entry.endpoint, entry.tls) != (
            self._endpoint,
            self._certificate.fingerprint,
        ):
            self._chain.registry.announce(
                self._key.address, endpoint=self._endpoint, tls=self._certificate.fingerprint
            )
            _log.info("announced", extra=logs.fields(endpoint=self._endpoint))


def run(settings: Settings) -> None:
    """Run the node until it is told to stop (SIGTERM, SIGINT) or has left the market.

    ConflictError when another process uses the home or the port; UnavailableError when no RPC
    answers at the start; AccessError for a wrong password.
    """
    logs.setup(settings.log_level)
    make_folder(settings.home)
    with _alone(settings.home):
        key = keystore.load(settings.key, read_password(settings.password))
        network = read_network(settings.network)
        with Ledger.open(network, state=settings.home / "ledger", key=key) as ledger:
            serve(settings, network, key, chain=ledger, clock=SystemClock())


def read_network(file: Path) -> Network:
    """The network that a descriptor names; NotFoundError when there is no such file."""
    if not file.is_file():
        raise NotFoundError(
            f"there is no network descriptor at {file}",
            remedy="Name one with --network; its founder publishes it as network.json.",
        )
    with disk(file):
        return Network.parse(file.read_text())


def read_password(file: Path) -> str:
    """The keystore's password from a file; AccessError when there is none."""
    if not file.is_file():
        raise AccessError(
            f"there is no password file at {file}",
            remedy="Name the file that holds the keystore's password with --password.",
        )
    with disk(file):
        return file.read_text().strip()


def serve(settings: Settings, network: Network, key: Key, *, chain: Chain, clock: Clock) -> None:
    """Wire a node and serve it on this thread until it ends."""
    threading.Thread(target=commp.warm, name="warm", daemon=True).start()
    node = Node(settings, network, key, chain=chain, clock=clock)
    try:
        node.recover()
        _revive(node)
        certificate = ensure_certificate(settings.home, host=settings.host, now=clock.now())
        bound = listen(settings.host, settings.port)
        endpoint = settings.public_endpoint(bound.getsockname()[1])
        server = make_server(
            node.api().build(),
            tls=server_context(certificate),
            connections=settings.connections,
        )
        left = threading.Event()
        node.work(
            announce=Announcer(chain, key, endpoint=endpoint, certificate=certificate), left=left
        )
        server.watch(left, started=lambda: _ready(settings.home, key, endpoint, certificate))
        with _signals(server):
            server.run(sockets=[bound])
    finally:
        remove_file(settings.home / READY)
        node.close()
        _log.info("stopped")


def _revive(node: Node) -> None:
    """A node that left stays out, unless its owner has brought it back on the chain."""
    if node.leaver.state != LEFT:
        return
    state = node.chain.faults.node_state(node.key.address)
    if state.notice_at or state.failed:
        raise ConflictError(
            f"node {node.key.address} has left the market",
            remedy="Make another with `freehold node init`, or remove this home.",
        )
    node.database.remember(MARK, "")


def _ready(home: Path, key: Key, endpoint: str, certificate: Certificate) -> None:
    """Tell whoever started this process that it serves."""
    state = {
        "pid": os.getpid(),
        "node": key.address,
        "endpoint": endpoint,
        "tls": "0x" + certificate.fingerprint.hex(),
    }
    replace_file(home / READY, json.dumps(state).encode())
    _log.info("serving", extra=logs.fields(**state))


def request_leave(home: Path) -> None:
    """Ask the node of that home to leave: at once if it runs, else when it next starts."""
    database = Database(home / DATABASE)
    try:
        if database.mark(MARK) != LEFT:
            database.remember(MARK, ASKED)
    finally:
        database.close()


@contextmanager
def _signals(server: NodeServer) -> Iterator[None]:
    """SIGTERM and SIGINT end the server in order; a second one ends it at once."""

    def stop(_: int, __: object) -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            with contextlib.suppress(TypeError):  # set by something that is not Python
                signal.signal(number, handler)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    with (home / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConflictError(
                f"another node process uses {home}",
                remedy="Stop it with `freehold node stop`, or name another home.",
            ) from error
        yield
