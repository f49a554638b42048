"""Emission schedules against published vectors and figures, to the unit."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest

from freehold.domain.errors import UsageError
from freehold.economics.schedules import Allocation, Part, Plan, bittensor, filecoin, halving, ionet
from freehold.economics.schedules.fixed import ONE, exp_negative
from freehold.economics.schedules.plan import GEOMETRIC
from freehold.economics.schedules.vesting import MONTH_SECONDS
from unit.markets.storage.vectors import matching

YEAR = 365 * 24 * 120

simple_files = matching(lambda found: found.get("columns") == ["epoch", "reward_atto"])
baseline_files = matching(lambda found: "baseline_reward_atto" in found.get("columns", ()))
actor_files = matching(lambda found: "compute_r_theta" in found)
halving_files = matching(lambda found: "emission_rao" in (found.get("points") or [{}])[0])


@pytest.mark.parametrize("found", simple_files)
def test_time_part(found: dict[str, Any]) -> None:
    for epoch, reward in found["rows"]:
        assert filecoin.simple_reward(int(epoch)) == int(reward)


@pytest.mark.parametrize("found", baseline_files)
def test_storage_part(found: dict[str, Any]) -> None:
    for before, now, reward in found["rows"]:
        assert filecoin.baseline_reward(int(before), int(now)) == int(reward)


@pytest.mark.parametrize("found", actor_files)
def test_constants_of_the_actor(found: dict[str, Any]) -> None:
    known = found["constants"]
    assert known["epoch_seconds"] == filecoin.EPOCH_SECONDS
    assert int(known["lambda_q128"]) == filecoin.LAMBDA
    assert int(known["exp_lam_sub_one_q128"]) == filecoin.EXP_LAMBDA_SUB_ONE
    assert int(known["baseline_exponent_q128"]) == filecoin.BASELINE_EXPONENT
    assert int(known["baseline_initial_value"]) == filecoin.BASELINE_INITIAL
    assert known["simple_total_fil"] * 10**18 == filecoin.SIMPLE_TOTAL
    assert known["baseline_total_fil"] * 10**18 == filecoin.BASELINE_TOTAL
    assert filecoin.simple_reward(0) == int(known["epoch_zero_reward_atto"])


@pytest.mark.parametrize("found", actor_files)
def test_network_time(found: dict[str, Any]) -> None:
    for case in found["compute_r_theta"]:
        theta = filecoin.compute_r_theta(
            case["effective_network_time"],
            case["baseline_at_ent"],
            case["cumsum_realized"],
            case["cumsum_baseline"],
        )
        assert theta == Fraction(case["theta"]) * ONE


@pytest.mark.parametrize("found", actor_files)
def test_the_baseline_of_one_year(found: dict[str, Any]) -> None:
    for text, bound in found["baseline_one_year_growth"]["cases"]:
        start = end = int(text)
        for _ in range(YEAR):
            end = filecoin.baseline_from_previous(end)
        assert Fraction(2 * start - end, 2 * start) < Fraction(bound)
        assert end <= 2 * start


@pytest.mark.parametrize("found", actor_files)
def test_the_first_epoch_without_power(found: dict[str, Any]) -> None:
    case = next(case for case in found["actor"] if case["case"] == "construct power 0")
    state = filecoin.Baseline.start(epoch_seconds=30).after(0)
    assert state.target == int(case["this_epoch_baseline_power"])
    assert state.effective == int(case["effective_baseline_power"])
    assert (state.realized, state.theta) == (case["cumsum_realized"], 0)
    reward = filecoin.simple_reward(case["epoch"]) + filecoin.baseline_reward(0, state.theta)
    assert reward == int(case["this_epoch_reward"])


@pytest.mark.parametrize("found", halving_files)
def test_blocks(found: dict[str, Any]) -> None:
    for point in found["points"]:
        assert bittensor.block_emission(point["issuance_rao"]) == point["emission_rao"]


@pytest.mark.parametrize("found", halving_files)
def test_eras(found: dict[str, Any]) -> None:
    for era in found["table"]:
        # A threshold that is no whole rao is printed to the nearest one: the halving comes at the
        # first whole rao past it.
        threshold = bittensor.CAP_RAO - (bittensor.CAP_RAO >> era["halving"])
        assert abs(threshold - era["issuance_from_rao"]) <= 1
        assert bittensor.block_emission(threshold) == era["block_emission_rao"]
        if threshold:
            assert bittensor.block_emission(threshold - 1) > era["block_emission_rao"]


def test_filecoin_by_heart() -> None:
    assert filecoin.simple_reward(0) == 36_266_264_293_777_134_739
    assert filecoin.simple_reward(20_000) == 36_186_640_203_439_653_146
    theta = 340_282_366_920_938_463_463_374_607_398_434_878_123
    assert filecoin.baseline_reward(0, theta) == 84_621_274_052_457_285_111


def test_bittensor_by_heart() -> None:
    tao = 10**9
    assert bittensor.block_emission(0) == tao
    assert bittensor.block_emission(10_500_000 * tao - 1) == tao
    assert bittensor.block_emission(10_500_000 * tao) == tao // 2
    assert bittensor.block_emission(15_750_000 * tao) == tao // 4
    assert bittensor.block_emission(21_000_000 * tao - 1) == 0
    assert bittensor.block_emission(22_000_000 * tao) == 0
    assert bittensor.issued(10_500_001) == 10_500_000 * tao + tao // 2
    with pytest.raises(UsageError, match="issuance of -1"):
        bittensor.block_emission(-1)


def test_blocks_one_by_one_are_the_closed_form() -> None:
    for amount, cap in ((10, 1_000), (7, 1_000), (999, 1_000), (1, 3), (5, 5), (0, 9), (9, 5)):
        issuance = 0
        for blocks in range(300):
            assert halving.issued(amount=amount, cap=cap, blocks=blocks) == issuance
            issuance += halving.block(amount=amount, issuance=issuance, cap=cap)
        assert issuance <= cap


def test_ionets_published_months() -> None:
    assert ionet.month_emission(1) == 3_333_333
    assert ionet.month_emission(2) == 3_299_497
    assert ionet.month_emission(3) == 3_266_003
    assert ionet.month_emission(12) == 2_979_456
    assert sum(map(ionet.month_emission, range(1, 241))) == 300_000_000
    assert [ionet.month_emission(month) for month in (-1, 0, 241, 10**9)] == [0] * 4


def test_the_quoted_factor_is_the_quotient_of_two_rounded_months() -> None:
    assert 3_299_497 * 10**9 // 3_333_333 in range(ionet.QUOTED_FACTOR - 1, ionet.QUOTED_FACTOR + 1)
    total = sum(Fraction(10**7, 3) * Fraction(ionet.QUOTED_FACTOR, 10**9) ** k for k in range(240))
    assert total > 300_005_000


def test_ionets_allocation_is_its_genesis() -> None:
    assert sum(part.share_bps for part in ionet.ALLOCATION) == 10_000
    genesis = {part.name: part.share_bps * ionet.CAP_IO // 10_000 for part in ionet.ALLOCATION}
    genesis["community"] = ionet.COMMUNITY_GENESIS_IO
    assert sum(genesis.values()) == ionet.GENESIS_IO
    # The community's half is the whole emission and what genesis adds to it.
    assert ionet.COMMUNITY_GENESIS_IO + ionet.EMISSION_IO == ionet.CAP_IO // 2


def test_vesting_by_months() -> None:
    part = Part("seed", 1_250, 12, 24).allocation(total=80_000, start=1_000)
    assert part == Allocation(amount=10_000, start=1_000, cliff=12 * MONTH_SECONDS, parts=24)
    first = 1_000 + 13 * MONTH_SECONDS
    assert [part.vested(moment) for moment in (0, first - 1, first)] == [0, 0, 416]
    assert part.vested(1_000 + 36 * MONTH_SECONDS - 1) == 9_583
    assert part.vested(1_000 + 36 * MONTH_SECONDS) == part.vested(2**60) == 10_000


def test_without_parts_all_is_due_at_the_cliff() -> None:
    allocation = Allocation(amount=5, start=10, cliff=3, parts=0)
    assert [allocation.vested(moment) for moment in (12, 13)] == [0, 5]


def test_a_step_counts_pro_rata_to_the_second() -> None:
    plan = Plan(kind=GEOMETRIC, limit=10**9, amount=1_000, step=100, factor=5 * 10**17, steps=2)
    points = (0, 1, 50, 99, 100, 101, 150, 199, 200, 10**9)
    expected = [0, 10, 500, 990, 1_000, 1_005, 1_250, 1_495, 1_500, 1_500]
    assert [plan.scheduled(seconds) for seconds in points] == expected


def test_network_time_makes_up_so_much_an_epoch_and_drops_the_rest() -> None:
    state = filecoin.Baseline.start(epoch_seconds=366 * 86_400, initial=10**9)
    for _ in range(8):
        state = state.after(0)
    assert (state.time, state.theta) == (0, 0)
    # An epoch that is a thousand first baselines wide could fill more than it may make up.
    slow = replace(state, growth=ONE, target=1_000 * 10**9)
    after = slow.after(2**255)
    assert after.time == filecoin.CATCH_UP
    assert after.realized == after.wanted == filecoin.CATCH_UP * 10**9
    assert after.after(0).theta == after.theta == filecoin.CATCH_UP * after.ratio * ONE


def test_the_exponential_is_near() -> None:
    # The source says 3.4e-30 up to 1.725; on a grid of thousandths it is 3.53e-30 at most.
    with localcontext(prec=60):
        for tenths in range(17):
            found = Decimal(exp_negative(tenths * ONE // 10)) / ONE
            assert abs(found - (Decimal(-tenths) / 10).exp()) < Decimal("3.6e-30")


def test_network_time_never_runs_backwards() -> None:
    for before, now in ((1, 0), (-1, 0)):
        with pytest.raises(UsageError, match="network time runs"):
            filecoin.baseline_reward(before, now)


def test_nothing_outside_filecoins_epochs() -> None:
    assert filecoin.simple_reward(-1) == filecoin.simple_reward(filecoin.LAST_EPOCH + 1) == 0
    assert filecoin.simple_reward(filecoin.LAST_EPOCH) > 0
