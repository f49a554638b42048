from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from freehold.domain.errors import CapacityError, FreeholdError, UnavailableError, UsageError
from freehold.telemetry.embedded import Embedded, Pace
from freehold.telemetry.members import UnknownError
from freehold.telemetry.partition import Outcome, Partition
from freehold.telemetry.refusals import MalformedError
from unit.telemetry.devices import NOW
from unit.telemetry.stations import Device, Listed, Station

PARTITIONS = 3


@pytest.fixture
def devices() -> list[Device]:
    return [Device(number) for number in range(8)]


@pytest.fixture
def station(tmp_path: Path, devices: list[Device]) -> Station:
    return Station(tmp_path, Listed(*devices))


def embedded(station: Station, *, pace: Pace | None = None, now: int = NOW) -> Embedded:
    parts = [station.open(part=part, partitions=PARTITIONS) for part in range(PARTITIONS)]
    return Embedded(parts, members=station.listed, clock=lambda: now, pace=pace or Pace(flush=0.01))


@pytest.fixture
def running(station: Station) -> Iterator[Embedded]:
    started = embedded(station)
    yield started
    started.close()


def results(futures: Sequence[Future[Outcome]]) -> list[Outcome]:
    return [future.result(10) for future in futures]


def test_batches_of_many_devices_go_to_their_partitions_and_count_once(
    running: Embedded, station: Station, devices: list[Device]
) -> None:
    batches = [
        device.send([290.0 + turn], time=NOW + turn) for turn in range(9) for device in devices
    ]
    assert all(each.new for each in results([running.submit(batch) for batch in batches]))
    assert not any(each.new for each in results([running.submit(batch) for batch in batches]))
    assert running.settle(10)
    assert len(station.sink.cells()) == len(batches)
    for device in devices:
        tally = running.partition(device.member.id).tally(0, 2 * NOW)
        assert tally[device.member.id][0] == 9


def test_refusals_are_answers(running: Embedded) -> None:
    stranger = Device(99).send([290.0])
    found = results([running.submit(b""), running.submit(b"x" * 300), running.submit(stranger)])
    kinds = [type(each.refusal) for each in found]
    assert kinds == [MalformedError, MalformedError, UnknownError]


def test_more_than_may_wait_is_refused_at_once(
    station: Station, devices: list[Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    started = embedded(station, pace=Pace(waiting=2, flush=0.01))
    mine = running_partition(started, devices[0])
    with mine._door:  # as long as the door is held, nothing is taken
        futures, refused = [], None
        for _ in range(8):
            try:
                futures.append(started.submit(devices[0].send([290.0])))
            except CapacityError as error:
                refused = error
    assert refused is not None
    assert "wait already" in refused.message
    assert all(each.new for each in results(futures))
    started.close()


def running_partition(started: Embedded, device: Device) -> Partition:
    return started.partition(device.member.id)


def test_a_full_sink_shuts_the_door_and_opens_it_again(
    running: Embedded, station: Station, devices: list[Device]
) -> None:
    station.sink.full = True
    acknowledged = list[bytes]()
    with pytest.raises(CapacityError, match="store is full"):
        submit_until_refused(running, devices[0], acknowledged)
    assert running.trouble is not None
    station.sink.full = False
    assert running.settle(10)
    assert running.trouble is None
    assert len(station.sink.cells()) == len(acknowledged) > 0


def submit_until_refused(running: Embedded, device: Device, acknowledged: list[bytes]) -> None:
    while True:
        batch = device.send([290.0])
        assert running.submit(batch).result(10).new
        acknowledged.append(batch)


def test_a_disk_that_fails_acknowledges_nothing(
    station: Station, devices: list[Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    started = embedded(station)
    full = CapacityError("no room", remedy="Free space.")

    def fail(*_: object, **__: object) -> list[Outcome]:
        raise full

    batch = devices[0].send([290.0])
    with monkeypatch.context() as patched:
        patched.setattr(Partition, "take", fail)
        with pytest.raises(FreeholdError, match="no room"):
            started.submit(batch).result(10)
    assert started.submit(batch).result(10).new
    started.close()
    with pytest.raises(UnavailableError, match="stopping"):
        started.submit(batch)


def test_what_waits_when_it_closes_is_taken(station: Station, devices: list[Device]) -> None:
    started = embedded(station, pace=Pace(flush=5.0))
    futures = [started.submit(device.send([290.0])) for device in devices]
    started.close()
    assert all(each.new for each in results(futures))
    assert len(station.sink.cells()) == len(devices)


def test_all_partitions_of_a_folder_are_needed(station: Station) -> None:
    one = station.open(part=1, partitions=PARTITIONS)
    with pytest.raises(UsageError, match="not all of a folder"):
        Embedded([one], members=station.listed, clock=lambda: NOW)
    one.close()
