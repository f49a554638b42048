"""What a validator asks of models, what it expects back, and what it makes of the answers.

A *scorer* is a module with two functions: ``tasks(random, theme)`` draws questions, ``score(task,
answer, seconds)`` gives 0 to 1 for an answer. This file has the values between scorer and
validator; ``theme`` has what all validators of an epoch share, ``scoring`` puts the questions,
``copies`` finds who answers with another's model, ``weights`` makes a row of weights out of scores.

Tasks are of three kinds, and nobody who is asked can tell which one it got:

- *plain*: the truth is known to the validator, now or later;
- *canary*: any working model answers it well; who misses most of them is out for the round;
- *probe*: nobody knows the truth, and independent models disagree about it; never scored, only
  compared between nodes.

Threats: an answer of other names, shapes or types, of numbers that are none, that comes too late
or not at all (``fault`` says which; the scorer never sees it). A scorer is the validator's own
program and is trusted to end; one that raises costs the node that task, with the reason kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from inspect import signature
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from freehold.domain.errors import UsageError
from freehold.markets.models.tensor import ANY, DATATYPES, Schema

Tensors = Mapping[str, NDArray[np.generic]]
"""Inputs or outputs of a model by name; text is an array of ``bytes`` objects."""


class Kind(StrEnum):
    """What a task is for; never told to who is asked."""

    PLAIN = "plain"
    CANARY = "canary"
    PROBE = "probe"


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One question: ``inputs`` go to the nodes, ``truth`` stays with the validator."""

    inputs: Tensors
    truth: Tensors = field(default_factory=dict)
    kind: Kind = Kind.PLAIN


class NotYetError(Exception):
    """Raised by a scorer whose truth has not arrived: the validator asks it again later."""


class Scorer(Protocol):
    """A module with these two functions is a scorer."""

    def tasks(self, random: np.random.Generator, theme: np.random.Generator, /) -> Iterator[Task]:
        """New tasks, as many as one likes to take; the same generators give the same tasks.

        ``random`` is the validator's own secret; ``theme`` is the same for every validator of the
        subnet in this epoch, and anybody's to know from then on (``theme.generator``). What is
        asked leans on some part of the task by ``theme``, and is drawn from that by ``random``.
        """

    def score(self, task: Task, answer: Tensors, seconds: float, /) -> float:
        """0 (worthless) to 1 (perfect); NotYetError where the truth has not arrived."""


WITHOUT_THEME = (
    "tasks takes (random, theme): the second generator is the same for all validators in an epoch, "
    "and says which part of the task is asked more"
)


def takes_theme(tasks: object) -> bool:
    """Whether a scorer's ``tasks`` can be called as ``Scorer.tasks``."""
    if not callable(tasks):
        return False
    try:
        signature(tasks).bind(None, None)
    except TypeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Form:
    """What one output has to be: a first side of -1 is the number of rows that were asked, another
    side of -1 may be anything."""

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]


_TASKS = 32


@dataclass(frozen=True, slots=True)
class Terms:
    """How a subnet is scored: the table ``[scoring]`` of its ``subnet.toml``.

    ``tasks``: questions a round. ``seconds``: the longest an answer may take. ``floor``: the score
    of a model that knows nothing, which earns nothing. ``half_life``: epochs after which half of
    an old score is forgotten. ``agreement``: how often two independent models may come near each
    other on a probe.
    """

    tasks: int = _TASKS
    seconds: float = 2.0
    floor: float = 0.0
    half_life: float = 0.25
    agreement: float = 0.5

    def __post_init__(self) -> None:
        for name, least, most in _BOUNDS:
            if not least <= getattr(self, name) <= most:
                raise UsageError(
                    f"{name} = {getattr(self, name)} is outside {least} to {most}",
                    remedy="Change it in the table [scoring] of subnet.toml.",
                )

    @classmethod
    def read(cls, table: Mapping[str, object]) -> Terms:
        """From the table of a file; UsageError on unknown names and on what is no number."""
        known = {name for name, _, _ in _BOUNDS}
        for name, value in table.items():
            wanted = int if name == "tasks" else int | float
            if name not in known or isinstance(value, bool) or not isinstance(value, wanted):
                raise UsageError(
                    f"[scoring] has {name} = {value!r}",
                    remedy=f"It knows {', '.join(sorted(known))}; tasks is a whole number.",
                )
        numbers = {name: value for name, value in table.items() if isinstance(value, int | float)}
        tasks = numbers.pop("tasks", _TASKS)
        return cls(tasks=int(tasks), **{name: float(value) for name, value in numbers.items()})


_BOUNDS = (
    ("tasks", 1, 1024),
    ("seconds", 0.01, 600.0),
    ("floor", 0.0, 0.99),
    ("half_life", 0.1, 1000.0),
    ("agreement", 0.05, 0.99),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a question: outputs after ``seconds``, or none and ``reason``."""

    outputs: Tensors | None
    seconds: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a round found about a node.

    ``quality``: mean score of its answers, before anything is held against it; None where it was
    not asked. ``score``: what counts, 0 to 1: quality above the floor, and 0 for copies, for those
    who missed the canaries and for those who never answered. ``reasons``: what went wrong, and how
    often. ``waiting``: answers whose truth has not arrived.
    """

    quality: float | None
    score: float | None
    asked: int
    answered: int
    waiting: int = 0
    copy_of: int | None = None
    reasons: Mapping[str, int] = field(default_factory=dict)


def forms(schema: Schema) -> tuple[Form, ...]:
    """What the outputs of a subnet's schema have to be."""
    return tuple(
        Form(spec.name, DATATYPES.get(spec.datatype, np.dtype(object)), spec.shape)
        for spec in schema.outputs
    )


def rows(inputs: Tensors) -> int:
    """How many rows a question has: the first dimension of its first input, 1 if it has none."""
    first = next(iter(inputs.values()), None)
    return 1 if first is None or first.ndim == 0 else first.shape[0]


def size(tensors: Tensors) -> int:
    """Bytes that tensors take; text counts by its length."""
    return sum(_bytes(value) for value in tensors.values())


def fault(forms: Sequence[Form], task: Task, reply: Reply, *, seconds: float) -> str | None:
    """Why a reply is worth nothing whatever the truth is, or None."""
    if reply.outputs is None:
        return reply.reason or "no answer"
    if not 0 <= reply.seconds <= seconds:
        return f"slower than {seconds:g} s"
    if set(reply.outputs) != {form.name for form in forms}:
        return "outputs of other names"
    wrong = (_wrong(form, reply.outputs[form.name], rows(task.inputs)) for form in forms)
    return next((reason for reason in wrong if reason), None)


def _wrong(form: Form, value: object, count: int) -> str | None:
    if not isinstance(value, np.ndarray) or value.dtype != form.dtype:
        return f"{form.name} is not of type {form.dtype}"
    wanted = (count, *form.shape[1:]) if form.shape[:1] == (ANY,) else form.shape
    if value.ndim != len(wanted) or any(
        side not in (ANY, has) for side, has in zip(wanted, value.shape, strict=True)
    ):
        return f"{form.name} has another shape"
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        return f"{form.name} holds numbers that are none"
    if value.dtype.kind == "O" and not all(isinstance(text, bytes) for text in value.flat):
        return f"{form.name} holds what is no text"
    return None


def _bytes(value: NDArray[np.generic]) -> int:
    if value.dtype.kind != "O":
        return value.nbytes
    return value.nbytes + sum(len(text) for text in value.flat if isinstance(text, bytes))
