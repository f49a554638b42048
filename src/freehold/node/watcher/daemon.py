"""Wires a watcher together and runs it until it is told to stop."""

from __future__ import annotations

import json
import logging
import os
import random
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from wsgiref.simple_server import WSGIServer

from prometheus_client import start_http_server

from freehold.client.journal import Journal
from freehold.client.ledger_chain import LedgerChain
from freehold.client.peers import Peers
from freehold.client.reading import Library
from freehold.client.repair import Repairer
from freehold.client.retrieval import Cheques
from freehold.client.token import Identity
from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.domain.network import Network
from freehold.ledger.ledger import Ledger
from freehold.node.ending import on_signals
from freehold.node.files import make_folder, replace_file
from freehold.node.judging import chores as judging
from freehold.node.keeper import Keeper
from freehold.node.logs import fields
from freehold.node.loops import Chore, Crew
from freehold.node.watcher import cosigner, observing
from freehold.node.watcher.checker import Checker
from freehold.node.watcher.columns import Columns
from freehold.node.watcher.judge import Judge
from freehold.node.watcher.medic import Medic
from freehold.node.watcher.metrics import Metrics
from freehold.node.watcher.prober import Prober

READY = "ready.json"
PATIENCE = 20.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Watch:
    """What one watcher is: its state folder, network, registered name, key and metrics port.

    ``key`` is the key of the registered node ``name`` (role watcher); it signs requests to nodes
    and pays for gas. ``metrics`` 0 serves none.
    """

    state: Path
    network: Network
    key: Key
    metrics: int = 0

    @property
    def name(self) -> Address:
        """The watcher's node id."""
        return self.key.address


def run(watch: Watch, *, stop: threading.Event | None = None) -> None:
    """Watch until SIGTERM or SIGINT, or until ``stop`` is set."""
    stop = stop or _on_signals()
    make_folder(watch.state)
    with Ledger.open(watch.network, state=watch.state, key=watch.key) as ledger:
        metrics = Metrics()
        crew = _crew(watch, ledger, metrics)
        server = _serve_metrics(watch.metrics, metrics) if watch.metrics else None
        crew.start()
        replace_file(watch.state / READY, json.dumps({"pid": os.getpid()}).encode())
        _log.info("watching", extra=fields(watcher=watch.name, network=watch.network.name))
        stop.wait()
        if server is not None:
            server.shutdown()
        busy = crew.stop(PATIENCE)
        _log.info("stopped", extra=fields(still_busy=busy))


def _serve_metrics(port: int, metrics: Metrics) -> WSGIServer:
    server, _thread = start_http_server(port, "127.0.0.1", metrics.registry)
    return server


def _crew(watch: Watch, ledger: Ledger, metrics: Metrics) -> Crew:
    chain = LedgerChain(ledger)
    identity = Identity(watch.key, watch.network.domain("registry"), ledger, secrets.token_bytes)
    peers = Peers(chain, identity)
    cheques = Cheques(chain, Journal(watch.state / "journal.db"), watch.key)
    library = Library(chain, peers, cheques)
    judge = Judge(ledger)
    medic = Medic(
        ledger,
        columns=Columns(ledger),
        judge=judge,
        repairer=Repairer(chain, peers, library),
        metrics=metrics,
    )
    prober = Prober(ledger, library, metrics, draw=random.Random(secrets.randbits(64)))
    period = ledger.beacon.period_length()
    crew = Crew(failed=metrics.failed)
    for name, step, seconds in (
        ("index", lambda: _sync(ledger), min(2.0, period / 8)),
        ("beacon", Keeper(ledger, watch.name).step, min(1.0, period / 16)),
        ("judge", judge.step, min(60.0, period / 8)),
        ("medic", medic.step, min(60.0, period / 8)),
        ("fees", medic.claim, min(600.0, period / 2)),
        ("prober", prober.step, min(60.0, period / 2)),
        ("checker", Checker(ledger, metrics).step, min(60.0, period / 4)),
    ):
        crew.add(Chore(name, step, seconds))
    for chore in observing.chores(watch.state, ledger, watch.name, library):
        crew.add(chore)
    for chore in (*cosigner.chores(ledger, watch.key), *judging.chores(ledger, watch.key)):
        crew.add(chore)
    return crew


def _sync(ledger: Ledger) -> None:
    ledger.index.sync()


def _on_signals() -> threading.Event:
    stop = threading.Event()
    on_signals(stop.set)
    return stop
