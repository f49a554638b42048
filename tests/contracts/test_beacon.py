"""Beacon: who may make a round when, what its seed is, and how rounds are counted."""

from __future__ import annotations

import pytest
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.evm import GENESIS_TIME, Chain, Contract
from contracts.proving import GRACE, PERIOD, World
from contracts.world import refused


@pytest.fixture
def net(chain: Chain) -> World:
    return World(chain)


def fix(net: World, period: int | None = None) -> None:
    net.beacon.send("fix", net.period if period is None else period, sender=net.keeper)


def store(net: World, period: int | None = None) -> int:
    chosen = net.period if period is None else period
    return int(net.beacon.send("store", chosen, sender=net.keeper).value)


def deploy(chain: Chain, *, genesis: int, period: int, grace: int) -> Contract:
    keeper = "0x" + "11" * 20
    return chain.deploy("beacon", keeper, genesis, period, grace, sender=keeper)


def test_is_deployed_within_bounds(chain: Chain) -> None:
    with refused("beacon: genesis lies ahead"):
        deploy(chain, genesis=chain.now + 1, period=10, grace=3)
    with refused("beacon: period too long"):
        deploy(chain, genesis=chain.now, period=31 * 86400 + 1, grace=3)
    for grace in (0, 10):
        with refused("beacon: grace must be shorter than a period"):
            deploy(chain, genesis=chain.now, period=10, grace=grace)
    longest = deploy(chain, genesis=chain.now, period=31 * 86400, grace=1)
    assert longest.call("period_length") == 31 * 86400
    assert deploy(chain, genesis=chain.now, period=10, grace=9).call("grace") == 9


def test_says_what_it_was_deployed_with(net: World) -> None:
    assert net.beacon.call("governor") == net.keeper
    assert net.beacon.call("genesis") == GENESIS_TIME
    assert net.beacon.call("period_length") == PERIOD
    assert net.beacon.call("grace") == GRACE
    assert net.beacon.call("round_count") == 0


def test_periods_cut_time_without_gaps(net: World) -> None:
    assert net.beacon.call("period_of", GENESIS_TIME) == 0
    assert net.beacon.call("period_of", GENESIS_TIME + PERIOD - 1) == 0
    assert net.beacon.call("period_of", GENESIS_TIME + PERIOD) == 1
    assert net.beacon.call("period_start", 7) == GENESIS_TIME + 7 * PERIOD
    with refused("beacon: before genesis"):
        net.beacon.call("period_of", GENESIS_TIME - 1)


def test_a_round_comes_from_the_fixed_block(net: World) -> None:
    net.to_period(3)
    number = net.chain.number + 2
    fixed = net.beacon.send("fix", 3, sender=net.keeper).one("Fixed")
    assert (fixed.period, fixed.block_number) == (3, number)
    assert net.beacon.call("fixed_block", 3) == number
    assert net.beacon.call("fixed_block", 2) == 0
    net.chain.mine(3)
    stored = net.beacon.send("store", 3, sender=net.prover).one("Stored")
    body = net.chain.block_hash(number) + (3).to_bytes(32, "big")
    seed = keccak(body + bytes.fromhex(net.beacon.address[2:]))
    assert stored.args == {"round": 0, "period": 3, "seed": seed, "stored_at": net.chain.now}
    assert net.beacon.call("round", 0) == {
        "seed": seed,
        "period": 3,
        "stored_at": net.chain.now,
    }
    assert net.beacon.call("round_of", 3) == (True, 0)
    assert net.beacon.call("round_of", 2) == (False, 0)
    with refused("beacon: no such round"):
        net.beacon.call("round", 1)


def test_only_the_current_period_within_grace(net: World) -> None:
    net.to_period(1)
    for period in (0, 2):
        with refused("beacon: not the current period"):
            fix(net, period)
        with refused("beacon: not the current period"):
            store(net, period)
    net.chain.warp(GRACE - 6)
    fix(net)
    net.chain.warp(6, blocks=3)
    assert store(net) == 0
    net.to_period(2, GRACE + 1)
    with refused("beacon: grace is over"):
        fix(net)
    net.to_period(3, GRACE - 1)
    fix(net)
    net.chain.warp(2, blocks=3)
    with refused("beacon: grace is over"):
        store(net)


