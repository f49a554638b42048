"""One standard endpoint for all models of a network: the Open Inference Protocol v2, which routes.

Whatever speaks the protocol asks ``POST /v2/models/{subnet}/infer`` and gets the answer of one of
the subnet's nodes. Three headers say more: ``Freehold-Agree: 2/3``, ``Freehold-Max-Price`` (base
units, at most what the gateway allows) and ``Freehold-Deadline`` (seconds, at most its own).
``Freehold-Node`` and ``Freehold-Paid`` come back.

Threats: a web page that makes its visitor's browser spend money (without a key only requests
without an Origin and for a loopback host are taken, and the gateway listens on nothing else);
floods and endless bodies (bounded in number, size and time, and together in memory); a key that is
guessed (256 bits, compared in constant time). Who has the key spends up to the gateway's price and
cap: say so.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import math
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from freehold.client.asking.caller import Reply
from freehold.client.asking.candidate import ONE, Agreement, Effort, Limits, Ranking
from freehold.client.asking.refusals import (
    CrowdedError,
    DeadlineError,
    DisagreementError,
    TooDearError,
    UnansweredError,
)
from freehold.client.asking.router import Router
from freehold.domain.errors import (
    AccessError,
    CapacityError,
    FreeholdError,
    IntegrityError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from freehold.markets.models.agree import Tolerance, parse_quorum
from freehold.markets.models.tensor import Request as Asked
from freehold.markets.models.tensor import (
    Response as Inferred,
)
from freehold.markets.models.tensor import (
    Tensor,
    decode_request,
    encode_response,
    header_length,
)
from freehold.node.refusals import SlowClientError
from freehold.node.server import NodeServer as GatewayServer
from freehold.node.server import bounded_config, listen
from freehold.node.workloads.models.inbox import Inbox, Letter
from freehold.node.workloads.models.outbox import Outbox
from freehold.node.workloads.models.refusals import BusyError

BODY_MAX, BODY_SECONDS = 2**24, 30.0
BODIES = 2**28
"""Bytes of all bodies that are on their way, and of all answers."""
CONNECTIONS = 1_024
LARGE = 2**18
"""Bytes from which a body is read in a thread."""
NAME, VERSION = "freehold", "2"
EXTENSIONS = ("binary_tensor_data",)
_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_STATUS: tuple[tuple[type[FreeholdError], int], ...] = (
    (TooDearError, 402),
    (DeadlineError, 504),
    (DisagreementError, 502),
    (CrowdedError, 429),
    (BusyError, 429),
    (SlowClientError, 408),
    (NotFoundError, 404),
    (UsageError, 400),
    (IntegrityError, 400),
    (CapacityError, 413),
    (AccessError, 403),
    (UnavailableError, 503),
)
_log = logging.getLogger(__name__)


class KeyRefusedError(AccessError):
    """The request carries no key, or another one."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the gateway does for whom: with a ``key`` (bearer token) for whoever has it, without
    one for programs of this machine; ``limits`` and ``effort`` are the most that a request gets."""

    key: str = ""
    limits: Limits = field(default_factory=Limits)
    effort: Effort = field(default_factory=Effort)
    tolerance: Tolerance = field(default_factory=Tolerance)
    body: int = BODY_MAX


class Meters:
    """Counters of one gateway, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "freehold_gateway_requests",
            "Requests to models",
            ("status",),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "freehold_gateway_seconds",
            "Until the answer",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.paid = Counter(
            "freehold_gateway_paid_units", "Base units paid", registry=self.registry
        )
        self.flying = Gauge(
            "freehold_gateway_open_requests", "Requests under way", registry=self.registry
        )


