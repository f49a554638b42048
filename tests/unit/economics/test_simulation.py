from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.errors import UsageError
from freehold.economics.schedules import bittensor, filecoin, ionet
from freehold.economics.simulation.books import Books, Tokens, grains, whole
from freehold.economics.simulation.ceilings import ceiling
from freehold.economics.simulation.figures import figures
from freehold.economics.simulation.findings import findings
from freehold.economics.simulation.market import Service, demands
from freehold.economics.simulation.model import History, Run, simulate
from freehold.economics.simulation.presets import PRESETS, choose
from freehold.economics.simulation.prices import prices
from freehold.economics.simulation.scenario import (
    DEFAULT,
    Entry,
    Fees,
    Grants,
    Market,
    Scenario,
    Schedule,
    Shock,
    Split,
    Stake,
    Token,
    Tranche,
)
from freehold.economics.simulation.selfdealing import Rules, bounded, classical

UNIT = 10**18
EPOCHS, BLOCKS = 87_660, 219_150
"""Of 30 and of 12 seconds, in a twelfth of 365.25 days."""
OWN = Scenario(
    genesis=(Tranche("all", 1_000_000, 3, 7),),
    schedule=Schedule(first=90_001, factor=0.9, months=9),
)
BOOM = Scenario(
    storage=Market(start=5_000.0, growth=3.0, limit=0.0, price=20.0),
    fees=Fees(network=0.05, burned=1.0, emission=0.99),
    grants=Grants(share=1.0, months=3),
    stake=Stake(slashed=1.0),
    shock=(Shock(month=5, months=9, factor=0.0), Shock(month=30, factor=50.0, market="storage")),
)
BARE = Scenario(grants=Grants(share=0.0))
ALL = Scenario(grants=Grants(share=1.0, months=1200))
CASES = [
    *((name, case) for name in PRESETS for case in (DEFAULT, BOOM, BARE, ALL)),
    ("own", OWN),
    ("own", replace(BOOM, genesis=OWN.genesis, schedule=OWN.schedule)),
]


@cache
def run(name: str, scenario: Scenario, years: int = 9, seed: int = 7) -> Run:
    preset = choose(name, scenario)
    return simulate(preset, scenario, years=years, paths=40, seed=seed)


def supply(history: History) -> Tokens:
    return history.circulating + history.staked + history.treasury + history.unvested


@pytest.mark.parametrize(("name", "scenario"), CASES)
def test_books_balance_every_month_on_every_path(name: str, scenario: Scenario) -> None:
    done = run(name, scenario)
    h = done.history
    born = grains(done.preset.initial()) + h.minted - h.burned
    assert (supply(h) == born).all()
    for held in (h.circulating, h.staked, h.treasury, h.unvested, h.minted, h.burned):
        assert held.min() >= 0


