from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nats
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from freehold.domain.errors import ConflictError, NotFoundError, UnavailableError
from freehold.telemetry.broker import BINARY, Broker, Layout, start_broker
from freehold.telemetry.jetstream import RECEIPT, Settings, work
from freehold.telemetry.leases import Leases
from freehold.telemetry.members import share, topic
from freehold.telemetry.streams import STREAM
from unit.telemetry.devices import NOW
from unit.telemetry.jetworker import cells, clock
from unit.telemetry.stations import Device, Listed, Station, device_of

needed = pytest.mark.skipif(shutil.which(BINARY) is None, reason=f"{BINARY} is not installed")
TESTS = Path(__file__).parents[2]
PARTITIONS, DEVICES = 2, 5


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    started = start_broker(tmp_path / "broker", Layout(partitions=PARTITIONS, bytes_max=2**26))
    yield started
    started.stop()


@dataclass
class Fleet:
    """Devices over MQTT that send what has no receipt again."""

    port: int
    waiting: dict[tuple[str, int], bytes] = field(default_factory=dict)
    receipts: list[tuple[str, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._news = threading.Condition()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "fleet")
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._connected
        self._client.on_message = self._heard
        self._client.connect("127.0.0.1", self.port)
        self._client.loop_start()

    def send(self, device: str, sequence: int, batch: bytes) -> None:
        with self._news:
            self.waiting[device, sequence] = batch
        self._client.publish(f"fh/dev/{device}", batch, qos=1)

    def wait(self, most: int, seconds: float = 40.0) -> None:
        """Until at most so many have no receipt; what has none is sent again every two seconds."""
        until = time.monotonic() + seconds
        while not self._few(most, 2.0):
            assert time.monotonic() < until, f"{len(self.waiting)} without a receipt"
            if self._client.is_connected():
                for (device, _), batch in list(self.waiting.items()):
                    self._client.publish(f"fh/dev/{device}", batch, qos=1)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _few(self, most: int, seconds: float) -> bool:
        with self._news:
            return self._news.wait_for(lambda: len(self.waiting) <= most, seconds)

    def _connected(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe("fh/ack/+", qos=0)

    def _heard(self, client: mqtt.Client, _: object, message: mqtt.MQTTMessage) -> None:
        device = message.topic.rpartition("/")[2]
        with self._news:
            for _boot, sequence, counts in RECEIPT.iter_unpack(message.payload):
                self.receipts.append((device, sequence, counts))
                self.waiting.pop((device, sequence), None)
            self._news.notify_all()


def start_worker(broker: Broker, folder: Path) -> subprocess.Popen[str]:
    worker = subprocess.Popen(
        [sys.executable, "-m", "unit.telemetry.jetworker", broker.url, str(folder),
         str(PARTITIONS), str(DEVICES)],
        cwd=TESTS, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def end(worker: subprocess.Popen[str], how: signal.Signals = signal.SIGTERM) -> None:
    worker.send_signal(how)
    worker.communicate(timeout=20)


@needed
def test_a_worker_and_the_broker_killed_midway_lose_nothing_and_count_nothing_twice(
    tmp_path: Path, broker: Broker
) -> None:
    devices = [Device(number) for number in range(DEVICES)]
    fleet = Fleet(broker.layout.mqtt_port)
    start, expected = clock() - 120_000, list[tuple[str, int, float]]()
    worker = start_worker(broker, tmp_path / "worker")
    for turn in range(60):
        for device in devices:
            at, value = start + 1_000 * turn, 290.0 + turn % 7
            fleet.send(topic(device.member.id), turn + 1, device.send([value], time=at))
            expected.append((device.member.id, at, value))
        if turn == 20:
            end(worker, signal.SIGKILL)
            worker = start_worker(broker, tmp_path / "worker")
        if turn == 40:
            broker.process.kill()
            broker.process.wait()
            again = start_broker(tmp_path / "broker", broker.layout)
        fleet.wait(40)
    fleet.wait(0)
    fleet.close()
    end(worker)
    again.stop()
    assert sorted(cells(tmp_path / "worker" / "rows")) == sorted(expected)


@needed
def test_what_no_device_signed_is_dropped_and_has_no_receipt(
    tmp_path: Path, broker: Broker
) -> None:
    honest, stranger = Device(0), Device(1)
    station = Station(tmp_path, Listed(honest))
    parts = [station.open(part=part, partitions=PARTITIONS) for part in range(PARTITIONS)]
    good = honest.send([290.0], time=NOW)
    forged = good[:-1] + bytes([good[-1] ^ 1])
    fleet = Fleet(broker.layout.mqtt_port)
    stop, done = threading.Event(), []

    def run() -> None:
        settings = Settings(flush=0.02, lease=2.0)
        done.append(
            work(broker.url, parts, owner="w", clock=lambda: NOW, stop=stop, settings=settings)
        )

    thread = threading.Thread(target=run)
    thread.start()
    name = topic(honest.member.id)
    fleet.send(name, 9, forged)
    fleet.send(topic(stranger.member.id), 9, b"no batch")
    fleet.send(name, 1, good)
    fleet.wait(2)
    fleet.send(name, 1, good)
    fleet.wait(2)
    stop.set()
    thread.join(20)
    fleet.close()
    assert [(each.new, each.again, each.refused) for each in done] == [(1, 1, 2)]
    assert fleet.receipts == [(name, 1, 1)] * 2
    for part in parts:
        part.close()


@needed
def test_what_never_counts_has_a_receipt_for_the_device_that_signed_it_alone(
    tmp_path: Path, broker: Broker
) -> None:
    honest = device_of(0, PARTITIONS)
    thief = next(
        each
        for each in map(Device, range(1_000))
        if share(each.member.id, PARTITIONS) == 0 and each.member != honest.member
    )
    station = Station(tmp_path, Listed(honest, thief))
    part = station.open(part=0, partitions=PARTITIONS)
    fleet, name = Fleet(broker.layout.mqtt_port), topic(honest.member.id)
    stop = threading.Event()
    thread = threading.Thread(
        target=work, args=(broker.url, [part]),
        kwargs={"owner": "w", "clock": lambda: NOW, "stop": stop, "settings": Settings(flush=0.02)},
    )  # fmt: skip
    thread.start()
    broken = honest.sign(7, b"no readings")
    fleet.send(name, 1, thief.send([290.0], time=NOW))
    fleet.send(name, 8, thief.sign(8, b"no readings"))
    fleet.send(name, 9, honest.sign(9, b"forged")[:-1] + b"x")
    fleet.send(name, 10, honest.sign(10, b"cut off")[:-5])
    fleet.send(name, 7, broken)
    fleet.wait(4)
    stop.set()
    thread.join(20)
    fleet.close()
    part.close()
    assert set(fleet.receipts) == {(name, 7, 0)}


@needed
def test_one_worker_has_a_partition_at_a_time_and_on_one_file_for_ever(broker: Broker) -> None:
    async def contend() -> None:
        client = await nats.connect(broker.url)
        jetstream = client.jetstream()
        one, two = [await Leases.open(jetstream, owner=o, seconds=5.0) for o in ("one", "two")]
        held = await one.take(0, "home")
        assert held is not None
        assert await two.take(0, "home") is None
        renewed = await one.renew(held)
        assert renewed is not None
        assert await one.renew(held) is None
        assert await one.take(0, "home") is not None
        with pytest.raises(ConflictError, match="another file"):
            await two.take(0, "elsewhere")
        again = await one.take(0, "home")
        assert again is not None
        await one.give_back(again)
        assert await two.take(0, "home") is not None
        await client.close()

    asyncio.run(contend())


@needed
def test_devices_may_not_touch_the_streams(broker: Broker) -> None:
    async def reach() -> None:
        client = await nats.connect(f"nats://127.0.0.1:{broker.layout.port}", error_cb=quiet)
        with pytest.raises(nats.errors.Error):
            await client.jetstream(timeout=0.3).delete_stream(STREAM)
        await client.close()

    async def quiet(_: Exception) -> None: ...

    asyncio.run(reach())


def test_a_worker_gives_up_without_a_server(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="no NATS server answered"):
        work(
            "nats://127.0.0.1:1", [], owner="w", clock=lambda: NOW, stop=threading.Event(),
            settings=Settings(flush=0.01, patience=0.1),
        )  # fmt: skip


def test_a_missing_server_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFoundError, match="not installed"):
        start_broker(tmp_path / "broker")
