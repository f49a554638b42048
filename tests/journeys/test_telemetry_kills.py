"""A broker and a service are killed while devices report: each reading is stored once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from freehold.ledger.devnet.ports import free_port
from freehold.telemetry.broker import Broker, Layout, start_broker
from journeys.field import Field, Tape, need_broker, wait_for
from journeys.town import Town

pytestmark = pytest.mark.journey

NAMES = ("one", "two", "three")
SOME = 4
"""Readings of every device between two events."""


def _turns() -> list[str]:
    """A counter that counts up from 1, so that each reading is known by its value."""
    return [f"meter.turns.count 1 {number}" for number in range(1, 2_000)]


class Server:
    """A broker that is killed and started again in one place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layout = Layout(port=free_port(), mqtt_port=free_port(), partitions=2)
        self.broker: Broker = start_broker(folder, self.layout)

    def kill(self) -> None:
        self.broker.process.kill()
        self.broker.process.wait()

    def start(self) -> None:
        self.broker = start_broker(self.folder, self.layout)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A broker with JetStream and MQTT."""
    need_broker()
    made = Server(tmp_path / "broker")
    yield made
    made.kill()


@pytest.fixture
def town(tmp_path: Path, server: Server) -> Iterator[Town]:
    """A telemetry service that works on what another one's broker holds."""
    found = Field.found(tmp_path / "town", service={"nats": server.broker.url}).town
    yield found
    found.stop()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Town]:
    """A telemetry service with a broker of its own."""
    need_broker()
    settings = {"broker": "yes", "mqtt_port": str(free_port())}
    found = Field.found(tmp_path / "alone", service=settings).town
    yield found
    found.stop()


def test_every_reading_is_stored_once_whatever_is_killed(
    town: Town, server: Server, tmp_path: Path
) -> None:
    field = Field(town)
    meters = {name: Tape.make(tmp_path / name, _turns()) for name in NAMES}
    services = f"mqtt://127.0.0.1:{server.layout.mqtt_port},{field.service['url']}"
    for name, meter in meters.items():
        field.add_device(name, sensors=meter.sensor, services=services)
        field.start_agent(name)
    _stored(field, SOME)

    server.kill()
    _made(meters, SOME)
    server.start()
    _stored(field, _most(meters))

    town.kill("telemetry")
    _made(meters, SOME)
    field.start_service()
    _stored(field, _most(meters))

    town.kill("telemetry")
    server.kill()
    _made(meters, 1)
    server.start()
    field.start_service()
    for name in NAMES:
        field.drain(name)
    _check_all(field, meters)


def test_a_service_that_is_killed_leaves_no_broker_in_its_way(alone: Town, tmp_path: Path) -> None:
    field, meters = Field(alone), {"one": Tape.make(tmp_path / "one", _turns())}
    services = f"{field.service['mqtt']},{field.service['url']}"
    field.add_device("one", sensors=meters["one"].sensor, services=services)
    field.start_agent("one")
    wait_for("it is heard", lambda: bool(field.readings()))
    alone.kill("telemetry")
    _made(meters, 1)
    field.start_service()
    field.drain("one")
    _check_all(field, meters)


def _check_all(field: Field, meters: dict[str, Tape]) -> None:
    """All that devices counted is stored, each once."""
    wait_for(
        "all is stored",
        lambda: all(len(_values(field)[name]) >= meters[name].count for name in meters),
    )
    for name, meter in meters.items():
        assert _values(field)[name] == list(range(1, meter.count + 1))


def _values(field: Field) -> dict[str, list[int]]:
    found = field.readings()
    return {
        name: sorted(int(float(str(row["value"]))) for row in found.get(name, ())) for name in NAMES
    }


def _stored(field: Field, count: int) -> None:
    """Wait until so many readings of every device are stored."""
    wait_for(
        f"{count} readings of each are stored",
        lambda: all(len(values) >= count for values in _values(field).values()),
    )


def _most(meters: dict[str, Tape]) -> int:
    return max(meter.count for meter in meters.values())


def _made(meters: dict[str, Tape], more: int) -> None:
    """Wait until every device made so many more readings."""
    wanted = {name: meter.count + more for name, meter in meters.items()}
    wait_for(
        f"{more} more readings are made",
        lambda: all(meters[name].count >= count for name, count in wanted.items()),
    )
