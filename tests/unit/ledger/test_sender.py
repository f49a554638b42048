"""Sending on a chain that stalls, drops, refuses and crashes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from eth_abi.abi import encode

from freehold.domain.errors import (
    CapacityError,
    InsufficientFundsError,
    RefusedError,
    UnavailableError,
)
from freehold.domain.ids import keccak
from freehold.domain.keys import Key
from freehold.ledger.book import KEPT, LIVE, REFUSED, Book, Draft
from freehold.ledger.rpc import Rpc
from freehold.ledger.sender import Patience, Sender
from freehold.ledger.transaction import CREATION
from unit.ledger.fake_chain import CHAIN_ID, FakeChain, Refusal, address

KEY = Key.from_secret(b"\x05" * 32)
REASON = keccak(b"Error(string)")[:4] + encode(["string"], ["storage: no such deal"])


@dataclass(slots=True)
class Clock:
    """A clock that sleeping moves, with things to do at given moments."""

    time: float = 1_000.0
    at: list[tuple[float, Callable[[], object]]] = field(default_factory=list)

    def now(self) -> int:
        """Whole seconds."""
        return int(self.time)

    def monotonic(self) -> float:
        """Seconds."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.time += seconds
        while self.at and self.at[0][0] <= self.time:
            self.at.pop(0)[1]()


class World:
    """A chain, a clock and a folder."""

    def __init__(self, folder: Path, chain: FakeChain | None = None) -> None:
        self.folder = folder
        self.chain = chain or FakeChain()
        self.clock = Clock()

    def sender(self) -> Sender:
        """A sender as a fresh process would open it."""
        rpc = Rpc(
            ["http://chain.test"],
            chain_id=CHAIN_ID,
            rounds=2,
            sleep=self.clock.sleep,
            transport=httpx2.MockTransport(self.chain.handle),
        )
        return Sender(
            rpc,
            KEY,
            Book(self.folder / "book.sqlite", "me"),
            self.clock,
            patience=Patience(poll_first=1, poll_last=5, lost=20, bump=30, give_up=300),
            sleep=self.clock.sleep,
            monotonic=self.clock.monotonic,
        )

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something when the clock has moved on."""
        self.clock.at.append((self.clock.time + seconds, action))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A fresh world."""
    return World(tmp_path)


def test_transactions_are_mined_in_order(world: World) -> None:
    sender = world.sender()
    receipts = [sender.send(address(9), bytes([n]), value=n) for n in range(5)]
    assert [each.block for each in receipts] == [1, 2, 3, 4, 5]
    assert [(t.nonce, t.value) for t in world.chain.transactions()] == [(n, n) for n in range(5)]


def test_the_book_forgets_what_is_long_settled(world: World) -> None:
    sender = world.sender()
    for _ in range(65):
        sender.send(address(9), b"")
    world.clock.time += KEPT + 1_000
    for _ in range(64):
        sender.send(address(9), b"")
    with closing(sqlite3.connect(world.folder / "book.sqlite")) as db:
        nonces = [nonce for (nonce,) in db.execute("SELECT nonce FROM sent ORDER BY nonce")]
    assert nonces == list(range(65, 129)), "and those that a reorganisation may ask for are kept"


def test_a_deployment_names_its_contract(world: World) -> None:
    assert world.sender().send(CREATION, b"code").contract is not None


def test_a_revert_carries_the_contracts_reason_and_costs_nothing(world: World) -> None:
    world.chain.reverts = REASON
    with pytest.raises(RefusedError, match="storage: no such deal") as caught:
        world.sender().send(address(9), b"")
    assert "nothing was spent" in caught.value.remedy
    assert world.chain.transactions() == []


def test_a_revert_in_the_block_is_told_and_settled(world: World) -> None:
    world.chain.answers["eth_estimateGas"] = lambda _: hex(50_000)
    world.chain.reverts = REASON
    sender = world.sender()
    with pytest.raises(RefusedError, match="storage: no such deal"):
        sender.send(address(9), b"", tag="t")
    assert [row.state for row in Book(world.folder / "book.sqlite", "me").tagged("t")] == [REFUSED]
    world.chain.reverts = None
    assert sender.send(address(9), b"", tag="t").status == 1