class Gateway:
    """Answers the protocol by asking a router's nodes."""

    def __init__(self, router: Router, ranking: Ranking, terms: Terms) -> None:
        self.router, self.terms = router, terms
        self._ranking = ranking
        self._key = sha256(terms.key.encode()).digest()
        self._inbox = Inbox(most=terms.body, room=max(BODIES, terms.body), seconds=BODY_SECONDS)
        self._outbox = Outbox(room=BODIES, seconds=BODY_SECONDS)
        self.meters = Meters()

    def app(self) -> Starlette:
        """The routes."""
        return Starlette(
            routes=[
                Route("/v2", self._open(self._server), methods=["GET"]),
                Route("/v2/health/live", self._open(self._live), methods=["GET"]),
                Route("/v2/health/ready", self._open(self._live), methods=["GET"]),
                Route("/metrics", self._open(self._metrics), methods=["GET"]),
                Route("/v2/models/{subnet}", self._keyed(self._model), methods=["GET"]),
                Route("/v2/models/{subnet}/ready", self._keyed(self._ready), methods=["GET"]),
                Route("/v2/models/{subnet}/infer", self._keyed(self._infer), methods=["POST"]),
            ]
        )

    def _open(self, handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except FreeholdError as error:
                return refusal(error)

        return answer

    def _keyed(self, handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            self.admit(request)
            return await handler(request)

        return self._open(answer)

    def admit(self, request: Request) -> None:
        """KeyRefusedError unless the request may spend."""
        headers = request.headers
        if self.terms.key:
            scheme, _, token = headers.get("authorization", "")[:512].partition(" ")
            given = sha256(token.strip().encode(errors="replace")).digest()
            if scheme.lower() != "bearer" or not hmac.compare_digest(given, self._key):
                raise KeyRefusedError(
                    "the request carries no key of this gateway",
                    remedy="Send `Authorization: Bearer <key>`.",
                )
        elif "origin" in headers or not _is_local(headers.get("host", "")):
            raise KeyRefusedError(
                "a gateway without a key answers programs of its own machine, not web pages",
                remedy="Give the gateway a key, and send `Authorization: Bearer <key>`.",
            )

    async def _server(self, _: Request) -> Response:
        return JSONResponse({"name": NAME, "version": VERSION, "extensions": list(EXTENSIONS)})

    async def _live(self, _: Request) -> Response:
        return JSONResponse({"live": True, "ready": True})

    async def _metrics(self, _: Request) -> Response:
        text = generate_latest(self.meters.registry)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _ready(self, request: Request) -> Response:
        subnet = request.path_params["subnet"]
        limits = self.terms.limits
        ready = any(limits.admits(each) for each in self._ranking.candidates(subnet))
        return JSONResponse({"name": subnet, "ready": ready}, status_code=200 if ready else 503)

    async def _model(self, request: Request) -> Response:
        subnet = request.path_params["subnet"]
        count = len(self._ranking.candidates(subnet))
        schema = self._ranking.schema(subnet)
        shape: dict[str, object] = {"inputs": [], "outputs": []}
        shape.update(schema.metadata() if schema is not None else {})
        return JSONResponse({"name": subnet, "platform": "freehold", **shape, "nodes": count})

    async def _infer(self, request: Request) -> Response:
        started = time.monotonic()
        self.meters.flying.inc()
        status = 500
        try:
            response = await self._routed(request)
            status = response.status_code
            return response
        except FreeholdError as error:
            response = refusal(error)
            status = response.status_code
            return response
        except ClientDisconnect:
            status = 499
            return Response(status_code=499)
        finally:
            self.meters.flying.dec()
            self.meters.requests.labels(str(status)).inc()
            self.meters.seconds.observe(time.monotonic() - started)

    async def _routed(self, request: Request) -> Response:
        limits, effort, agreement = self._wishes(request)
        with self._inbox.letter() as letter:
            asked = await _asked(request, letter)
            reply = await self.router.route(
                request.path_params["subnet"],
                asked,
                limits=limits,
                effort=effort,
                agreement=agreement,
            )
        self.meters.paid.inc(reply.paid)
        return self._answer(asked, reply)

    def _answer(self, asked: Asked, reply: Reply) -> Response:
        outputs = _wanted(asked, reply.outputs)
        made = Inferred(model=reply.subnet, outputs=outputs, id=asked.id)
        binary = asked.binary({tensor.name for tensor in outputs})
        body = encode_response(made, binary=binary)
        headers = {"freehold-node": reply.node, "freehold-paid": str(reply.paid), **body.headers()}
        return self._outbox.response(body.data, headers)

    def _wishes(self, request: Request) -> tuple[Limits, Effort, Agreement]:
        headers, terms = request.headers, self.terms
        limits, effort, agreement = terms.limits, terms.effort, ONE
        if price := headers.get("freehold-max-price"):
            limits = replace(limits, max_price=min(_whole(price), limits.max_price))
        if seconds := headers.get("freehold-deadline"):
            effort = replace(effort, deadline=min(_seconds(seconds), effort.deadline))
        if wanted := headers.get("freehold-agree"):
            agreement = Agreement(parse_quorum(wanted), terms.tolerance)
        return limits, effort, agreement


Handler = Callable[[Request], Awaitable[Response]]


def make_server(app: Starlette, *, host: str, key: str) -> GatewayServer:
    """A server for ``app``, to be run on sockets of ``node.server.listen(host, port)``.

    UsageError for another address than loopback without a key: who reaches the gateway spends its
    owner's money. It speaks plain HTTP: past one machine, put a proxy with a certificate before it.
    """
    if not key and not _is_local(host):
        raise UsageError(
            f"a gateway on {host} needs a key",
            remedy="Give it one, or let it listen on 127.0.0.1.",
        )
    return GatewayServer(bounded_config(app, connections=CONNECTIONS))


async def serve(
    gateway: Gateway,
    *,
    host: str,
    port: int,
    left: threading.Event,
    started: Callable[[int], None],
) -> None:
    """Listen and answer until ``left`` is set; ``started`` is told the port (0 takes a free one).

    ConflictError where the port is taken. The router is closed at the end.
    """
    server = make_server(gateway.app(), host=host, key=gateway.terms.key)
    bound = listen(host, port)
    server.watch(left, started=lambda: started(bound.getsockname()[1]))
    try:
        await server.serve(sockets=[bound])
    finally:
        bound.close()
        await gateway.router.close()


def refusal(error: FreeholdError) -> Response:
    """The answer that tells of a typed error; the protocol wants its text in ``error``."""
    status = 401 if isinstance(error, KeyRefusedError) else status_of(error)
    fields: dict[str, object] = {
        "error": error.message,
        "remedy": error.remedy,
        "kind": type(error).__name__,
    }
    if isinstance(error, UnansweredError):
        fields["nodes"] = [
            {"node": each.node, "kind": each.kind.value, "reason": each.reason}
            for each in error.failures
        ]
    response = JSONResponse(fields, status_code=status)
    if status in (429, 503):
        response.headers["Retry-After"] = "1"
    return response


def status_of(error: FreeholdError) -> int:
    """The HTTP status of an error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


async def _asked(request: Request, letter: Letter) -> Asked:
    raw = await letter.read(request)
    length = header_length(request.headers.get("inference-header-content-length"))
    if len(raw) > LARGE:
        return await asyncio.to_thread(decode_request, raw, length)
    return decode_request(raw, length)


def _wanted(asked: Asked, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Those outputs that were asked for; all where none is named. UsageError for others."""
    found = {tensor.name: tensor for tensor in outputs}
    unknown = [wanted.name for wanted in asked.outputs if wanted.name not in found]
    if unknown:
        raise UsageError(
            f"the model gives no {unknown[0]}", remedy=f"It gives {', '.join(found)}."[:300]
        )
    names = dict.fromkeys(wanted.name for wanted in asked.outputs)
    return tuple(found[name] for name in names) or outputs


def _is_local(host: str) -> bool:
    """Whether a Host header or an address names this machine itself."""
    name = host.strip()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name.lower() == "localhost"


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 78):
        raise UsageError(f"{text[:80]!r} is no price", remedy="Send base units as a whole number.")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text[:32])
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise UsageError(f"{text[:32]!r} is no time", remedy="Send seconds, such as 2.5.")
    return seconds
