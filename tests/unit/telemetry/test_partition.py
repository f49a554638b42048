from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from freehold.domain.did import ForgedError, sign
from freehold.domain.errors import CapacityError, ConflictError, FreeholdError
from freehold.telemetry import pipeline
from freehold.telemetry.findings import Severity
from freehold.telemetry.lies import Watch
from freehold.telemetry.marks import Mark
from freehold.telemetry.members import UnknownError, share, topic
from freehold.telemetry.metrics import INTERVAL
from freehold.telemetry.partition import CUT, MisroutedError, Partition, Rules
from freehold.telemetry.reading import Batch, Reading, pack, seal
from freehold.telemetry.refusals import AlteredError, MalformedError
from unit.telemetry.devices import NETWORK, NOW
from unit.telemetry.stations import Blind, Device, Listed, Station, device_of, drop

NEVER = Rules(checkpoint=10**15, batches=10**9)
SOON = Rules(watch=Watch(every=10_000, tick=1_000))


@pytest.fixture
def device() -> Device:
    return Device(1)


@pytest.fixture
def station(tmp_path: Path, device: Device) -> Station:
    return Station(tmp_path, Listed(device))


def refusals(partition: Partition, *batches: bytes, now: int = NOW) -> list[FreeholdError | None]:
    return [outcome.refusal for outcome in partition.take(batches, now=now)]


def test_what_was_taken_becomes_rows_once(station: Station, device: Device) -> None:
    partition = station.open()
    batch = device.send([290.0, 290.5])
    assert [each.new for each in partition.take([batch, batch], now=NOW)] == [True, False]
    assert [each.new for each in partition.take([batch], now=NOW)] == [False]
    partition.work()
    partition.work()
    expected = [(NOW - 1_000, 290.0), (NOW, 290.5)]
    assert [(time, value) for _, _, time, value, _ in station.sink.cells()] == expected
    assert list(station.sink.segments) == ["0000-000000000001-000000000001"]
    partition.close()


def test_bad_batches_are_refused_each_with_its_reason(station: Station, device: Device) -> None:
    partition = station.open()
    good = device.send([290.0])
    forged = good[:-1] + bytes([good[-1] ^ 1])
    stranger = Device(2).send([290.0])
    other = Device(1)
    altered = other.send([291.0])
    kinds = [type(each) for each in refusals(partition, good, b"x", forged, stranger, altered)]
    assert kinds == [type(None), MalformedError, ForgedError, UnknownError, AlteredError]
    assert [(each.kind, each.subject) for each in station.found] == [
        ("refused", device.member.id),
        ("refused", device.member.id),
    ]
    refusals(partition, forged, altered, now=NOW + 59_999)
    assert len(station.found) == 2
    refusals(partition, forged, now=NOW + 60_000)
    assert len(station.found) == 3
    partition.close()


def test_a_batch_of_another_partition_is_refused(tmp_path: Path) -> None:
    mine, other = device_of(1, 4), device_of(2, 4)
    station = Station(tmp_path, Listed(mine, other))
    partition = station.open(part=1, partitions=4)
    mine_refused, other_refused = refusals(partition, mine.send([290.0]), other.send([290.0]))
    assert mine_refused is None
    assert isinstance(other_refused, MisroutedError)
    partition.close()
    with pytest.raises(ConflictError, match="partition 1 of 4, not 1 of 5"):
        station.open(part=1, partitions=5)


def test_shares_are_those_of_nats_server() -> None:
    assert topic("0xAbC") == "abc"
    # FNV-1a of "foobar" is 0xbf9cf968 (Fowler, Noll, Vo: test vectors)
    assert share("foobar", 1_000) == 0xBF9CF968 % 1_000


def test_a_folder_has_one_owner(station: Station) -> None:
    partition = station.open()
    with pytest.raises(ConflictError, match="another process"):
        station.open()
    partition.close()


@pytest.mark.parametrize("rules", [NEVER, Rules(batches=2), Rules(batches=1)])
def test_a_crash_anywhere_gives_the_same_rows_counts_and_findings(
    tmp_path: Path, rules: Rules
) -> None:
    def run(folder: Path, crashes: bool) -> tuple[Station, Partition]:
        folder.mkdir()
        devices = [Device(number) for number in range(3)]
        station = Station(folder, Listed(*devices))
        rng = np.random.default_rng(7)
        partition = station.open(rules=rules if crashes else NEVER)
        for turn in range(6):
            now = NOW + 1_000 * turn
            batches = [
                each.send([float(value) for value in rng.normal(290, 1, 3)] + [2_000.0], time=now)
                for each in devices
                if rng.random() < 0.8
            ]
            partition.take(batches, now=now)
            if turn != 2:
                partition.work()
            if crashes:
                drop(partition)
                partition = station.open(rules=rules, now=now)
        partition.work()
        return station, partition

    plain, one = run(tmp_path / "plain", crashes=False)
    crashed, two = run(tmp_path / "crashed", crashes=True)
    assert crashed.sink.cells() == plain.sink.cells()
    assert two.tally(0, 2 * NOW) == one.tally(0, 2 * NOW) != {}
    assert {each.key for each in crashed.found} == {each.key for each in plain.found} != set()
    ids = list(one.tally(0, 2 * NOW))
    assert [two.quality(each) for each in ids] == [one.quality(each) for each in ids]
    one.close()
    two.close()


