"""One attempt at one node: the request signed and paid, the answer checked."""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from dataclasses import dataclass
from time import monotonic
from urllib.parse import quote

from freehold.client.asking.candidate import Candidate
from freehold.client.asking.purse import Hold, Purse
from freehold.client.asking.refusals import AttemptError, Kind, printable
from freehold.client.asking.wire import Answer, Line, pinned, question
from freehold.client.connection import Peer
from freehold.client.token import Identity
from freehold.domain.document import MalformedError, parse_document
from freehold.domain.errors import FreeholdError
from freehold.domain.ids import Address
from freehold.markets.models.agree import Values
from freehold.markets.models.tensor import (
    Body,
    Limits,
    Schema,
    Tensor,
    decode_response,
    header_length,
    to_arrays,
)

LIMITS = Limits()
LINES = 1_024
"""Nodes to which connections are kept; those asked least lately lose theirs."""
BILLS = 3
"""Times that one attempt may be told to pay more."""
LARGE = 2**18
"""Bytes above which an answer is read in a thread, so that others do not wait."""
_WAIT_MAX = 3_600.0
_BUSY, _REFUSED = frozenset({429, 503}), frozenset({400, 413, 415, 422})
_UNCHARGED = frozenset({Kind.UNREACHABLE, Kind.IMPOSTER, Kind.BUSY, Kind.REFUSED, Kind.DEAR})


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked of a model, ready to be sent to any of its nodes."""

    subnet: str
    body: Body
    schema: Schema | None = None

    @property
    def path(self) -> str:
        """Where nodes answer it."""
        return f"/v2/models/{quote(self.subnet, safe='')}/infer"


@dataclass(frozen=True, slots=True)
class Reply:
    """A node's answer; ``paid`` in base units, ``seconds`` until it was read and checked."""

    subnet: str
    node: Address
    uid: int
    outputs: tuple[Tensor, ...]
    seconds: float = 0.0
    paid: int = 0

    @property
    def arrays(self) -> Values:
        """The outputs by name."""
        return to_arrays(self.outputs)


class Caller:
    """Connections to nodes, and the way to ask on them; for one event loop.

    ``identity`` signs requests, ``purse`` pays for them: without it only free nodes are asked.
    ``plain`` allows http:// on loopback.
    """

    def __init__(
        self,
        *,
        identity: Identity | None = None,
        purse: Purse | None = None,
        plain: bool = False,
        limits: Limits = LIMITS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._identity, self._purse, self._plain = identity, purse, plain
        self._limits, self._tls = limits, tls or pinned()
        self._lines: OrderedDict[Peer, Line] = OrderedDict()

    async def ask(self, candidate: Candidate, call: Call) -> Reply:
        """The node's answer; AttemptError. The caller bounds its time, by cancelling."""
        started = monotonic()
        hold = await self._hold(candidate)
        try:
            answer = await self._exchange(candidate, call, hold)
            outputs = await self._outputs(answer, call)
        except BaseException as error:
            self._unpaid(hold, error)
            raise
        if hold is not None and self._purse is not None:
            self._purse.settle(hold)
        return Reply(
            subnet=call.subnet,
            node=candidate.node,
            uid=candidate.uid,
            outputs=outputs,
            seconds=monotonic() - started,
            paid=candidate.price if hold else 0,
        )

    def close(self) -> None:
        """End all idle connections."""
        for line in self._lines.values():
            line.close()
        self._lines.clear()

    async def _hold(self, candidate: Candidate) -> Hold | None:
        if not candidate.price:
            return None
        if self._purse is None:
            raise AttemptError(Kind.DEAR, "it has a price, and nothing is there to pay with")
        return await self._purse.hold(candidate)

    def _unpaid(self, hold: Hold | None, error: BaseException) -> None:
        if hold is None or self._purse is None:
            return
        if isinstance(error, AttemptError) and error.kind in _UNCHARGED:
            self._purse.release(hold)
        else:
            self._purse.doubt(hold)

    async def _exchange(self, candidate: Candidate, call: Call, hold: Hold | None) -> Answer:
        line = self._line(candidate.peer)
        for _ in range(BILLS):
            asked = self._question(candidate, call, line.authority, hold)
            answer = await line.ask(asked)
            if answer.status == 200:
                return answer
            if answer.status != 402 or hold is None or self._purse is None:
                raise _refusal(answer)
            await self._purse.meet(hold, _fields(answer))
        raise AttemptError(Kind.UNPAID, "it wants more again and again")

    def _question(
        self, candidate: Candidate, call: Call, authority: str, hold: Hold | None
    ) -> bytes:
        headers = {"accept": "application/json, application/octet-stream", **call.body.headers()}
        path = call.path
        if self._identity is not None:
            headers["authorization"] = self._identity.token(
                audience=candidate.node, method="POST", path=path, body=call.body.data
            )
        if hold is not None:
            headers["freehold-voucher"] = hold.header
        return question("POST", path, authority=authority, headers=headers, body=call.body.data)

    async def _outputs(self, answer: Answer, call: Call) -> tuple[Tensor, ...]:
        if len(answer.body) > LARGE:
            return await asyncio.to_thread(self._read, answer, call)
        return self._read(answer, call)

    def _read(self, answer: Answer, call: Call) -> tuple[Tensor, ...]:
        try:
            length = header_length(answer.headers.get("inference-header-content-length"))
            response = decode_response(bytes(answer.body), length, self._limits)
            if call.schema is not None:
                call.schema.check_outputs(response.outputs)
        except FreeholdError as error:
            raise AttemptError(Kind.GARBAGE, error.message[:300]) from error
        return response.outputs

    def _line(self, peer: Peer) -> Line:
        line = self._lines.get(peer)
        if line is None:
            line = Line(peer, tls=self._tls, plain=self._plain, most=self._limits.body)
            self._lines[peer] = line
            if len(self._lines) > LINES:
                self._lines.popitem(last=False)[1].close()
        else:
            self._lines.move_to_end(peer)
        return line


def _refusal(answer: Answer) -> AttemptError:
    """What a status other than 200 means."""
    status, fields = answer.status, _fields(answer)
    said = printable(fields.get("error", ""))
    reason = f"status {status}" + (f", {said}" if said else "")
    if status in _BUSY:
        return AttemptError(Kind.BUSY, reason, wait=_wait(answer.headers.get("retry-after")))
    if status in _REFUSED:
        return AttemptError(Kind.REFUSED, reason)
    return AttemptError(Kind.UNPAID if status == 402 else Kind.BROKEN, reason)


def _fields(answer: Answer) -> dict[str, object]:
    try:
        found = parse_document(bytes(answer.body), size=2**16)
    except MalformedError:
        return {}
    return found if isinstance(found, dict) else {}


def _wait(text: str | None) -> float:
    """Seconds of a Retry-After; one where it is missing, or a date."""
    if text is None or not text.isascii() or not text.strip().isdigit():
        return 1.0
    return min(float(text.strip()[:6]), _WAIT_MAX)
