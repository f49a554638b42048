"""Paying for requests: amounts that only grow, prices that rise, nodes that claim too much."""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import replace
from pathlib import Path

import pytest

from freehold.client.asking.caller import Reply
from freehold.client.asking.candidate import Effort, Limits
from freehold.client.asking.purse import AHEAD, COLLATERAL, Cheques, Purse
from freehold.client.asking.refusals import AllFailedError, Kind, TooDearError, UnansweredError
from freehold.client.token import Identity
from freehold.domain.errors import InsufficientFundsError
from freehold.domain.ids import Address
from freehold.domain.keys import Key
from freehold.domain.network import Network
from freehold.domain.typed import VOUCHER
from unit.client.asking.fakes import (
    INPUTS,
    NETWORK_ID,
    SUBNET,
    FakeNode,
    Payments,
    Till,
    World,
    answer_body,
    hang,
    http,
    number,
    says,
)
from unit.client.asking.test_asking import run

PRICE = 7
PAYER = Key.from_secret(b"\xa1" * 32)
PAYEE = number(500)
ENOUGH = Limits(max_price=PRICE)


class Now:
    def now(self) -> int:
        return 1_000


@pytest.fixture
def payments() -> Payments:
    contracts = {"payments": number(1), "registry": number(2)}
    made = Payments(Network("n", 31337, NETWORK_ID, contracts, {}, (), 0), PAYER)
    made.payouts = {number(1): PAYEE, number(2): PAYEE}
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cheques.db"


def purse(payments: Payments, file: Path, cap: int = 10**6) -> Purse:
    return Purse(payments, Cheques(file), PAYER, cap=cap)


def paid(till: Till, seed: int = 1) -> FakeNode:
    return FakeNode(seed, till, price=PRICE, payee=PAYEE)


async def asked(world: World, **wishes: object) -> Reply:
    return await world.router.ask(SUBNET, INPUTS, **({"limits": ENOUGH} | wishes))  # type: ignore[arg-type]


def test_each_answer_is_paid_once_by_an_amount_that_grows(payments: Payments, file: Path) -> None:
    async def work() -> None:
        till, money = Till(payments, PRICE), purse(payments, file)
        async with World(paid(till), purse=money) as world:
            for turn in range(1, 6):
                reply = await asked(world)
                assert (reply.paid, till.best, till.spent) == (PRICE, turn * PRICE, turn * PRICE)
            assert len(world.nodes[0].got) == 5
            assert (payments.opened, money.spent) == (1, 5 * PRICE)
        assert Cheques(file).read(PAYEE) == (1, 5 * PRICE, 5 * PRICE)

    run(work())


def test_the_file_allows_an_amount_before_it_is_signed(payments: Payments, file: Path) -> None:
    async def work() -> None:
        till, money = Till(payments, PRICE), purse(payments, file)
        async with World(paid(till), purse=money) as world:
            reader = Cheques(file)
            for _ in range(AHEAD + 3):
                await asked(world)
                known = reader.read(PAYEE)
                assert known is not None
                assert till.best <= known[2] <= till.best + AHEAD * PRICE
            reader.close()

    run(work())


def test_many_at_once_pay_exactly_what_they_take(payments: Payments, file: Path) -> None:
    async def work() -> None:
        till, money = Till(payments, PRICE), purse(payments, file)
        async with World(paid(till), paid(till, 2), purse=money) as world:
            await asyncio.gather(*(asked(world) for _ in range(60)))
            assert till.spent == 60 * PRICE
            assert till.best == money.spent == 60 * PRICE
            assert payments.opened == 1

    run(work())


def test_after_a_crash_the_node_s_proof_of_what_was_signed_counts(
    payments: Payments, file: Path
) -> None:
    async def work() -> None:
        till = Till(payments, PRICE)
        node = paid(till)
        crashed = purse(payments, file)
        async with World(node, purse=crashed) as world:
            for _ in range(9):
                await asked(world)
            crashed.close = crashed._file.close  # type: ignore[method-assign]
        found = Cheques(file).read(PAYEE)
        assert found is not None
        assert found[1] < 9 * PRICE <= found[2]
        node.got.clear()
        money = purse(payments, file)
        async with World(node, purse=money) as world:
            await asked(world)
            assert till.best == 10 * PRICE  # not a unit more than was due
            assert len(node.got) == 2  # once with too little, once with what it proved
            await asked(world)
            assert (till.best, len(node.got), payments.opened) == (11 * PRICE, 3, 1)

    run(work())


