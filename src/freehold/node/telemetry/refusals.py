"""What the telemetry service refuses, and the HTTP status each refusal travels as.

FreeholdError
├── AccessError
│   ├── UnknownError (members)     403  no such device
│   ├── BadTokenError (sources)    401  no source, and not the administrator either
│   └── NotYoursError              403  somebody else's device
├── CapacityError
│   ├── TooLargeError (telemetry)  413
│   └── BusyError                  429  too many requests, or the queue is full
└── UsageError
    └── MediaError                 415  not in a form that is read here

The others travel as a node's do.
"""

from __future__ import annotations

from math import ceil

from starlette.responses import Response

from freehold.domain.errors import AccessError, CapacityError, FreeholdError, UsageError
from freehold.node.answers import problem
from freehold.node.refusals import DiskFullError, SlowClientError, status_of
from freehold.telemetry.refusals import TooLargeError
from freehold.telemetry.sources import BadTokenError

RETRY_SECONDS = 5


class NotYoursError(AccessError):
    """A device that belongs to somebody else."""


class BusyError(CapacityError):
    """More than is taken at once; ``seconds`` says when to come again."""

    def __init__(self, message: str, *, remedy: str, seconds: float = RETRY_SECONDS) -> None:
        super().__init__(message, remedy=remedy)
        self.seconds = seconds


class MediaError(UsageError):
    """A body in a form, encoding or version that is not read here."""


_STATUS: tuple[tuple[type[FreeholdError], int], ...] = (
    (BadTokenError, 401),
    (MediaError, 415),
    (TooLargeError, 413),
    (BusyError, 429),
)


def status(error: FreeholdError) -> int:
    """The HTTP status of a refusal."""
    return next((code for kind, code in _STATUS if isinstance(error, kind)), status_of(error))


def refusal(error: FreeholdError) -> Response:
    """The answer that tells of a typed error, in JSON."""
    response = problem(status(error), error.message, error.remedy, type(error).__name__)
    return dress(response, error)


def dress(response: Response, error: FreeholdError) -> Response:
    """The same answer with what the headers have to say about ``error``."""
    if response.status_code in (429, 503, 507):
        seconds = error.seconds if isinstance(error, BusyError) else RETRY_SECONDS
        response.headers["Retry-After"] = str(max(1, ceil(seconds)))
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, SlowClientError):
        response.headers["Connection"] = "close"
    return response


def queue_full(error: CapacityError) -> FreeholdError:
    """A queue without room, which is no fault of the disk: come again."""
    if isinstance(error, DiskFullError | TooLargeError | BusyError):
        return error
    return BusyError(error.message, remedy=error.remedy)
