"""The module of wide arithmetic against Python's integers, to the last place."""

from __future__ import annotations

import random

import pytest

from contracts.evm import Chain, Contract, Reverted
from contracts.world import alice, fake, refused
from freehold.economics.schedules.fixed import ONE, REACH, exp_negative, power

WORD = 2**256
EDGES = (0, 1, 2, 3, ONE - 1, ONE, ONE + 1, 2**255, WORD - ONE, WORD - 2, WORD - 1)


@pytest.fixture(scope="module")
def wide() -> Contract:
    return Chain().deploy_artifact(fake("arithmetic"), sender=alice.address)


def some(draw: random.Random) -> int:
    """A number of any length, at times a power of two or an edge."""
    bits = draw.randrange(1, 257)
    kinds: list[int] = [draw.getrandbits(bits), 1 << (bits - 1), draw.choice(EDGES)]
    return draw.choice(kinds)


def test_products_of_512_bits(wide: Contract) -> None:
    draw = random.Random(1)
    pairs = [(some(draw), some(draw)) for _ in range(300)]
    for a, b in [*pairs, *((a, b) for a in EDGES for b in EDGES)]:
        expected = a * b >> 128
        if expected < WORD:
            assert wide.call("times", a, b) == expected
        else:
            with refused("wide: overflow"):
                wide.call("times", a, b)


def test_quotients_of_512_bits(wide: Contract) -> None:
    draw = random.Random(2)
    cases = [(some(draw), some(draw), some(draw)) for _ in range(500)]
    cases += [(a, b, a) for a, b, _ in cases[:100]]
    cases += [(WORD - 1, WORD - 1, WORD - 1), (WORD - 1, 2, 2), (2**255, 2, 1), (ONE, ONE, 1)]
    for a, b, divisor in cases:
        if divisor and a * b // divisor < WORD:
            assert wide.call("divided", a, b, divisor) == a * b // divisor
        else:
            with pytest.raises(Reverted):
                wide.call("divided", a, b, divisor)


def test_powers(wide: Contract) -> None:
    draw = random.Random(3)
    cases = [(draw.randrange(ONE + 1), draw.getrandbits(draw.randrange(32))) for _ in range(100)]
    for base, exponent in [*cases, (ONE, 2**32 - 1), (0, 0), (ONE - 1, 2**32 - 1), (3 * ONE, 5)]:
        assert wide.call("power", base, exponent) == power(base, exponent)
    with refused("wide: exponent too large"):
        wide.call("power", 1, 2**32)


def test_the_exponential(wide: Contract) -> None:
    draw = random.Random(4)
    points = [draw.randrange(REACH) for _ in range(300)]
    for x in [*points, 0, 1, ONE, REACH - 1, REACH, REACH + 1, WORD - 1]:
        assert wide.call("exp_negative", x) == exp_negative(x)


def test_products_are_floored_below_zero(wide: Contract) -> None:
    draw = random.Random(5)
    for _ in range(200):
        a, b = draw.randrange(-(2**129), 2**129), draw.getrandbits(132)
        assert wide.call("floor_times", a, b) == a * b >> 128
    for a in (-1, -2, 1, 0):
        for b in (0, 1, ONE // 2, ONE - 1, ONE, ONE + 1):
            assert wide.call("floor_times", a, b) == a * b >> 128
