"""A validator as a process: its place in the subnet, its loops, its endpoint."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from freehold.client.asking.caller import Caller
from freehold.client.asking.purse import Cheques, Purse
from freehold.client.ledger_chain import LedgerChain
from freehold.client.token import Identity
from freehold.domain.errors import ConflictError, NotFoundError
from freehold.domain.keys import Key
from freehold.ledger import keystore
from freehold.ledger.ledger import Ledger
from freehold.node import logs
from freehold.node.announcer import Announcer
from freehold.node.files import disk, make_folder, remove_file, replace_file
from freehold.node.loops import Chore, Crew
from freehold.node.process import alone, read_network, read_password, signals
from freehold.node.service import Service, make_service
from freehold.node.settings import YES
from freehold.node.validator.app import Routes, build
from freehold.node.validator.book import Shelf
from freehold.node.validator.clerk import Clerk
from freehold.node.validator.documents import Documents, find
from freehold.node.validator.epochs import Epochs
from freehold.node.validator.evidence import JournalWitness
from freehold.node.validator.examiner import Examiner, Place, Reach
from freehold.node.validator.fares import PostedFares
from freehold.node.validator.metrics import Metrics
from freehold.node.validator.ports import Chain
from freehold.node.validator.questioner import LIMITS, Fares
from freehold.node.validator.referee import Patience, Referee
from freehold.node.validator.settings import Settings
from freehold.node.validator.standing import stand
from freehold.node.validator.vault import Vault

READY = "ready.json"
STOP_SECONDS = 5.0
STAND_EVERY = 600.0
VERSION = 1
_log = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Validate until SIGTERM or SIGINT.

    NotFoundError when there is no such subnet or the node is not in it; UsageError without a scorer
    or schema; ConflictError when another process uses the home or the port; UnavailableError when
    no RPC answers at the start; AccessError for a wrong password.
    """
    logs.setup(settings.log_level)
    with disk(settings.home):
        make_folder(settings.home)
    with alone(settings.home):
        key = keystore.load(settings.key, read_password(settings.password))
        network = read_network(settings.network)
        with Ledger.open(network, state=settings.home / "ledger", key=key) as ledger:
            run(settings, ledger, key)


def run(settings: Settings, ledger: Ledger, key: Key) -> None:
    """Wire a validator and serve on this thread until it ends."""
    place = place_of(ledger, settings.subnet, key)
    documents = find(
        settings.scorer, settings.schema, uri=ledger.subnet.uri_of(place.subnet),
        local=settings.plain == YES,
    )  # fmt: skip
    _compare(ledger, place, documents)
    metrics = Metrics()
    patience = Patience(
        float(settings.start_timeout), float(settings.scorer_timeout), settings.memory
    )
    referee = Referee(documents.source, patience)
    crew = Crew(failed=metrics.failed)
    work = Work.of(settings, ledger, key, place, documents, referee, metrics, crew)
    remove_file(settings.home / READY)
    hosted = _proposer(settings, ledger, key)
    try:
        app = build(lambda: work.report(crew), metrics.render, [routes for _, routes in hosted])
        served = make_service(
            app, host=settings.host, port=settings.port, home=settings.home,
            connections=settings.connections,
        )  # fmt: skip
        url = settings.endpoint or _url(settings.host, served)
        for chore in (*work.chores(url, served), *(c for chores, _ in hosted for c in chores)):
            crew.add(chore)
        _serve(settings, served, crew, _state(key, url, served, place))
    finally:
        remove_file(settings.home / READY)
        busy = crew.stop(STOP_SECONDS)
        referee.close()
        _log.info("stopped", extra=logs.fields(still_busy=busy))


def place_of(ledger: Chain, name: str, key: Key) -> Place:
    """Where the node of ``key`` sits; NotFoundError when there is no such subnet, or no seat."""
    subnet = ledger.subnet.id_of(name)
    if not subnet:
        raise NotFoundError(
            f"there is no subnet {name}", remedy="See `freehold subnet list` for those there are."
        )
    uid = ledger.subnet.place_of(subnet, key.address)
    if uid is None:
        raise NotFoundError(
            f"node {key.address} is not in the subnet {name}",
            remedy=f"Register it: `freehold validate --subnet {name}` does, and says the price.",
        )
    return Place(subnet, name, uid, key.address)