@pytest.mark.parametrize(
    ("bill", "kind"),
    [
        ({"due": str(3 * PRICE), "price": str(PRICE)}, Kind.UNPAID),
        ({"due": str(10**70)}, Kind.UNPAID),
        ({"due": "-1"}, Kind.GARBAGE),
        ({"price": "1"}, Kind.GARBAGE),
        ({"due": str(PRICE + 1), "price": str(PRICE + 1)}, Kind.DEAR),
        ({"due": str(PRICE + 1), "price_per_byte": str(PRICE + 1)}, Kind.DEAR),
        ({"due": "0", "error": "it is being closed"}, Kind.BUSY),
        (
            {"due": "70", "rail": 1, "signed": "63", "signature": "0x" + "11" * 65},
            Kind.UNPAID,
        ),
        ({"due": "70", "rail": 1, "signed": "63", "signature": "0x11"}, Kind.UNPAID),
        ({"due": "70", "rail": 1, "signed": "63", "signature": "someone else's"}, Kind.UNPAID),
    ],
)
def test_a_node_that_claims_too_much_gets_nothing(
    payments: Payments, file: Path, bill: dict[str, object], kind: Kind
) -> None:
    async def work() -> None:
        money = purse(payments, file)
        if "signature" in bill and "else" in str(bill["signature"]):
            digest = VOUCHER.digest(payments.network.domain("payments"), [1, 63])
            bill["signature"] = "0x" + Key.from_secret(b"\xb2" * 32).sign(digest).hex()
        node = FakeNode(1, says(402, json.dumps(bill).encode()), price=PRICE, payee=PAYEE)
        async with World(node, purse=money) as world:
            with pytest.raises((AllFailedError, TooDearError)) as caught:
                await asked(world)
            assert caught.value.failures[0].kind is kind
            amounts = [int(got.headers["freehold-voucher"].split(":")[1]) for got in node.got]
            assert amounts == [PRICE]

    run(work())


def test_a_node_that_raises_its_price_is_passed_over(payments: Payments, file: Path) -> None:
    async def work() -> None:
        payments.payouts[number(2)] = number(501)
        dear, fair = Till(payments, PRICE), Till(payments, PRICE)
        nodes = [paid(dear), FakeNode(2, fair, price=PRICE, payee=number(501), score=0.05)]
        async with World(*nodes, purse=purse(payments, file)) as world:
            await asked(world)
            dear.price = PRICE + 1
            for _ in range(3):
                reply = await asked(world)
                assert reply.paid == PRICE
            assert dear.best <= 2 * PRICE + PRICE  # what was signed waits for its next request

    run(work())


def test_what_was_signed_for_a_refused_request_serves_the_next(
    payments: Payments, file: Path
) -> None:
    async def work() -> None:
        till, money = Till(payments, PRICE), purse(payments, file)
        node = FakeNode(1, says(400, b'{"error":"no"}'), price=PRICE, payee=PAYEE)
        async with World(node, purse=money) as world:
            with pytest.raises(Exception, match="no"):
                await asked(world)
            assert money.spent == 0
            node.behave = till
            await asked(world)
            assert (till.best, money.spent) == (PRICE, PRICE)

    run(work())


def test_a_node_that_took_the_money_and_died_is_paid_for_it_at_most_once(
    payments: Payments, file: Path
) -> None:
    async def work() -> None:
        till, money = Till(payments, PRICE), purse(payments, file)

        async def dies(node: FakeNode, got: object, writer: asyncio.StreamWriter) -> None:
            till.charge(got.headers["freehold-voucher"])  # type: ignore[attr-defined]
            writer.transport.abort()

        node = FakeNode(1, dies, price=PRICE, payee=PAYEE)
        async with World(node, purse=money) as world:
            with pytest.raises(AllFailedError):
                await asked(world)
            assert money.spent == PRICE  # nobody knows: it counts against the cap
            node.behave = till
            await asked(world)
            assert (till.best, till.spent) == (2 * PRICE, 2 * PRICE)

    run(work())


def test_the_spending_cap_holds(payments: Payments, file: Path) -> None:
    async def work() -> None:
        till, money = Till(payments, PRICE), purse(payments, file, cap=3 * PRICE + 1)
        async with World(paid(till), purse=money) as world:
            found = await asyncio.gather(
                *(asked(world) for _ in range(10)),
                return_exceptions=True,
            )
            assert sum(isinstance(each, TooDearError) for each in found) == 7
            assert till.best == 3 * PRICE

    run(work())


@pytest.mark.parametrize(
    ("status", "body"),
    [(429, b"{}"), (402, b'{"due": "0", "error": "\\u001b[31mnot \\u0007yet"}')],
    ids=["busy", "not yet"],
)
def test_nodes_that_take_vouchers_for_nothing_get_no_more_than_the_cap(
    payments: Payments, file: Path, status: int, body: bytes
) -> None:
    async def work() -> None:
        nodes = [
            FakeNode(seed, says(status, body), price=PRICE, payee=number(600 + seed))
            for seed in range(1, 9)
        ]
        payments.payouts = {number(seed): number(600 + seed) for seed in range(1, 9)}
        async with World(*nodes, purse=purse(payments, file, cap=3 * PRICE)) as world:
            for _ in range(3):
                with pytest.raises(UnansweredError) as refused:
                    await asked(world)
                assert str(refused.value).isprintable()
            signed = {
                got.headers["freehold-voucher"].split(":")[0]: got.headers["freehold-voucher"]
                for node in nodes
                for got in node.got
            }
            amounts = [int(each.split(":")[1]) for each in signed.values()]
            assert 0 < sum(amounts) <= 3 * PRICE

    run(work())


