"""Spot checks: a share of requests is asked of another node too, and tasks with known answers are
put between the others. What comes of it goes to the journal, which validators' scorers read.

Nodes are not told, and nothing in a request differs: the same account, connections, headers and
encoding, some time after the user's own request so that the two do not come as a pair. Two nodes
of one owner are never compared. Where two differ a third is asked: who stands alone has differed.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from freehold.client.asking.caller import Call, Caller, Reply
from freehold.client.asking.candidate import Agreement, Candidate
from freehold.client.asking.journal import Cause
from freehold.client.asking.measured import Measures
from freehold.client.asking.race import Answered, Finish
from freehold.client.asking.refusals import AttemptError, Kind
from freehold.client.asking.scribe import Scribe
from freehold.domain.errors import FreeholdError, UsageError
from freehold.markets.models.agree import Tolerance, Values, same, vote
from freehold.markets.models.tensor import Request, encode_request, from_arrays

BACKGROUND = 64
"""Checks under way; more are not begun."""
DELAY_MAX = 30.0
SECONDS = 30.0
"""That a node has to answer a check."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Canary:
    """A task whose answer is known."""

    inputs: Mapping[str, object]
    truth: Values


class Canaries(Protocol):
    """Where known tasks come from; they should look as users' requests do."""

    def draw(self, subnet: str, chance: random.Random, /) -> Canary | None:
        """One that was not used before, or None where there is none."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Of a hundred requests, ``again`` * 100 are asked of another node too, and ``canary`` * 100
    known tasks are put among them; each after ``delay`` seconds on average."""

    again: float = 0.02
    canary: float = 0.01
    delay: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.again <= 1 and 0 <= self.canary <= 1 and 0 <= self.delay <= DELAY_MAX):
            raise UsageError(
                f"shares of {self.again} and {self.canary} after {self.delay} s make no sense",
                remedy=f"Shares go from 0 to 1, the delay from 0 to {DELAY_MAX:g} seconds.",
            )


NONE = Shares(again=0.0, canary=0.0)


