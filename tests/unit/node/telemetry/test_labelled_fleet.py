"""A labelled fleet through the detectors that the product runs, from signed batches to findings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import labelled, rates
from bench.labelled import COHORT, DAY, Labelled
from freehold.node.telemetry.cohorts import Cohorts
from freehold.node.telemetry.detector import FleetDetector
from freehold.telemetry.findings import Finding
from freehold.telemetry.members import Member, share
from freehold.telemetry.partition import Partition, Place
from freehold.telemetry.reading import Reading
from freehold.telemetry.rows import Rows
from unit.telemetry.devices import NETWORK, NOW
from unit.telemetry.stations import Device, Listed

START = NOW // 60_000 * 60_000
UNITS = (("roof.temperature", "K"), ("host.load", "1"), ("host.power", "W"), ("rtt.latency", "s"))
BATCH = 120
"""Rows of a batch."""
SHAPES = ("step", "departure", "stuck", "relation")


class Nowhere:
    """A sink that forgets."""

    def keep(self, segment: str, rows: Rows) -> None:
        """Nothing to keep."""


def readings(drawn: Labelled, device: int, first: int) -> list[Reading]:
    return [
        Reading(name, unit, START + row * 60_000, value)
        for row in range(first, first + BATCH)
        for (name, unit), value in zip(UNITS, drawn.values[row, device].tolist(), strict=True)
        if value == value
    ]


def run(drawn: Labelled, folder: Path) -> list[Finding]:
    """All findings; two partitions, whose devices are of the same cohorts."""
    rows, count, _ = drawn.values.shape
    devices = [Device(n, cell=f"cell {drawn.cohorts[n]}") for n in range(count)]
    known: dict[str, Member] = {each.member.id: each.member for each in devices}
    found: list[Finding] = []
    cohorts = Cohorts(Nowhere(), member=known.get, listener=found.extend, file=folder / "cohorts")
    parts = [
        Partition(
            Place(folder / f"{part}.sqlite", NETWORK, part, 2), members=Listed(*devices),
            detector=FleetDetector, sink=cohorts, listener=found.extend, now=START,
        )
        for part in range(2)
    ]  # fmt: skip
    for first in range(0, rows, BATCH):
        now = START + (first + BATCH) * 60_000
        sent: list[list[bytes]] = [[], []]
        for n, each in enumerate(devices):
            if made := readings(drawn, n, first):
                sent[share(each.member.id, 2)].append(each.sealed(made, now))
        for part, batches in zip(parts, sent, strict=True):
            part.take(batches, now=now)
            part.work(now=now)
        cohorts.step(now)
    for part in parts:
        part.close()
    return [each for each in found if each.kind in ("anomaly", "cohort")]


@pytest.mark.xdist_group("rates")
def test_the_product_finds_faults_and_leaves_honest_devices_alone(tmp_path: Path) -> None:
    drawn = labelled.draw(np.random.default_rng(1), SHAPES, cohorts=3, days=2)
    findings = run(drawn, tmp_path)
    ids = {Device(n).member.id: n for n in range(3 * COHORT)}
    found = np.zeros((2 * DAY, 3 * COHORT), np.bool_)
    for each in findings:
        found[(each.at - START) // 60_000, ids[each.subject]] = True
    tally = rates.Tally()
    rates.count(drawn, found, tally)
    assert tally.honest >= 40
    assert tally.wrong / tally.honest < 0.06
    assert set(tally.drawn) == set(SHAPES)
    assert sum(tally.missed.values()) <= 1
    assert {"cohort", "anomaly"} <= {each.kind for each in findings}
