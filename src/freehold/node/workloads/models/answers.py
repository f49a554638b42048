"""A model server's answers to what it refuses, in JSON with the protocol's member ``error``."""

from __future__ import annotations

from math import ceil

from starlette.responses import Response

from freehold.domain.errors import FreeholdError
from freehold.markets.models import tensor
from freehold.node.answers import problem
from freehold.node.refusals import (
    PaymentRequiredError,
    SlowClientError,
    TooLargeError,
    status_of,
)
from freehold.node.workloads.models.refusals import (
    RETRY_SECONDS,
    BusyError,
    ModelFailedError,
    ModelLostError,
    ModelTimeoutError,
)

_STATUS: tuple[tuple[type[FreeholdError], int], ...] = (
    (ModelFailedError, 500),
    (ModelLostError, 500),
    (ModelTimeoutError, 504),
    (BusyError, 429),
    (tensor.MalformedError, 400),
    (tensor.TooLargeError, 413),
    (TooLargeError, 413),
)


def status(error: FreeholdError) -> int:
    """The HTTP status of a refusal."""
    return next((code for kind, code in _STATUS if isinstance(error, kind)), status_of(error))


def refusal(error: FreeholdError) -> Response:
    """The answer that tells of a typed error, in JSON."""
    terms = error.terms if isinstance(error, PaymentRequiredError) else None
    response = problem(status(error), error.message, error.remedy, type(error).__name__, terms)
    if response.status_code in (429, 503):
        seconds = getattr(error, "seconds", RETRY_SECONDS)
        response.headers["Retry-After"] = str(max(1, ceil(seconds)))
    if isinstance(error, SlowClientError):
        response.headers["Connection"] = "close"
    return response
