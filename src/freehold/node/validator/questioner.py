"""Puts the questions of a round to the nodes: many at once, one at a time to each, over a while.

Nothing is scored while an answer is under way, for that would make it late. A node is asked for
nothing first, as validators may; one that refuses and has a price is paid by voucher where there
is a purse.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from freehold.client.asking.caller import Call, Caller
from freehold.client.asking.caller import Reply as Heard
from freehold.client.asking.candidate import Candidate
from freehold.client.asking.refusals import AttemptError, Kind
from freehold.domain.errors import FreeholdError
from freehold.markets.models.scoring import ANSWER_BYTES, HELD_BYTES, Question, Round
from freehold.markets.models.task import Reply, Tensors, size
from freehold.markets.models.tensor import Body, Limits, Request, encode_request, from_arrays
from freehold.node.logs import fields
from freehold.node.validator.referee import Said

LIMITS = Limits(body=ANSWER_BYTES + 2**16)
"""Of an answer; a larger one is none."""
_log = logging.getLogger(__name__)


class Fares(Protocol):
    """Finds out what a node wants for a request."""

    async def of(self, candidate: Candidate, /) -> Candidate | None:
        """The node with its price; None where it names none, or too high a one."""


@dataclass(frozen=True, slots=True)
class Pace:
    """At most ``together`` questions at once, strewn over ``spread`` seconds, for ``seconds`` in
    all; an answer may take ``answer`` seconds."""

    answer: float
    seconds: float
    spread: float = 0.0
    together: int = 32


class Questioner:
    """Asks the ``nodes`` (by uid) what a round wants to know; for one event loop and round."""

    def __init__(
        self,
        caller: Caller,
        nodes: Mapping[int, Candidate],
        *,
        subnet: str,
        pace: Pace,
        fares: Fares | None = None,
    ) -> None:
        self._caller, self._nodes, self._subnet = caller, dict(nodes), subnet
        self._pace, self._fares = pace, fares
        self._room = asyncio.Semaphore(pace.together)
        self._open = asyncio.Event()
        self._open.set()
        self._flying = self._held = 0
        self._parked: list[tuple[Question, Reply]] = []
        self.asked = 0

    async def ask(self, round_: Round) -> bool:
        """Put the questions; False when the time was over before all were."""
        queues: dict[int, list[tuple[float, Question]]] = {}
        step = self._pace.spread / max(len(round_.questions), 1)
        for place, question in enumerate(round_.questions):
            queues.setdefault(question.uid, []).append((place * step, question))
        try:
            async with asyncio.timeout(self._pace.seconds), asyncio.TaskGroup() as group:
                for queue in queues.values():
                    group.create_task(self._node(round_, queue))
        except TimeoutError:
            self._take(round_)
            return False
        return True

    async def _node(self, round_: Round, queue: Sequence[tuple[float, Question]]) -> None:
        """One node's questions, each not before its time."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for due, question in queue:
            if not round_.wants(question):
                return
            if (wait := began + due - loop.time()) > 0:
                await asyncio.sleep(wait)
            async with self._room:
                await self._open.wait()
                self._flying += 1
                try:
                    reply = await self._put(question.uid, round_.inputs(question))
                finally:
                    self._flying -= 1
                self._note(round_, question, reply)

    def _note(self, round_: Round, question: Question, reply: Reply) -> None:
        """Hand a reply in; where that would make the round score, wait until nothing flies."""
        self.asked += 1
        self._parked.append((question, reply))
        if self._held + sum(size(each.outputs or {}) for _, each in self._parked) > HELD_BYTES:
            self._open.clear()
        if self._open.is_set() or not self._flying:
            self._take(round_)
            self._open.set()

    def _take(self, round_: Round) -> None:
        parked, self._parked = self._parked, []
        for question, reply in parked:
            round_.take(question, reply)
            self._held += size(reply.outputs or {})
            if self._held > HELD_BYTES:
                self._held = 0

    async def _put(self, uid: int, inputs: Tensors) -> Reply:
        """One question; how it failed is the node's own fault, or counts as that."""
        started = monotonic()
        try:
            body = encode_request(Request(from_arrays(inputs), binary_output=True), binary=True)
            async with asyncio.timeout(self._pace.answer):
                heard = await self._heard(uid, body)
        except TimeoutError:
            reason = Kind.SILENT.value
        except AttemptError as error:
            reason = f"{error.kind.value}: {error.message}"
        except FreeholdError as error:
            reason = error.message
        except Exception as error:  # noqa: BLE001 - no node may end the round for all
            _log.exception("a question failed", extra=fields(uid=uid))
            reason = f"failed: {type(error).__name__}"
        else:
            return _said(uid, heard)
        return Reply(None, monotonic() - started, reason)

    async def _heard(self, uid: int, body: Body) -> Heard:
        call = Call(self._subnet, body)
        try:
            return await self._caller.ask(self._nodes[uid], call)
        except AttemptError as error:
            if error.kind is not Kind.UNPAID or self._fares is None or self._nodes[uid].price:
                raise
            dearer = await self._fares.of(self._nodes[uid])
            if dearer is None:
                raise
        self._nodes[uid] = dearer
        return await self._caller.ask(dearer, call)


def _said(uid: int, heard: Heard) -> Reply:
    outputs = Said(uid, heard.arrays)
    if size(outputs) > ANSWER_BYTES:
        return Reply(None, heard.seconds, f"more than {ANSWER_BYTES} bytes")
    return Reply(outputs, heard.seconds)
