"""The agent over a real broker and worker: what has a receipt is forgotten, nothing else is."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from paho.mqtt.client import MQTTMessage

from freehold.domain.errors import UnavailableError
from freehold.domain.files import write_whole
from freehold.domain.ids import checksum
from freehold.node.agent.agent import Agent
from freehold.node.agent.buffer import Sealed
from freehold.node.agent.keys import DEVICE_KEY
from freehold.node.agent.mqtt import RECEIPT, REFUSED, Mqtt
from freehold.node.agent.rounds import Rounds
from freehold.telemetry.broker import BINARY, Layout, start_broker
from freehold.telemetry.columns import unpack
from freehold.telemetry.reading import Reading, open_batch
from unit.node.agent.homes import make_home, until
from unit.telemetry.devices import NETWORK
from unit.telemetry.jetworker import cells, clock
from unit.telemetry.stations import Device

TESTS = Path(__file__).parents[3]
DEVICE = Device(0)
ME = checksum(bytes.fromhex(DEVICE.member.id[2:]))
needs_nats = pytest.mark.skipif(shutil.which(BINARY) is None, reason=f"{BINARY} is not installed")


class Bench:
    """A broker, a worker and an agent whose clock moves a second a round."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = start_broker(folder / "broker", Layout(partitions=1, bytes_max=2**26))
        self.worker: subprocess.Popen[str] | None = None
        url = f"mqtt://127.0.0.1:{self.broker.layout.mqtt_port}"
        home, network = folder / "home", "0x" + NETWORK.hex()
        make_home(home, network_id=network, device=ME, did=DEVICE.member.did.text, services=(url,))
        pem = DEVICE.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_whole(home / DEVICE_KEY, pem)
        self.now = clock() / 1_000 - 300
        self.agent = Agent.open(home, wall=lambda: self.now)
        self.agent._transport = Mqtt(url, device=ME, seconds=2.0)
        self.made: list[tuple[str, int, float]] = []

    def sense(self, rounds: int) -> None:
        """Make so many batches, and note what is in them."""
        for _ in range(rounds):
            self.now += 1
            before = {each.sequence for each in self.agent._buffer.oldest(1_000)}
            self.agent.sense()
            for each in self.agent._buffer.oldest(1_000):
                if each.sequence not in before:
                    self.made += readings(each)

    def deliver(self) -> None:
        """Send until nothing waits."""
        until(self._sent, "all has a receipt", seconds=40)

    def _sent(self) -> bool:
        try:
            return not self.agent.send() and not self.agent.progress().buffered
        except UnavailableError:
            return False

    def start_worker(self) -> None:
        self.worker = subprocess.Popen(
            [sys.executable, "-m", "unit.telemetry.jetworker", self.broker.url,
             str(self.folder / "worker"), "1", "1"],
            cwd=TESTS, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.worker.stdout is not None
        assert self.worker.stdout.readline() == "ready\n"

    def end_worker(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.worker is not None:
            self.worker.send_signal(how)
            self.worker.communicate(timeout=20)
            self.worker = None

    def kill_broker(self) -> None:
        self.broker.process.kill()
        self.broker.process.wait()

    def restart_broker(self) -> None:
        self.broker = start_broker(self.folder / "broker", self.broker.layout)

    def close(self) -> None:
        self.agent.stop()
        self.agent._close()
        self.end_worker()
        self.broker.stop()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def readings(batch: Sealed) -> list[tuple[str, int, float]]:
    opened = open_batch(batch.data, network_id=NETWORK)
    return [
        (DEVICE.member.id, each.time, each.value * (0.01 if each.unit == "%" else 1.0) + (
            273.15 if each.unit == "Cel" else 0.0))
        for each in unpack(opened).readings()
    ]  # fmt: skip


def rounded(found: Sequence[tuple[str, int, float]]) -> list[tuple[str, int, float]]:
    return sorted((device, time, round(value, 9)) for device, time, value in found)


@needs_nats
def test_nothing_is_forgotten_without_a_receipt_and_nothing_counts_twice(bench: Bench) -> None:
    bench.sense(10)
    with pytest.raises(UnavailableError, match="10 batches that no worker counted"):
        bench.agent.send()
    assert bench.agent.progress().buffered == 10, "the broker's word alone deletes nothing"
    bench.start_worker()
    bench.deliver()
    bench.end_worker()
    bench.sense(30)
    with pytest.raises(UnavailableError):
        bench.agent.send()  # the broker has them, and no worker
    bench.kill_broker()
    with pytest.raises(UnavailableError):
        bench.agent.send()
    assert bench.agent.progress().buffered == 30
    bench.restart_broker()
    bench.start_worker()
    bench.sense(5)
    bench.deliver()
    again = Rounds(
        network_id=NETWORK, did=DEVICE.member.did, boot=1, sign=bench.agent._rounds._sign
    )
    at = int(bench.now * 1_000)
    (altered,) = again.take([Reading("room.temperature", "Cel", at, 1.0)], now=at, batch=1)
    bench.agent._buffer.put(altered)
    bench.deliver()
    assert bench.agent._buffer.refusals() == [(1, 1, REFUSED)]
    assert bench.agent.progress().sent == 45
    bench.end_worker()
    assert rounded(cells(bench.folder / "worker" / "rows")) == rounded(bench.made)
    assert len(bench.made) == 45 * 2 + 1  # and once the agent's interval


def message(payload: bytes) -> MQTTMessage:
    made = MQTTMessage(topic=b"fh/ack/x")
    made.payload = payload
    return made


def test_receipts_that_nobody_waits_for_are_not_kept() -> None:
    way = Mqtt("mqtt://127.0.0.1:9", device=ME)
    way._receipts = {(1, 2): None, (1, 3): None}
    for payload in (
        b"x", RECEIPT.pack(1, 9, 1), RECEIPT.pack(1, 2, 1)[:-1], RECEIPT.pack(1, 2, 1) * 5_000,
    ):  # fmt: skip
        way._receive(None, None, message(payload))
    assert way._receipts == {(1, 2): None, (1, 3): None}
    way._receive(None, None, message(RECEIPT.pack(1, 2, 1) + RECEIPT.pack(1, 3, 0)))
    assert way._receipts == {(1, 2): True, (1, 3): False}
