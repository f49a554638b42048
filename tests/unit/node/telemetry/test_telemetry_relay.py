"""Receipts reach the ledger once, rules are triggered when they stay due, and gas is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from freehold.domain.errors import AccessError, RefusedError, UnavailableError, UsageError
from freehold.domain.ids import checksum
from freehold.domain.keys import Key
from freehold.domain.typed import RECEIPT, Domain
from freehold.ledger.contracts.automation import DONE, OPEN, Command
from freehold.ledger.values import Receipt as Mined
from freehold.node.telemetry import relay
from freehold.node.telemetry.refusals import BusyError
from freehold.node.telemetry.relay import Relay, Trigger
from freehold.telemetry.members import UnknownError
from unit.node.world import receipt

AGENT, THIEF = Key.from_secret(b"\x55" * 32), Key.from_secret(b"\x56" * 32)
DOMAIN = Domain("Freehold automation", 31337, checksum(b"\2" * 20), b"\7" * 32)


def letter(command: int = 1, *, key: Key = AGENT, whose: Key = AGENT, **changed: object) -> bytes:
    values = (command, whose.address, DONE, bytes(32), 5)
    fields = {
        "command": command, "device": whose.address, "outcome": DONE,
        "detail": "0x" + bytes(32).hex(), "at": 5,
        "signature": "0x" + key.sign(RECEIPT.digest(DOMAIN, values)).hex(),
    }  # fmt: skip
    return json.dumps(fields | changed).encode()


@dataclass
class Chain:
    outcomes: dict[int, int] = field(default_factory=dict)
    brought: list[int] = field(default_factory=list)
    triggered: list[int] = field(default_factory=list)
    fails: Exception | None = None

    def command(self, command: int) -> Command:
        outcome = self.outcomes.get(command, OPEN)
        return Command(AGENT.address, 1, 0, "", 1, 9, 9, 9, outcome, bytes(32), 0, 0)

    def acknowledge(
        self, command: int, *, outcome: int, detail: bytes, at: int, signature: bytes
    ) -> Mined:
        self._fail()
        self.brought.append(command)
        self.outcomes[command] = outcome
        return receipt()

    def trigger(self, rule: int) -> Mined:
        self._fail()
        self.triggered.append(rule)
        return receipt()

    def _fail(self) -> None:
        if self.fails is not None:
            raise self.fails


def made(chain: Chain, *, low: bool = False) -> Relay:
    return Relay(chain, DOMAIN, known=lambda device: device == AGENT.address, low=lambda: low)


def test_a_receipt_is_brought_once() -> None:
    chain = Chain()
    desk = made(chain)
    for _ in range(3):
        assert desk.take(letter())["taken"] is True
    assert desk.waiting == 1
    desk.step()
    desk.step()
    assert chain.brought == [1]
    assert desk.waiting == 0
    desk.take(letter())
    desk.step()
    assert chain.brought == [1]


def test_a_receipt_waits_for_the_chain_and_for_gas() -> None:
    chain = Chain(fails=UnavailableError("no RPC answers", remedy="-"))
    desk = made(chain)
    desk.take(letter())
    with pytest.raises(UnavailableError):
        desk.step()
    assert desk.waiting == 1
    chain.fails = RefusedError("automation: no", remedy="-")
    desk.step()
    assert (desk.waiting, chain.brought) == (0, [])
    poor = made(Chain(), low=True)
    poor.take(letter())
    poor.step()
    assert poor.waiting == 1


@pytest.mark.parametrize(
    ("told", "refused"),
    [
        (b"[]", UsageError),
        (letter(key=THIEF), AccessError),
        (letter(outcome=2), AccessError),
        (letter(detail="0x00"), UsageError),
        (letter(command=True), UsageError),
        (letter(at=-1), UsageError),
        (letter(extra=1), UsageError),
    ],
)
def test_other_letters_are_refused(told: bytes, refused: type[Exception]) -> None:
    with pytest.raises(refused):
        made(Chain()).take(told)


def test_unknown_devices_and_floods_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownError):
        Relay(Chain(), DOMAIN, known=lambda _: False, low=lambda: False).take(letter())
    with pytest.raises(UsageError):
        Relay(None, None, known=lambda _: True, low=lambda: False).take(letter())
    monkeypatch.setattr(relay, "QUEUE_MAX", 1)
    desk = made(Chain())
    desk.take(letter(1))
    with pytest.raises(BusyError):
        desk.take(letter(2))


def test_one_device_cannot_take_the_room_or_the_place_of_another() -> None:
    chain = Chain()
    desk = Relay(chain, DOMAIN, known=lambda _: True, low=lambda: False)
    for command in range(1, relay.DEVICE_MAX + 1):
        desk.take(letter(command, key=THIEF, whose=THIEF))
    with pytest.raises(BusyError, match="16 of them"):
        desk.take(letter(99, key=THIEF, whose=THIEF))
    desk.take(letter())  # for a command that the thief had a receipt for
    desk.step()
    desk.step()
    assert chain.brought == [1]


def test_rules_are_triggered_when_they_stay_due() -> None:
    chain, due = Chain(), [3, 4]
    trigger = Trigger(chain, due=lambda: list(due), low=lambda: False)
    trigger.step()
    assert chain.triggered == []
    due.remove(3)
    due.append(5)
    trigger.step()
    assert chain.triggered == [4]
    chain.fails = RefusedError("automation: not due", remedy="-")
    trigger.step()
    assert chain.triggered == [4]


def test_many_rules_and_little_gas() -> None:
    chain = Chain()
    trigger = Trigger(chain, due=lambda: list(range(100)), low=lambda: False)
    trigger.step()
    trigger.step()
    assert len(chain.triggered) == relay.TRIGGERS
    poor = Chain()
    trigger = Trigger(poor, due=lambda: [1], low=lambda: True)
    trigger.step()
    trigger.step()
    assert poor.triggered == []
