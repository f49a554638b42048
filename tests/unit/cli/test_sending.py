"""Tokens and coins sent from the wallet, over a ledger that says what it is told to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from freehold.cli import account
from freehold.domain.errors import CancelledError, InsufficientFundsError, UsageError
from freehold.domain.ids import ZERO_ADDRESS, Address, checksum
from freehold.domain.keys import Key
from freehold.domain.money import UNIT
from freehold.ledger.values import Receipt

KEY = Key.from_secret(b"\x07" * 32)
TO = checksum(b"\x01" * 20)
CONTRACT = checksum(b"\x02" * 20)
GWEI = 10**9


class Token:
    """A token of which the sender holds ten."""

    def __init__(self, door: Door) -> None:
        self.door = door

    def symbol(self) -> str:
        assert not self.door.closed
        return "HOLD"

    def balance_of(self, owner: Address) -> int:
        return self.door.tokens

    def transfer(self, to: Address, amount: int) -> Receipt:
        self.door.tokens -= amount
        return self.door.sent(("token", to, amount))


class Door:
    """A ledger of one account; it answers nothing once it is closed."""

    def __init__(self) -> None:
        self.key, self.token = KEY, Token(self)
        self.network = SimpleNamespace(contracts={"storage": CONTRACT})
        self.tokens, self.coins, self.closed = 10 * UNIT, 2 * UNIT, False
        self.log: list[tuple[str, Address, int]] = []

    def balance(self, owner: Address) -> int:
        assert not self.closed
        return self.coins

    def gas_price(self) -> int:
        return GWEI

    def transfer(self, to: Address, wei: int) -> Receipt:
        self.coins -= wei + 21_000 * GWEI
        return self.sent(("coin", to, wei))

    def sent(self, what: tuple[str, Address, int]) -> Receipt:
        self.log.append(what)
        return Receipt("0xab", 7, "0xcd", 21_000, 1, (), 0, 0)


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    made = Door()

    @contextmanager
    def opened(home: Path | None, password_file: Path | None) -> Iterator[Door]:
        made.closed = False
        yield made
        made.closed = True

    monkeypatch.setattr(account, "open_account", opened)
    return made


def test_coins_are_sent_and_what_is_left_is_told(
    door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    account.send(TO, "0.25", coins=True, as_json=True)
    assert door.log == [("coin", TO, UNIT // 4)]
    told = json.loads(capsys.readouterr().out)
    assert (told["amount"], told["unit"], told["left"]) == (UNIT // 4, "coins", door.coins)
    account.send(TO, "0.25", coins=True, yes=True)
    assert "sent 0.25 coins" in capsys.readouterr().out


def test_tokens_are_sent_unless_coins_are_asked_for(
    door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    account.send(TO, "2.5", as_json=True)
    assert door.log == [("token", TO, 5 * UNIT // 2)]
    told = json.loads(capsys.readouterr().out)
    assert (told["unit"], told["left"]) == ("HOLD", door.tokens)


def test_nothing_is_sent_unless_the_user_agrees(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refuse(question: str) -> bool:
        asked.append(question)
        return False

    monkeypatch.setattr("typer.confirm", refuse)
    with pytest.raises(CancelledError):
        account.send(TO, "1", coins=True)
    assert "Send 1 coins" in asked[0]
    assert not door.log


@pytest.mark.parametrize("coins", [True, False])
@pytest.mark.parametrize(
    ("to", "amount"), [(KEY.address, "1"), (ZERO_ADDRESS, "1"), (CONTRACT, "1"), (TO, "0")]
)
def test_what_could_only_be_lost_is_refused(
    door: Door, to: Address, amount: str, coins: bool
) -> None:
    with pytest.raises(UsageError):
        account.send(to, amount, coins=coins, yes=True)
    assert not door.log


def test_the_gas_must_be_left(door: Door) -> None:
    with pytest.raises(InsufficientFundsError, match=r"0\.000064 are needed") as caught:
        account.send(TO, "1.999936001", coins=True, yes=True)
    assert "at most 1.999936," in caught.value.remedy
    account.send(TO, "1.999936", coins=True, yes=True)
    door.coins = 0
    with pytest.raises(InsufficientFundsError, match="0 coins for gas") as caught:
        account.send(TO, "1", yes=True)
    assert f"freehold wallet send {KEY.address} 0.00006 --coins" in caught.value.remedy
