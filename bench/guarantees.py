"""How much utility the honest need, so that a cabal cannot take their share of the pay.

The experiment of subtensor's docs/consensus.md and its test ``map_consensus_guarantees``, on our
epoch: 512 nodes, 64 of them validators; nodes and stake are split into an honest and a dishonest
side by the honest stake. Every validator gives its own side a part of its weight, and the other
side the rest, spread over nodes with a normal deviation. The honest keep their share if their
part of the emission is at least their part of the stake, whatever the cabal gives itself; the
utility needed is the least weight on their own side with which they do. Every case is the mean of
some seeds. Run ``uv run python bench/guarantees.py --json``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from freehold.markets.models.yuma import fast
from freehold.markets.models.yuma.values import Inputs, Rules, Sparse

Floats = npt.NDArray[np.float64]
NODES, VALIDATORS, STAKE_DEVIATION = 512, 64, 0.3
TOTAL_STAKE = 21 * 10**15
STEP = 0.005
"""How fine the utility is searched."""
RULES = Rules(max_validators=VALIDATORS, activity_cutoff=5_000)
CABAL = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 1.0)
"""What the cabal gives itself; the honest have to withstand all of it."""
PUBLISHED = ((0.6, 0.0, 0.6), (0.6, 0.2, 0.67), (0.6, 0.4, 0.73), (0.7, 0.4, 0.75))
"""Honest stake, weight deviation, honest utility needed, as subtensor's page states them."""


@dataclass(frozen=True, slots=True)
class Row:
    """One case, beside what is published."""

    honest_stake: float
    deviation: float
    published: float
    needed: float


@dataclass(frozen=True, slots=True)
class Sides:
    """The uids of validators and servers, the honest first, and how many of each are honest."""

    honest_stake: float

    @property
    def validators(self) -> int:
        return _ratio(self.honest_stake, VALIDATORS)

    @property
    def servers(self) -> int:
        return _ratio(self.honest_stake, NODES - VALIDATORS)


def _ratio(part: float, total: int) -> int:
    return min(max(int(part * total + 1e-9), 1), total - 1)


def _spread(draw: np.random.Generator, shape: tuple[int, ...], deviation: float) -> Floats:
    """Parts of 1 along the last axis, normal around equal ones, none negative."""
    parts = np.maximum(draw.normal(1, deviation, shape), 0) if deviation else np.ones(shape)
    shares: Floats = parts / parts.sum(axis=-1, keepdims=True)
    return shares


@dataclass(frozen=True, slots=True)
class Network:
    """Everything of a case but what each side gives itself."""

    sides: Sides
    stake: Floats
    to_honest: Floats
    to_cabal: Floats

    @classmethod
    def drawn(cls, honest_stake: float, deviation: float, seed: int) -> Network:
        """Stakes and how a side's weight is spread, from one seed."""
        sides, draw = Sides(honest_stake), np.random.default_rng(seed)
        v, s = sides.validators, sides.servers
        stakes = (
            honest_stake * _spread(draw, (v,), STAKE_DEVIATION),
            (1 - honest_stake) * _spread(draw, (VALIDATORS - v,), STAKE_DEVIATION),
        )
        to_honest = _spread(draw, (VALIDATORS, s), deviation)
        to_cabal = _spread(draw, (VALIDATORS, NODES - VALIDATORS - s), deviation)
        return cls(sides, np.concatenate(stakes), to_honest, to_cabal)

    def inputs(self, utility: float, cabal: float) -> Inputs:
        """The epoch in which the honest give themselves ``utility``, the others ``cabal``."""
        v = self.sides.validators
        own = np.full((VALIDATORS, 1), 1 - cabal)
        own[:v] = utility
        weights = np.concatenate([own * self.to_honest, (1 - own) * self.to_cabal], axis=1)
        stake = np.zeros(NODES, np.uint64)
        stake[:VALIDATORS] = (self.stake * TOTAL_STAKE).astype(np.uint64)
        return Inputs(
            stake=stake,
            updated=np.ones(NODES, np.int64),
            registered=np.zeros(NODES, np.int64),
            permits=np.arange(NODES) < VALIDATORS,
            weights=_matrix((weights * 65_535).astype(np.int64)),
            bonds=Sparse.of(NODES, ()),
            now=1,
            last_epoch=0,
        )

    def holds(self, utility: float, cabal: float) -> bool:
        """Whether the honest keep their part of the stake in this epoch's emission."""
        shares = fast.epoch(RULES, self.inputs(utility, cabal), 0).emission.combined_share
        v, s = self.sides.validators, self.sides.servers
        honest = shares[:v].sum() + shares[VALIDATORS : VALIDATORS + s].sum()
        return bool(honest >= self.sides.honest_stake * shares.sum())

    def needed(self) -> float:
        """The least utility that withstands all that the cabal may give itself."""
        low, high = round(0.5 / STEP), round(1 / STEP)
        while low < high:
            middle = (low + high) // 2
            held = all(self.holds(middle * STEP, cabal) for cabal in CABAL)
            low, high = (low, middle) if held else (middle + 1, high)
        return low * STEP


def _matrix(weights: npt.NDArray[np.int64]) -> Sparse:
    servers = NODES - VALIDATORS
    starts = np.minimum(np.arange(NODES + 1), VALIDATORS) * servers
    targets = np.tile(np.arange(VALIDATORS, NODES, dtype=np.int32), VALIDATORS)
    return Sparse(starts.astype(np.int64), targets, weights.ravel())


def table(seeds: Sequence[int]) -> Iterator[Row]:
    """One row a published case."""
    for honest, deviation, published in PUBLISHED:
        found = [Network.drawn(honest, deviation, seed).needed() for seed in seeds]
        yield Row(honest, deviation, published, round(sum(found) / len(found), 3))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="networks drawn of each case")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    rows = [asdict(row) for row in table(range(given.seeds))]
    if given.json:
        print(json.dumps({"seeds": given.seeds, "rows": rows}))
        return 0
    print("honest stake  deviation  published  needed")
    for row in rows:
        print("".join(f"{value:<12}" for value in row.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