def test_collateral_is_raised_before_it_is_overdrawn(payments: Payments, file: Path) -> None:
    async def work() -> None:
        till = Till(payments, PRICE)
        async with World(paid(till), purse=purse(payments, file)) as world:
            await asked(world)
            account = next(iter(world.router._purse._accounts.values()))  # type: ignore[union-attr]
            payments.rails[1] = replace(payments.rails[1], collateral=2 * PRICE)
            account.covered = 2 * PRICE
            for _ in range(4):
                await asked(world)
            assert payments.rails[1].collateral >= COLLATERAL * PRICE

    run(work())


def test_a_rail_that_is_closing_is_replaced(payments: Payments, file: Path) -> None:
    async def work() -> None:
        till = Till(payments, PRICE)
        async with World(paid(till), purse=purse(payments, file)) as world:
            await asked(world)
        payments.rails[1] = replace(payments.rails[1], closing=True)
        till.best = till.spent = 0
        async with World(paid(till), purse=purse(payments, file)) as world:
            await asked(world)
            assert (payments.opened, till.rail, till.best) == (2, 2, PRICE)

    run(work())


def test_money_that_is_lacking_says_so(payments: Payments, file: Path) -> None:
    async def work() -> None:
        def lacks(node: Address, collateral: int) -> int:
            raise InsufficientFundsError("the account has 0", remedy="Deposit.")

        payments.open_cheque = lacks  # type: ignore[method-assign]
        async with World(paid(Till(payments, PRICE)), purse=purse(payments, file)) as world:
            with pytest.raises(TooDearError, match="the account has 0"):
                await asked(world)
            assert world.nodes[0].got == []

    run(work())


def test_a_node_listed_with_another_s_payee_gets_nothing(payments: Payments, file: Path) -> None:
    async def work() -> None:
        payments.payouts[number(1)] = number(666)
        spoof, honest = Till(payments, PRICE), Till(payments, PRICE)
        nodes = [paid(spoof), FakeNode(2, honest, price=PRICE, payee=PAYEE, score=0.05)]
        async with World(*nodes, purse=purse(payments, file)) as world:
            for _ in range(3):
                assert (await asked(world)).node == number(2)
            assert nodes[0].got == []
            assert payments.opened == 2  # not one more at each request
            assert payments.rails[honest.rail].payee == PAYEE

    run(work())


def test_a_foreign_token_is_not_paid(payments: Payments, file: Path) -> None:
    async def work() -> None:
        async with World(paid(Till(payments, PRICE)), purse=purse(payments, file)) as world:
            world.ranking.known = [world.nodes[0].candidate(token=number(77))]
            with pytest.raises(TooDearError, match="to be paid in"):
                await asked(world)

    run(work())


def test_requests_are_signed_for_the_node_they_go_to(payments: Payments, file: Path) -> None:
    async def work() -> None:
        domain = payments.network.domain("registry")
        identity = Identity(PAYER, domain, Now(), secrets.token_bytes)
        async with World(FakeNode(1), identity=identity) as world:
            await world.router.ask(SUBNET, INPUTS)
            token = world.nodes[0].got[0].headers["authorization"]
            assert token.startswith("Freehold ")

    run(work())


def test_a_hanging_node_s_money_is_in_doubt_not_lost_count_of(
    payments: Payments, file: Path
) -> None:
    async def work() -> None:
        till, money = Till(payments, PRICE), purse(payments, file)
        payments.payouts[number(1)] = number(502)
        stuck = FakeNode(1, hang, price=PRICE, payee=number(502), score=1.0)
        async with World(stuck, paid(till, 2), purse=money) as world:
            reply = await asked(world, effort=Effort(deadline=0.4))
            assert reply.node == number(2)
            while money._flying:
                await asyncio.sleep(0)
            assert money.spent in (PRICE, 2 * PRICE)

    run(work())


def test_an_answer_that_came_and_was_garbage_is_not_settled(payments: Payments, file: Path) -> None:
    async def work() -> None:
        money = purse(payments, file)

        async def lies(node: FakeNode, got: object, writer: asyncio.StreamWriter) -> None:
            writer.write(http(200, answer_body(name="z")))

        async with World(FakeNode(1, lies, price=PRICE, payee=PAYEE), purse=money) as world:
            with pytest.raises(AllFailedError):
                await asked(world)
            (account,) = money._accounts.values()
            assert (account.settled, account.doubtful, account.flying) == (0, PRICE, 0)

    run(work())
