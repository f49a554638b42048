"""The rail vectors of filecoin-pay, through the contract."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from contracts.evm import Chain
from contracts.world import MAX, RATE_UNIT, Puppet, World, alice, bob, deploy_world

ROOT = Path(__file__).resolve().parents[2]
TIB = 2**40
MICRO = 10**12  # a base unit here stands for 10^-12 USD


def folders() -> list[Path]:
    """The folders of vectors, from FREEHOLD_VECTORS or beside the repository."""
    named = os.environ.get("FREEHOLD_VECTORS", str(ROOT.parent / "shared" / "vectors"))
    return [Path(part) for part in named.split(":") if part]


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    for folder in folders():
        path = folder / "filecoin_pay.json"
        if path.exists():
            return dict(json.loads(path.read_text(encoding="utf-8")))
    pytest.skip("no filecoin_pay.json in FREEHOLD_VECTORS or ../shared/vectors")


@pytest.fixture
def market(world: World) -> Puppet:
    world.deposit(alice, 10**30 // 10**4)
    puppet = world.market()
    world.payments.send(
        "approve_market", world.token.address, puppet.address, MAX, MAX, sender=alice.address
    )
    return puppet


def open_rail(world: World, market: Puppet, rate: int, period: int, fixed: int) -> int:
    opened = market.act(
        world.payments,
        "open_rail",
        world.token.address,
        alice.address,
        bob.address,
        rate,
        period,
        fixed,
    )
    return int(opened.value)


def lockup(world: World) -> Fraction:
    account = world.payments.call("account", world.token.address, alice.address)
    return Fraction(account.lockup, RATE_UNIT)


def test_lockup_steps(world: World, market: Puppet, vectors: dict[str, Any]) -> None:
    start, (payment, faster, slower) = vectors["lockup"]["start"], vectors["lockup"]["steps"]
    rail = open_rail(world, market, start["rate"] * RATE_UNIT, start["period"], start["fixed"])
    assert lockup(world) == start["lockup"]
    paid = start["fixed"] - payment["fixed"]
    assert payment["op"] == f"one-time payment {paid}"
    market.act(world.payments, "pay_fixed", rail, bob.address, paid, 3)
    assert world.payments.call("rail", rail).fixed == payment["fixed"]
    assert lockup(world) == payment["lockup"]
    assert faster["op"] == "rate 4 (from 3)"
    market.act(world.payments, "modify_rail", rail, 4 * RATE_UNIT, payment["fixed"])
    assert lockup(world) == faster["lockup"]
    assert lockup(world) - payment["lockup"] == faster["extra_funds_needed"]
    assert slower["op"] == "rate 3, fixed 3, period 5"
    market.act(world.payments, "modify_rail", rail, 3 * RATE_UNIT, 3, 5)
    assert lockup(world) == slower["lockup"]


def test_the_default_fee(world: World, vectors: dict[str, Any]) -> None:
    assert vectors["network_fee"].startswith("1/200 ")
    assert Fraction(world.payments.call("fee_bps"), 10_000) == Fraction(1, 200)


def test_the_end_of_a_rail(world: World, market: Puppet, vectors: dict[str, Any]) -> None:
    assert vectors["end_epoch"].endswith("payer's lockupLastSettledAt + lockupPeriod")
    rail = open_rail(world, market, RATE_UNIT, 50, 0)
    world.chain.warp(1_000)
    end = market.act(world.payments, "end_rail", rail).value
    settled = world.payments.call("account", world.token.address, alice.address).settled_at
    assert end == settled + 50 == world.chain.now + 50


@pytest.mark.parametrize(("proposed", "proven", "requested"), [(700, 5, 7), (700, 0, 7), (9, 1, 3)])
def test_pay_for_proof(
    world: World,
    market: Puppet,
    vectors: dict[str, Any],
    proposed: int,
    proven: int,
    requested: int,
) -> None:
    rule = vectors["pay_for_proof"]
    assert rule.startswith("paid = proposed * provenEpochs // requestedEpochs")
    rail = open_rail(world, market, proposed * RATE_UNIT // requested, 50, 0)
    world.chain.warp(requested + 3)
    market.answer(seconds=proven, decided=world.chain.now - 3)
    done = world.payments.send("settle", rail, sender=bob.address)
    assert done.value == (proposed * proven // requested, world.chain.now - 3)


def test_the_price_of_a_month(chain: Chain, vectors: dict[str, Any]) -> None:
    price = vectors["price"]
    world = deploy_world(chain)
    world.deposit(alice, 10**20)
    market = world.market()
    world.payments.send(
        "approve_market", world.token.address, market.address, MAX, MAX, sender=alice.address
    )
    month = price["epochs_per_month"] * 30
    assert month == 2_592_000
    per_tib = Fraction(str(price["tib_month_usd"])) * MICRO
    per_set = Fraction(str(price["dataset_month_usd"])) * MICRO
    rails = [
        open_rail(world, market, int(per_tib) * TIB, 0, 0),
        open_rail(world, market, int(per_set) * TIB, 0, 0),
        open_rail(world, market, int(per_tib) * 0, 0, 0),
    ]
    market.answer(mode=5, seconds=chain.now)
    chain.warp(month)
    paid = [world.payments.send("settle", rail, sender=bob.address).value[0] for rail in rails]
    assert Fraction(paid[0] + paid[1], MICRO) == Fraction(str(price["one_tib_month"]))
    assert paid[2] == price["empty_dataset"]


def test_a_price_that_truncates_per_byte_is_paid_in_full(world: World, market: Puppet) -> None:
    rail = open_rail(world, market, 5 * 1_000, 0, 0)
    market.answer(mode=5, seconds=world.chain.now)
    world.chain.warp(10**9)
    done = world.payments.send("settle", rail, sender=bob.address)
    assert done.value[0] == 5 * 1_000 * 10**9 // RATE_UNIT
    stored = world.payments.call("rail", rail)
    assert stored.dust == 5 * 1_000 * 10**9 % RATE_UNIT > 0
