"""The node's HTTP API (see docs: storage node API): thin handlers over the node's parts."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, StrictInt, StrictStr, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from freehold.domain.errors import FreeholdError, UsageError
from freehold.domain.ids import Address, address
from freehold.markets.storage.piece import parse_cid
from freehold.node.acceptance import Acceptor
from freehold.node.answers import problem, refusal, unrouted
from freehold.node.bodies import Body, allowed, body_of, slow
from freehold.node.direct import LONG, Lately, pass_by_cache
from freehold.node.logs import fields
from freehold.node.metrics import CONTENT_TYPE, Metrics
from freehold.node.offers import Offerer
from freehold.node.ranges import Span, requested
from freehold.node.settings import Settings
from freehold.node.standing import Standing
from freehold.node.store import Held, Store
from freehold.node.streams import FileResponse, small_body
from freehold.node.tokens import Gate
from freehold.node.uploads import Upload, Uploads, Writer
from freehold.node.vouchers import Ticket, Till, parse_voucher

SMALL_BODY = 16 * 1024
T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the API stands on.

    ``workers`` run calls that may ask the chain, ``readers`` read pieces, ``writers`` write and
    hash: bytes go on flowing while an RPC hangs.
    """

    gate: Gate
    store: Store
    uploads: Uploads
    acceptor: Acceptor
    offerer: Offerer
    till: Till
    standing: Standing
    metrics: Metrics
    settings: Settings
    workers: Executor
    readers: Executor
    writers: Executor
    health: Callable[[], dict[str, object]]


class NewUpload(BaseModel):
    """The body of ``POST /upload``."""

    model_config = ConfigDict(extra="forbid")
    size: StrictInt


class Wish(BaseModel):
    """The body of ``POST /deals/accept``."""

    model_config = ConfigDict(extra="forbid")
    client: StrictStr
    cid: StrictStr
    term_end: StrictInt
    token: StrictStr | None = None


B = TypeVar("B", bound=BaseModel)


