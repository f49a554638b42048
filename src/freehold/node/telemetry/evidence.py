"""What is known of epochs before they are settled: which, and what arrived in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from freehold.domain.errors import NotFoundError
from freehold.node.telemetry.facts import Calendar
from freehold.telemetry.partition import Partition


class Kept:
    """What the partitions keep of the last ``kept`` seconds, since ``began``; ``now`` gives the
    ledger's seconds."""

    def __init__(
        self, calendar: Calendar, partitions: Sequence[Partition], *, kept: int, began: int,
        now: Callable[[], int],
    ) -> None:  # fmt: skip
        self._calendar, self._partitions = calendar, partitions
        self._kept, self._began, self._now = kept, began, now

    def epochs(self) -> Sequence[int]:
        """Those of which batches are kept, the present one last."""
        now = self._now()
        first = self._calendar.at(max(self._began, now - self._kept))
        return range(first, self._calendar.at(now) + 1)

    def epoch(self, number: int) -> Mapping[str, object]:
        """What arrived in an epoch, by device: sound readings and their mean quality."""
        self._check(number)
        span = self._calendar.span(number)
        since, until = span.since, span.until
        tallies: dict[str, tuple[int, float]] = {}
        for partition in self._partitions:
            tallies |= partition.tally(since, until)
        rows = [
            {"device": name, "readings": count, "quality": quality}
            for name, (count, quality) in sorted(tallies.items())
        ]
        return {"epoch": number, "since": since, "until": until, "devices": rows}

    def _check(self, number: int) -> None:
        if number not in self.epochs():
            raise NotFoundError(
                f"nothing is kept of epoch {number}",
                remedy="Ask for GET /epochs, which lists them.",
            )