def test_lacking_gas_money_is_named_with_the_amount(world: World) -> None:
    world.chain.balance = 1_000
    with pytest.raises(InsufficientFundsError, match=r"has 0\.000000000000001 coins") as caught:
        world.sender().send(address(9), b"", value=10**18)
    assert f"wallet send {KEY.address} 1.0" in caught.value.remedy


def test_a_transaction_larger_than_a_block_is_refused(world: World) -> None:
    world.chain.answers["eth_estimateGas"] = lambda _: hex(20_000_000)
    with pytest.raises(CapacityError, match="20000000 gas"):
        world.sender().send(address(9), b"")


def test_a_transaction_takes_no_more_gas_than_its_sender_allows(world: World) -> None:
    world.chain.answers["eth_estimateGas"] = lambda _: hex(90_001)
    with pytest.raises(CapacityError, match="90001 gas, more than its sender allows, 90000"):
        world.sender().send(address(9), b"", most_gas=90_000)
    assert not world.chain.pool
    world.chain.answers["eth_estimateGas"] = lambda _: hex(90_000)
    world.sender().send(address(9), b"", most_gas=90_000)
    assert [sent.gas for sent in world.chain.transactions()] == [90_000]


def test_a_stuck_transaction_is_bumped_and_counts_once(world: World) -> None:
    world.chain.automine = False
    world.chain.least_fee = 5 * 10**9
    for second in range(10, 290, 10):
        world.after(second, world.chain.mine)
    receipt = world.sender().send(address(9), b"x")
    (mined,) = world.chain.transactions()
    assert mined.fee >= 5 * 10**9
    assert mined.tip > 10**9
    assert receipt.hash == mined.hash
    assert Book(world.folder / "book.sqlite", "me").live() == []


def test_what_never_gets_mined_stays_in_the_book(world: World) -> None:
    world.chain.automine = False
    with pytest.raises(UnavailableError, match="not mined within 300 seconds"):
        world.sender().send(address(9), b"x", tag="t")
    world.chain.mine()
    assert world.sender().send(address(9), b"x", tag="t").block == 1
    assert len(world.chain.transactions()) == 1


def test_a_crash_before_sending_is_made_good_once(world: World) -> None:
    def crash(_: list[object]) -> object:
        raise KeyboardInterrupt

    world.chain.answers["eth_sendRawTransaction"] = crash
    with pytest.raises(KeyboardInterrupt):
        world.sender().send(address(9), b"x", tag="t")
    del world.chain.answers["eth_sendRawTransaction"]
    again = world.sender()
    again.recover()
    assert len(world.chain.transactions()) == 1
    assert again.send(address(9), b"x", tag="t").block == 1
    assert again.recover() == 0
    assert len(world.chain.transactions()) == 1


def test_a_crash_after_sending_is_not_doubled(world: World) -> None:
    def lost(params: list[object]) -> object:
        world.chain._eth_sendRawTransaction(params)
        raise KeyboardInterrupt

    world.chain.answers["eth_sendRawTransaction"] = lost
    with pytest.raises(KeyboardInterrupt):
        world.sender().send(address(9), b"x", tag="t")
    del world.chain.answers["eth_sendRawTransaction"]
    sender = world.sender()
    assert sender.send(address(9), b"x", tag="t").block == 1
    assert sender.send(address(9), b"y").block == 2
    assert [t.data for t in world.chain.transactions()] == [b"x", b"y"]


def test_an_answer_that_got_lost_is_asked_for_again(world: World) -> None:
    def lost(params: list[object]) -> object:
        del world.chain.answers["eth_sendRawTransaction"]
        world.chain._eth_sendRawTransaction(params)
        raise httpx2.ReadTimeout("no answer")

    world.chain.answers["eth_sendRawTransaction"] = lost
    assert world.sender().send(address(9), b"x").block == 1
    assert len(world.chain.transactions()) == 1


def test_an_unknown_fate_is_unavailable_and_resolved_by_the_tag(world: World) -> None:
    def gone(params: list[object]) -> object:
        if not world.chain.transactions():
            world.chain._eth_sendRawTransaction(params)
        raise httpx2.ReadTimeout("no answer")

    world.chain.answers["eth_sendRawTransaction"] = gone
    with pytest.raises(UnavailableError):
        world.sender().send(address(9), b"x", tag="t")
    del world.chain.answers["eth_sendRawTransaction"]
    assert world.sender().send(address(9), b"x", tag="t").block == 1
    assert len(world.chain.transactions()) == 1


