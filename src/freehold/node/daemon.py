"""One node process: served over HTTPS, supervised, and shut down in order."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from freehold.domain.clock import Clock, SystemClock
from freehold.domain.errors import AccessError, ConflictError, NotFoundError
from freehold.domain.keys import Key
from freehold.domain.network import Network
from freehold.ledger import keystore
from freehold.ledger.ledger import Ledger
from freehold.markets.storage import commp
from freehold.node import logs
from freehold.node.announcer import Announcer
from freehold.node.database import Database
from freehold.node.files import disk, make_folder, remove_file, replace_file
from freehold.node.leaving import ASKED, LEFT, MARK
from freehold.node.node import DATABASE, Node
from freehold.node.ports import Chain
from freehold.node.server import NodeServer, listen, make_server
from freehold.node.settings import Settings
from freehold.node.tls import Certificate, ensure_certificate, server_context

READY = "ready.json"
LOCK = "lock"
_log = logging.getLogger(__name__)


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
