"""RPCs that are down, slow, elsewhere, or lie."""

from __future__ import annotations

import json

import httpx2
import pytest

from freehold.domain.errors import IntegrityError, NotFoundError, UnavailableError, UsageError
from freehold.ledger import pool as module
from freehold.ledger.rpc import Rpc
from freehold.ledger.wire import RpcRefusal
from unit.ledger.fake_chain import CHAIN_ID, FakeChain, Refusal, address

A, B, C = "http://a.test", "http://b.test", "http://c.test"


class Net:
    """Several URLs, each with a chain of its own; one that is missing refuses connections."""

    def __init__(self, **chains: FakeChain) -> None:
        self.chains = chains
        self.asked: list[str] = []

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        """Route by host."""
        name = request.url.host.partition(".")[0]
        self.asked.append(name)
        if name not in self.chains:
            raise httpx2.ConnectError("connection refused")
        return self.chains[name].handle(request)

    def rpc(self, *urls: str, quorum: int = 1, rounds: int = 2) -> Rpc:
        """An RPC over these URLs that never really sleeps."""
        return Rpc(
            urls,
            chain_id=CHAIN_ID,
            quorum=quorum,
            rounds=rounds,
            sleep=lambda _: None,
            transport=httpx2.MockTransport(self.handle),
        )


def test_a_dead_url_is_passed_over_and_then_asked_last() -> None:
    net = Net(b=FakeChain())
    with net.rpc(A, B) as rpc:
        assert rpc.block_number() == 0
        assert rpc.urls == (B, A)
        net.asked.clear()
        assert rpc.balance(address(1)) == 10**24
        assert set(net.asked) == {"b"}


def test_nobody_answers_within_bounds() -> None:
    net = Net()
    with net.rpc(A, B, rounds=3) as rpc, pytest.raises(UnavailableError, match=r"a\.test.*b\.test"):
        rpc.block_number()
    assert len(net.asked) == 6


def test_another_chain_is_never_used() -> None:
    other = FakeChain()
    other.answers["eth_chainId"] = lambda _: "0x1"
    net = Net(a=other, b=FakeChain())
    with net.rpc(A, B) as rpc, pytest.raises(IntegrityError, match="on chain 1, the network on"):
        rpc.check_chain()
    with net.rpc(A, B) as rpc, pytest.raises(IntegrityError):
        rpc.block_number()


def test_check_chain_needs_one_that_answers() -> None:
    with Net(b=FakeChain()).rpc(A, B) as rpc:
        rpc.check_chain()
    with Net().rpc(A) as rpc, pytest.raises(UnavailableError):
        rpc.check_chain()


@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b"[]",
        b'"text"',
        b'{"jsonrpc":"2.0","id":999,"result":"0x7a69"}',
        b'{"jsonrpc":"2.0","id":1}',
        b'{"jsonrpc":"2.0","id":1,"error":"text"}',
        b"[" * 5_000,
    ],
)
def test_a_malformed_answer_is_typed(body: bytes) -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=body))
    with (
        Rpc([A], chain_id=CHAIN_ID, rounds=1, sleep=lambda _: None, transport=transport) as rpc,
        pytest.raises((IntegrityError, UnavailableError)),
    ):
        rpc.block_number()


def test_answers_in_a_wrong_shape_are_typed() -> None:
    chain = FakeChain()
    for method in ("eth_blockNumber", "eth_getBalance", "eth_getBlockByNumber", "eth_getLogs"):
        chain.answers[method] = lambda _: {"hash": "0x12"}
    with Net(a=chain).rpc(A) as rpc:
        for ask in (
            rpc.block_number,
            lambda: rpc.balance(address(1)),
            lambda: rpc.header("latest"),
            lambda: rpc.headers([1, 2]),
            lambda: rpc.logs([address(1)], 0, 1),
        ):
            with pytest.raises(IntegrityError):
                ask()


def test_a_body_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BODY_LIMIT", 1_000)
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=b"x" * 5_000))
    with (
        Rpc([A], chain_id=CHAIN_ID, rounds=1, transport=transport) as rpc,
        pytest.raises(IntegrityError, match="longer than 1000 bytes"),
    ):
        rpc.block_number()


def test_the_chains_own_refusals_are_not_retried() -> None:
    chain = FakeChain(reverts=b"")
    net = Net(a=chain, b=chain)
    with net.rpc(A, B) as rpc:
        rpc.check_chain()
        chain.asked.clear()
        with pytest.raises(RpcRefusal):
            rpc.estimate({})
        assert chain.asked == ["eth_estimateGas"]


def test_a_busy_url_is_passed_over() -> None:
    busy = FakeChain()

    def limit(_: list[object]) -> object:
        raise Refusal("limit exceeded", code=-32005)

    busy.answers["eth_getBalance"] = limit
    with Net(a=busy, b=FakeChain(balance=7)).rpc(A, B) as rpc:
        assert rpc.balance(address(1)) == 7


def test_a_quorum_outvotes_a_liar_and_names_it() -> None:
    net = Net(a=FakeChain(balance=1), b=FakeChain(), c=FakeChain())
    with net.rpc(A, B, C, quorum=2) as rpc:
        assert rpc.balance(address(1)) == 10**24
        assert list(rpc.suspects()) == [A]
        net.asked.clear()
        assert rpc.balance(address(2)) == 10**24
        assert "a" not in net.asked


def test_without_a_quorum_the_disagreement_is_told() -> None:
    with (
        Net(a=FakeChain(balance=1), b=FakeChain()).rpc(A, B, quorum=2) as rpc,
        pytest.raises(UnavailableError, match=r"disagree.*a\.test against.*b\.test"),
    ):
        rpc.balance(address(1))