def test_a_nonce_lost_to_another_program_is_retried(world: World) -> None:
    stranger = World(world.folder / "elsewhere", world.chain)
    taken: list[int] = []

    def stale(params: list[object]) -> object:
        if not taken:
            taken.append(1)
            stranger.sender().send(address(8), b"theirs")
            return hex(0)
        return world.chain._eth_getTransactionCount(params)

    world.chain.answers["eth_getTransactionCount"] = stale
    world.sender().send(address(9), b"ours")
    assert [t.data for t in world.chain.transactions()] == [b"theirs", b"ours"]


def test_a_rejected_transaction_leaves_no_gap(world: World) -> None:
    world.chain.automine = False
    sender = world.sender()
    book = Book(world.folder / "book.sqlite", "me")
    # Another thread took nonce 0 and has not handed it in; then the chain rejects it.
    other, _ = book.reserve(
        sender._price(Draft(address(9), b"first", 0, 50_000, 0, 0)),
        first_free=lambda: 0,
        sign=sender._sign,
        tag=None,
        at=0,
    )
    world.after(20, lambda: book.mark(other, "dropped"))
    for second in range(5, 290, 5):
        world.after(second, world.chain.mine)
    sender.send(address(9), b"second")
    filler, sent = world.chain.transactions()
    assert (filler.nonce, filler.data, filler.value) == (0, b"", 0)
    assert (sent.nonce, sent.data) == (1, b"second")


def test_a_rejection_by_the_chain_is_typed_and_frees_the_nonce(world: World) -> None:
    def poor(_: list[object]) -> object:
        raise Refusal("insufficient funds for gas * price + value")

    world.chain.answers["eth_sendRawTransaction"] = poor
    sender = world.sender()
    with pytest.raises(InsufficientFundsError):
        sender.send(address(9), b"x")
    del world.chain.answers["eth_sendRawTransaction"]
    assert sender.send(address(9), b"y").block == 1
    assert world.chain.transactions()[0].nonce == 0


def test_a_reorganised_receipt_is_waited_for_again(world: World) -> None:
    sender = world.sender()
    sender.send(address(9), b"x", tag="t")
    world.chain.reorganise(1)
    assert sender.send(address(9), b"x", tag="t").block == 1
    assert len(world.chain.transactions()) == 1


def test_what_a_reorganisation_dropped_is_handed_in_before_what_comes_next(world: World) -> None:
    sender = world.sender()
    for data in (b"a", b"b"):
        sender.send(address(9), data)
    world.chain.reorganise(2)
    sender.send(address(9), b"c")
    assert [t.data for t in world.chain.transactions()] == [b"a", b"b", b"c"]


def test_an_rpc_that_lags_makes_nothing_twice(world: World) -> None:
    sender = world.sender()
    first = sender.send(address(9), b"same")
    lags = iter([hex(0), hex(0)])
    honest = world.chain._eth_getTransactionCount
    world.chain.answers["eth_getTransactionCount"] = lambda params: next(lags, honest(params))
    second = sender.send(address(9), b"same")
    assert first.hash != second.hash
    assert [t.nonce for t in world.chain.transactions()] == [0, 1]


def test_a_receipt_that_lags_behind_the_nonce_is_waited_for(world: World) -> None:
    lags = iter([None] * 3)
    honest = world.chain._eth_getTransactionReceipt
    world.chain.answers["eth_getTransactionReceipt"] = lambda params: next(lags, honest(params))
    world.sender().send(address(9), b"x")
    assert len(world.chain.transactions()) == 1


def test_a_chain_without_tips_gets_a_default(world: World) -> None:
    def unknown(_: list[object]) -> object:
        raise Refusal("method not found", code=-32601)

    world.chain.answers["eth_maxPriorityFeePerGas"] = unknown
    world.sender().send(address(9), b"x")
    assert world.chain.transactions()[0].tip == 10**9


def test_a_chain_that_is_down_leaves_nothing_in_the_book(world: World) -> None:
    def down(_: list[object]) -> object:
        raise httpx2.ConnectError("connection refused")

    world.chain.answers["eth_estimateGas"] = down
    with pytest.raises(UnavailableError):
        world.sender().send(address(9), b"x")
    assert [r for r in Book(world.folder / "book.sqlite", "me").live() if r.state == LIVE] == []
