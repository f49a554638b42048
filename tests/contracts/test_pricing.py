"""The moving price: the contract's integers are Python's, and an action that is sold at it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.evm import Chain, Contract, Reverted
from contracts.world import MAX, TOKEN, World, alice, bob, deploy_world, fake, guardian, refused
from freehold.economics.pricing import (
    BITTENSOR,
    FACTOR_BPS_MAX,
    HALF_LIFE_MAX,
    PRICE_MAX,
    Price,
    Terms,
    decayed,
    raised,
)

CASES = 2_000
WORD = 2**256 - 1
TERMS = Terms(lowest=3, highest=10_000, half_life=600, factor_bps=12_600)

prices = st.one_of(st.integers(0, 2), st.integers(1, 2**20), st.integers(1, PRICE_MAX))
half_lives = st.one_of(st.integers(1, 100), st.integers(1, HALF_LIFE_MAX))
factors = st.integers(10_001, FACTOR_BPS_MAX)
waits = st.one_of(st.integers(0, 1_000), st.integers(0, 200 * HALF_LIFE_MAX), st.just(WORD))


def arguments(terms: Terms, **changed: int) -> list[int]:
    found = {name: getattr(terms, name) for name in Terms.__slots__}
    return list({**found, **changed}.values())


@pytest.fixture(scope="module")
def arithmetic() -> Contract:
    return Chain().deploy_artifact(
        fake("fare"), guardian.address, *arguments(BITTENSOR), sender=alice.address
    )


@pytest.fixture
def fare(world: World) -> Contract:
    made = world.chain.deploy_artifact(
        fake("fare"), world.token.address, *arguments(TERMS), sender=alice.address
    )
    for owner in (alice, bob):
        world.fund(owner.address, TOKEN)
        world.token.send("approve", made.address, MAX, sender=owner.address)
    return made


@settings(max_examples=CASES, deadline=None, database=None)
@given(price=prices, seconds=waits, half_life=half_lives, lowest=prices, factor=factors)
def test_the_contract_has_the_integers_of_python(
    arithmetic: Contract, price: int, seconds: int, half_life: int, lowest: int, factor: int
) -> None:
    fallen = decayed(price, seconds, half_life=half_life, lowest=lowest)
    assert arithmetic.call("decayed", price, seconds, half_life, lowest) == fallen
    risen = raised(price, factor_bps=factor, highest=lowest)
    assert arithmetic.call("raised", price, factor, lowest) == risen


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(st.tuples(st.integers(0, 4_000), st.booleans()), max_size=25))
def test_uses_pay_what_python_says(steps: list[tuple[int, bool]]) -> None:
    world = deploy_world(Chain())
    made = world.chain.deploy_artifact(
        fake("fare"), world.token.address, *arguments(TERMS), sender=alice.address
    )
    world.fund(alice.address, TOKEN)
    world.token.send("approve", made.address, MAX, sender=alice.address)
    price, paid = Price(TERMS, TERMS.lowest, world.chain.now), 0
    for seconds, used in steps:
        world.chain.warp(seconds)
        assert made.call("price") == price.at(world.chain.now)
        if used:
            paid += made.send("use", MAX, sender=alice.address).value
            price = price.used(world.chain.now)
    assert world.token.call("burned") == paid == TOKEN - world.balance(alice.address)


def test_repeated_uses_in_a_block_each_pay_more_up_to_the_bound(fare: Contract) -> None:
    paid = [fare.send("use", MAX, sender=(alice, bob)[n % 2].address).value for n in range(50)]
    top = paid.index(TERMS.highest)
    assert paid[: top + 1] == sorted(set(paid[: top + 1]))
    assert paid[0] == TERMS.lowest
    assert set(paid[top:]) == {TERMS.highest}


def test_a_price_that_is_not_used_is_at_its_bound_again(fare: Contract) -> None:
    for _ in range(50):
        fare.send("use", MAX, sender=alice.address)
    fare.chain.warp(TERMS.half_life)
    assert fare.call("price") == TERMS.highest // 2
    fare.chain.warp(13 * TERMS.half_life)
    assert fare.call("price") == TERMS.lowest


def test_a_user_states_the_most_that_is_paid(world: World, fare: Contract) -> None:
    quoted = fare.call("price")
    fare.send("use", quoted, sender=alice.address)
    with refused("fare: the price has risen"):
        fare.send("use", quoted, sender=bob.address)
    assert world.balance(bob.address) == TOKEN


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"lowest": 0}, "lowest"),
        ({"lowest": 10_001}, "lowest"),
        ({"highest": PRICE_MAX + 1}, "highest"),
        ({"half_life": 0}, "half-life"),
        ({"half_life": HALF_LIFE_MAX + 1}, "half-life"),
        ({"factor_bps": 10_000}, "factor"),
        ({"factor_bps": FACTOR_BPS_MAX + 1}, "factor"),
    ],
)
def test_terms_out_of_bounds_are_refused(chain: Chain, changed: Any, reason: str) -> None:
    terms = arguments(TERMS, **changed)
    with refused(f"pricing: {reason} out of bounds"):
        chain.deploy_artifact(fake("fare"), guardian.address, *terms, sender=alice.address)


def test_terms_at_the_bounds_are_taken(chain: Chain) -> None:
    for terms in (
        [1, 1, 1, 10_001],
        [PRICE_MAX, PRICE_MAX, HALF_LIFE_MAX, FACTOR_BPS_MAX],
    ):
        made = chain.deploy_artifact(fake("fare"), guardian.address, *terms, sender=alice.address)
        chain.warp(10 * HALF_LIFE_MAX)
        assert made.call("price") == terms[0]


def test_a_use_without_money_changes_nothing(world: World, fare: Contract) -> None:
    world.token.send("approve", fare.address, 0, sender=alice.address)
    with pytest.raises(Reverted):
        fare.send("use", MAX, sender=alice.address)
    assert fare.call("price") == TERMS.lowest
