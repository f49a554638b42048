from __future__ import annotations

import pytest
from eth_abi.abi import decode

from freehold.domain.ids import checksum
from freehold.ledger import wallets
from freehold.ledger.rpc import Rpc
from unit.ledger.fake_chain import CHAIN_ID, FakeChain, Refusal

WALLET = checksum(b"\x99" * 20)
DIGEST, SIGNATURE = bytes(range(32)), b"\x07" * 130
YES = "0x1626ba7e" + "00" * 28


def rpc(chain: FakeChain) -> Rpc:
    return Rpc(["http://chain"], chain_id=CHAIN_ID, transport=chain.transport())


def test_the_question_is_a_gas_capped_view_of_the_wallet() -> None:
    chain = FakeChain()
    asked: list[dict[str, str]] = []

    def answer(params: list[object]) -> str:
        asked.append(dict(params[0]))  # type: ignore[call-overload]
        return YES

    chain.answers["eth_call"] = answer
    with rpc(chain) as opened:
        assert wallets.signed(opened, WALLET, DIGEST, SIGNATURE)
    [request] = asked
    assert request["to"] == WALLET
    assert int(request["gas"], 16) == wallets.GAS
    data = bytes.fromhex(request["data"][2:])
    assert data[:4].hex() == "1626ba7e"
    assert decode(["bytes32", "bytes"], data[4:]) == (DIGEST, SIGNATURE)


@pytest.mark.parametrize(
    "answer", ["0x", YES[:-2], YES + "00", "0x1626ba7f" + "00" * 28, "0x" + "00" * 28 + "1626ba7e"]
)
def test_only_the_exact_word_is_a_yes(answer: str) -> None:
    chain = FakeChain()
    chain.answers["eth_call"] = lambda params: answer
    with rpc(chain) as opened:
        assert not wallets.signed(opened, WALLET, DIGEST, SIGNATURE)


def test_a_wallet_that_reverts_has_not_signed() -> None:
    chain = FakeChain()

    def revert(params: list[object]) -> str:
        raise Refusal("execution reverted", code=3, data="0x")

    chain.answers["eth_call"] = revert
    with rpc(chain) as opened:
        assert not wallets.signed(opened, WALLET, DIGEST, SIGNATURE)
