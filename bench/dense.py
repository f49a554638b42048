"""Readings of a whole fleet through the path for dense sources: taken, checked, scored, alerted to
and stored, by two shares of the fleet side by side; and peers that do a part of that.
"""

from __future__ import annotations

import importlib
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from freehold.node.telemetry.dense import DenseDetector
from freehold.telemetry.bulk import Bulk, Frame
from freehold.telemetry.findings import Finding
from freehold.telemetry.store.store import Store

SHARES = 2
WARM, BLOCKS = 64, 16
"""Frames before the clock starts; frames of noise made beforehand, which come again in turn."""
WAITING = 1
"""Frames that wait for each share, beside the one it works on."""
SEED = 7
PERIOD, START = 1_000, 1_800_000_000_000
INCIDENT, LENGTH = 150.0, 3
"""An incident: spreads that one metric is off, and frames that it lasts."""
EVERY = 5
"""Frames between two incidents of a share."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Load:
    """How many devices with how many metrics each, and for how long (seconds)."""

    devices: int
    metrics: int
    seconds: float


@dataclass(slots=True)
class Told:
    """What was found: by device and reading's time, when (seconds) it was told."""

    at: dict[tuple[str, int], float] = field(default_factory=dict)

    def hear(self, findings: Sequence[Finding]) -> None:
        """The listener."""
        now = time.perf_counter()
        for each in findings:
            self.at[each.subject, each.since] = now


@dataclass(slots=True)
class Share:
    """A share of the fleet: its source, what waits for it, what was put into it and when."""

    bulk: Bulk
    names: list[str]
    noise: list[Floats]
    told: Told
    part: int
    waiting: queue.Queue[tuple[int, Frame] | None] = field(
        default_factory=lambda: queue.Queue(WAITING)
    )
    arrived: dict[int, float] = field(default_factory=dict)
    injected: dict[str, list[int]] = field(default_factory=dict)
    done: int = 0
    failure: BaseException | None = None

    def frame(self, number: int) -> Frame:
        """The fleet's readings of a moment, with an incident where one is due."""
        values = self.noise[number % BLOCKS]
        begun = number - number % EVERY
        which = begun * 7_919 % len(self.names)
        if number >= WARM and number - begun < LENGTH:
            values = values.copy()
            values[which, 0] += INCIDENT
            self.injected.setdefault(self.names[which], []).append(number)
        devices = np.arange(len(self.names))
        return Frame(devices, np.full(len(devices), _moment(number)), values)

    def feed(self, number: int, wait: float | None = None) -> None:
        """Let a frame arrive."""
        frame = self.frame(number)
        self.arrived[number] = time.perf_counter()
        self.waiting.put((number, frame), timeout=wait)

    def work(self) -> None:
        """Take what arrives, until told that it was the last."""
        try:
            while (found := self.waiting.get()) is not None:
                number, frame = found
                rows = self.bulk.take(f"dense-{self.part}-{number:08d}", frame)
                self.done += rows if number >= WARM else 0
        except BaseException as failure:
            self.failure = failure
            raise


def measure(load: Load, folder: Path) -> dict[str, object]:
    """Run the load into a store in a folder, and look whether it is all there."""
    with Store(folder) as store:
        shares = [_share(load, part, store) for part in range(SHARES)]
        workers = [threading.Thread(target=share.work) for share in shares]
        for worker in workers:
            worker.start()
        begun, processor = _run(load, shares)
        for share, worker in zip(shares, workers, strict=True):
            share.waiting.put(None)
            worker.join()
        ended = time.perf_counter()
        used = time.process_time() - processor
        return {
            **_speed(shares, ended - begun, used),
            **_alerts(shares),
            **_stored(load, shares, store, folder),
        }


def _run(load: Load, shares: list[Share]) -> tuple[float, float]:
    """Feed all shares for as long as asked, after the warm-up: clock and processor at its end."""
    number = 0
    begun = processor = 0.0
    while number <= WARM or time.perf_counter() - begun < load.seconds:
        if number == WARM:
            begun, processor = time.perf_counter(), time.process_time()
        for share in shares:
            if share.failure is not None:
                raise share.failure
            share.feed(number)
        number += 1
    return begun, processor


