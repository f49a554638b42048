"""Cohorts over the rows of several partitions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from freehold.domain.errors import CapacityError, IntegrityError
from freehold.node.telemetry.cohorts import AHEAD, Cohorts
from freehold.telemetry.cleaning import Floats
from freehold.telemetry.findings import Finding
from freehold.telemetry.marks import Mark
from freehold.telemetry.members import Member
from freehold.telemetry.rows import Rows
from unit.telemetry.devices import NOW
from unit.telemetry.stations import Device, Kept

START, MINUTE, SIZE, TICKS = NOW // 60_000 * 60_000, 60_000, 8, 400
METRIC = "roof.temperature"
DID = Device(0).member.did


def made(kind: str = "device", cell: str = "roof") -> dict[str, Member]:
    names = [f"{kind} {n}" for n in range(SIZE)]
    return {name: Member(name, DID, "owner", kind, cell) for name in names}


def weather(seed: int = 1, *, odd: int = 3, begins: int = 300, off: float = 3.0) -> Floats:
    """Temperatures (TICKS, SIZE) that move together; ``odd`` leaves by ``off``."""
    rng = np.random.default_rng(seed)
    values = 290 + np.cumsum(rng.normal(0, 0.3, (TICKS, 1)), axis=0) + rng.normal(0, 2, SIZE)
    values = values + rng.normal(0, 0.1, (TICKS, SIZE))
    values[begins:, odd] += off
    return values


def rows(
    names: list[str], values: Floats, first: int = 0, *, metric: str = METRIC, marks: int = 0
) -> Rows:
    """What a partition makes of ``values`` (ticks, names), one minute each from tick ``first``."""
    ticks, size = values.shape
    count = ticks * size
    return Rows(
        tuple(names), (metric,),
        np.tile(np.arange(size, dtype=np.int32), ticks), np.zeros(count, np.int32),
        np.repeat(START + MINUTE * (first + np.arange(ticks)), size),
        values.ravel(), np.full(count, marks, np.uint8), np.zeros(count),
        np.zeros(count, np.float32),
    )  # fmt: skip


@dataclass
class Scene:
    """Cohorts of members, whose state outlives them."""

    folder: Path
    members: dict[str, Member] = field(default_factory=made)
    found: list[Finding] = field(default_factory=list)
    sink: Kept = field(default_factory=Kept)

    def open(self) -> Cohorts:
        return Cohorts(
            self.sink, member=self.members.get, listener=self.found.extend,
            file=self.folder / "cohorts",
        )  # fmt: skip

    def feed(
        self, cohorts: Cohorts, values: Floats, first: int, until: int, *, metric: str = METRIC,
        marks: int = 0,
    ) -> None:  # fmt: skip
        """Ticks ``first`` to ``until`` by two partitions, ten a segment."""
        names = list(self.members)
        for at in range(first, until, 10):
            for part in (0, 1):
                own, seen = names[part::2], values[at : at + 10, part::2]
                cohorts.keep(f"{part}-{at}", rows(own, seen, at, metric=metric, marks=marks))
            cohorts.step(START + MINUTE * (at + 10))


def test_who_leaves_its_cohort_is_found_across_partitions(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.feed(scene.open(), weather(), 0, TICKS)
    (found,) = scene.found
    assert (found.kind, found.subject, found.metric) == ("cohort", "device 3", METRIC)
    assert START + 300 * MINUTE <= found.since < START + 310 * MINUTE
    assert found.low < found.high < found.value
    assert "the 8 devices of its cell" in found.reason
    assert len(scene.sink.segments) == 2 * TICKS // 10, "all is handed on"


def test_weather_that_all_feel_is_no_news(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    values = weather(off=0.0)
    values[300:] += 30.0
    scene.feed(scene.open(), values, 0, TICKS)
    assert scene.found == []


def test_a_restart_goes_on_and_judges_no_tick_again(tmp_path: Path) -> None:
    whole, parted = Scene(tmp_path / "whole"), Scene(tmp_path / "parted")
    for each in (whole, parted):
        each.folder.mkdir()
    values = weather()
    straight, cohorts = whole.open(), parted.open()
    whole.feed(straight, values, 0, TICKS)
    parted.feed(cohorts, values, 0, 320)
    cohorts.close()
    again = parted.open()
    parted.feed(again, values, 250, TICKS)  # the partitions hand on again what they had not kept
    straight.close()
    again.close()
    assert parted.found == whole.found != []
    assert (parted.folder / "cohorts").read_bytes() == (whole.folder / "cohorts").read_bytes()


def test_without_a_cell_nobody_is_compared_and_of_nodes_what_they_share(tmp_path: Path) -> None:
    values = weather()
    for kind, cell, metric, count in (
        ("device", "", METRIC, 0), ("source", "roof", METRIC, 0), ("node", "", METRIC, 0),
        ("node", "", "host.cpu.temperature", 1), ("device", "roof", "agent.lost.count", 0),
    ):  # fmt: skip
        scene = Scene(tmp_path, made(kind, cell))
        cohorts = scene.open()
        if kind == "node":
            tell_starts(scene, cohorts, [1e5 * place for place in range(1, SIZE + 1)])
        scene.feed(cohorts, values, 0, TICKS, metric=metric)
        assert len(scene.found) == count, (kind, metric)


def tell_starts(scene: Scene, cohorts: Cohorts, uptimes: list[float]) -> None:
    """Every node tells for how long its machine has run at the first tick."""
    names = list(scene.members)[: len(uptimes)]
    cohorts.keep("starts", rows(names, np.array([uptimes]), metric="host.uptime"))


@pytest.mark.parametrize(
    "uptimes",
    [
        [9e4 + 0.3 * place for place in range(SIZE)],
        [1e5, 2e5, 3e5, *[4e5] * (SIZE - 3)],
        [],
    ],
)
def test_nodes_of_one_machine_or_of_unknown_ones_are_no_cohort(
    tmp_path: Path, uptimes: list[float]
) -> None:
    scene = Scene(tmp_path, made("node", ""))
    cohorts = scene.open()
    tell_starts(scene, cohorts, uptimes) if uptimes else None
    scene.feed(cohorts, weather(), 0, TICKS, metric="host.cpu.load")
    assert scene.found == []


def test_one_node_stands_for_its_machine_among_others_and_across_restarts(tmp_path: Path) -> None:
    scene = Scene(tmp_path, made("node", ""))
    cohorts = scene.open()
    tell_starts(scene, cohorts, [*(1e5 * place for place in range(1, SIZE - 1)), 1e5, 1e5])
    scene.feed(cohorts, weather(), 0, 200, metric="host.cpu.load")
    cohorts.close()
    scene.feed(scene.open(), weather(), 200, TICKS, metric="host.cpu.load")
    (found,) = scene.found
    assert found.subject == "node 3"
    assert "the 6 nodes" in found.reason


def test_what_is_expected_is_what_can_be(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    values = 50 + (weather(off=400.0) - 290) * 4
    scene.feed(scene.open(), np.abs(values), 0, TICKS, metric="roof.flow")
    assert scene.found
    assert all(each.low >= 0 for each in scene.found)
    assert "expect -" not in scene.found[0].reason


def test_readings_of_wrong_clocks_or_of_the_future_are_left_out(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    cohorts = scene.open()
    scene.feed(cohorts, weather(), 0, TICKS, marks=int(Mark.DRIFT))
    far = rows(list(scene.members), weather()[:5], TICKS + 10 + AHEAD // MINUTE)
    cohorts.keep("far", far)
    cohorts.step(START + TICKS * MINUTE)
    assert cohorts._cohorts == {}


def test_what_the_store_did_not_keep_is_not_compared(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    cohorts = scene.open()
    scene.sink.full = True
    with pytest.raises(CapacityError):
        cohorts.keep("0-0", rows(list(scene.members), weather()[:10]))
    cohorts.step(START)
    assert cohorts._cohorts == {}


def test_what_the_listener_did_not_take_is_told_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    cohorts = scene.open()
    scene.feed(cohorts, weather(), 0, 300)

    def fail(_: object) -> None:
        raise CapacityError("the desk is full", remedy="Free space.")

    cohorts._listener = fail
    with pytest.raises(CapacityError):
        scene.feed(cohorts, weather(), 300, TICKS)
    cohorts._listener = scene.found.extend
    cohorts.step(START + TICKS * MINUTE)
    assert [each.subject for each in scene.found] == ["device 3"]


def test_a_flood_is_left_out_of_the_comparison_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("freehold.node.telemetry.cohorts.WAITING", 100)
    scene = Scene(tmp_path)
    cohorts = scene.open()
    for name in "ab":
        cohorts.keep(name, rows(list(scene.members), weather()[:10]))
    assert cohorts.left_out == 80
    assert len(scene.sink.segments) == 2


def test_slower_devices_have_longer_ticks_and_a_new_pace_begins_anew(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    cohorts = scene.open()
    scene.feed(cohorts, weather(), 0, 50)
    (one,) = cohorts._cohorts.values()
    assert one.length == MINUTE
    for at in range(50, TICKS, 10):
        cohorts.keep(f"s{at}", rows(list(scene.members), weather()[at : at + 1], at))
        cohorts.step(START + MINUTE * at)
    assert one.length == 600_000


@pytest.mark.parametrize("cut", [0, 20, 400])
def test_a_damaged_file_is_named(tmp_path: Path, cut: int) -> None:
    scene = Scene(tmp_path)
    cohorts = scene.open()
    scene.feed(cohorts, weather(), 0, 50)
    cohorts.close()
    file = tmp_path / "cohorts"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(IntegrityError, match="damaged"):
        scene.open()
