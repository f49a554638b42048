"""One epoch of Yuma consensus: CPU milliseconds, ours beside float64 on dense numpy.

All in one run on one core: the compiled epoch and its reference, which give the same integers,
and the same rules written with float64 arrays of validators times nodes, as simulators do, which
do not. Two ways to score are timed, and the slower one counts: ``common``, where all validators
score the same nodes, so every median has to be searched, and ``scattered``, where each scores
others. Each figure is the least of ``--repeats``; the first epoch, which compiles, is apart. The
figures on top are the worst of all rows: our slowest, the quickest float64, the largest ratio. Run
``uv run python bench/yuma.py --nodes 4096 --validators 256 --density 0.1 --json``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from freehold.markets.models.yuma import fast, reference
from freehold.markets.models.yuma.values import (
    Inputs,
    Liquid,
    Result,
    Rules,
    Sparse,
)

Floats = npt.NDArray[np.float64]
EMISSION = 10**24
MODES = ("classic", "yuma3", "liquid")
WAYS = ("common", "scattered")


@dataclass(frozen=True, slots=True)
class Row:
    """CPU ms of one epoch; ``ratio`` is that of the compiled one to dense float64."""

    mode: str
    way: str
    entries: int
    fast: float
    reference: float
    dense: float
    ratio: float
    apart: float
    """How far the largest share of float64 is from the exact one."""


def rules_of(mode: str, validators: int) -> Rules:
    """Bittensor's parameters in one of the three modes."""
    base = Rules(max_validators=validators, activity_cutoff=5_000, yuma3=mode != "classic")
    return replace(base, liquid=Liquid(), bonds_penalty=0) if mode == "liquid" else base


def network(nodes: int, validators: int, density: float, way: str, seed: int) -> Inputs:
    """Stakes and weights drawn at random; the first uids validate and score around one truth."""
    draw = np.random.default_rng(seed)
    stake = np.zeros(nodes, np.uint64)
    stake[:validators] = draw.lognormal(10, 1, validators).astype(np.uint64) + 1
    scored = max(1, round(density * nodes))
    same = np.sort(draw.choice(nodes, scored, replace=False))
    rows = [
        same if way == "common" else np.sort(draw.choice(nodes, scored, replace=False))
        for _ in range(validators)
    ]
    truth = draw.uniform(1_000, 60_000, nodes)
    values = [np.clip(truth[row] * draw.normal(1, 0.1, scored), 1, 65_535) for row in rows]
    counts = np.zeros(nodes, np.int64)
    counts[:validators] = scored
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
    weights = Sparse(
        starts, np.concatenate(rows).astype(np.int32), np.concatenate(values).astype(np.int64)
    )
    permits = np.arange(nodes) < validators
    nothing = Sparse.of(nodes, ())
    times = np.full(nodes, 100, np.int64), np.zeros(nodes, np.int64)
    return Inputs(stake, *times, permits, weights, nothing, now=101, last_epoch=50)


def settled(rules: Rules, inputs: Inputs) -> Inputs:
    """The same network an epoch later: with bonds."""
    return replace(inputs, bonds=fast.epoch(rules, inputs, EMISSION).stored_bonds)


def dense(rules: Rules, stake: Floats, weights: Floats, bonds: Floats) -> Floats:
    """Combined shares by float64: stakes (v,), weights and old bonds (v, n)."""
    active = stake / stake.sum()
    w = weights.copy()
    np.fill_diagonal(w, 0)
    w /= np.maximum(w.sum(axis=1, keepdims=True), 1e-12)
    order = np.argsort(w, axis=0)
    sums = np.cumsum(active[order], axis=0)
    at = np.argmax(sums > 1 - rules.kappa / 65_535, axis=0)
    consensus = np.take_along_axis(np.take_along_axis(w, order, 0), at[None], 0)[0]
    clipped = np.minimum(w, consensus)
    incentive = active @ clipped
    incentive /= max(incentive.sum(), 1e-12)
    penalty = rules.bonds_penalty / 65_535
    wanted = w + penalty * (clipped - w)
    owned = _bonds(rules, active, wanted, bonds, consensus)
    dividends = owned @ incentive
    dividends *= active if rules.yuma3 else 1
    dividends = dividends / dividends.sum() if dividends.any() else active
    incentive[: len(stake)] += dividends
    shares: Floats = incentive / incentive.sum()
    return shares


