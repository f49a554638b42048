"""The first block of a moment, on chains of any pace, while they rest and while they change."""

from __future__ import annotations

import random

import pytest

from freehold.domain.errors import NotFoundError, UnavailableError
from freehold.ledger.devnet.process import Devnet
from freehold.ledger.ledger import Ledger
from freehold.ledger.moments import first_block
from freehold.ledger.rpc import Rpc
from unit.ledger.fake_chain import CHAIN_ID, FakeChain

START = 1_700_000_000


def chain_of(times: list[int]) -> FakeChain:
    """A chain whose blocks behind the first have these times."""
    chain = FakeChain(time=START - 1_000)
    for time in times:
        chain.time = time
        chain.mine()
    assert [block.time for block in chain.blocks[-len(times) :]] == times
    return chain


def rpc(chain: FakeChain) -> Rpc:
    return Rpc(["http://a.test"], chain_id=CHAIN_ID, rounds=1, transport=chain.transport())


@pytest.mark.parametrize("pace", [1, 12, 300])
def test_everybody_finds_the_same_block_whenever_they_look(pace: int) -> None:
    times = list(range(START - 40 * pace, START + 40 * pace, pace))
    found = set()
    for seen in range(41, len(times) + 1):
        block = first_block(rpc(chain_of(times[:seen])), START)
        assert block is not None
        found.add((block.number, block.time))
    assert found == {(41, START)}


def test_blocks_of_one_second_are_told_apart() -> None:
    """Several blocks a second: the first of them counts, for everybody."""
    seed = random.randrange(2**32)
    draw = random.Random(seed)
    for _ in range(40):
        times = sorted(START + draw.randrange(-20, 20) for _ in range(draw.randrange(1, 60)))
        chain = chain_of(times)
        block = first_block(rpc(chain), START)
        expected = next((each for each in chain.blocks if each.time >= START), None)
        assert (block and block.hash) == (expected and expected.hash), f"seed {seed}: {times}"


def test_a_devnet_that_rests_has_one_after_a_transfer_of_nothing(
    ledger: Ledger, devnet: Devnet
) -> None:
    since = ledger.now() + 500
    assert ledger.first_block(since) is None
    ledger.rpc.request("evm_increaseTime", hex(600))
    receipt = ledger.transfer(devnet.funder.address, 0)
    block = ledger.first_block(since)
    assert block is not None
    assert block.number <= receipt.block
    assert ledger.rpc.header(block.number - 1).time < since <= block.time
    ledger.transfer(devnet.funder.address, 0)
    assert ledger.first_block(since) == block


def test_there_is_none_while_the_chain_rests() -> None:
    assert first_block(rpc(chain_of([START - 5, START - 1])), START) is None


def test_few_blocks_are_read_of_many() -> None:
    chain = chain_of(list(range(START - 5_000, START + 3_000)))
    chain.asked.clear()
    block = first_block(rpc(chain), START, lowest=1)
    assert block is not None
    assert block.time == START
    assert chain.asked.count("eth_getBlockByNumber") < 32


def test_it_is_not_looked_for_below_the_lowest() -> None:
    chain = chain_of(list(range(START, START + 20)))
    block = first_block(rpc(chain), START - 500, lowest=1)
    assert block is not None
    assert block.number == 1
    assert chain.asked.count("eth_getBlockByNumber") < 12


def test_a_reorganisation_in_between_is_told() -> None:
    chain = chain_of(list(range(START - 20, START + 20)))
    assert first_block(rpc(chain), START) is not None
    last, blocks = len(chain.asked), chain._eth_getBlockByNumber
    chain.asked.clear()

    def moving(params: list[object]) -> object:
        if len(chain.asked) == last:
            chain.reorganise(30)
            chain.mine()
            for time in range(START - 9, START + 20):
                chain.time = time
                chain.mine()
        return blocks(params)

    chain.answers["eth_getBlockByNumber"] = moving
    with pytest.raises(UnavailableError, match="no longer stands on"):
        first_block(rpc(chain), START)


def test_a_block_that_is_not_kept_is_told() -> None:
    chain = chain_of(list(range(START - 20, START + 20)))
    blocks = chain._eth_getBlockByNumber
    chain.answers["eth_getBlockByNumber"] = lambda params: (
        blocks(params) if params[0] == "latest" else None
    )
    with pytest.raises(NotFoundError, match="has no block"):
        first_block(rpc(chain), START)
