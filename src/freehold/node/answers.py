"""The node's answers to what it refuses, in JSON."""

from __future__ import annotations

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from freehold.domain.errors import FreeholdError
from freehold.node.refusals import PaymentRequiredError, SlowClientError, status_of
from freehold.node.uploads import OffsetError


def refusal(error: FreeholdError) -> Response:
    """The answer that tells of a typed error."""
    status = status_of(error)
    extra: dict[str, str | int] = error.terms if isinstance(error, PaymentRequiredError) else {}
    response = problem(status, error.message, error.remedy, type(error).__name__, extra)
    if isinstance(error, OffsetError):
        response.headers["Upload-Offset"] = str(error.offset)
    if isinstance(error, SlowClientError):
        response.headers["Connection"] = "close"
    if status in (429, 503):
        response.headers["Retry-After"] = "5"
    return response


def problem(
    status: int, message: str, remedy: str, kind: str, extra: dict[str, str | int] | None = None
) -> Response:
    """An answer in JSON: what is wrong, what to do, and of which kind it is."""
    return JSONResponse(
        {"error": message, "remedy": remedy, "kind": kind} | (extra or {}),
        status_code=status,
    )


async def unrouted(_: Request, error: Exception) -> Response:
    """The answer to a request for which there is no handler."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    return problem(
        status,
        "there is nothing here" if status == 404 else f"the request was refused ({status})",
        "See the node's API: /piece, /upload, /deals/accept, /offer, /health, /metrics.",
        "HTTP",
    )
