"""What is asked of a store, checked, and what it answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from freehold.domain.errors import CapacityError, UsageError
from freehold.telemetry.store.engine import Row, Value
from freehold.telemetry.store.limits import DAY, TIME_END, StoreLimits


@dataclass(frozen=True, slots=True)
class Ask:
    """Readings of ``devices`` (none: all) and ``metrics`` (none: all) from ``since`` to before
    ``until`` (ms). With ``step`` (ms) one row for each span of that length, spans counted from
    1970, and ``since`` and ``until`` widened to whole spans. Readings with an unsound mark and
    estimates (``std`` above 0) are left out unless ``unsound``. At most ``most`` rows."""

    devices: tuple[str, ...]
    metrics: tuple[str, ...]
    since: int
    until: int
    step: int | None
    unsound: bool
    most: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows of an answer, each with a cell for each of ``columns``; ``more``: it was cut here."""

    columns: tuple[str, ...]
    rows: list[Row]
    more: bool = False

    def column(self, name: str) -> list[Value]:
        """One column of it."""
        at = self.columns.index(name)
        return [row[at] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)


def ask(
    *,
    devices: Iterable[str],
    metrics: Iterable[str],
    since: int,
    until: int,
    step: int | None,
    unsound: bool,
    most: int,
    limits: StoreLimits,
) -> Ask:
    """An ``Ask`` that makes sense; UsageError or CapacityError for one that does not."""
    wanted, names = tuple(dict.fromkeys(devices)), tuple(dict.fromkeys(metrics))
    if max(len(wanted), len(names)) > limits.names:
        raise CapacityError(
            f"one question names at most {limits.names:,} devices or metrics",
            remedy="Ask in parts, or ask for all.",
        )
    if not 0 <= since <= until <= TIME_END:
        raise UsageError(
            f"no time runs from {since} to {until}",
            remedy="Give milliseconds since 1970, the earlier first.",
        )
    if step is not None:
        if not 1_000 <= step <= 366 * DAY:
            raise UsageError(
                f"a step of {step} ms is not offered",
                remedy="Use a step from a second to a year, in milliseconds.",
            )
        since -= since % step
        until += -until % step
    return Ask(wanted, names, since, until, step, unsound, most)
