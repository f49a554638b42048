"""A watcher signs what is so, and nothing that a lying service states."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.evm import Signer, signer
from contracts.watchers import LENGTH as ROUND
from contracts.world import alice, bob, mallory
from freehold.domain.aspects import HONEST
from freehold.domain.did import Did
from freehold.domain.errors import UnavailableError
from freehold.domain.ids import address
from freehold.economics import data_pay
from freehold.ledger.values import Event, Value
from freehold.node.telemetry.facts import Facts
from freehold.node.telemetry.pay import Pay
from freehold.node.telemetry.statement import Frame, Past, Statement, Work
from freehold.node.watcher.cosigner import Cosigner, DifferenceError
from unit.node.telemetry.payhouse import SERVICE, WATCHERS, House, LocalSource, Sensor

Bend = Callable[[Work], Work]


class Twin(Sensor):
    """Another device with the same key."""

    @property
    def agent(self) -> Signer:
        return signer("twin")

    @property
    def did(self) -> str:
        return Did.of(self.key.public_key()).text


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Two devices of two owners, an epoch that was bought, and its cut passed."""
    made = House(tmp_path)
    first, second = made.enroll(Sensor(1, alice)), made.enroll(Sensor(2, bob))
    made.buy("metric=roof.*", epoch=1)
    made.report(first, 1)
    made.report(second, 1, count=30)
    made.enter(2, after=200)
    return made


def difference(house: House) -> str:
    """What a watcher finds wrong with the newest statement; empty where it would sign."""
    cosigner = house.cosigner(WATCHERS[0])
    statement = house.epochs.books.newest()
    assert statement is not None
    cosigner._facts.sync()
    try:
        cosigner.check(house.source, statement, cosigner._facts.state())
    except DifferenceError as error:
        return error.message
    return ""


def bent(monkeypatch: pytest.MonkeyPatch, house: House, bend: Bend) -> str:
    """What is found when the service states of its first device what is not so."""
    whole = Pay._works

    def works(self: Pay, epoch: int) -> list[Work]:
        first, *rest = sorted(whole(self, epoch), key=lambda work: work.device)
        return [bend(first), *rest]

    monkeypatch.setattr(Pay, "_works", works)
    house.pay().step()
    return difference(house)


def test_an_honest_statement_is_signed(house: House) -> None:
    house.pay().step()
    assert difference(house) == ""
    house.cosign()
    statement = house.epochs.books.read(1)
    assert len(house.epochs.signed(statement)) == 3


@pytest.mark.parametrize(
    ("bend", "part"),
    [
        (lambda w: replace(w, counted={"roof.temperature": 600}), "counted"),
        (lambda w: replace(w, readings=w.readings + 1), "readings"),
        (lambda w: replace(w, quality=w.quality + 2), "quality"),
        (lambda w: replace(w, owner=address(mallory.address)), "owner"),
        (lambda w: replace(w, honesty=9_000), "honesty"),
        (lambda w: replace(w, device=address(mallory.address)), "enrolled"),
        (lambda w: replace(w, cell="u33d", salt="00" * 32), "cell"),
    ],
)
def test_a_row_that_is_not_so_is_not_signed(
    house: House, monkeypatch: pytest.MonkeyPatch, bend: Bend, part: str
) -> None:
    assert part in bent(monkeypatch, house, bend)
    house.cosign()
    assert house.epochs.signed(house.epochs.books.read(1)) == []


def test_a_key_that_two_devices_have_counts_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, twin, whole = Sensor(1, alice, sent=10), Twin(1, alice), Pay._works
    house.enroll(twin)
    house.buy("metric=roof.*", epoch=3)
    house.report(first, 3)
    house.log.batches[twin.id] = house.log.batches[first.id]
    house.enter(4, after=200)
    house.pay().step()

    def works(self: Pay, epoch: int) -> list[Work]:
        done = whole(self, epoch)
        return [*done, *(replace(each, device=twin.id) for each in done if each.did == twin.did)]

    monkeypatch.setattr(Pay, "_works", works)
    house.pay().step()
    assert f"rows.{twin.id}: it is not enrolled" in difference(house)


def test_a_key_is_free_again_once_its_device_retired(house: House) -> None:
    house.ledger(alice).devices.retire(Sensor(1, alice).id)
    twin = house.enroll(Twin(1, alice))
    house.enter(4)
    roster = house.pay()._facts.roster(2)
    assert set(roster) == {twin.id, Sensor(2, bob).id}


