"""Why a request to a subnet's models brought no answer.

FreeholdError
├── UsageError
│   └── UnwantedInputError        every node that could be reached refuses the input
├── AccessError
│   └── TooDearError              nodes are there, but for more than the caller pays
├── UnavailableError
│   ├── NobodyError               the subnet has no node that the caller admits
│   ├── AllFailedError            each node that was asked failed, with what each said
│   └── DeadlineError             the time was over before one answered
├── IntegrityError
│   └── DisagreementError         nodes answered, but too few say the same
└── CapacityError
    └── CrowdedError              this program has as many requests under way as it may
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from freehold.domain.errors import (
    AccessError,
    CapacityError,
    FreeholdError,
    IntegrityError,
    UnavailableError,
    UsageError,
)
from freehold.domain.ids import Address

TOLD = 8
"""Failures that a message names; the error has them all."""


class Kind(Enum):
    """How an attempt at one node failed."""

    UNREACHABLE = "unreachable"
    IMPOSTER = "imposter"
    SILENT = "silent"
    DROPPED = "dropped"
    GARBAGE = "garbage"
    REFUSED = "refused"
    BUSY = "busy"
    BROKEN = "broken"
    UNPAID = "unpaid"
    DEAR = "dear"


@dataclass(frozen=True, slots=True)
class Failure:
    """What one node did instead of answering, after how many seconds."""

    node: Address
    kind: Kind
    reason: str
    seconds: float = 0.0


class AttemptError(UnavailableError):
    """One node did not answer well; ``wait`` is how many seconds it wants to be left alone."""

    def __init__(self, kind: Kind, message: str, *, wait: float | None = None) -> None:
        super().__init__(message, remedy="Other nodes of the subnet are asked.")
        self.kind, self.wait = kind, wait


class UnansweredError(FreeholdError):
    """What the refusals below have in common: ``failures``, one for each node that was asked."""

    def __init__(self, message: str, *, remedy: str, failures: Sequence[Failure] = ()) -> None:
        super().__init__(message, remedy=remedy)
        self.failures = tuple(failures)


class UnwantedInputError(UnansweredError, UsageError):
    """Every node that answered refuses the input."""


class TooDearError(UnansweredError, AccessError):
    """Nodes are there, but each costs more than the caller pays."""


class NobodyError(UnansweredError, UnavailableError):
    """The subnet has no node that the caller admits."""


class AllFailedError(UnansweredError, UnavailableError):
    """Each node that was asked failed."""


class DeadlineError(UnansweredError, UnavailableError):
    """The caller's time was over."""


class DisagreementError(UnansweredError, IntegrityError):
    """Too few nodes say the same; ``classes`` are the nodes of each answer, most first."""

    def __init__(
        self,
        message: str,
        *,
        remedy: str,
        failures: Sequence[Failure] = (),
        classes: Sequence[Sequence[Address]] = (),
    ) -> None:
        super().__init__(message, remedy=remedy, failures=failures)
        self.classes = tuple(tuple(each) for each in classes)


class CrowdedError(CapacityError):
    """As many requests are under way and waiting as may be."""


def printable(said: object) -> str:
    """A node's own words, short, and without what a terminal would obey."""
    return "".join(each for each in str(said)[:1_000] if each.isprintable())[:200]


def told(failures: Sequence[Failure]) -> str:
    """What each node said, for a message."""
    texts = [f"{failure.node} {failure.kind.value}: {failure.reason}" for failure in failures]
    more = f"; and {len(texts) - TOLD} more" if len(texts) > TOLD else ""
    return "; ".join(texts[:TOLD]) + more
