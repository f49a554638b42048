"""A client's dealings with one node over HTTPS: bounded, retried, resumable."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from threading import Lock
from typing import NoReturn, TypeVar

from freehold.client.connection import Peer, PinnedConnection, Timeouts
from freehold.client.token import Identity
from freehold.domain.document import MalformedError, parse_document
from freehold.domain.errors import (
    AccessError,
    CancelledError,
    CapacityError,
    ConflictError,
    FreeholdError,
    IntegrityError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    UsageError,
)

T = TypeVar("T")
ANSWER_MAX = 2**20
READ = 2**20
IDLE_CONNECTIONS = 4
PATIENCE = 2
"""More tries of an upload: to send it anew from the start costs more than to wait."""
_KINDS: Mapping[int, type[FreeholdError]] = {
    400: UsageError,
    401: AccessError,
    403: AccessError,
    404: NotFoundError,
    409: ConflictError,
    413: CapacityError,
    416: IntegrityError,
    422: IntegrityError,
    507: CapacityError,
}
_PASSING = frozenset({408, 429, 502, 503, 504})


class DueError(FreeholdError):
    """A node wants to be paid for retrieval first; ``bill`` is what it says is due."""

    def __init__(self, message: str, *, remedy: str, bill: Mapping[str, object]) -> None:
        super().__init__(message, remedy=remedy)
        self.bill = bill


class DroppedError(UnavailableError):
    """The connection failed or the node asked to come back: trying again may help."""


class LostError(IntegrityError):
    """A node holds less of an upload than it took, as after a crash: it may be sent once more."""


class StaleError(DroppedError):
    """A connection that had been idle turned out to be closed: a fresh one may work."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a request is tried in all, and the pause before each further try in seconds."""

    attempts: int = 3
    pause: float = 0.2
    sleep: Callable[[float], None] = field(default=time.sleep)

    def wait(self, tried: int) -> None:
        """Pause before try number ``tried + 1``."""
        self.sleep(self.pause * 2 ** (tried - 1))


@dataclass(frozen=True, slots=True)
class Request:
    """Method, path and JSON body of one exchange, plus headers beyond the token, and about how
    many bytes the answer may have, which bounds its time."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int = 2**16


@dataclass(frozen=True, slots=True)
class Body:
    """A large body of ``length`` bytes, made while it is sent.

    ``parts(at)`` gives its bytes from ``at`` on, each part until the next is asked for; it is
    called again after a broken connection.
    """

    length: int
    parts: Callable[[int], Iterable[memoryview]]

    @classmethod
    def of(cls, data: memoryview) -> Body:
        """A body that lies in memory."""
        return cls(data.nbytes, lambda at: (data[at:],))

    def after(self, at: int) -> Body:
        """What is left of it behind its first ``at`` bytes."""
        return Body(self.length - at, lambda start: self.parts(at + start))


class Session:
    """Exchanges with one node; safe to share between threads, each takes its own connection."""

    def __init__(
        self,
        peer: Peer,
        identity: Identity,
        *,
        timeouts: Timeouts | None = None,
        retry: Retry | None = None,
    ) -> None:
        self.peer = peer
        self._identity = identity
        self._timeouts = timeouts or Timeouts()
        self._retry = retry or Retry()
        self._idle: list[PinnedConnection] = []
        self._lock = Lock()

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, object]:
        """A JSON exchange; the answer's object, empty when the node sends none."""
        raw = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        return self.retried(lambda: self._ask(Request(method, path, raw, headers or {})))

    def offset(self, path: str) -> int:
        """How many bytes of an upload the node holds."""

        def head() -> int:
            with self._open(Request("HEAD", path)) as (_, response):
                return _count(response.getheader("Upload-Offset"), self.peer)

        return self.retried(head)

    def send(self, path: str, offset: int, body: Body) -> None:
        """Append ``body`` to an upload that holds ``offset`` bytes, resuming where it broke off.

        Done as well when the node turns out to hold all of it, from a request before.
        """
        end, at = offset + body.length, offset

        def patch() -> None:
            nonlocal at
            try:
                self._patch(path, at, body.after(at - offset))
            except (DroppedError, ConflictError) as error:
                # A node may still be ending the request that broke off: it says so with a
                # conflict, or still tells the offset from before it.
                at = self.offset(path)
                if at < offset:
                    raise self._lost(at, offset) from None
                if at < end:
                    raise DroppedError(error.message, remedy=error.remedy) from error

        self.retried(patch, more=PATIENCE)

    def read(
        self,
        path: str,
        start: int,
        into: memoryview,
        *,
        headers: Mapping[str, str] | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Fill ``into`` with the piece's bytes from ``start``, continuing after interruptions.

        ``stop`` is asked between chunks of 1 MiB: CancelledError when it says so.
        """
        got = 0

        def fetch() -> None:
            nonlocal got
            wanted = {"Range": f"bytes={start + got}-{start + into.nbytes - 1}", **(headers or {})}
            request = Request("GET", path, headers=wanted, length=into.nbytes - got)
            with self._open(request) as (_, response):
                _check_range(response, start + got, into.nbytes - got, self.peer)
                for count in _chunks(response, into[got:], stop):
                    got += count
                if got < into.nbytes:
                    raise self._dropped("stopped sending in the middle of a piece")

        self.retried(fetch)

    def close(self) -> None:
        """Close every idle connection."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def retried(self, work: Callable[[], T], *, more: int = 0) -> T:
        """``work``, again after a dropped connection, at most ``attempts`` and ``more`` times."""
        for tried in range(1, self._retry.attempts + more):
            try:
                return work()
            except StaleError:
                self.close()
            except DroppedError:
                self._retry.wait(tried)
        return work()

    def _ask(self, request: Request) -> dict[str, object]:
        with self._open(request) as (_, response):
            return _json(_body(response, self.peer), self.peer)

    def _patch(self, path: str, offset: int, body: Body) -> None:
        headers = {
            "Upload-Offset": str(offset),
            "Content-Length": str(body.length),
            "Content-Type": "application/octet-stream",
        }
        request = Request("PATCH", path, headers=headers)
        with self._open(request, body) as (_, response):
            response.read(ANSWER_MAX)

    @contextmanager
    def _open(
        self, request: Request, body: Body | None = None
    ) -> Iterator[tuple[PinnedConnection, HTTPResponse]]:
        connection, reused = self._take()
        response: HTTPResponse | None = None
        keep = False
        try:
            response = self._exchange(connection, request, body)
            if response.status >= 300:
                self._refuse(response)
            yield connection, response
            if response.length == 0:
                response.read()
            keep = response.isclosed() and not response.will_close
        except (OSError, HTTPException) as error:
            kind = StaleError if reused else DroppedError
            raise self._dropped(f"dropped the connection ({error})", kind) from error
        finally:
            if response is not None:
                response.close()
            self._give(connection, keep=keep)

    def _exchange(
        self, connection: PinnedConnection, request: Request, body: Body | None
    ) -> HTTPResponse:
        connection.limit(request.length + (body.length if body else 0))
        connection.putrequest(request.method, request.path, skip_accept_encoding=True)
        token = self._identity.token(
            audience=self.peer.node, method=request.method, path=request.path, body=request.body
        )
        connection.putheader("Authorization", token)
        if request.body:
            connection.putheader("Content-Type", "application/json")
        if body is None and request.method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(len(request.body)))
        for name, value in request.headers.items():
            connection.putheader(name, value)
        connection.endheaders(request.body or None)
        if body is not None:
            _pour(connection, body)
        return connection.getresponse()

    def _refuse(self, response: HTTPResponse) -> NoReturn:
        fields = _json(_body(response, self.peer), self.peer, strict=False)
        reason = str(fields.get("error", f"status {response.status}"))[:500]
        remedy = str(fields.get("remedy", "Try again later, or use other nodes."))[:500]
        message = f"node {self.peer.node}: {reason}"
        if response.status == 402:
            raise DueError(message, remedy=remedy, bill=fields)
        if response.status in _PASSING:
            raise DroppedError(message, remedy=remedy)
        raise _KINDS.get(response.status, RefusedError)(message, remedy=remedy)

    def _take(self) -> tuple[PinnedConnection, bool]:
        with self._lock:
            if self._idle:
                return self._idle.pop(), True
        return PinnedConnection(self.peer, timeouts=self._timeouts), False

    def _give(self, connection: PinnedConnection, *, keep: bool) -> None:
        if keep:
            with self._lock:
                if len(self._idle) < IDLE_CONNECTIONS:
                    self._idle.append(connection)
                    return
        connection.close()

    def _dropped(self, what: str, kind: type[DroppedError] = DroppedError) -> DroppedError:
        return kind(
            f"node {self.peer.node} at {self.peer.endpoint} {what}",
            remedy="Try again later; other nodes of the object can serve meanwhile.",
        )

    def _lost(self, at: int, offset: int) -> LostError:
        return LostError(
            f"node {self.peer.node} holds {at} bytes of an upload, not the {offset} it took",
            remedy="The column is sent again, or to another node.",
        )


