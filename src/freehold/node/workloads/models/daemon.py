"""A model server as a process: loaded, warm, served, and shut down in order."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from freehold.domain.clock import Clock, SystemClock
from freehold.domain.errors import FreeholdError, UsageError
from freehold.domain.keys import Key
from freehold.domain.network import Network
from freehold.ledger import keystore
from freehold.ledger.ledger import Ledger
from freehold.markets.models.tensor import Limits, Schema
from freehold.node import logs
from freehold.node.announcer import Announcer
from freehold.node.files import disk, make_folder, remove_file, replace_file
from freehold.node.loops import Chore, Crew
from freehold.node.ports import Chain
from freehold.node.process import alone, read_network, read_password, signals
from freehold.node.server import NodeServer
from freehold.node.service import Service, make_service
from freehold.node.settings import YES
from freehold.node.workloads.models.app import Api, Parts
from freehold.node.workloads.models.cashier import Judge, Tariff, TillCashier
from freehold.node.workloads.models.inbox import Inbox
from freehold.node.workloads.models.judges import Judges
from freehold.node.workloads.models.metrics import Metrics
from freehold.node.workloads.models.model import Care, Model
from freehold.node.workloads.models.outbox import Outbox
from freehold.node.workloads.models.plan import Plan
from freehold.node.workloads.models.settings import Settings
from freehold.node.workloads.models.source import parse_source
from freehold.node.workloads.models.wire import ANSWER_MAX

READY = "ready.json"
WORKERS, READERS = 8, 2
STOP_SECONDS = 5.0
LOOK_SECONDS = 0.2
"""How often a start that takes long looks whether it is still wanted."""
DRAIN_SECONDS = 8.0
"""How long a model may finish what it was asked before the end; the server itself waits for 10."""
SCHEMA_MAX = 2**16
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Member:
    """The node that serves, in its network; ``judges`` says who is answered for nothing."""

    network: Network
    key: Key
    chain: Chain
    judges: Judge


def serve(settings: Settings) -> None:
    """Serve a model until SIGTERM or SIGINT.

    BrokenModelError when it cannot be loaded or breaks its schema; ConflictError when another
    process uses the home or the port; UnavailableError when no RPC answers at the start or the home
    cannot be made; AccessError for a wrong password.
    """
    logs.setup(settings.log_level)
    with disk(settings.home):
        make_folder(settings.home)
    with alone(settings.home):
        if settings.alone == YES:
            run(settings, None, clock=SystemClock())
            return
        key = keystore.load(settings.key, read_password(settings.password))
        network = read_network(settings.network)
        with Ledger.open(network, state=settings.home / "ledger", key=key) as ledger:
            judges = Judges(ledger, settings.subnet)
            run(settings, Member(network, key, ledger, judges), clock=SystemClock())


def run(settings: Settings, member: Member | None, *, clock: Clock) -> None:
    """Wire a server and serve on this thread until it ends; without a ``member``, for nothing."""
    model = Model(
        settings.called, plan_of(settings), _care(settings), Metrics(),
        also=[settings.subnet] if settings.subnet else [],
    )  # fmt: skip
    workers, readers = ThreadPoolExecutor(WORKERS, "work"), ThreadPoolExecutor(READERS, "read")
    cashier = _cashier(settings, member, clock)
    remove_file(settings.home / READY)
    try:
        api = Api(_parts(settings, model, (workers, readers), member, cashier))
        served = make_service(
            api.build(),
            host=settings.host,
            port=settings.port,
            home=settings.home,
            connections=settings.connections,
        )
        loops = served.server.config.get_loop_factory()
        with asyncio.Runner(loop_factory=loops) as runner:
            runner.run(_serve(settings, model, served, member, cashier))
    finally:
        remove_file(settings.home / READY)
        for pool in (workers, readers):
            pool.shutdown(wait=True, cancel_futures=True)
        if cashier is not None:
            cashier.close()
        _log.info("stopped")


async def _serve(
    settings: Settings,
    model: Model,
    served: Service,
    member: Member | None,
    cashier: TillCashier | None,
) -> None:
    """Answer once the model is warm; whatever ends the server ends the model's processes."""
    with signals(served.server), served.socket:
        try:
            if not await _started(model, served.server):
                return
            if model.hello.note:
                _log.warning("warm-up", extra=logs.fields(note=model.hello.note))
            url = settings.endpoint or _url(settings.host, served)
            state = _state(settings, model, url, served, member)
            served.server.watch(threading.Event(), started=lambda: _ready(settings.home, state))
            draining = asyncio.ensure_future(_drain(model, served.server))
            with _working(member, cashier, url, served.fingerprint or bytes(32)):
                await served.server.serve(sockets=[served.socket])
            draining.cancel()
        finally:
            await model.stop()


