"""What holds for any schedule: it rises, it is bounded, and no partition changes it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.domain.errors import UsageError
from freehold.economics.schedules import PRESETS, Allocation, Plan, Progress, Share, filecoin
from freehold.economics.schedules.fixed import ONE, REACH, exp_negative, power
from freehold.economics.schedules.plan import EXPONENTIAL, GEOMETRIC, HALVING
from freehold.economics.schedules.split import check, dust

AMOUNTS = st.integers(0, 2**70)
SECONDS = st.integers(0, 2**34)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Any plan that is possible."""
    kind = draw(st.sampled_from([EXPONENTIAL, GEOMETRIC, HALVING]))
    if kind == EXPONENTIAL:
        amount, storage = draw(AMOUNTS), draw(AMOUNTS)
        initial = draw(st.integers(1, 2**70))
        limit = amount + storage + draw(st.integers(1, 2**40))
        return Plan(kind=kind, limit=limit, amount=amount, storage=storage, initial=initial)
    grain = draw(st.sampled_from([1, 3, 10**9]))
    limit, amount = grain * draw(st.integers(1, 2**60)), grain * draw(st.integers(0, 2**60))
    step = draw(st.integers(1, 10**7))
    if kind == HALVING:
        return Plan(kind=kind, limit=limit, amount=amount, grain=grain, step=step)
    return Plan(
        kind=kind,
        limit=limit,
        amount=amount,
        grain=grain,
        step=step,
        factor=draw(st.integers(1, 10**18)),
        steps=draw(st.integers(1, 2**20 - 1)),
    )


@given(plan=plans(), seconds=SECONDS, more=SECONDS)
def test_a_schedule_rises_and_stays_below_its_limit(plan: Plan, seconds: int, more: int) -> None:
    first, second = plan.scheduled(seconds), plan.scheduled(seconds + more)
    assert plan.scheduled(0) == 0
    assert 0 <= first <= second <= plan.limit


@settings(max_examples=40)
@given(plan=plans(), data=st.data())
def test_budgets_are_never_negative_and_add_up(plan: Plan, data: st.DataObject) -> None:
    progress = Progress.start(plan, epoch_seconds=30 * data.draw(st.integers(1, 2_880)))
    total = 0
    for backed in data.draw(st.lists(st.integers(0, 2**80), max_size=12)):
        progress = progress.after(backed)
        assert progress.budget >= 0
        total += progress.budget
    assert total == progress.total <= plan.limit


@given(plan=plans(), size=st.integers(1, 400), count=st.integers(1, 12))
def test_small_epochs_add_up_to_a_large_one(plan: Plan, size: int, count: int) -> None:
    plan = replace(plan, storage=0)
    small = Progress.start(plan, epoch_seconds=size)
    for _ in range(count):
        small = small.after()
    assert small.total == Progress.start(plan, epoch_seconds=size * count).after().total


@given(left=st.integers(0, REACH), right=st.integers(0, REACH))
def test_the_exponential_falls(left: int, right: int) -> None:
    low, high = sorted((left, right))
    assert 0 < exp_negative(high) <= exp_negative(low) <= ONE


@given(base=st.integers(0, ONE), low=st.integers(0, 2**20), more=st.integers(0, 2**20))
def test_powers_fall_but_for_the_last_places(base: int, low: int, more: int) -> None:
    assert power(base, low + more) <= power(base, low) + 64


@given(first=st.integers(0, 2**150), second=st.integers(0, 2**150))
def test_network_time_emits_no_more_than_the_total(first: int, second: int) -> None:
    before, now = sorted((first, second))
    assert 0 <= filecoin.baseline_reward(before, now) <= filecoin.BASELINE_TOTAL
    assert filecoin.supply(now, filecoin.BASELINE_TOTAL) <= filecoin.BASELINE_TOTAL


@given(backed=st.lists(st.integers(0, 2**70), max_size=60))
def test_network_time_never_outruns_the_clock(backed: list[int]) -> None:
    state = filecoin.Baseline.start(epoch_seconds=86_400, initial=2**40)
    before = 0
    for epoch, each in enumerate(backed):
        state = state.after(each)
        assert before <= state.theta <= (epoch + 1) * 2_880 * ONE
        assert state.realized <= state.wanted
        before = state.theta


def test_the_actors_epochs_add_up_to_the_closed_form() -> None:
    # The actor's sum is e^lambda times the closed form; what is left is one floor an epoch.
    epochs = 2_880
    actor = sum(map(filecoin.simple_reward, range(epochs)))
    closed = PRESETS["filecoin"].scheduled(epochs * filecoin.EPOCH_SECONDS)
    stretched = closed * (ONE + filecoin.EXP_LAMBDA_SUB_ONE) // ONE
    assert abs(actor - stretched) <= epochs + 2


@given(
    amount=st.integers(0, 2**90),
    cliff=st.integers(0, 2**30),
    parts=st.integers(0, 240),
    moment=st.integers(0, 2**36),
    later=st.integers(0, 2**36),
)
def test_vesting_rises_to_the_whole(
    amount: int, cliff: int, parts: int, moment: int, later: int
) -> None:
    allocation = Allocation(amount=amount, start=1_000, cliff=cliff, parts=parts)
    assert 0 <= allocation.vested(moment) <= allocation.vested(moment + later) <= amount
    assert allocation.vested(2**40) == amount
    assert allocation.vested(999 + cliff) == 0


@given(budget=st.integers(0, 2**96), bps=st.lists(st.integers(1, 1_250), max_size=8))
def test_shares_leave_dust_and_never_take_more(budget: int, bps: list[int]) -> None:
    shares = [Share(f"market {n}", each) for n, each in enumerate(bps)]
    check(shares)
    rest = dust(budget, shares)
    assert 0 <= rest - budget * (10_000 - sum(bps)) // 10_000 <= len(shares)


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": 0},
        {"limit": 0},
        {"limit": 2**96},
        {"amount": -1},
        {"storage": 1},
        {"initial": 2**96},
        {"step": 0},
        {"grain": 0},
        {"factor": 0},
        {"factor": 10**18 + 1},
        {"steps": 0},
        {"steps": 2**20},
    ],
)
def test_an_impossible_plan_is_refused(changed: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="schedule is not possible"):
        replace(PRESETS["ionet"], **changed)


def test_other_impossible_plans_are_refused() -> None:
    for name, changed in (
        ("filecoin", {"limit": 1}),
        ("filecoin", {"initial": 0}),
        ("bittensor", {"limit": 10**24 + 1}),
        ("bittensor", {"amount": 1}),
    ):
        with pytest.raises(UsageError, match="schedule is not possible"):
            replace(PRESETS[name], **changed)
    for budget, window in ((-1, 1), (2**96, 1), (0, 0), (0, 10_001)):
        with pytest.raises(UsageError, match="budget of"):
            PRESETS["ionet"].terms(budget=budget, window=window)


def test_impossible_epochs_and_splits_are_refused() -> None:
    for seconds in (0, -30, 31):
        with pytest.raises(UsageError, match="epoch"):
            Progress.start(PRESETS["filecoin"], epoch_seconds=seconds)
    for shares in (
        [Share("a", 1), Share("a", 1)],
        [Share("a", 0)],
        [Share("a", 10_001)],
        [Share("", 1)],
        [Share("ä", 1)],
        [Share("a" * 33, 1)],
        [Share(str(n), 1) for n in range(9)],
    ):
        with pytest.raises(UsageError, match="split is not possible"):
            check(shares)
