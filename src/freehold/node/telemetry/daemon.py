"""The telemetry service as a process: opened, served, and shut down in order."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from freehold.domain.keys import Key
from freehold.domain.network import Network
from freehold.ledger import keystore
from freehold.ledger.ledger import Ledger
from freehold.node import logs
from freehold.node.announcer import Announcer
from freehold.node.files import make_folder, remove_file, replace_file
from freehold.node.loops import Chore
from freehold.node.process import alone, read_network, read_password, signals
from freehold.node.service import Service as Served
from freehold.node.service import make_service
from freehold.node.settings import NO, YES
from freehold.node.telemetry.service import Service
from freehold.node.telemetry.settings import JSON, Settings
from freehold.node.telemetry.terminal import Terminal
from freehold.telemetry.broker import Broker, Layout, start_broker

READY = "ready.json"
_log = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Run the service of a home until SIGTERM or SIGINT.

    ConflictError when another process uses the home or the port; UnavailableError when no RPC
    answers at the start, or the extra `ops` is not installed; AccessError for a wrong password.
    """
    logs.setup(settings.log_level)
    make_folder(settings.home)
    with alone(settings.home), _broker(settings) as broker:
        key = keystore.load(settings.key, read_password(settings.password))
        network = read_network(settings.network)
        with Ledger.open(network, state=settings.home / "ledger", key=key) as ledger:
            serve(settings, network, key, ledger=ledger, broker=broker)


def serve(
    settings: Settings, network: Network, key: Key, *, ledger: Ledger, broker: Broker | None
) -> None:
    """Wire a service and serve it on this thread until it ends."""
    with asyncio.Runner() as runner:
        nats = settings.nats if broker is None else broker.url
        service = Service(settings, network, key, ledger=ledger, loop=runner.get_loop(), nats=nats)
        try:
            more = (*service.office().routes(), *service.frame_door().routes())
            app = service.api().build(more)
            served = make_service(
                app, host=settings.host, port=settings.port, home=settings.home,
                connections=settings.connections,
            )  # fmt: skip
            url = settings.endpoint or endpoint(settings.host, served)
            fingerprint = served.fingerprint or bytes(32)
            service.work(Announcer(ledger, key, endpoint=url, fingerprint=fingerprint))
            state = _state(key, url, served, broker)
            served.server.watch(threading.Event(), started=lambda: _ready(settings.home, state))
            with signals(served.server), _printing(settings, service):
                runner.run(served.server.serve(sockets=[served.socket]))
        finally:
            remove_file(settings.home / READY)
            service.close()
            _log.info("stopped")


def endpoint(host: str, served: Served) -> str:
    """The URL at which a service on ``host`` is reached."""
    scheme = "https" if served.fingerprint else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{served.port}"


def _state(key: Key, url: str, served: Served, broker: Broker | None) -> dict[str, object]:
    layout = None if broker is None else broker.layout
    return {
        "pid": os.getpid(),
        "node": key.address,
        "url": url,
        "tls": served.fingerprint.hex(),
        "mqtt": "" if layout is None else f"mqtt://{layout.host}:{layout.mqtt_port}",
    }


def _ready(home: Path, state: dict[str, object]) -> None:
    replace_file(home / READY, json.dumps(state).encode())
    _log.info("serving", extra=logs.fields(**state))


@contextmanager
def _printing(settings: Settings, service: Service) -> Iterator[None]:
    """Alerts on the terminal, where they are wanted, while the body runs."""
    stop = threading.Event()
    if settings.terminal != NO:
        from freehold.node.loops import Loop

        terminal = Terminal(service.works.desk, as_json=settings.terminal == JSON)
        chore = Chore("terminal", terminal.step, 0.0)
        Loop(chore, stop, failed=lambda _: None).start()
    try:
        yield
    finally:
        stop.set()


@contextmanager
def _broker(settings: Settings) -> Iterator[Broker | None]:
    """The broker that the settings ask for, while the body runs."""
    if settings.broker != YES:
        yield None
        return
    layout = Layout(
        host=settings.host, mqtt_port=settings.mqtt_port, partitions=settings.partitions
    )
    broker = start_broker(settings.home / "broker", layout)
    try:
        yield broker
    finally:
        broker.stop()
