"""Chain time on chains that idle, run ahead, lag or are down."""

from __future__ import annotations

from dataclasses import dataclass

import httpx2

from freehold.ledger.clock import ChainClock
from freehold.ledger.rpc import Rpc
from unit.ledger.fake_chain import CHAIN_ID, FakeChain, Refusal


@dataclass(slots=True)
class Wall:
    """A wall clock, and the moments between two questions."""

    time: int = 1_700_000_500
    ticks: float = 0.0

    def now(self) -> int:
        """Seconds."""
        return self.time

    def monotonic(self) -> float:
        """Seconds since some moment."""
        self.ticks += 10
        return self.ticks


def clock(chain: FakeChain, wall: Wall) -> ChainClock:
    """A chain clock over a fake chain."""
    rpc = Rpc(["http://a.test"], chain_id=CHAIN_ID, rounds=1, transport=chain.transport())
    return ChainClock(rpc, wall, refresh=1.0, monotonic=wall.monotonic)


def no_pending(chain: FakeChain) -> FakeChain:
    """A chain whose RPC serves no pending block."""

    def latest_only(params: list[object]) -> object:
        if params[0] == "pending":
            raise Refusal("pending is not served")
        return chain._eth_getBlockByNumber(params)

    chain.answers["eth_getBlockByNumber"] = latest_only
    return chain


def test_the_pending_block_tells_a_moved_time() -> None:
    chain, wall = FakeChain(), Wall()
    chain.time = wall.time + 3_600
    ours = clock(chain, wall)
    assert ours.now() == wall.time + 3_600
    chain.time += 100
    wall.time += 10
    assert ours.now() == wall.time + 3_690


def test_a_time_behind_the_wall_clock_is_followed_too() -> None:
    chain, wall = FakeChain(), Wall()
    chain.time = wall.time - 50
    assert clock(chain, wall).now() == wall.time - 50


def test_without_pending_an_old_head_says_nothing_and_a_fresh_one_all() -> None:
    chain, wall = no_pending(FakeChain()), Wall()
    ours = clock(chain, wall)
    assert ours.now() == wall.time
    chain.time = wall.time - 20
    chain.mine()
    assert ours.now() == wall.time - 20
    wall.time += 300
    assert ours.now() == wall.time - 20


def test_a_chain_that_is_down_keeps_the_last_skew() -> None:
    chain, wall = FakeChain(), Wall()
    chain.time = wall.time + 60
    ours = clock(chain, wall)
    assert ours.now() == wall.time + 60

    def down(_: list[object]) -> object:
        raise httpx2.ConnectError("down")

    chain.answers["eth_getBlockByNumber"] = down
    assert ours.now() == wall.time + 60
