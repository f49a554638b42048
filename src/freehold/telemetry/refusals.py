"""Why a batch of readings is refused.

FreeholdError
├── IntegrityError
│   ├── VersionError
│   └── MalformedError            the bytes are no batch of this version
│       ├── NotAReadingError      a value is NaN or infinite
│       ├── WrongUnitError        a unit is unknown, or measures something else
│       └── BackwardsError        times run backwards
├── AccessError
│   └── ForeignError              signed for another network
├── CapacityError
│   └── TooLargeError             more bytes, readings or metrics than a batch holds
└── ConflictError
    └── ReplayError               seen, or too old to tell
        ├── RollbackError         from before the boots that are remembered
        ├── AlteredError          another batch had this boot and sequence number
        └── StaleError            its time is too far from now
"""

from __future__ import annotations

from freehold.domain.errors import AccessError, CapacityError, ConflictError, IntegrityError


class MalformedError(IntegrityError):
    """Bytes that are no batch of readings."""


class NotAReadingError(MalformedError):
    """A value that is no finite number."""


class WrongUnitError(MalformedError):
    """A unit that is unknown, or that measures something else than its metric."""


class BackwardsError(MalformedError):
    """Readings whose times run backwards, or run past the time of their batch."""


class ForeignError(AccessError):
    """A batch that was signed for another network."""


class TooLargeError(CapacityError):
    """A batch of more bytes, readings or metrics than allowed."""


class ReplayError(ConflictError):
    """A batch so old that nobody can tell any more whether it was seen."""


class RollbackError(ReplayError):
    """A batch of a boot before those that are remembered."""


class AlteredError(ReplayError):
    """A second batch with the boot and sequence number of another."""


class StaleError(ReplayError):
    """A batch whose time is too long ago, or too far ahead."""