class _Job:
    """At most one thing that is being done in another thread."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._running: asyncio.Future[None] | None = None

    def start(self, call: Callable[[], None]) -> None:
        self._running = asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def end(self) -> None:
        """Wait for it; raises what it raised, once."""
        running = self._running
        if running is None:
            return
        try:
            await asyncio.shield(running)
        finally:
            if running.done():
                self._running = None


class Api:
    """The handlers; ``build`` puts them on an application."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lately = Lately()

    def build(self) -> FastAPI:
        """The application, without documentation pages and with JSON errors throughout."""
        app = FastAPI(title="Freehold node", docs_url=None, redoc_url=None, openapi_url=None)
        for path, methods, handler in (
            ("/upload", ["POST"], self.new_upload),
            ("/upload/{id}", ["HEAD"], self.upload_offset),
            ("/upload/{id}", ["PATCH"], self.write_upload),
            ("/upload/{id}", ["DELETE"], self.drop_upload),
            ("/piece/{cid}", ["PUT"], self.put_piece),
            ("/piece/{cid}", ["GET"], self.get_piece),
            ("/piece/{cid}", ["HEAD"], self.head_piece),
            ("/piece/{cid}", ["DELETE"], self.delete_piece),
            ("/deals/accept", ["POST"], self.accept),
            ("/offer", ["GET"], self.offer),
            ("/health", ["GET"], self.health),
            ("/metrics", ["GET"], self.metrics),
        ):
            app.add_api_route(path, self._guarded(handler), methods=methods, response_model=None)
        app.add_exception_handler(HTTPException, unrouted)
        return app

    def _guarded(
        self, handler: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            try:
                response = await handler(request)
            except FreeholdError as error:
                response = refusal(error)
            except ClientDisconnect:
                response = Response(status_code=400)
            except Exception:  # noqa: BLE001 - one request must not end the node
                _log.exception("a request failed", extra=fields(method=request.method))
                response = problem(500, "the node failed", "Try again, or another node.", "Error")
            self._parts.metrics.requests.labels(request.method, str(response.status_code)).inc()
            return response

        return guarded

    async def _work(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._parts.workers, call)

    async def _write(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._parts.writers, call)

    async def _admit(self, request: Request, body: bytes | None = None) -> Address:
        header, voucher = (request.headers.get(n) for n in ("authorization", "freehold-voucher"))
        spends = parse_voucher(voucher).amount if voucher is not None else 0
        method, path = request.method, request.url.path
        return await self._work(
            lambda: self._parts.gate.admit(
                header, method=method, path=path, body=body, spends=spends
            )
        )

    async def _read(self, request: Request, model: type[B]) -> tuple[Address, B]:
        seconds = float(self._parts.settings.body_timeout)
        body = await small_body(request, limit=SMALL_BODY, seconds=seconds)
        account = await self._admit(request, body)
        try:
            return account, model.model_validate_json(body)
        except ValidationError as error:
            first = error.errors()[0]
            raise UsageError(
                f"the body is not understood: {'.'.join(map(str, first['loc']))}: {first['msg']}",
                remedy="Send the JSON that the node's API describes.",
            ) from error

    # --- uploads ---------------------------------------------------------------------------------

    async def new_upload(self, request: Request) -> Response:
        account, wish = await self._read(request, NewUpload)
        upload = await self._work(lambda: self._create(account, wish.size))
        return JSONResponse(
            {"id": upload.id, "expires": upload.expires},
            status_code=201,
            headers={"Location": f"/upload/{upload.id}", **_offsets(upload)},
        )

    def _create(self, account: Address, size: int) -> Upload:
        self._parts.standing.check_open(account)
        self._parts.standing.check_funds(account, size + self._parts.store.staged(account))
        upload = self._parts.uploads.create(account, size)
        try:  # again: others of the account may have been let in by the same money
            self._parts.standing.check_funds(account, self._parts.store.staged(account))
        except BaseException:
            self._parts.uploads.discard(upload.id, account)
            raise
        return upload

    async def upload_offset(self, request: Request) -> Response:
        account, name = await self._admit(request), request.path_params["id"]
        upload = await self._work(lambda: self._parts.uploads.offset(name, account))
        return Response(headers={"Cache-Control": "no-store", **_offsets(upload)})

    async def write_upload(self, request: Request) -> Response:
        account, name = await self._admit(request), request.path_params["id"]
        offset = _number(request.headers.get("upload-offset"), "Upload-Offset")
        writer = await self._write(lambda: self._parts.uploads.write_from(name, account, offset))
        upload = await self._fill(request, writer)
        return Response(status_code=202, headers=_offsets(upload))

    async def _fill(self, request: Request, writer: Writer) -> Upload:
        """Write the body; what arrived stays, also when the connection breaks."""
        body, job = body_of(request), _Job(self._parts.writers)
        try:
            announced = request.headers.get("content-length")
            if announced is not None and _number(announced, "Content-Length") > writer.left:
                raise writer.too_large()
            await self._pour(body, writer, job)
        except BaseException:
            await asyncio.shield(self._abandon(body, writer, job))
            raise
        finally:
            body.close()
        return await self._write(writer.close)

    async def _pour(self, body: Body, writer: Writer, job: _Job) -> None:
        """Fill one block while the one before is hashed and written."""
        seconds, loop = float(self._parts.settings.body_timeout), asyncio.get_running_loop()
        deadline = loop.time() + allowed(writer.left, seconds)
        while room := writer.room():
            count = await body.fill(room, seconds=seconds)
            await job.end()
            job.start(writer.take(count))
            body.filled = 0
            self._parts.metrics.received.inc(count)
            if count < len(room):
                break
            if loop.time() > deadline:
                raise slow()
        else:
            if await body.fill(memoryview(bytearray(1)), seconds=seconds):
                body.filled = 0
                raise writer.too_large()
        await job.end()

    async def _abandon(self, body: Body, writer: Writer, job: _Job) -> None:
        """Keep what arrived of the block that was being filled, too."""
        try:
            await job.end()
            if body.filled:
                await self._write(writer.take(body.filled))
        finally:
            await self._write(writer.keep)

    async def drop_upload(self, request: Request) -> Response:
        account, name = await self._admit(request), request.path_params["id"]
        await self._work(lambda: self._parts.uploads.discard(name, account))
        return Response(status_code=204)

    # --- pieces ----------------------------------------------------------------------------------

    async def put_piece(self, request: Request) -> Response:
        account, cid = await self._admit(request), _cid(request)
        name = request.headers.get("upload-id")
        if name is None:
            name = await self._receive(request, account, cid)
        upload = name
        held = await self._write(lambda: self._parts.uploads.finish(upload, account, cid))
        _log.info("stored a piece", extra=fields(cid=cid, size=held.size, account=account))
        expires = await self._work(lambda: self._parts.store.claimed_until(cid, account))
        return JSONResponse(
            {"cid": cid, "size": held.size, "expires": expires},
            status_code=201,
            headers={"Location": f"/piece/{cid}"},
        )

    async def _receive(self, request: Request, account: Address, cid: str) -> str:
        size = parse_cid(cid).raw_size
        upload = await self._work(lambda: self._create(account, size))
        try:
            writer = await self._write(
                lambda: self._parts.uploads.write_from(upload.id, account, 0)
            )
            filled = await self._fill(request, writer)
            if filled.offset != size:
                raise UsageError(
                    f"the body has {filled.offset} bytes, {cid} has {size}",
                    remedy="Send the whole piece, or use a resumable upload.",
                )
        except BaseException:
            await asyncio.shield(
                self._work(lambda: self._parts.uploads.discard(upload.id, account))
            )
            raise
        return upload.id

    async def get_piece(self, request: Request) -> Response:
        account, cid = await self._admit(request), _cid(request)
        held = await self._work(lambda: self._parts.store.sound(cid))
        span = requested(
            range_header=request.headers.get("range"),
            if_range=request.headers.get("if-range"),
            etag=_etag(cid),
            total=held.size,
        )
        voucher = request.headers.get("freehold-voucher")
        ticket = await self._work(
            lambda: self._parts.till.admit(account, held, length=span.length, voucher=voucher)
        )
        headers = {**_piece_headers(held), "Content-Length": str(span.length)}
        if span.partial:
            headers["Content-Range"] = span.content_range()
        handle = await self._work(lambda: self._open(cid, span, ticket))
        return FileResponse(
            handle,
            span,
            status=206 if span.partial else 200,
            headers=headers,
            pool=self._parts.readers,
            seconds=float(self._parts.settings.body_timeout),
            done=lambda sent: self._served(ticket, sent),
        )

    def _open(self, cid: str, span: Span, ticket: Ticket) -> int:
        again = self._lately.again((cid, span.start))
        try:
            with self._parts.store.opened(cid) as handle:
                if span.length >= LONG and not again:
                    pass_by_cache(handle)
                return os.dup(handle)
        except BaseException:
            self._parts.till.give_back(ticket, ticket.length)
            raise

    def _served(self, ticket: Ticket, sent: int) -> None:
        self._parts.metrics.served.inc(sent)
        self._parts.till.give_back(ticket, ticket.length - sent)

    async def head_piece(self, request: Request) -> Response:
        cid = _cid(request)
        await self._admit(request)
        held = await self._work(lambda: self._parts.store.sound(cid))
        return Response(headers={**_piece_headers(held), "Content-Length": str(held.size)})

    async def delete_piece(self, request: Request) -> Response:
        account, cid = await self._admit(request), _cid(request)
        await self._work(lambda: self._parts.store.give_up(cid, account))
        return Response(status_code=204)

    # --- deals and views -------------------------------------------------------------------------

    async def accept(self, request: Request) -> Response:
        account, wish = await self._read(request, Wish)
        client, cid, term_end = address(wish.client), parse_cid(wish.cid).cid, wish.term_end
        token = None if wish.token is None else address(wish.token)
        acceptance = await self._work(
            lambda: self._parts.acceptor.accept(
                account, client=client, cid=cid, term_end=term_end, token=token
            )
        )
        return JSONResponse(acceptance.fields())

    async def offer(self, _: Request) -> Response:
        return JSONResponse(await self._work(self._parts.offerer.offer))

    async def health(self, _: Request) -> Response:
        found = await self._work(self._parts.health)
        return JSONResponse(found, status_code=200 if found["status"] == "ok" else 503)

    async def metrics(self, _: Request) -> Response:
        return Response(await self._work(self._parts.metrics.render), media_type=CONTENT_TYPE)


def _cid(request: Request) -> str:
    return parse_cid(str(request.path_params["cid"])).cid


def _etag(cid: str) -> str:
    return f'"{cid}"'


def _piece_headers(held: Held) -> dict[str, str]:
    return {
        "ETag": _etag(held.cid),
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
        "Cache-Control": "private, immutable",
    }


def _offsets(upload: Upload) -> dict[str, str]:
    return {
        "Upload-Offset": str(upload.offset),
        "Upload-Durable": str(upload.durable),
        "Upload-Length": str(upload.size),
    }


def _number(value: str | None, header: str) -> int:
    if value is None or not value.isascii() or not value.isdigit() or len(value) > 18:
        raise UsageError(
            f"the header {header} is missing or not a number", remedy=f"Send {header} in bytes."
        )
    return int(value)
