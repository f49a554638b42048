"""Who pays for an answer, in process and over the wire."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from freehold.domain.clock import SystemClock
from freehold.domain.keys import Key
from freehold.node.refusals import MissingTokenError, OutOfScopeError, PaymentRequiredError
from freehold.node.workloads.models.cashier import Bill, Tariff, TillCashier
from unit.node.workloads.models import naughty, paid
from unit.node.workloads.models.paid import FREE, PRICE, RAIL
from unit.node.workloads.models.served import Reply, Served, until
from unit.node.world import NODE, PAYOUT, STRANGER, WATCHER, network, sign_request, sign_voucher

pytestmark = pytest.mark.xdist_group("model-paying")
ROOT = Path(__file__).parents[5]
MODEL = Path(__file__).parent / "naughty.py"
PATH = "/v2/models/naughty/infer"
BODY = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,1],"data":[%d]}]}'


def bill(key: Key | None, amount: int = 0, body: bytes = BODY % 1) -> Bill:
    """A request of ``key`` that brings a voucher for ``amount`` in all."""
    now = int(time.time())
    token = None if key is None else sign_request(network(), key, "POST", PATH, body, now)
    voucher = sign_voucher(network(), STRANGER, RAIL, amount) if amount else None
    return Bill("POST", PATH, body, token, voucher)


@pytest.fixture
def cashier(tmp_path: Path) -> Iterator[TillCashier]:
    made = opened(tmp_path)
    yield made
    made.close()


def opened(home: Path) -> TillCashier:
    tariff = Tariff(PRICE, FREE, 60, 10**18)
    return TillCashier(
        home, network(), NODE, tariff, chain=paid.chain(), judges=paid.judges, clock=SystemClock()
    )


def test_a_voucher_pays_for_one_answer_each(cashier: TillCashier) -> None:
    for count in (1, 2, 3):
        cashier.admit(bill(STRANGER, count * PRICE))
    with pytest.raises(PaymentRequiredError) as caught:
        cashier.admit(bill(STRANGER, 3 * PRICE))
    assert caught.value.terms["due"] == str(4 * PRICE)


def test_an_answer_that_was_not_given_is_not_paid(cashier: TillCashier) -> None:
    ticket = cashier.admit(bill(STRANGER, PRICE))
    cashier.give_back(ticket)
    cashier.admit(bill(STRANGER, PRICE))
    with pytest.raises(PaymentRequiredError):
        cashier.admit(bill(STRANGER, PRICE))


def test_what_was_spent_is_known_after_a_restart(cashier: TillCashier, tmp_path: Path) -> None:
    cashier.admit(bill(STRANGER, PRICE))
    again = opened(tmp_path)
    with pytest.raises(PaymentRequiredError):
        again.admit(bill(STRANGER, PRICE))
    again.close()


def test_those_who_judge_ask_for_nothing_so_often_a_day(cashier: TillCashier) -> None:
    for _ in range(FREE):
        cashier.admit(bill(WATCHER))
    with pytest.raises(PaymentRequiredError):
        cashier.admit(bill(WATCHER))


def test_strangers_pay_and_say_who_they_are(cashier: TillCashier) -> None:
    with pytest.raises(MissingTokenError):
        cashier.admit(bill(None, PRICE))
    with pytest.raises(PaymentRequiredError) as caught:
        cashier.admit(bill(STRANGER))
    assert caught.value.terms["due"] == str(PRICE)
    assert caught.value.terms["payee"] == PAYOUT
    assert caught.value.terms["price"] == str(PRICE)


def test_a_token_holds_for_its_body_alone(cashier: TillCashier) -> None:
    made = bill(STRANGER, PRICE)
    with pytest.raises(OutOfScopeError):
        cashier.admit(Bill("POST", PATH, BODY % 2, made.token, made.voucher))


def test_what_is_due_is_fetched(tmp_path: Path) -> None:
    chain = paid.chain()
    made = TillCashier(
        tmp_path, network(), NODE, Tariff(PRICE, 0, 60, 0), chain=chain, judges=paid.judges,
        clock=SystemClock(),
    )  # fmt: skip
    made.admit(bill(STRANGER, 2 * PRICE))
    redeem, forget = made.chores()
    redeem.step()
    forget.step()
    assert chain.payments.redeemed == [(RAIL, 2 * PRICE)]
    redeem.step()
    assert len(chain.payments.redeemed) == 1
    made.close()


def test_the_terms_are_told(cashier: TillCashier) -> None:
    told = cashier.terms()
    assert (told["price"], told["payee"]) == (str(PRICE), PAYOUT)


# --- over the wire -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("paid")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    with (home / "log").open("wb") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", paid.__name__, str(home), str(MODEL)],
            cwd=ROOT, env=environment, stderr=log,
        )  # fmt: skip
    try:
        until(lambda: (home / "ready.json").exists() or running.poll() is not None)
        assert running.poll() is None, (home / "log").read_text()
        yield Served(running, home, json.loads((home / "ready.json").read_text()))
    finally:
        running.kill()
        running.wait(30)


def pay(served: Served, key: Key | None, amount: int, value: int) -> Reply:
    made = bill(key, amount, BODY % value)
    headers = {"Authorization": made.token, "Freehold-Voucher": made.voucher}
    given = {name: text for name, text in headers.items() if text}
    return served.ask("POST", PATH, made.body, given)


def test_a_failed_answer_costs_nothing_and_a_good_one_its_price(served: Served) -> None:
    assert pay(served, STRANGER, PRICE, naughty.RAISE).status == 500
    assert pay(served, STRANGER, PRICE, naughty.KILL).status == 500
    assert pay(served, STRANGER, PRICE, 1).status == 200
    reply = pay(served, STRANGER, PRICE, 1)
    assert (reply.status, reply.json["due"]) == (402, str(2 * PRICE))
    assert pay(served, None, 0, 1).status == 401
    assert pay(served, STRANGER, 0, 1).status == 402
    assert pay(served, WATCHER, 0, 1).status == 200
    assert served.ask("POST", PATH, b"{").status == 401


def test_the_server_tells_its_terms_and_announces_itself(served: Served) -> None:
    about = served.ask("GET", "/v2").json["freehold"]
    assert isinstance(about, dict)
    assert (about["price"], about["payee"], about["node"]) == (str(PRICE), PAYOUT, NODE.address)
    served.wait_for("announced")
