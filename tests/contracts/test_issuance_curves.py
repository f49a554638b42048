"""The contract's schedules and Python's give the same integers: vectors, and random epochs."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts.evm import Chain, Contract
from contracts.world import fake, guardian
from freehold.economics.schedules import PRESETS, Plan, Progress, bittensor, filecoin, ionet
from freehold.economics.schedules.fixed import ONE
from freehold.economics.schedules.plan import EXPONENTIAL, GEOMETRIC, HALVING

ROOT = Path(__file__).resolve().parents[2]
BATCH = 256
RANDOM_EPOCHS = 10_000
GENESIS = 1_800_000_000
SHARES = [(b"storage".ljust(32, b"\x00"), 10_000)]
# A cap that has room for the largest preset.
ROOM = 2**96


def rows(name: str) -> list[Any]:
    """The rows or points of that file in every folder of FREEHOLD_VECTORS, or beside the tree."""
    named = os.environ.get("FREEHOLD_VECTORS", str(ROOT.parent / "shared" / "vectors"))
    paths = [Path(folder) / name for folder in named.split(":") if folder]
    contents = [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]
    if not contents:
        pytest.skip(f"no {name} in FREEHOLD_VECTORS or ../shared/vectors")
    return [row for found in contents for row in found.get("rows") or found["points"]]


def batches(values: Sequence[int]) -> Iterator[Sequence[int]]:
    """Slices of as many as one call takes."""
    for start in range(0, len(values), BATCH):
        yield values[start : start + BATCH]


def deploy(plan: Plan, *, epoch_seconds: int = 60) -> Contract:
    """An issuance of that plan, with a token that has room for it."""
    chain = Chain()
    by = guardian.address
    token = chain.deploy("token", "F", "F", ROOM, b"\x00" * 32, by, sender=by)
    terms = plan.terms(budget=0, window=10)
    return chain.deploy(
        "issuance", token.address, by, GENESIS, epoch_seconds, terms, SHARES, [], sender=by
    )


@pytest.fixture(scope="module")
def exponential() -> Contract:
    return deploy(PRESETS["filecoin"])


@pytest.fixture(scope="module")
def geometric() -> Contract:
    return deploy(PRESETS["ionet"])


@pytest.fixture(scope="module")
def halving() -> Contract:
    return deploy(PRESETS["bittensor"])


def test_the_time_part_is_filecoins(exponential: Contract) -> None:
    known = [(int(epoch), int(reward)) for epoch, reward in rows("reward_simplereward.json")]
    for part in batches(range(len(known))):
        epochs = [known[i][0] for i in part]
        assert exponential.call("simple_reward", epochs) == [known[i][1] for i in part]


def test_the_storage_part_is_filecoins(exponential: Contract) -> None:
    known = [tuple(map(int, row)) for row in rows("reward_baselinereward.json")]
    for part in batches(range(len(known))):
        before, now, rewards = zip(*(known[i] for i in part), strict=True)
        assert exponential.call("baseline_reward", before, now) == list(rewards)


def test_blocks_are_bittensors(halving: Contract) -> None:
    known = rows("bittensor_block_emission.json")
    issued = [point["issuance_rao"] for point in known]
    assert halving.call("block_emission", issued) == [point["emission_rao"] for point in known]


def test_random_epochs_of_the_time_part(exponential: Contract) -> None:
    draw = random.Random(1)
    epochs = [draw.randrange(filecoin.LAST_EPOCH + 1) for _ in range(RANDOM_EPOCHS)]
    epochs[:4] = [0, 1, filecoin.LAST_EPOCH, filecoin.LAST_EPOCH + 1]
    for part in batches(epochs):
        expected = [filecoin.simple_reward(epoch) for epoch in part]
        assert exponential.call("simple_reward", part) == expected


def test_random_network_times(exponential: Contract) -> None:
    draw = random.Random(2)
    before = [draw.randrange(2 * filecoin.LAST_EPOCH * ONE) for _ in range(2 * BATCH)]
    now = [theta + draw.randrange(ONE << draw.randrange(24)) for theta in before]
    for part in batches(range(len(before))):
        left, right = [before[i] for i in part], [now[i] for i in part]
        expected = list(map(filecoin.baseline_reward, left, right))
        assert exponential.call("baseline_reward", left, right) == expected


def test_every_month_of_ionet(geometric: Contract) -> None:
    found = geometric.call("step_emission", list(range(ionet.MONTHS + 3)))
    expected = [ionet.month_emission(n + 1) * ionet.NATIVE for n in range(ionet.MONTHS + 3)]
    assert found == expected
    assert sum(found) == ionet.EMISSION_IO * ionet.NATIVE


def test_random_issuances_of_bittensor(halving: Contract) -> None:
    draw = random.Random(3)
    issued = [bittensor.CAP_RAO - draw.randrange(1 << draw.randrange(1, 55)) for _ in range(2000)]
    issued = [max(each, 0) for each in issued]
    for part in batches(issued):
        expected = [bittensor.block_emission(each) for each in part]
        assert halving.call("block_emission", part) == expected


def random_plan(draw: random.Random) -> Plan:
    """Any plan that the contract takes."""
    kind = draw.choice([EXPONENTIAL, GEOMETRIC, HALVING])
    grain = draw.choice([1, 7, 10**9]) if kind != EXPONENTIAL else 1
    limit = grain * draw.randrange(1, 2 ** draw.randrange(2, 60))
    if kind == EXPONENTIAL:
        return Plan(kind=kind, limit=limit, amount=draw.randrange(limit + 1))
    amount = grain * draw.randrange(0, limit // grain + 2)
    if kind == HALVING:
        return Plan(kind=kind, limit=limit, amount=amount, grain=grain, step=12)
    factor = draw.choice([10**18, 10**18 - 1, 1, draw.randrange(1, 10**18)])
    steps = draw.choice([1, 2, 240, 2**20 - 1])
    return Plan(
        kind=kind, limit=limit, amount=amount, grain=grain, step=3_600, factor=factor, steps=steps
    )


@pytest.mark.parametrize("seed", range(24))
def test_any_plan_at_any_time(seed: int) -> None:
    draw = random.Random(seed)
    plan = random_plan(draw)
    contract = deploy(plan)
    times = [draw.randrange(2 ** draw.randrange(1, 40)) for _ in range(12)]
    for seconds in [0, plan.step, plan.step - 1, *times]:
        assert contract.call("scheduled", seconds) == plan.scheduled(seconds)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_at_random_times(name: str) -> None:
    contract = deploy(PRESETS[name])
    draw = random.Random(4)
    for seconds in [draw.randrange(150 * 366 * 86_400) for _ in range(150)]:
        assert contract.call("scheduled", seconds) == PRESETS[name].scheduled(seconds)


@pytest.mark.parametrize(
    ("epoch_seconds", "initial", "count"),
    [(30, filecoin.BASELINE_INITIAL, 24), (86_400, 1, 24), (366 * 86_400, 2**95, 100)],
)
def test_the_baseline_moves_as_in_python(epoch_seconds: int, initial: int, count: int) -> None:
    plan = replace(PRESETS["filecoin"], initial=initial)
    contract = deploy(plan, epoch_seconds=epoch_seconds)
    chain, by = contract.chain, guardian.address
    power = chain.deploy_artifact(fake("power"), sender=by)
    contract.send("set_power", power.address, sender=by)
    draw, expected = random.Random(epoch_seconds), Progress.start(plan, epoch_seconds=epoch_seconds)
    some = [draw.randrange(2 * initial) for _ in range(count)]
    for epoch, each in enumerate([*[0] * 8, initial, *some, 2**255, 0, 2**255]):
        power.send("set_backed", epoch, each, sender=by)
        expected = expected.after(each)
        chain.warp(epoch_seconds)
        contract.send("advance", 1, sender=by)
        assert contract.call("budget", epoch) == (expected.budget, 1)
    baseline, state = contract.call("baseline"), expected.baseline
    assert state is not None
    assert (baseline.target, baseline.time) == (state.target, state.time)
    assert (baseline.wanted, baseline.realized) == (state.wanted, state.realized)
    assert baseline.effective == state.effective
    assert contract.call("scheduled_total") == expected.total
