"""Epochs whose figures must hold without any file: inactive stake, outdated weights, bonds.

Read from opentensor/subtensor, pallets/subtensor/src/tests/epoch.rs: what ``test_active_stake``,
``test_outdated_weights`` and ``test_bonds`` assert, and what the comments beside them print.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from freehold.markets.models.yuma import fast, reference
from freehold.markets.models.yuma.values import Inputs, Result, Rules
from unit.markets.models.yuma.cases import Json, filled
from unit.markets.models.yuma.test_yuma_vectors import differences

pytestmark = pytest.mark.xdist_group("yuma")
EPOCHS = [pytest.param(reference.epoch, id="reference"), pytest.param(fast.epoch, id="fast")]
HALVES = [[i, j, 32_767] for i in (0, 1) for j in (2, 3)]
THIRDS = [[i, j, w] for i in (0, 1) for j, w in ((2, 65_535), (3, 32_768))]

ACTIVE: Json = {
    "name": "active_stake",
    "n": 4,
    "stake": [1, 1, 1, 1],
    "initial_permits_all": True,
    "params": {},
    "steps": [
        {
            "block": 1,
            "last_update": [1, 1, 0, 0],
            "weights": HALVES,
            "expect": {
                "dividends_u16": [32_767, 32_767, 0, 0],
                "emission": [250_000_000] * 4,
                "bonds_u16": [[i, j, 65_535] for i in (0, 1) for j in (2, 3)],
            },
        },
        {
            "block": 5_002,
            "last_update": [5_002, 1, 0, 0],
            "expect": {
                "dividends_u16": [36_044, 29_490, 0, 0],
                "emission": [274_999_999, 224_999_999, 250_000_000, 250_000_000],
                "bonds_u16": [[0, 2, 65_535], [0, 3, 65_535], [1, 2, 53_619], [1, 3, 53_619]],
            },
        },
        {
            "block": 5_003,
            "last_update": [5_002, 5_002, 0, 0],
            "expect": {
                "dividends_u16": [35_716, 29_818, 0, 0],
                "emission": [272_501_132, 227_498_866, 250_000_000, 250_000_000],
                "bonds_u16": [[0, 2, 65_535], [0, 3, 65_535], [1, 2, 54_712], [1, 3, 54_712]],
            },
        },
    ],
}
OUTDATED: Json = {
    "name": "outdated_weights",
    "n": 4,
    "initial_permits_all": True,
    "params": {"tempo": 0},
    "steps": [
        {
            "block": 1,
            "stake": [1, 1, 1, 1],
            "last_update": [1, 1, 1, 1],
            "block_at_registration": [0, 0, 0, 0],
            "weights": [*THIRDS, [2, 2, 65_535], [3, 3, 65_535]],
            "expect": {
                "dividends_u16": [32_767, 32_767, 0, 0],
                "emission": [250_000_000, 250_000_000, 333_331_637, 166_668_361],
            },
        },
        {
            "block": 2,
            "stake": [1, 1, 1, 0],
            "last_update": [2, 1, 1, 1],
            "block_at_registration": [0, 0, 0, 1],
            "weights": [*THIRDS, [2, 2, 65_535]],
            "expect": {
                "dividends_u16": [32_767, 32_767, 0, 0],
                "emission": [250_000_000, 250_000_000, 500_000_000, 0],
                "bonds_u16": [[0, 2, 65_535], [0, 3, 65_535]],
                "consensus_u16": [0, 0, 43_689, 0],
            },
        },
    ],
}
EVEN, LAST = [49_998_779, 100_000_610, 149_996_337, 200_004_272], [0, 0, 0, 500_000_000]
BOND_STEPS: list[tuple[str, list[int], list[int], int, list[int]]] = [
    ("AAAA", [49_999_998, 99_999_999, 150_000_000, 200_000_001], EVEN, 4, [16_383, 32_767, 49_151]),
    (
        " AAA",
        [44_998_351, 101_110_561, 151_667_215, 202_223_870],
        EVEN,
        4,
        [14_582, 32_767, 49_151],
    ),
    ("  AA", [40_496_805, 90_999_783, 157_929_636, 210_573_773], EVEN, 4, [12_603, 28_321, 49_151]),
    (
        "   A",
        [99_999_999, 199_999_999, 299_999_999, 399_999_999],
        [0] * 4,
        7,
        [12_602, 28_320, 49_150],
    ),
    ("  7A", [36_443_733, 81_898_628, 163_565_493, 218_092_144], LAST, 7, [10_951, 24_609, 49_150]),
    ("  7A", [32_799_427, 73_706_612, 168_638_129, 224_855_830], LAST, 7, [9_559, 21_482, 49_150]),
    ("  7A", [29_518_068, 66_336_137, 173_203_134, 230_942_659], LAST, 7, [8_376, 18_824]),
]
"""By epoch: what each validator scores (all four servers, the last, or itself), emission of
validators and of servers, and the first bonds on one server."""
SCORES = {
    "A": [(4, 16_383), (5, 32_767), (6, 49_149), (7, 65_535)],
    "7": [(7, 65_535)],
}


def bonds() -> Json:
    steps = []
    for at, (scored, validators, servers, on, held) in enumerate(BOND_STEPS):
        rows = enumerate(scored)
        steps.append(
            {
                "block": at + 1,
                "last_update": [1, 1, 5 if at > 3 else 1, 1, 0, 0, 0, 0],
                "weights": [[i, j, w] for i, s in rows for j, w in SCORES.get(s, [(i, 65_535)])],
                "expect": {
                    "emission": validators + servers,
                    "bonds_u16": [[i, on, bond] for i, bond in enumerate(held)],
                },
            }
        )
    return {
        "name": "bonds",
        "n": 8,
        "stake": [1, 2, 3, 4, 0, 0, 0, 0],
        "initial_permits_all": True,
        "params": {"tempo": 0},
        "steps": steps,
    }


@pytest.mark.parametrize("epoch", EPOCHS)
@pytest.mark.parametrize("case", [ACTIVE, OUTDATED, bonds()], ids=lambda case: str(case["name"]))
def test_known_epochs(case: Json, epoch: Callable[[Rules, Inputs, int], Result]) -> None:
    assert differences(filled({}, case), None, epoch) == []
