"""Fees in another token, from a payment to a purchase, on a devnet; and what they are told as."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from freehold.audit.verify import verify_live
from freehold.cli import auction, lots
from freehold.cli.lots import Kind
from freehold.cli.session import sender
from freehold.domain.errors import (
    CancelledError,
    ConflictError,
    InsufficientFundsError,
    NotFoundError,
    RefusedError,
    UsageError,
)
from freehold.domain.ids import ZERO_ADDRESS, Address, checksum
from freehold.domain.money import UNIT
from freehold.domain.typed import VOUCHER
from freehold.ledger.abi import artifact
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.ledger import Ledger
from unit.ledger.founding import found, installed_engine

PAID = 10**5 * UNIT
FEE = PAID // 200
PAYEE = checksum(b"\x09" * 20)
HALF_LIFE = 60


@dataclass(frozen=True, slots=True)
class Stage:
    """A network, the token of another one on the same chain, and their founder's key."""

    devnet: Devnet
    ledger: Ledger
    foreign: Address

    def wait(self, seconds: int) -> None:
        """Let block time pass."""
        self.ledger.rpc.request("evm_increaseTime", seconds)

    def cool(self) -> None:
        """Let what is asked fall to what the founder can pay, whatever was sold before."""
        for _ in range(20):
            if lots.look(self.ledger, self.foreign).ask < 1_000 * UNIT:
                return
            self.wait(HALF_LIFE)
        raise AssertionError("the price does not fall")

    def allow(self) -> None:
        """The governor allows the foreign token; its owner deposits some."""
        payments, governor = self.ledger.payments, self.ledger.governor
        data = artifact("payments").calldata("set_token", (self.foreign, True))
        proposal = governor.propose(payments.address, data).one("Proposed").number("id")
        self.wait(60)
        governor.execute(proposal)

    def pay(self) -> None:
        """A payment in the foreign token, of which a two-hundredth is a fee."""
        ledger, payments = self.ledger, self.ledger.payments
        payments.deposit(self.foreign, sender(ledger), PAID)
        opened = payments.open_voucher(self.foreign, PAYEE, PAID)
        rail = opened.one("VoucherOpened").number("rail")
        assert ledger.key is not None
        digest = VOUCHER.digest(ledger.network.domain("payments"), (rail, PAID))
        payments.redeem(rail, PAID, ledger.key.sign(digest))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    installed_engine()
    folder = tmp_path_factory.mktemp("auction")
    with Devnet.start(folder / "devnet", admin=True) as devnet:
        network, other = found(devnet, folder / "one"), found(devnet, folder / "two")
        with Ledger.open(other, state=folder / "other", key=devnet.funder) as ledger:
            ledger.token.approve(network.contracts["payments"], 10 * PAID)
        with Ledger.open(network, state=folder / "state", key=devnet.funder) as ledger:
            made = Stage(devnet, ledger, other.contracts["token"])
            made.allow()
            yield made


def test_a_fee_is_pushed_taken_in_and_bought(stage: Stage) -> None:
    ledger, token = stage.ledger, stage.foreign
    assert lots.tokens(ledger) == [token]
    with pytest.raises(ConflictError, match="nothing of"):
        lots.plan(ledger, token, amount=None, most=None)
    stage.pay()
    seen = lots.look(ledger, token)
    assert (seen.held, seen.waiting, seen.last.amount) == (0, FEE, 0)
    assert (seen.kind.decimals, seen.kind.show(FEE)) == (18, "500 HOLD")
    assert len(lots.take_in(ledger, token)) == 2
    assert len(lots.take_in(ledger, token)) == 1
    opening = lots.terms(ledger).opening
    assert opening == ledger.token.cap() // 1_000
    seen = lots.look(ledger, token)
    assert (seen.held, seen.waiting) == (FEE, 0)
    assert opening // 2 < seen.ask <= opening
    with pytest.raises(InsufficientFundsError, match="would burn"):
        lots.plan(ledger, token, amount=None, most=None)
    buy_a_part_and_the_rest(stage)