def _pour(connection: PinnedConnection, body: Body) -> None:
    """Send a body; a node that refuses it early has its answer read, not its reset reported."""
    try:
        for part in body.parts(0):
            connection.sock.sendall(part)
    except (BrokenPipeError, ConnectionResetError):
        connection.hurry(1.0)


def _chunks(response: HTTPResponse, into: memoryview, stop: Callable[[], bool]) -> Iterator[int]:
    at = 0
    while at < into.nbytes:
        if stop():
            raise CancelledError("the transfer was stopped", remedy="Start it again.")
        count = response.readinto(into[at : at + READ])
        if not count:
            return
        at += count
        yield count


def _body(response: HTTPResponse, peer: Peer) -> bytes:
    raw = response.read(ANSWER_MAX + 1)
    if len(raw) > ANSWER_MAX:
        raise IntegrityError(
            f"node {peer.node} answers with more than {ANSWER_MAX} bytes",
            remedy="Use other nodes; its owner should update it.",
        )
    return raw


def _json(raw: bytes, peer: Peer, *, strict: bool = True) -> dict[str, object]:
    if not raw:
        return {}
    try:
        fields = parse_document(raw, size=ANSWER_MAX)
    except MalformedError:
        fields = None
    if isinstance(fields, dict):
        return fields
    if strict:
        raise IntegrityError(
            f"node {peer.node} answers with something that is no JSON object",
            remedy="Use other nodes; its owner should update it.",
        )
    return {}


def _count(text: str | None, peer: Peer) -> int:
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 19:
        raise IntegrityError(
            f"node {peer.node} states upload offset {text!r}",
            remedy="Use other nodes; its owner should update it.",
        )
    return int(text)


def _check_range(response: HTTPResponse, start: int, length: int, peer: Peer) -> None:
    said = response.getheader("Content-Range") or ""
    whole = response.status == 200 and start == 0 and response.length == length
    if whole or said.startswith(f"bytes {start}-{start + length - 1}/"):
        return
    raise IntegrityError(
        f"node {peer.node} sends {said or 'no range'} for bytes {start}-{start + length - 1}",
        remedy="Other nodes serve the object; this one is passed over.",
    )
