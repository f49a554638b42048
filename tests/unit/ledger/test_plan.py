"""Plans that cannot be are told before anything is spent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from freehold.domain.errors import UsageError
from freehold.domain.ids import ZERO_ADDRESS
from freehold.domain.money import UNIT
from freehold.economics.pricing import FACTOR_BPS_MAX, HALF_LIFE_MAX, PRICE_MAX, Price, Terms
from freehold.economics.schedules.plan import BITTENSOR, FILECOIN, IONET, PRESETS, Plan
from freehold.economics.schedules.vesting import MONTH_SECONDS
from freehold.economics.stake import AMOUNT_MAX, PER_MAX, Rule
from freehold.ledger.economy import (
    DEVICES,
    DRAWERS,
    MODELS,
    OWN,
    STORAGE,
    SUBNETS,
    Economy,
    economy,
)
from freehold.ledger.modeling import LOCK_MAX, Modeling
from freehold.ledger.plan import (
    CLIFF_MAX,
    DAY,
    DEVNET,
    JOURNEY,
    PRODUCTION,
    DeployPlan,
    Parameters,
    Vesting,
)
from unit.ledger.fake_chain import address


@pytest.mark.parametrize("preset", [PRODUCTION, DEVNET, JOURNEY])
def test_presets_fit(preset: Parameters) -> None:
    preset.check()
    assert preset.unbonding > preset.faults_max * preset.period


def test_the_presets_are_those_of_the_interface() -> None:
    assert (PRODUCTION.period, PRODUCTION.grace, PRODUCTION.window) == (DAY, 3_600, 7_200)
    assert (DEVNET.period, DEVNET.grace, DEVNET.window) == (60, 20, 30)
    assert (JOURNEY.period, JOURNEY.grace, JOURNEY.window) == (8, 3, 4)
    assert PRODUCTION.lockup_period == 10 * DAY
    assert PRODUCTION.unbonding == 21 * DAY
    assert DEVNET.voucher_delay == 600


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("grace", 60, "grace and window of a proof is 60 s and 30 s, but must be within the --per"),
        ("window", 41, "20 s and 41 s"),
        ("challenges", 4, "challenges of a proof is 4, but must be 5 to 32"),
        ("challenges", 33, "is 33"),
        ("unbonding", 100, "stake unbonds is 100 s"),
        ("governor_delay", 1, "governor's delay is 1 s, but must be at least 60 s"),
        ("fee_bps", 10_001, "--fee is 100.01 %, but must be 0 % to 100 %"),
        ("burn_bps", -1, "--burn is -0.01 %"),
    ],
)
def test_a_parameter_out_of_bounds_is_named(field: str, value: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        replace(DEVNET, **{field: value}).check()


def test_a_plan_out_of_bounds_is_named() -> None:
    limit = FILECOIN.limit
    plan = DeployPlan("x", DEVNET, {address(1): 5}, cap=limit + 5)
    plan.check()
    for change in (
        {"name": ""},
        {"token_name": "x" * 33},
        {"token_symbol": ""},
        {"allocation": {address(1): 6}},
        {"allocation": {address(1): 0}},
    ):
        with pytest.raises(UsageError):
            replace(plan, **change).check()
    assert plan.digest() != replace(plan, name="y").digest()


GEOMETRIC = Plan(
    kind=2, limit=1_000 * UNIT, amount=10 * UNIT, step=86_400, factor=9 * 10**17, steps=50
)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("parameters", [PRODUCTION, DEVNET, JOURNEY])
def test_every_model_fits_every_preset(model: str, parameters: Parameters) -> None:
    schedule = GEOMETRIC if model == OWN else None
    plan = DeployPlan("x", parameters, {address(1): 7 * UNIT}, model=model, schedule=schedule)
    plan.check()
    numbers = plan.numbers()
    assert numbers["cap"] >= plan.emission.plan().limit + 7 * UNIT
    assert numbers["epoch"] % 30 == 0
    assert numbers["epoch"] >= max(60, parameters.period)
    assert sum(bps for _, bps in plan.emission.shares()) == 10_000


def test_ionet_alone_asks_for_stake_by_the_device() -> None:
    for period in (60, DAY):
        found = {model: economy(model, period).device for model in PRESETS}
        assert found.pop("ionet") == Rule(200 * UNIT, weighed=True)
        assert {rule.amount for rule in found.values()} == {0}


@pytest.mark.parametrize(
    ("device", "words"),
    [
        (Rule(-1), "--stake-per-device is -0.0+1 tokens, but must be 0 tokens to 1,237,940"),
        (Rule(AMOUNT_MAX + 1), "--stake-per-device is 1,237,940"),
        (Rule(1, per=0), "devices that a stake is of is 0"),
        (Rule(1, per=PER_MAX + 1), "devices that a stake is of"),
    ],
)
def test_a_stake_by_the_device_out_of_bounds_is_named(device: Rule, words: str) -> None:
    replace(economy("filecoin", DAY), device=Rule(AMOUNT_MAX, PER_MAX)).check()
    with pytest.raises(UsageError, match=words):
        replace(economy("filecoin", DAY), device=device).check()


def test_the_models_are_those_of_the_schedules() -> None:
    assert MODELS == ("filecoin", "ionet", "bittensor", "own")
    for model, plan in PRESETS.items():
        assert economy(model, DAY).plan() == plan
    caps = {model: economy(model, DAY).cap(0) for model in PRESETS}
    assert caps == {
        "filecoin": FILECOIN.limit + 6 * 10**8 * UNIT,
        "ionet": IONET.limit + 5 * 10**8 * UNIT,
        "bittensor": BITTENSOR.limit,
    }
    assert economy("bittensor", DAY).cap(5) == BITTENSOR.limit + 5
    assert economy(OWN, DAY, schedule=GEOMETRIC).cap(5) == GEOMETRIC.limit + 5


def test_epochs_are_weeks_in_earnest_and_periods_to_try() -> None:
    assert economy("filecoin", DAY).epoch == 7 * DAY
    epochs = {period: economy("filecoin", period).epoch for period in (8, 60, 61, 100, 3_600)}
    assert epochs == {8: 60, 60: 60, 61: 90, 100: 120, 3_600: 3_600}


def test_the_default_price_is_backed_by_its_own_fees() -> None:
    plan = DeployPlan("x", PRODUCTION)
    month = 2**20 * 30 * DAY
    burned = plan.emission.price * 50 * 5_000 // 10**8
    assert plan.work_per_token * burned // UNIT == pytest.approx(month, rel=1e-9)
    free = replace(PRODUCTION, fee_bps=0)
    assert 0 < DeployPlan("x", free).work_per_token < plan.work_per_token


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("epoch", 59, "--epoch is 59 s, but must be 60 s to 31,622,400 s"),
        ("epoch", 61, "--epoch is 61 s, but must be a multiple of 30 s"),
        ("draw_window", 0, "can be drawn is 0"),
        ("price", 0, "price of a TiB-month"),
        ("share_bps", 9_001, "that owners earn is 90.01 %, but must be 0.01 % to 90 %"),
        ("storage_bps", 0, "storage's part of --split is 0 %"),
        ("devices_bps", 3_001, "devices' part of --split is 30.01 %, but must be 0 % to 30 %"),
        ("models_bps", 1_501, "models' part of --split is 15.01 %, but must be 0 % to 15 %"),
        ("budget", -1, "every --allocator"),
        ("root_window", 59, "a root can be disputed is 59 s"),
        ("answer_window", 4 * DAY, "answer a dispute"),
        ("bond", 1, "bond of roots is 0.000000000000000001 tokens, but must be 0.000000001 tokens"),
        ("lost_bond_bps", 4_001, "lost bond"),
        ("model", "litecoin", "token model"),
        ("lot_half_life", 0, "lot's price halves"),
        ("lot_half_life", HALF_LIFE_MAX + 1, "lot's price halves"),
        ("lot_factor_bps", 10_000, "price after a sale is 100 %"),
        ("lot_factor_bps", FACTOR_BPS_MAX + 1, "price after a sale"),
        ("entry_least", 10_001 * UNIT, "costs is 10,001 tokens, but must be 0 tokens to 10,000"),
        ("entry_most", PRICE_MAX + 1, "the most that registering a node costs"),
        ("entry_half_life", HALF_LIFE_MAX + 1, "price of registering halves"),
        ("entry_factor_bps", 10_000, "makes of the price is 100 %"),
        ("schedule", GEOMETRIC, "schedule is given"),
    ],
)
def test_an_economy_out_of_bounds_is_named(field: str, value: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        replace(economy("filecoin", DAY), **{field: value}).check()
    assert field not in {"epoch", "storage_bps"} or "--" in caught.value.remedy


@pytest.mark.parametrize("period", [240, 600, 3_600, DAY - 1, DAY, 10 * DAY, 40 * DAY])
def test_a_root_can_be_searched_within_its_window(period: int) -> None:
    """Twelve answers, one after another, each at the last moment."""
    found = economy("filecoin", period)
    found.check()
    assert found.root_window >= 12 * found.answer_window


@pytest.mark.parametrize("period", [1, 60, 239])
def test_a_short_period_leaves_an_answer_its_minute(period: int) -> None:
    found = economy("filecoin", period)
    found.check()
    assert found.answer_window == 60


def test_every_figure_has_words_of_its_own() -> None:
    """None is told by the name that it has in the code."""
    others = {"model", "schedule", "lot_opening", "lot_least", "device"}
    for name in set(Economy.__slots__) - others:
        change: Mapping[str, Any] = {name: -1}
        with pytest.raises(UsageError) as caught:
            replace(economy("filecoin", DAY), **change).check()
        assert "_" not in caught.value.message


@pytest.mark.parametrize(
    ("model", "devices", "models"),
    [("filecoin", 1_500, 1_500), ("ionet", 1_500, 1_500), ("bittensor", 500, 2_500)],
)
def test_what_storage_leaves_is_split(model: str, devices: int, models: int) -> None:
    found = economy(model, DAY)
    assert found.shares() == [(STORAGE, 7_000), (DEVICES, devices), (SUBNETS, models)]
    assert replace(found, devices_bps=0).shares() == [(STORAGE, 7_000), (SUBNETS, models)]
    assert [DRAWERS[market] for market, _ in found.shares()] == ["rewards", "roots", "subnet"]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("subnet_least", 0, "least that creating a subnet costs is 0 tokens"),
        ("subnet_least", 100_001 * UNIT, "must be .* to 100,000 tokens"),
        ("subnet_most", PRICE_MAX + 1, "the most that creating a subnet costs"),
        ("subnet_half_life", 59, "price of a subnet halves is 59 s, but must be 60 s"),
        ("subnet_factor_bps", 10_000, "a new subnet makes of the price is 100 %"),
        ("subnet_lock", LOCK_MAX + 1, "what a subnet locks"),
        ("subnet_notice", 1, "epochs that closing a subnet takes is 1, but must be 2 to 64"),
        ("subnet_notice", 65, "closing a subnet takes is 65"),
    ],
)
def test_terms_of_subnets_out_of_bounds_are_named(field: str, value: int, words: str) -> None:
    usual = Modeling.of(DAY)
    assert DeployPlan("x", PRODUCTION).models == usual
    DeployPlan("x", PRODUCTION, modeling=usual).check()
    with pytest.raises(UsageError, match=words):
        DeployPlan("x", PRODUCTION, modeling=replace(usual, **{field: value})).check()


def test_an_epoch_is_no_longer_than_stake_unbonds() -> None:
    usual = economy("filecoin", DAY)
    DeployPlan("x", PRODUCTION, economy=replace(usual, epoch=21 * DAY)).check()
    with pytest.raises(UsageError, match=r"--epoch is .* at most the 1,814,400 s that stake"):
        DeployPlan("x", PRODUCTION, economy=replace(usual, epoch=21 * DAY + 30)).check()


def test_an_economy_is_that_of_the_plan() -> None:
    other: Economy = economy("ionet", DAY)
    with pytest.raises(UsageError, match="economy's model"):
        DeployPlan("x", PRODUCTION, economy=other).check()
    DeployPlan("x", PRODUCTION, model="ionet", economy=other).check()
    with pytest.raises(UsageError, match="schedule is missing"):
        DeployPlan("x", PRODUCTION, model=OWN).check()
    with pytest.raises(UsageError, match="by the schedule"):
        DeployPlan("x", PRODUCTION, cap=FILECOIN.limit - 1).check()


# Genesis, allocations, budgets


def reserving(**changes: Any) -> DeployPlan:
    """1,000 by the schedule, 5 at once, 20 and 30 later, 40 by allocators: 1,095 of tokens."""
    found = DeployPlan(
        "x",
        DEVNET,
        {address(1): 5 * UNIT},
        model=OWN,
        schedule=GEOMETRIC,
        economy=replace(economy(OWN, 60, schedule=GEOMETRIC), budget=40 * UNIT),
        vesting=(
            Vesting(address(2), 20 * UNIT, 12 * MONTH_SECONDS, 24),
            Vesting(address(3), 30 * UNIT, CLIFF_MAX, 0),
        ),
        allocators={address(4): 25 * UNIT, address(5): 15 * UNIT},
    )
    return replace(found, **changes)


def test_everything_is_reserved_together() -> None:
    plan = reserving()
    plan.check()
    assert plan.genesis == 55 * UNIT
    assert plan.minting_cap == plan.numbers()["cap"] == 1_095 * UNIT
    reserving(cap=1_095 * UNIT).check()
    with pytest.raises(UsageError) as caught:
        reserving(cap=1_095 * UNIT - 1).check()
    assert caught.value.message == (
        "--cap is 1,094.999999999999999999 tokens, but 1,095 tokens could be minted: 55 tokens of "
        "genesis, 1,000 tokens by the schedule, 40 tokens by allocators"
    )
    assert "--cap 1095 or more" in caught.value.remedy
    assert plan.digest() != reserving(vesting=plan.vesting[:1]).digest()
    assert plan.vesting[0].terms(7) == (address(2), 20 * UNIT, 7, 12 * MONTH_SECONDS, 24)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vesting": (Vesting(ZERO_ADDRESS, 1),)}, "is nobody's"),
        ({"vesting": (Vesting(address(2), 0),)}, "amount is 0 tokens, but must be above 0"),
        ({"vesting": (Vesting(address(2), -UNIT),)}, "amount is -1 tokens"),
        ({"vesting": (Vesting(address(2), 2**96),)}, "less than 79,228,162,514.2"),
        ({"vesting": (Vesting(address(2), 1, CLIFF_MAX + 1),)}, "cliff is .* at most 240 months"),
        ({"vesting": (Vesting(address(2), 1, -1),)}, "cliff is -1 s"),
        ({"vesting": (Vesting(address(2), 1, 0, 241),)}, "241 months, but must be at most 240"),
        ({"vesting": (Vesting(address(2), 1),) * 33}, "paid later is 33, but must be at most 32"),
        ({"allocation": {address(n): 1 for n in range(1, 66)}}, "paid at once is 65"),
        ({"treasury": ZERO_ADDRESS}, "--treasury is nobody's"),
        ({"allocation": {address(1): 2**96}}, "gets at genesis is 79,228"),
        ({"allocators": {address(4): 0}}, "--allocator is 0 tokens"),
        ({"allocators": {address(4): 41 * UNIT}}, "every --allocator .* 41 tokens, .* 40 tokens"),
        ({"allocators": {address(n): 1 for n in range(1, 18)}}, "number of --allocator is 17"),
    ],
)
def test_an_allocation_out_of_bounds_is_named(change: Mapping[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        reserving(**change).check()


def burst(count: int, seconds: int) -> int:
    """Base units that registrations, evenly spaced, burn in a network in earnest."""
    terms = Terms(*economy("filecoin", DAY).entry())
    price, burned = Price(terms, terms.lowest, 0), 0
    for number in range(count):
        moment = number * seconds // count
        burned += price.at(moment)
        price = price.used(moment)
    return burned


def test_a_network_joins_for_a_token_or_two_and_a_flood_costs_a_fortune() -> None:
    """The figures that docs/decisions/0012 tells."""
    assert round(burst(9, 0) / UNIT, 2) == 1.36
    assert burst(1_000, 3_600) // UNIT == 8_877_796
    assert burst(174, DAY) == 174 * UNIT // 10
    assert DeployPlan("x", DEVNET).emission.entry()[2] == 60
    replace(economy("filecoin", DAY), entry_least=0).check()


def test_lots_open_at_a_thousandth_of_the_cap() -> None:
    plan = DeployPlan("x", PRODUCTION, model="ionet")
    assert plan.lots == Terms(
        lowest=UNIT, highest=800_000 * UNIT, half_life=3_600, factor_bps=20_000
    )
    assert DeployPlan("x", DEVNET).lots.half_life == 60
    small = replace(GEOMETRIC, limit=100 * UNIT)
    tiny = DeployPlan("x", PRODUCTION, model=OWN, schedule=small)
    tiny.check()
    assert tiny.lots.highest == tiny.lots.lowest == UNIT
    assert economy("filecoin", DAY).lots(2**127).highest == PRICE_MAX


@pytest.mark.parametrize(
    "change",
    [{"lot_least": 0}, {"lot_opening": UNIT - 1}, {"lot_opening": 0}, {"lot_opening": 2**96}],
)
def test_lots_out_of_bounds_are_named(change: Mapping[str, Any]) -> None:
    found = replace(economy("filecoin", DAY), **change)
    with pytest.raises(UsageError, match="what a lot asks"):
        DeployPlan("x", PRODUCTION, economy=found).check()
    replace(found, lot_least=1, lot_opening=PRICE_MAX).lots(0)
