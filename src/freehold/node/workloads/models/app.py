"""The Open Inference Protocol v2 over HTTP: thin handlers over one model."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from time import perf_counter
from typing import TypeVar

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from freehold import __version__
from freehold.domain.errors import FreeholdError
from freehold.markets.models.tensor import (
    Limits,
    TooLargeError,
    decode_request,
    encode_response,
    header_length,
)
from freehold.markets.models.tensor import Request as Question
from freehold.markets.models.tensor import Response as Answer
from freehold.node.answers import problem
from freehold.node.logs import fields
from freehold.node.metrics import CONTENT_TYPE
from freehold.node.tokens import parse_token
from freehold.node.vouchers import Ticket
from freehold.node.workloads.models.answers import refusal
from freehold.node.workloads.models.brake import Brake
from freehold.node.workloads.models.cashier import Bill, Cashier
from freehold.node.workloads.models.inbox import Inbox
from freehold.node.workloads.models.model import Model
from freehold.node.workloads.models.outbox import Outbox
from freehold.node.workloads.models.refusals import NoSuchModelError

EXTENSIONS = ["binary_tensor_data"]
LINES, LINE_SECONDS = 100, 10.0
"""Refusals that are logged in so many seconds."""
LARGE = 2**17
"""Bytes of a message that is read and written in another thread."""
T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the API stands on. ``about`` is told in the server's metadata; ``workers`` run calls
    that may ask the chain, ``readers`` read and write what is large. Without a ``cashier``
    everyone may ask."""

    model: Model
    inbox: Inbox
    outbox: Outbox
    limits: Limits
    workers: Executor
    readers: Executor
    about: Mapping[str, object]
    cashier: Cashier | None = None


