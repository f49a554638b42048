"""What an epoch is about: the same for everybody, and another one wherever anything differs."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from freehold.markets.models.task import takes_theme
from freehold.markets.models.theme import generator

NETWORK, BLOCK = bytes(range(32)), bytes(range(32, 64))


def numbers(
    *, network: bytes = NETWORK, subnet: int = 3, epoch: int = 7, block: bytes = BLOCK
) -> list[int]:
    found = generator(network=network, subnet=subnet, epoch=epoch, block=block)
    return [int(each) for each in found.integers(2**32, size=4)]


def test_everybody_has_the_same_theme() -> None:
    """Written down, for validators of all releases have to agree on it."""
    assert numbers() == numbers() == [2371332552, 1818713593, 1400786525, 3913288551]


def test_each_network_subnet_epoch_and_block_has_its_own() -> None:
    others = [
        numbers(),
        numbers(network=bytes(32)),
        numbers(subnet=7, epoch=3),
        numbers(subnet=4),
        numbers(epoch=8),
        numbers(block=bytes(32)),
        numbers(network=BLOCK, block=NETWORK),
    ]
    assert len({tuple(each) for each in others}) == len(others)


@pytest.mark.parametrize(
    ("tasks", "takes"),
    [
        (lambda random, theme: (random, theme), True),
        (lambda *both: both, True),
        (lambda random, theme, more=0: (random, theme, more), True),
        (lambda random: random, False),
        (lambda random, *, theme: (random, theme), False),
        (lambda random, theme, more: (random, theme, more), False),
        (None, False),
    ],
)
def test_a_scorer_without_themes_is_recognised(tasks: object, takes: bool) -> None:
    assert takes_theme(tasks) is takes


def test_the_kind_of_generator_is_named() -> None:
    found = generator(network=NETWORK, subnet=3, epoch=7, block=BLOCK)
    assert type(found.bit_generator) is np.random.PCG64
    assert "default_rng" not in inspect.getsource(inspect.getmodule(generator) or generator)
