"""The office: what only the administrator asks of the service, and owners about their places.

Sources and hooks are made and removed here, silences listed and lifted, readings exported whole.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar, cast, get_args

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from freehold.domain.errors import AccessError, UsageError
from freehold.domain.ids import address
from freehold.node.streams import small_body
from freehold.node.telemetry import views
from freehold.node.telemetry.access import Access, Caller, subject
from freehold.node.telemetry.app import BODY_SECONDS, SMALL_BODY, Route, model
from freehold.node.telemetry.members import Roll
from freehold.node.telemetry.streaming import Streamed
from freehold.telemetry.alerts.desk import Desk
from freehold.telemetry.alerts.hooks import Hooks
from freehold.telemetry.findings import Severity
from freehold.telemetry.reading import TIME_MAX
from freehold.telemetry.sources import Sources
from freehold.telemetry.store.store import Format, Store

DEVICES_MAX = 1_000
"""Devices that an export may name."""
_PART = 2**18
_SALT = re.compile(r"(0x)?[0-9a-fA-F]{64}")
T = TypeVar("T")


class NewSource(BaseModel):
    """The body of ``POST /sources``."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: str = Field(max_length=64)


class NewHook(BaseModel):
    """The body of ``POST /hooks``."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: str = Field(max_length=64)
    url: str = Field(max_length=2_000)
    minimum: str = Field(default="warning", max_length=16)
    private: bool = False


class NewCell(BaseModel):
    """The body of ``PUT /devices/{device}/cell``."""

    model_config = ConfigDict(extra="forbid", strict=True)
    salt: str = Field(max_length=66)
    cell: str = Field(max_length=64)


@dataclass(frozen=True, slots=True)
class Desks:
    """What the office works on; ``exports`` is a folder for files on their way out, ``owner`` the
    account that sources belong to, ``now`` gives milliseconds."""

    access: Access
    roll: Roll
    sources: Sources
    hooks: Hooks
    alerts: Desk
    store: Store
    exports: Path
    owner: str
    random: Callable[[int], bytes]
    now: Callable[[], int]
    pool: Executor


class Office:
    """Handlers over ``Desks``."""

    def __init__(self, desks: Desks) -> None:
        self._at = desks

    def routes(self) -> tuple[Route, ...]:
        """Method, path and handler of everything there is."""
        return (
            ("GET", "/sources", self.sources),
            ("POST", "/sources", self.add_source),
            ("DELETE", "/sources/{name}", self.remove_source),
            ("GET", "/hooks", self.hooks),
            ("POST", "/hooks", self.add_hook),
            ("DELETE", "/hooks/{name}", self.remove_hook),
            ("GET", "/silences", self.silences),
            ("DELETE", "/silences/{silence}", self.lift),
            ("GET", "/export", self.export),
            ("PUT", "/devices/{device}/cell", self.place),
        )

    async def sources(self, request: Request) -> Response:
        """Who pushes readings here."""
        await self._administrator(request)
        known = [
            {"name": each.name, "id": each.id, "owner": each.owner, "did": each.did.text}
            for each in self._at.sources.all()
        ]
        return JSONResponse(known)

    async def add_source(self, request: Request) -> Response:
        """Make a source; its token is told this once."""
        body = await _body(request)
        await self._administrator(request, body)
        name = model(body, NewSource).name
        add = partial(self._at.sources.add, name, owner=self._at.owner)
        source, token = await self._run(add)
        return JSONResponse({"name": name, "id": source.id, "token": token}, status_code=201)

    async def remove_source(self, request: Request) -> Response:
        """Forget a source; its token lets nobody in any more."""
        await self._administrator(request)
        await self._run(partial(self._at.sources.remove, str(request.path_params["name"])))
        return Response(status_code=204)

    async def hooks(self, request: Request) -> Response:
        """Who is told of alerts; secrets are not shown again."""
        await self._administrator(request)
        known = [
            {
                "name": hook.name, "url": hook.url, "minimum": hook.minimum.name.lower(),
                "private": hook.private,
            }
            for hook in self._at.hooks.all()
        ]  # fmt: skip
        return JSONResponse(known)

    async def add_hook(self, request: Request) -> Response:
        """Tell a URL of alerts; the secret that signs what it gets is told this once."""
        body = await _body(request)
        await self._administrator(request, body)
        wanted = model(body, NewHook)
        add = partial(
            self._at.hooks.add, wanted.name, wanted.url, minimum=_severity(wanted.minimum),
            private=wanted.private,
        )  # fmt: skip
        hook = await self._run(add)
        return JSONResponse({"name": hook.name, "secret": hook.secret}, status_code=201)

    async def remove_hook(self, request: Request) -> Response:
        """Tell it no more."""
        await self._administrator(request)
        await self._run(partial(self._at.hooks.remove, str(request.path_params["name"])))
        return Response(status_code=204)

    async def silences(self, request: Request) -> Response:
        """The silences that hold."""
        await self._administrator(request)
        return JSONResponse([asdict(each) for each in await self._run(self._at.alerts.silences)])

    async def lift(self, request: Request) -> Response:
        """End a silence now."""
        await self._administrator(request)
        number = views.number(request.path_params, "silence", 0, 2**53)
        await self._run(partial(self._at.alerts.lift, number))
        return Response(status_code=204)

    async def export(self, request: Request) -> Response:
        """Readings as one file of the store's making."""
        await self._administrator(request)
        given = request.query_params
        kind = given.get("format", "csv")
        if kind not in get_args(Format):
            raise UsageError(
                f"{kind[:32]!r} is no format of exports",
                remedy=f"Use one of: {', '.join(get_args(Format))}.",
            )
        devices = tuple(subject(each) for each in given.get("devices", "").split(",") if each)
        if len(devices) > DEVICES_MAX:
            raise UsageError(f"{len(devices)} devices", remedy=f"Name at most {DEVICES_MAX:,}.")
        query = views.query_of("", given, now=self._at.now())
        file = self._at.exports / f"{self._at.random(16).hex()}.{kind}"
        write = partial(
            self._at.store.export, file, format=cast(Format, kind), devices=devices,
            metrics=query.metrics, since=query.since, until=min(query.until, TIME_MAX),
            step=query.step or None, unsound=query.unsound,
        )  # fmt: skip
        await self._run(write)
        return await Streamed.begin(
            _read(file), kind="application/octet-stream", pool=self._at.pool
        )

    async def place(self, request: Request) -> Response:
        """The owner says in which cell a device stands; only the service knows it."""
        body, device = await _body(request), address(request.path_params["device"])
        caller = await self._caller(request, body)
        self._at.access.check_owner(caller, device)
        told = model(body, NewCell)
        if _SALT.fullmatch(told.salt) is None:
            raise UsageError("the salt is not 32 bytes in hexadecimal", remedy="Correct it.")
        salt = bytes.fromhex(told.salt.removeprefix("0x"))
        await self._run(partial(self._at.roll.place, device, salt=salt, cell=told.cell))
        return Response(status_code=204)

    async def _administrator(self, request: Request, body: bytes | None = None) -> None:
        if (await self._caller(request, body)).account is not None:
            raise AccessError(
                "only the administrator may ask for this",
                remedy="Send the token in admin.token in the service's home.",
            )

    async def _caller(self, request: Request, body: bytes | None) -> Caller:
        header, path = request.headers.get("authorization"), request.url.path
        admit = self._at.access.admit
        return await self._run(partial(admit, header, method=request.method, path=path, body=body))

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._at.pool, call)


async def _body(request: Request) -> bytes:
    return await small_body(request, limit=SMALL_BODY, seconds=BODY_SECONDS)


def _severity(name: str) -> Severity:
    try:
        return Severity[name.upper()]
    except KeyError as error:
        names = ", ".join(each.name.lower() for each in Severity)
        raise UsageError(f"{name!r} is no severity", remedy=f"Use one of: {names}.") from error


def _read(file: Path) -> Iterator[bytes]:
    """The parts of a file, which is removed at the end."""
    try:
        with file.open("rb") as opened:
            while part := opened.read(_PART):
                yield part
    finally:
        file.unlink(missing_ok=True)
