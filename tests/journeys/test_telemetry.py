"""Devices over a real MQTT server: what they measure arrives, and what is odd is an alert."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from freehold.domain.ids import Address
from freehold.economics.trees import GRAIN
from freehold.ledger.devnet.ports import free_port
from freehold.ledger.ledger import Ledger
from journeys.field import Field, Gauge, Loop, need_broker, running, wait_for
from journeys.town import Town

pytestmark = pytest.mark.journey

PUMPS, METRIC, USUAL, JUMP = ("east", "west", "north"), "pump.power", 100.0, 100.0
"""Watts; the jump is two hundred times the noise, and the first sign of it is enough."""
THERMOMETERS = ("roof", "shed")
PAST, HONEST, PERIOD = 140, 70, 50
"""Seconds that devices measured before they could report, those in which the liar was honest, and
those of them that it has on tape and plays again and again from then on."""
GRACE = 10
"""Seconds after an epoch until it is settled, and somewhat more."""
AGAIN = PAST + 40
"""Readings until the detector judges a device again that booted after PAST of them, and some."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A field whose devices all report over MQTT; ``gauges`` by the devices' names. ``before`` is
    what the owner had in base units when it had bought readings."""

    field: Field
    gauges: Mapping[str, Gauge]
    devices: Mapping[str, Address]
    before: int


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A telemetry service with an MQTT server of its own."""
    need_broker()
    settings = {"broker": "yes", "mqtt_port": str(free_port())}
    found = Field.found(tmp_path_factory.mktemp("journey") / "town", service=settings).town
    yield found
    found.stop()


