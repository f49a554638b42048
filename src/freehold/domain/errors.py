"""Every error a user can meet.

FreeholdError                 1
├── UsageError                2   the request itself is wrong
├── CancelledError            3   stopped by the user
├── AccessError               4   key, signature or permission
├── RefusedError              5   refused by the ledger
│   └── InsufficientFundsError
├── UnavailableError          6   something needed cannot be reached
│   └── NotEnoughShardsError
├── IntegrityError            1   bytes are not what they should be
│   └── VersionError              made by a newer or foreign program
├── CapacityError             1   a limit of size, space or number
├── NotFoundError             1   the named thing does not exist
└── ConflictError             1   the state of the thing forbids it
"""

from __future__ import annotations

from typing import ClassVar


class FreeholdError(Exception):
    """A failure with a message that names the thing and a remedy to try."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, tuple[type[FreeholdError], str, str]]:
        return (_rebuild, (type(self), self.message, self.remedy))


def _rebuild(kind: type[FreeholdError], message: str, remedy: str) -> FreeholdError:
    return kind(message, remedy=remedy)


class UsageError(FreeholdError):
    """The request itself is wrong: an argument, a setting, a file format."""

    exit_code: ClassVar[int] = 2


class CancelledError(FreeholdError):
    """The user stopped the work."""

    exit_code: ClassVar[int] = 3


class AccessError(FreeholdError):
    """A key is missing or wrong, a signature does not verify, a right is lacking."""

    exit_code: ClassVar[int] = 4


class RefusedError(FreeholdError):
    """The ledger refused a transaction; the message carries the contract's reason."""

    exit_code: ClassVar[int] = 5


class InsufficientFundsError(RefusedError):
    """An account lacks the tokens or the gas for what was asked."""


class UnavailableError(FreeholdError):
    """A chain, node or service cannot be reached, or the sources disagree."""

    exit_code: ClassVar[int] = 6


class NotEnoughShardsError(UnavailableError):
    """Fewer than k columns of an object can be read."""


class IntegrityError(FreeholdError):
    """Bytes are not what their name, hash or signature says."""


class VersionError(IntegrityError):
    """A file or message was made by a newer or foreign program."""


class CapacityError(FreeholdError):
    """A limit of size, space or number would be exceeded."""


class NotFoundError(FreeholdError):
    """The named object, deal, node or file does not exist."""


class ConflictError(FreeholdError):
    """The thing is in a state that forbids the request."""