def test_a_state_survives_encoding_and_cuts_do_not_matter(station: Station) -> None:
    devices = [Device(number) for number in range(4)]
    station.listed = Listed(*devices)
    partition = station.open(rules=NEVER)
    rng = np.random.default_rng(3)
    for turn in range(5):
        now = NOW + 10_000 * turn
        partition.take([d.send(rng.normal(290, 1, 4).tolist(), time=now) for d in devices], now=now)
    arrivals = partition._arrivals(1, 20)
    whole, _ = pipeline.step(pipeline.start(Blind()), arrivals)
    part = pipeline.start(Blind())
    for at in range(0, 20, 3):
        part, _ = pipeline.step(part, arrivals[at : at + 3])
        part = pipeline.decode(Blind(), pipeline.encode(part))
    assert pipeline.encode(part) == pipeline.encode(whole)
    partition.close()


def test_a_full_sink_loses_nothing_and_keeps_the_order(station: Station, device: Device) -> None:
    partition = station.open(rules=Rules(batches=1))
    partition.take([device.send([290.0])], now=NOW)
    station.sink.full = True
    for _ in range(2):
        with pytest.raises(CapacityError, match="store is full"):
            partition.work()
    partition.take([device.send([291.0], time=NOW + 1_000)], now=NOW)
    drop(partition)
    partition = station.open()
    station.sink.full = False
    partition.work()
    assert [value for *_, value, _ in station.sink.cells()] == [290.0, 291.0]
    assert station.sink.again == 0
    partition.close()


