"""Why a message or a tensor is refused.

FreeholdError
├── IntegrityError
│   └── MalformedError         no message of the protocol
│       └── NotFiniteError     a value is NaN or infinite
├── CapacityError
│   └── TooLargeError          more bytes, tensors, elements or dimensions than are read
└── UsageError
    └── MismatchError          sound, but not what the model's schema says
"""

from __future__ import annotations

from freehold.domain.errors import CapacityError, IntegrityError, UsageError

PROTOCOL = "Send what the Open Inference Protocol v2 describes."


class MalformedError(IntegrityError):
    """Bytes or values that are no message of the protocol."""


class NotFiniteError(MalformedError):
    """A value that is NaN or infinite."""


class TooLargeError(CapacityError):
    """More than is read at once."""


class MismatchError(UsageError):
    """A sound message that does not fit the model's schema."""


def malformed(reason: str, *, remedy: str = PROTOCOL) -> MalformedError:
    """The refusal of what is no message."""
    return MalformedError(f"the message is malformed: {reason}", remedy=remedy)


def too_large(reason: str) -> TooLargeError:
    """The refusal of what is sound but too much."""
    return TooLargeError(
        f"the message is too large: {reason}", remedy="Send less at a time, in several requests."
    )
