"""What a network costs as it grows: gas per TiB-month and transactions per day.

Whole networks on pyrevm with the committed contracts: nodes of as many owners stake and join,
clients open objects 4 of 6, every node answers every round with real proofs of real trees, rails
are settled, one node in ten fails and its columns are repaired, one object in ten is ended. Gas
is a receipt's, to the unit (``bench/gas.py`` compares with an engine's receipts). From the means
a month is made as ``bench/month.py`` states it: a proof a day, a settlement of every rail and a
deposit a month, objects kept for a year, one node in ten failing in a year.

    uv run python bench/scale.py --nodes 10,100,1000 --objects 1000 --json

``--objects`` are those of the largest network; the smaller ones hold as many for each node. Then
the network in the middle runs with 1, 10 and 100 clients and the same objects.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

if __package__ is None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.load import Load, Size, run
from bench.month import CLIENT, KEEPER, NODE, REPAIRER, Month, month

MIB = 2**20
LEAST_NODES = 10
"""With fewer, a column that is lost finds no node that has none of its object."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Transactions of one kind in a run."""

    kind: str
    count: int
    mean: int
    most: int


@dataclass(frozen=True, slots=True)
class Row:
    """One network. Gas a month and transactions a day: what a node sends itself, what a client
    does, what keepers and repairers send for each node, and all together."""

    nodes: int
    clients: int
    objects: int
    columns_per_node: float
    stored_tib: float
    gas_per_tib_month: dict[str, int]
    node_gas_per_month: int
    shared_gas_per_node_month: int
    client_gas_per_month: int
    network_gas_per_month: int
    node_transactions_per_day: float
    shared_transactions_per_node_day: float
    client_transactions_per_day: float
    network_transactions_per_day: float
    kinds: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """All networks; a growth is the largest of a node's monthly gas through the first network's,
    in all and of its proofs alone."""

    column_mib: int
    by_nodes: tuple[Row, ...]
    growth_with_nodes: float
    proof_growth_with_nodes: float
    by_clients: tuple[Row, ...]
    growth_with_clients: float
    proof_growth_with_clients: float


def measure(nodes: Sequence[int], clients: Sequence[int], objects: int, column: int) -> Report:
    """Run every network; ``column`` in bytes."""
    largest = max(nodes)
    sizes = [Size(n, n, max(1, round(objects * n / largest)), column) for n in nodes]
    rows = tuple(_row(run(size)) for size in sizes)
    middle = sizes[len(sizes) // 2]
    held = max(middle.objects, *clients) if clients else 0
    others = tuple(_row(run(Size(middle.nodes, c, held, column))) for c in clients)
    return Report(
        column // MIB,
        rows,
        _growth([row.node_gas_per_month for row in rows]),
        _growth([_mean(row, "prove") for row in rows]),
        others,
        _growth([row.node_gas_per_month for row in others]),
        _growth([_mean(row, "prove") for row in others]),
    )


def _row(load: Load) -> Row:
    size, made = load.size, month(load)
    return Row(
        nodes=size.nodes,
        clients=size.clients,
        objects=size.objects,
        columns_per_node=round(size.columns_per_node, 2),
        stored_tib=round(made.stored, 6),
        gas_per_tib_month=_per_tib(made),
        node_gas_per_month=round(made.gas(NODE) / size.nodes),
        shared_gas_per_node_month=round(made.gas(REPAIRER, KEEPER) / size.nodes),
        client_gas_per_month=round(made.gas(CLIENT) / size.clients),
        network_gas_per_month=round(made.gas()),
        node_transactions_per_day=round(made.daily(NODE) / size.nodes, 4),
        shared_transactions_per_node_day=round(made.daily(REPAIRER, KEEPER) / size.nodes, 4),
        client_transactions_per_day=round(made.daily(CLIENT) / size.clients, 4),
        network_transactions_per_day=round(made.daily(), 2),
        kinds=tuple(
            Kind(kind, tally.count, round(tally.gas / tally.count), tally.most)
            for kind, tally in sorted(load.tallies.items())
        ),
    )


def _per_tib(made: Month) -> dict[str, int]:
    found = {use.kind: round(use.gas / made.stored) for use in made.uses}
    return {**found, "all": round(made.gas() / made.stored)}


def _growth(figures: Sequence[int]) -> float:
    return round(max(figures) / figures[0], 4) if figures else 1.0


def _mean(row: Row, kind: str) -> int:
    return next(each.mean for each in row.kinds if each.kind == kind)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/scale.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--nodes", default="10,100,1000", help="network sizes, by commas")
    parser.add_argument("--objects", type=int, default=1_000, help="in the largest network")
    parser.add_argument("--clients", default="1,10,100", help="numbers of clients, by commas")
    parser.add_argument("--column-mib", type=int, default=64, help="size of every column")
    options = parser.parse_args()
    options.nodes = numbers(parser, options.nodes, LEAST_NODES)
    options.clients = numbers(parser, options.clients, 1)
    if options.objects < 1 or not 1 <= options.column_mib <= 2**14:
        parser.error("--objects is at least 1, --column-mib 1 to 16384")
    return options


def numbers(parser: argparse.ArgumentParser, text: str, least: int) -> list[int]:
    """Numbers by commas, each at least so large."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdigit() and int(part) >= least for part in parts):
        parser.error(f"{text!r} is not a list of numbers of at least {least}, by commas")
    return sorted({int(part) for part in parts})


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Lines for people: gas in millions a month, transactions a day."""
    yield (
        "nodes clients objects columns/node | Mgas/month: node  shared  client   TiB | "
        "tx/day: node shared client network"
    )
    for row in rows:
        yield (
            f"{row.nodes:5} {row.clients:7} {row.objects:7} {row.columns_per_node:12} | "
            f"{row.node_gas_per_month / 1e6:16.3f} {row.shared_gas_per_node_month / 1e6:7.3f} "
            f"{row.client_gas_per_month / 1e6:7.3f} {row.gas_per_tib_month['all'] / 1e6:5.0f} | "
            f"{row.node_transactions_per_day:12.3f} {row.shared_transactions_per_node_day:6.3f} "
            f"{row.client_transactions_per_day:6.3f} {row.network_transactions_per_day:7.1f}"
        )


def main() -> None:
    options = arguments()
    report = measure(options.nodes, options.clients, options.objects, options.column_mib * MIB)
    if options.json:
        json.dump(asdict(report), sys.stdout, indent=1)
        print()
        return
    print(*table(report.by_nodes), sep="\n")
    print(
        f"growth of a node's gas with nodes: {report.growth_with_nodes},"
        f" of a proof: {report.proof_growth_with_nodes}"
    )
    print(*table(report.by_clients), sep="\n")
    print(
        f"growth of a node's gas with clients: {report.growth_with_clients},"
        f" of a proof: {report.proof_growth_with_clients}"
    )


if __name__ == "__main__":
    main()
