"""What a validator answers on its own endpoint: how it is, and what it counts.

Scores are not served: who knew them before they are revealed could copy them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from freehold.node.answers import problem
from freehold.node.metrics import CONTENT_TYPE

Report = Callable[[], dict[str, object]]
Routes = Callable[[FastAPI], None]


def build(report: Report, render: Callable[[], bytes], more: Sequence[Routes] = ()) -> FastAPI:
    """The application: ``GET /health``, ``GET /metrics``, and what ``more`` puts on it."""
    app = FastAPI(title="Freehold validator", docs_url=None, redoc_url=None, openapi_url=None)

    async def health(_: Request) -> Response:
        return JSONResponse(report())

    async def metrics(_: Request) -> Response:
        return Response(render(), media_type=CONTENT_TYPE)

    app.add_route("/health", health, methods=["GET"])
    app.add_route("/metrics", metrics, methods=["GET"])
    app.add_exception_handler(HTTPException, _unrouted)
    for add in more:
        add(app)
    return app


async def _unrouted(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return problem(
        status,
        "there is nothing here" if status == 404 else f"the request was refused ({status})",
        "A validator answers /health and /metrics, and /traces/{epoch} where it proposes.",
        "HTTP",
    )