def _bonds(rules: Rules, active: Floats, wanted: Floats, old: Floats, median: Floats) -> Floats:
    alpha: Floats | float = 1 - rules.bonds_ema_ppm / 1e6
    if not rules.yuma3:
        delta = _columns(active[:, None] * wanted)
        return _columns(alpha * delta + (1 - alpha) * _columns(old))
    old = old / 65_535
    if rules.liquid is not None:
        low, high = rules.liquid.low / 65_535, rules.liquid.high / 65_535
        distance = np.where(wanted >= old, wanted - median, old - wanted)
        steps = 1 / (1 + np.exp(-rules.liquid.steepness / 100 * (np.clip(distance, 0, 1) - 0.5)))
        alpha = low + (high - low) * steps
    return _columns(alpha * wanted + (1 - alpha) * old)


def _columns(matrix: Floats) -> Floats:
    shares: Floats = matrix / np.maximum(matrix.sum(axis=0), 1e-12)
    return shares


def milliseconds(call: Callable[[], object], repeats: int) -> float:
    """CPU time of this process, the least of some calls: the others were disturbed."""
    spent = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    return round(min(spent) * 1e3, 2)


def measure(mode: str, way: str, given: argparse.Namespace) -> Row:
    """One row of the table."""
    rules = rules_of(mode, given.validators)
    first = network(given.nodes, given.validators, given.density, way, given.seed)
    inputs = settled(rules, first)
    result = fast.epoch(rules, inputs, EMISSION)
    v = given.validators
    matrices = [m.dense()[:v].astype(np.float64) for m in (inputs.weights, inputs.bonds)]
    stake = inputs.stake[:v].astype(np.float64)
    ours = milliseconds(lambda: fast.epoch(rules, inputs, EMISSION), given.repeats)
    plain = milliseconds(lambda: reference.epoch(rules, inputs, EMISSION), 2)
    small = matrices[0].size <= 1 << 20
    theirs = milliseconds(lambda: dense(rules, stake, *matrices), given.repeats if small else 2)
    far = apart(result, dense(rules, stake, *matrices))
    ratio = round(ours / theirs, 2) if theirs else 0.0
    return Row(mode, way, len(inputs.weights.targets), ours, plain, theirs, ratio, far)


def apart(result: Result, shares: Floats) -> float:
    """The largest distance of two answers, as a share of the emission."""
    return float(np.abs(result.emission.combined_share / 2**32 - shares).max())


def rows(given: argparse.Namespace) -> Iterator[Row]:
    for mode in given.modes:
        for way in WAYS if given.density < 1 else WAYS[:1]:
            yield measure(mode, way, given)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=4096)
    parser.add_argument("--validators", type=int, default=256)
    parser.add_argument("--density", type=float, default=0.1, help="scored nodes of a validator")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    if not (1 <= given.validators <= given.nodes and 0 < given.density <= 1):
        parser.error("there are 1 to NODES validators, and a density is above 0, 1 at most")
    start = time.process_time()
    settled(rules_of("classic", 1), network(4, 1, 1.0, "common", 1))
    first = round(time.process_time() - start, 2)
    found = [asdict(row) for row in rows(given)]
    sizes = {"nodes": given.nodes, "validators": given.validators, "density": given.density}
    worst = {f"{name}_ms": max(row[name] for row in found) for name in ("fast", "reference")}
    worst |= {"dense_ms": min(row["dense"] for row in found)}
    worst |= {"ratio": max(row["ratio"] for row in found)}
    if given.json:
        print(json.dumps(sizes | {"first_epoch_s": first} | worst | {"rows": found}))
        return 0
    print(f"{sizes}, first epoch {first} s; CPU ms of one epoch")
    names = ("mode", "way", "entries", "fast", "reference", "dense", "ratio")
    print("".join(f"{name:>11}" for name in names))
    for row in found:
        print("".join(f"{row[name]:>11}" for name in names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
