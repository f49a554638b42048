"""A partition with members, a sink and a listener in memory, and devices that report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from freehold.domain.did import Did, sign
from freehold.domain.errors import CapacityError
from freehold.telemetry.cleaning import Floats, Whole
from freehold.telemetry.findings import Finding
from freehold.telemetry.members import Member, share
from freehold.telemetry.partition import Partition, Place, Rules
from freehold.telemetry.pipeline import Alert
from freehold.telemetry.reading import Batch, Reading, pack, seal
from freehold.telemetry.rows import Rows
from unit.telemetry.devices import NETWORK, NOW

Cell = tuple[str, str, int, float, int]


class Device:
    """A device with a key from its number."""

    def __init__(self, number: int, *, cell: str = "", owner: str = "") -> None:
        self.key = Ed25519PrivateKey.from_private_bytes(sha256(b"device %d" % number).digest())
        did = Did.of(self.key.public_key())
        address = "0x" + sha256(did.raw).hexdigest()[:40]
        self.member = Member(address, did, owner or f"owner {number}", "device", cell)
        self.sequence = 0

    def send(
        self, values: Sequence[float], *, time: int = NOW, metric: str = "roof.temperature",
        period: int = 1_000,
    ) -> bytes:  # fmt: skip
        """A batch of kelvins, the last one at ``time``."""
        start = time - period * (len(values) - 1)
        return self.sealed(
            [Reading(metric, "K", start + period * at, value) for at, value in enumerate(values)],
            time,
        )

    def sealed(self, readings: Sequence[Reading], time: int) -> bytes:
        self.sequence += 1
        return self.sign(self.sequence, pack(readings), time=time)

    def sign(self, sequence: int, payload: bytes, *, time: int = NOW) -> bytes:
        batch = Batch(NETWORK, self.member.did, 1, sequence, time, payload)
        return seal(batch, lambda message: sign(self.key, message))


class Listed:
    """Members by key."""

    def __init__(self, *devices: Device) -> None:
        self.known = {device.member.did: device.member for device in devices}

    def find(self, did: Did) -> Member | None:
        return self.known.get(did)


@dataclass
class Kept:
    """A sink that keeps segments once, and may be full."""

    segments: dict[str, Rows] = field(default_factory=dict)
    full: bool = False
    again: int = 0

    def keep(self, segment: str, rows: Rows) -> None:
        if self.full:
            raise CapacityError("the store is full", remedy="Free space.")
        self.again += segment in self.segments
        self.segments.setdefault(segment, rows)

    def cells(self) -> list[Cell]:
        return [
            (rows.devices[d], rows.metrics[m], t, v, mark)
            for _, rows in sorted(self.segments.items())
            for d, m, t, v, mark in zip(
                rows.device.tolist(), rows.metric.tolist(), rows.time.tolist(),
                rows.value.tolist(), rows.marks.tolist(), strict=True,
            )
        ]  # fmt: skip


class Blind:
    """A detector that counts rows, and alerts to values above 1000."""

    def __init__(self) -> None:
        self.rows = 0

    def step(self, devices: Whole, times: Whole, values: Floats) -> tuple[Floats, list[Alert]]:
        self.rows += len(devices)
        high = np.nan_to_num(values[:, 0]) > 1_000
        alerts = [
            Alert(row, 0, int(times[row]), float(values[row, 0]), 280.0, 300.0, 0.99, 20.0)
            for row in np.flatnonzero(high).tolist()
        ]
        return high.astype(np.float64), alerts

    def encode(self) -> bytes:
        return self.rows.to_bytes(8, "little")

    def decode(self, data: bytes) -> None:
        self.rows = int.from_bytes(data, "little")


@dataclass
class Station:
    """All around a partition; ``open`` may be called again after ``close`` or ``drop``."""

    folder: Path
    listed: Listed
    sink: Kept = field(default_factory=Kept)
    found: list[Finding] = field(default_factory=list)

    def open(
        self, *, rules: Rules | None = None, part: int = 0, partitions: int = 1, now: int = NOW
    ) -> Partition:
        return Partition(
            Place(self.folder / f"{part}.sqlite", NETWORK, part, partitions),
            members=self.listed, detector=Blind, sink=self.sink, listener=self.found.extend,
            now=now, rules=rules,
        )  # fmt: skip

    def kinds(self) -> list[str]:
        return [finding.kind for finding in self.found]


def drop(partition: Partition) -> None:
    """Give the file up as a crash would: nothing is kept beside what is already."""
    partition._journal.close()


def device_of(part: int, partitions: int) -> Device:
    """A device of a partition."""
    return next(
        device
        for device in map(Device, range(1_000))
        if share(device.member.id, partitions) == part
    )
