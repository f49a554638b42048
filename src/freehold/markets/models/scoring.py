"""One round: the same hidden tasks for every node, in an order and a pace that tell nothing.

``Round.plan`` draws the tasks and shuffles all (node, task) pairs together. Whoever puts the
questions (``run`` here, or a daemon that asks many at once) hands each reply to ``take`` and may
stop at any time; ``judge`` says what is known. Nothing is scored between two questions, so the
time between them does not depend on what they were.

Bounds: tasks, bytes a task, bytes an answer, bytes of answers held before they are scored,
replies whose truth is awaited, seconds of the whole round; a node that failed to answer
``GIVE_UP`` times in a row is asked no more, and the rest counts as failed, so that those who hang
cannot use up the round.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from math import isfinite
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import CapacityError, UsageError
from freehold.markets.models.copies import Age, Past, copies, unrefuted
from freehold.markets.models.task import (
    WITHOUT_THEME,
    Form,
    Judgement,
    Kind,
    NotYetError,
    Reply,
    Scorer,
    Task,
    Tensors,
    Terms,
    fault,
    size,
    takes_theme,
)

Ask = Callable[[int, Tensors], Reply]
"""Puts a question to a node; it returns within the time limit of the terms, and never raises."""

TASK_BYTES = 1 << 22
ANSWER_BYTES = 1 << 20
HELD_BYTES = 1 << 26
"""Answers held before they are scored, and as many again that wait for their truth."""
GIVE_UP = 3
REASONS = 8
"""Different reasons kept for a node."""
WIDTH = 64
"""Numbers that are kept of an answer to a probe."""
_LARGE = 1e100
"""Larger numbers count as this one, whose square is still a number."""
PASSED = 0.5
"""What an answer to a canary has to score."""


@dataclass(frozen=True, slots=True)
class Question:
    """One task, by its place in the round, for one node."""

    uid: int
    task: int


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """A reply that has outputs of the right form."""

    question: Question
    outputs: Tensors
    seconds: float


@dataclass(slots=True)
class _Record:
    """What a node has done so far."""

    due: int = 0
    scores: list[float] = field(default_factory=list)
    asked: int = 0
    answered: int = 0
    in_a_row: int = 0
    canaries: int = 0
    missed: int = 0
    waiting: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def left(self) -> int:
        """Questions that it will not be asked any more."""
        return self.due - self.asked if self.in_a_row >= GIVE_UP else 0

    @property
    def quality(self) -> float | None:
        """Mean of what is known."""
        count = len(self.scores) + self.left
        return sum(self.scores) / count if count else None

    def fail(self, reason: str) -> None:
        """Worth 0, for a reason that is kept while there is room."""
        self.scores.append(0.0)
        short = "".join(letter for letter in reason[:64] if letter.isprintable())
        full = len(self.reasons) >= REASONS and short not in self.reasons
        self.reasons["other" if full else short] += 1


class Round:
    """The questions of a round and what came of them."""

    def __init__(
        self,
        scorer: Scorer,
        tasks: Sequence[Task],
        questions: Sequence[Question],
        *,
        forms: Sequence[Form],
        terms: Terms,
        seed: int,
    ) -> None:
        self.questions = tuple(questions)
        self._scorer, self._tasks, self._forms, self._terms = scorer, tasks, forms, terms
        self._seed = seed
        counts = Counter(question.uid for question in questions)
        self._records = {uid: _Record(due=count) for uid, count in sorted(counts.items())}
        self._probes: dict[int, dict[int, NDArray[np.float64]]] = {}
        self._held: list[tuple[Question, Reply]] = []
        self._waiting: list[_Answer] = []
        self._bytes = self._late = 0

    @classmethod
    def plan(
        cls,
        scorer: Scorer,
        uids: Sequence[int],
        *,
        random: np.random.Generator,
        theme: np.random.Generator,
        forms: Sequence[Form],
        terms: Terms,
    ) -> Round:
        """Draw tasks, by the epoch's ``theme``, and their order. UsageError or CapacityError on a
        scorer that fails, that knows no themes, or whose tasks are none or too large."""
        tasks = [_checked(task) for task in _drawn(scorer, terms.tasks, random, theme)]
        pairs = [Question(uid, task) for uid in dict.fromkeys(uids) for task in range(len(tasks))]
        order = random.permutation(len(pairs))
        questions, seed = [pairs[place] for place in order], int(random.integers(2**63))
        return cls(scorer, tasks, questions, forms=forms, terms=terms, seed=seed)

    def inputs(self, question: Question) -> Tensors:
        """What to send."""
        return self._tasks[question.task].inputs

    def wants(self, question: Question) -> bool:
        """Whether the node is still worth asking."""
        return self._records[question.uid].in_a_row < GIVE_UP

    def take(self, question: Question, reply: Reply) -> None:
        """What came of a question; scored later, at a time that its kind has no part in."""
        record, late = self._records[question.uid], reply.seconds > self._terms.seconds
        record.asked += 1
        record.in_a_row = record.in_a_row + 1 if reply.outputs is None or late else 0
        bytes_ = size(reply.outputs or {})
        if bytes_ > ANSWER_BYTES:
            reply, bytes_ = Reply(None, reply.seconds, f"more than {ANSWER_BYTES} bytes"), 0
        self._held.append((question, reply))
        self._bytes += bytes_
        if self._bytes > HELD_BYTES:
            self._settle()

    def judge(
        self,
        registered: Mapping[int, float],
        past: Mapping[int, Past] | None = None,
        accused: Mapping[int, int] | None = None,
    ) -> dict[int, Judgement]:
        """Every node by uid, from what is known now. Of copies the younger loses: ``registered``
        and ``past`` say how old each is (``copies.older``). ``accused`` are those whom the round
        before called copies, of whom: they stay that until answers clear them. Called again, it
        first tries what waited for its truth."""
        waiting, self._waiting, self._late = self._waiting, [], 0
        for answer in waiting:
            self._records[answer.question.uid].waiting -= 1
            self._score(answer)
        self._settle()
        ages = {
            uid: Age(registered[uid], record.quality or 0.0, (past or {}).get(uid, ()))
            for uid, record in self._records.items()
        }
        sketches, agreement = self._sketches(), self._terms.agreement
        taken = copies(sketches, ages, accused, agreement=agreement)
        for uid, older in unrefuted(sketches, accused or {}, agreement=agreement).items():
            if taken.get(older) != uid:
                taken.setdefault(uid, older)
        return {
            uid: self._judgement(record, taken.get(uid)) for uid, record in self._records.items()
        }

    def _settle(self) -> None:
        held, self._held, self._bytes = self._held, [], 0
        for question, reply in held:
            self._examine(question, reply)

    def _examine(self, question: Question, reply: Reply) -> None:
        record, task = self._records[question.uid], self._tasks[question.task]
        canary = task.kind is Kind.CANARY
        record.canaries += canary
        reason = fault(self._forms, task, reply, seconds=self._terms.seconds)
        if reason is not None or reply.outputs is None:
            record.fail(reason or "no answer")
            record.missed += canary
            return
        record.answered += 1
        if task.kind is Kind.PROBE:
            sketch = _sketch(reply.outputs, self._forms, seed=self._seed)
            self._probes.setdefault(question.uid, {})[question.task] = sketch
        else:
            self._score(_Answer(question, reply.outputs, reply.seconds))

    def _score(self, answer: _Answer) -> None:
        record = self._records[answer.question.uid]
        task = self._tasks[answer.question.task]
        try:
            score = float(self._scorer.score(task, answer.outputs, answer.seconds))
        except NotYetError:
            self._wait(answer)
            return
        except Exception as error:  # noqa: BLE001 - no answer may end the validator
            score = 0.0
            record.fail(f"the scorer failed: {type(error).__name__}")
        else:
            score = min(max(score, 0.0), 1.0) if isfinite(score) else 0.0
            record.scores.append(score)
        record.missed += task.kind is Kind.CANARY and score < PASSED

    def _wait(self, answer: _Answer) -> None:
        """Beyond the bound an answer is forgotten, and counts neither for nor against the node."""
        self._late += size(answer.outputs)
        if self._late <= HELD_BYTES:
            self._waiting.append(answer)
            self._records[answer.question.uid].waiting += 1

    def _judgement(self, record: _Record, copy_of: int | None) -> Judgement:
        missed = 2 * record.missed > record.canaries
        held = {
            "asked no more": record.left,
            "missed the canaries": record.missed if missed else 0,
            f"answers like {copy_of}, which is older": copy_of is not None,
        }
        quality = record.quality
        out = missed or copy_of is not None or not record.answered
        return Judgement(
            quality=quality,
            score=None if quality is None else 0.0 if out else _above(quality, self._terms.floor),
            asked=record.asked,
            answered=record.answered,
            waiting=record.waiting,
            copy_of=copy_of,
            reasons=record.reasons
            | {reason: int(times) for reason, times in held.items() if times},
        )

    def _sketches(self) -> dict[int, NDArray[np.float64]]:
        """Answers to all probes by uid, (probes, width), of those who answered any."""
        probes = [place for place, task in enumerate(self._tasks) if task.kind is Kind.PROBE]
        none = np.full(WIDTH, np.nan)
        return {
            uid: np.stack([own.get(place, none) for place in probes])
            for uid, own in self._probes.items()
        }


def run(
    round_: Round, ask: Ask, *, clock: Callable[[], float], seconds: float = 600.0
) -> Iterator[Question]:
    """Put the questions one after another, for at most ``seconds`` by ``clock``; yields each that
    was answered or failed, so that the caller can show how far it is."""
    end = clock() + seconds
    for question in round_.questions:
        if clock() >= end:
            return
        if round_.wants(question):
            round_.take(question, ask(question.uid, round_.inputs(question)))
            yield question


def _drawn(
    scorer: Scorer, count: int, random: np.random.Generator, theme: np.random.Generator
) -> list[Task]:
    if not takes_theme(scorer.tasks):
        raise UsageError("the scorer knows no themes", remedy=f"Change it: {WITHOUT_THEME}.")
    try:
        tasks = list(islice(scorer.tasks(random, theme), count))
    except Exception as error:
        raise UsageError(
            f"the scorer has no tasks: {type(error).__name__}: {error}",
            remedy="Correct tasks(random, theme), or give it the files that it needs.",
        ) from error
    if not tasks:
        raise UsageError("the scorer has no tasks", remedy="Let tasks(random, theme) yield some.")
    return tasks


def _checked(task: object) -> Task:
    if not isinstance(task, Task) or not task.inputs:
        raise UsageError(
            f"the scorer yields {type(task).__name__}, which is no task with inputs",
            remedy="Yield freehold.markets.models.task.Task(inputs, truth).",
        )
    if size(task.inputs) > TASK_BYTES:
        raise CapacityError(
            f"a task of {size(task.inputs)} bytes is larger than {TASK_BYTES}",
            remedy="Ask for fewer rows at a time.",
        )
    return task


def _above(quality: float, floor: float) -> float:
    return max(0.0, (quality - floor) / (1 - floor))


def _sketch(outputs: Tensors, forms: Sequence[Form], *, seed: int) -> NDArray[np.float64]:
    """``WIDTH`` sums of an answer's numbers under random signs, the same for all nodes and probes:
    they lie about as far apart as answers do (count sketch: Charikar, Chen, Farach-Colton, 2002).
    """
    flat = np.concatenate([_numbers(outputs[form.name]) for form in forms])
    signs, places = _signs(seed, len(flat))
    found = np.zeros(WIDTH)
    np.add.at(found, places, signs * flat)
    return found


@lru_cache(maxsize=16)
def _signs(seed: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Of so many numbers, which sign each one gets and to which sum it goes."""
    random = np.random.default_rng(seed)
    return np.where(random.random(count) < 0.5, 1.0, -1.0), random.integers(WIDTH, size=count)


def _numbers(value: NDArray[np.generic]) -> NDArray[np.float64]:
    """As numbers; text as one of many, near only where it is the same."""
    if value.dtype.kind == "O":
        codes = [crc32(text) / 2**32 for text in value.flat if isinstance(text, bytes)]
        return np.array(codes, dtype=np.float64)
    return np.clip(value.ravel().astype(np.float64), -_LARGE, _LARGE)