def test_the_last_digit_of_quality_may_differ(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bent(monkeypatch, house, lambda w: replace(w, quality=w.quality - 1)) == ""


def test_a_marked_device_that_is_paid_is_not_signed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Work.row
    house.log.lies = dict.fromkeys(house.log.batches, "replayed")
    with monkeypatch.context() as lying:
        lying.setattr(Work, "row", lambda self: replace(honest(self), barred=False))
        house.pay().step()
    assert "the reckoning" in difference(house)


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [("drawn", 10**15, "drawn"), ("room", 10**30, "room"), ("share_bps", 10_000, "share_bps")],
)
def test_terms_beyond_what_the_chain_allows_are_not_signed(
    house: House, monkeypatch: pytest.MonkeyPatch, name: str, value: int, part: str
) -> None:
    whole = Pay._terms

    def terms(self: Pay, *told: object) -> data_pay.Terms:
        return replace(whole(self, *told), **{name: value})  # type: ignore[arg-type]

    monkeypatch.setattr(Pay, "_terms", terms)
    house.pay().step()
    assert part in difference(house)


def test_purchases_and_epochs_that_are_left_out_are_found(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as lying:
        lying.setattr(Facts, "bought", lambda self, epoch: ())
        statement = Statement.of(_frame(house, 1), (), (), Past())
        house.epochs.books.keep(statement)
    assert "purchases" in difference(house)
    house.epochs.books.keep(Statement.of(_frame(house, 2), (), (), Past()))
    assert "an epoch left out: told 1" in difference(house)


def test_a_statement_that_forgets_what_was_earned_is_not_signed(house: House) -> None:
    house.run()
    house.buy("metric=roof.*", epoch=3)
    house.enter(4, after=200)
    frame = _frame(house, 3)
    house.epochs.books.keep(Statement.of(frame, house.pay()._facts.bought(3), (), Past()))
    assert "the final root" in difference(house)
    parent = house.epochs.books.read(1).hash.hex()
    frame = replace(frame, parent=parent)
    house.epochs.books.keep(Statement.of(frame, house.pay()._facts.bought(3), (), Past()))
    assert "the reckoning" in difference(house)


def test_evidence_that_is_kept_back_is_not_signed(house: House) -> None:
    house.pay().step()
    withheld = LocalSource(house.epochs, set(map(address, house.log.batches)))
    cosigner = Cosigner(
        house.ledger(WATCHERS[0]), house.cosigners[0]._key, services=lambda: [withheld],
        draw=house.cosigners[0]._draw,
    )  # fmt: skip
    cosigner.step()
    assert house.epochs.books.signatures(1) == {}


def test_a_service_that_is_silent_is_asked_again_at_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.pay().step()

    def silent(*_: object) -> list[bytes]:
        raise UnavailableError("it is asleep", remedy="-")

    with monkeypatch.context() as asleep:
        asleep.setattr(LocalSource, "evidence", silent)
        house.cosigners[0].step()
    assert house.epochs.books.signatures(1) == {}
    house.cosigners[0].step()
    assert len(house.epochs.books.signatures(1)) == 1


def test_whom_the_roots_do_not_know_asks_nobody(house: House) -> None:
    house.pay().step()
    asked: list[int] = []

    def services() -> list[LocalSource]:
        asked.append(1)
        return []

    stranger = signer("stranger")
    cosigner = Cosigner(
        house.ledger(stranger), house.cosigner(stranger)._key, services=services,
        draw=house.cosigners[0]._draw,
    )  # fmt: skip
    cosigner.step()
    assert asked == []


def test_of_many_devices_as_many_are_drawn_as_may_be(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("freehold.node.watcher.cosigner.DEVICES_MAX", 1)
    house.pay().step()
    drawn = {house.cosigners[0]._drawn(house.epochs.books.read(1))[0].device for _ in range(40)}
    assert len(drawn) == 2


def test_a_refusal_is_said_once_and_looked_at_again_later(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bent(monkeypatch, house, lambda w: replace(w, readings=w.readings + 1))
    with caplog.at_level(logging.WARNING):
        house.cosigners[0].step()
        house.cosigners[0].step()
        assert caplog.messages.count("not co-signed") == 1
        house.town.chain.warp(600)
        house.cosigners[0].step()
    assert caplog.messages.count("not co-signed") == 2


def test_honesty_is_the_mean_of_what_was_settled_in_the_epoch(house: House) -> None:
    device = next(iter(house.log.batches))
    facts = house.pay()._facts
    for at, value in ((-1, 10_000), (100, 8_000), (600, 4_000), (1_124, 0), (1_125, 10_000)):
        house.town.index.log.append(_settled(house, device, value, at=at))
    assert facts.honesty(address(device), 1) == 4_000
    assert facts.honesty(address(device), 0) == 9_000
    assert house.genesis > ROUND


def _settled(house: House, device: str, value: int, *, at: int) -> Event:
    moment = house.genesis + 1_000 + at
    args: dict[str, Value] = {"round": 1, "subject": device, "aspect": HONEST, "value": value}
    return Event("status", "Settled", args, moment, 0, "0x", "0x", moment)


def _frame(house: House, epoch: int) -> Frame:
    terms = data_pay.Terms(house.pay()._facts.share_bps, 10**14, 0)
    network = house.ledger(SERVICE).network.network_id.hex()
    return Frame(network, epoch, address(SERVICE.address), "", terms)