def buy_a_part_and_the_rest(stage: Stage) -> None:
    """What is paid burns; the goods arrive; the rest is dearer."""
    ledger, token = stage.ledger, stage.foreign
    stage.wait(13 * HALF_LIFE)
    part = lots.plan(ledger, token, amount="200", most=None)
    assert (part.amount, part.most) == (200 * UNIT, part.price)
    with pytest.raises(ConflictError, match="more than"):
        lots.plan(ledger, token, amount="200", most=part.price // 2)
    with pytest.raises(RefusedError, match="less than the least sale"):
        lots.plan(ledger, token, amount="0.1", most=None)
    burned, goods = ledger.token.burned(), held_of(stage)
    sold = lots.buy(ledger, part).one("Sold")
    assert sold.number("paid") <= part.price
    assert ledger.token.burned() - burned == sold.number("paid")
    assert held_of(stage) - goods == sold.number("received") == 200 * UNIT
    rest = lots.plan(ledger, token, amount=None, most=10**6 * UNIT)
    assert (rest.amount, rest.most) == (300 * UNIT, 10**6 * UNIT)
    assert rest.price > part.price * 3 // 2
    lots.buy(ledger, rest)
    assert lots.look(ledger, token).held == 0
    assert ledger.token.allowance(sender(ledger), ledger.auction.address) > 0


def test_the_commands_tell_what_they_do(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    for door in ("open_ledger", "open_account"):
        monkeypatch.setattr(auction, door, lambda *_: nullcontext(stage.ledger))
    token = stage.foreign
    stage.pay()
    told = invoke("show", "--json")
    assert (told["half_life"], told["factor_bps"], told["least"]) == (HALF_LIFE, 20_000, UNIT)
    (shown,) = told["lots"]
    assert (shown["token"], shown["waiting"], shown["held"]) == (token, FEE, 0)
    assert "freehold auction take-in TOKEN" in said("show", token)
    assert "✓ 500 HOLD on offer for" in said("take-in", token)
    assert invoke("take-in", token, "--json")["held"] == FEE
    stage.cool()
    bought = invoke("buy", token, "--amount", "100", "--max-price", "5000", "--json")
    assert (bought["amount"], bought["received"]) == (100 * UNIT, 100 * UNIT)
    assert UNIT <= bought["paid"] < 5_000 * UNIT
    assert "bought 400 HOLD" in said("buy", token, "--yes")
    assert f"{token} │ HOLD │" in said("show")


def test_an_auditor_agrees_with_what_was_pushed_and_sold(stage: Stage) -> None:
    stage.pay()
    lots.take_in(stage.ledger, stage.foreign)
    report = verify_live([stage.ledger.rpc], stage.ledger.network)
    assert report.difference is None, report.difference


def said(*arguments: str) -> str:
    """What a command that succeeds prints."""
    done = CliRunner().invoke(auction.app, arguments)
    assert done.exit_code == 0, done.output
    return done.output


def invoke(*arguments: str) -> dict[str, Any]:
    """The JSON document of a command."""
    found: dict[str, Any] = json.loads(said(*arguments))
    return found


def test_nobody_burns_without_agreeing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auction, "open_account", lambda *_: nullcontext(stage.ledger))
    stage.pay()
    lots.take_in(stage.ledger, stage.foreign)
    stage.cool()
    before = stage.ledger.token.burned()
    done = CliRunner().invoke(auction.app, ["buy", stage.foreign], input="n\n")
    assert isinstance(done.exception, CancelledError)
    assert f" HOLD of {stage.foreign}?" in done.output
    assert stage.ledger.token.burned() == before


def held_of(stage: Stage) -> int:
    """What the founder holds of the foreign token."""
    data = artifact("token").calldata("balanceOf", (sender(stage.ledger),))
    return int.from_bytes(stage.ledger.rpc.call(stage.foreign, data), "big")


def test_the_networks_own_token_and_no_token_are_refused(stage: Stage) -> None:
    with pytest.raises(RefusedError, match="the network's own token"):
        lots.look(stage.ledger, stage.ledger.network.contracts["token"])
    for nothing in (PAYEE, stage.ledger.network.contracts["registry"]):
        for ask in (lots.look, lots.take_in):
            with pytest.raises(NotFoundError, match=f"no token at {nothing}") as caught:
                ask(stage.ledger, nothing)
            assert "freehold auction show" in caught.value.remedy
    silent = lots.kind_of(stage.ledger, stage.ledger.network.contracts["registry"])
    assert silent.show(1_234) == "1,234 base units"


def test_a_network_of_an_earlier_release_has_no_auction(stage: Stage) -> None:
    network = stage.ledger.network
    places = {name: at for name, at in network.contracts.items() if name != "auction"}
    old = cast("Ledger", SimpleNamespace(network=replace(network, contracts=places)))
    for ask in (lots.terms, lambda ledger: lots.look(ledger, ZERO_ADDRESS)):
        with pytest.raises(ConflictError, match="no auction"):
            ask(old)


@pytest.mark.parametrize(
    ("decimals", "units", "told"),
    [
        (0, 1_234, "1,234"), (6, 1_500_000, "1.5"), (18, 10**18 + 1, "1.000000000000000001"),
        (24, 25 * 10**23, "2.5"), (24, 1, "0"), (6, 0, "0"),
    ],
)  # fmt: skip
def test_amounts_follow_the_decimals_of_a_token(decimals: int, units: int, told: str) -> None:
    kind = Kind(ZERO_ADDRESS, "X", decimals)
    assert kind.amount(units) == told
    assert kind.show(units) == f"{told} X"


def test_an_amount_finer_than_a_token_is_refused() -> None:
    assert Kind(ZERO_ADDRESS, "X", 6).parse("2.5") == 2_500_000
    assert Kind(ZERO_ADDRESS, "X", 24).parse("2.5") == 25 * 10**23
    assert Kind(ZERO_ADDRESS, "X", 0).parse("7") == 7
    for decimals, text in ((6, "0.0000001"), (0, "1.5")):
        with pytest.raises(UsageError, match="finer"):
            Kind(ZERO_ADDRESS, "X", decimals).parse(text)


@pytest.mark.parametrize("symbol", ["", "[red]", "a b", "x" * 17, "\u202eDSU", 7])
def test_a_symbol_that_would_disturb_is_not_printed(
    symbol: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"symbol": symbol, "decimals": 6}
    monkeypatch.setattr(lots, "_told", lambda ledger, token, name: answers[name])
    kind = lots.kind_of(cast("Ledger", None), ZERO_ADDRESS)
    assert kind == Kind(ZERO_ADDRESS, "tokens", 6)
    answers["decimals"] = 37
    assert lots.kind_of(cast("Ledger", None), ZERO_ADDRESS).decimals == 0
