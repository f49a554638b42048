"""A worker process: URL, folder, number of partitions, number of devices; until it is ended."""

from __future__ import annotations

import io
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

from freehold.domain.files import write_whole
from freehold.telemetry.jetstream import Settings, work
from freehold.telemetry.partition import Partition, Place, Rules
from freehold.telemetry.rows import Rows
from unit.telemetry.devices import NETWORK
from unit.telemetry.stations import Blind, Device, Listed

COLUMNS = ("device", "metric", "time", "value", "std")


class Folder:
    """A sink of one file a segment."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir(parents=True, exist_ok=True)

    def keep(self, segment: str, rows: Rows) -> None:
        path = self._path / f"{segment}.npz"
        if not path.exists():
            out = io.BytesIO()
            columns = {name: getattr(rows, name) for name in COLUMNS}
            np.savez(out, devices=np.array(rows.devices), **columns)
            write_whole(path, out.getvalue())


def cells(folder: Path) -> list[tuple[str, int, float]]:
    """Every reading in all segments, estimates left out: device, time, value."""
    found: list[tuple[str, int, float]] = []
    for path in sorted(folder.glob("*.npz")):
        kept = np.load(path)
        devices = kept["devices"].tolist()
        found += [
            (devices[device], time, value)
            for device, time, value, std in zip(
                *(kept[name].tolist() for name in ("device", "time", "value", "std")), strict=True
            )
            if std == 0
        ]
    return found


def clock() -> int:
    return time.time_ns() // 1_000_000


def main(url: str, folder: str, partitions: str, devices: str) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    sink = Folder(Path(folder) / "rows")
    opened = [
        Partition(
            Place(Path(folder) / f"{part}.sqlite", NETWORK, part, int(partitions)),
            members=Listed(*map(Device, range(int(devices)))), detector=Blind, sink=sink,
            listener=lambda _: None, now=clock(), rules=Rules(batches=64),
        )
        for part in range(int(partitions))
    ]  # fmt: skip
    settings = Settings(flush=0.05, lease=2.0, patience=30.0, bytes_max=2**26)
    print("ready", flush=True)
    done = work(url, opened, owner=folder, clock=clock, stop=stop, settings=settings)
    print(done, flush=True)
    for partition in opened:
        partition.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
