"""Gas of every kind of transaction, of proofs by the size of the set, and of whole networks.

The story of ``bench/story.py`` runs on pyrevm, where a transaction costs what its receipt says on
a real engine: the same story on anvil, with the same times and seeds, is compared row by row.

    uv run python bench/gas.py --json        the figures, compared with anvil's receipts
    uv run python bench/gas.py --write       the same, with bench/scale.py, into docs/reference
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

if __package__ is None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import fees, modeling, page, scale, sensing, sets, work
from bench.anvil import running
from bench.deployment import by_ledger
from bench.network import Network, begin, fresh
from bench.revm import Revm
from bench.story import COLUMN, MIB, Row, Spread, Story
from freehold.ledger.devnet import engine

REFERENCE = Path(__file__).resolve().parents[1] / "docs" / "reference"
LARGE_COLUMN = 1_024 * MIB
NODES, CLIENTS, OBJECTS = (10, 100, 1_000), (1, 10, 100), 1_000


@dataclass(frozen=True, slots=True)
class Compared:
    """How many rows an engine's receipts were compared with, and the largest difference, gas."""

    engine: str
    rows: int
    difference: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that the reference page tells."""

    column_mib: int
    transactions: tuple[Row, ...]
    sets: tuple[Spread, ...]
    large_sets: tuple[Spread, ...]
    work: tuple[work.Extra, ...]
    compared: Compared | None = None
    scale: scale.Report | None = None


def story(network: Network) -> tuple[Row, ...]:
    """The rows of the story of a network just deployed."""
    told = Story.begin(network)
    told.tell()
    return (
        *told.rows, *fees.tell(network), *sensing.tell(network), *modeling.tell(network)
    )  # fmt: skip


def modelled() -> tuple[Row, ...]:
    """The story in process."""
    return story(fresh(Revm()))


def real(scratch: Path) -> tuple[Row, ...]:
    """The story on an engine, deployed by the ledger; UnavailableError where there is none."""
    with running(scratch) as chain:
        return story(begin(by_ledger(chain, scratch)))


def compare(rows: tuple[Row, ...]) -> Compared:
    """Tell the story to an engine and compare."""
    with tempfile.TemporaryDirectory(prefix="freehold-gas-") as scratch:
        others = real(Path(scratch))
    if [(row.chapter, row.kind) for row in rows] != [(row.chapter, row.kind) for row in others]:
        raise ValueError("the engine's story has other rows")
    largest = max(abs(ours.gas - theirs.gas) for ours, theirs in zip(rows, others, strict=True))
    return Compared(f"anvil {engine.pin().version}", len(rows), largest)


def figures(*, receipts: bool) -> Figures:
    """The figures without whole networks."""
    rows = modelled()
    compared = compare(rows) if receipts else None
    large = sets.measure(column=LARGE_COLUMN)
    small, extra = tuple(sets.measure()), tuple(work.measure())
    return Figures(COLUMN // MIB, rows, small, tuple(large), extra, compared)


def dump(found: Figures) -> str:
    """The text of docs/reference/gas.json."""
    return json.dumps(asdict(found), indent=1) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bench/gas.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--write", action="store_true", help="write docs/reference/gas.{json,md}")
    parser.add_argument("--no-receipts", action="store_true", help="compare with no engine")
    options = parser.parse_args()
    found = figures(receipts=not options.no_receipts)
    if options.write:
        networks = scale.measure(NODES, CLIENTS, OBJECTS, COLUMN)
        found = replace(found, scale=networks)
        (REFERENCE / "gas.json").write_text(dump(found), encoding="utf-8")
        (REFERENCE / "gas.md").write_text(page.render(json.loads(dump(found))), encoding="utf-8")
    if options.json:
        sys.stdout.write(dump(found))
    elif not options.write:
        for row in found.transactions:
            print(f"{row.gas:10,}  {row.chapter}: {row.kind}")
        for each in found.sets:
            print(f"{each.mean:10,}  five challenges over {each.pieces} pieces, {each.most:,} most")
        for each in found.large_sets:
            print(f"{each.mean:10,}  the same with pieces of 1 GiB, {each.most:,} most")
        for extra in found.work:
            print(f"{extra.gas - extra.without:10,}  more for counting, {extra.kind}")
        print(found.compared or "compared with no engine")


if __name__ == "__main__":
    main()
