"""A fleet through the telemetry service's door for dense sources: gateways that post frames over
HTTP, each the next one when the last was answered, which is when the store has it. Both ends are in
one process.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import uvicorn
from fastapi import FastAPI

from freehold.domain.did import Did
from freehold.domain.errors import UnavailableError
from freehold.node.telemetry.access import Limiter
from freehold.node.telemetry.frames import FrameDoor, Frames
from freehold.node.telemetry.intake import Door
from freehold.node.telemetry.meters import Meters
from freehold.telemetry.bulk import Frame
from freehold.telemetry.findings import Finding
from freehold.telemetry.frames import Parcel, encode
from freehold.telemetry.members import Member
from freehold.telemetry.partition import Outcome
from freehold.telemetry.sources import Sources
from freehold.telemetry.store.store import Store

GATEWAYS = 2
WARM, BLOCKS = 4, 4
"""Frames of each gateway before the clock starts; frames of noise, which come again in turn."""
PERIOD = 1_000


class Nobody:
    """No members, and no batches."""

    def find(self, did: Did) -> Member | None:
        del did
        return None

    def submit(self, batch: bytes) -> Future[Outcome]:
        raise UnavailableError(f"{len(batch)} bytes are no frame", remedy="Post frames.")


@dataclass(slots=True)
class Gateway:
    """A share of the fleet, and the seconds that its frames took after the warm-up."""

    token: str
    devices: int
    metrics: int
    seed: int
    took: list[float] = field(default_factory=list)
    failure: BaseException | None = None

    def post(self, port: int, start: int, go_on: Callable[[], bool]) -> None:
        """Post frames from ``start`` (milliseconds) on, as long as ``go_on`` says so."""
        try:
            self._post(port, start, go_on)
        except BaseException as failure:
            self.failure = failure
            raise

    def _post(self, port: int, start: int, go_on: Callable[[], bool]) -> None:
        random = np.random.default_rng(self.seed)
        noise = [random.normal(50.0, 1.0, (self.devices, self.metrics)) for _ in range(BLOCKS)]
        names = tuple(f"plant.m{metric}" for metric in range(self.metrics))
        connection, places = HTTPConnection("127.0.0.1", port), np.arange(self.devices)
        number = 0
        while number < WARM or go_on():
            number += 1
            times = np.full(self.devices, start + PERIOD * number)
            frame = Frame(places, times, noise[number % BLOCKS])
            begun = time.perf_counter()
            body = encode(Parcel(1, number, self.devices, names, frame))
            connection.request("POST", "/frames", body, {"Authorization": f"Bearer {self.token}"})
            answer = json.loads(connection.getresponse().read())
            if answer != {"new": True, "rows": self.devices}:
                raise RuntimeError(f"frame {number}: {answer}")
            if number > WARM:
                self.took.append(time.perf_counter() - begun)
        connection.close()


def measure(devices: int, metrics: int, seconds: float, folder: Path) -> dict[str, object]:
    """Let gateways post for so long, and look whether it is all in the store."""
    folder.mkdir(parents=True)
    sources = Sources(folder / "sources", network_id=bytes(32), random=os.urandom, now=1)
    gateways = [
        Gateway(sources.add(f"gateway-{seed}", owner="")[1], devices // GATEWAYS, metrics, seed)
        for seed in range(GATEWAYS)
    ]
    with Store(folder / "store") as store:
        frames = Frames(
            folder / "frames", sources=sources, sink=store, listener=_ignore, now=_millis
        )
        with _serving(frames, sources) as port:
            _run(gateways, port, seconds)
        whole = _is_whole(store, gateways)
    took = sorted(each for gateway in gateways for each in gateway.took)
    spent = sum(took) / GATEWAYS
    events = len(took) * (devices // GATEWAYS)
    return {
        "gateways": GATEWAYS,
        "events": events,
        "events_per_second": round(events / spent),
        "p50_seconds": round(took[len(took) // 2], 4),
        "p99_seconds": round(took[int(0.99 * len(took))], 4),
        "answer_is_whole": whole,
    }


def _run(gateways: Sequence[Gateway], port: int, seconds: float) -> None:
    start, until = _millis() - 86_400_000, time.perf_counter() + seconds
    posting = [
        threading.Thread(
            target=each.post, args=(port, start, lambda: time.perf_counter() < until)
        )
        for each in gateways
    ]  # fmt: skip
    for thread in posting:
        thread.start()
    for thread in posting:
        thread.join()
    for each in gateways:
        if each.failure is not None:
            raise each.failure


def _is_whole(store: Store, gateways: Sequence[Gateway]) -> bool:
    """Whether the store has every frame's readings of each gateway's last device."""
    for gateway in gateways:
        device = f"source:gateway-{gateway.seed}/{gateway.devices - 1}"
        answers = store.query([device], since=0, until=2 * _millis())
        if sum(len(each.rows) for each in answers) != gateway.metrics * (len(gateway.took) + WARM):
            return False
    return True


@contextmanager
def _serving(frames: Frames, sources: Sources) -> Iterator[int]:
    """The door over a socket of this machine; its port."""
    nobody, meters, app = Nobody(), Meters(), FastAPI()
    with ThreadPoolExecutor(GATEWAYS) as workers, socket.socket() as listening:
        door = Door(
            nobody, members=nobody, sources=sources, workers=workers, meters=meters, now=_millis,
            devices=Limiter(rate=1e6, burst=1e6, kept=16, clock=time.monotonic),
        )  # fmt: skip
        for method, path, handler in FrameDoor(
            frames, door=door, workers=workers, meters=meters
        ).routes():
            app.add_route(path, handler, methods=[method])
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        serving = threading.Thread(target=server.run, args=([listening],))
        serving.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            serving.join()


def _ignore(_: Sequence[Finding]) -> None:
    """Alerts are measured without the door."""


def _millis() -> int:
    return time.time_ns() // 1_000_000