def _share(load: Load, part: int, store: Store) -> Share:
    count = load.devices // SHARES + (part < load.devices % SHARES)
    names = [f"0x{part:08x}{place:032x}" for place in range(count)]
    metrics = [f"plant.m{metric}" for metric in range(load.metrics)]
    told = Told()
    detector = DenseDetector(count, load.metrics)
    bulk = Bulk(names, metrics, detector=detector, sink=store, listener=told.hear)
    return Share(bulk, names, _noise(load, count, part), told, part)


def _noise(load: Load, count: int, part: int) -> list[Floats]:
    """Readings about a level of each device and metric, to a hundredth."""
    random = np.random.default_rng([SEED, part])
    level = random.normal(50.0, 10.0, (count, load.metrics))
    return [np.round(level + random.standard_normal(level.shape), 2) for _ in range(BLOCKS)]


def _moment(number: int) -> int:
    return START + PERIOD * number


def _speed(shares: list[Share], seconds: float, used: float) -> dict[str, object]:
    events = sum(share.done for share in shares)
    return {
        "events": events,
        "seconds": round(seconds, 3),
        "events_per_second": round(events / seconds),
        "processor_seconds": round(used, 3),
        "cores_used": round(used / seconds, 2),
        "events_per_processor_second": round(events / used),
    }


def _alerts(shares: list[Share]) -> dict[str, object]:
    """Seconds from the arrival of a reading to the alert that it leads to; how many of the
    incidents were found, and how many other alerts there were after the warm-up."""
    delays: list[float] = []
    injected = others = 0
    for share in shares:
        injected += len(share.injected)
        for (name, moment), told in share.told.at.items():
            number = (moment - START) // PERIOD
            if number in share.injected.get(name, ()):
                delays.append(told - share.arrived[number])
            else:
                others += number >= WARM
    delays.sort()
    return {
        "incidents": injected,
        "alerted": len(delays),
        "other_alerts": others,
        "p50_seconds": round(_part(delays, 0.5), 4),
        "p99_seconds": round(_part(delays, 0.99), 4),
        "most_seconds": round(_part(delays, 1.0), 4),
    }


def _stored(load: Load, shares: list[Share], store: Store, folder: Path) -> dict[str, object]:
    """What the files hold: bytes a row (a device's metrics of a moment), and whether an answer to a
    question is what was sent."""
    share = shares[0]
    files = [path.stat().st_size for path in folder.rglob("*.parquet")]
    name, (number, *_) = next(iter(share.injected.items()))
    moment = _moment(number)
    asked = store.query([name], [], since=moment, until=moment + 1)
    row = share.names.index(name)
    sent = share.frame(number).values[row].tolist()
    values = sorted(float(str(each[3])) for batch in asked for each in batch.rows)
    counted = store.devices().rows
    rows = sum(int(str(each[3])) for each in counted) // load.metrics
    return {
        "rows": rows,
        "rows_expected": load.devices * (max(share.arrived) + 1),
        "bytes_per_row": round(sum(files) / rows, 2),
        "answer_is_what_was_sent": values == sorted(sent),
    }


def _part(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def peers(load: Load, seconds: float = 2.0) -> dict[str, object]:
    """Events a second of detectors alone, one thread: no checks, no ranks, no alerts, no store."""
    found: dict[str, object] = {"numpy_ewma_events_per_second": _ewma(load, seconds)}
    trees = _trees(load, seconds)
    if trees is not None:
        found["river_half_space_trees_events_per_second"] = trees
    return found


def _ewma(load: Load, seconds: float) -> int:
    """A robust exponential mean and spread of every series, in numpy."""
    random = np.random.default_rng(SEED)
    shape = (load.devices, load.metrics)
    frames = [random.standard_normal(shape) for _ in range(4)]
    level, spread = np.zeros(shape), np.ones(shape)
    events, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        off = np.clip(frames[events // load.devices % 4] - level, -3 * spread, 3 * spread)
        level += 0.02 * off
        spread += 0.02 * (np.abs(off) - spread)
        events += load.devices
    return round(events / (time.perf_counter() - begun))


def _trees(load: Load, seconds: float) -> int | None:
    """River's HalfSpaceTrees, one model, one event at a time; None where it is not installed."""
    try:
        trees = importlib.import_module("river.anomaly").HalfSpaceTrees
    except ImportError:
        return None
    model, random = trees(seed=SEED), np.random.default_rng(SEED)
    rows = random.random((1_000, load.metrics)).tolist()
    events, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        row = dict(enumerate(rows[events % 1_000]))
        model.score_one(row)
        model.learn_one(row)
        events += 1
    return round(events / (time.perf_counter() - begun))