async def _started(model: Model, server: NodeServer) -> bool:
    """Load the model and warm it up; False when the server was told to stop meanwhile."""
    start = asyncio.ensure_future(model.start())
    while not start.done() and not server.should_exit:
        await asyncio.wait([start], timeout=LOOK_SECONDS)
    if not start.done():
        start.cancel()
        await asyncio.wait([start])
        return False
    await start
    return True


async def _drain(model: Model, server: NodeServer) -> None:
    """Once the server is to end, answer what was asked for a while, then refuse it."""
    while not server.should_exit:
        await asyncio.sleep(LOOK_SECONDS)
    await asyncio.sleep(DRAIN_SECONDS)
    await model.stop()


@contextmanager
def _working(
    member: Member | None, cashier: TillCashier | None, url: str, fingerprint: bytes
) -> Iterator[None]:
    """The loops of a member of a network, while the body runs."""
    crew = Crew(failed=lambda _: None)
    if member is not None:
        announcer = Announcer(member.chain, member.key, endpoint=url, fingerprint=fingerprint)
        crew.add(Chore("announcer", announcer.step, 30.0))
    for chore in () if cashier is None else cashier.chores():
        crew.add(chore)
    crew.start()
    try:
        yield
    finally:
        crew.stop(STOP_SECONDS)


def plan_of(settings: Settings) -> Plan:
    """What each process of the model is told; UsageError names what is wrong."""
    schema = read_schema(Path(settings.schema).expanduser()) if settings.schema else None
    return Plan(
        parse_source(settings.model),
        schema,
        max_batch=settings.max_batch,
        memory=settings.memory,
        threads=settings.threads,
    )


def read_schema(file: Path) -> Schema:
    """The schema of a JSON or TOML file, at its top or under ``schema``; UsageError."""
    read: Callable[[str], object] = tomllib.loads if file.suffix == ".toml" else json.loads
    try:
        with disk(file):
            text = file.read_text()[:SCHEMA_MAX]
        value = read(text)
        if isinstance(value, Mapping) and "schema" in value:
            value = value["schema"]
        return Schema.of(value)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} is no JSON or TOML: {error}", remedy="Correct it.") from error
    except FreeholdError as error:
        raise UsageError(
            f"{file}: {error.message}", remedy="Name a file with `inputs` and `outputs`."
        ) from error


def _care(settings: Settings) -> Care:
    return Care(
        workers=settings.workers,
        queue=settings.queue,
        seconds=float(settings.timeout),
        start_seconds=float(settings.start_timeout),
        delay=settings.batch_delay / 1000,
    )


def _cashier(settings: Settings, member: Member | None, clock: Clock) -> TillCashier | None:
    if member is None or not settings.price:
        return None
    tariff = Tariff(settings.price, settings.free, settings.settle_every, settings.coin)
    return TillCashier(
        settings.home, member.network, member.key, tariff,
        chain=member.chain, judges=member.judges, clock=clock,
    )  # fmt: skip


def _parts(
    settings: Settings,
    model: Model,
    pools: tuple[ThreadPoolExecutor, ThreadPoolExecutor],
    member: Member | None,
    cashier: TillCashier | None,
) -> Parts:
    about: dict[str, object] = {"subnet": settings.subnet, "uid": settings.uid, "price": "0"}
    if member is not None:
        about |= {"node": member.key.address, "network": "0x" + member.network.network_id.hex()}
    return Parts(
        model=model,
        inbox=Inbox(
            most=settings.max_body, room=settings.bodies, seconds=float(settings.body_timeout)
        ),
        outbox=Outbox(
            room=max(settings.bodies, 2 * ANSWER_MAX), seconds=float(settings.body_timeout)
        ),
        limits=Limits(json=settings.max_json, body=settings.max_body),
        workers=pools[0],
        readers=pools[1],
        about={name: value for name, value in about.items() if value != ""},
        cashier=cashier,
    )


def _url(host: str, served: Service) -> str:
    scheme = "https" if served.fingerprint else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{served.port}"


def _state(
    settings: Settings, model: Model, url: str, served: Service, member: Member | None
) -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "node": "" if member is None else member.key.address,
        "url": url,
        "tls": served.fingerprint.hex(),
        "model": settings.called,
        "version": model.hello.version,
        "schema": "0x" + model.hello.schema.hash().hex(),
    }


def _ready(home: Path, state: Mapping[str, object]) -> None:
    """Tell whoever started this process that it serves; what the start has made is here to stay."""
    gc.collect()
    gc.freeze()
    replace_file(home / READY, json.dumps(state).encode())
    _log.info("serving", extra=logs.fields(**state))