def test_a_step_that_fails_is_done_again_from_the_state_kept_last(
    station: Station, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    partition = station.open(rules=NEVER)
    partition.take([device.send([290.0])], now=NOW)
    partition.work()
    partition.take([device.send([291.0], time=NOW + 1_000)], now=NOW)
    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "_rows", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            partition.work()
    partition.work()
    assert [(value, mark) for *_, value, mark in station.sink.cells()] == [(290.0, 0), (291.0, 0)]
    assert partition.tally(0, 2 * NOW)[device.member.id][0] == 2
    partition.close()


def test_only_sound_readings_count_for_pay(station: Station, device: Device) -> None:
    partition = station.open()
    partition.take([device.send([290.0, 290.1, 900.0])], now=NOW)
    partition.take([device.send([290.2], time=NOW + 1_000)], now=NOW + 500)
    partition.work()
    tallied = partition.tally(NOW, NOW + 500)[device.member.id]
    assert tallied[0] == 2
    assert 0.3 < tallied[1] < 0.6
    assert partition.tally(NOW + 501, 2 * NOW) == {}
    assert partition.explain(device.member.id)["range"] < 1
    assert partition.quality(Device(9).member.id) == 0.5
    partition.close()


def test_evidence_is_the_signed_batches_until_it_is_forgotten(
    station: Station, device: Device
) -> None:
    partition = station.open(rules=Rules(batches=1))
    first, second = device.send([290.0]), device.send([291.0], time=NOW + 1_000)
    partition.take([first], now=NOW)
    partition.take([second], now=NOW + 1_000)
    partition.work()
    member = device.member.id
    assert list(partition.evidence(0, 2 * NOW, member)) == [first, second]
    assert list(partition.evidence(NOW + 1, 2 * NOW, member)) == [second]
    partition.forget(NOW + 1)
    assert list(partition.evidence(0, 2 * NOW, member)) == [second]
    partition.close()
    partition = station.open()
    assert [each.new for each in partition.take([first], now=NOW)] == [False]
    partition.close()


def test_gaps_are_filled_before_the_reading_that_ends_them(
    station: Station, device: Device
) -> None:
    partition = station.open()
    times = [NOW + 1_000 * at for at in (*range(12), 14)]
    readings = [
        Reading("roof.temperature", "K", time, 290.0 + at % 2) for at, time in enumerate(times)
    ]
    partition.take([device.sealed(readings, times[-1])], now=times[-1])
    partition.work()
    (rows,) = station.sink.segments.values()
    assert rows.time.tolist() == [NOW + 1_000 * at for at in range(15)]
    assert np.flatnonzero(rows.std).tolist() == [12, 13]
    assert rows.marks[14] & Mark.GAP
    partition.close()


def booted(device: Device, boot: int, sequence: int, times: Sequence[int]) -> bytes:
    """A batch of a boot, with a temperature at each of ``times``."""
    readings = [
        Reading("roof.temperature", "K", time, 290.0 + at % 2) for at, time in enumerate(times)
    ]
    batch = Batch(NETWORK, device.member.did, boot, sequence, times[-1], pack(readings))
    return seal(batch, lambda message: sign(device.key, message))


@pytest.mark.parametrize(("boot", "sequence", "filled"), [(1, 2, 9), (2, 1, 6)])
def test_what_did_not_come_while_a_device_was_off_is_not_estimated(
    station: Station, device: Device, boot: int, sequence: int, filled: int
) -> None:
    partition = station.open()
    times = [NOW + 1_000 * at for at in range(12)]
    later = [NOW + 1_000 * at for at in (*range(15, 40), 46)]
    partition.take([booted(device, 1, 1, times)], now=times[-1])
    partition.take([booted(device, boot, sequence, later)], now=later[-1])
    partition.work()
    (rows,) = station.sink.segments.values()
    assert np.count_nonzero(rows.std) == filled
    partition.close()


@pytest.mark.parametrize(("told", "filled"), [(False, True), (True, False)])
def test_nothing_is_estimated_of_a_device_that_told_that_it_became_slower(
    station: Station, device: Device, told: bool, filled: bool
) -> None:
    partition = station.open()
    for turn in range(30):
        now = NOW + 1_000 * turn
        partition.take([device.send([290.0 + turn % 3], time=now)], now=now)
    start = now + 1_000
    if told:
        partition.take([device.sealed([Reading(INTERVAL, "s", start, 60)], start)], now=start)
    for turn in range(1, 6):
        now = start + 60_000 * turn
        partition.take([device.send([290.0 + turn % 3], time=now)], now=now)
    partition.work(now=now + 1_000)
    assert any(rows.std.any() for rows in station.sink.segments.values()) is filled
    partition.close()


def test_an_order_to_read_slower_that_the_device_tells_with_its_readings_raises_nothing(
    station: Station, device: Device
) -> None:
    partition = station.open()
    for turn in range(30):
        now = NOW + 1_000 * turn
        partition.take([device.send([290.0 + turn % 3], time=now)], now=now)
        partition.work(now=now)
    slower = [Reading("roof.temperature", "K", now + 1_000, 290.0)]
    slower.append(Reading(INTERVAL, "s", now + 1_000, 60))
    now += 1_000
    partition.take([device.sealed(slower, now)], now=now)
    for _ in range(5):
        for _ in range(59):
            now += 1_000
            partition.work(now=now)
        now += 1_000
        partition.take([device.send([290.0], time=now)], now=now)
    partition.work(now=now + 299_000)
    assert station.kinds() == []
    partition.work(now=now + 301_000)
    assert station.kinds() == ["silent"]
    partition.close()


def test_a_wrong_clock_is_told_once_and_marked(station: Station, device: Device) -> None:
    partition = station.open()
    for turn in range(3):
        now = NOW + 1_000 * turn
        partition.take([device.send([290.0 + turn], time=now + 60_000)], now=now)
    partition.work()
    (finding,) = station.found
    assert (finding.kind, finding.reason) == ("clock", "its clock is 60 seconds ahead")
    assert all(mark & Mark.DRIFT for *_, mark in station.sink.cells())
    partition.close()


def test_silence_is_told_once_and_again_after_the_next_one(
    station: Station, device: Device
) -> None:
    partition = station.open()
    for turn in range(3):
        partition.take([device.send([290.0 + turn], time=NOW + turn)], now=NOW + 1_000 * turn)
    partition.work(now=NOW + 61_000)
    assert station.kinds() == []
    partition.work(now=NOW + 63_001)
    partition.work(now=NOW + 90_000)
    assert station.kinds() == ["silent"]
    partition.take([device.send([290.0], time=NOW + 91_000)], now=NOW + 91_000)
    partition.work(now=NOW + 92_001)
    partition.work(now=NOW + 9_000_000)
    assert station.kinds() == ["silent", "silent"]
    partition.close()


def test_a_device_that_tells_of_a_slower_interval_is_not_taken_for_silent(
    station: Station, device: Device
) -> None:
    partition = station.open()
    for turn in range(30):
        now = NOW + 1_000 * turn
        partition.take([device.send([290.0 + turn % 3], time=now)], now=now)
    slower = NOW + 30_000
    partition.take([device.sealed([Reading(INTERVAL, "s", slower, 300)], slower)], now=slower)
    partition.work(now=slower + 299_000)
    later = slower + 300_000
    partition.take([device.send([290.0], time=later)], now=later)
    partition.work(now=later + 1_400_000)
    assert station.kinds() == []
    partition.work(now=later + 1_600_000)
    assert station.kinds() == ["silent"]
    partition.close()


def test_anomalies_become_findings_with_what_was_expected(station: Station, device: Device) -> None:
    partition = station.open()
    partition.take([device.send([290.0, 2_000.0])], now=NOW)
    partition.work()
    (finding,) = station.found
    assert finding.severity is Severity.CRITICAL
    assert (finding.kind, finding.metric, finding.since) == ("anomaly", "roof.temperature", NOW)
    assert "2000, expected 280 to 300" in finding.reason
    partition.close()


def test_a_device_that_invents_metrics_is_stopped(station: Station, device: Device) -> None:
    partition = station.open()
    for start in (0, 64, 128, 192):
        names = sorted(f"m{at}" for at in range(start, start + 64))
        batch = device.sealed([Reading(name, "1", NOW, 1.0) for name in names], NOW)
        assert refusals(partition, batch) == [None]
    more = device.sealed([Reading("n", "1", NOW, 1.0)], NOW)
    assert isinstance(refusals(partition, more)[0], CapacityError)
    drop(partition)
    partition = station.open()
    assert isinstance(refusals(partition, more)[0], CapacityError)
    partition.close()


def lively(rng: np.random.Generator, ticks: int) -> list[float]:
    return [float(value) for value in np.round(290.0 + rng.normal(0, 0.1, ticks), 3)]


def test_a_device_that_replays_old_values_is_caught_and_marked_within_minutes(
    tmp_path: Path,
) -> None:
    devices = [Device(number) for number in range(6)]
    station = Station(tmp_path, Listed(*devices))
    partition = station.open(rules=SOON)
    rng = np.random.default_rng(11)
    liar, begins = devices[0], 140
    series = {each.member.id: lively(rng, 300) for each in devices}
    series[liar.member.id][begins:] = series[liar.member.id][: 300 - begins]
    at = begins
    for at in range(0, 300, 5):
        now = NOW + 1_000 * (at + 4) + 300
        batches = [each.send(series[each.member.id][at : at + 5], time=now) for each in devices]
        assert refusals(partition, *batches, now=now) == [None] * 6
        partition.work()
        if station.found:
            break
    assert {(each.kind, each.subject) for each in station.found} == {("replayed", liar.member.id)}
    assert at - begins <= 150
    drop(partition)
    partition = station.open(rules=SOON)
    assert partition.marked(liar.member.id, NOW).startswith("replayed: roof.temperature")
    assert partition.marked(devices[1].member.id) == ""
    assert partition.marked(liar.member.id, NOW + 10**6) == ""
    partition.close()


def test_of_a_copy_the_one_that_comes_first_is_not_marked(tmp_path: Path) -> None:
    devices = [Device(number) for number in range(3)]
    station = Station(tmp_path, Listed(*devices))
    partition = station.open(rules=SOON)
    rng = np.random.default_rng(5)
    for at in range(0, 120, 5):
        now = NOW + 1_000 * (at + 4)
        own = [lively(rng, 5) for _ in devices]
        own[0] = own[1]
        batches = [each.send(own[row], time=now) for row, each in enumerate(devices)]
        partition.take(batches[1:], now=now + 50)
        partition.take(batches[:1], now=now + 300)
        partition.work()
    named = {each.subject for each in station.found if each.kind == "copied"}
    assert named == {devices[0].member.id, devices[1].member.id}
    assert partition.marked(devices[0].member.id)
    assert not partition.marked(devices[1].member.id)
    partition.close()


def test_many_batches_are_cut_into_bounded_segments(station: Station) -> None:
    devices = [Device(number) for number in range(8)]
    station.listed = Listed(*devices)
    partition = station.open()
    for turn in range(CUT // 8 + 1):
        partition.take([d.send([290.0 + turn % 3], time=NOW + turn) for d in devices], now=NOW)
    partition.work()
    assert [len(rows) for rows in station.sink.segments.values()] == [CUT, 8]
    partition.close()


def test_known_devices_keep_their_cell_across_restarts(station: Station, device: Device) -> None:
    member = replace(device.member, cell="u33d")
    station.listed.known[member.did] = member
    partition = station.open()
    partition.take([device.send([290.0])], now=NOW)
    partition.work()
    partition.close()
    partition = station.open()
    assert partition._about(member.id).cell == "u33d"
    partition.close()