class Api:
    """The handlers; ``build`` puts them on an application."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._model = parts, parts.model
        self._brake = Brake(most=LINES, seconds=LINE_SECONDS)

    def build(self) -> FastAPI:
        """The application. Its routes are plain ones: FastAPI's would cost half a request."""
        app = FastAPI(title="Freehold model", docs_url=None, redoc_url=None, openapi_url=None)
        for path, method, handler in (
            ("/v2", "GET", self.server),
            ("/v2/health/live", "GET", self.live),
            ("/v2/health/ready", "GET", self.ready),
            ("/v2/models/{model}", "GET", self.metadata),
            ("/v2/models/{model}/ready", "GET", self.model_ready),
            ("/v2/models/{model}/infer", "POST", self.infer),
            ("/v2/models/{model}/versions/{version}", "GET", self.metadata),
            ("/v2/models/{model}/versions/{version}/ready", "GET", self.model_ready),
            ("/v2/models/{model}/versions/{version}/infer", "POST", self.infer),
            ("/metrics", "GET", self.metrics),
        ):
            app.add_route(path, self._guarded(handler), methods=[method])
        app.add_exception_handler(HTTPException, _unrouted)
        return app

    def _guarded(
        self, handler: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            try:
                return await handler(request)
            except FreeholdError as error:
                return self._refuse(error)
            except ClientDisconnect:
                return Response(status_code=400)
            except Exception:  # noqa: BLE001 - one request must not end the server
                _log.exception("a request failed", extra=fields(method=request.method))
                return problem(500, "the server failed", "Try again, or another node.", "Error")

        return guarded

    def _refuse(self, error: FreeholdError) -> Response:
        answer, kind = refusal(error), type(error).__name__
        self._model.metrics.refusals.labels(kind).inc()
        if self._brake.go():
            told = fields(
                kind=kind, reason=error.message, status=answer.status_code,
                dropped=self._brake.since(),
            )  # fmt: skip
            level = logging.WARNING if answer.status_code >= 500 else logging.INFO
            _log.log(level, "refused", extra=told)
        return answer

    async def _work(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._parts.workers, call)

    # --- what it is ------------------------------------------------------------------------------

    async def server(self, _: Request) -> Response:
        about = dict(self._parts.about)
        if self._parts.cashier is not None:
            about |= await self._work(self._parts.cashier.terms)
        return JSONResponse(
            {"name": "freehold", "version": __version__, "extensions": EXTENSIONS,
             "freehold": about}
        )  # fmt: skip

    async def live(self, _: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(self, _: Request) -> Response:
        ready = self._model.crew.ready
        return JSONResponse({"ready": ready}, status_code=200 if ready else 503)

    async def model_ready(self, request: Request) -> Response:
        self._named(request)
        ready = self._model.crew.ready
        return JSONResponse(
            {"name": self._model.name, "ready": ready}, status_code=200 if ready else 503
        )

    async def metadata(self, request: Request) -> Response:
        self._named(request)
        return JSONResponse(self._model.metadata())

    async def metrics(self, _: Request) -> Response:
        self._model.metrics.waiting.set(self._model.waiting)
        return Response(self._model.metrics.render(), media_type=CONTENT_TYPE)

    def _named(self, request: Request) -> None:
        name, version = request.path_params["model"], request.path_params.get("version")
        if name not in self._model.names:
            raise NoSuchModelError(
                f"there is no model {name[:80]!r} here", remedy=f"Ask for {self._model.name}."
            )
        if version not in (None, self._model.hello.version):
            raise NoSuchModelError(
                f"there is no version {version[:80]!r} of {name}",
                remedy=f"Ask for {self._model.hello.version}, or name no version.",
            )

    # --- answering -------------------------------------------------------------------------------

    async def infer(self, request: Request) -> Response:
        began = perf_counter()
        status = 500
        try:
            answer = await self._infer(request)
            status = answer.status_code
        except FreeholdError as error:
            answer = self._refuse(error)
            status = answer.status_code
        finally:
            self._model.metrics.requests.labels(str(status)).inc()
        self._model.metrics.seconds.observe(perf_counter() - began)
        return answer

    async def _infer(self, request: Request) -> Response:
        self._named(request)
        if self._parts.cashier is not None:  # who shows nothing need not be read
            parse_token(request.headers.get("authorization"))
        with self._parts.inbox.letter() as letter:
            body = await letter.read(request)
            length = header_length(request.headers.get("inference-header-content-length"))
            question = await self._apart(
                lambda: decode_request(body, length, self._parts.limits), len(body)
            )
            self._model.check(question)
            ticket = await self._pay(request, body)
            return await self._answer(question, ticket)

    async def _pay(self, request: Request, body: bytes) -> Ticket | None:
        cashier = self._parts.cashier
        if cashier is None:
            return None
        token, voucher = (request.headers.get(n) for n in ("authorization", "freehold-voucher"))
        bill = Bill(request.method, request.url.path, body, token, voucher)
        return await self._work(lambda: cashier.admit(bill))

    async def _answer(self, question: Question, ticket: Ticket | None) -> Response:
        try:
            answer = await self._model.infer(question)
            weight = sum(len(tensor.data) for tensor in answer.outputs)
            return await self._apart(lambda: self._written(question, answer), weight)
        except BaseException:
            cashier = self._parts.cashier
            if cashier is not None and ticket is not None:
                await asyncio.shield(self._work(lambda: cashier.give_back(ticket)))
            raise

    def _written(self, question: Question, answer: Answer) -> Response:
        binary = question.binary([tensor.name for tensor in answer.outputs])
        most = self._parts.limits.json
        if sum(len(t.data) for t in answer.outputs if t.name not in binary) > most:
            raise TooLargeError(
                f"the answer has more than {most:,} bytes, too many for JSON",
                remedy="Ask for it as bytes: the parameter `binary_data_output`.",
            )
        body = encode_response(answer, binary=binary)
        return self._parts.outbox.response(body.data, body.headers())

    async def _apart(self, call: Callable[[], T], weight: int) -> T:
        if weight < LARGE:
            return call()
        return await asyncio.get_running_loop().run_in_executor(self._parts.readers, call)


async def _unrouted(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return problem(
        status,
        "there is nothing here" if status == 404 else f"the request was refused ({status})",
        "See the Open Inference Protocol v2: /v2, /v2/health/ready, /v2/models/{model}/infer.",
        "HTTP",
    )
