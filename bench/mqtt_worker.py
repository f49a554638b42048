"""A telemetry worker on JetStream with the service's detector and store, that notes how long each
batch took; run as a process of its own, until it is told to end.

    python -m bench.mqtt_worker URL FOLDER PART PARTITIONS DEVICES
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.mqtt_fleet import MARK, NETWORK, STEP, Station
from freehold.domain.did import Did
from freehold.node.telemetry.detector import FleetDetector
from freehold.telemetry.jetstream import work
from freehold.telemetry.members import Member
from freehold.telemetry.partition import Partition, Place
from freehold.telemetry.rows import Rows
from freehold.telemetry.store.store import Store


class Listed:
    """Members by key."""

    def __init__(self, count: int) -> None:
        members = [Station.of(number).member for number in range(count)]
        self._known = {each.did: each for each in members}

    def find(self, did: Did) -> Member | None:
        """See ``Members``."""
        return self._known.get(did)


class Timed:
    """A sink that notes when rows were stored."""

    def __init__(self, store: Store, count: Path) -> None:
        self._store, self._count = store, count
        self.readings = 0
        self.scored = 0
        self._sent: list[NDArray[np.int64]] = []
        self._kept: list[NDArray[np.int64]] = []

    def keep(self, segment: str, rows: Rows) -> None:
        """See ``Sink``."""
        self._store.keep(segment, rows)
        now = time.time_ns() // 1_000_000
        read = rows.std == 0
        self.readings += int(read.sum())
        self.scored += int((rows.score > 0).sum())
        self._count.write_text(str(self.readings))
        times = _newest(rows, read)
        self._sent.append(times)
        self._kept.append(np.full(len(times), now))

    def save(self, path: Path) -> None:
        """What was noted, for the benchmark."""
        none = [np.zeros(0, np.int64)]
        np.savez(
            path, sent=np.concatenate(self._sent or none), kept=np.concatenate(self._kept or none)
        )


def _newest(rows: Rows, read: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Times of the newest reading of each batch: a batch's rows come together, times rising."""
    if MARK not in rows.metrics:
        return np.zeros(0, np.int64)
    chosen = np.flatnonzero(read & (rows.metric == rows.metrics.index(MARK)))
    device, times = rows.device[chosen], rows.time[chosen]
    ends = (device[1:] != device[:-1]) | (times[1:] - times[:-1] != STEP)
    return times[np.r_[ends, True]]


def main(url: str, folder: str, part: str, partitions: str, devices: str) -> None:
    """Work until told to end."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    home = Path(folder)
    with Store(home / f"store-{part}") as store:
        sink = Timed(store, home / f"{part}.count")
        partition = Partition(
            Place(home / f"{part}.sqlite", NETWORK, int(part), int(partitions)),
            members=Listed(int(devices)), detector=FleetDetector, sink=sink,
            listener=lambda _: None, now=_now(),
        )  # fmt: skip
        print("ready", flush=True)
        begun = time.process_time()
        done = work(url, [partition], owner=f"worker-{part}", clock=_now, stop=stop)
        used = time.process_time() - begun
        partition.close()
        sink.save(home / f"{part}.npz")
        told = {"new": done.new, "again": done.again, "refused": done.refused,
                "readings": sink.readings, "scored": sink.scored,
                "processor_seconds": round(used, 3)}  # fmt: skip
        print(json.dumps(told), flush=True)


def _now() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    main(*sys.argv[1:6])
