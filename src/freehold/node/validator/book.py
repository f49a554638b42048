"""What a validator thinks of the nodes, kept over epochs and crashes.

Scores are kept by uid and generation: who takes over a uid starts from nothing. One file, written
whole once an epoch; others on this machine may read it (`freehold validate --status`). It is not
served to strangers: who knew the scores before they are revealed could copy them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from freehold.domain.document import MalformedError, parse_document
from freehold.domain.errors import ConflictError, IntegrityError, UsageError
from freehold.domain.ids import Address, address
from freehold.markets.models.copies import Past
from freehold.markets.models.task import Judgement
from freehold.markets.models.weights import smooth, standing
from freehold.node.files import disk, replace_file
from freehold.node.validator.field import Key, Member

VERSION = 1
FILE = "scores.json"
SIZE_MAX = 2**26
PARTS_MAX = 2**20
PAST = 32
"""Epochs of which a node's quality is remembered."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One node: ``smoothed`` over epochs, ``standing`` is what it weighs now (both 0 to 1); the
    rest is its last judgement, of ``epoch`` (-1: none yet), and ``past`` are times (seconds) and
    qualities of former rounds, oldest first."""

    uid: int
    generation: int
    node: Address
    smoothed: float = 0.0
    standing: float = 0.0
    epoch: int = -1
    quality: float | None = None
    score: float | None = None
    asked: int = 0
    answered: int = 0
    waiting: int = 0
    copy_of: int | None = None
    reasons: Mapping[str, int] = field(default_factory=dict)
    past: tuple[tuple[float, float], ...] = ()

    @property
    def key(self) -> Key:
        """Who it is."""
        return self.uid, self.generation


@dataclass(frozen=True, slots=True)
class Book:
    """All nodes of a subnet by uid; ``epoch`` is the last that was scored, -1 before the first,
    ``heard`` the last row that was read of the journal of requests."""

    network: str
    subnet: int
    epoch: int = -1
    heard: int = 0
    marks: tuple[Mark, ...] = ()

    def past(self) -> dict[Key, Past]:
        """Former qualities."""
        return {mark.key: mark.past for mark in self.marks}

    def accused(self) -> dict[Key, int]:
        """Those whom their last round called copies, with the uid of whom."""
        return {mark.key: mark.copy_of for mark in self.marks if mark.copy_of is not None}

    def came(self, member: Member, *, begun: int, now: int) -> float:
        """When a node was registered; ``now``, where the last round, whose epoch had ``begun``, was
        later and did not find it serving: who sleeps until there is something to copy is no older
        than that. Seconds."""
        known = any(mark.key == member.key for mark in self.marks)
        if known or self.epoch < 0 or member.seat.registered_at >= begun:
            return float(member.seat.registered_at)
        return float(now)

    def folded(
        self,
        epoch: int,
        members: Sequence[Member],
        found: Mapping[Key, Judgement],
        *,
        half_life: float,
        now: int,
        heard: int,
    ) -> Book:
        """The book after an epoch's round; who is not among ``members`` is forgotten."""
        before = {mark.key: mark for mark in self.marks}
        scores = {each.key: _score(found.get(each.key)) for each in members}
        smoothed = smooth({key: mark.smoothed for key, mark in before.items()}, scores, half_life)
        stands = standing(smoothed, scores)
        marks = []
        for member in members:
            old = before.get(member.key) or Mark(*member.key, member.seat.node)
            old = replace(old, smoothed=smoothed[member.key], standing=stands[member.key])
            judged = found.get(member.key)
            marks.append(old if judged is None else _judged(old, judged, epoch, now))
        return replace(self, epoch=epoch, heard=heard, marks=tuple(marks))


class Shelf:
    """The file of a book, and the book as it was written last; ``book`` from any thread."""

    def __init__(self, folder: Path, *, network: bytes, subnet: int) -> None:
        """ConflictError where the file is of another subnet, IntegrityError where it is none."""
        self._file = folder / FILE
        empty = Book("0x" + network.hex(), subnet)
        self.book = read(self._file) or empty
        if (self.book.network, self.book.subnet) != (empty.network, subnet):
            raise ConflictError(
                f"{self._file} holds the scores of another subnet",
                remedy="Give each subnet that you validate a home of its own.",
            )

    def keep(self, book: Book) -> None:
        """Durable on return; DiskFullError or UnavailableError leave what was kept before."""
        replace_file(self._file, json.dumps(asdict(book) | {"version": VERSION}).encode())
        self.book = book


def read(file: Path) -> Book | None:
    """The book in a file, None where there is none; IntegrityError where it is none."""
    with disk(file):
        try:
            with file.open("rb") as opened:
                raw = opened.read(SIZE_MAX + 1)
        except FileNotFoundError:
            return None
    try:
        return _book(parse_document(raw, size=SIZE_MAX, parts=PARTS_MAX))
    except (MalformedError, UsageError, KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"{file} is damaged ({error})",
            remedy="Move it away: all nodes then start from nothing with this validator.",
        ) from error


def _score(judged: Judgement | None) -> float | None:
    return None if judged is None else judged.score


def _judged(old: Mark, judged: Judgement, epoch: int, now: int) -> Mark:
    past = old.past
    if judged.quality is not None:
        past = (*past, (float(now), judged.quality))[-PAST:]
    return replace(
        old, epoch=epoch, quality=judged.quality, score=judged.score, asked=judged.asked,
        answered=judged.answered, waiting=judged.waiting, copy_of=judged.copy_of,
        reasons=dict(judged.reasons), past=past,
    )  # fmt: skip


def _book(told: object) -> Book:
    if not isinstance(told, dict) or told.pop("version") != VERSION:
        raise ValueError("it has another version")
    marks = tuple(_mark(each) for each in told.pop("marks"))
    return Book(
        str(told["network"]), int(told["subnet"]), int(told["epoch"]), int(told["heard"]), marks
    )


def _mark(told: dict[str, object]) -> Mark:
    past, reasons = told["past"], told["reasons"]
    if not isinstance(past, list) or not isinstance(reasons, dict):
        raise TypeError("a node is told of in another way")
    copy_of = told["copy_of"]
    return Mark(
        uid=_whole(told["uid"]),
        generation=_whole(told["generation"]),
        node=address(str(told["node"])),
        smoothed=_part(told["smoothed"]),
        standing=_part(told["standing"]),
        epoch=_whole(told["epoch"]),
        quality=None if told["quality"] is None else _part(told["quality"]),
        score=None if told["score"] is None else _part(told["score"]),
        asked=_whole(told["asked"]),
        answered=_whole(told["answered"]),
        waiting=_whole(told["waiting"]),
        copy_of=None if copy_of is None else _whole(copy_of),
        reasons={str(reason): _whole(times) for reason, times in reasons.items()},
        past=tuple((float(time), _part(quality)) for time, quality in past),
    )


def _whole(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is no whole number")
    return value


def _part(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{value!r} is not from 0 to 1")
    return float(value)
