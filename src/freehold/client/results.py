"""What the client's calls return."""

from __future__ import annotations

from dataclasses import dataclass, field

from freehold.client.timing import Timing
from freehold.client.view import Named
from freehold.domain.errors import FreeholdError
from freehold.ledger.contracts.storage import ACTIVE, Column, Deal


@dataclass(frozen=True, slots=True)
class PutResult:
    """What a put came to; ``pending`` means journaled here and not yet on the chain.

    ``deal``, ``gas_used`` and ``fee`` (wei) are zero while pending. ``trouble`` is why a pack
    that was due could not be put yet. ``promise`` numbers a promise that can be taken back.
    """

    name: str
    size: int
    pending: bool
    object_id: bytes = b""
    deal: int = 0
    gas_used: int = 0
    fee: int = 0
    trouble: FreeholdError | None = None
    promise: int = 0
    timing: Timing = field(default_factory=Timing, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """One column of a deal as the chain has it."""

    slot: int
    record: Column

    @property
    def active(self) -> bool:
        """Whether its node holds it and is paid."""
        return self.record.state == ACTIVE


@dataclass(frozen=True, slots=True)
class DealInfo:
    """A deal of the account and its columns."""

    id: int
    record: Deal
    columns: tuple[ColumnInfo, ...]


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object by name, and the deal that holds it (None while pending)."""

    named: Named
    deal: DealInfo | None
