"""Plans that cannot be are told before anything is spent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from freehold.domain.errors import UsageError
from freehold.domain.money import UNIT
from freehold.economics.pricing import FACTOR_BPS_MAX, HALF_LIFE_MAX, PRICE_MAX, Terms
from freehold.economics.schedules.plan import BITTENSOR, FILECOIN, IONET, PRESETS, Plan
from freehold.ledger.economy import MODELS, OWN, Economy, economy
from freehold.ledger.plan import DAY, DEVNET, JOURNEY, PRODUCTION, DeployPlan, Parameters
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
    ("field", "value"),
    [
        ("grace", 60),
        ("window", 41),
        ("challenges", 4),
        ("challenges", 33),
        ("unbonding", 100),
        ("governor_delay", 1),
        ("fee_bps", 10_001),
        ("burn_bps", -1),
    ],
)
def test_a_parameter_out_of_bounds_is_named(field: str, value: int) -> None:
    with pytest.raises(UsageError, match=field):
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
    ("field", "value"),
    [
        ("epoch", 59), ("epoch", 61), ("draw_window", 0), ("price", 0), ("share_bps", 9_001),
        ("storage_bps", 0), ("unseen_bps", 3_001), ("budget", -1), ("root_window", 59),
        ("answer_window", 4 * DAY), ("bond", 1), ("lost_bond_bps", 4_001), ("model", "litecoin"),
        ("lot_half_life", 0), ("lot_half_life", HALF_LIFE_MAX + 1), ("lot_factor_bps", 10_000),
        ("lot_factor_bps", FACTOR_BPS_MAX + 1),
        ("schedule", GEOMETRIC),
    ],
)  # fmt: skip
def test_an_economy_out_of_bounds_is_named(field: str, value: Any) -> None:
    found = economy("filecoin", DAY)
    words = {"model": "token model"}.get(field, field)
    with pytest.raises(UsageError, match=words):
        replace(found, **{field: value}).check()


def test_an_economy_is_that_of_the_plan() -> None:
    other: Economy = economy("ionet", DAY)
    with pytest.raises(UsageError, match="economy's model"):
        DeployPlan("x", PRODUCTION, economy=other).check()
    DeployPlan("x", PRODUCTION, model="ionet", economy=other).check()
    with pytest.raises(UsageError, match="schedule is missing"):
        DeployPlan("x", PRODUCTION, model=OWN).check()
    with pytest.raises(UsageError, match="schedule"):
        DeployPlan("x", PRODUCTION, cap=FILECOIN.limit - 1).check()


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
    with pytest.raises(UsageError, match="lot_least to lot_opening"):
        DeployPlan("x", PRODUCTION, economy=found).check()
    replace(found, lot_least=1, lot_opening=PRICE_MAX).lots(0)
