"""The HTTP API of the telemetry service (see docs: telemetry API): thin handlers over its parts.

What needs no credential: batches (they are signed), hellos, receipts and directives (signed as
well, checked by what stands behind), statements of pay (for everybody to check), health, metrics.
Sources push with their token. Everything else is for the administrator, for owners of devices and
for who bought readings; evidence, which has the readings themselves, for watchers too. Threats and
what meets them: floods - rates by address and device, bodies and their time bounded before they are
read; bombs - sizes checked before inflating; reading what is not one's own - one check for each
route, tried for each kind of caller by a test; slow readers - cut off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from functools import partial
from typing import TypeVar, get_args

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from freehold.domain.errors import FreeholdError, UsageError
from freehold.domain.ids import address
from freehold.node.answers import problem
from freehold.node.logs import fields
from freehold.node.streams import small_body
from freehold.node.telemetry import views
from freehold.node.telemetry.access import (
    Access,
    Caller,
    Limiter,
    Want,
    bearer,
    peer,
    subject,
)
from freehold.node.telemetry.directives import Directives
from freehold.node.telemetry.facts import Calendar
from freehold.node.telemetry.intake import Door
from freehold.node.telemetry.live import Hub, LiveResponse
from freehold.node.telemetry.meters import CONTENT_TYPE, Meters
from freehold.node.telemetry.refusals import MediaError, dress, refusal, status
from freehold.node.telemetry.streaming import Streamed
from freehold.telemetry import otlp, remote_write
from freehold.telemetry.alerts.alert import State
from freehold.telemetry.reading import BATCH_MAX

SMALL_BODY = 16 * 1024
BODY_SECONDS = 20.0
SLACK = 1_024
"""Bytes that a body may be too long by before it is not even read."""
T = TypeVar("T")
B = TypeVar("B", bound=BaseModel)
Handler = Callable[[Request], Awaitable[Response]]
Route = tuple[str, str, Handler]
"""Method, path and handler."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the API stands on.

    ``workers`` run calls that may ask the chain or unpack, ``readers`` read the store: readings
    flow while an RPC hangs. ``now`` gives milliseconds since 1970.
    """

    door: Door
    access: Access
    peers: Limiter
    devices: views.Devices
    reads: views.Reads
    alerts: views.Alerts
    hub: Hub
    hellos: views.Letters
    receipts: views.Letters
    directives: Directives
    evidence: views.Evidence
    calendar: Calendar
    health: Callable[[], dict[str, object]]
    meters: Meters
    workers: Executor
    readers: Executor
    now: Callable[[], int]


class Hush(BaseModel):
    """The body of ``POST /silences``."""

    model_config = ConfigDict(extra="forbid", strict=True)
    subject: str = Field(default="", max_length=64)
    kind: str = Field(default="*", min_length=1, max_length=32)
    metric: str = Field(default="*", min_length=1, max_length=48)
    seconds: int = Field(gt=0, le=views.SILENCE_SECONDS)
    reason: str = Field(min_length=1, max_length=views.TEXT_MAX)


class Api:
    """The handlers; ``build`` puts them on an application."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def build(self, more: Sequence[Route] = ()) -> FastAPI:
        """The application, without documentation pages and with JSON errors throughout; ``more``
        routes see to their own access."""
        app = FastAPI(title="Freehold telemetry", docs_url=None, redoc_url=None, openapi_url=None)
        for method, path, handler in (*self.routes(), *more):
            app.add_route(path, self._guarded(path, handler), methods=[method])
        app.add_exception_handler(HTTPException, unrouted)
        return app

    def routes(self) -> tuple[Route, ...]:
        """Method, path and handler of everything there is."""
        return (
            ("POST", "/readings", self.take),
            ("POST", "/prometheus/write", self.prometheus),
            ("POST", "/otlp/v1/metrics", self.otlp),
            ("POST", "/hello", self.hello),
            ("POST", "/receipts", self.receipt),
            ("GET", "/directives/{device}", self.directive),
            ("PUT", "/directives/{device}", self.direct),
            ("GET", "/devices", self.devices),
            ("GET", "/readings", self.readings),
            ("GET", "/alerts", self.alerts),
            ("GET", "/alerts/live", self.live),
            ("POST", "/alerts/{alert}/ack", self.acknowledge),
            ("POST", "/silences", self.silence),
            ("GET", "/epochs", self.epochs),
            ("GET", "/epochs/{epoch}", self.epoch),
            ("GET", "/epochs/{epoch}/leaves", self.leaves),
            ("POST", "/epochs/{epoch}/signatures", self.sign),
            ("GET", "/epochs/{epoch}/evidence/{device}", self.evidence),
            ("GET", "/health", self.health),
            ("GET", "/metrics", self.metrics),
        )

    def _guarded(self, path: str, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            try:
                if request.client is not None:
                    self._parts.peers.spend(peer(request.client.host))
                response = await handler(request)
            except FreeholdError as error:
                response = refusal(error)
            except ClientDisconnect:
                response = Response(status_code=400)
            except Exception:  # noqa: BLE001 - one request must not end the service
                _log.exception("a request failed", extra=fields(method=request.method))
                response = problem(500, "the service failed", "Try again.", "Error")
            self._parts.meters.requests.labels(path, str(response.status_code)).inc()
            return response

        return guarded

    async def _work(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._parts.workers, call)

    async def _read(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._parts.readers, call)

    async def _caller(self, request: Request, body: bytes | None = None) -> Caller:
        header, path = request.headers.get("authorization"), request.url.path
        admit = self._parts.access.admit
        return await self._work(partial(admit, header, method=request.method, path=path, body=body))

    # --- in --------------------------------------------------------------------------------------

    async def take(self, request: Request) -> Response:
        """One signed batch."""
        outcome = await self._parts.door.post(await _body(request, BATCH_MAX + SLACK))
        return JSONResponse({"new": outcome.new, "missing": outcome.missing})

    async def prometheus(self, request: Request) -> Response:
        """Remote write 1.0: 400 where nothing of it could be taken, so that it is not repeated."""
        source = self._parts.door.source(bearer(request.headers.get("authorization")))
        _check_remote_write(request)
        body = await _body(request, remote_write.COMPRESSED_MAX + SLACK)
        taken = await self._parts.door.push(source, body, remote_write.decode)
        if taken.skipped and not taken.readings:
            raise UsageError(
                f"none of the {taken.skipped} samples is a finite number with a usable time",
                remedy="Check the clock of the sender and what it measures.",
            )
        return Response(status_code=204, headers={"Freehold-Skipped": str(taken.skipped)})

    async def otlp(self, request: Request) -> Response:
        """OTLP/HTTP metrics; what is refused is told as the protocol wants it."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in (otlp.PROTOBUF, otlp.JSON):
            raise MediaError(
                f"{kind[:64]!r} is not read here", remedy=f"Send {otlp.PROTOBUF} or {otlp.JSON}."
            )
        try:
            taken = await self._push_otlp(request, kind)
        except FreeholdError as error:
            body = otlp.refused(f"{error.message} {error.remedy}", kind=kind)
            return dress(Response(body, status(error), media_type=kind), error)
        return Response(otlp.accepted(taken, kind=kind), media_type=kind)

    async def _push_otlp(self, request: Request, kind: str) -> int:
        source = self._parts.door.source(bearer(request.headers.get("authorization")))
        encoding = request.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", "gzip"):
            raise MediaError(f"the encoding {encoding[:32]!r} is not read here", remedy="Use gzip.")
        gzipped = encoding == "gzip"
        body = await _body(request, (otlp.COMPRESSED_MAX if gzipped else otlp.BODY_MAX) + SLACK)
        decode = partial(otlp.decode, kind=kind, gzipped=gzipped)
        return (await self._parts.door.push(source, body, decode)).skipped

    async def hello(self, request: Request) -> Response:
        """A node says which key signs its readings."""
        return await self._letter(request, self._parts.hellos)

    async def receipt(self, request: Request) -> Response:
        """An agent's receipt of a command, to be passed on to the ledger."""
        return await self._letter(request, self._parts.receipts)

    async def _letter(self, request: Request, letters: views.Letters) -> Response:
        letter = await _body(request, SMALL_BODY)
        return JSONResponse(dict(await self._work(partial(letters.take, letter))))

    async def directive(self, request: Request) -> Response:
        """What the owner of a device wants of its agent."""
        device = address(request.path_params["device"])
        signed = await self._work(partial(self._parts.directives.get, device))
        return Response(signed.render(), media_type="application/json")

    async def direct(self, request: Request) -> Response:
        """The owner's new directive; its signature is the credential."""
        device = address(request.path_params["device"])
        body = await _body(request, SMALL_BODY)
        await self._work(partial(self._parts.directives.put, device, body))
        return Response(status_code=204)

    # --- out -------------------------------------------------------------------------------------

    async def devices(self, request: Request) -> Response:
        """What the caller may read of, a page at a time."""
        caller, given = await self._caller(request), request.query_params
        limit = views.number(given, "limit", views.PAGE, views.PAGE_MAX)
        after = given.get("after", "")[:64]
        list_all = partial(self._parts.devices.devices, caller.account, after=after, limit=limit)
        return JSONResponse([asdict(view) for view in await self._read(list_all)])

    async def readings(self, request: Request) -> Response:
        """Readings of one device as JSON or, with ``format=csv``, as CSV."""
        caller, given = await self._caller(request), request.query_params
        device = _device(given)
        query = views.query_of(device, given, now=self._parts.now())
        want = Want(query.metrics, *query.shown)
        await self._work(partial(self._parts.access.check_reader, caller, device, want))
        rows = await self._read(partial(views.ask, self._parts.reads, query))
        if given.get("format", "json") == "csv":
            return await self._stream(views.csv(rows), "text/csv")
        return await self._stream(views.as_json(query, rows), "application/json")

    async def _stream(self, parts: Iterator[bytes], kind: str) -> Response:
        return await Streamed.begin(parts, kind=kind, pool=self._parts.readers)

    async def alerts(self, request: Request) -> Response:
        """Alerts of one device, or for the administrator of all."""
        caller, given = await self._caller(request), request.query_params
        device = "" if caller.account is None and "device" not in given else _device(given)
        self._parts.access.check_owner(caller, device)
        page = partial(
            self._parts.alerts.list,
            state=_state(given),
            subject=device or None,
            before=views.number(given, "before", 2**53, 2**53),
            limit=views.number(given, "limit", views.PAGE, views.PAGE_MAX),
        )
        return JSONResponse([views.alert_fields(alert) for alert in await self._read(page)])

    async def live(self, request: Request) -> Response:
        """Findings as they come, of the caller's devices."""
        caller, hub, access = await self._caller(request), self._parts.hub, self._parts.access
        listener = hub.open(
            lambda finding: access.owns(caller, finding.subject), account=caller.account or ""
        )
        return LiveResponse(hub, listener)

    async def acknowledge(self, request: Request) -> Response:
        """The caller has seen an alert."""
        caller = await self._caller(request, await _body(request, SMALL_BODY))
        number, alerts = views.number(request.path_params, "alert", 0, 2**53), self._parts.alerts
        history = await self._read(partial(alerts.history, number))
        for news in history[-1:]:
            self._parts.access.check_owner(caller, news.alert.subject)
            await self._read(partial(alerts.acknowledge, number, by=caller.name))
        return Response(status_code=204)

    async def silence(self, request: Request) -> Response:
        """No alerts for a while: the administrator of anything, owners of one of their devices."""
        body = await _body(request, SMALL_BODY)
        caller, hush = await self._caller(request, body), model(body, Hush)
        of = subject(hush.subject) if hush.subject else ""
        self._parts.access.check_owner(caller, of)
        until = self._parts.now() + hush.seconds * 1000
        silence = partial(
            self._parts.alerts.silence,
            until=until,
            by=caller.name,
            reason=hush.reason,
            subject=of or "*",
            kind=hush.kind,
            metric=hush.metric,
        )
        made = await self._read(silence)
        return JSONResponse({"id": made.id, "until": until}, status_code=201)

    async def evidence(self, request: Request) -> Response:
        """The signed batches that a device is paid for, of a span of time."""
        caller, parts = await self._caller(request), self._parts
        number, device = _epoch(request), subject(request.path_params["device"])
        want, span = Want((), *views.span(request.query_params)), parts.calendar.span(number)
        epoch = Want((), span.since, span.until)
        shown = await self._work(partial(parts.access.shown, caller, device, want, epoch=epoch))
        find = partial(parts.evidence.batches, number, device, since=shown.since, until=shown.until)
        return await self._stream(await self._read(find), "application/octet-stream")

    # --- for everybody ---------------------------------------------------------------------------

    async def epochs(self, _: Request) -> Response:
        """The epochs with evidence."""
        return JSONResponse(list(await self._read(self._parts.evidence.epochs)))

    async def epoch(self, request: Request) -> Response:
        """The statement of one epoch."""
        found = await self._read(partial(self._parts.evidence.epoch, _epoch(request)))
        return JSONResponse(dict(found))

    async def leaves(self, request: Request) -> Response:
        """Who is paid how much in an epoch."""
        number = _epoch(request)
        leaves = await self._read(partial(self._parts.evidence.leaves, number))
        return await self._stream(leaves, "application/json")

    async def sign(self, request: Request) -> Response:
        """A watcher co-signs the statement of an epoch."""
        number, letter = _epoch(request), await _body(request, SMALL_BODY)
        taken = await self._work(partial(self._parts.evidence.sign, number, letter))
        return JSONResponse(dict(taken))

    async def health(self, _: Request) -> Response:
        """Whether all is well."""
        found = await self._work(self._parts.health)
        return JSONResponse(found, status_code=200 if found["status"] == "ok" else 503)

    async def metrics(self, _: Request) -> Response:
        """What the service counts."""
        return Response(await self._work(self._parts.meters.render), media_type=CONTENT_TYPE)


async def unrouted(_: Request, error: Exception) -> Response:
    """The answer to a request for which there is no handler."""
    code = error.status_code if isinstance(error, HTTPException) else 500
    return problem(
        code,
        "there is nothing here" if code == 404 else f"the request was refused ({code})",
        "See the telemetry API: /readings, /devices, /alerts, /epochs, /health, /metrics.",
        "HTTP",
    )


async def _body(request: Request, limit: int) -> bytes:
    return await small_body(request, limit=limit, seconds=BODY_SECONDS)


def model(body: bytes, kind: type[B]) -> B:
    """What the JSON of a request says; UsageError."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"the body is not understood: {'.'.join(map(str, first['loc']))}: {first['msg']}",
            remedy="Send the JSON that the telemetry API describes.",
        ) from error


def _device(given: Mapping[str, str]) -> str:
    if "device" not in given:
        raise UsageError("no device is named", remedy="Add device=0x... to the address.")
    return subject(given["device"])


def _state(given: Mapping[str, str]) -> State | None:
    state = given.get("state")
    for known in get_args(State):
        if state == known:
            found: State = known
            return found
    if state is not None:
        raise UsageError(
            f"{state[:32]!r} is no state of an alert",
            remedy=f"Use one of: {', '.join(get_args(State))}.",
        )
    return None


def _epoch(request: Request) -> int:
    return views.number(request.path_params, "epoch", 0, 2**48)


def _check_remote_write(request: Request) -> None:
    kind = request.headers.get("content-type", "application/x-protobuf").replace(" ", "")
    if kind.partition(";")[0].lower() != "application/x-protobuf" or "proto=io" in kind:
        raise MediaError(
            f"{kind[:64]!r} is not read here",
            remedy="Use remote write 1.0: protobuf_message: prometheus.WriteRequest.",
        )
    if request.headers.get("content-encoding", "snappy").lower() != "snappy":
        raise MediaError("the body is not in snappy", remedy="Use Prometheus as it comes.")
