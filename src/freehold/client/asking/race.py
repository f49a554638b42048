"""One request on its way: nodes are asked in order until enough of them have answered.

A node that fails is replaced at once. One that is silent for suspiciously long is left running,
and the next is asked beside it; the longer the list, the sooner, so that every node on it gets its
turn before the deadline. When too many are silent, the first of them is given up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic

from freehold.client.asking.caller import Call, Caller, Reply
from freehold.client.asking.candidate import Agreement, Candidate, Effort
from freehold.client.asking.measured import Measure, Measures
from freehold.client.asking.refusals import (
    AllFailedError,
    AttemptError,
    DeadlineError,
    DisagreementError,
    Failure,
    Kind,
    TooDearError,
    UnansweredError,
    UnwantedInputError,
    told,
)
from freehold.domain.ids import Address
from freehold.markets.models.agree import Vote, vote

SOON = 0.02
"""Seconds that any node gets before another is asked beside it."""
USUALLY = 4
"""Times its usual latency after which a node is overdue: then the next is asked, hedged or not, and
it has failed if that one is faster."""
AT_LEAST, UNKNOWN = 0.5, 2.0
"""Seconds: the least such time, and that of a node that is hardly known."""
HARDLY = 3
"""Answers below which a node is hardly known."""
Note = Callable[[Candidate, float, str], None]
"""Told of each attempt whose answer is not compared: the node, seconds, and the kind of failure or
nothing."""
Answered = tuple[Candidate, Reply]


@dataclass(slots=True)
class _Run:
    candidate: Candidate
    measure: Measure
    since: float
    suspicious: float
    overdue: float


@dataclass(frozen=True, slots=True)
class Finish:
    """How a request ended well: who ``answered``, in order, the vote over them, and what is still
    running, for whoever wants to compare it."""

    answered: tuple[Answered, ...]
    verdict: Vote
    failures: tuple[Failure, ...]
    running: tuple[tuple[Candidate, asyncio.Task[Reply]], ...]

    @property
    def chosen(self) -> Candidate:
        """The node whose answer was taken."""
        return self.answered[self.verdict.winner or 0][0]

    @property
    def reply(self) -> Reply:
        """The answer that most stand behind."""
        return self.answered[self.verdict.winner or 0][1]


class Race:
    """Asks ``line`` for ``call`` until ``agreement`` is reached."""

    def __init__(
        self,
        caller: Caller,
        measures: Measures,
        *,
        call: Call,
        line: Sequence[Candidate],
        agreement: Agreement,
        effort: Effort,
        note: Note,
    ) -> None:
        self._caller, self._measures, self._call = caller, measures, call
        self._agreement, self._effort, self._note = agreement, effort, note
        self._line = deque(line[: effort.nodes])
        self._loop = asyncio.get_running_loop()
        self._end = monotonic() + effort.deadline
        self._running: dict[asyncio.Task[Reply], _Run] = {}
        self._answered: list[Answered] = []
        self._failures: list[Failure] = []
        self._parties: set[Address] = set()

    async def run(self) -> Finish:
        """The answers; an UnansweredError otherwise. Cancelling it ends all attempts."""
        kept: dict[asyncio.Task[Reply], _Run] = {}
        try:
            while True:
                # One reading for both: a node that became suspicious between two would be waited
                # for until the end.
                now = monotonic()
                self._start(now)
                if not self._running:
                    raise self._exhausted()
                await self._wait(now)
                verdict = self._verdict()
                if verdict is not None:
                    kept = self._running if self._agreement.quorum.n > 1 else {}
                    return self._finish(verdict, kept)
                if monotonic() >= self._end:
                    raise self._late()
        finally:
            for task in list(self._running):
                if task not in kept:
                    self._give_up(task)

    def _finish(self, verdict: Vote, kept: dict[asyncio.Task[Reply], _Run]) -> Finish:
        running = tuple((run.candidate, task) for task, run in kept.items())
        return Finish(tuple(self._answered), verdict, tuple(self._failures), running)

    def _start(self, now: float) -> None:
        """Ask so many nodes that those which are not suspicious yet could be enough."""
        quorum, most = self._agreement.quorum, self._agreement.quorum.n + self._effort.spare
        hopeful = sum(now < run.suspicious for run in self._running.values())
        while hopeful < quorum.n - len(self._answered):
            candidate = self._next()
            if candidate is None:
                return
            if len(self._running) >= most:
                self._drop_oldest()
            self._ask(candidate, now)
            hopeful += 1

    def _next(self) -> Candidate | None:
        """The next node; of one owner only one where answers are compared."""
        for candidate in self._line:
            if self._agreement.quorum.n == 1 or candidate.party not in self._parties:
                self._line.remove(candidate)
                return candidate
        return None

    def _ask(self, candidate: Candidate, now: float) -> None:
        measure = self._measures.of(candidate.node)
        measure.flying += 1
        self._parties.add(candidate.party)
        task = self._loop.create_task(self._caller.ask(candidate, self._call))
        own = _patience(measure)
        first = measure.usual if self._effort.hedge and measure.answers >= HARDLY else own
        fair = (self._end - now) / (len(self._line) + 1)
        run = _Run(candidate, measure, now, now + max(SOON, min(first, fair)), now + own)
        self._running[task] = run
        task.add_done_callback(partial(_landed, measure))

    async def _wait(self, now: float) -> None:
        until = self._end
        if self._line:
            soon = [run.suspicious for run in self._running.values() if run.suspicious > now]
            until = min([until, *soon])
        left = max(0.0, until - monotonic())
        done, _ = await asyncio.wait(
            self._running, timeout=left, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            self._harvest(task, self._running.pop(task))

    def _harvest(self, task: asyncio.Task[Reply], run: _Run) -> None:
        seconds = monotonic() - run.since
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            run.measure.answered(seconds)
            self._answered.append((run.candidate, task.result()))
            if self._agreement.quorum.n == 1:
                self._note(run.candidate, seconds, "")
        elif isinstance(error, AttemptError):
            self._failed(run, error.kind, error.message, error.wait)
        else:
            raise error

    def _failed(self, run: _Run, kind: Kind, reason: str, wait: float | None = None) -> None:
        now = monotonic()
        run.measure.failed(kind, now=now, wait=wait)
        failure = Failure(run.candidate.node, kind, reason, now - run.since)
        self._failures.append(failure)
        # Its owner's other nodes may stand in for it.
        self._parties.discard(run.candidate.party)
        self._note(run.candidate, failure.seconds, kind.value)

    def _drop_oldest(self) -> None:
        task = min(self._running, key=lambda each: self._running[each].suspicious)
        run = self._running.pop(task)
        task.cancel()
        self._failed(run, Kind.SILENT, "it gave no answer")

    def _give_up(self, task: asyncio.Task[Reply]) -> None:
        """Others were faster, or the request is over."""
        run, now = self._running.pop(task), monotonic()
        task.cancel()
        if now >= run.overdue:
            self._failed(run, Kind.SILENT, "it gave no answer")
        else:
            run.measure.outrun(now - run.since, now=now)

    def _verdict(self) -> Vote | None:
        """The vote, once enough agree; DisagreementError once that many have answered in vain."""
        quorum = self._agreement.quorum
        if len(self._answered) < quorum.k:
            return None
        if quorum.n == 1:
            return Vote(0, (), ((0,),))
        found = self._vote()
        if found.winner is not None:
            return found
        if len(self._answered) >= quorum.n:
            raise self._disagreement(found)
        return None

    def _vote(self) -> Vote:
        answers = [reply.arrays for _, reply in self._answered]
        return vote(answers, k=self._agreement.quorum.k, tolerance=self._agreement.tolerance)

    def _disagreement(self, found: Vote) -> DisagreementError:
        for candidate, reply in self._answered:
            self._note(candidate, reply.seconds, "")  # nobody can say who is right
        classes = [[self._answered[i][0].node for i in group] for group in found.classes]
        sizes = ", ".join(str(len(group)) for group in classes)
        quorum = self._agreement.quorum
        return DisagreementError(
            f"no {quorum.k} of {len(self._answered)} nodes of {self._call.subnet} say the same: "
            f"groups of {sizes}",
            remedy="Ask more nodes, or allow a larger difference between answers.",
            failures=self._failures,
            classes=classes,
        )

    def _exhausted(self) -> UnansweredError:
        """Nobody is left to ask."""
        if self._answered and len(self._answered) >= self._agreement.quorum.k:
            return self._disagreement(self._vote())
        kinds = {failure.kind for failure in self._failures}
        what = f"{self._call.subnet}: {told(self._failures) or 'too few owners'}"
        if kinds == {Kind.REFUSED}:
            return UnwantedInputError(
                f"the nodes of {what}",
                remedy="Compare the inputs with the subnet's schema.",
                failures=self._failures,
            )
        if kinds == {Kind.DEAR}:
            return TooDearError(
                f"no node can be paid for {what}",
                remedy="Raise the highest price or the spending cap, and look at your funds.",
                failures=self._failures,
            )
        return AllFailedError(
            f"no node answers for {what}" if not self._answered else f"too few answer for {what}",
            remedy="Try again later; `freehold model list` shows the nodes of a subnet.",
            failures=self._failures,
        )

    def _late(self) -> UnansweredError:
        for task in list(self._running):
            run = self._running.pop(task)
            task.cancel()
            self._failed(run, Kind.SILENT, "it gave no answer")
        return DeadlineError(
            f"no answer for {self._call.subnet} in {self._effort.deadline:g} seconds: "
            f"{told(self._failures)}",
            remedy="Allow more time, or ask when the subnet is less busy.",
            failures=self._failures,
        )


def _patience(measure: Measure) -> float:
    """Seconds after which a node is overdue."""
    if measure.answers < HARDLY:
        return UNKNOWN
    return max(AT_LEAST, USUALLY * measure.usual)


def _landed(measure: Measure, task: asyncio.Task[Reply]) -> None:
    measure.flying -= 1
    if not task.cancelled():
        task.exception()  # one that was given up is asked by nobody else
