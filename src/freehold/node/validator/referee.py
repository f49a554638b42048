"""A scorer in a process of its own: it may hang, crash or say nonsense, and costs a call each time.

Threats and what meets them. An answer made to hang or crash the scorer: it costs the node that sent
it that question, and the scorer does not see its other answers in this round, so a node can waste
``call`` seconds and no more. A scorer that is broken for everyone: ``broken`` says so, and then
nobody's scores fall for it. A scorer that is only slow: after ``until`` what is left waits, and
counts neither for nor against anyone. The scorer is the validator's own program and runs as the
same user: the process bounds its mistakes, not its malice.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import FreeholdError, UnavailableError
from freehold.markets.models.task import Kind, NotYetError, Task, Tensors
from freehold.node.logs import fields
from freehold.node.validator.parcel import Parcel
from freehold.node.validator.refusals import CORRECT, BrokenScorerError, ScorerLostError
from freehold.node.validator.worker import TASKS_KEPT
from freehold.node.workloads.models.source import Source
from freehold.node.workloads.models.wire import receive, send

LOGGED = 8
"""Failures of the scorer that are logged in a round."""
_SETTINGS = "FREEHOLD_"
_log = logging.getLogger(__name__)


class ScorerFailedError(Exception):
    """The scorer raised, or gave no number; caught by the round, which keeps the reason."""


class Said(dict[str, NDArray[np.generic]]):
    """An answer that knows who gave it."""

    def __init__(self, uid: int, outputs: Mapping[str, NDArray[np.generic]]) -> None:
        super().__init__(outputs)
        self.uid = uid


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that the scorer may take to load and for one call; bytes of data that it may hold
    (0: no bound)."""

    start: float = 120.0
    call: float = 10.0
    memory: int = 0


