"""What a node refuses, and the HTTP status each refusal travels as.

FreeholdError
├── AccessError
│   └── TokenError                 a request token that does not count
│       ├── MissingTokenError      401
│       ├── MalformedTokenError    401
│       ├── BadSignatureError      401
│       ├── ExpiredTokenError      401
│       ├── FarExpiryError         401  valid for longer than anyone may ask
│       ├── ReplayedTokenError     401
│       ├── WrongAudienceError     403
│       ├── ForeignNetworkError    403
│       └── OutOfScopeError        403  other method, path or body
├── PaymentRequiredError           402
├── CapacityError
│   ├── TooLargeError              413
│   ├── QuotaError                 429
│   └── DiskFullError              507
├── RangeError                     416
└── SlowClientError                408
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from freehold.domain import errors


class TokenError(errors.AccessError):
    """A request token that does not count."""


class MissingTokenError(TokenError):
    """The request carries no token."""


class MalformedTokenError(TokenError):
    """The token cannot be read."""


class BadSignatureError(TokenError):
    """The token was not signed by the account it names."""


class ExpiredTokenError(TokenError):
    """The token's time is over."""


class FarExpiryError(TokenError):
    """The token would be valid for longer than anyone may ask."""


class ReplayedTokenError(TokenError):
    """The token was used before."""


class WrongAudienceError(TokenError):
    """The token was made for another node."""


class ForeignNetworkError(TokenError):
    """The token was made for another network."""


class OutOfScopeError(TokenError):
    """The token covers another method, path or body."""


class PaymentRequiredError(errors.FreeholdError):
    """The bytes have a price; ``terms`` say how to pay it."""

    exit_code: ClassVar[int] = 4

    def __init__(self, message: str, *, remedy: str, terms: Mapping[str, str | int]) -> None:
        super().__init__(message, remedy=remedy)
        self.terms = dict(terms)


class TooLargeError(errors.CapacityError):
    """One body or piece is larger than the node takes."""


class QuotaError(errors.CapacityError):
    """One account has as much open as the node lets it have."""


class DiskFullError(errors.CapacityError):
    """The disk or the offered capacity has no room left."""


class RangeError(errors.UsageError):
    """The byte range asked for cannot be served."""


class SlowClientError(errors.UnavailableError):
    """The other side sent or took no bytes for too long."""


class QuarantinedError(errors.IntegrityError):
    """The piece is on the disk but no longer what its name says."""


_STATUS: tuple[tuple[type[errors.FreeholdError], int], ...] = (
    (WrongAudienceError, 403),
    (ForeignNetworkError, 403),
    (OutOfScopeError, 403),
    (TokenError, 401),
    (PaymentRequiredError, 402),
    (TooLargeError, 413),
    (QuotaError, 429),
    (errors.CapacityError, 507),
    (RangeError, 416),
    (SlowClientError, 408),
    (QuarantinedError, 410),
    (errors.AccessError, 403),
    (errors.NotFoundError, 404),
    (errors.ConflictError, 409),
    (errors.IntegrityError, 422),
    (errors.UnavailableError, 503),
    (errors.UsageError, 400),
    (errors.RefusedError, 409),
)


def status_of(error: errors.FreeholdError) -> int:
    """The HTTP status that tells a client what kind of refusal ``error`` is."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
