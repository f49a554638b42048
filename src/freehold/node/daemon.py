"""One node process: served over HTTPS, supervised, and shut down in order."""

from __future__ import annotations

import gc
import json
import logging
import os
import threading
from pathlib import Path

from freehold.domain.clock import Clock, SystemClock
from freehold.domain.errors import ConflictError
from freehold.domain.keys import Key
from freehold.domain.network import Network
from freehold.ledger import keystore
from freehold.ledger.ledger import Ledger
from freehold.markets.storage import commp
from freehold.node import logs
from freehold.node.announcer import Announcer
from freehold.node.database import Database
from freehold.node.files import make_folder, remove_file, replace_file
from freehold.node.leaving import ASKED, LEFT, MARK
from freehold.node.node import DATABASE, Node
from freehold.node.ports import Chain
from freehold.node.process import alone, read_network, read_password, signals
from freehold.node.server import listen, make_server
from freehold.node.settings import Settings
from freehold.node.tls import Certificate, ensure_certificate, server_context

READY = "ready.json"
_log = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Run the node until it is told to stop (SIGTERM, SIGINT) or has left the market.

    ConflictError when another process uses the home or the port; UnavailableError when no RPC
    answers at the start; AccessError for a wrong password.
    """
    logs.setup(settings.log_level)
    make_folder(settings.home)
    with alone(settings.home):
        key = keystore.load(settings.key, read_password(settings.password))
        network = read_network(settings.network)
        with Ledger.open(network, state=settings.home / "ledger", key=key) as ledger:
            serve(settings, network, key, chain=ledger, clock=SystemClock())


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
            announce=Announcer(chain, key, endpoint=endpoint, fingerprint=certificate.fingerprint),
            left=left,
        )
        server.watch(left, started=lambda: _ready(settings.home, key, endpoint, certificate))
        with signals(server):
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
    """Tell whoever started this process that it serves.

    What the start has made stays until the end: the garbage collector need not look at it again
    and again, which would cost more than a request does.
    """
    gc.collect()
    gc.freeze()
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