class Spots:
    """Checks beside the requests of users; for one event loop."""

    def __init__(
        self,
        caller: Caller,
        measures: Measures,
        *,
        scribe: Scribe,
        shares: Shares,
        chance: random.Random,
        canaries: Canaries | None = None,
    ) -> None:
        self._caller, self._measures, self._scribe = caller, measures, scribe
        self._shares, self._chance, self._canaries = shares, chance, canaries
        self._tasks: set[asyncio.Task[None]] = set()

    def after(
        self, call: Call, finish: Finish, candidates: Sequence[Candidate], agreement: Agreement
    ) -> None:
        """Begin the checks that fall due with a request that was answered."""
        by = agreement.tolerance
        if agreement.quorum.n > 1:
            begun = self._begin(self._compared(finish, by))
            # However it ends, also before it began: nobody else waits for those answers.
            if begun is None:
                _stop(finish)
            else:
                begun.add_done_callback(lambda _: _stop(finish))
        elif self._chance.random() < self._shares.again:
            first = (finish.chosen, finish.reply)
            self._begin(self._later(lambda: self._again(call, first, candidates, by)))
        if self._canaries is not None and self._chance.random() < self._shares.canary:
            self._begin(self._later(lambda: self._canary(call, candidates, by)))

    async def settle(self) -> None:
        """Wait until what is under way has ended."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def close(self) -> None:
        """End what is under way."""
        for task in list(self._tasks):
            task.cancel()
        await self.settle()

    def _begin(self, work: Coroutine[object, object, None]) -> asyncio.Task[None] | None:
        """Let work go on in the background; None where too much does."""
        if len(self._tasks) >= BACKGROUND:
            work.close()
            return None
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("a spot check failed", exc_info=error)

    async def _later(self, work: Callable[[], Awaitable[None]]) -> None:
        if self._shares.delay:
            drawn = self._chance.expovariate(1 / self._shares.delay)
            await asyncio.sleep(min(drawn, DELAY_MAX))
        await work()

    async def _compared(self, finish: Finish, by: Tolerance) -> None:
        """Note who agrees with the answer that was taken, also of those who come late."""
        late = await _gathered(finish.running)
        taken = finish.reply.arrays
        for candidate, reply in (*finish.answered, *late):
            self._note(candidate, reply, Cause.REQUEST, same(reply.arrays, taken, by))

    async def _again(
        self, call: Call, first: Answered, candidates: Sequence[Candidate], by: Tolerance
    ) -> None:
        answered, parties = [first], {first[0].party}
        for _ in range(2):
            other = self._draw([each for each in candidates if each.party not in parties])
            if other is None:
                break
            parties.add(other.party)
            reply = await self._ask(other, call, Cause.AGAIN)
            if reply is not None:
                answered.append((other, reply))
            if len(answered) == 2 and same(answered[0][1].arrays, answered[1][1].arrays, by):
                break
        if len(answered) > 1:
            self._compare(answered, by)

    def _compare(self, answered: Sequence[Answered], by: Tolerance) -> None:
        """Note who agrees with another; of two that differ nobody knows who is right."""
        found = vote([reply.arrays for _, reply in answered], k=2, tolerance=by)
        for place, (candidate, reply) in enumerate(answered):
            agreed = None if found.winner is None else place not in found.dissent
            self._note(candidate, reply, Cause.AGAIN, agreed)

    async def _canary(self, call: Call, candidates: Sequence[Candidate], by: Tolerance) -> None:
        other = self._draw(candidates)
        canary = self._canaries.draw(call.subnet, self._chance) if self._canaries else None
        if other is None or canary is None:
            return
        binary = call.body.header_length is not None
        request = Request(from_arrays(canary.inputs), binary_output=binary)
        body = encode_request(request, binary=binary)
        reply = await self._ask(other, Call(call.subnet, body, call.schema), Cause.CANARY)
        if reply is not None:
            self._note(other, reply, Cause.CANARY, same(reply.arrays, canary.truth, by))

    def _draw(self, candidates: Sequence[Candidate]) -> Candidate | None:
        now = monotonic()
        awake = [each for each in candidates if self._measures.of(each.node).state(now) == 0]
        return self._chance.choice(awake) if awake else None

    async def _ask(self, candidate: Candidate, call: Call, cause: Cause) -> Reply | None:
        started, measure = monotonic(), self._measures.of(candidate.node)
        kind, wait = Kind.SILENT, None
        try:
            async with asyncio.timeout(SECONDS):
                reply = await self._caller.ask(candidate, call)
        except AttemptError as error:
            kind, wait = error.kind, error.wait
        except TimeoutError:
            pass
        except FreeholdError as error:
            _log.warning("a spot check of %s: %s", candidate.node, error.message)
            return None
        else:
            measure.answered(reply.seconds)
            return reply
        seconds = monotonic() - started
        measure.failed(kind, now=monotonic(), wait=wait)
        self._scribe.note(call.subnet, candidate, seconds=seconds, cause=cause, failure=kind.value)
        return None

    def _note(self, candidate: Candidate, reply: Reply, cause: Cause, agreed: bool | None) -> None:
        self._scribe.note(
            reply.subnet, candidate, seconds=reply.seconds, cause=cause, agreed=agreed
        )


def _stop(finish: Finish) -> None:
    for _, task in finish.running:
        task.cancel()


async def _gathered(
    running: Sequence[tuple[Candidate, asyncio.Task[Reply]]],
) -> list[Answered]:
    """The answers of those that still come in time."""
    whose = {task: candidate for candidate, task in running}
    if not whose:
        return []
    done, _ = await asyncio.wait(whose, timeout=SECONDS)
    found = []
    for task in done:
        with suppress(AttemptError, asyncio.CancelledError):
            found.append((whose[task], task.result()))
    return found