class Referee:
    """A scorer as ``markets.models.task.Scorer``; for one thread."""

    def __init__(
        self, source: Source, patience: Patience, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._source, self._patience, self._clock = source, patience, clock
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._known: dict[Task, int] = {}
        self._numbers = 0
        self._until = math.inf
        self._asked: set[int] = set()
        self._failed: set[int] = set()
        self._banned: set[int] = set()
        self._dead, self._logged = False, 0

    def prepare(self) -> None:
        """Have the scorer loaded, unless it is; BrokenScorerError, ScorerLostError."""
        self._ready()

    def begin(self) -> None:
        """A new round: nobody has failed in it."""
        self._asked, self._failed, self._banned = set(), set(), set()
        self._until, self._dead, self._logged = math.inf, False, 0

    def score_until(self, seconds: float) -> None:
        """Let everything wait that is not scored ``seconds`` from now."""
        self._until = self._clock() + seconds

    @property
    def broken(self) -> bool:
        """Whether the scorer cannot be loaded, or failed on answers of more than half of the
        nodes."""
        return self._dead or 2 * len(self._failed) > len(self._asked)

    def tasks(self, random: np.random.Generator, theme: np.random.Generator, /) -> Iterator[Task]:
        """The scorer's tasks; BrokenScorerError, ScorerLostError, ScorerFailedError."""
        self._known.clear()
        seed, shared = (int(each.integers(2**63)) for each in (random, theme))
        self._call({"do": "draw", "seed": seed, "theme": shared})
        while True:
            number = self._next()
            found = self._call({"do": "next", "task": number})
            if "end" in found.words:
                return
            kind = Kind(str(found.words["kind"]))
            task = Task(found.group("inputs"), found.group("truth"), kind)
            self._keep(task, number)
            yield task

    def score(self, task: Task, answer: Tensors, seconds: float, /) -> float:
        """As ``Scorer.score``; raises what the round counts against the node."""
        if self._dead or self._clock() >= self._until:
            raise NotYetError
        uid = answer.uid if isinstance(answer, Said) else -1
        self._asked.add(uid)
        if uid in self._banned:
            raise ScorerFailedError("not asked again")
        try:
            return self._score(task, answer, seconds)
        except NotYetError:
            raise
        except Exception as error:
            self._failed.add(uid)
            if isinstance(error, ScorerLostError):
                self._banned.add(uid)
            self._tell(uid, error)
            raise

    def close(self) -> None:
        """End the scorer's process."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        self._known.clear()

    def _score(self, task: Task, answer: Tensors, seconds: float) -> float:
        try:
            self._ready()
        except FreeholdError:
            self._dead = True  # loading it again for each answer would take for ever
            raise
        words: dict[str, object] = {"do": "score", "seconds": seconds}
        groups = {"answer": answer}
        if task in self._known:
            words["task"] = self._known[task]
        else:
            words |= {"task": self._next(), "kind": task.kind.value}
            groups |= {"inputs": task.inputs, "truth": task.truth}
        found = self._call(words, groups)
        if "kind" in words:
            self._keep(task, self._numbers)
        if "later" in found.words:
            raise NotYetError
        score = float(str(found.words.get("score", "nan")))
        if not math.isfinite(score):
            raise ScorerFailedError(f"{score} is no score")
        return score

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    def _keep(self, task: Task, number: int) -> None:
        """As the process keeps them, so that both forget the same ones."""
        if len(self._known) >= TASKS_KEPT:
            del self._known[next(iter(self._known))]
        self._known[task] = number

    def _tell(self, uid: int, error: Exception) -> None:
        self._logged += 1
        if self._logged <= LOGGED:
            reason = error.message if isinstance(error, FreeholdError) else str(error)
            _log.warning("the scorer failed", extra=fields(uid=uid, reason=reason, remedy=CORRECT))

    # --- the process -----------------------------------------------------------------------------

    def _call(
        self, words: Mapping[str, object], groups: Mapping[str, Tensors] | None = None
    ) -> Parcel:
        self._ready()
        found = self._exchange(Parcel(words, groups or {}), self._patience.call)
        if "failed" in found.words:
            raise ScorerFailedError(str(found.words["failed"])[:300])
        return found

    def _ready(self) -> None:
        """Start the process unless it runs; BrokenScorerError when it cannot load the scorer."""
        if self._connection is not None:
            return
        file = self._source.file
        if not file.is_file():
            raise BrokenScorerError(
                f"there is no file {file}", remedy="Name it: --scorer scorer.py:score."
            )
        self._start()
        words = {
            "do": "load", "file": str(file), "name": self._source.name,
            "memory": self._patience.memory,
        }  # fmt: skip
        found = self._exchange(Parcel(words), self._patience.start)
        if "failed" in found.words:
            self.close()
            raise BrokenScorerError(
                f"{file.name} cannot be used: {found.words['failed']}", remedy=CORRECT
            )

    def _exchange(self, parcel: Parcel, seconds: float) -> Parcel:
        connection, asked = self._connection, parcel.frame()
        if connection is None:
            raise ScorerLostError("the scorer does not run", remedy="It is started anew.")
        connection.settimeout(seconds)
        try:
            send(connection, asked)
            frame = receive(connection)
            if frame is not None:
                return Parcel.read(frame)
            reason = "its process ended"
        except TimeoutError:
            reason = f"it took more than {seconds:g} s"
        except (OSError, FreeholdError) as error:
            reason = str(error)
        self.close()
        raise ScorerLostError(
            f"{self._source.file.name} was lost over {parcel.words['do']}: {reason}",
            remedy=CORRECT,
        )

    def _start(self) -> None:
        here, there = socket.socketpair()
        with there:
            try:
                self._process = _spawn(there)
            except OSError as error:
                here.close()
                raise UnavailableError(
                    f"no process can be started for the scorer: {error.strerror}",
                    remedy="Raise the machine's limits on processes and memory.",
                ) from error
        self._connection = here


def _spawn(there: socket.socket) -> subprocess.Popen[bytes]:
    number = there.fileno()
    command = [sys.executable, "-m", "freehold.node.validator.worker"]
    return subprocess.Popen(  # noqa: S603 - this program, with numbers for arguments
        [*command, str(number), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=2,  # what it prints goes where the log goes
        pass_fds=(number,),
        env={k: v for k, v in os.environ.items() if not k.startswith(_SETTINGS)},
        start_new_session=True,
    )
