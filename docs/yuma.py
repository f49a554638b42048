"""Write docs/reference/yuma.md: `uv run python docs/yuma.py`, `--measure` to measure anew."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | None"

REFERENCE = Path(__file__).parent / "reference"
BENCH = Path(__file__).parents[1] / "bench"
SIZES = (
    ("4096", "256", "0.1"),
    ("1024", "128", "1"),
    ("4096", "4096", "0.05"),
    ("1024", "1024", "1"),
    ("256", "64", "1"),
)
TARGETS = {(4096, 256, 0.1): 25, (1024, 128, 1.0): 30, (4096, 4096, 0.05): 250}
"""CPU milliseconds that an epoch of these nodes, validators and density may take."""
RATIO = 2
"""How much slower than dense float64 an epoch may be where every node is scored by all."""

HEAD = """# Yuma consensus in integers

`uv run python docs/yuma.py` writes this page; with `--measure` it first runs `bench/yuma.py` and \
`bench/guarantees.py` and keeps their figures in `yuma.json` beside it.

Every figure of an epoch is I32F32 in 64-bit integers, so a sum has one value in whatever order \
it is taken, and anyone who has the inputs gets the same bits. `freehold.markets.models.yuma` has \
the epoch twice, to be read (`reference.epoch`) and to be run (`fast.epoch`); tests hold them equal.

## The epoch

S is a node's stake as a share of all stakes of at least `min_stake`. A is S of those who hold a \
permit and set weights within `activity_cutoff`, as shares again. W are the weights of a permit \
holder as shares of its row, without itself and without targets that took their uid at or after \
the time of the weights (with commit and reveal also: after the commitment). All is rounded down.

| value | is |
|---|---|
| consensus C of a node | the least weight with more than sum(A) - kappa of A at or below it; \
an absent weight is 0; if none has more, the largest |
| clipped | min(W, C); an entry above a C of 0 is gone |
| rank R, incentive I | sum of A times clipped; its share |
| trust of a validator | sum of its row of clipped |
| bond weights | W + penalty (clipped - W); penalty 0 is W, 65535 is clipped, entry by entry; \
between them only entries above 0 stay |
| held bonds | stored ones, less those on a node registered at or after the last epoch |
| bonds, classic | column shares of alpha times column shares of A times bond weights, plus \
(1 - alpha) times column shares of held |
| dividends, classic | share of the row sums of bonds times I; stored: bonds over the largest of \
the column, of 65535 |
| bonds, yuma3 | alpha times bond weights plus (1 - alpha) times held of 65535; stored as they are |
| dividends, yuma3 | share of A times the row sums of column shares of bonds times I |
| alpha | 1 - `bonds_ema_ppm`; liquid: low + (high - low) / (1 + exp(steepness/100 (1/2 - d))), \
d = W - C where the bond weight W is at least the held bond, else held - W, within 0 to 1 |
| bonds, liquid | only where there is an entry of bond weight, be it 0; at most 1; where no C is \
above 0 alpha is not liquid |
| emission | I and D over their common sum, times the total, rounded down; if both are 0, to \
validators by A, or S where no A is above 0 |
| dust | what rounding left over goes to the part (incentive or dividends of a uid) with the \
largest remainder: lowest uid, then incentive |
| next permits | the largest S above 0, as many as `max_validators`; of equals the higher uid |
| next bonds | only of those who hold a permit next |
| next to be pruned | not immune before immune, lowest emission, oldest registration, lowest uid |

Bounds, refused beyond: 4,096 nodes, stakes of 64 bits, weights and bonds of 16, times within \
2^62, a steepness of 10,000 and an emission below 2^128. Targets of a row rise strictly. Only \
at the last seat, in dust and in pruning can a uid decide anything; else permuting the nodes \
permutes the result.

