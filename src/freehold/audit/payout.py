"""One payout with its arithmetic: lines of whole numbers that a pocket calculator can follow."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from freehold.audit.events import Event


@dataclass(frozen=True, slots=True)
class Step:
    """One line: what it is, how it is reckoned, what it comes to (seconds, bytes, base units), and
    the block and transaction that it stands in, where it stands in one."""

    name: str
    rule: str
    value: int
    where: str = ""


@dataclass(frozen=True, slots=True)
class Payout:
    """What an account earned for an epoch and what of it was paid, base units.

    ``reason`` says why it earned nothing, or why it was not paid yet.
    """

    account: str
    epoch: int
    earned: int
    paid: int
    reason: str
    steps: tuple[Step, ...] = ()

    def to_json(self) -> dict[str, object]:
        """A JSON object with all of it."""
        return asdict(self)


def where(event: Event) -> str:
    """The block and transaction of an event, in words."""
    return f"block {event.block}, transaction {event.place.transaction}"