def test_the_first_period_is_fixed_like_any_other(net: World) -> None:
    with refused("beacon: not fixed"):
        store(net)
    assert net.beacon.call("fixed_block", 0) == 0
    fix(net)
    net.chain.mine(3)
    assert store(net) == 0


def test_stores_only_a_block_that_exists_and_is_in_reach(net: World) -> None:
    fix(net)
    net.chain.mine(2)
    with refused("beacon: too early"):
        store(net)
    net.chain.mine(1)
    with net.chain.anchor():
        store(net)
    net.chain.mine(255)
    with net.chain.anchor():
        assert store(net) == 0
    with refused("beacon: already fixed"):
        fix(net)
    net.chain.mine(1)
    with refused("beacon: hash out of reach"):
        store(net)
    fix(net)
    net.chain.mine(3)
    assert store(net) == 0


def test_a_fixed_block_is_not_changed_by_fixing_again(net: World) -> None:
    fix(net)
    for _ in range(2):
        with refused("beacon: already fixed"):
            fix(net)
        net.chain.mine(3)


def test_one_round_a_period(net: World) -> None:
    net.round()
    with refused("beacon: round exists"):
        fix(net)
    with refused("beacon: round exists"):
        store(net)
    net.chain.mine(300)
    with refused("beacon: round exists"):
        fix(net)


def test_yesterdays_block_serves_no_other_period(net: World) -> None:
    fix(net)
    net.chain.warp(PERIOD, blocks=3)
    with refused("beacon: not fixed"):
        store(net)


def test_a_void_period_makes_no_round(net: World) -> None:
    net.round()
    net.to_period(5)
    assert net.round() == 1
    assert net.beacon.call("round", 1).period == 5
    assert net.beacon.call("round_count") == 2


def make_rounds(net: World, periods: list[int]) -> None:
    for period in periods:
        net.to_period(period)
        net.round()


@given(gaps=st.lists(st.integers(1, 4), max_size=9), offset=st.integers(-1, PERIOD))
@settings(max_examples=12, deadline=None)
def test_rounds_ended_counts_what_is_over(gaps: list[int], offset: int) -> None:
    net = World(Chain())
    periods = [sum(gaps[: i + 1]) for i in range(len(gaps))]
    make_rounds(net, periods)
    for period in range(max(periods, default=0) + 3):
        moment = net.start(period) + offset
        expected = sum(1 for each in periods if net.start(each + 1) <= moment)
        assert net.beacon.call("rounds_ended", moment) == expected


def test_rounds_ended_far_away(net: World) -> None:
    make_rounds(net, [1, 2, 9, 12])
    assert net.beacon.call("rounds_ended", 0) == 0
    assert net.beacon.call("rounds_ended", GENESIS_TIME - 1) == 0
    assert net.beacon.call("rounds_ended", 2**255) == 4


def test_a_young_chain_has_a_first_round() -> None:
    net = World(Chain(number=5))
    fix(net)
    with refused("beacon: already fixed"):
        fix(net)
    net.chain.mine(3)
    assert store(net) == 0


def test_an_earlier_fixing_binds_no_later_period(net: World) -> None:
    net.to_period(1)
    fix(net)
    net.chain.warp(PERIOD, blocks=5)
    fix(net)
    with refused("beacon: already fixed"):
        fix(net)


@pytest.mark.parametrize("odd", [0, 1])
def test_blocks_and_times_are_kept_whole(net: World, odd: int) -> None:
    net.to_period(1)
    net.chain.warp(odd, blocks=odd)
    fix(net)
    assert net.beacon.call("fixed_block", 1) == net.chain.number + 2
    net.chain.mine(3)
    store(net)
    assert net.beacon.call("round", 0).stored_at == net.chain.now