@pytest.fixture(scope="module")
def scene(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Three pumps, two thermometers, and one that replays, which is heard first."""
    field, folder = Field(town), tmp_path_factory.mktemp("sensors")
    loop = Loop.make(folder / "loop", _again(), start=int(time.time()) - PAST)
    gauges = {
        name: Gauge(folder / name, USUAL, metric=METRIC, unit="W", spread=0.5, seed=seed)
        for seed, name in enumerate(PUMPS)
    }
    gauges |= {name: Gauge(folder / name, 20.0 + n, seed=n) for n, name in enumerate(THERMOMETERS)}
    sensors = {"liar": loop.sensor, **{name: gauge.sensor for name, gauge in gauges.items()}}
    services = f"{field.service['mqtt']},{field.service['url']}"
    devices = {
        name: field.add_device(name, sensors=sensor, services=services)
        for name, sensor in sensors.items()
    }
    before = _buy(field)
    field.measure("liar", PAST, before=loop.set)
    loop.reset()
    field.start_agent("liar")
    for name, gauge in gauges.items():
        field.measure(name, PAST, before=gauge.write)
    with running(list(gauges.values())):
        for name in gauges:
            field.start_agent(name)
        yield Scene(field, gauges, devices, before)


def test_three_devices_over_mqtt_and_one_jumps(scene: Scene) -> None:
    field = scene.field
    wait_for("all report", lambda: len(_pumped(field)) == 3 and min(_pumped(field)) > AGAIN)
    for name in PUMPS:
        _check(field.readings()[name])
    assert _alerts(field, "anomaly") == []

    scene.gauges["west"].value += JUMP
    wait_for("the jump is an alert", lambda: bool(_alerts(field, "anomaly")))
    seen = len(field.readings()["west"])
    wait_for("it goes on", lambda: len(field.readings()["west"]) > seen + 3)
    (alert,) = _alerts(field, "anomaly")
    assert (alert["subject"], alert["metric"]) == (scene.devices["west"], METRIC)
    assert alert["state"] == "open"
    assert field.freehold("telemetry", "status")["status"] == "ok"


def test_a_device_that_replays_is_caught_marked_and_unpaid(scene: Scene) -> None:
    """A minute of honest readings, then the end of it again and again under new times."""
    field, liar = scene.field, scene.devices["liar"]
    wait_for("the liar is caught", lambda: bool(_alerts(field, "replayed")))
    (alert,) = _alerts(field, "replayed")
    assert (alert["subject"], alert["severity"]) == (liar, "critical")
    assert _marked(field) == [liar]
    for name in scene.devices:
        field.stop_agent(name)  # the chain is soon ahead of the clock of the service

    with field.town.ledger() as ledger:
        statement = _settled(field, ledger, int(str(alert["at"])) // 1_000)
        rows = {row["device"]: row for row in statement["rows"]}
        assert (rows[liar]["paid"], rows[liar]["minted"]) == (0, 0)
        assert str(rows[liar]["marked"]).startswith("replayed")
        for name in THERMOMETERS:
            row = rows[scene.devices[name]]
            assert row["paid"] > 0
            assert row["minted"] > 0
            assert row["marked"] == ""
        _check_claimed(field, ledger, statement, scene.before)


def _check_claimed(field: Field, ledger: Ledger, statement: Mapping[str, Any], before: int) -> None:
    """All that devices earned comes to their owner, by roots that the watcher signed."""
    account = field.town.key().address
    earned = int(statement["accounts"][account])
    _claimed(field, ledger, lambda: ledger.token.balance_of(account) - before > earned - GRAIN)
    ledger.index.sync()
    moves = ledger.index.events("roots", "Movement", where={"recipient": account})
    paid = sum(event.number("amount") for event in moves)
    assert paid == ledger.token.balance_of(account) - before


def _buy(field: Field) -> int:
    """Buy what thermometers measure in this epoch and the next ones; what is left."""
    with field.town.ledger() as ledger:
        first = str(ledger.streams.epoch())
        query = ("metric=roof.*", "--amount", "50", "--epochs", "4", "--from", first)
        assert field.freehold("data", "buy", *query, "--yes")["purchase"] == 1
        return ledger.token.balance_of(field.town.key().address)


def _marked(field: Field) -> list[object]:
    """Members of which the service says that they lie."""
    members = field.freehold("telemetry", "status")["devices"]
    assert isinstance(members, list)
    return [each["id"] for each in members if each["marked"]]


def _settled(field: Field, ledger: Ledger, moment: int) -> dict[str, Any]:
    """The statement of the epoch of a moment, once that is over."""
    roots = ledger.roots
    epoch = (moment - roots.genesis()) // roots.epoch_length()
    end = roots.genesis() + (epoch + 1) * roots.epoch_length()
    field.warp(ledger, end + GRACE - ledger.now())
    file = field.home.telemetry / "epochs" / f"{epoch}.json"
    wait_for("the epoch is settled", file.exists)
    found = json.loads(file.read_text())
    assert isinstance(found, dict)
    return found


def _claimed(field: Field, ledger: Ledger, paid: Callable[[], bool]) -> None:
    """Wait until the roots that watchers signed have paid; their windows pass at once."""
    passed = {0}

    def ready() -> bool:
        state = ledger.roots.state()
        if state.tip > state.final and state.tip not in passed:
            passed.add(state.tip)
            field.warp(ledger, ledger.roots.parameters().window + 1)
        return paid()

    wait_for("the owner is paid", ready)


def _again() -> list[str]:
    """What an honest thermometer gave for a while, and then its end as long as anybody asks."""
    draw = random.Random(11)
    lines = [f"roof.temperature Cel {draw.gauss(22.0, 0.03):.4f}" for _ in range(HONEST)]
    return lines + 20 * lines[-PERIOD:]


def _pumped(field: Field) -> list[int]:
    """How many readings are stored of each pump that was heard."""
    return [len(rows) for name, rows in field.readings().items() if name in PUMPS]


def _alerts(field: Field, kind: str) -> list[Mapping[str, object]]:
    found = field.asked("alert", "list")
    assert isinstance(found, dict), found
    return [alert for alert in found["rows"] if alert["kind"] == kind]


def _check(rows: list[dict[str, object]]) -> None:
    """Each reading once, in order of time, and what the gauge said."""
    times = [int(str(row["time"])) for row in rows]
    assert times == sorted(set(times))
    for row in rows:
        assert row["metric"] == METRIC
        assert abs(float(str(row["value"])) - USUAL) < 5.0
