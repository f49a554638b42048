"""Signed batches over MQTT through nats-server, verified, stored and scored by two workers: what
they sustain, how long a batch takes from the moment it is due to the store, and the processor time
of each process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import psutil

from freehold.domain.errors import UnavailableError
from freehold.telemetry.broker import Broker, Layout, start_broker

ROOT = Path(__file__).resolve().parents[1]
PARTITIONS, RATE = 2, 2_000
PATIENCE, POLL = 120.0, 0.25
STREAM_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class Traffic:
    """``rate`` messages a second of ``readings`` each, of ``devices`` in turn, for ``seconds``."""

    rate: int = RATE
    readings: int = 50
    devices: int = 2_000
    seconds: int = 10


def measure(traffic: Traffic, folder: Path) -> dict[str, object]:
    """Run the traffic; what came of it. UnavailableError where a process fails."""
    broker = start_broker(folder / "broker", Layout(partitions=PARTITIONS, bytes_max=STREAM_BYTES))
    running: list[subprocess.Popen[str]] = []
    try:
        for part in range(PARTITIONS):
            running.append(_start(
                "mqtt_worker", broker.url, str(folder), str(part), str(PARTITIONS),
                str(traffic.devices),
            ))  # fmt: skip
        for worker in running:
            _line(worker)
        told = (broker.layout.mqtt_port, traffic.devices, traffic.rate, traffic.readings)
        fleet = _start("mqtt_fleet", *map(str, (*told, traffic.seconds)))
        running.append(fleet)
        begins = json.loads(_line(fleet))
        before = _used(broker)
        sent = json.loads(_line(fleet))
        whole = int(str(sent["sent"])) * traffic.readings
        _drain(broker, running[:PARTITIONS], folder, whole)
        server = _used(broker) - before
        ended = [_end(worker) for worker in running[:PARTITIONS]]
        return _report(traffic, folder, begins, sent, ended, server)
    finally:
        for each in running:
            if each.poll() is None:
                each.kill()
                each.wait()
        broker.stop()


def _report(
    traffic: Traffic,
    folder: Path,
    begins: dict[str, int],
    sent: dict[str, object],
    ended: list[dict[str, object]],
    server: float,
) -> dict[str, object]:
    noted = [np.load(folder / f"{part}.npz") for part in range(PARTITIONS)]
    due = np.concatenate([each["sent"] for each in noted])
    kept = np.concatenate([each["kept"] for each in noted])
    late = np.sort(kept - due) / 1_000
    seconds = (int(kept.max()) - begins["start"]) / 1_000
    new = sum(int(str(each["new"])) for each in ended)
    return {
        "devices": traffic.devices,
        "messages_asked_per_second": traffic.rate,
        "readings_per_message": traffic.readings,
        "messages": new,
        "again": sum(int(str(each["again"])) for each in ended),
        "refused": sum(int(str(each["refused"])) for each in ended),
        "readings_stored": sum(int(str(each["readings"])) for each in ended),
        "readings_scored_after_warm_up": sum(int(str(each["scored"])) for each in ended),
        "seconds": round(seconds, 3),
        "messages_per_second": round(new / seconds),
        "timed": len(late),
        "p50_seconds": round(float(np.quantile(late, 0.5)), 3),
        "p99_seconds": round(float(np.quantile(late, 0.99)), 3),
        "sender_late_ms": sent["latest_ms"],
        "message_bytes": sent["bytes"],
        "processor_seconds": {
            "nats-server": round(server, 3),
            **{f"worker {part}": each["processor_seconds"] for part, each in enumerate(ended)},
            "devices": sent["processor_seconds"],
        },
    }


def _start(module: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"bench.{module}", *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def _line(process: subprocess.Popen[str]) -> str:
    source: IO[str] | None = process.stdout
    line = "" if source is None else source.readline()
    if not line:
        raise UnavailableError(
            f"a process of the benchmark ended early: {process.args!r}",
            remedy="Run that command by hand to see why.",
        )
    return line


def _drain(broker: Broker, workers: list[subprocess.Popen[str]], folder: Path, whole: int) -> None:
    """Wait until the workers have stored so many readings."""
    until = time.monotonic() + PATIENCE
    while _stored(folder) < whole and time.monotonic() < until:
        if broker.process.poll() is not None or any(each.poll() is not None for each in workers):
            break
        time.sleep(POLL)


def _stored(folder: Path) -> int:
    """Readings that the workers' stores have."""
    found = 0
    for part in range(PARTITIONS):
        path = folder / f"{part}.count"
        found += int(path.read_text() or 0) if path.exists() else 0
    return found


def _used(broker: Broker) -> float:
    times = psutil.Process(broker.process.pid).cpu_times()
    return float(times.user + times.system)


def _end(worker: subprocess.Popen[str]) -> dict[str, object]:
    worker.terminate()
    found: dict[str, object] = json.loads(_line(worker))
    worker.wait(30)
    return found
