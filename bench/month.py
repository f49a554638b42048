"""A month of a network under a stated use, from what a run measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.load import BATCH, Load, N, Size, Tally

TIB = 2**40
DAYS = 30
PERIODS = 30
"""Periods of a day in a month."""
TERM = 12
"""Months that an object is kept: it is opened and ended once in them."""
FAILURES = 0.1
"""Nodes that fail, of ten in ten years one a year."""

NODE, CLIENT, REPAIRER, KEEPER = "node", "client", "repairer", "keeper"


@dataclass(frozen=True, slots=True)
class Use:
    """How often a network sends a kind of transaction in a month, and who sends it."""

    kind: str
    by: str
    transactions: float
    gas: float


@dataclass(frozen=True, slots=True)
class Month:
    """A month: gas and transactions of the whole network."""

    size: Size
    uses: tuple[Use, ...]

    @property
    def stored(self) -> float:
        """TiB in columns."""
        return N * self.size.objects * self.size.column / TIB

    def gas(self, *senders: str) -> float:
        """Gas a month of some senders, of all without a name."""
        return sum(use.gas for use in self._of(senders))

    def daily(self, *senders: str) -> float:
        """Transactions a day of some senders."""
        return sum(use.transactions for use in self._of(senders)) / DAYS

    def _of(self, senders: tuple[str, ...]) -> Iterator[Use]:
        return (use for use in self.uses if not senders or use.by in senders)


def month(load: Load) -> Month:
    """The month of a network of that size: one proof a day, one settlement of every rail and one
    deposit of every client a month, objects of a year, one node in ten failing in a year."""
    size, tallies = load.size, load.tallies
    columns = N * size.objects
    proving = min(size.nodes, columns)
    moved = columns * FAILURES / TERM
    failing = size.nodes * FAILURES / TERM
    batches = size.nodes * -(-size.columns_per_node // BATCH)
    counts = {
        "prove": (NODE, proving * PERIODS),
        "settle": (NODE, batches),
        "roll": (NODE, min(columns / TERM, proving * PERIODS)),
        "finish": (NODE, columns / TERM),
        "deposit": (CLIENT, size.clients),
        "open": (CLIENT, size.objects / TERM),
        "close": (CLIENT, size.objects / TERM),
        "evaluate and slash": (REPAIRER, failing),
        "replace": (REPAIRER, moved),
        "claim a repair": (REPAIRER, moved),
        "finish a failed column": (REPAIRER, moved),
        "fix the beacon": (KEEPER, PERIODS),
        "store the beacon": (KEEPER, PERIODS),
    }
    uses = [_use(kind, by, count, tallies) for kind, (by, count) in counts.items()]
    return Month(size, tuple(uses))


def _use(kind: str, by: str, count: float, tallies: Mapping[str, Tally]) -> Use:
    tally = tallies[kind]
    each = tally.gas / (tally.units if kind == "roll" else tally.count)
    return Use(kind, by, count, count * each)