def test_a_quorum_needs_as_many_that_answer() -> None:
    with (
        Net(a=FakeChain()).rpc(A, B, quorum=2) as rpc,
        pytest.raises(UnavailableError, match="fewer than 2"),
    ):
        rpc.balance(address(1))
    with pytest.raises(UsageError):
        Net(a=FakeChain()).rpc(A, A, quorum=2)


def test_a_quorum_asks_for_one_block_that_it_has() -> None:
    chains = {name: FakeChain() for name in "abc"}
    for name, blocks in (("a", 90), ("b", 3), ("c", 4)):
        for _ in range(blocks):
            chains[name].mine()
    tags: set[object] = set()

    def balance(params: list[object]) -> object:
        tags.add(params[1])
        return "0x5"

    for chain in chains.values():
        chain.answers["eth_getBalance"] = balance
    with Net(**chains).rpc(A, B, C, quorum=2) as rpc:
        assert rpc.balance(address(1)) == 5
        assert rpc.block_number() == 4
    assert tags == {"0x4"}


def test_refusals_count_as_answers_of_a_quorum() -> None:
    with Net(a=FakeChain(reverts=b"\1"), b=FakeChain(reverts=b"\1")).rpc(A, B, quorum=2) as rpc:
        with pytest.raises(RpcRefusal) as caught:
            rpc.call(address(1), b"")
        assert caught.value.data == b"\1"


def test_a_quorum_agrees_on_many_calls_at_one_block_in_few_exchanges() -> None:
    blocks = set[object]()

    def told(params: list[object]) -> object:
        call, block = params
        blocks.add(block)
        assert isinstance(call, dict)
        return call["data"]

    chains = {name: FakeChain(answers={"eth_call": told}) for name in "abc"}
    chains["a"].answers["eth_call"] = lambda params: "0xff" if "02" in str(params) else "0x01"
    net = Net(**chains)
    with net.rpc(A, B, C, quorum=2) as rpc:
        asked = [(address(1), number.to_bytes(1, "big")) for number in range(1, 151)]
        assert rpc.call_many(asked) == [data for _, data in asked]
        assert rpc.suspects() == {A: "eth_call differed from 2 others"}
        assert rpc.call_many([]) == []
    assert blocks == {"0x0"}
    exchanges = {name: net.asked.count(name) for name in net.chains}
    assert exchanges == {"a": 3, "b": 4, "c": 4}  # whose chain, the head, and pages of a hundred


def test_a_quorum_tells_which_of_many_calls_is_refused() -> None:
    def told(params: list[object]) -> object:
        if "02" in str(params):
            raise Refusal("execution reverted", code=3, data="0x07")
        return "0x01"

    chains = {name: FakeChain(answers={"eth_call": told}) for name in "ab"}
    with Net(**chains).rpc(A, B, quorum=2) as rpc:
        assert rpc.call_many([(address(1), b"\1"), (address(1), b"\3")]) == [b"\1", b"\1"]
        with pytest.raises(RpcRefusal) as caught:
            rpc.call_many([(address(1), b"\1"), (address(1), b"\2")])
        assert caught.value.data == b"\7"


def test_a_batch_comes_back_in_order() -> None:
    chain = FakeChain()
    for _ in range(250):
        chain.mine()

    def shuffled(request: httpx2.Request) -> httpx2.Response:
        answer = chain.handle(request)
        content = json.loads(answer.content)
        return httpx2.Response(200, json=content[::-1]) if isinstance(content, list) else answer

    with Rpc([A], chain_id=CHAIN_ID, transport=httpx2.MockTransport(shuffled)) as rpc:
        numbers = list(range(3, 240))
        assert [header.number for header in rpc.headers(numbers)] == numbers
        with pytest.raises(NotFoundError, match="block 999"):
            rpc.headers([1, 999])


def test_a_receipt_of_a_dropped_block_does_not_count() -> None:
    chain = FakeChain()
    chain.answers["eth_getTransactionReceipt"] = lambda _: {
        "transactionHash": "0x" + "11" * 32,
        "blockNumber": "0x0",
        "blockHash": "0x" + "22" * 32,
        "gasUsed": "0x1",
        "status": "0x1",
        "logs": [],
    }
    with Net(a=chain).rpc(A) as rpc:
        assert rpc.receipt("0x" + "11" * 32) is None


def test_an_answer_whose_id_is_no_number_is_malformed() -> None:
    def handle(request: httpx2.Request) -> httpx2.Response:
        asked = json.loads(request.content)
        if isinstance(asked, dict):
            return FakeChain().handle(request)
        return httpx2.Response(200, json=[{"id": [each["id"]], "result": "0x"} for each in asked])

    transport = httpx2.MockTransport(handle)
    rpc = Rpc([A], chain_id=CHAIN_ID, rounds=1, sleep=lambda _: None, transport=transport)
    with rpc, pytest.raises(IntegrityError):
        rpc.call_many([(address(1), b""), (address(2), b"")])


def test_a_purse_is_agreed_upon_by_a_quorum() -> None:
    liar = FakeChain()
    liar.answers["eth_getBalance"] = lambda _: "0x0"
    with Net(a=liar, b=FakeChain(), c=FakeChain()).rpc(A, B, C, quorum=2) as rpc:
        assert rpc.purse(address(1))[1] == 10**24


def test_several_calls_pass_over_a_url_that_answers_in_a_wrong_shape() -> None:
    broken = FakeChain()
    broken.answers["eth_call"] = lambda _: 7
    with Net(a=broken, b=FakeChain()).rpc(A, B) as rpc:
        assert rpc.call_many([(address(1), b""), (address(2), b"")]) == [b"", b""]