@dataclass(frozen=True, slots=True)
class Work:
    """The parts of a validator that do something."""

    ledger: Ledger
    key: Key
    place: Place
    epochs: Epochs
    shelf: Shelf
    clerk: Clerk
    examiner: Examiner

    @classmethod
    def of(
        cls,
        settings: Settings,
        ledger: Ledger,
        key: Key,
        place: Place,
        documents: Documents,
        referee: Referee,
        metrics: Metrics,
        crew: Crew,
    ) -> Work:
        """The parts, wired over the files of a home."""
        home, epochs = settings.home, Epochs.of(ledger.prizes)
        shelf = Shelf(home, network=ledger.network.network_id, subnet=place.subnet)
        asked = Path(settings.asked).expanduser() if settings.asked else None
        clerk = Clerk(
            ledger, place, epochs=epochs, shelf=shelf, vault=Vault(home), metrics=metrics,
            random=secrets.token_bytes,
        )  # fmt: skip
        examiner = Examiner(
            ledger, place, documents, referee,
            epochs=epochs, shelf=shelf, metrics=metrics,
            reach=Reach(lambda: _asking(settings, ledger, key), settings.together),
            chance=random.Random(secrets.randbits(128)),
            witness=None if asked is None else JournalWitness(asked, now=_milliseconds),
            stop=crew.stopping.is_set,
        )  # fmt: skip
        return cls(ledger, key, place, epochs, shelf, clerk, examiner)

    def chores(self, url: str, served: Service) -> list[Chore]:
        """What is done again and again."""
        announcer = Announcer(
            self.ledger, self.key, endpoint=url, fingerprint=served.fingerprint or bytes(32)
        )
        beat = min(5.0, self.epochs.length / 32)
        return [
            Chore("announcer", announcer.step, 30.0),
            Chore("clerk", self.clerk.step, beat),
            Chore("examiner", self.examiner.step, beat),
            Chore("stake", self._look_at_stake, STAND_EVERY),
        ]

    def report(self, crew: Crew) -> dict[str, object]:
        """The JSON of ``GET /health``."""
        problems = [f"{name}: {reason}" for name, reason in sorted(crew.failing().items())]
        return {
            "version": VERSION,
            "node": self.key.address,
            "subnet": self.place.name,
            "uid": self.place.uid,
            "status": "degraded" if problems else "ok",
            "problems": problems,
            "scored": self.shelf.book.epoch,
            **self.clerk.open_rows(),
        }

    def _look_at_stake(self) -> None:
        epoch = self.epochs.at(self.ledger.now())
        found = stand(self.ledger, self.place.subnet, self.key.address, epoch=epoch)
        if warning := found.warning(self.key.address):
            _log.warning("too little stake", extra=logs.fields(reason=warning))


def _serve(settings: Settings, served: Service, crew: Crew, state: dict[str, object]) -> None:
    with signals(served.server), served.socket:
        served.server.watch(threading.Event(), started=lambda: _ready(settings.home, state))
        crew.start()
        asyncio.run(served.server.serve(sockets=[served.socket]))


@contextmanager
def _asking(settings: Settings, ledger: Ledger, key: Key) -> Iterator[tuple[Caller, Fares | None]]:
    """A caller that shows who asks, and pays where the owner allows it."""
    identity = Identity(key, ledger.network.domain("registry"), ledger, secrets.token_bytes)
    plain = settings.plain == YES
    if not settings.spend:
        yield Caller(identity=identity, plain=plain, limits=LIMITS), None
        return
    file = Cheques(settings.home / "cheques.sqlite")
    purse = Purse(LedgerChain(ledger), file, key, cap=settings.spend)
    token = ledger.network.contracts["token"]
    try:
        yield (
            Caller(identity=identity, purse=purse, plain=plain, limits=LIMITS),
            PostedFares(token=token, most=settings.fare, plain=plain),
        )
    finally:
        purse.close()


def _proposer(settings: Settings, ledger: Ledger, key: Key) -> list[tuple[Sequence[Chore], Routes]]:
    """What proposes who is paid, where the owner has allowed a bond for it."""
    if not settings.propose:
        return []
    from freehold.node.judging.hosting import host

    hosted = host(ledger, key, settings.home / "proposals", bond=settings.propose)
    return [(hosted.chores, hosted.routes)]


def _compare(ledger: Ledger, place: Place, documents: Documents) -> None:
    """ConflictError where the schema is not the subnet's: its nodes would all be wrong."""
    epoch = Epochs.of(ledger.prizes).at(ledger.now())
    told = ledger.subnet.task_at(place.subnet, epoch).schema
    if documents.schema.hash() != told:
        raise ConflictError(
            f"the schema here is 0x{documents.schema.hash().hex()[:16]}…, the subnet's is "
            f"0x{told.hex()[:16]}…",
            remedy="Fetch the subnet's documents anew, or name its schema with --schema.",
        )


def _url(host: str, served: Service) -> str:
    scheme = "https" if served.fingerprint else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{served.port}"


def _state(key: Key, url: str, served: Service, place: Place) -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "node": key.address,
        "url": url,
        "tls": served.fingerprint.hex(),
        "subnet": place.name,
        "uid": place.uid,
    }


def _ready(home: Path, state: dict[str, object]) -> None:
    replace_file(home / READY, json.dumps(state).encode())
    _log.info("serving", extra=logs.fields(**state))


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
