"""The door for dense sources, over the real store: what counts, once, whatever happens between."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray

from freehold.domain.errors import CapacityError, ConflictError, UsageError
from freehold.node.telemetry import frames
from freehold.node.telemetry.app import Api
from freehold.node.telemetry.frames import FrameDoor, Frames, Taken
from freehold.telemetry.bulk import Frame
from freehold.telemetry.cleaning import Floats, Whole
from freehold.telemetry.findings import Finding
from freehold.telemetry.frames import BODY_MAX, Parcel, encode
from freehold.telemetry.refusals import ReplayError
from freehold.telemetry.rows import Rows
from freehold.telemetry.sources import AHEAD, Source, Sources
from freehold.telemetry.store.store import Store
from unit.node.telemetry.service import world
from unit.telemetry.devices import NETWORK, NOW

METRICS = ("meter.power", "meter.voltage")
METERS = 20


class Full:
    """A store that may be full."""

    def __init__(self, store: Store) -> None:
        self.store, self.full = store, False

    def keep(self, segment: str, rows: Rows) -> None:
        self.store.keep(segment, rows)

    def keep_block(
        self, segment: str, devices: NDArray[np.object_], times: Whole, names: Sequence[str],
        values: Floats, scores: NDArray[np.float32],
    ) -> None:  # fmt: skip
        if self.full:
            raise CapacityError("the store is full", remedy="Free space.")
        self.store.keep_block(segment, devices, times, names, values, scores)


class Plant:
    """A gateway of twenty meters, its source and a service with a store."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.told = folder, list[Finding]()
        self.store = Store(folder / "store")
        self.sink = Full(self.store)
        self.sources = Sources(
            folder / "sources", network_id=NETWORK, random=lambda size: b"\5" * size, now=1
        )
        self.source, _ = self.sources.add("plant", owner="0x1")
        self.random = np.random.default_rng(5)
        self.frames = self.open()

    def open(self) -> Frames:
        """A service that was started again."""
        self.frames = Frames(
            self.folder / "frames", sources=self.sources, sink=self.sink,
            listener=self.told.extend, now=lambda: NOW,
        )  # fmt: skip
        return self.frames

    def take(self, number: int, *, boot: int = 1, **other: object) -> Taken:
        return self.frames.take(self.source, replace(self.parcel(number, boot=boot), **other))  # type: ignore[arg-type]

    def parcel(self, number: int, *, boot: int = 1) -> Parcel:
        values = self.random.normal([500.0, 230.0], [5.0, 0.5], (METERS, 2))
        times = np.full(METERS, NOW - 1_000_000 + 1_000 * number)
        return Parcel(boot, number, METERS, METRICS, Frame(np.arange(METERS), times, values))

    def kept(self, device: str = "source:plant/0") -> list[int]:
        """Times of a device's readings of the first metric, as frame numbers."""
        answers = self.store.query([device], METRICS[:1], since=0, until=2 * NOW)
        rows = [dict(zip(each.columns, row, strict=True)) for each in answers for row in each.rows]
        return [(int(str(row["time"])) - NOW + 1_000_000) // 1_000 for row in rows]


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    made = Plant(tmp_path)
    yield made
    made.store.close()


def test_a_frame_counts_once_and_an_older_one_is_refused(plant: Plant) -> None:
    assert plant.take(1) == Taken(new=True, rows=METERS)
    assert plant.take(3) == Taken(new=True, rows=METERS)
    assert plant.take(3) == Taken(new=False, rows=0)
    with pytest.raises(ReplayError, match="older than the last, 3 of 1"):
        plant.take(2)
    assert plant.take(1, boot=2).new
    with pytest.raises(ReplayError):
        plant.take(9)
    assert plant.kept() == [1, 3]
    assert plant.kept(f"source:plant/{METERS - 1}") == [1, 3]


def test_an_incident_of_one_meter_is_told_by_its_name(plant: Plant) -> None:
    for number in range(1, 80):
        parcel = plant.parcel(number)
        if number >= 70:
            parcel.frame.values[7, 0] += 1_000.0
        plant.frames.take(plant.source, parcel)
    (found,) = plant.told
    assert (found.subject, found.metric, found.kind) == (
        "source:plant/7", "meter.power", "anomaly",
    )  # fmt: skip


def test_of_a_crowd_the_worst_are_told_and_the_source(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "TOLD_MAX", 3)
    for number in range(1, 71):
        parcel = plant.parcel(number)
        if number == 70:
            parcel.frame.values[5:, 0] += 1_000.0
        plant.frames.take(plant.source, parcel)
    crowd, *worst = plant.told
    assert (crowd.subject, crowd.kind, crowd.since) == (
        "source:plant", "crowd", NOW - 1_000_000 + 70_000,
    )  # fmt: skip
    assert crowd.reason.startswith("15 of its devices are odd at once")
    assert [each.kind for each in worst] == ["anomaly"] * 3


def test_a_frame_that_the_store_could_not_keep_is_kept_once_it_can(plant: Plant) -> None:
    plant.sink.full = True
    for _ in range(2):
        with pytest.raises(CapacityError):
            plant.take(1)
    plant.frames.keep()
    assert not list((plant.folder / "frames").glob("*.state"))
    plant.sink.full = False
    assert plant.take(1) == Taken(new=True, rows=METERS)
    plant.sink.full = True
    with pytest.raises(CapacityError):
        plant.take(2)
    plant.sink.full = False
    assert plant.take(3).new
    assert plant.kept() == [1, 2, 3]


def test_the_file_is_written_once_an_unkept_frame_is_kept(plant: Plant) -> None:
    plant.take(1)
    plant.sink.full = True
    second = plant.parcel(2)
    with pytest.raises(CapacityError):
        plant.frames.take(plant.source, second)
    plant.sink.full = False
    plant.frames.keep()
    assert plant.kept() == [1, 2]
    plant.open()
    assert plant.frames.take(plant.source, second).rows == 0
    assert plant.kept() == [1, 2]


def test_a_restart_goes_on_from_the_file_and_what_came_after_counts_once(plant: Plant) -> None:
    for number in range(1, 70):
        plant.take(number)
    plant.frames.keep()
    parcels = [plant.parcel(number) for number in (70, 71)]
    for parcel in parcels:
        plant.frames.take(plant.source, parcel)
    plant.open()
    assert plant.take(69) == Taken(new=False, rows=0)
    for parcel in parcels:
        plant.frames.take(plant.source, parcel)
    assert plant.kept() == list(range(1, 72))
    odd = plant.parcel(72)
    odd.frame.values[3, 1] += 100.0
    plant.frames.take(plant.source, odd)
    assert [each.subject for each in plant.told] == ["source:plant/3"]


@pytest.mark.parametrize("damage", [b"", b"x" * 99])
def test_a_damaged_file_is_begun_anew(plant: Plant, damage: bytes) -> None:
    plant.take(5)
    plant.frames.keep()
    file = plant.folder / "frames" / "plant.state"
    file.write_bytes(damage + file.read_bytes()[: len(file.read_bytes()) // 2])
    plant.open()
    assert plant.take(5).new
    assert plant.kept() == [5]


def test_a_changed_shape_begins_anew_and_numbers_go_on(plant: Plant) -> None:
    plant.take(1)
    frame = Frame(np.arange(3), np.full(3, NOW), np.ones((3, 1)))
    assert plant.take(2, roster=3, metrics=METRICS[:1], frame=frame) == Taken(new=True, rows=3)
    with pytest.raises(ReplayError):
        plant.take(1)
    assert len(plant.kept()) == 2


def test_a_source_of_the_same_name_is_another(plant: Plant) -> None:
    plant.take(9)
    plant.frames.keep()
    plant.sources.remove("plant")
    plant.sources._random = lambda size: b"\6" * size
    plant.source, _ = plant.sources.add("plant", owner="0x1")
    assert plant.take(1).new
    plant.open()
    assert plant.take(2).new
    plant.sources.remove("plant")
    plant.frames.keep()
    assert not list((plant.folder / "frames").glob("*.state"))


def test_rows_of_the_future_are_left_out(plant: Plant) -> None:
    times = np.full(METERS, NOW)
    times[3] = NOW + AHEAD + 1
    times[4] = -1
    parcel = plant.parcel(1)
    frame = replace(parcel.frame, times=times)
    assert plant.take(1, frame=frame).rows == METERS - 2
    with pytest.raises(UsageError, match="usable time"):
        plant.take(2, frame=replace(parcel.frame, times=np.full(METERS, NOW + AHEAD + 1)))
    assert plant.take(2).rows == 2


def test_sources_have_room_for_so_many_devices_together(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "ROSTERS_MAX", METERS + 5)
    plant.take(1)
    plant.sources._random = lambda size: b"\7" * size
    other, _ = plant.sources.add("other", owner="0x1")
    with pytest.raises(CapacityError, match="25 is the most"):
        plant.frames.take(other, plant.parcel(1))
    plant.take(2, roster=METERS + 5)


Post = Callable[..., Awaitable[httpx2.Response]]


@contextmanager
def doors(plant: Plant, loop: asyncio.AbstractEventLoop) -> Iterator[tuple[Post, FrameDoor]]:
    """The door behind an API; ``post(body)`` sends with the token of that API's source."""
    made = world(plant.folder / "api", loop)
    (plant.folder / "api").mkdir()
    here = next(made)
    with ThreadPoolExecutor(2) as pool:
        taker = Frames(
            plant.folder / "posted", sources=here.sources, sink=plant.sink,
            listener=plant.told.extend, now=lambda: NOW,
        )  # fmt: skip
        door = FrameDoor(taker, door=here.door, workers=pool, meters=here.meters)
        app = Api(here.parts).build(door.routes())

        async def post(body: bytes, token: str = here.source_token, **more: str) -> httpx2.Response:
            headers = {"authorization": f"Bearer {token}"} | more
            transport = httpx2.ASGITransport(app, client=("192.0.2.1", 5))
            async with httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
                return await http.post("/frames", content=body, headers=headers)

        yield post, door
    assert next(made, None) is None


def test_a_gateway_posts_frames_and_is_told_what_became_of_them(plant: Plant) -> None:
    async def run() -> None:
        with doors(plant, asyncio.get_running_loop()) as (post, _):
            body = encode(plant.parcel(4))
            answers = [(await post(body)).json() for _ in range(2)]
            assert answers == [{"new": True, "rows": METERS}, {"new": False, "rows": 0}]
            older = await post(encode(plant.parcel(3)))
            assert (older.status_code, older.json()["kind"]) == (409, "ReplayError")
            codes = [
                (await post(body, "00" * 32)).status_code,
                (await post(b"nonsense")).status_code,
                (await post(bytes(BODY_MAX + 2_000))).status_code,
                (await post(body, **{"content-encoding": "gzip"})).status_code,
            ]
            assert codes == [401, 422, 413, 415]
            plant.sink.full = True
            full = await post(encode(plant.parcel(5)))
            assert full.status_code == 507
            assert "retry-after" in full.headers

    asyncio.run(run())
    assert plant.kept("source:prom/0") == [4]


def test_a_source_has_one_frame_at_a_time(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, leave = threading.Event(), threading.Event()
    real = Frames.take

    def slow(self: Frames, source: Source, parcel: Parcel) -> Taken:
        inside.set()
        leave.wait(10)
        return real(self, source, parcel)

    monkeypatch.setattr(Frames, "take", slow)

    async def run() -> None:
        with doors(plant, asyncio.get_running_loop()) as (post, _):
            first = asyncio.ensure_future(post(encode(plant.parcel(1))))
            await asyncio.to_thread(inside.wait, 10)
            busy = await post(encode(plant.parcel(2)))
            leave.set()
            assert (busy.status_code, busy.headers["retry-after"]) == (429, "1")
            assert (await first).json()["new"]
            assert (await post(encode(plant.parcel(2)))).json()["new"]

    asyncio.run(run())


def test_an_unkept_frame_is_in_no_checkpoint(plant: Plant) -> None:
    plant.sink.full = True
    with pytest.raises(CapacityError):
        plant.take(1)
    bulk = plant.frames._held["plant"].bulk
    assert bulk is not None
    with pytest.raises(ConflictError):
        bulk.encode()