`exp` is a table of 96 words and two constants, written out in `exp.py` and in the contract \
`disputes`: largest relative error below 2.2e-9, plus one unit of 2^-32 below 0; beyond -20 and \
20 it stays. Upstream's sparse path is what is followed, but for its exemption of a subnet's \
owner from the diagonal, and for `exp`, where it sums a series."""

SPEED = """## Speed

Measured by `bench/yuma.py` on one thread of {cores} shared cores, CPU milliseconds, least of the \
repeats, with bonds of an epoch before. `common`: all validators score the same nodes; \
`scattered`: each scores its own. Dense float64 is the same rules in numpy arrays of validators \
times nodes, in the same run; it is neither exact nor order-free. The first epoch of a process \
takes {first} s of CPU with kept code, some five seconds where it has to be compiled."""

GUARANTEES = """## What a cabal cannot take

Measured by `bench/guarantees.py`: 512 nodes, 64 validators, kappa 1/2, bonds penalty 1, mean of \
{seeds} networks. The honest hold a part of the stake and give their own side a part of their \
weight, the *utility*; needed is the least with which their part of the emission is at least that \
of their stake, whatever the others give themselves. Published: subtensor's docs/consensus.md."""


def render(found: dict[str, Json]) -> str:
    """The page's text."""
    speeds, guarantees = _objects(found["speeds"]), _object(found["guarantees"])
    first = min(_number(speed["first_epoch_s"]) for speed in speeds)
    parts = [
        HEAD,
        SPEED.format(cores=found["cores"], first=first),
        "\n".join(_speeds(speeds)),
        GUARANTEES.format(seeds=guarantees["seeds"]),
        "\n".join(_guarantees(_objects(guarantees["rows"]))),
    ]
    return "\n\n".join(parts) + "\n"


def _speeds(speeds: list[dict[str, Json]]) -> Iterator[str]:
    yield "| nodes / validators / density | mode, way | entries | fast | reference | float64 | x |"
    yield "|---|---|---|---|---|---|---|"
    for speed in speeds:
        size = f"{speed['nodes']} / {speed['validators']} / {speed['density']}"
        for row in _objects(speed["rows"]):
            figures = (row["fast"], row["reference"], row["dense"], row["ratio"])
            cells = " | ".join(str(figure) for figure in figures)
            yield f"| {size} | {row['mode']}, {row['way']} | {row['entries']:,} | {cells} |"


def _guarantees(rows: list[dict[str, Json]]) -> Iterator[str]:
    yield "| honest stake | weight deviation | utility needed, published | ours |"
    yield "|---|---|---|---|"
    for row in rows:
        yield f"| {' | '.join(str(value) for value in row.values())} |"


def _object(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise TypeError("the figures have another shape")
    return value


def _objects(value: Json) -> list[dict[str, Json]]:
    if not isinstance(value, list):
        raise TypeError("the figures have another shape")
    return [_object(each) for each in value]


def _number(value: Json) -> float:
    if not isinstance(value, int | float):
        raise TypeError("the figures have another shape")
    return float(value)


def measure() -> dict[str, Json]:
    """All figures, each bench in a process of its own, one after the other."""
    speeds: list[Json] = [
        _figures("yuma.py", "--nodes", n, "--validators", v, "--density", d) for n, v, d in SIZES
    ]
    return {"cores": os.cpu_count(), "speeds": speeds, "guarantees": _figures("guarantees.py")}


def _figures(script: str, *arguments: str) -> Json:
    command = [sys.executable, str(BENCH / script), *arguments, "--json"]
    done = subprocess.run(command, check=True, capture_output=True, timeout=600)
    found: Json = json.loads(done.stdout)
    return found


def main() -> None:
    """Write the page, and the figures where they were measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="run the benchmarks first")
    figures = REFERENCE / "yuma.json"
    if parser.parse_args().measure:
        figures.write_text(json.dumps(measure(), indent=1) + "\n")
    (REFERENCE / "yuma.md").write_text(render(json.loads(figures.read_text())))


if __name__ == "__main__":
    main()
