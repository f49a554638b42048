"""`freehold data`, and what `freehold earnings` says of devices, over the real contracts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contracts.world import alice, bob, carol
from freehold.cli import data, earnings, measuring
from freehold.cli.home import Home
from freehold.cli.wallets import WalletFolder
from freehold.domain.errors import (
    InsufficientFundsError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from freehold.domain.ids import address
from freehold.domain.money import UNIT
from freehold.ledger.ledger import Ledger
from freehold.node.watcher import paysource
from unit.node.telemetry.payhouse import PRICE, House, LocalSource, Sensor

QUERY = "metric=roof.*"


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    made = House(tmp_path)

    @contextmanager
    def opened(*_: object) -> Iterator[Ledger]:
        yield made.ledger(carol)

    monkeypatch.setattr(data, "open_account", opened)
    monkeypatch.setattr(data, "open_ledger", opened)
    monkeypatch.setattr(WalletFolder, "address", lambda _: address(carol.address))
    return made


def bought(house: House, capsys: pytest.CaptureFixture[str], **told: object) -> dict[str, object]:
    home = Home(house.folder).root
    data.buy("metric=roof.*", amount="5", yes=True, home=home, as_json=True, **told)  # type: ignore[arg-type]
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_readings_are_bought_from_the_next_epoch_on_and_listed(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    house.world.fund(carol.address, 15 * UNIT)
    house.enter(2, after=10)
    told = bought(house, capsys, epochs=3)
    assert (told["epoch"], told["count"], told["amount"]) == (3, 3, 5 * UNIT)
    assert told["burned"] == 5 * UNIT // 10
    assert house.balance(carol) == 0
    data.list_(home=house.folder, as_json=True)
    (found,) = json.loads(capsys.readouterr().out)["purchases"]
    assert (found["query"], found["epoch"], found["count"]) == ("metric=roof.*", 3, 3)
    assert found["ends"] - found["begins"] == 3_000


def test_who_buys_what_nobody_reports_is_told(
    house: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = house.enroll(Sensor(1, alice))
    house.buy(QUERY, epoch=1)
    house.report(first, 1)
    house.world.fund(carol.address, 20 * UNIT)
    monkeypatch.setattr(paysource, "sources", lambda _: [])
    assert bought(house, capsys)["matches"] is None
    house.enter(2, after=200)
    house.run()
    monkeypatch.setattr(paysource, "sources", lambda _: [LocalSource(house.epochs)])
    assert bought(house, capsys)["matches"] == 1
    monkeypatch.setenv("COLUMNS", "80")
    data.buy("metric=zzz.*", amount="5", yes=True, home=house.folder)
    text = " ".join(capsys.readouterr().out.split())
    assert "No device reports metric=zzz.* now" in text
    assert "Devices report roof.temperature." in text
    data.list_(everybody=True, home=house.folder)
    text = capsys.readouterr().out
    assert "from" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_device_of_this_machine_is_called_by_its_name(house: House) -> None:
    folder = house.folder / "devices/shed"
    folder.mkdir(parents=True)
    (folder / "place.json").write_text(json.dumps({"device": carol.address}))
    wanted = data._wanted(house.folder, "metric=*.rain;device=shed")
    assert (wanted.device, wanted.metric) == (address(carol.address), "*.rain")
    with pytest.raises(NotFoundError, match="no device is called"):
        data._wanted(house.folder, "device=roof")


def test_who_has_too_little_or_asks_nothing_is_told(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InsufficientFundsError):
        bought(house, capsys)
    with pytest.raises(UsageError):
        data.buy("roof", amount="5", yes=True, home=house.folder)
    with pytest.raises(UsageError):
        data.buy(QUERY, amount="0", yes=True, home=house.folder)


def test_earnings_of_devices_and_why(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    first = house.enroll(Sensor(1, alice))
    house.buy(QUERY, epoch=1, count=3)
    house.report(first, 1)
    house.enter(2, after=200)
    house.run()
    running = {
        "epoch": house.epochs._calendar.at(house.town.chain.now),
        "devices": [{"device": first.id, "readings": 30, "quality": 0.5}],
    }

    class Running(LocalSource):
        def epochs(self) -> list[int]:
            return [*self.epochs_.epochs(), running["epoch"]]  # type: ignore[list-item]

        def statement(self, epoch: int) -> bytes:
            known = epoch != running["epoch"]
            return super().statement(epoch) if known else json.dumps(running).encode()

    monkeypatch.setattr(paysource, "sources", lambda _: [Running(house.epochs)])
    ledger = house.ledger(alice)
    found = measuring.look(ledger, address(alice.address))
    assert found is not None
    (device,) = found.devices
    assert found.paid == house.balance(alice) > 0
    assert found.earned == device.earned >= found.paid
    assert (device.readings, device.epochs, device.honesty) == (60, 1, 10_000)
    assert 0 < device.counted <= 60
    assert device.expected == PRICE * 9 // 10
    monkeypatch.setattr(type(ledger.registry), "payout_of", lambda *_: address(alice.address))
    told = earnings.take(ledger, [], found)
    assert told.earned == found.earned
    assert told.to_json()["devices"]


def test_a_service_that_is_silent_leaves_what_the_chain_says(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.enroll(Sensor(1, alice))

    def silent(_: object) -> list[LocalSource]:
        raise UnavailableError("it is asleep", remedy="-")

    monkeypatch.setattr(paysource, "sources", silent)
    found = measuring.look(house.ledger(alice), address(alice.address))
    assert found is not None
    assert (found.earned, len(found.devices), found.silent) == (0, 1, "it is asleep")
    assert measuring.look(house.ledger(bob), address(bob.address)) is None
