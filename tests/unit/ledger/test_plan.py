"""Plans that cannot be are told before anything is spent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freehold.domain.errors import UsageError
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
    plan = DeployPlan("x", DEVNET, {address(1): 5}, cap=5)
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