@pytest.mark.parametrize(("name", "scenario"), CASES)
def test_minted_stays_below_schedule_and_cap(name: str, scenario: Scenario) -> None:
    done = run(name, scenario)
    scheduled = np.cumsum([amount // 10**12 for amount in done.schedule], dtype=object)
    # Each month drops less than a grain.
    most = [int(amount) + done.months for amount in scheduled]
    assert all(row.max() <= limit for row, limit in zip(done.history.minted, most, strict=True))
    assert done.preset.initial() + sum(done.schedule) <= done.preset.cap
    assert int(done.history.minted.max()) * 10**12 + done.preset.initial() <= done.preset.cap


@pytest.mark.parametrize(("name", "scenario"), CASES)
def test_earned_emission_is_a_fraction_of_what_burned(name: str, scenario: Scenario) -> None:
    h = run(name, replace(scenario, stake=replace(scenario.stake, slashed=0.0))).history
    assert (h.earned <= h.burned * scenario.fees.emission).all()
    assert (h.minted == h.earned + h.granted).all()


def test_a_boom_mints_all_that_the_schedule_has() -> None:
    scenario = replace(OWN, grants=Grants(share=1.0, months=99))
    done = run("own", scenario)
    assert done.history.minted[-1].min() >= sum(done.schedule) // 10**12 - done.months
    assert done.history.minted.max() <= sum(done.schedule) // 10**12


def test_without_burned_fees_nothing_is_minted() -> None:
    scenario = replace(BARE, fees=Fees(network=0.01, burned=0.0))
    assert run("ionet", scenario).history.minted.max() == 0


def test_a_market_gets_at_most_its_part_of_the_schedule() -> None:
    split = Split(storage=0.25, compute=0.0)
    scenario = replace(BOOM, grants=BARE.grants, split=split, shock=())
    done = run("own", replace(scenario, genesis=OWN.genesis, schedule=OWN.schedule))
    assert done.history.minted[-1].max() <= sum(done.schedule) // (4 * 10**12)
    assert done.history.minted[-1].max() > 0


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_months_add_up_to_the_schedule(name: str) -> None:
    preset = PRESETS[name]
    months = preset.months(600)
    assert sum(months) == preset.issued(600)
    assert preset.initial() + preset.issued(1200) <= preset.cap
    assert all(amount >= 0 for amount in months)


def test_ionet_is_its_240_months() -> None:
    expected = [ionet.month_emission(month) * UNIT for month in range(1, 301)]
    assert PRESETS["ionet"].months(300) == expected
    assert sum(expected) == 300_000_000 * UNIT


def test_ionet_allocation_is_its_genesis() -> None:
    assert PRESETS["ionet"].initial() == ionet.GENESIS_IO * UNIT


def test_bittensor_is_its_blocks_across_a_halving() -> None:
    held = PRESETS["bittensor"].issued(47) // 10**9
    issuance = held
    for _ in range(BLOCKS):
        issuance += bittensor.block_emission(issuance)
    assert PRESETS["bittensor"].months(48)[47] == (issuance - held) * 10**9
    assert bittensor.block_emission(issuance) < bittensor.block_emission(held)


def test_filecoin_is_its_epochs() -> None:
    simple = sum(filecoin.simple_reward(epoch) for epoch in range(0, EPOCHS, 10)) * 10
    baseline = filecoin.baseline_reward(0, EPOCHS << 128)
    # The reward actor's sum over epochs is e^lambda of the closed form; every tenth is taken.
    assert PRESETS["filecoin"].months(1)[0] == pytest.approx(simple + baseline, rel=2e-6)


def test_the_baseline_part_follows_paid_bytes() -> None:
    preset = PRESETS["filecoin"]
    full = ceiling(preset, months=36, paths=2, baseline=1.0)
    half = ceiling(preset, months=36, paths=2, baseline=1.0)
    none = np.zeros(2, dtype=np.int64)
    allowed = [full.allow(month, none, np.full(2, 1e6))[0] for month in range(36)]
    assert allowed == pytest.approx([m / UNIT for m in preset.months(36)], rel=1e-7)
    less = [half.allow(month, none, np.array([0.0, 0.5]))[:2] for month in range(36)]
    simple = [b - a for a, b in zip(_simple(36), _simple(36)[1:], strict=False)]
    assert [part[0] for part in less] == pytest.approx(simple, rel=1e-9)
    assert all(a < b < c for (a, b), c in zip(less, allowed, strict=True))


def _simple(months: int) -> list[float]:
    thetas = [filecoin.elapsed_theta(m * 2_629_800) for m in range(months + 1)]
    return [filecoin.supply(theta, filecoin.SIMPLE_TOTAL) / UNIT for theta in thetas]


def test_halving_follows_what_was_issued() -> None:
    rule = ceiling(PRESETS["bittensor"], months=1, paths=4, baseline=1.0)
    minted = np.array([0, 10_499_999, 10_500_000, 15_750_000], dtype=np.int64) * 10**6
    allowed = rule.allow(0, minted, np.zeros(4))
    assert list(allowed) == pytest.approx([BLOCKS, BLOCKS, BLOCKS / 2, BLOCKS / 4])


@pytest.mark.parametrize(
    ("tranche", "month", "tokens"),
    [
        (Tranche("a", 240, 12, 24), 0, 0),
        (Tranche("a", 240, 12, 24), 12, 0),
        (Tranche("a", 240, 12, 24), 13, 10),
        (Tranche("a", 240, 12, 24), 36, 240),
        (Tranche("a", 240, 12, 24), 99, 240),
        (Tranche("a", 240, 12, 0), 11, 0),
        (Tranche("a", 240, 12, 0), 12, 240),
        (Tranche("a", 240, 0, 0), 0, 240),
    ],
)
def test_vesting_waits_for_the_cliff(tranche: Tranche, month: int, tokens: int) -> None:
    assert tranche.vested(month) == tokens * UNIT


def test_the_same_seed_gives_the_same_figures() -> None:
    scenario = replace(DEFAULT, shock=(Shock(),))
    first, second = (
        simulate(PRESETS["ionet"], scenario, years=2, paths=30, seed=3) for _ in range(2)
    )
    other = simulate(PRESETS["ionet"], scenario, years=2, paths=30, seed=4)
    assert figures(first).to_json() == figures(second).to_json()
    assert figures(first).to_json()["estimates"] != figures(other).to_json()["estimates"]


def test_progress_is_told_month_by_month() -> None:
    told: list[tuple[int, int]] = []
    simulate(
        PRESETS["ionet"],
        DEFAULT,
        years=1,
        paths=1,
        seed=1,
        progress=lambda a, b: told.append((a, b)),
    )
    assert told == [(month, 12) for month in range(1, 13)]


@pytest.mark.parametrize(
    ("years", "paths"), [(0, 10), (51, 10), (1, 0), (1, 100_001), (50, 99_999)]
)
def test_runs_out_of_bounds_are_refused(years: int, paths: int) -> None:
    with pytest.raises(UsageError, match="paths"):
        simulate(PRESETS["ionet"], DEFAULT, years=years, paths=paths, seed=1)


def test_a_price_without_volatility_follows_its_path() -> None:
    token = Token(volatility=0.0, prices=(1.0, 4.0, 2.0))
    found = prices(token, launch=9.0, random=np.ones((37, 2)))
    assert found[[0, 6, 12, 24, 36], 0] == pytest.approx([1.0, 2.0, 4.0, 2.0, 2.0])


def test_the_median_price_grows_by_its_growth() -> None:
    random = np.random.Generator(np.random.PCG64(5)).standard_normal((25, 4_000))
    found = prices(Token(growth=0.5, volatility=0.8), launch=2.0, random=random)
    assert found[0] == pytest.approx(2.0)
    assert np.median(found[24]) == pytest.approx(2.0 * 1.5**2, rel=0.1)
    assert np.std(np.log(found[12])) == pytest.approx(0.8, rel=0.05)


def test_demand_saturates_and_is_shocked() -> None:
    market = Market(start=10.0, growth=1.0, limit=100.0, noise=0.0)
    shock = Shock(month=3, months=2, factor=0.5, market="compute")
    quiet = demands(market, "storage", (shock,), months=600, random=np.zeros((600, 1)))[:, 0]
    shaken = demands(market, "compute", (shock,), months=600, random=np.zeros((600, 1)))[:, 0]
    assert quiet[0] == pytest.approx(10.0)
    assert quiet[-1] == pytest.approx(100.0)
    assert (np.diff(quiet) >= 0).all()
    assert list(shaken / quiet)[:5] == pytest.approx([1.0, 1.0, 0.5, 0.5, 1.0])


def test_demand_without_a_limit_grows_on() -> None:
    market = Market(start=10.0, growth=1.0, limit=0.0, noise=0.0)
    found = demands(market, "storage", (), months=25, random=np.zeros((25, 1)))
    assert found[24, 0] == pytest.approx(40.0)


@pytest.mark.parametrize(("income", "grows"), [(2.0, True), (0.5, False)])
def test_capacity_follows_income_with_a_lag(income: float, grows: bool) -> None:
    service = Service(Market(capacity=100.0), units=1.0, stake=0.0, paths=1)
    entry = Entry(lag=4.0, speed=0.2, most=0.1)
    held = [100.0]
    for _ in range(12):
        service.answer(np.array([income]), np.array([1.0]), np.array([10.0]), entry)
        held.append(float(service.capacity[0]))
    steps = np.abs(np.diff(held) / held[:-1])
    assert (held[-1] > 100.0) is grows
    assert steps[0] < steps[5]
    assert steps.max() <= 0.1 + 1e-9


def test_no_capacity_without_its_stake() -> None:
    scenario = replace(DEFAULT, stake=Stake(per_tib_usd=5_000.0))
    h = run("bittensor", scenario).history
    assert h.capacity_tib.max() < 500.0
    required = h.capacity_tib * 5_000.0 / run("bittensor", scenario).history.price[0]
    assert (h.staked / 10**6 >= required * 0.99 - 1.0).all()


def test_a_model_that_cannot_start_says_so() -> None:
    found = figures(run("bittensor", BARE))
    assert found.years[-1].values["supply"] == 0.0
    assert "No token ever exists" in findings(found)[0]
    assert "No token" not in " ".join(findings(figures(run("bittensor", DEFAULT))))


def test_losses_are_named() -> None:
    scenario = replace(BARE, storage=Market(price=0.01))
    noted = " ".join(findings(figures(run("ionet", scenario))))
    assert "a TiB-month earns less than it costs" in noted
    assert "clients want" in noted


@given(
    fee=st.integers(0, 10_000),
    burned=st.integers(0, 10_000),
    emission=st.integers(0, 9_999),
    paid=st.integers(0, 10**30),
    nodes=st.sampled_from([1, 100]),
)
def test_an_owner_who_is_the_client_ends_poorer(
    fee: int, burned: int, emission: int, paid: int, nodes: int
) -> None:
    outcome = bounded(Rules(fee, burned, emission), paid=paid, nodes=nodes, epochs=10)
    assert outcome.gain < 0 or outcome.fee == 0
    assert outcome.fee == paid * 10 * fee // 10_000 * nodes
    assert outcome.gain == outcome.emission - outcome.fee


def test_shared_by_volume_the_same_owner_would_gain() -> None:
    outcome = classical(Rules(), paid=1_000 * UNIT, others=9_000 * UNIT, emitted=1_000 * UNIT)
    assert outcome.gain == 95 * UNIT
    assert classical(Rules(), paid=0, others=0, emitted=5).gain == 0


def test_a_fraction_of_one_is_no_rule() -> None:
    with pytest.raises(UsageError, match="bound"):
        Rules(emission=10_000)


@pytest.mark.parametrize("price", [0.01, 2.5, 1_000.0])
def test_a_network_whose_only_client_is_its_owner_ends_poorer(price: float) -> None:
    alone = replace(
        BARE,
        storage=Market(start=100.0, price=price),
        compute=Market(start=0.0),
        stake=Stake(slashed=0.0),
    )
    h = run("ionet", alone).history
    fees = h.burned + h.treasury
    assert (h.earned < fees).all()
    # What the owner loses never comes back in a later month either.
    assert (np.diff(fees - h.earned, axis=0) >= 0).all()


def test_books_move_no_more_than_there_is() -> None:
    books = Books(1_000, 1)
    books.vest(600)
    books.bond(np.array([700]))
    assert list(books.bonded) == [600]
    assert list(books.burn(np.array([5]))) == [0]
    books.slash(np.array([10_000]), 0.7)
    assert (int(books.burned[0]), int(books.circulating[0])) == (420, 180)
    books.delegate(np.array([1_000]))
    books.delegate(np.array([30]))
    books.save(np.array([1_000]))
    assert (int(books.delegated[0]), int(books.treasury[0])) == (30, 150)
    assert int(whole(np.array([-1.0]))[0]) == 0
